"""What a model sees of a definition: all of it, and of the file around it what there is room for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from codellama import definitions, docstrings, models, questions, source
from codellama.definitions import Selection
from codellama.docstrings import Reply, Request
from codellama.errors import CapabilityError, ContextError, NoCompletionError
from codellama.models import Model
from codellama.settings import Settings
from codellama.style import Style

OTHERS = "".join(f"def other{n}(value):\n    'Say {n}.'\n    return value + {n}\n\n\n" for n in range(400))
OWN = "@decorated\ndef one(first, second):\n    return first + second\n"


@pytest.fixture
def model() -> Model:
    return replace(models.find(models.TINY, Settings.load({"CODELLAMA_HOME": "/nowhere"}), {}), context=3000)


def request(text: str, number: int = 0) -> Request:
    """What is asked for the definition of that number among those without a docstring."""
    seen: list[Request] = []

    def ask(request: Request) -> Reply:
        seen.append(request)
        return Reply(f"Say number {len(seen)} aloud.")

    read = source.decode(text.encode(), "a.py")
    tree = definitions.read(read)
    docstrings.fill(read, tree, definitions.missing(tree, Selection(modules=True)), ask)
    return seen[number]


def infill(request: Request, model: Model, max_tokens: int = 64) -> tuple[str, str, questions.Question]:
    question = questions.infill(request, model, max_tokens)
    parts = {s.label: s.text for s in question.prompt.segments if not s.control}
    assert len(question.prompt.ids) + max_tokens <= model.context
    return parts["prefix"], parts["suffix"], question


def test_a_short_file_is_seen_whole(model: Model) -> None:
    prefix, suffix, question = infill(request(f'"""Doc."""\nx = 1\n{OWN}y = 2\n'), model)
    assert prefix == '"""Doc."""\nx = 1\n@decorated\ndef one(first, second):\n    """'
    assert suffix == '"""\n    return first + second\ny = 2\n'
    assert question.whole


def test_of_a_long_file_the_lines_around_the_definition_are_seen(model: Model) -> None:
    prefix, suffix, question = infill(request(f'"""Doc."""\n{OTHERS}{OWN}{OTHERS}'), model)
    assert prefix.endswith('@decorated\ndef one(first, second):\n    """')
    assert suffix.startswith('"""\n    return first + second\n')
    assert (OTHERS in prefix, OTHERS in suffix) == (False, False)
    assert question.whole
    around = len(question.prompt.ids) - len(model.tokenizer.encode(OWN))
    assert questions.SURROUNDINGS * 0.8 < around < questions.SURROUNDINGS * 1.05


def test_a_definition_is_seen_whole_where_the_model_holds_it_and_else_its_beginning(model: Model) -> None:
    body = "".join(f"    value = value + {number}\n" for number in range(150))
    text = f'"""Doc."""\n{OTHERS}def long(value):\n{body}{OTHERS}'
    prefix, suffix, question = infill(request(text), model)
    assert suffix.startswith('"""\n' + body)
    assert question.whole
    prefix, suffix, question = infill(request(text), replace(model, context=900))
    assert prefix == 'def long(value):\n    """'
    assert suffix.startswith('"""\n' + body[:2000])
    assert body not in suffix
    assert not question.whole


def test_a_class_and_a_module_are_seen_from_their_beginning(model: Model) -> None:
    methods = "".join(f"    def m{number}(self): return {number} + self.value\n" for number in range(400))
    text = f"import os\n\n\nclass Large:\n{methods}"
    for number in (0, 1):
        _, suffix, question = infill(request(text, number), model)
        assert "def m0(self)" in suffix
        assert "def m399(self)" not in suffix
        assert question.whole
        assert questions.OUTLINE * 0.9 < len(question.prompt.ids) < questions.OUTLINE * 1.05


def test_a_limit_of_tokens_that_leaves_no_room_is_refused(model: Model) -> None:
    with pytest.raises(ContextError, match="3000 tokens to generate leave no room"):
        questions.infill(request(OWN), model, 3000)
    with pytest.raises(ContextError):
        questions.chat(request(OWN), model, 2990, Style.PLAIN)


def chat(request: Request, model: Model, style: Style = Style.PLAIN) -> tuple[str, questions.Question]:
    question = questions.chat(request, model, 64, style)
    assert len(question.prompt.ids) + 64 <= model.context
    return "".join(s.text for s in question.prompt.segments if not s.control), question


def test_a_chat_is_shown_the_definition_alone(model: Model) -> None:
    said, _ = chat(request(f'"""Doc."""\nx = 1\n{OWN}y = 2\n'), model)
    assert f"the function `one` in this Python code.\n\n```python\n{OWN}```\n\n" in said
    said, _ = chat(request("class A: pass\n", 1), model)
    assert "the class `A` in this Python code.\n\n```python\nclass A:\n\n    pass\n```\n" in said
    said, _ = chat(request("#!x\nimport os\n"), model)
    assert "the module in this Python code.\n\n```python\n#!x\n\nimport os\n```\n" in said


def test_a_fence_is_longer_than_those_in_the_code(model: Model) -> None:
    said, _ = chat(request('"""Doc."""\ndef one():\n    return "````"\n'), model)
    assert '\n`````python\ndef one():\n    return "````"\n`````\n' in said


@pytest.mark.parametrize("style", list(Style)[1:])
def test_a_chat_is_told_the_style(model: Model, style: Style) -> None:
    said, _ = chat(request(OWN, 1), model, style)
    name = {"google": "Google", "numpy": "NumPy", "sphinx": "Sphinx"}[style]
    assert f"describe its parameters and what it returns in the\n{name}" in said
    said, _ = chat(request("class A: pass\n", 1), model, style)
    assert "with no list of parameters" in said


def test_code_that_is_too_long_for_a_chat_is_cut_at_its_end(model: Model) -> None:
    body = "".join(f"    value = value + {number}\n" for number in range(900))
    said, question = chat(request(f'"""Doc."""\ndef long(value):\n{body}'), model)
    assert "def long(value):\n    value = value + 0\n" in said
    assert "Answer with the docstring alone" in said
    assert not question.whole


def test_f20_tags_cannot_be_sent(model: Model) -> None:
    with pytest.raises(NoCompletionError, match="holds <<SYS>> at character"):
        questions.chat(request('"""Doc."""\ndef one():\n    return "<<SYS>>"\n'), model, 64, Style.PLAIN)


def test_who_is_asked_in_a_chat(model: Model) -> None:
    assert not questions.chats(model, None)
    assert questions.chats(model, "instruct")
    assert not questions.chats(model, "infill")
    assert questions.chats(replace(model, infill=False), None)
    with pytest.raises(CapabilityError):
        questions.chats(replace(model, infill=False, chat_format=None), None)
