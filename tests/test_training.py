"""The parts of the training that decide what the built-in model sees, on a small corpus."""

from __future__ import annotations

import math
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from codellama.holes import Hole
from tests.harness import TINY
from training import corpus, tasks
from training.attention import apart, attend
from training.corpus import Document, Part
from training.cuts import RESUMED, cut
from training.holes import LINE, Holes, between_words, in_line, whole_lines
from training.network import EMBEDDINGS, Network, Shape
from training.pieces import Encoder
from training.recipe import Phase, Recipe, read_phases
from training.samples import ANSWER, COPIED, EDGE, MIDDLE, Mix, Samples, brief
from training.train import LOG, Run, bits_per_byte, read_log, write_log
from training.worker import network_for

MODULE = '''"""A module about shapes."""

import math


def area(radius):
    """Return the area of a circle.

    The radius is a number.
    """
    squared = radius * radius
    return math.pi * squared


class Shape:
    """A shape with a name."""

    def __init__(self, name):
        self.name = name

    def describe(self, prefix):
        """Describe the shape in words."""
        if prefix:
            return prefix + self.name
        return self.name
'''
MIX = Mix(2.0, 0.4, (("infill", 0.5), ("request", 0.3), ("function", 0.2)), (40, 300))


def document(name: str = "shapes", text: str = MODULE) -> Document:
    made = corpus.module(f"{name}.py", text.encode())
    assert made is not None
    return made


@pytest.fixture(scope="module")
def samples() -> Samples:
    return Samples(Encoder(TINY / "tokenizer.model"), [document()], [2.0], MIX, seed=1)


def test_parts_depend_on_the_name_alone() -> None:
    assert corpus.part("heapq") is corpus.part("os") is Part.HELD_OUT
    assert corpus.part("argparse") is Part.VALIDATION
    assert corpus.part("functools") is Part.TRAINING


def test_copies_of_kept_modules_are_left_out() -> None:
    vendored = document("vendored", "# a copy\n" + MODULE)
    other = document("other", MODULE.replace("shape", "figure").replace("name", "label").replace("radius", "r"))
    assert corpus.without_copies([vendored, other], [document()]) == [other]
    assert corpus.without_copies([document(), vendored], []) == [document()]


def test_tables_tests_and_what_is_no_python_are_left_out() -> None:
    table = "codes = {\n" + "".join(f"    {n}: {n + 1},\n" for n in range(99)) + "}\n"
    assert corpus.module("codes.py", table.encode()) is None
    assert corpus.module("package/tests/shapes.py", MODULE.encode()) is None
    assert corpus.module("shapes.py", b"def area(:\n" * 20) is None


@pytest.mark.parametrize("seed", range(30))
def test_a_hole_in_a_line_is_of_its_content(seed: int) -> None:
    draw = random.Random(seed)
    line = draw.choice([match for match in LINE.finditer(MODULE) if len(match.group().strip()) > 1])
    prefix, middle, suffix = in_line(MODULE, line, draw)
    assert prefix + middle + suffix == MODULE
    assert middle
    assert "\n" not in middle
    assert suffix[0] != "\n"
    assert prefix.rpartition("\n")[2].strip() or not middle[0].isspace()


@pytest.mark.parametrize(
    ("hole", "between"),
    [
        (("return se", "lf.na", "me\n"), ("return ", "self.", "name\n")),
        (("return self", ".name", "[0]\n"), ("return self", ".name", "[0]\n")),
        (("a\nre", "tu", "rn\n"), ("a\nre", "tu", "rn\n")),
        (("x = f", "oo", "\ny\n"), ("x = ", "foo", "\ny\n")),
    ],
)
def test_a_hole_between_words(hole: tuple[str, str, str], between: tuple[str, str, str]) -> None:
    assert between_words(hole) == between


@pytest.mark.parametrize("seed", range(30))
def test_whole_lines_are_cut_as_the_program_cuts_them(seed: int) -> None:
    prefix, middle, suffix = whole_lines(MODULE, random.Random(seed))
    assert prefix + middle + suffix == MODULE
    assert not prefix or prefix.endswith("\n")
    assert suffix.startswith("\n") or middle.endswith("\n") or not suffix


@pytest.mark.parametrize("seed", range(60))
def test_holes_are_parts_of_a_text(seed: int) -> None:
    prefix, middle, suffix = Holes([document()], [1.0]).draw(random.Random(seed), (100, 400))
    assert (prefix + middle + suffix).strip()


