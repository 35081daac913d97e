"""A question in the conversation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from codellama.sanitiser import sanitise
from codellama.tui.lines import Line
from codellama.tui.rows import Rows

MOST = 12
# lines that are shown of a question until it is opened
MARK = "❯ "


class Question(Rows, can_focus=True):
    """What was asked, as it was written: it is no Markdown. A long one is shown in part."""

    STYLES: ClassVar[dict[str, str]] = {"mark": "question--mark", "more": "question--more"}
    COMPONENT_CLASSES: ClassVar[set[str]] = set(STYLES.values())
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space", "open", "Show all of a question", id="question.open"),
        Binding("e", "edit", "Change a question and go on from there", id="question.edit"),
    ]

    @dataclass
    class EditAsked(Message):
        """A user wants to change this question."""

        number: int

    def __init__(self, number: int, text: str) -> None:
        """`number`: of the questions of the conversation, from 1."""
        super().__init__()
        self.number = number
        self.text = text
        self._opened = False
        self._lines = self._shown()

    def _shown(self) -> list[Line]:
        every = [
            Line(line.expandtabs(4), (), "  " if number else MARK, "  ", words=True)
            for number, line in enumerate(sanitise(self.text).split("\n"))
        ]
        hidden = len(every) - MOST
        if self._opened or hidden < 2:
            return every
        more = f"… {hidden} more lines (Enter shows them)"
        return [*every[:MOST], Line(more, ((0, len(more), "more"),), "  ", "  ")]

    def action_open(self) -> None:
        self._opened = not self._opened
        self.show(self._shown(), 0)

    def action_edit(self) -> None:
        self.post_message(self.EditAsked(self.number))

    def on_click(self, event: events.Click) -> None:
        self.focus(scroll_visible=False)
