"""Measures an exported model, loaded as the program loads it, in one precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from codellama.checkpoint import Checkpoint
from codellama.devices import Machine
from codellama.dialog import Chunk, FinishReason, Sampling
from codellama.engine.beams import search
from codellama.engine.load import load
from codellama.holes import Hole
from codellama.infill import JUDGED, Draw
from codellama.memory import LoadOptions, plan
from codellama.prompts import render

from . import tasks
from .corpus import Document
from .pieces import Encoder
from .tasks import Cut
from .train import bits_per_byte

PRECISIONS = {
    "fp32": LoadOptions(dtype="float32", device="cpu"),
    "bf16": LoadOptions(dtype="bfloat16", device="cpu"),
    "nf4": LoadOptions(quantisation="4bit", device="cpu"),
}
BATCH = 25
PADDING = 0
WITHIN, SEARCHED, LINES, OTHERS = 250, 100, 100, 100  # how many of each are asked
BEAMS = 64
FILL, DOCSTRING, ANSWER, COMPLETION = 48, 60, 256, 128  # ids at most


@dataclass(frozen=True)
class Decoding:
    """Greedy decoding with guards against repetition, as generation_config.json names them."""

    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0


@dataclass(frozen=True)
class Sample:
    """A prompt as it reads, and what the model wrote for it."""

    kind: str
    prompt: str
    text: str
    ids: tuple[int, ...]
    ended: bool


@dataclass(frozen=True)
class Written:
    """Shares of what is written at some length, on which guards against repetition bear."""

    answers: float
    answers_ended: float
    completions_ended: float
    completions_loop: float

    @property
    def worth(self) -> float:
        """What guards are chosen by."""
        return self.answers + self.answers_ended + self.completions_ended - self.completions_loop


@dataclass(frozen=True)
class Figures(Written):
    """Bits per byte, and shares."""

    bits: float
    bits_overlapping: float
    within: float
    within_finished: float
    within_searched: float
    within_suffix_first: float
    within_suffix_first_finished: float
    between_words: float
    rest: float
    lines: float
    lines_suffix_first: float
    lines_finished: float
    docstrings: float
    docstrings_parse: float


class Evaluation:
    def __init__(self, directory: Path, options: LoadOptions) -> None:
        self.encoder = Encoder(directory / "tokenizer.model")
        checkpoint = Checkpoint.read(directory)
        self.context = checkpoint.config.context
        loaded = load(checkpoint, plan(checkpoint, options, Machine.detect(), self.context), lambda _: None)
        self.loaded = replace(loaded, threads=torch.get_num_threads())  # several of these are measured at once
        self.model = self.loaded.model
        self.ends = [self.encoder.eos, self.encoder.end]

    def measure(self, documents: Sequence[Document], decoding: Decoding) -> Figures:
        """All figures. What fills a hole is written without guards, as in the program."""
        within = tasks.within(documents, WITHIN)
        between = tasks.between_words(documents, LINES)
        rest = tasks.within(documents, OTHERS, to_end=True)
        lines = tasks.whole_lines(documents, LINES)
        documented = tasks.docstrings(documents, OTHERS)
        searched = within[:SEARCHED]
        filled = self.infill(within)
        filled_suffix_first = self.infill(within, suffix_first=True)
        lines_suffix_first = self.infill(lines, suffix_first=True)
        docstrings = self.infill(documented, DOCSTRING)
        return Figures(
            **asdict(self.write(documents, decoding)),
            bits=self.bits_per_byte(documents),
            bits_overlapping=self.bits_per_byte(documents, self.context // 2),
            within=_share(_exact(within, _texts(filled))),
            within_finished=_share(_exact(within, self.finish(within, filled))),
            within_searched=_share(_exact(searched, [self.search(cut) for cut in searched])),
            within_suffix_first=_share(_exact(within, _texts(filled_suffix_first))),
            within_suffix_first_finished=_share(_exact(within, self.finish(within, filled_suffix_first))),
            between_words=_share(_exact(between, _texts(self.infill(between)))),
            rest=_share(_exact(rest, _texts(self.infill(rest)))),
            lines=_share(_parse(lines, _texts(self.infill(lines)))),
            lines_suffix_first=_share(_parse(lines, _texts(lines_suffix_first))),
            lines_finished=_share(_parse(lines, self.finish(lines, lines_suffix_first))),
            docstrings=_share([each.ended for each in docstrings]),
            docstrings_parse=_share(_parse(documented, _texts(docstrings))),
        )

    def write(self, documents: Sequence[Document], decoding: Decoding) -> Written:
        """The figures on which guards bear."""
        answers = self.ask(tasks.questions(documents, OTHERS), decoding)
        completions = self.complete(tasks.heads(documents, OTHERS), decoding)
        return Written(
            answers=_share([tasks.one_block(each.text) for each in answers]),
            answers_ended=_share([each.ended for each in answers]),
            completions_ended=_share([each.ended for each in completions]),
            completions_loop=_share([tasks.loops(each.text) for each in completions]),
        )

    def bits_per_byte(self, documents: Sequence[Document], overlap: int = 0) -> float:
        encoded = [[self.encoder.bos, *self.encoder.encode(each.text)] for each in documents]
        size = sum(len(each.text.encode()) for each in documents)

        def loss(ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            logits = self.model(ids).logits.float().flatten(0, 1)
            return torch.nn.functional.cross_entropy(logits, targets.flatten())

        return bits_per_byte(loss, encoded, size, self.context, overlap=overlap)

    def complete(self, texts: Sequence[str], decoding: Decoding, most: int = COMPLETION) -> list[Sample]:
        prompts = [[self.encoder.bos, *self.encoder.encode(text)] for text in texts]
        return self._samples("complete", texts, prompts, decoding, most)

    def infill(self, cuts: Sequence[Cut], most: int = FILL, suffix_first: bool = False) -> list[Sample]:
        prompts = [self.encoder.infill(*cut.near, suffix_first) for cut in cuts]
        texts = ["<FILL_ME>".join(cut.near) for cut in cuts]
        return self._samples("infill", texts, prompts, Decoding(), most)

    def finish(self, cuts: Sequence[Cut], samples: Sequence[Sample]) -> list[str]:
        """The fills as `codellama infill` would give them: ended and cleaned by its rules, id by id."""
        fills = []
        for cut, sample in zip(cuts, samples, strict=True):
            draw = Draw(Hole(cut.prefix, cut.suffix), candidates=1)
            decoder = self.encoder.tokenizer.stream()
            for id in sample.ids:
                draw.add(Chunk(text=decoder.push([id]), ids=(id,)))
                if draw.ended():
                    break
            reason = FinishReason.STOP if sample.ended else FinishReason.LENGTH
            draw.add(Chunk(text=decoder.finish(), finish_reason=reason))
            fills.append(draw.fills()[0].text)
        return fills

    def search(self, cut: Cut) -> str:
        """The fill as `codellama infill --beams` would give it."""
        prompt = render("infill", self.encoder.tokenizer, prefix=cut.near[0], suffix=cut.near[1], suffix_first=True)
        sampling = Sampling(candidates=JUDGED, beams=BEAMS, between=cut.near)
        draw = Draw(Hole(cut.prefix, cut.suffix), JUDGED)
        room = self.context - len(prompt.ids)
        for chunk in search(self.loaded, self.encoder.tokenizer, prompt, sampling, room, lambda: False):
            if chunk.progress is None:
                draw.add(chunk)
        return draw.fills()[0].text

    def ask(self, questions: Sequence[str], decoding: Decoding, most: int = ANSWER) -> list[Sample]:
        encoder = self.encoder
        prompts = [[encoder.bos, *encoder.encode(f"[INST] {question} [/INST]")] for question in questions]
        return self._samples("chat", questions, prompts, decoding, most)

    def _samples(
        self, kind: str, texts: Sequence[str], prompts: list[list[int]], decoding: Decoding, most: int
    ) -> list[Sample]:
        order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
        written: dict[int, Sample] = {}
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            rows = self._batch([prompts[index] for index in chosen], decoding, most)
            for index, ids in zip(chosen, rows, strict=True):
                end = next((at for at, each in enumerate(ids) if each in self.ends), None)
                text = self.encoder.decode_inside(ids[:end])
                written[index] = Sample(kind, texts[index], text, tuple(ids[:end]), end is not None)
        return [written[index] for index in range(len(prompts))]

    def _batch(self, prompts: list[list[int]], decoding: Decoding, most: int) -> list[list[int]]:
        longest = max(map(len, prompts))
        padded = [[PADDING] * (longest - len(ids)) + ids for ids in prompts]
        mask = [[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts]
        with torch.inference_mode():
            made = self.model.generate(  # type: ignore[misc]
                torch.tensor(padded),
                attention_mask=torch.tensor(mask),
                max_new_tokens=min(most, self.context - longest),
                do_sample=False,
                repetition_penalty=decoding.repetition_penalty,
                no_repeat_ngram_size=decoding.no_repeat_ngram_size,
                eos_token_id=self.ends,
                pad_token_id=PADDING,
            )
        rows: list[list[int]] = made[:, longest:].tolist()
        return rows


def _texts(samples: Sequence[Sample]) -> list[str]:
    return [each.text for each in samples]


def _exact(cuts: Sequence[Cut], fills: Sequence[str]) -> list[bool]:
    return [fill == cut.middle for cut, fill in zip(cuts, fills, strict=True)]


def _parse(cuts: Sequence[Cut], fills: Sequence[str]) -> list[bool]:
    return [cut.parses(fill) for cut, fill in zip(cuts, fills, strict=True)]


def _share(found: Sequence[bool]) -> float:
    return sum(found) / len(found)