def test_an_infill_counts_what_fills_the_hole(samples: Samples) -> None:
    encoder = samples.encoder
    made = samples.infill("def area(", "radius", "):\n", suffix_first=False)
    assert made.ids == [*encoder.infill("def area(", "):\n", False), *encoder.encode_inside("radius"), encoder.end]
    answer = [*encoder.encode_inside("radius"), encoder.end]
    assert made.weights == [1] * (len(made) - len(answer)) + [EDGE] + [MIDDLE] * (len(answer) - 2) + [EDGE]
    assert samples.infill("def area(", "", "):\n", suffix_first=False).weights[-2:] == [1, EDGE]


def test_a_recall_has_the_text_above_its_hole_and_counts_what_fills_it(samples: Samples) -> None:
    encoder = samples.encoder
    made = samples.recall("def area(", "radius", "):\n", suffix_first=True)
    whole = [encoder.bos, *encoder.encode("def area(radius):\n"), encoder.eos]
    hole = samples.infill("def area(", "radius", "):\n", suffix_first=True)
    assert made.ids == whole + hole.ids
    assert made.weights == [1] * len(whole) + [weight if weight > 1 else 0 for weight in hole.weights]


def test_a_copy_counts_from_its_second_id_on(samples: Samples) -> None:
    for seed in range(20):
        made = samples.copy(random.Random(seed))
        length = sum(made.weights) + 1
        assert made.weights == [0] * (len(made) - length + 1) + [1] * (length - 1)
        assert made.ids[1 : length + 1] == made.ids[-length:]
        assert made.ids[0] == samples.encoder.bos
        assert COPIED[0] <= length <= COPIED[1]


@pytest.mark.parametrize("seed", range(20))
def test_an_infill_can_be_ordered_as_the_program_orders_it(samples: Samples, seed: int) -> None:
    mix = replace(MIX, shares=(("infill", 1.0),), ordered=1.0)
    ordered = Samples(samples.encoder, [document()], [2.0], mix, seed=1)
    prefix, middle, suffix = ordered.holes.draw(random.Random(seed), mix.spans)
    starts_line = Hole(prefix, suffix).starts_line
    assert ordered.sample("infill", random.Random(seed)) == samples.infill(prefix, middle, suffix, starts_line)


def test_rows_are_the_same_for_the_same_place(samples: Samples) -> None:
    again = Samples(samples.encoder, [document()], [2.0], MIX, seed=1)
    ids, weights, numbers = samples.rows(8, 6, 128)
    assert (ids == again.rows(8, 6, 128)[0]).all()
    assert (ids != samples.rows(16, 6, 128)[0]).any()
    assert ids.shape == weights.shape == numbers.shape == (6, 129)
    assert set(weights.flatten().tolist()) <= {0, 1, ANSWER, MIDDLE, EDGE}
    assert not weights[ids == samples.encoder.middle].any()


@pytest.mark.parametrize("seed", range(20))
def test_a_text_in_parts_is_the_whole_text(samples: Samples, seed: int) -> None:
    encoder = samples.encoder
    ids, weights = cut(encoder, MODULE, 30, random.Random(seed))
    assert (ids[0], ids[-1], len(ids)) == (encoder.bos, encoder.eos, len(weights))
    assert encoder.tokenizer.decode(ids[1:-1]) == MODULE
    assert RESUMED in weights


@pytest.mark.parametrize(
    ("before", "behind", "counted"),
    [
        ("x = ra", "dius", [1, 1, 0, 0]),  # "▁", "ra" for what begins with "▁r"
        ("x = ", "radius", [1, 1, 0]),  # the space belongs to the word's first piece
        ("x = se", "lf", [1, 1, 0]),
        ("x =", " radius", [1, 1]),
        ("x = self", ".name", [1, 1, 1]),  # in a word, but where pieces meet anyway
        ("x = 1\n", "radius", [1] * 5),
    ],
)
def test_what_a_cut_breaks_does_not_count(samples: Samples, before: str, behind: str, counted: list[int]) -> None:
    encoder = samples.encoder
    ids = [encoder.bos, *encoder.encode(before), *encoder.encode_inside(behind), encoder.eos]
    made = (cut(encoder, before + behind, 6, random.Random(seed)) for seed in range(1000))
    place = len(encoder.encode(before)) + 1
    once_there = [weights for cut_ids, weights in made if cut_ids == ids and weights.count(RESUMED) == 1]
    weights = next(each for each in once_there if each[place] == RESUMED)
    assert weights == [1, *counted, RESUMED] + [1] * (len(ids) - place - 1)


