"""The conversation on the screen. It follows what is new only while the reader is at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual.containers import VerticalScroll
from textual.content import Content
from textual.geometry import Size
from textual.reactive import Reactive
from textual.widget import Widget
from textual.widgets import Static

from codellama.sanitiser import one_line
from codellama.tui.keys import shown
from codellama.tui.question import Question
from codellama.tui.reply import Reply

_WELCOME = "Ask about code. A model on this machine answers."
_KEYS = (
    ("send", "enter", "send"),
    ("newline", "ctrl+j", "break the line"),
    ("", "up", "earlier questions"),
    ("complete", "tab", "to the code blocks"),
)
# the name in the settings, the key where they have no other, what it does
_ORDERS = (
    ("/file PATH", "attach code"),
    ("/sessions", "earlier conversations"),
    ("/model", "let another model answer"),
    ("/help", "every key and command"),
)
_WIDE = 72
# columns: from there on keys and commands stand side by side


class Welcome(Static):
    """What an empty screen says."""

    def __init__(self, changed: Mapping[str, str]) -> None:
        """`changed`: for actions, where they have other keys; the first one is told."""
        super().__init__(id="welcome")
        self._keys = [(shown(changed.get(name, key).split(",")[0]), what) for name, key, what in _KEYS]

    def render(self) -> Content:
        wide = max(8, *(len(key) + 2 for key, _ in self._keys))
        keys = [f"  {key:{wide}}{what}" for key, what in self._keys]
        orders = [f"  {order:12}{what}" for order, what in _ORDERS]
        if self.size.width >= _WIDE:
            rows = [f"{key:32}{order}" for key, order in zip(keys, orders, strict=True)]
        else:
            rows = [f"  {name:12}{what}" for name, what in (*self._keys, *_ORDERS)]
        return Content("\n".join([_WELCOME, "", *rows]))


SHOWN = 40
# questions and answers that are laid out. With 200 a painting of an answer that streams takes 60 ms instead of 7


class Transcript(VerticalScroll):
    """Questions and answers, one below the other."""

    virtual_size = Reactive(Size(0, 0), layout=False, repaint=False)
    # as in Rows; the scrollbar is always there, so that it changes no width

    def __init__(self, keys: Mapping[str, str]) -> None:
        """`keys`: for actions, where they have other keys than by default."""
        super().__init__(id="transcript", can_focus=False)
        self._keys = keys

    @property
    def questions(self) -> list[Question]:
        return list(self.query_children(Question))

    @property
    def replies(self) -> list[Reply]:
        return list(self.query_children(Reply))

    async def open(self, turns: Sequence[Widget]) -> None:
        """Show another conversation."""
        with self.app.batch_update():
            await self.remove_children()
            await self.mount_all(turns or [Welcome(self._keys)])
            await self._hide_the_oldest()
        self.anchor()

    async def add(self, *turns: Widget) -> None:
        """Add to the end, and go there: whoever asks wants to see the answer."""
        await self.query_children("#welcome").remove()
        await self.mount_all(turns)
        await self._hide_the_oldest()
        self.anchor()

    async def note(self, text: str, kind: str = "note") -> None:
        """A line of the program's own."""
        await self.mount(Static(Content(one_line(text)), classes=f"ending -{kind}"))

    async def cut(self, number: int) -> None:
        """Take away a question, by its number from 1, and all below it."""
        await self._cut(number, 0)

    async def cut_below(self, number: int) -> None:
        """Take away all below a question."""
        await self._cut(number, 1)

    async def _cut(self, number: int, kept: int) -> None:
        question = next(each for each in self.questions if each.number == number)
        with self.app.batch_update():
            await self.remove_children(list(self.children)[self.children.index(question) + kept :])

    async def _hide_the_oldest(self) -> None:
        turns = [each for each in self.children if each.id != "earlier"]
        hidden = turns[:-SHOWN]
        for each in hidden:
            each.display = False
        if hidden and not self.query_children("#earlier"):
            await self.mount(Static("… Ctrl+Home shows what was said before", id="earlier", classes="ending"), before=0)

    async def show_all(self) -> None:
        """Show what was hidden, and go to the beginning."""
        await self.query_children("#earlier").remove()
        for each in self.children:
            each.display = True
        self.scroll_home(animate=False)
