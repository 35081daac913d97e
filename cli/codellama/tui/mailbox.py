"""Where the thread that generates leaves its chunks until the screen has time for them."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

from codellama.dialog import Chunk, FinishReason, Progress, Timings


@dataclass(frozen=True, slots=True)
class Burst:
    """What came since the last look."""

    text: str = ""
    tokens: int = 0
    progress: Progress | None = None
    # the last one; None: nothing was said of it
    finish_reason: FinishReason | None = None
    timings: Timings | None = None
    error: BaseException | None = None
    # the stream ended with it; the text before it stands
    last: bool = False
    # True: nothing more comes, and the thread is done


class Mailbox:
    """Merges chunks. The thread that puts is told when nobody knows yet that there is something to take."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._burst: Burst | None = None

    def put(self, chunk: Chunk) -> bool:
        """True where the box was empty: then somebody must be told."""
        return self._merge(Burst(chunk.text, len(chunk.ids), chunk.progress, chunk.finish_reason, chunk.timings))

    def end(self, error: BaseException | None = None) -> bool:
        return self._merge(Burst(error=error, last=True))

    def take(self) -> Burst:
        with self._lock:
            burst, self._burst = self._burst, None
        return burst or Burst()

    def _merge(self, new: Burst) -> bool:
        with self._lock:
            old = self._burst
            if old is None:
                self._burst = new
                return True
            self._burst = Burst(
                old.text + new.text,
                old.tokens + new.tokens,
                new.progress or old.progress,
                new.finish_reason or old.finish_reason,
                new.timings or old.timings,
                new.error or old.error,
                new.last or old.last,
            )
            return False