def test_running_text_in_parts_has_its_weights(samples: Samples) -> None:
    in_parts = Samples(samples.encoder, [document()], [4.0], replace(MIX, text=1.0, cuts=30.0), seed=1)
    ids, weights, _ = in_parts.rows(0, 4, 64)
    assert {0, 1, RESUMED} == set(weights.flatten().tolist())
    start = next(at for at in range(len(in_parts.text)) if (in_parts.text[at : at + 65] == ids[2]).all())
    expected = in_parts.counted[start : start + 65].copy()
    expected[ids[2] == samples.encoder.bos] = 0
    assert (weights[2] == expected).all()


def test_an_answer_has_a_docstring_of_one_paragraph() -> None:
    area = next(each for each in document().functions if each.name == "area")
    assert '"""Return the area of a circle."""\n    squared' in brief(area).source


def test_a_step_has_its_place_in_a_phase() -> None:
    recipe = Recipe(phases=(Phase(4, 16, 2, MIX), Phase(2, 32, 2, MIX)), warmup=1, rates=((128, 1.0), (256, 0.0)))
    assert (recipe.steps, recipe.ids) == (6, 256)
    assert [recipe.place(step).row for step in range(6)] == [0, 2, 4, 6, 0, 2]
    assert recipe.place(5).ids == 192
    assert [recipe.rate(step) for step in range(6)] == [1, 1, 1, 1, 1, 0.5]


def test_a_new_beginning_warms_up_again_and_takes_other_rows() -> None:
    recipe = Recipe(
        phases=(Phase(4, 16, 2, MIX), Phase(2, 16, 2, MIX, row=8)),
        anew=(4,),
        warmup=2,
        rates=((127, 1.0), (128, 0.8), (192, 0.8)),
    )
    assert [recipe.place(step).row for step in range(6)] == [0, 2, 4, 6, 8, 10]
    assert [recipe.rate(step) for step in range(6)] == [0.5, 1, 1, 1, 0.5, 0.8]


def test_a_table_of_phases(tmp_path: Path) -> None:
    head = "steps,ids_in_a_row,rows_in_a_step,first_row,favour,text,infill,recall,request,function,copy"
    head += ",shortest,longest,suffix_first,ordered,cuts"
    values = [9, 512, 16, 32, 4.0, 0.5, 0.6, 0, 0.3, 0.1, 0, 40, 900, 0.3, 0.2, 100.0]
    table = tmp_path / "phases.csv"
    table.write_text(f"{head}\n{','.join(map(str, values))}\n")
    shares = (("infill", 0.6), ("request", 0.3), ("function", 0.1))
    assert read_phases(table) == (Phase(9, 512, 16, Mix(4.0, 0.5, shares, (40, 900), 0.3, 0.2, 100.0), row=32),)


def test_the_recipe_uses_no_row_of_a_mix_twice() -> None:
    seen: set[tuple[Mix, int, int]] = set()
    for phase in Recipe().phases:
        rows = {(phase.mix, phase.sequence, phase.row + number) for number in range(phase.steps * phase.rows)}
        assert not rows & seen
        seen |= rows


def test_the_recipe_reads_on_in_the_running_text() -> None:
    """A window of the text comes again only after a pass over all of them, but for a few where phases meet."""
    seen: dict[float, int] = {}
    for phase in [each for each in Recipe().phases if each.sequence == 1024]:
        assert phase.row * phase.mix.text >= 0.9 * seen.get(phase.mix.favour, 0)
        seen[phase.mix.favour] = int((phase.row + phase.steps * phase.rows) * phase.mix.text)


@pytest.mark.parametrize("length", [1, 127, 128, 300])
def test_attention_is_that_of_torch_and_so_is_its_gradient(length: int) -> None:
    draw = torch.Generator().manual_seed(1)
    queries, pull = (torch.randn(2, 6, length, 8, generator=draw) for _ in range(2))
    keys, values = (torch.randn(2, 2, length, 8, generator=draw) for _ in range(2))
    given = [each.requires_grad_() for each in (queries, keys, values)]
    own = attend(queries, keys, values)
    shared_keys, shared_values = (each.repeat_interleave(3, dim=1) for each in (keys, values))
    reference = torch.nn.functional.scaled_dot_product_attention(queries, shared_keys, shared_values, is_causal=True)
    torch.testing.assert_close(own, reference)
    gradients = (torch.autograd.grad((each * pull).sum(), given) for each in (own, reference))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_sample_sees_nothing_of_the_others_in_its_row() -> None:
    torch.manual_seed(1)
    network = Network(Shape(64, hidden=16, layers=2, heads=2, kv_heads=1, intermediate=8, context=200))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    ids = torch.randint(64, (2, 200))
    numbers = torch.tensor([[0] * 150 + [1] * 50, [3] * 130 + [4] * 70])
    together = network(ids, numbers)
    for row, border in ((0, 150), (1, 130)):
        torch.testing.assert_close(together[row, :border], network(ids[row : row + 1, :border])[0])
    alone = torch.nn.functional.scaled_dot_product_attention
    draw = torch.Generator().manual_seed(2)
    queries, keys, values = (torch.randn(2, 2, 200, 8, generator=draw).requires_grad_() for _ in range(3))
    own = attend(queries, keys, values, apart(numbers, torch.float32))
    reference = alone(queries[1:, :, 130:], keys[1:, :, 130:], values[1:, :, 130:], is_causal=True)
    torch.testing.assert_close(own[1:, :, 130:], reference)
    (gradient,) = torch.autograd.grad(own[:, :, 160:].sum(), [keys])
    assert gradient[1, :, 130:].any()
    assert not gradient[0, :, :150].any()
    assert not gradient[1, :, :130].any()


