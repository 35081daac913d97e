"""The full-screen chat without a terminal, answered by a script or by the built-in model."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from textual.pilot import Pilot

from codellama import models
from codellama.backends.base import Backend, never
from codellama.backends.scripted import ScriptedBackend, Step
from codellama.dialog import Chunk, Prompt, Sampling
from codellama.history import History
from codellama.settings import Settings
from codellama.tui.app import ChatApp
from codellama.tui.asking import Tools
from codellama.tui.composer import Composer
from codellama.tui.reply import Reply
from codellama.tui.talk import Talk
from tests.harness import TINY

SIZE = (100, 30)


def words(text: str) -> list[Step]:
    """A script that says a text word by word."""
    return list(re.findall(r"\s*\S+\s*?|\s+", text))


class Chat:
    """An app under test, and what a user sees of it."""

    def __init__(
        self,
        home: Path,
        *scripts: Sequence[Step],
        context: int = 1024,
        history: History | None = None,
        text: str = "",
        settings: dict[str, object] | None = None,
        open_backend: Callable[[str | None], Backend] | None = None,
        chat_format: str = "instruct",
    ) -> None:
        environ = {"CODELLAMA_HOME": str(home / "codellama"), "PATH": "/nowhere"}
        self.model = replace(models.read(TINY, "tiny"), context=context).insist(chat_format)
        # an answer each; the last one goes on
        self.backend = _Turns(self.model, scripts)
        self.history = history or History.nowhere()
        self.talk = Talk(self.backend, Sampling(max_tokens=None), self.history, precision="bfloat16", device="cpu")
        loaded = Settings.load(environ)
        loaded = replace(loaded, values={**loaded.values, **(settings or {})})
        tools = Tools(loaded, environ, open_backend or (lambda name: self.backend), lambda sampling: None)
        self.tools, self.text = tools, text
        self.app = ChatApp(self.talk, tools, text)
        self.pilot: Pilot[None]

    @asynccontextmanager
    async def open(self, size: tuple[int, int] = SIZE) -> AsyncIterator[Chat]:
        async with self.app.run_test(size=size, notifications=True) as self.pilot:
            await self.pilot.pause()
            yield self
            self.app.chat.stop()
            await self.idle()

    @property
    def composer(self) -> Composer:
        return self.app.chat.composer

    @property
    def replies(self) -> list[Reply]:
        return self.app.chat.transcript.replies

    async def until(self, holds: Callable[[], bool]) -> None:
        for _ in range(500):
            if holds():
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"it did not come about; the screen:\n{self.screen}")

    async def idle(self) -> None:
        await self.until(lambda: not self.app.chat.busy)
        await self.pilot.pause()

    async def send(self, text: str) -> None:
        """Type and send, and do not wait for the answer."""
        self.composer.insert(text)
        await self.pilot.press("enter")
        await self.pilot.pause()

    async def ask(self, text: str) -> None:
        await self.send(text)
        await self.idle()

    @property
    def screen(self) -> str:
        """What is on the screen, a line each."""
        strips = self.app.screen._compositor.render_strips(self.app.size)
        return "\n".join(strip.text.rstrip() for strip in strips)


class _Turns(ScriptedBackend):
    """A scripted backend with a script for each request."""

    def __init__(self, model: models.Model, turns: Sequence[Sequence[Step]]) -> None:
        super().__init__(model)
        self._turns = turns or [["fine"]]

    def stream(self, prompt: Prompt, sampling: Sampling, cancelled: Callable[[], bool] = never) -> Iterator[Chunk]:
        self._scripts = (self._turns[min(len(self.requests), len(self._turns) - 1)],)
        return super().stream(prompt, sampling, cancelled)


def journey(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an asynchronous test."""
    from functools import wraps

    @wraps(test)
    def run(*arguments: object, **values: object) -> None:
        async def go() -> None:
            await test(*arguments, **values)

        asyncio.run(go())

    return run
