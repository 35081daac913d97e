"""`codellama attention`: the mask against transformers', the weights against its eager attention, and what is shown."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codellama import app, grid, mask, picture, prompts, viewport
from codellama.commands.options import Run
from codellama.console import Console
from codellama.dialog import Message
from codellama.errors import CodellamaError
from codellama.grid import Grid, Palette
from codellama.heat import STEPS, Pooled, least, shade
from codellama.mask import Mask, Region, Token
from codellama.preview import cells
from codellama.sanitiser import sanitise
from codellama.tokenizer import Tokenizer
from codellama.viewport import State, press
from tests.harness import TINY, Cli
from tests.terminal import Screen, Terminal, run

PLAIN = Palette(colour=False)
COLOURS = Palette(colour=True, deep=True)


def of(count: int, *, prefix: int | None = None, piece: str = "a") -> Mask:
    """`<s>`, a prefix and a suffix."""
    prefix = count // 2 if prefix is None else prefix
    regions = [Region("bos", "control", 0, 1), Region("prefix", "prefix", 1, 1 + prefix)]
    regions.append(Region("suffix", "suffix", 1 + prefix, count))
    tokens = tuple(Token(at, piece) for at in range(count))
    return Mask(tokens, tuple(region for region in regions if region.start < region.stop))


class Flat:
    """Each token attends to all that it sees alike; remembers the most rows it was asked for at once."""

    layer = head = 0

    def __init__(self, size: int) -> None:
        self.size, self.most = size, 0

    def rows(self, start: int, stop: int) -> numpy.ndarray[Any, Any]:
        self.most = max(self.most, stop - start)
        seen = numpy.arange(self.size) <= numpy.arange(start, stop)[:, None]
        rows: numpy.ndarray[Any, Any] = (seen / seen.sum(axis=1, keepdims=True)).astype(numpy.float32)
        return rows


class Drawn:
    """Weights without any order in them."""

    layer = head = 0

    def __init__(self, size: int) -> None:
        self.size = size
        self._all = numpy.tril(numpy.random.default_rng(size).random((size, size), dtype=numpy.float32))

    def rows(self, start: int, stop: int) -> numpy.ndarray[Any, Any]:
        return self._all[start:stop]


# --------------------------------------------------------------------------------------------------------- the mask


@pytest.mark.parametrize("suffix_first", [False, True])
def test_the_mask_is_transformers_own(tiny_tokenizer: Tokenizer, suffix_first: bool) -> None:
    import torch
    from transformers import LlamaConfig
    from transformers.masking_utils import create_causal_mask

    made = prompts.render(
        "infill", tiny_tokenizer, prefix="def f(x):\n    return ", suffix="\n\nf(1)\n", suffix_first=suffix_first
    )
    seen = mask.of(made, tiny_tokenizer)
    count = len(made.ids)
    config = LlamaConfig(hidden_size=8, num_attention_heads=1, num_hidden_layers=1)
    config._attn_implementation = "eager"
    theirs = create_causal_mask(
        config=config, inputs_embeds=torch.zeros(1, count, 8), attention_mask=torch.ones(1, count, dtype=torch.long),
        past_key_values=None,
    )  # fmt: skip
    assert isinstance(theirs, torch.Tensor)
    assert theirs.shape == (1, 1, count, count)
    for row in range(count):
        for column in range(count):
            assert seen.sees(row, column) is (theirs[0, 0, row, column].item() == 0)


def test_tokens_and_regions_of_an_infill_prompt(tiny_tokenizer: Tokenizer) -> None:
    made = prompts.render("infill", tiny_tokenizer, prefix="x = ", suffix="\n")
    seen = mask.of(made, tiny_tokenizer)
    assert [token.id for token in seen.tokens] == list(made.ids)
    assert [token.piece for token in seen.tokens] == ["<s>", "▁<PRE>", "▁x", "▁=", "▁", "▁<SUF>", "<0x0A>", "▁<MID>"]
    assert [(each.label, each.kind, each.start, each.stop) for each in seen.regions] == [
        ("bos", "control", 0, 1), ("pre", "control", 1, 2), ("prefix", "prefix", 2, 5), ("suf", "control", 5, 6),
        ("suffix", "suffix", 6, 7), ("mid", "control", 7, 8),
    ]  # fmt: skip
    assert [seen.region(at).label for at in range(8)] == [
        "bos", "pre", "prefix", "prefix", "prefix", "suf", "suffix", "mid",
    ]  # fmt: skip


def test_an_empty_part_is_no_region_and_turns_are_numbered(tiny_tokenizer: Tokenizer) -> None:
    empty = mask.of(prompts.render("infill", tiny_tokenizer, prefix="", suffix=""), tiny_tokenizer)
    assert [region.label for region in empty.regions] == ["bos", "pre", "suf", "mid"]
    talk = [Message("user", "a"), Message("assistant", "b"), Message("user", "c"), Message("assistant", "d")]
    turns = mask.of(prompts.render("instruct", tiny_tokenizer, dialog=[*talk, Message("user", "e")]), tiny_tokenizer)
    assert [each.label for each in turns.regions] == [
        "bos", "turn 1", "eos", "bos", "turn 2", "eos", "bos", "user",
    ]  # fmt: skip
    assert {each.kind for each in turns.regions} == {"control", "turn", "user"}


# ------------------------------------------------------------------------------------------------------- the weights


@pytest.mark.parametrize(("dtype", "count"), [("float32", 40), ("float32", 700), ("auto", 700)])
def test_weights_are_those_of_eager_attention(dtype: str, count: int) -> None:
    """Every head of every layer, bit for bit; the layers before run in transformers' own code on either side."""
    import torch

    from codellama.checkpoint import Checkpoint
    from codellama.devices import Machine
    from codellama.engine.attention import attention
    from codellama.engine.load import load
    from codellama.memory import LoadOptions, plan

    checkpoint = Checkpoint.read(TINY)
    machine = Machine((), 8 * 10**9, 8 * 10**9)
    loaded = load(checkpoint, plan(checkpoint, LoadOptions(dtype=dtype), machine, 1024), lambda progress: None)
    ids = [1, *(100 + 7 * at % 3900 for at in range(count - 1))]
    said: list[int] = []
    found = {
        (layer, head): attention(loaded, ids, layer, head, lambda progress: said.append(progress.done))
        for layer in range(4) for head in range(6)
    }  # fmt: skip
    assert loaded.model.config._attn_implementation == "sdpa"
    assert set(said) == ({0} if count < 512 else {0, 512})
    loaded.model.set_attn_implementation("eager")
    with torch.inference_mode():
        theirs = loaded.model(input_ids=torch.tensor([ids]), output_attentions=True, use_cache=False).attentions
    for (layer, head), weights in found.items():
        assert (weights.layer, weights.head, weights.size) == (layer, head, count)
        expected = theirs[layer][0, head].float().numpy()
        assert numpy.array_equal(weights.rows(0, count), expected)
        # a few rows by themselves; a product of another shape may be rounded otherwise
        assert numpy.allclose(weights.rows(7, 21), expected[7:21], rtol=1e-2 if dtype == "auto" else 1e-5, atol=1e-6)
    assert not numpy.array_equal(found[0, 0].rows(0, count), found[0, 1].rows(0, count))


