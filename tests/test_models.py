from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from codellama import catalogue, models
from codellama.card import CARD
from codellama.dialog import Need
from codellama.errors import CapabilityError, InputError
from codellama.models import Model
from codellama.settings import Settings
from tests.harness import TINY
from tests.reference import asset


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"CODELLAMA_HOME": str(tmp_path / "codellama"), "HF_HOME": str(tmp_path / "huggingface")}


def find(name: str, environ: dict[str, str], *, absent_ok: bool = False) -> Model:
    return models.find(name, Settings.load(environ), environ, absent_ok=absent_ok)


def choose(environ: dict[str, str], flag: str | None = None, need: Need | None = None) -> Model:
    return models.choose(flag, Settings.load(environ), environ, need)


def put(directory: Path, card: dict[str, object] | None = None, **config: object) -> Path:
    """A model directory without weights, which finding a model does not look at."""
    directory.mkdir(parents=True)
    values = {**json.loads((TINY / "config.json").read_text()), **config}
    (directory / "config.json").write_text(json.dumps(values))
    shutil.copy(TINY / "tokenizer.model", directory)
    if card is not None:
        (directory / CARD).write_text(json.dumps(card))
    return directory


def put_in_cache(environ: dict[str, str], hub_id: str, revision: str = "abc", main: str | None = "abc") -> Path:
    repository = Path(environ["HF_HOME"]) / "hub" / f"models--{hub_id.replace('/', '--')}"
    if main:
        (repository / "refs").mkdir(parents=True, exist_ok=True)
        (repository / "refs" / "main").write_text(main)
    return put(repository / "snapshots" / revision)


def test_the_builtin_model(environ: dict[str, str]) -> None:
    tiny = find("tiny", environ)
    assert (tiny.name, tiny.infill, tiny.chat_format, tiny.demonstration) == ("tiny", True, "instruct", True)
    tiny.require("infill")
    tiny.require("instruct")
    with pytest.raises(CapabilityError):
        tiny.require("instruct-70b")


