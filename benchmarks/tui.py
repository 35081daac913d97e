"""What the full-screen chat costs while an answer streams, on a real pseudo-terminal of 100×30.

    python benchmarks/tui.py

Two figures: CPU seconds of the whole program to show a reply of 2,000 tokens in one fence, which come at 200 a second
(10 s); and, in a second run, the time from a key's press to its echo meanwhile, as a terminal would see it. For
comparison, the same reply in Textual's own Markdown widget, updated 15 times a second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import pty
import random
import re
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from codellama.backends.base import never
from codellama.dialog import Chunk, FinishReason, Prompt, Sampling, Timings
from codellama.history import History
from codellama.models import Model, find
from codellama.settings import Settings

TOKENS, RATE = 2000, 200
KEYS = "абвгдежзийклмнопрстуфхцчшщъыьэюя"
# none of them is in the reply or on the screen


def reply(tokens: int = TOKENS) -> list[str]:
    """Python of the standard library in one fence, in pieces of about four characters."""
    pieces = re.findall(r"\s?.{1,4}|\n", Path(argparse.__file__).read_text("utf-8"))
    return ["```python\n", *pieces[: tokens - 2], "\n```"]


class PacedBackend:
    """Says the reply at a steady rate, and notes the CPU time from its first token on."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.notes: tuple[str, ...] = ()
        self.began = 0.0

    def stream(self, prompt: Prompt, sampling: Sampling, cancelled: Callable[[], bool] = never) -> Iterator[Chunk]:
        pieces = reply()
        started = time.monotonic()
        self.began = time.process_time()
        for number, piece in enumerate(pieces):
            time.sleep(max(started + number / RATE - time.monotonic(), 0))
            if cancelled():
                break
            last = number + 1 == len(pieces)
            yield Chunk(
                text=piece,
                ids=(number,),
                finish_reason=FinishReason.STOP if last else None,
                timings=Timings(0, 0, time.monotonic() - started, 1, number) if last else None,
            )


def chat(report: Path) -> None:
    """The program that is measured: ends by itself half a second after the answer."""
    from codellama.tui.app import ChatApp
    from codellama.tui.asking import Tools
    from codellama.tui.talk import Talk

    settings = Settings.load(os.environ)
    backend = PacedBackend(find("tiny", settings, os.environ))
    # room for 2,000 tokens
    object.__setattr__(backend.model, "context", 16384)
    talk = Talk(backend, Sampling(max_tokens=None), History.nowhere())

    class Measured(ChatApp):
        def on_ready(self) -> None:
            self.run_worker(self.wait())

        async def wait(self) -> None:
            while not backend.began or self.chat.busy:
                await asyncio.sleep(0.1)
            await asyncio.sleep(0.5)
            report.write_text(json.dumps({"seconds": time.process_time() - backend.began}))
            self.exit()

    Measured(talk, Tools(settings, os.environ, lambda name: backend, lambda sampling: None)).run()


def plain(report: Path) -> None:
    """Textual's own widget, updated 15 times a second."""
    from textual.app import App, ComposeResult
    from textual.containers import VerticalScroll
    from textual.widgets import Markdown

    class Plain(App[None]):
        def compose(self) -> ComposeResult:
            with VerticalScroll():
                yield Markdown()

        def on_mount(self) -> None:
            self.query_one(VerticalScroll).anchor()
            self.run_worker(self.show())

        async def show(self) -> None:
            pieces, widget, began = reply(), self.query_one(Markdown), time.process_time()
            started, at = time.monotonic(), 0
            while at < len(pieces):
                await asyncio.sleep(1 / 15)
                upto = int((time.monotonic() - started) * RATE)
                await widget.append("".join(pieces[at:upto]))
                at = max(at, upto)
            await asyncio.sleep(0.5)
            report.write_text(json.dumps({"seconds": time.process_time() - began}))
            self.exit()

    Plain().run()


def run(program: str, *, typing: bool) -> tuple[float, list[float]]:
    """CPU seconds, and of each key the seconds until its echo."""
    with tempfile.TemporaryDirectory() as home:
        report = Path(home) / "report.json"
        master, slave = pty.openpty()
        os.set_blocking(master, False)
        import fcntl
        import struct
        import termios

        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        environ = {**os.environ, "CODELLAMA_HOME": home, "TERM": "xterm-256color"}
        process = subprocess.Popen(
            [sys.executable, __file__, "--program", program, "--report", str(report)],
            stdin=slave, stdout=slave, stderr=slave, env=environ, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        echoes = _drive(master, process, typing=typing, asks=program == "chat")
        process.wait()
        os.close(master)
        return float(json.loads(report.read_text())["seconds"]), echoes


def _drive(master: int, process: subprocess.Popen[bytes], *, typing: bool, asks: bool) -> list[float]:
    random.seed(1)
    keys = iter(KEYS)
    echoes: list[float] = []
    seen = b""
    asked = not asks
    waiting: tuple[bytes, float] | None = None
    due = time.monotonic() + 2.5
    patience = time.monotonic() + 60
    while process.poll() is None:
        if time.monotonic() > patience:
            process.kill()
            raise TimeoutError(f"the program did not end: {seen[-2000:]!r}")
        if select.select([master], [], [], 0.002)[0]:
            try:
                seen += os.read(master, 65536)
            except OSError:
                break
        now = time.monotonic()
        if not asked and b"ready" in seen and now >= due:
            os.write(master, b"go\r")
            asked, due = True, now + 1.0
        if waiting and waiting[0] in seen:
            echoes.append(now - waiting[1])
            waiting, due = None, now + random.uniform(0.1, 0.3)
        elif typing and asked and not waiting and now >= due and (key := next(keys, None)):
            waiting, seen = (key.encode(), now), b""
            os.write(master, key.encode())
    return echoes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", choices=("chat", "plain"))
    parser.add_argument("--report", type=Path)
    arguments = parser.parse_args()
    if arguments.program:
        (chat if arguments.program == "chat" else plain)(arguments.report)
        return
    seconds, _ = run("chat", typing=False)
    print(f"{TOKENS} tokens in one fence at {RATE}/s: {seconds:.2f} CPU s")
    _, echoes = run("chat", typing=True)
    late = statistics.quantiles(echoes, n=20)[-1]
    print(
        f"key to echo meanwhile: median {statistics.median(echoes) * 1000:.0f} ms, 95 % within {late * 1000:.0f} ms "
        f"({len(echoes)} keys)"
    )
    seconds, _ = run("plain", typing=False)
    print(f"the same in Textual's Markdown at 15 Hz: {seconds:.2f} CPU s")


if __name__ == "__main__":
    main()