def test_memory_that_runs_out_leaves_the_model_as_it_was() -> None:
    from codellama.checkpoint import Checkpoint
    from codellama.devices import Machine
    from codellama.engine.attention import attention
    from codellama.engine.load import load
    from codellama.memory import LoadOptions, plan

    def full(progress: object) -> None:
        raise MemoryError

    checkpoint = Checkpoint.read(TINY)
    loaded = load(
        checkpoint, plan(checkpoint, LoadOptions(), Machine((), 8 * 10**9, 8 * 10**9), 1024), lambda progress: None
    )
    with pytest.raises(CodellamaError, match="out of memory while reading the prompt"):
        attention(loaded, [1, 2, 3], 1, 1, full)
    assert loaded.model.config._attn_implementation == "sdpa"
    layer = loaded.model.model.layers[1].self_attn
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in layer.modules())


def test_shades() -> None:
    assert [shade(least(step)) for step in range(STEPS)] == list(range(STEPS))
    assert (shade(0.0), shade(1.0), shade(-1e-9), shade(0.0099)) == (0, STEPS - 1, 0, 0)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 9))
def test_pooled_weights_are_the_largest_of_a_block(size: int, scale: int) -> None:
    drawn = Drawn(size)
    every = drawn.rows(0, size)
    pooled = Pooled(drawn)
    for row in range(-(-size // scale)):
        block = every[row * scale : (row + 1) * scale]
        expected = [float(block[:, at : at + scale].max()) for at in range(0, size, scale)]
        assert pooled.row(row, scale) == expected
        assert pooled.row(row) == every[row].tolist()
        # as it was kept
        assert pooled.row(row, scale) == expected


def test_pooling_keeps_few_rows_and_asks_for_few_at_once() -> None:
    flat = Flat(2000)
    pooled = Pooled(flat)
    for row in range(600):
        pooled.row(row)
    assert len(pooled._kept) == Pooled.KEPT
    pooled.row(0, 2000)
    assert flat.most == Pooled.PORTION


# ---------------------------------------------------------------------------------------------------------- the grid


def test_a_grid_in_full() -> None:
    assert list(grid.whole(Grid(of(5), None, PLAIN))) == [
        "        b pre suf",
        "        0",
        "  0 0 a ◆ · · · ·",
        "  1 1 a ■ ◆ · · ·",
        "  2 2 a ■ ■ ◆ · ·",
        "  3 3 a ■ ■ ■ ◆ ·",
        "  4 4 a ■ ■ ■ ■ ◆",
    ]


def test_a_heat_map_in_full() -> None:
    assert list(grid.whole(Grid(of(5), Pooled(Flat(5)), PLAIN)))[2:] == [
        "  0 0 a 9",
        "  1 1 a 7 7",
        "  2 2 a 5 5 5",
        "  3 3 a 5 5 5 5",
        "  4 4 a 4 4 4 4 4",
    ]


def test_cells_are_those_of_transformers_visualizer(tiny_tokenizer: Tokenizer) -> None:
    import torch
    from transformers.utils.attention_visualizer import generate_attention_matrix_from_mask

    seen = mask.of(prompts.render("infill", tiny_tokenizer, prefix="x = ", suffix="\ny = 1\n"), tiny_tokenizer)
    count = len(seen.tokens)
    theirs: str = generate_attention_matrix_from_mask(  # type: ignore[no-untyped-call]
        [token.piece for token in seen.tokens], torch.tril(torch.ones(count, count))
    )
    rows = [re.sub(r"\x1b\[92m■\x1b\[0m", "◆", row).replace("⬚", "·") for row in theirs.splitlines()[-count:]]
    ours = list(grid.whole(Grid(seen, None, PLAIN)))[-count:]
    assert [re.findall("[■◆·]", row) for row in rows] == [re.findall("[■◆·]", row) for row in ours]


def test_regions_have_colours_and_nothing_else_changes() -> None:
    seen = of(9)
    for heat in (None, Pooled(Flat(9))):
        plain, coloured = Grid(seen, heat, PLAIN), Grid(seen, heat, COLOURS)
        screen = Screen(80, 40).feed("\r\n".join(grid.whole(coloured)).encode())
        if heat is None:
            assert [line.rstrip() for line in screen.lines] == list(grid.whole(plain))
            assert screen.style_of("◆") == {"1;35"}
            assert screen.style_of("prefix") == {"36"}
            assert screen.style_of("suf") == {"32"}
        else:
            # grounds in place of digits
            styles = {cell[1] for cell in screen.rows[-1].cells if cell}
            assert f"48;5;{grid._RAMP[shade(1 / 9)]}" in styles
            # once for equal neighbours
            assert coloured.row(8, 0, 9).count("\x1b[48;") == 1
        assert not any("\x1b" in line for line in grid.whole(plain))


def test_names_are_sanitised_clipped_and_aligned() -> None:
    pieces = ["\x1b]52;c;aGk=\x07", "日本", "a\tb\n", "\u202e", "x" * 300, "é", "本" * 40, "\x9b2J"]
    seen = Mask(tuple(Token(at, piece) for at, piece in enumerate(pieces)), (Region("prefix", "prefix", 0, 8),))
    shown = Grid(seen, None, PLAIN)
    rows = list(grid.whole(shown))[2:]
    assert rows == [sanitise(row) for row in rows]
    assert {cells(row.partition("◆")[0]) for row in rows} == {shown.gutter + 2 * at for at in range(8)}
    assert "<U+202E>" in rows[3]
    assert "␉" in rows[2]
    assert "␊" in rows[2]
    assert max(cells(grid.name(piece)) for piece in pieces) == grid.LONGEST


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 60), st.integers(1, 8), st.data())
def test_a_part_of_a_row_is_a_part_of_the_whole_one(count: int, scale: int, data: st.DataObject) -> None:
    seen = of(count)
    shown = Grid(seen, data.draw(st.sampled_from([None, Pooled(Flat(count))])), PLAIN, scale, 1)
    row = data.draw(st.integers(0, shown.size - 1))
    first = data.draw(st.integers(0, shown.size - 1))
    stop = data.draw(st.integers(first + 1, shown.size))
    every = shown.row(row, 0, shown.size)[shown.gutter :].ljust(shown.size)
    assert shown.row(row, first, stop)[shown.gutter :].ljust(stop - first) == every[first:stop]


