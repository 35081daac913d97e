"""What the full-screen chat looks like, as SVG files in tests/cases/tui; a difference is a decision, not an accident.

`CODELLAMA_SNAPSHOTS=write` writes them anew: look at them before they are committed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from codellama.backends.scripted import Loading, Pause, Step
from codellama.history import History, Saved
from codellama.tui import asking
from tests.harness import CASES
from tests.tui import SIZE, Chat, journey, words

ANSWER = (Path(CASES) / "tui" / "answer.md").read_text("utf-8")
QUESTION = "why does `double` in app.py hang?"
FOREVER = Pause(float("inf"))


async def empty(chat: Chat) -> None: ...


async def answered(chat: Chat) -> None:
    await chat.ask(QUESTION)


async def focused(chat: Chat) -> None:
    await chat.ask(QUESTION)
    await chat.pilot.press("shift+tab")


async def streaming(chat: Chat) -> None:
    await chat.send(QUESTION)
    await chat.until(lambda: "result = []" in chat.screen and "generating" in chat.screen)
    await chat.pilot.press(*"and then")


async def loading(chat: Chat) -> None:
    await chat.send(QUESTION)
    await chat.until(lambda: "loading 31 %" in chat.screen)


async def slash(chat: Chat) -> None:
    await chat.pilot.press(*"/s")


async def palette(chat: Chat) -> None:
    await chat.pilot.press("ctrl+p")
    await chat.until(lambda: "/copy" in chat.screen)


async def full(chat: Chat) -> None:
    await chat.ask("first question " * 12)
    await chat.send("second question " * 14)


async def sessions(chat: Chat) -> None:
    for title, count in (("Sort a list of dicts by two keys", 2), ("[red]review[/] this \u202e", 4)):
        id = chat.history.start(title, "7b-instruct")
        for number in range(count):
            chat.history.add(id, Saved("assistant" if number % 2 else "user", "x"))
    await chat.send("/sessions")


CASE = tuple[Callable[[Chat], Awaitable[None]], Sequence[Step], tuple[int, int], dict[str, object], int]
SNAPSHOTS: dict[str, CASE] = {
    "empty": (empty, [], SIZE, {}, 1024),
    "empty-narrow": (empty, [], (60, 20), {}, 1024),
    "answer": (answered, words(ANSWER), SIZE, {}, 1024),
    "answer-narrow": (answered, words(ANSWER), (60, 20), {}, 1024),
    "answer-light": (focused, words(ANSWER), SIZE, {"theme": "light"}, 1024),
    "answer-ansi": (focused, words(ANSWER), SIZE, {"theme": "ansi"}, 1024),
    "block": (focused, words(ANSWER), SIZE, {}, 1024),
    "streaming": (streaming, [*words(ANSWER[: ANSWER.index("    for item")]), FOREVER], SIZE, {}, 1024),
    "loading": (loading, [Loading(31, 100), FOREVER], SIZE, {}, 1024),
    "slash": (slash, [], SIZE, {}, 1024),
    "palette": (palette, [], SIZE, {}, 1024),
    "sessions": (sessions, [], SIZE, {}, 1024),
    "full": (full, ["one " * 30], SIZE, {}, 128),
}


@pytest.mark.parametrize("name", SNAPSHOTS)
@journey
async def test_it_looks_as_it_did(home: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # no speed of an answer under way: it differs from run to run
    monkeypatch.setattr(asking, "_RATE", float("inf"))
    steps, script, size, settings, context = SNAPSHOTS[name]
    async with Chat(home, script, settings=settings, context=context, history=History.nowhere()).open(size) as chat:
        await steps(chat)
        await chat.pilot.pause()
        svg = normal(chat.app.export_screenshot(simplify=True))
    path = Path(CASES) / "tui" / f"{name}.svg"
    if os.environ.get("CODELLAMA_SNAPSHOTS") == "write":
        path.write_text(svg, encoding="utf-8")
    assert svg == path.read_text("utf-8"), f"{path} differs; CODELLAMA_SNAPSHOTS=write writes it anew"


def normal(svg: str) -> str:
    """Without the hash of the content in each name."""
    return re.sub(r"terminal-\d+-", "terminal-", svg)
