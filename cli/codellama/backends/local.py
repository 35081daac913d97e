"""The backend that runs a model on this machine. What it needs of torch is imported when it first generates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from queue import Empty, SimpleQueue
from threading import Thread
from time import perf_counter
from typing import TYPE_CHECKING

from codellama.backends.base import never, room
from codellama.checkpoint import Checkpoint
from codellama.devices import Machine
from codellama.dialog import Chunk, FinishReason, Progress, Prompt, Sampling, Timings
from codellama.errors import CodellamaError
from codellama.memory import LoadOptions, Plan, plan
from codellama.models import Model

if TYPE_CHECKING:
    from codellama.engine.load import Loaded

HEARTBEAT = 0.1
# seconds between two empty chunks while a model loads


class LocalBackend:
    """Reads the checkpoint's headers and plans where it goes at once, loads it when first asked to generate.

    Raises InputError for a broken checkpoint, CodellamaError for one that fits nowhere, both before anything heavy.
    """

    def __init__(
        self, model: Model, options: LoadOptions, tokens: int | None = None, machine: Machine | None = None
    ) -> None:
        """`tokens`: what the KV cache must hold; None: the model's whole context."""
        self.model = model
        self.checkpoint = Checkpoint.read(model.home)
        self.plan = plan(self.checkpoint, options, machine or Machine.detect(), tokens or model.context)
        self.notes = self.plan.notes
        self._loaded: Loaded | None = None
        self._loading: SimpleQueue[Progress | Loaded | BaseException] | None = None

    def stream(self, prompt: Prompt, sampling: Sampling, cancelled: Callable[[], bool] = never) -> Iterator[Chunk]:
        limit = room(self.model, prompt, sampling)
        began = perf_counter()
        if self._loaded is None:
            yield from self._load(cancelled)
        if self._loaded is None:
            timings = Timings(load=perf_counter() - began)
            for index in range(sampling.candidates):
                last = index == sampling.candidates - 1
                yield Chunk(index, finish_reason=FinishReason.CANCELLED, timings=timings if last else None)
            return
        seconds = perf_counter() - began

        from codellama.engine.beams import search
        from codellama.engine.generate import OUT_OF_MEMORY, generate
        from codellama.engine.load import release

        sampling = self._with_defaults(sampling)
        exhausted = False
        try:
            write = search if sampling.beams else generate
            yield from write(self._loaded, self.model.tokenizer, prompt, sampling, limit, cancelled, seconds)
        except OUT_OF_MEMORY:
            # recovered outside: the traceback holds the tensors
            exhausted = True
        if exhausted:
            release()
            raise CodellamaError(
                f"out of memory while generating with {self.model.name}: take a shorter prompt, fewer candidates or "
                "beams, --4bit, or a smaller model"
            )

    def _with_defaults(self, sampling: Sampling) -> Sampling:
        """The repetition guards of the model's generation_config.json, where the request names none."""
        defaults = self.checkpoint.generation_defaults
        penalty, ngram = sampling.repetition_penalty, sampling.no_repeat_ngram
        return replace(
            sampling,
            repetition_penalty=defaults.repetition_penalty if penalty is None else penalty,
            no_repeat_ngram=defaults.no_repeat_ngram_size if ngram is None else ngram,
        )

    def _load(self, cancelled: Callable[[], bool]) -> Iterator[Chunk]:
        """Load in a thread, with a chunk at least every HEARTBEAT; where cancelled, loading goes on for the next call.

        The thread is there because importing torch and reading weights give no sign of life for seconds. It ends with
        the loading; generating has none.
        """
        queue = self._loading
        if queue is None:
            queue = self._loading = SimpleQueue()
            Thread(target=_load_into, args=(queue, self.checkpoint, self.plan), daemon=True).start()
        progress = Progress("load")
        while not cancelled():
            try:
                item = queue.get(timeout=HEARTBEAT)
            except Empty:
                item = progress
            if isinstance(item, BaseException):
                self._loading = None
                raise item
            if not isinstance(item, Progress):
                self._loading, self._loaded = None, item
                return
            progress = item
            yield Chunk(progress=progress)


def _load_into(queue: SimpleQueue[Progress | Loaded | BaseException], checkpoint: Checkpoint, plan: Plan) -> None:
    try:
        from codellama.engine.load import load

        queue.put(load(checkpoint, plan, queue.put))
    except BaseException as error:  # noqa: BLE001  raised again in the thread that reads the queue
        queue.put(error)