def test_a_view_of_many_tokens_makes_no_more_than_it_shows() -> None:
    import tracemalloc

    seen = of(16_000)
    size = os.terminal_size((100, 30))
    tracemalloc.start()
    for state in (State(), State(15_999, 15_900), State(8_000, 0, 512)):
        rows = viewport.frame(Grid(seen, None, COLOURS, state.scale), state, size, "title")
        assert len(rows) == 30
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


# ---------------------------------------------------------------------------------------------------------- the view

KEYS = ["up", "down", "left", "right", "j", "k", "h", "l", " ", "b", "g", "G", "[", "]", "d", "+", "-", "=", "x", ""]


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 300), st.lists(st.sampled_from(KEYS), max_size=30), st.integers(8, 40), st.integers(20, 120))
def test_whatever_is_pressed_there_is_a_screen(count: int, keys: list[str], height: int, width: int) -> None:
    seen = of(count)
    state = State()
    for key in keys:
        state = press(state, key, seen, height - 8, max(width - 20, 1))
        assert 0 <= state.row < count
        assert 0 <= state.left < count
    rows = viewport.frame(Grid(seen, None, PLAIN, state.scale, 1), state, os.terminal_size((width, height)), "title")
    assert len(rows) == height
    assert sum(row.startswith("▸") for row in rows) == 1
    (marked,) = [row for row in rows if row.startswith("▸")]
    assert marked.split()[1] == str(state.row // state.scale * state.scale)


def test_keys() -> None:
    seen = of(100, prefix=59)
    assert press(State(5), "down", seen, 10, 30).row == 6
    assert press(State(5, scale=4), "k", seen, 10, 30).row == 1
    assert press(State(5), " ", seen, 10, 30).row == 15
    assert press(State(5), "b", seen, 10, 30).row == 0
    assert press(State(5), "]", seen, 10, 30).row == 60
    assert press(State(65), "[", seen, 10, 30).row == 60
    assert press(State(60), "[", seen, 10, 30).row == 1
    assert press(State(65), "G", seen, 10, 30).row == 99
    assert press(State(65, 30), "g", seen, 10, 30) == State()
    assert press(State(65), "d", seen, 10, 30).left == 60
    assert press(State(), "-", seen, 10, 30).scale == 2
    assert press(State(scale=16), "-", seen, 10, 30).scale == 16
    assert press(State(scale=2), "+", seen, 10, 30).scale == 1
    # the last column stays on the screen's edge
    assert press(State(left=68), "right", seen, 10, 30).left == 70
    assert press(State(left=70), "h", seen, 10, 30).left == 66
    assert press(State(99), "d", seen, 10, 30).left == 70


def test_what_is_told_of_a_token() -> None:
    seen = of(4)
    assert viewport.told(seen, None, 0) == "0 a · id 0 · bos · sees itself alone"
    assert viewport.told(seen, None, 3) == "3 a · id 3 · suffix · sees itself and the 3 before it"
    assert viewport.told(seen, Pooled(Flat(4)), 1) == "1 a · id 1 · prefix · 0 a 0.500  1 a 0.500"


def test_looking_around_on_a_terminal() -> None:
    seen = of(300)
    steps = [(b"sees itself alone", b"]"), (b"1 before it", b"-"), (b"2 \xc3\x97 2", b"q")]
    with Terminal(60, 20, steps) as terminal:
        viewport.view(terminal.console(), seen, None, "title")
        assert not terminal.steps
        screen = terminal.screen()
    # the terminal is as it was
    assert screen.modes == {"?7", "?25", "?2004"} - {"?2004"}
    assert screen.text.strip() == ""


def test_it_follows_the_terminals_size() -> None:
    with Terminal(60, 20, [(b"sees itself alone", b"j"), (b"1 before it", (90, 30)), (b"g G ends", b"q")]) as terminal:
        viewport.view(terminal.console(), of(300), None, "title")
        assert not terminal.steps


# ------------------------------------------------------------------------------------------------------- the command


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "a.py"
    path.write_text("def area(radius):\n    return <FILL_ME>\n\n\nprint(area(2))\n")
    return path


def test_the_ids_are_those_of_the_command_that_it_stands_for(cli: Cli, source: Path) -> None:
    def ids(*arguments: str, stdin: bytes = b"") -> list[int]:
        return [
            token["id"] for token in json.loads(cli("attention", "-q", "--json", *arguments, stdin=stdin).out)["tokens"]
        ]

    def prompt(*arguments: str, stdin: bytes = b"") -> list[int]:
        shown: list[int] = json.loads(cli("prompt", "show", *arguments, "-q", "--json", stdin=stdin).out)["ids"]
        return shown

    assert ids(str(source)) == prompt("infill", str(source))
    assert ids(f"{source}:3") == prompt("infill", f"{source}:3")
    assert ids(f"{source}:2:5", "--suffix-first") == prompt("infill", f"{source}:2:5", "--suffix-first")
    assert ids(f"{source}:3", "--context", str(source)) == prompt("infill", f"{source}:3", "--context", str(source))
    assert ids(stdin=b"x = ") == prompt("complete", stdin=b"x = ")
    assert ids("-", stdin=b"x = <FILL_ME>") == prompt("infill", "-", stdin=b"x = <FILL_ME>")
    assert ids("--chat", "-s", "Be brief.", stdin=b"why?") == prompt("chat", "-s", "Be brief.", "why?")


def test_a_model_that_is_not_here_needs_a_tokenizer(cli: Cli, source: Path) -> None:
    done = cli("attention", "-m", "7b", str(source))
    assert (done.code, done.out) == (2, "")
    assert done.err == ("codellama: 7b is not on this machine, and its tokens are not known without --tokenizer FILE\n")
    tokenizer = str(TINY / "tokenizer.model")
    done = cli("attention", "-m", "7b", "--tokenizer", tokenizer, str(source))
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("7b · infill.jinja · 28 tokens · causal mask\n\n")
    assert cli("attention", "-m", "34b", "--tokenizer", tokenizer, str(source)).code == 5


def test_json(cli: Cli, source: Path) -> None:
    shown = json.loads(cli("attention", "-q", "--json", str(source)).out)
    count = len(shown["tokens"])
    assert [token["sees"] for token in shown["tokens"]] == list(range(1, count + 1))
    assert shown["tokens"][0] == {"id": 1, "piece": "<s>", "region": "bos", "sees": 1}
    assert shown["regions"][0] == {"label": "bos", "start": 0, "stop": 1}
    assert (shown["mask"], shown["model"], shown["context"]) == ("causal", "tiny", 1024)
    real = json.loads(cli("attention", "-q", "--json", "--weights", "2:1", str(source)).out)
    assert (real["layer"], real["head"], real["tokens"]) == (2, 1, shown["tokens"])
    assert [len(row) for row in real["weights"]] == list(range(1, count + 1))
    assert all(abs(sum(row) - 1) < 0.02 for row in real["weights"])


def test_a_pipe_gets_all_rows_as_plain_text(cli: Cli) -> None:
    done = cli("attention", "-q", stdin=b"x = 1\n" * 200)
    rows = done.out.splitlines()
    assert rows[0].startswith("tiny · complete.jinja · 1001 tokens · causal mask")
    assert len(rows) == 1001 + 6
    assert rows[-3].endswith("■◆")
    assert rows[-3].count("■") == 1000
    assert "\x1b" not in done.out


def test_a_pipe_gets_a_large_one_row_by_row(cli: Cli) -> None:
    import tracemalloc

    class Counter(io.BytesIO):
        count = 0

        def write(self, data: object) -> int:
            assert isinstance(data, bytes)
            self.count += len(data)
            return len(data)

    written = Counter()
    console = Console(io.BytesIO(b"x = 1\n" * 800), written, environ=cli.environ, quiet=True)
    tracemalloc.start()
    assert app.run(["attention"], Run(console)) == 0
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert written.count > 4000 * 4000
    assert peak < 12_000_000


def test_a_long_prompt_warns_and_is_shown(cli: Cli) -> None:
    done = cli("attention", stdin=b"x = 1\n" * 400, stdin_tty=False)
    assert done.code == 0
    assert "2001 tokens leave no room in tiny's context of 1024: refused as it is" in done.err
    assert cli("attention", "-q", "--weights", "0:0", stdin=b"x = 1\n" * 400).code == 6


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        ([], 2, "standard input is empty; for example: codellama attention app.py:42"),
        (["{file}", "--weights", "3"], 2, "--weights 3: a layer and a head expected, both from 0, as 3:5"),
        (["{file}", "--weights", "4:0"], 2, "--weights 4:0: tiny has layers 0 to 3 and heads 0 to 5"),
        (["{file}", "--weights", "0:6"], 2, "--weights 0:6: tiny has layers 0 to 3 and heads 0 to 5"),
        (["{file}", "-m", "7b", "--weights", "0:0"], 2, "7b is not on this machine"),
        (["{file}", "--force"], 2, "--force replaces a picture"),
        (["{file}:2", "--chat"], 2, "--chat asks a question: leave out the line"),
        (["{file}", "--system", "x"], 2, "--system and --dialog go with --chat"),
        (["-", "--suffix-first"], 2, "standard input is empty"),
        (["{file}:99"], 2, "there is no line 99"),
        (["{file}", "--as", "king"], 2, "--as king: there are infill"),
        (["{file}", "--png", "{file}", "--force"], 2, "name a file that ends in .png"),
        (["{file}", "--png", ""], 2, "name a file that ends in .png"),
        (["{file}", "--png", "/no/where.png"], 2, "there is no directory /no"),
        (["{file}", "--weights", "0:0", "--tokenizer", "{file}"], 2, "leave out --tokenizer"),
        (["{file}", "--weights", "0:0", "--4bit", "--8bit"], 2, "exclude each other"),
    ],
)
def test_bad_input(cli: Cli, source: Path, arguments: list[str], code: int, complaint: str) -> None:
    done = cli("attention", "-q", *[argument.replace("{file}", str(source)) for argument in arguments])
    assert (done.code, done.out) == (code, "")
    assert complaint in done.err
    assert done.err.count("\n") == 1


