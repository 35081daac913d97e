"""A backend that says what it is told to: for tests and for trying an interface without a model.

It goes through the same checks and the same stop strings as the real one, and can be late, fail, or never end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, repeat

from codellama.backends.base import never, room
from codellama.dialog import Chunk, FinishReason, Progress, Prompt, Sampling, Timings
from codellama.models import Model
from codellama.stops import StopStrings

TICK = 0.01
# seconds between two looks at `cancelled` during a pause


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float
    # infinite: hangs until it is cancelled


@dataclass(frozen=True, slots=True)
class Loading:
    done: int
    total: int
    # bytes


@dataclass(frozen=True, slots=True)
class Endless:
    text: str
    # said over and over; only the limit or a stop ends it


Step = str | Pause | Loading | Endless | BaseException


class ScriptedBackend:
    """Says the steps in their order to every request, one token a text; `requests` keeps what it was asked.

    A text is a chunk as it is, an exception is raised where it stands. `scripts` has one script a candidate; further
    candidates say the last one's.
    """

    def __init__(self, model: Model, *scripts: Sequence[Step]) -> None:
        self.model = model
        self.notes: tuple[str, ...] = ()
        self.requests: list[tuple[Prompt, Sampling]] = []
        self._scripts = scripts or ([],)

    def stream(self, prompt: Prompt, sampling: Sampling, cancelled: Callable[[], bool] = never) -> Iterator[Chunk]:
        self.requests.append((prompt, sampling))
        limit = room(self.model, prompt, sampling)
        tokens = 0
        for index in range(sampling.candidates):
            script = self._scripts[min(index, len(self._scripts) - 1)]
            for chunk in _say(index, script, limit, StopStrings(sampling.stop), cancelled):
                tokens += len(chunk.ids)
                if chunk.finish_reason and index == sampling.candidates - 1:
                    chunk = replace(chunk, timings=Timings(0.0, 0.001, 0.001, len(prompt.ids), tokens))
                yield chunk


def _say(
    index: int, script: Sequence[Step], limit: int, stops: StopStrings, cancelled: Callable[[], bool]
) -> Iterator[Chunk]:
    said = 0
    for step in chain.from_iterable(repeat(s.text) if isinstance(s, Endless) else [s] for s in script):
        if cancelled():
            yield Chunk(index, stops.finish(), finish_reason=FinishReason.CANCELLED)
            return
        match step:
            case str():
                said += 1
                text = stops.push(step)
                if stops.hit or said >= limit:
                    reason = FinishReason.STOP if stops.hit else FinishReason.LENGTH
                    yield Chunk(index, text + stops.finish(), (said,), -1.0, reason)
                    return
                yield Chunk(index, text, (said,), -1.0)
            case Pause():
                end = time.monotonic() + step.seconds
                while time.monotonic() < end and not cancelled():
                    yield Chunk(index)
                    time.sleep(TICK)
            case Loading():
                yield Chunk(index, progress=Progress("load", step.done, step.total))
            case BaseException():
                raise step
    reason = FinishReason.CANCELLED if cancelled() else FinishReason.STOP
    yield Chunk(index, stops.finish(), finish_reason=reason)
