"""The base of all that shows text in the conversation: lines in, rows out, each rendered once.

Textual draws what `render_line` gives. A row's strip is kept until its line, the width, the theme or the selection
changes, so a growing text costs what is new of it. What is selected is told by line and character, not by row: a
paragraph that was wrapped is copied as it was written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.reactive import Reactive
from textual.selection import Selection
from textual.strip import Strip
from textual.widget import Widget

from codellama.tui.lines import Line, Row, cells, rows


class Rows(Widget):
    """Shows `lines`. A subclass says which they are at a width, and what stands above them."""

    ALLOW_SELECT = True
    STYLES: ClassVar[dict[str, str]] = {}
    # the lines' names of styles → component classes
    HEADING = 0
    # rows above the lines
    virtual_size = Reactive(Size(0, 0), layout=False, repaint=False)
    # Textual lays out and paints the screen a second time where this changes, which the layout has brought about; that
    # would double the cost of an answer that grows

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: Sequence[Line] = []
        self._rows: list[Row] = []
        self._width = 0
        # that the rows are for
        self._strips: dict[int, Strip] = {}

    def lines_at(self, width: int) -> Sequence[Line]:
        """The lines, where they depend on the width."""
        return self._lines

    def heading(self, width: int) -> Strip:
        """The row above the lines, where there is one."""
        return Strip.blank(width, self.rich_style)

    @property
    def plain(self) -> str:
        """What is shown, without what stands before the lines."""
        return "\n".join(line.text for line in self._lines)

    def show(self, lines: Sequence[Line], first: int) -> None:
        """Take new lines; those before `first` are the old ones."""
        self._lines = lines
        if not self._width:
            # not laid out yet
            return
        before = len(self._rows)
        kept = next((at for at in range(before, 0, -1) if self._rows[at - 1].line < first), 0)
        self._rows = [*self._rows[:kept], *rows(lines, self._width, first)]
        self._strips = {row: strip for row, strip in self._strips.items() if row < kept}
        if len(self._rows) != before:
            self.refresh(layout=True)
        else:
            self.refresh(Region(0, kept + self.HEADING, self.size.width, max(before - kept, 1)))

    def _lay_out(self, width: int) -> None:
        if width != self._width:
            self._width, self._strips = width, {}
            self._lines = self.lines_at(width)
            self._rows = rows(self._lines, width)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        self._lay_out(width)
        return len(self._rows) + self.HEADING

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips.clear()

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        self._lay_out(width)
        number = y - self.HEADING
        if number < 0:
            return self.heading(width)
        if number >= len(self._rows):
            return Strip.blank(width, self.rich_style)
        selection = self.text_selection
        if selection is not None:
            return self._render_row(self._rows[number], width, selection)
        strip = self._strips.get(number)
        if strip is None:
            strip = self._strips[number] = self._render_row(self._rows[number], width, None)
        return strip

    def _render_row(self, row: Row, width: int, selection: Selection | None) -> Strip:
        base = self.rich_style
        line = self._lines[row.line]
        segments = []
        at = row.start
        for begin, end, style in line.runs:
            begin, end = max(begin, at), min(end, row.end)
            if begin < end:
                if at < begin:
                    segments.append(Segment(line.text[at:begin], base))
                segments.append(Segment(line.text[begin:end], base + self._style(style)))
                at = end
        if at < row.end:
            segments.append(Segment(line.text[at : row.end], base))
        strip = Strip(segments)
        if selection is not None and (span := selection.get_span(row.line)) is not None:
            strip = self._marked(strip, line.text, row, span)
        strip = strip.apply_offsets(row.start, row.line)
        if before := line.rest if row.start else line.first:
            strip = Strip.join([Strip([Segment(before, base + self._style("mark"))]), strip])
        return strip.crop_extend(0, width, base)

    def _marked(self, strip: Strip, text: str, row: Row, span: tuple[int, int]) -> Strip:
        start, end = (min(max(at, row.start), row.end) for at in (span[0], len(text) if span[1] == -1 else span[1]))
        cuts = [cells(text[row.start : at]) for at in (start, end, row.end)]
        before, marked, after = strip.divide(cuts)
        marked = marked.apply_style(self.screen.get_component_rich_style("screen--selection"))
        return Strip.join([before, marked, after])

    def _style(self, names: str) -> Style:
        known = (self.STYLES.get(name) for name in names.split())
        return Style.combine(self.get_component_rich_style(name, partial=True) for name in known if name)

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        return selection.extract(self.plain), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        self.refresh()
