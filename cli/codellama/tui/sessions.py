"""The conversations there are: listed, searched, resumed, deleted."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from codellama.history import Conversation
from codellama.sanitiser import one_line
from codellama.tui.choices import Choices
from codellama.tui.dialogs import CLOSE
from codellama.tui.lines import cells

MOST = 200
# conversations that are listed; the search finds the others
HINT = "Enter  resume    Ctrl+D  delete    Esc  close"


class Sessions(ModalScreen[int | None]):
    """Gives the id of the conversation to go on with; None: none."""

    BINDINGS: ClassVar[list[BindingType]] = [
        CLOSE,
        Binding("up", "move(-1)", show=False, priority=True),
        Binding("down", "move(1)", show=False, priority=True),
        Binding("ctrl+d,delete", "delete", "Delete a conversation", show=False, priority=True, id="sessions.delete"),
    ]

    def __init__(
        self,
        find: Callable[[str], list[Conversation]],
        delete: Callable[[int], None],
        words: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self._find, self._delete, self._words, self._clock = find, delete, words, clock
        self._found: list[Conversation] = []
        self._doomed: int | None = None
        # the conversation that the next Ctrl+D deletes

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog wide"):
            yield Static("Conversations", classes="title")
            yield Input(self._words, placeholder="Search", compact=True)
            yield Choices()
            yield Static(HINT, classes="hint", id="hint")

    def on_mount(self) -> None:
        self.query_one(OptionList).can_focus = False
        self._list()

    def on_input_changed(self) -> None:
        self._list()

    def _list(self, highlighted: int = 0) -> None:
        self._found = self._find(self.query_one(Input).value)
        now = self._clock()
        # 94 % of the screen, less border and padding, and what the list keeps at its sides, its mark among it
        width = self.app.size.width * 94 // 100 - 11
        shown = self.query_one(OptionList)
        shown.clear_options()
        shown.add_options(Option(_row(each, now, width)) for each in self._found)
        shown.highlighted = min(highlighted, len(self._found) - 1) if self._found else None
        none = "No conversation has these words" if self.query_one(Input).value else "There are none yet"
        self._say(HINT if self._found else none)

    def _say(self, text: str) -> None:
        self._doomed = None
        self.query_one("#hint", Static).update(Content(text))

    def action_move(self, by: int) -> None:
        shown = self.query_one(OptionList)
        if shown.highlighted is not None:
            shown.highlighted = min(max(shown.highlighted + by, 0), len(self._found) - 1)
            self._say(HINT)

    def action_delete(self) -> None:
        number = self.query_one(OptionList).highlighted
        if number is None:
            return
        chosen = self._found[number]
        if self._doomed != chosen.id:
            self._say(f"Ctrl+D again deletes “{one_line(chosen.title)}” and its {chosen.count} messages")
            self._doomed = chosen.id
            return
        self._delete(chosen.id)
        self._list(number)

    def on_input_submitted(self) -> None:
        self._resume(self.query_one(OptionList).highlighted)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self._resume(event.option_index)

    def _resume(self, number: int | None) -> None:
        if number is not None:
            self.dismiss(self._found[number].id)


def _row(conversation: Conversation, now: float, width: int) -> Content:
    """One row: the title is cut where there is no room for it."""
    before = f"{age(now - conversation.updated):>8}  "
    behind = f"  {conversation.count} messages · {one_line(conversation.model)}"
    title = Content(one_line(conversation.title) or "untitled")
    room = max(width - cells(before) - cells(behind), 12)
    return Content.assemble((before, "$quiet"), title.truncate(room, ellipsis=True), (behind, "$quiet"))


def age(seconds: float) -> str:
    """just now, 5 min, 3 h, 12 days."""
    if seconds < 60:
        return "just now"
    for size, unit, limit in ((60, "min", 60), (3600, "h", 24)):
        if seconds < size * limit:
            return f"{int(seconds // size)} {unit}"
    days = int(seconds // 86400)
    return f"{days} day{'s' if days > 1 else ''}"
