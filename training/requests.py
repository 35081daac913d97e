"""Requests and answers in words, made from a function and the first sentence of its docstring."""

from __future__ import annotations

import random

from .corpus import Function, first_sentence

SYSTEM = (
    "You are a helpful assistant that writes Python.",
    "You are a Python programmer.",
    "Answer with one Python function.",
    "Answer in Python and be brief.",
    "Provide answers in Python.",
    "You write short, clear code.",
)
NAMED = (
    "Write a Python function `{name}` that {does}",
    "Write a function named {name} that {does}",
    "Implement `{name}({arguments})` in Python. It {does}",
    "In Python, write `{name}`, which {does}",
    "Write {name}({arguments}): it {does}",
)
UNNAMED = (
    "Write a Python function that {does}",
    "Write a function that {does}",
    "Give me a Python function that {does}",
    "I need a function that {does}",
    "How do I {do} in Python?",
    "Write Python code to {do}.",
    "Show me how to {do} in Python.",
)
PLAIN = (
    "Write a Python function `{name}`: {sentence}",
    "Write a Python function for this description: {sentence}",
    "Implement `{name}({arguments})`. {sentence}",
)
EXPLAIN = (
    "What does this function do?\n```python\n{source}\n```",
    "Explain this code:\n```python\n{source}\n```",
    "```python\n{source}\n```\nWhat does `{name}` do?",
)
# The first words of docstrings that are imperatives: "Return the name." can be asked for as "returns the name".
IMPERATIVES = """
    accept add append apply assert build call change check clean clear close compare compile compute convert copy
    count create decode define delete determine dispatch display do emit encode ensure escape evaluate execute
    expand extract fetch fill find flush format generate get give handle insert install iterate join list load
    locate log look make match merge move normalize open parse pop prepare print process produce provide put quote
    raise read receive register remove rename replace report reset resolve restore return reverse run save scan
    search select send set show sort split start stop store strip take tell test transform translate try turn
    unquote update validate wait walk wrap write yield
"""
VERBS = frozenset(IMPERATIVES.split())


def third_person(verb: str) -> str:
    if verb.endswith(("s", "sh", "ch", "x", "o")):
        return verb + "es"
    if verb.endswith("y") and verb[-2] not in "aeou":
        return verb[:-1] + "ies"
    return verb + "s"


THIRD = {third_person(verb): verb for verb in VERBS}


def dialog(function: Function, draw: random.Random) -> tuple[str, str]:
    """A user's message, with a system message folded in now and then, and the answer."""
    sentence = first_sentence(function.docstring or "")
    arguments = ", ".join(function.arguments)
    verb, _, rest = (sentence or "Do this.").partition(" ")
    verb = THIRD.get(verb.lower(), verb.lower())
    words = {"name": function.name, "arguments": arguments, "source": function.source, "sentence": sentence or ""}
    if sentence and verb in VERBS:
        words |= {"does": f"{third_person(verb)} {rest}", "do": f"{verb} {rest.rstrip('.')}"}
    explain = "does" in words and draw.random() < 0.1
    if explain:
        question = draw.choice(EXPLAIN)
        answer = draw.choice(("It {does}", "`{name}` {does}", "This function {does}")).format(**words)
    else:
        if "does" in words:
            question = draw.choice(draw.choice((NAMED, UNNAMED)))
        elif sentence:
            question = draw.choice(PLAIN)
        else:
            question = "Write a Python function `{name}({arguments})`."
        answer = f"```python\n{function.source}\n```\n{_remark(function, words, draw)}"
    question = question.format(**words)
    if draw.random() < 0.3:
        question = question.removesuffix(".")
    if draw.random() < 0.15:
        question = f"<<SYS>>\n{draw.choice(SYSTEM)}\n<</SYS>>\n\n{question}"
    return question, answer


def _remark(function: Function, words: dict[str, str], draw: random.Random) -> str:
    taken = [name for name in function.arguments if name not in ("self", "cls")]
    if "does" in words and draw.random() < 0.6:
        return draw.choice(("`{name}` {does}", "This function {does}")).format(**words)
    if not taken:
        return f"`{function.name}` takes no arguments."
    listed = " and ".join(filter(None, [", ".join(f"`{name}`" for name in taken[:-1]), f"`{taken[-1]}`"]))
    return f"`{function.name}` takes {listed}."