def test_on_a_terminal_a_small_one_is_printed_and_a_large_one_looked_at(source: Path) -> None:
    program = "import sys; from codellama.app import main; sys.argv = ['codellama', 'attention', '-q', {!r}]; main()"
    done = run(program.format(str(source)), width=100, height=50)
    assert done.code == 0
    screen = Screen(100, 50).feed(done.output)
    assert screen.style_of("return") == {"36"}
    assert "?1049" not in done.output.decode()
    done = run(program.format(str(source)), width=60, height=20, keys=(b"sees itself alone", b"q"))
    assert done.code == 0
    assert b"\x1b[?1049h" in done.output
    done = run(program.format(str(source)), width=60, height=20, keys=(b"sees itself alone", b"\x03"))
    assert done.code == 130
    done = run(program.format(str(source)), width=100, height=50, environ={"NO_COLOR": "1"})
    assert b"\x1b" not in done.output
    done = run(program.format(str(source)), width=60, height=20, environ={"TERM": "dumb"})
    assert b"\x1b" not in done.output
    assert done.output.count("◆".encode()) == 28 + 1


# ------------------------------------------------------------------------------------------------------- the picture


def pixels(data: bytes) -> numpy.ndarray[Any, Any]:
    from PIL import Image

    image = Image.open(io.BytesIO(data))
    assert image.format == "PNG"
    return numpy.asarray(image)