def test_rows_say_which_sample_an_id_is_of(samples: Samples) -> None:
    ids, _, numbers = Samples(samples.encoder, [document()], [4.0], MIX, seed=1).rows(0, 12, 128)
    begins = numbers[:, 1:] != numbers[:, :-1]
    assert (ids[:, 1:][begins] == samples.encoder.bos).all()
    assert begins.any()
    turns = (ids[:, 1:] == samples.encoder.bos) & ~begins
    assert turns.sum() < begins.sum()  # of a dialog's turns and of texts above their own holes


def test_a_network_takes_what_it_exported() -> None:
    network = Network(Shape(64, hidden=16, layers=1, heads=2, kv_heads=1, intermediate=8, context=8))
    exported = network.exported(60)
    assert {len(exported[name]) for name in EMBEDDINGS} == {60}
    network.adopt(exported)
    again = network.exported(64)
    for name, tensor in exported.items():
        assert torch.equal(again[name][:60] if name in EMBEDDINGS else again[name], tensor)
    assert not any(again[name][60:].any() for name in EMBEDDINGS)


def test_a_second_beginning_takes_the_log_as_far_as_it_goes(tmp_path: Path) -> None:
    encoder = Encoder(TINY / "tokenizer.model")
    recipe = Recipe()
    run = Run(network_for(encoder), len(encoder), recipe, tmp_path / "checkpoint.pt", lambda: 0.0, TINY)
    assert run.step == run.log[-1]["step"] == recipe.anew[-1]
    assert run.seconds == run.log[-1]["seconds"] < read_log(LOG)[-1]["seconds"]
    assert torch.equal(
        run.network.model.norm.weight, load_file(TINY / "model.safetensors")["model.norm.weight"].float()
    )


@pytest.mark.parametrize(("context", "overlap"), [(8, 0), (8, 4), (8, 7), (99, 50)])
def test_each_id_counts_once_and_with_what_stands_before_it(context: int, overlap: int) -> None:
    counted: list[int] = []

    def loss(ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        assert ids.shape == targets.shape
        chosen = targets[targets != -100]
        assert len(chosen) == len(targets[0]) or ids.shape[1] - len(chosen) == overlap
        counted.extend(chosen.tolist())
        return torch.tensor(math.log(2))

    texts = [[1, *range(10, 10 + length)] for length in (1, 4, 5, 8, 9, 12, 13, 40)]
    assert bits_per_byte(loss, texts, 46, context, overlap=overlap) == pytest.approx(2)
    assert counted == [id for text in texts for id in text[1:]]


def test_a_log_is_read_as_it_was_written(tmp_path: Path) -> None:
    log = read_log(LOG)
    assert log[-1]["step"] == int(log[-1]["step"])
    write_log(log, tmp_path / "log.csv")
    assert (tmp_path / "log.csv").read_text() == LOG.read_text()


def test_what_counts_as_an_answer() -> None:
    assert tasks.one_block(" ```python\nx = 1\n```\nIt sets x.")
    assert not tasks.one_block("```python\nx =\n```")
    assert not tasks.one_block("```python\nx = 1\n```\n```python\ny = 1\n```")
    assert tasks.loops("self.value = value\n" * 5)


def test_tasks_are_the_same_each_time() -> None:
    documents = [document()]
    assert tasks.within(documents, 9) == tasks.within(documents, 9)
    for each in tasks.whole_lines(documents, 9):
        assert each.parses(each.middle)
        assert each.prefix + each.middle + each.suffix == MODULE
    found = tasks.docstrings(documents, 2)
    assert found
    assert all(cut.prefix.endswith('"""') and cut.suffix.startswith('"""') for cut in found)


def test_packages_are_pinned() -> None:
    pins = (Path(__file__).parents[1] / "training/packages.txt").read_text().splitlines()
    assert pins == sorted(pins)
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+", each) for each in pins)