def test_order_directory_then_name_then_cache(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    put_in_cache(environ, "codellama/CodeLlama-7b-Instruct-hf")
    assert find("7b-instruct", environ).directory == find("codellama/CodeLlama-7b-Instruct-hf", environ).directory
    ours = put(Path(environ["CODELLAMA_HOME"]) / "models" / "7b-instruct")
    assert find("7b-instruct", environ).directory == ours
    here = put(tmp_path / "7b-instruct")
    assert find("7b-instruct", environ).directory == Path("7b-instruct")
    assert here.samefile("7b-instruct")


def test_capabilities_come_from_the_catalogue_for_a_cached_hub_model(environ: dict[str, str]) -> None:
    snapshot = put_in_cache(environ, "codellama/CodeLlama-34b-Instruct-hf")
    for name in ("34b-instruct", "codellama/CodeLlama-34b-Instruct-hf", str(snapshot)):
        found = find(name, environ)
        assert (found.size, found.variant, found.infill, found.chat_format) == ("34B", "instruct", False, "instruct")
        found.require("instruct")
        with pytest.raises(CapabilityError, match="cannot infill: it was not trained to"):
            found.require("infill")


def test_a_cache_without_refs_gives_its_newest_snapshot(environ: dict[str, str]) -> None:
    old = put_in_cache(environ, "someone/some-llama", "old", main=None)
    new = put_in_cache(environ, "someone/some-llama", "new", main=None)
    os.utime(old, (1, 1))
    assert find("someone/some-llama", environ).directory == new


def test_an_unknown_model_infills_where_its_tokenizer_can_and_does_not_chat(
    environ: dict[str, str], tmp_path: Path
) -> None:
    unknown = find(str(put(tmp_path / "unknown")), environ)
    assert (unknown.infill, unknown.chat_format) == (None, None)
    unknown.require("infill")
    with pytest.raises(CapabilityError, match=r"it has no chat format; .* 7b-instruct, .*--as instruct insists"):
        unknown.require("instruct")
    unknown.insist("instruct").require("instruct")


def test_pieces_outside_the_embedding_rule_infilling_out(environ: dict[str, str], tmp_path: Path) -> None:
    python = find(str(put(tmp_path / "python", vocab_size=4096)), environ)
    with pytest.raises(CapabilityError, match="its embedding has no rows for the infill pieces"):
        python.insist("infill").require("infill")


def test_a_tokenizer_without_the_pieces_rules_infilling_out(environ: dict[str, str], tmp_path: Path) -> None:
    directory = put(tmp_path / "llama2")
    shutil.copy(asset("tokenizer-llama-32000.model"), directory / "tokenizer.model")
    with pytest.raises(CapabilityError, match="lacks the infill pieces; models that can: 7b, 7b-instruct, 13b"):
        find(str(directory), environ).require("infill")


def test_insisting(environ: dict[str, str]) -> None:
    base = find("70b", environ, absent_ok=True)
    with pytest.raises(CapabilityError, match="--as infill insists"):
        base.require("infill")
    base.insist("infill").require("infill")
    with pytest.raises(InputError, match="--as poetry: there are infill, instruct and instruct-70b"):
        base.insist("poetry")


def test_names_that_are_nothing_tell_the_way_out(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name, complaint in {
        "9b": "no such model: name a directory, tiny, one of 7b, 7b-python",
        "7b": "7b is not on this machine: `codellama models pull 7b` fetches it",
        "someone/thing": "someone/thing is not on this machine: `codellama models pull someone/thing` fetches it",
        str(tmp_path / "file"): "is a file; a model is a directory",
        str(tmp_path): "no config.json there",
    }.items():
        with pytest.raises(InputError, match=complaint):
            find(name, environ)


def test_without_a_name_the_last_fetched_that_can_else_tiny(environ: dict[str, str]) -> None:
    home = Path(environ["CODELLAMA_HOME"]) / "models"
    assert choose(environ).name == "tiny"
    # one that is being fetched or removed is none
    put(home / ".13b.codellama-new", {"variant": "base", "infill": True})
    assert choose(environ).name == "tiny"
    put(home / "7b", {"variant": "base", "infill": True})
    os.utime(home / "7b" / CARD, (100, 100))
    put(home / "34b-instruct", {"variant": "instruct", "infill": False, "chat_format": "instruct"})
    os.utime(home / "34b-instruct" / CARD, (200, 200))
    assert choose(environ).name == "34b-instruct"
    assert choose(environ, need="infill").name == "7b"
    assert choose(environ, need="docstring").name == "34b-instruct", "asked in a chat"
    assert choose(environ, need="instruct-70b").name == "tiny"
    os.utime(home / "7b" / CARD, (300, 300))
    assert choose(environ, need="chat").name == "34b-instruct"
    put(home / "70b-instruct", {"variant": "instruct", "infill": False, "chat_format": "instruct-70b"})
    assert choose(environ, need="chat").name == "70b-instruct", "either format will do"
    os.utime(home / "7b" / CARD, (100, 100))
    assert choose({**environ, "CODELLAMA_MODEL": "7b"}).name == "7b"
    assert choose({**environ, "CODELLAMA_MODEL": "7b"}, flag="tiny").name == "tiny"


def test_context_from_the_card_the_config_and_the_environment(environ: dict[str, str], tmp_path: Path) -> None:
    plain = put(tmp_path / "plain", max_position_embeddings=777)
    carded = put(tmp_path / "carded", {"context": 555}, max_position_embeddings=777)
    assert find(str(plain), environ).context == 777
    assert find(str(carded), environ).context == 555
    assert find(str(carded), {**environ, "CODELLAMA_CONTEXT_LENGTH": "333"}).context == 333
    with pytest.raises(InputError, match="must be at least 1, not -4"):
        find(str(carded), {**environ, "CODELLAMA_CONTEXT_LENGTH": "-4"})


@pytest.mark.parametrize(
    ("card", "complaint"),
    [
        ('{"chat_format": "chatml"}', "chat_format is 'chatml': one of instruct, instruct-70b expected"),
        ('{"variant": 7}', "variant is 7: str expected"),
        ('{"infill": "yes"}', 'infill is "yes": bool expected'),
        ('{"context": -1}', "context is -1"),
        ("[]", "not a JSON object"),
        ("{", "not JSON"),
    ],
)
def test_a_malformed_card_is_named(environ: dict[str, str], tmp_path: Path, card: str, complaint: str) -> None:
    directory = put(tmp_path / "model")
    (directory / CARD).write_text(card)
    with pytest.raises(InputError, match=complaint) as refusal:
        find(str(directory), environ)
    assert "codellama.json" in str(refusal.value)


def test_f16_code_and_templates_in_a_model_directory_have_no_effect(environ: dict[str, str], tmp_path: Path) -> None:
    directory = put(tmp_path / "hostile", auto_map={"AutoModelForCausalLM": "evil.Evil"}, trust_remote_code=True)
    (directory / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (directory / "chat_template.jinja").write_text("{{ 1/0 }}")
    (directory / "tokenizer_config.json").write_text('{"chat_template": "{{ 1/0 }}", "auto_map": {"x": "evil.Evil"}}')
    found = find(str(directory), environ)
    assert found.tokenizer.encode("x")
    assert found.chat_format is None
    assert not (tmp_path / "ran").exists()


def test_the_catalogue_holds_the_family() -> None:
    assert len(catalogue.FAMILY) == len({entry.hub_id for entry in catalogue.FAMILY}) == 12
    assert catalogue.names(infill=True) == ["7b", "7b-instruct", "13b", "13b-instruct"]
    assert catalogue.names(chat_format="instruct") == ["7b-instruct", "13b-instruct", "34b-instruct"]
    assert catalogue.names(chat_format="instruct-70b") == ["70b-instruct"]


def test_metas_weights_are_to_be_converted(tmp_path: Path, environ: dict[str, str]) -> None:
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "consolidated.00.pth").touch()
    with pytest.raises(
        InputError, match=r"holds Meta's weights: `codellama convert .*/meta OUTPUT` makes them a model"
    ):
        find(str(tmp_path / "meta"), environ)
