"""What streaming highlighted code costs: CPU seconds for each 1,000 tokens, at full speed and at a model's pace.

    python benchmarks/display.py

"A model's pace" has a clock that moves 10 ms with each token, so that every painting that is due is done: the text of
2,000 tokens then comes in 20 s. For comparison, the time Pygments takes to lex the whole text once.
"""

from __future__ import annotations

import argparse
import io
import re
import time
from pathlib import Path

from codellama.console import Console
from codellama.display import TerminalDisplay
from codellama.highlight import Highlighter


def text_of(tokens: int) -> list[str]:
    """Python of the standard library in pieces of about four characters."""
    pieces = re.findall(r"\s?.{1,4}|\n", Path(argparse.__file__).read_text("utf-8"))
    assert len(pieces) >= tokens
    return pieces[:tokens]


def stream(pieces: list[str], pace: float) -> tuple[float, int]:
    """CPU seconds, and bytes written."""
    now = 0.0

    def clock() -> float:
        return now + time.process_time() if pace else time.perf_counter()

    stdout = io.BytesIO()
    console = Console(stdout=stdout, stdout_tty=True, environ={"TERM": "xterm-256color"})
    highlighter = Highlighter("python")
    began = time.process_time()
    with TerminalDisplay(console, highlighter, clock=clock) as display:
        for piece in pieces:
            display.push(piece)
            now += pace
    return time.process_time() - began, len(stdout.getvalue())


def main() -> None:
    for tokens in (2_000, 16_000):
        pieces = text_of(tokens)
        text = "".join(pieces)
        began = time.process_time()
        Highlighter("python").runs(text, 0)
        lexing = time.process_time() - began
        print(f"{tokens} tokens, {len(text)} characters: lexed once in {lexing:.3f} s")
        for name, pace in (("full speed", 0.0), ("100 tokens/s", 0.01), ("10 tokens/s", 0.1)):
            seconds, size = stream(pieces, pace)
            print(f"  {name}: {seconds / tokens * 1000:.3f} CPU s for 1,000 tokens, {size} bytes written")


if __name__ == "__main__":
    main()
