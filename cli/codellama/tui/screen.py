"""The chat's screen: what the keys, the slash commands and the code blocks do."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult, SuspendNotSupported
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from codellama import source
from codellama.attachments import Attachment
from codellama.errors import CodellamaError
from codellama.models import TINY
from codellama.sanitiser import one_line
from codellama.tui import slash
from codellama.tui.asking import Tools
from codellama.tui.composer import Composer, Suggestions
from codellama.tui.lines import CodeLines
from codellama.tui.markdown import lines
from codellama.tui.orders import SETTABLE, Orders
from codellama.tui.status import Status
from codellama.tui.talk import Talk
from codellama.tui.theme import THEMES
from codellama.tui.transcript import Transcript

_TWICE = 2.0
# seconds in which Ctrl+C must come again to leave


class ChatScreen(Orders):
    @dataclass
    class Said(Message):
        """Another part of the program has something to say."""

        text: str

    AUTO_FOCUS = "#composer"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Stop the answer; back to the input", id="stop"),
        Binding("ctrl+g", "editor", "Write in $EDITOR", id="editor"),
        Binding("pageup", "scroll(-1)", "Scroll up", show=False, priority=True, id="scroll.up"),
        Binding("pagedown", "scroll(1)", "Scroll down", show=False, priority=True, id="scroll.down"),
        Binding("ctrl+home", "show_all", "To the beginning", show=False, id="scroll.home"),
        Binding("ctrl+end", "scroll_end", "To the end", show=False, id="scroll.end"),
        Binding("tab", "app.focus_next", show=False, id="focus.next"),
        Binding(
            "shift+tab",
            "app.focus_previous",
            "Back to the code blocks and questions",
            show=False,
            priority=True,
            id="focus.previous",
        ),
        Binding("down,j", "app.focus_next", show=False),
        Binding("up,k", "app.focus_previous", show=False),
    ]

    def __init__(self, talk: Talk, tools: Tools, text: str = "", loaded: str = "") -> None:
        """`text`: put into the input; without one it is `loaded`, the draft of the last time."""
        super().__init__(talk, tools)
        self._text, self.loaded = text or loaded, loaded
        self._interrupted = 0.0
        # when Ctrl+C was pressed last

    def compose(self) -> ComposeResult:
        keys = self.tools.settings.pick("keys", default={})
        yield Transcript(keys)
        with Vertical(id="ask"):
            suggestions = Suggestions()
            yield suggestions
            yield Static(id="attached")
            with Horizontal(id="box"):
                yield Static("❯", id="mark")
                yield Composer(suggestions, keys)
            yield Status()

    async def on_mount(self) -> None:
        # first, so that no key is lost that is pressed meanwhile
        self.composer.put(self._text)
        self.composer.focus()
        self.composer.names = {
            "model": _models(self.tools.settings.models),
            "set": [f"{name}=" for name in SETTABLE],
            "theme": list(THEMES),
            "copy": ["all"],
        }
        await self._open(self.talk)
        await self._introduce()
        self.run_worker(warm_up, thread=True, exit_on_error=False, group="warm up")

    def attach(self, attached: list[Attachment]) -> None:
        self.attached = attached
        shown = self.query_one("#attached", Static)
        shown.display = bool(attached)
        names = ", ".join(one_line(each.name) for each in attached)
        shown.update(Content(f"with {names}   (/file - removes)"))

    # keys

    def action_back(self) -> None:
        composer = self.composer
        if composer.suggestions.display:
            composer.suggestions.hide()
        elif self.busy:
            self.stop()
        elif self.editing is not None:
            composer.put("")
            self.end_editing()
            self.say(self.standing())
        else:
            self.clear_selection()
            composer.focus()

    def interrupt(self) -> None:
        """Ctrl+C, whatever window is open."""
        now = time.monotonic()
        selected = self.app.screen.get_selected_text() or self.composer.selected_text
        if selected:
            self._copy(selected, "what is selected")
            self.app.screen.clear_selection()
        elif now - self._interrupted < _TWICE:
            self.leave()
        else:
            self._interrupted = now
            stopped = "stopped; " if self.busy else ""
            self.stop()
            self.app.notify(f"{stopped}Ctrl+C again leaves", timeout=_TWICE, markup=False)

    def action_scroll(self, pages: int) -> None:
        if pages < 0:
            self.transcript.scroll_page_up(animate=False)
        else:
            self.transcript.scroll_page_down(animate=False)

    async def action_show_all(self) -> None:
        await self.transcript.show_all()

    def action_scroll_end(self) -> None:
        self.transcript.anchor()

    def action_editor(self) -> None:
        environ = self.tools.environ
        named = environ.get("VISUAL") or environ.get("EDITOR") or "vi"
        try:
            command = shlex.split(named) or ["vi"]
        except ValueError as error:
            self._complain(f"$EDITOR, {named}: {error}")
            return
        failure: Exception | None = None
        with tempfile.TemporaryDirectory(prefix="codellama-") as directory:
            path = Path(directory) / "question.md"
            path.write_text(self.composer.text, encoding="utf-8")
            try:
                with self.app.suspend():
                    # Textual takes the terminal back only where nothing is raised in here
                    try:
                        subprocess.run([*command, str(path)], check=False)
                    except OSError as error:
                        failure = error
                text = source.read_file(path).text
            except (SuspendNotSupported, CodellamaError) as error:
                failure = error
        if failure is not None:
            self._complain(f"{command[0]}: {getattr(failure, 'strerror', None) or failure}; $EDITOR names another")
            return
        self.composer.put(text.replace("\r\n", "\n").removesuffix("\n"))

    async def on_composer_sent(self, event: Composer.Sent) -> None:
        order = slash.parse(event.text)
        if order is not None:
            await self.order(event.text, *order)
        elif self.busy:
            self._complain("an answer is under way: Esc stops it")
            self.composer.put(event.text)
        else:
            await self.ask(event.text)

    async def on_chat_screen_said(self, event: Said) -> None:
        await self.transcript.note(event.text, "warning")

    def on_composer_shortened(self, event: Composer.Shortened) -> None:
        self._complain(event.reason)


def warm_up() -> None:
    """Load what the first answer would wait for: Pygments' Python lexer takes 0.1 s, the Markdown parser 0.02."""
    CodeLines("python").push("x = 1\n")
    lines("x", 80)


def _models(directory: Path) -> Sequence[str]:
    """The names of the models that lie on this machine."""
    found = sorted(path.parent.name for path in directory.glob("*/config.json")) if directory.is_dir() else []
    return [TINY, *found]
