"""A list to choose from, which also shows what is chosen where there are no colours."""

from __future__ import annotations

from rich.segment import Segment
from textual.strip import Strip
from textual.widgets import OptionList

MARK = "❯ "
# before the chosen line


class Choices(OptionList):
    """One line an option."""

    def __init__(self) -> None:
        super().__init__(compact=True)

    def _get_left_gutter_width(self) -> int:
        # where Textual's own SelectionList has its boxes
        return len(MARK)

    def render_line(self, y: int) -> Strip:
        strip = super().render_line(y)
        number = self.scroll_offset.y + y
        if number >= len(self._lines):
            return strip
        option, line = self._lines[number]
        style = next((segment.style for segment in strip), None)
        mark = MARK if option == self.highlighted and line == 0 else " " * len(MARK)
        return Strip([Segment(mark, style), *strip])
