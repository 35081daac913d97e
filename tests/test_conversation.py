"""Messages, prompts and what an answer becomes in the next prompt."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codellama import conversation, models, prompts
from codellama.blocks import blocks
from codellama.dialog import Chunk, Message, Role
from codellama.errors import CapabilityError, ContextError, InputError
from codellama.models import Model
from codellama.tokenizer import Tokenizer
from tests.harness import TINY

words = st.text(st.sampled_from("ab `~#\n*_"), min_size=1, max_size=20).filter(lambda text: bool(text.strip()))


@pytest.fixture(scope="module")
def tiny() -> Model:
    return models.read(TINY, "tiny")


def said(*contents: str, system: str | None = None) -> list[Message]:
    """A question, its answer, and so on."""
    roles: tuple[Role, Role] = ("user", "assistant")
    turns = [Message(roles[number % 2], content) for number, content in enumerate(contents)]
    return turns if system is None else [Message("system", system), *turns]


def test_a_conversation_is_rendered_in_the_models_format(tiny: Model) -> None:
    messages = said("one", "two", "three", system="be brief")
    made = conversation.fit(tiny, messages)
    assert made.prompt == prompts.render("instruct", tiny.tokenizer, dialog=messages)
    assert (made.used, made.left, made.fits) == (len(made.prompt.ids), 1024 - len(made.prompt.ids), True)
    assert made.share == made.used / 1024
    assert conversation.render(tiny.insist("instruct-70b"), messages, None).needs == "instruct-70b"


def test_a_model_that_is_not_here_gives_no_ids(tiny: Model) -> None:
    absent = replace(tiny, directory=None)
    assert not conversation.render(absent, said("x")).has_ids
    assert conversation.render(absent, said("x"), tiny.tokenizer).has_ids


def test_a_model_without_a_chat_format_is_refused_naming_some_that_have_one(tiny: Model) -> None:
    mute = replace(tiny, name="7b", chat_format=None)
    with pytest.raises(CapabilityError, match=r"7b does not chat.*7b-instruct, .*70b-instruct, tiny; --as instruct"):
        conversation.chat_format(mute)
    with pytest.raises(CapabilityError):
        conversation.render(mute, said("x"))
    assert conversation.chat_format(mute.insist("instruct-70b")) == "instruct-70b"


@pytest.mark.parametrize("tag", prompts.TAGS)
def test_f20_a_tag_is_refused_with_its_message_and_offset(tiny: Model, tag: str) -> None:
    with pytest.raises(InputError) as refusal:
        conversation.render(tiny, said("one", f"ab{tag}", "three", system="s"))
    assert f"message 3 (assistant) holds {tag} at character 2" in str(refusal.value)


@settings(max_examples=60, deadline=None)
@given(st.lists(words, min_size=1, max_size=7).filter(lambda turns: len(turns) % 2 == 1), st.booleans(), st.data())
def test_the_oldest_questions_are_dropped_with_their_answers_and_no_more(
    tiny: Model, contents: list[str], system: bool, data: st.DataObject
) -> None:
    messages = said(*contents, system="be brief" if system else None)
    whole = conversation.fit(tiny, messages)
    model = replace(tiny, context=data.draw(st.integers(1, whole.used + 5)))
    room = data.draw(st.integers(1, 8))
    first = int(system)
    least = conversation.fit(model, [*messages[:first], messages[-1]])
    if not least.fits:
        with pytest.raises(ContextError, match=f"has {least.used} tokens .* context of {model.context}:"):
            conversation.drop_oldest(model, messages, room)
        return
    made = conversation.drop_oldest(model, messages, room)
    count = len(made.dropped)
    assert list(made.dropped) == messages[first : first + count]
    kept = [*messages[:first], *messages[first + count :]]
    assert made.prompt == conversation.fit(model, kept).prompt
    assert made.fits
    assert kept[-1] == messages[-1]
    assert made.left >= room or len(kept) == first + 1
    if count:
        fuller = [*messages[:first], *messages[first + count - 2 :]]
        assert conversation.fit(model, fuller).left < room


def test_unanswered_questions_are_put_together() -> None:
    messages = [
        Message("system", "s"), Message("user", "one"), Message("user", "two"), Message("assistant", " \n"),
        Message("user", "three"), Message("assistant", "four"), Message("user", "five"),
    ]  # fmt: skip
    assert conversation.alternating(messages) == said("one\n\ntwo\n\nthree", "four", "five", system="s")


def test_a_partial_answer_is_sent_as_it_is(tiny: Model) -> None:
    made = conversation.render(tiny, said("q", "def f(", "go on"))
    assert "[INST] q [/INST] def f( " in made.text


def test_dropping_keeps_two_questions_in_a_row_together(tiny: Model) -> None:
    messages = [Message("user", "one " * 30), Message("user", "two"), Message("assistant", "three"), *said("four")]
    short = replace(tiny, context=conversation.fit(tiny, messages[1:]).used + 4)
    assert conversation.drop_oldest(short, messages).dropped == tuple(messages[:3])


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.sampled_from("a b\n\t\u2581é<"), max_size=12), data=st.data())
def test_an_answer_is_heard_as_the_reference_decodes_it(
    tiny_tokenizer: Tokenizer, text: str, data: st.DataObject
) -> None:
    """Whatever the chunks, and also where the ids of a piece come before its text."""
    ids = tiny_tokenizer.encode(text)
    stream = tiny_tokenizer.stream()
    chunks = []
    at = 0
    while at < len(ids):
        step = data.draw(st.integers(1, 3))
        chunks.append(Chunk(text=stream.push(ids[at : at + step]), ids=ids[at : at + step]))
        at += step
    chunks.append(Chunk(text=stream.finish()))
    heard = "".join(chunk.text for chunk in conversation.spoken(chunks, tiny_tokenizer))
    assert heard == tiny_tokenizer.decode(ids)


def test_only_the_first_space_goes_and_only_where_there_is_a_dummy_prefix(
    tiny_tokenizer: Tokenizer, llama70: Tokenizer
) -> None:
    def heard(tokenizer: Tokenizer, *texts: str) -> str:
        ids = tokenizer.encode("a b")[-1:]
        chunks = [Chunk(text=text, ids=ids) for text in texts]
        return "".join(chunk.text for chunk in conversation.spoken(chunks, tokenizer))

    assert heard(tiny_tokenizer, "", "  a", " b") == " a b"
    byte = next(id for id in range(tiny_tokenizer.size) if tiny_tokenizer.piece(id) == "<0x20>")
    (chunk,) = conversation.spoken([Chunk(text=" a", ids=(byte, 5))], tiny_tokenizer)
    assert chunk.text == tiny_tokenizer.decode((byte,)) + "a" == " a", "a byte 0x20 is no dummy prefix"
    assert heard(llama70, " a", " b") == " a b"


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("app.py:3-9:\n```python\nx = 1\n```\nwhy one?", "why one?"),
        ("app.py:\n```python\nx = 1\n```\n", "app.py:"),
        ("in words:\n\n```\nx = 1\n```\nb.py:\n```\n1\n```\n", "in words:"),
        ("how?", "how?"),
        ("\n  how   does\tit \n work", "how does it"),
        ("```py\nx = 1\n```\nwhat is it", "what is it"),
        ("word " * 20, "word word word word word word word word word word word…"),
        ("x" * 100, "x" * 59 + "…"),
        ("", ""),
    ],
)
def test_a_title(question: str, title: str) -> None:
    assert conversation.title(question) == title
    assert len(conversation.title(question)) <= conversation.TITLE


def test_a_conversation_as_markdown() -> None:
    pairs = [(Message("system", "brief"), ""), (Message("user", "how?\n"), ""), (Message("assistant", "so"), "tiny")]
    assert conversation.as_markdown("how?", pairs) == (
        "# how?\n\n## System\n\nbrief\n\n## User\n\nhow?\n\n## Assistant (tiny)\n\nso\n"
    )


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(st.sampled_from(["```x\n", "~~~~\n", "```", "a\n", "- ", "> ", "\n", " "])).map("".join)))
def test_no_message_swallows_the_next_in_markdown(contents: list[str]) -> None:
    shown = conversation.as_markdown("", [(message, "") for message in said(*contents)])
    marked = conversation.as_markdown("", [(message, "") for message in [*said(*contents), Message("system", "end")]])
    assert marked.startswith(shown)
    assert all(block.end <= marked.index("## System") for block in blocks(marked))
    from cmarkgfm.cmark import markdown_to_html

    assert markdown_to_html(marked).count("<h2>User</h2>") == (len(contents) + 1) // 2
