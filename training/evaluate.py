"""Measures an exported model on the held-out modules, through transformers, as any other program would run it."""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import LlamaForCausalLM

from .corpus import Document, Function
from .pieces import Encoder
from .requests import dialog
from .train import bits_per_byte

SIDES = (1200, 500)  # characters kept before and behind a hole
SEED = 7
BATCH = 20
PADDING = 0


@dataclass(frozen=True)
class Sample:
    """A prompt as it reads, and what the model wrote for it."""

    kind: str
    prompt: str
    text: str
    ended: bool


class Evaluation:
    def __init__(self, directory: Path, documents: Sequence[Document]) -> None:
        self.encoder = Encoder(directory / "tokenizer.model")
        self.model = LlamaForCausalLM.from_pretrained(directory, dtype=torch.float32)
        self.context = self.model.config.max_position_embeddings
        self.documents = documents
        self.ends = [self.encoder.eos, self.encoder.end]

    def generate(self, prompts: Sequence[list[int]], most: int, penalty: float) -> list[tuple[str, bool]]:
        """The greedy continuations, and whether each ended by itself."""
        order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
        written: dict[int, tuple[str, bool]] = {}
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            for index, ids in zip(
                chosen, self._batch([prompts[index] for index in chosen], most, penalty), strict=True
            ):
                end = next((at for at, each in enumerate(ids) if each in self.ends), None)
                written[index] = self.encoder.decode_inside(ids[:end]), end is not None
        return [written[index] for index in range(len(prompts))]

    def _batch(self, prompts: list[list[int]], most: int, penalty: float) -> list[list[int]]:
        longest = max(map(len, prompts))
        padded = [[PADDING] * (longest - len(ids)) + ids for ids in prompts]
        mask = [[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts]
        with torch.inference_mode():
            made = self.model.generate(  # type: ignore[misc]
                torch.tensor(padded),
                attention_mask=torch.tensor(mask),
                max_new_tokens=min(most, self.context - longest),
                do_sample=False,
                repetition_penalty=penalty,
                eos_token_id=self.ends,
                pad_token_id=PADDING,
            )
        rows: list[list[int]] = made[:, longest:].tolist()
        return rows

    def complete(self, texts: Sequence[str], most: int = 128, penalty: float = 1.0) -> list[Sample]:
        prompts = [[self.encoder.bos, *self.encoder.encode(text)] for text in texts]
        return self._samples("complete", texts, prompts, most, penalty)

    def infill(
        self, holes: Sequence[tuple[str, str]], most: int = 60, penalty: float = 1.0, suffix_first: bool = False
    ) -> list[Sample]:
        prompts = [self.encoder.infill(prefix, suffix, suffix_first) for prefix, suffix in holes]
        texts = ["<FILL_ME>".join(hole) for hole in holes]
        return self._samples("infill", texts, prompts, most, penalty)

    def ask(self, questions: Sequence[str], most: int = 300, penalty: float = 1.0) -> list[Sample]:
        encoder = self.encoder
        prompts = [[encoder.bos, *encoder.encode(f"[INST] {question} [/INST]")] for question in questions]
        return self._samples("chat", questions, prompts, most, penalty)

    def _samples(
        self, kind: str, texts: Sequence[str], prompts: list[list[int]], most: int, penalty: float
    ) -> list[Sample]:
        written = self.generate(prompts, most, penalty)
        return [Sample(kind, text, made, ended) for text, (made, ended) in zip(texts, written, strict=True)]

    def bits_per_byte(self) -> float:
        encoded = [[self.encoder.bos, *self.encoder.encode(each.text)] for each in self.documents]
        size = sum(len(each.text.encode()) for each in self.documents)

        def loss(ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            logits = self.model(ids).logits.flatten(0, 1)
            return torch.nn.functional.cross_entropy(logits, targets.flatten())

        return bits_per_byte(loss, encoded, size, self.context)

    def holes(self, within: bool, count: int = 100) -> list[tuple[str, str, str]]:
        """Holes in one line of code: 2 to 24 characters within it, or from some character to the line's end."""
        draw = random.Random(SEED + within)
        holes: list[tuple[str, str, str]] = []
        while len(holes) < count:
            text = draw.choice(self.documents).text
            line = draw.choice([match for match in re.finditer(r"[^\n]+", text) if match.group().strip()])
            indent = len(line.group()) - len(line.group().lstrip())
            if len(line.group()) - indent < 12 or line.group().lstrip().startswith("#"):
                continue
            start = draw.randint(line.start() + indent, line.end() - 6)
            end = min(start + draw.randint(2, 24), line.end() - 2) if within else line.end()
            holes.append((text[max(0, start - SIDES[0]) : start], text[start:end], text[end : end + SIDES[1]]))
        return holes

    def exact(self, holes: Sequence[tuple[str, str, str]], penalty: float = 1.0, suffix_first: bool = False) -> float:
        """The share of holes filled with what stood there."""
        filled = self.infill([(prefix, suffix) for prefix, _, suffix in holes], 32, penalty, suffix_first)
        return sum(each.text == middle for each, (_, middle, _) in zip(filled, holes, strict=True)) / len(holes)

    def documented(self, count: int) -> list[Function]:
        """Held-out functions with a docstring, half of them no methods where there are enough."""
        draw = random.Random(SEED + 2)
        found = [
            each
            for document in self.documents
            for each in document.functions
            if each.docstring and each.lines <= 25 and not each.decorated and '"""' in each.source
        ]
        draw.shuffle(found)
        plain = [each for each in found if not each.method][: count // 2]
        return [*plain, *(each for each in found if each.method)][:count]

    def docstrings(self, count: int = 60, penalty: float = 1.0) -> list[Sample]:
        """Fills of empty docstrings whose closing quotes are the model's to write."""
        holes = []
        for function in self.documented(count):
            head, _, rest = function.source.partition('"""')
            holes.append((head + '"""', rest.partition('"""')[2] + "\n"))
        return self.infill(holes, 60, penalty)

    def answers(self, count: int = 40, penalty: float = 1.0) -> list[Sample]:
        """Answers to requests for held-out functions, without a system message."""
        draw = random.Random(SEED + 3)
        questions = []
        for function in self.documented(4 * count):
            question, answer = dialog(function, draw)
            if "```" in answer and "<<SYS>>" not in question:
                questions.append(question)
        return self.ask(questions[:count], 300, penalty)

    def completions(self, count: int = 40, penalty: float = 1.0) -> list[Sample]:
        """What follows the first lines of held-out functions."""
        heads = [each.source.split('"""')[0] for each in self.documented(4 * count) if not each.method]
        return self.complete([head.rstrip(" ") for head in heads[:count]], 128, penalty)


def ends_itself(samples: Sequence[Sample]) -> float:
    return sum(each.ended for each in samples) / len(samples)


def loops(samples: Sequence[Sample]) -> float:
    """The share of texts that say one thing again and again: five equal lines, or a short run six times over."""
    return sum(map(_loops, (each.text for each in samples))) / len(samples)


def _loops(text: str) -> bool:
    lines = [line.strip() for line in text.splitlines() if len(line.strip()) > 3]
    often = max(map(lines.count, lines), default=0)
    return often >= 5 or re.search(r"(\S.{2,60}?)\1{5,}", text, re.DOTALL) is not None


def parses(text: str) -> bool:
    """Whether an answer holds exactly one fenced block, and that is Python."""
    blocks = re.findall(r"```python\n(.*?)\n```", text, re.DOTALL)
    if len(blocks) != 1 or text.count("```") != 2:
        return False
    try:
        return bool(ast.parse(blocks[0]).body)
    except (SyntaxError, ValueError):
        return False
