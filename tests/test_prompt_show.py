"""`codellama prompt show`: what a model would see."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.harness import TINY, Cli
from tests.reference import asset


def test_infill_in_full(cli: Cli) -> None:
    """One whole transcript with Code Llama's tokenizer; the ids are those that Meta's reference gives."""
    tokenizer = asset("tokenizer-standin-32016.model")
    done = cli(
        "prompt", "show", "infill", "-m", "7b", "--tokenizer", str(tokenizer),
        "--prefix", 'def remove_non_ascii(s: str) -> str:\n    """ ', "--suffix", "\n    return result\n",
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "model: 7b; template: infill.jinja; 28 of 16384 tokens; ends at <EOT>, </s>\n"
        "\n"
        "⟦<s>⟧⟦<PRE>⟧def remove_non_ascii(s: str) -> str:\n"
        '    """ ⟦<SUF>⟧\n'
        "    return result\n"
        "⟦<MID>⟧\n"
        "\n"
        "segments (label, tokens, text):\n"
        "  bos      1  ⟦<s>⟧\n"
        "  pre      1  ⟦<PRE>⟧\n"
        '  prefix  19  \'def remove_non_ascii(s: str) -> str:\\n    """ \'\n'
        "  suf      1  ⟦<SUF>⟧\n"
        "  suffix   5  '\\n    return result\\n'\n"
        "  mid      1  ⟦<MID>⟧\n"
        "\n"
        "ids: 1 32007 822 3349 29918 5464 29918 294 18869 29898 29879 29901 851 29897 1599 851 29901 13 1678 9995 "
        "29871 32008 13 1678 736 1121 13 32009\n"
    )


def test_without_a_tokenizer_it_says_what_ids_need(cli: Cli) -> None:
    done = cli("prompt", "show", "complete", "-m", "13b-python", "x = ")
    assert (done.code, done.err) == (0, "")
    assert "template: python.jinja; a context of 16384 tokens" in done.out
    assert "⟦<s>⟧x = " in done.out
    assert done.out.endswith("\nids: need the model's tokenizer: prompt show --tokenizer FILE\n")


def test_suffix_first(cli: Cli) -> None:
    out = cli("prompt", "show", "infill", "-q", "--suffix-first", stdin=b"a<FILL_ME>b").out
    assert "⟦<s>⟧⟦<PRE>⟧⟦<SUF>⟧b⟦<MID>⟧a\n" in out


def test_what_only_looks_like_a_control_is_seen_to_be_text(cli: Cli) -> None:
    out = cli("prompt", "show", "complete", "-q", "<s> <PRE>").out
    assert "⟦<s>⟧<s> <PRE>\n" in out
    assert "⟦<s>⟧⟦⟦</s>⟧\n" in cli("prompt", "show", "complete", "-q", "⟦</s>⟧").out


def test_chat_in_both_formats(cli: Cli, tmp_path: Path) -> None:
    earlier = tmp_path / "dialog.json"
    earlier.write_text(json.dumps([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]))
    question = ["prompt", "show", "chat", "-s", "Be brief.", "--dialog", str(earlier), "why?"]
    inst = cli(*question, "-m", "34b-instruct").out
    assert "⟦<s>⟧[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nq [/INST] a ⟦</s>⟧⟦<s>⟧[INST] why? [/INST]\n" in inst
    seventy = cli(*question, "-m", "70b-instruct").out
    assert "⟦<s>⟧ Source: system\n\n Be brief.⟦<step>⟧ Source: user\n\n q⟦<step>⟧ Source: assistant" in seventy
    assert "ends at <step>, </s>" in seventy
    assert cli(*question, "-m", "7b", "--as", "instruct").out.splitlines()[2:] == inst.splitlines()[2:]


def test_json(cli: Cli) -> None:
    shown = json.loads(cli("prompt", "show", "infill", "-q", "--json", "--prefix", "a", "--suffix", "b").out)
    assert [segment["label"] for segment in shown["segments"]] == ["bos", "pre", "prefix", "suf", "suffix", "mid"]
    assert shown["ids"] == [id for segment in shown["segments"] for id in segment["ids"]]
    assert shown["stop"] == ["<EOT>", "</s>"]
    assert json.loads(cli("prompt", "show", "complete", "-m", "7b", "--json", "x").out)["ids"] is None


def test_stdin_and_file(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = <FILL_ME>\n")
    from_file = cli("prompt", "show", "infill", "-q", str(tmp_path / "a.py"), stdin_tty=True)
    assert "⟦<PRE>⟧x = ⟦<SUF>⟧\n⟦<MID>⟧" in from_file.out
    assert cli("prompt", "show", "infill", "-q", stdin=b"x = <FILL_ME>\n").out == from_file.out
    assert cli("prompt", "show", "infill", "-q", "-", stdin=b"x = <FILL_ME>\n", stdin_tty=True).out == from_file.out


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["complete", "-m", "9b", "x"], 2, "9b: no such model"),
        (["infill", "{tmp}/bad.json"], 2, "bad.json: has no <FILL_ME> in it; put one, or name a line"),
        (["infill", "{tmp}/absent.py"], 2, "absent.py: no such file"),
        (["infill", "{tmp}/two.py", "--prefix", "a"], 2, "--prefix and --suffix take the place of a file"),
        (["infill", "-m", "34b", "--prefix", "a"], 5, "34b cannot infill"),
        (
            ["infill", "-m", "7b-python", "--prefix", "a"],
            5,
            "can: 7b, 7b-instruct, 13b, 13b-instruct, tiny",
        ),
        (["chat", "-m", "7b", "hi"], 5, "it has no chat format; models that do: 7b-instruct"),
        (["chat", "-m", "70b-instruct", "--as", "instruct", "see <step>"], 2, "holds <step> at character 4"),
        (["chat", "--dialog", "{tmp}/bad.json", "hi"], 2, "bad.json: is not a JSON list"),
        (["chat", "--dialog", "{tmp}/role.json", "hi"], 2, "message 1 needs a role of system, user, assistant"),
        (["complete", "--tokenizer", "{tmp}/bad.json", "x"], 2, "bad.json: is not a tokenizer.json"),
        (["chat"], 2, "standard input is empty; for example: codellama prompt show chat"),
    ],
)
def test_bad_input(cli: Cli, tmp_path: Path, arguments: list[str], code: int, complaint: str) -> None:
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "two.py").write_text("<FILL_ME> <FILL_ME>")
    (tmp_path / "role.json").write_text('[{"role": "king", "content": "x"}]')
    done = cli("prompt", "show", *[argument.replace("{tmp}", str(tmp_path)) for argument in arguments])
    assert (done.code, done.out) == (code, "")
    assert complaint in done.err
    assert done.err.count("\n") <= 2


def test_the_builtin_models_ids_are_its_tokenizers(cli: Cli) -> None:
    from sentencepiece import SentencePieceProcessor

    sentencepiece = SentencePieceProcessor(model_file=str(TINY / "tokenizer.model"))
    shown = json.loads(cli("prompt", "show", "complete", "-q", "--json", "def f(x):\n    return x").out)
    assert shown["ids"] == [1, *sentencepiece.encode("def f(x):\n    return x")]
