"""What an answer says between its code blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from codellama.tui.lines import Line
from codellama.tui.markdown import lines
from codellama.tui.rows import Rows


class Prose(Rows):
    """Markdown that grows. What is settled is parsed once; the last block is parsed anew with each update."""

    STYLES: ClassVar[dict[str, str]] = {
        "heading": "prose--heading",
        "subheading": "prose--subheading",
        "strong": "prose--strong",
        "em": "prose--em",
        "struck": "prose--struck",
        "inline": "prose--inline",
        "code": "prose--inline",
        "link": "prose--link",
        "mark": "prose--mark",
    }
    COMPONENT_CLASSES: ClassVar[set[str]] = set(STYLES.values())

    def __init__(self, text: str = "") -> None:
        super().__init__()
        self.text = text
        self._settled = 0
        # characters of the text whose lines are final
        self._final: list[Line] = []

    def set(self, text: str, settled: int, *, last: bool) -> None:
        """Take the text so far, of which `settled` characters stay as they are displayed. `last`: it is whole, and
        parsed as such once more.
        """
        if text == self.text and not last:
            return
        same = text.startswith(self.text[: self._settled]) and settled >= self._settled and not last
        self.text = text
        if not self._width:
            return
        if not same:
            self._settled, self._final = 0, []
        first = len(self._final)
        if settled > self._settled and not last:
            self._final = self._joined(self._final, lines(text[self._settled : settled], self._width))
            self._settled = settled
        self.show(self._joined(self._final, lines(text[self._settled :], self._width)), first)

    @staticmethod
    def _joined(before: list[Line], after: list[Line]) -> list[Line]:
        return [*before, Line(""), *after] if before and after else before or after

    def lines_at(self, width: int) -> Sequence[Line]:
        self._settled, self._final = 0, []
        return lines(self.text, width)
