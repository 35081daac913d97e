"""The last line: what answers, how fast, how full its context is, and what it is doing."""

from __future__ import annotations

from dataclasses import dataclass

from textual.content import Content
from textual.widgets import Static

from codellama.conversation import WARN_SHARE
from codellama.sanitiser import one_line
from codellama.tui.lines import cells


@dataclass(frozen=True, slots=True)
class State:
    model: str = ""
    precision: str = ""
    device: str = ""
    rate: float = 0.0
    # tokens a second of the last answer, or of the one that comes; 0: not known
    used: int = 0
    context: int = 0
    # tokens; 0: not known
    doing: str = "ready"

    @property
    def share(self) -> float:
        return min(self.used / self.context, 1.0) if self.context else 0.0


def compact(number: int) -> str:
    """512, 4.1k, 16k."""
    if number < 1000:
        return str(number)
    return f"{number / 1000:.1f}k" if number < 9950 else f"{number / 1000:.0f}k"


def line(state: State, width: int) -> Content:
    """One row: what there is no room for is left out, the least needed first."""
    context = f"{compact(state.used)}/{compact(state.context)} {state.share:.0%}" if state.context else ""
    rate = f"{state.rate:.1f} tok/s" if state.rate else ""
    left = [("model", one_line(state.model)), ("precision", state.precision), ("device", state.device)]
    right = [("rate", rate), ("context", context), ("doing", one_line(state.doing))]
    for dropped in ("", "precision", "device", "rate", "model"):
        left = [part for part in left if part[0] != dropped]
        right = [part for part in right if part[0] != dropped]
        texts = [" · ".join(text for _, text in parts if text) for parts in (left, right)]
        if sum(map(cells, texts)) + 2 <= width:
            break
    styles = {"context": "bold $text-warning" if state.share >= WARN_SHARE else "", "doing": "$accent"}
    said = [
        Content(" · ").join(Content.styled(text, styles.get(name, "")) for name, text in parts if text)
        for parts in (left, right)
    ]
    gap = max(width - sum(content.cell_length for content in said), 1)
    return Content.assemble(said[0], " " * gap, said[1])


class Status(Static):
    def __init__(self) -> None:
        super().__init__(id="status")
        self.state = State()

    def set(self, state: State) -> None:
        if state != self.state:
            self.state = state
            self.refresh()

    def render(self) -> Content:
        return line(self.state, self.size.width)