def test_a_picture_shows_the_triangle() -> None:
    drawn = pixels(picture.png(of(10), None, "title"))
    unseen = int((drawn == picture.UNSEEN).all(axis=2).sum())
    dark = int((drawn == tuple(part // 2 for part in picture._OTHERS)).all(axis=2).sum())
    # 45 cells of 20 × 20 pixels, less a line between two
    assert unseen == 45 * 19 * 19
    assert dark == 5 * 19 * 19
    # below the diagonal; two strips, 8 pixels wide; a square in the legend
    for region, below in ((Region("", "control", 0, 1), 9), (Region("", "prefix", 1, 6), 30)):
        coloured = int((drawn == picture._colour(region)).all(axis=2).sum())
        assert coloured == below * 19 * 19 + 2 * 8 * 20 * (region.stop - region.start) + 11 * 11


def test_a_heat_map_has_the_colours_of_its_weights() -> None:
    drawn = pixels(picture.png(of(10), Pooled(Flat(10)), "title"))
    ramp = picture._ramp()
    for row in range(10):
        colour = ramp[int(numpy.sqrt(numpy.float32(1 / (row + 1))) * 255)]
        assert int((drawn == colour).all(axis=2).sum()) >= (row + 1) * 19 * 19


def test_a_picture_of_many_tokens_is_of_bounded_size() -> None:
    flat = Flat(5000)
    drawn = pixels(picture.png(of(5000), Pooled(flat), "title"))
    assert drawn.shape[0] < 1700
    assert drawn.shape[1] < 1700
    assert flat.most <= Pooled.PORTION


@pytest.mark.parametrize("piece", ["\x1b]0;x\x07", "日本", "\ud800", "▁", "😀", "x" * 500])
def test_any_piece_can_be_drawn(piece: str) -> None:
    assert pixels(picture.png(of(3, piece=piece), None, "title")).size
    assert picture._name(piece).replace("·", "").isascii()


def test_names_in_a_picture() -> None:
    assert [picture._name(piece) for piece in ("▁▁def", "日\n", "x" * 40)] == ["··def", "\\u65e5\\n", "x" * 15 + "..."]


def test_png(cli: Cli, source: Path, tmp_path: Path) -> None:
    target = tmp_path / "mask.png"
    done = cli("attention", str(source), "--png", str(target))
    assert (done.code, done.out) == (0, "")
    assert f"{target}: {target.stat().st_size} bytes" in done.err
    first = target.read_bytes()
    assert target.stat().st_mode & 0o777 == 0o666 & ~umask()
    assert cli("attention", "-q", str(source), "--png", str(target)).code == 2
    assert target.read_bytes() == first
    assert cli("attention", "-q", str(source), "--weights", "1:1", "--png", str(target), "--force").code == 0
    assert target.read_bytes() != first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.py", "mask.png"]


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
