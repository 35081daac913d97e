"""A code block in the conversation: highlighted as it grows, focused, copied, saved, compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip

from codellama.sanitiser import one_line
from codellama.tui.lines import CodeLines
from codellama.tui.rows import Rows

Wish = Literal["copy", "save", "diff"]
WISHES: tuple[Wish, ...] = ("copy", "save", "diff")


class CodeBlock(Rows, can_focus=True):
    """A heading with the language and what can be done, then the code."""

    HEADING = 1
    # highlight.py names its styles by SGR parameters; a theme has colours of its own for them
    STYLES: ClassVar[dict[str, str]] = {
        "1": "code--name",
        "2": "code--comment",
        "31": "code--deleted",
        "32": "code--string",
        "35": "code--keyword",
        "36": "code--constant",
    }
    COMPONENT_CLASSES: ClassVar[set[str]] = {*STYLES.values(), "code--heading", "code--wish"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c,y", "wish('copy')", "Copy a code block", id="code.copy"),
        Binding("s", "wish('save')", "Save it to a file", id="code.save"),
        Binding("d", "wish('diff')", "Show what it would change in its file", id="code.diff"),
    ]

    @dataclass
    class Asked(Message):
        """A user wants something done with a block."""

        block: CodeBlock
        wish: Wish

    def __init__(self, info: str = "", language: str = "", text: str = "", *, closed: bool = True) -> None:
        """`info`: what stands behind the opening fence; `language`: its first word."""
        super().__init__()
        self.info = info
        self.code = text
        # as the model wrote it
        self.closed = closed
        self._language = language
        self._code = CodeLines(language)
        self._code.push(text)
        if closed:
            self._code.finish()
        self._lines = self._code.lines

    def push(self, text: str) -> None:
        self.code += text
        first = self._code.push(text)
        self.show(self._code.lines, first)

    def close(self, text: str) -> None:
        """The block has ended; `text` is the whole of it."""
        self.closed = True
        if text != self.code:
            self.code, self._code = text, CodeLines(self._language)
            self._code.push(text)
        self._code.finish()
        self.show(self._code.lines, 0)

    def heading(self, width: int) -> Strip:
        style = self.get_component_rich_style("code--heading")
        wish = self.get_component_rich_style("code--wish")
        room = max(width - sum(len(name) + 2 for name in WISHES), 0)
        title = Strip([Segment(one_line(self.info) or "text", style)]).crop_extend(0, room, style)
        links = []
        for name in WISHES:
            links += [Segment("  ", style), Segment(name, wish + Style.from_meta({"@click": f"wish('{name}')"}))]
        return Strip([*title, *links]).crop_extend(0, width, style)

    def on_click(self, event: events.Click) -> None:
        self.focus(scroll_visible=False)

    def action_wish(self, wish: Wish) -> None:
        self.post_message(self.Asked(self, wish))


class CodeView(CodeBlock, can_focus=False):
    """Highlighted text alone: a diff in a window."""

    HEADING = 0
