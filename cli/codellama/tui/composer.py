"""The input: a few lines that grow, earlier questions by Up, completion by Tab."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import TextArea
from textual.widgets.option_list import Option

from codellama.sanitiser import sanitise
from codellama.tui.choices import Choices
from codellama.tui.completion import Completion, completions

PLACEHOLDER = "Ask about code, or type / for commands"


class Suggestions(Choices, can_focus=False):
    """What the beginning of a command may become."""

    def __init__(self) -> None:
        super().__init__()
        self._offered: list[Completion] = []
        self.picked = False
        # True: the highlighted one was chosen with the arrow keys
        self.display = False

    @property
    def current(self) -> Completion | None:
        return self._offered[self.highlighted] if self.display and self.highlighted is not None else None

    def offer(self, offered: list[Completion]) -> None:
        if not offered and not self._offered:
            # each key comes here, and to clear the list would lay out the whole screen
            return
        self._offered, self.picked = offered, False
        self.display = bool(offered)
        self.clear_options()
        wide = max((len(each.label) for each in offered), default=0)
        for each in offered:
            # Content, since a file name must not become markup
            label = Content(f"{each.label:{wide}}") if each.help else Content(each.label)
            self.add_option(Option(Content.assemble(label, (f"  {each.help}", "dim")) if each.help else label))
        self.highlighted = 0 if offered else None

    def move(self, by: int) -> None:
        if self.highlighted is not None:
            self.highlighted = (self.highlighted + by) % len(self._offered)
            self.picked = True

    def hide(self) -> None:
        self.offer([])


class Composer(TextArea):
    """Enter sends; what is pasted is never sent by itself, and keeps its indentation."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "send", "Send", id="send"),
        Binding("ctrl+j,shift+enter,alt+enter", "newline", "New line", id="newline"),
        Binding("tab", "complete", "Complete a command; go to the code blocks", id="complete"),
    ]

    @dataclass
    class Sent(Message):
        text: str

    @dataclass
    class Shortened(Message):
        """Something in what was put in could not stay as it was."""

        reason: str

    def __init__(self, suggestions: Suggestions, keys: Mapping[str, str]) -> None:
        """`keys`: for actions, where they have other keys than here."""
        super().__init__(compact=True, highlight_cursor_line=False, placeholder=PLACEHOLDER, id="composer")
        self.cursor_blink = False
        own = [binding for binding in self.BINDINGS if isinstance(binding, Binding)]
        self._keys = {
            key.strip(): binding.action for binding in own for key in keys.get(binding.id or "", binding.key).split(",")
        }
        self._own = {binding.action for binding in own}
        # their keys are those of `_keys` alone
        self.suggestions = suggestions
        self.names: Mapping[str, Sequence[str]] = {}
        # what the commands that take a name may be given
        self.earlier: Sequence[str] = ()
        # questions, the latest last
        self._recalled: int | None = None
        # which of them is shown; None: none is
        self._draft = ""
        # what was typed before one was recalled
        self.typed = 0.0
        # when a key was pressed last, in the time of the monotonic clock
        self._known = ""
        # the text that the suggestions are for, or that was put in and has none

    async def _on_key(self, event: events.Key) -> None:
        # Textual runs a binding's action when the key has gone up to the application, and with priority even before
        # the keys that are still in the widget's queue: what is typed fast would be sent without its end
        self.typed = time.monotonic()
        action = self._keys.get(event.key)
        if action is None and not event.is_printable:
            # those of the widget itself too: Ctrl+U took the key behind it along
            inherited = [each.action for each in self._bindings.key_to_bindings.get(event.key, ())]
            action = next((each for each in inherited if each not in self._own), None)
        if action:
            event.stop()
            event.prevent_default()
            await self.run_action(action)

    def put(self, text: str) -> None:
        """Show a text, with the cursor at its end. What hides in it is made visible."""
        self.text = self._known = sanitise(text)
        self.move_cursor(self.document.end)
        self.suggestions.hide()

    def take(self) -> str:
        """The text; the input is empty then."""
        text = self.text
        self.put("")
        self._recalled, self._draft = None, ""
        return text

    def on_text_area_changed(self) -> None:
        self._look()

    def _look(self) -> None:
        """Bring the suggestions up to date. A key may come before the message that the text has changed."""
        if self.text == self._known:
            return
        self._known, self._recalled = self.text, None
        at_end = self.cursor_location == self.document.end
        self.suggestions.offer(completions(self.text, self.names) if at_end else [])

    def action_send(self) -> None:
        """Send what was typed; only a command's unfinished name, or what was chosen, is completed before."""
        self._look()
        chosen = self.suggestions.current
        unfinished = not any(map(str.isspace, self.text))
        if chosen and (self.suggestions.picked or unfinished) and chosen.text.rstrip() != self.text.rstrip():
            self._accept(chosen)
            if not chosen.final:
                return
        if self.text.strip():
            self.post_message(self.Sent(self.take()))

    def action_newline(self) -> None:
        self.insert("\n")
        self.scroll_cursor_visible()

    def action_complete(self) -> None:
        self._look()
        chosen = self.suggestions.current
        if chosen:
            self._accept(chosen)
        else:
            # the input stands last: what is before it is the newest
            self.screen.focus_previous()

    def _accept(self, chosen: Completion) -> None:
        self.put(chosen.text)
        # a directory goes on, and so does a command that takes something
        if not chosen.final or chosen.text.endswith(" "):
            self.suggestions.offer(completions(self.text, self.names))

    def action_cursor_up(self, select: bool = False) -> None:
        self._look()
        if self.suggestions.display:
            self.suggestions.move(-1)
        elif select or self._row() > 0 or not self._recall(-1):
            super().action_cursor_up(select)

    def action_cursor_down(self, select: bool = False) -> None:
        self._look()
        if self.suggestions.display:
            self.suggestions.move(1)
        elif select or self._row() < self.wrapped_document.height - 1 or not self._recall(1):
            super().action_cursor_down(select)

    def _row(self) -> int:
        return self.wrapped_document.location_to_offset(self.cursor_location).y

    def _recall(self, by: int) -> bool:
        """Show an earlier question, or what was typed before; False: there is none that way."""
        count = len(self.earlier)
        at = (count if self._recalled is None else self._recalled) + by
        if not 0 <= at <= count or (self._recalled is None and by > 0):
            return False
        if self._recalled is None:
            self._draft = self.text
        self.put(self._draft if at == count else self.earlier[at])
        self._recalled = None if at == count else at
        if by < 0:
            self.move_cursor((0, 0))
        return True

    async def _on_paste(self, event: events.Paste) -> None:
        event.prevent_default()
        event.stop()
        text = event.text.replace("\r\n", "\n").replace("\r", "\n")
        shown = sanitise(text)
        result = self._replace_via_keyboard(shown, *self.selection)
        if result:
            self.move_cursor(result.end_location)
        if shown != text:
            self.post_message(self.Shortened("what was pasted holds control or hidden characters: they are shown"))
