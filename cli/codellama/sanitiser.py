"""The one terminal sanitiser: what drives a terminal or hides what is there becomes visible.

A model, a file or a file name may hold escape sequences, or characters that reorder or hide text; everything a terminal
is shown goes through here, below whatever draws it.
"""

from __future__ import annotations

import re
from functools import cache

# What drives a terminal: C0 but \n and \t, DEL, C1.
_CONTROLS = "\x00-\x08\x0b-\x1f\x7f-\x9f"
# What hides or reorders text: Unicode's Default_Ignorable_Code_Point, and of the categories Cf, Cs, Zl and Zp what
# is not a visible sign (as the Arabic number signs U+0600-0605 are), and noncharacters. The planes' last two
# noncharacters are written out; U+E0000-E0FFF holds the tags and the supplementary variation selectors.
_HIDDEN = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200c\u200e-\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ud800-\udfff\ufdd0-\ufdef\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
) + "".join(chr(plane << 16 | last) for plane in range(1, 17) for last in (0xFFFE, 0xFFFF))
# Hidden too, but part of emoji: the joiner, and the selectors of text (15) and emoji (16) style.
_JOINER, _STYLES = "\u200d", "\ufe0e\ufe0f"
# What may stand before those. Not the digits, # and *: `x1` followed by U+FE0F is a Python identifier other than
# `x1` that looks the same, so the selector of a keycap is shown.
_EMOJI = (
    "\u00a9\u00ae\u203c\u2049\u2122\u2139\u2194-\u21aa\u231a-\u23ff\u24c2\u25aa-\u25fe\u2600-\u27bf\u2934\u2935"
    "\u2b05-\u2b55\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
)


@cache
def _suspect() -> re.Pattern[str]:
    return re.compile(f"[{_CONTROLS}{_HIDDEN}{_JOINER}{_STYLES}]")


@cache
def _unwanted() -> re.Pattern[str]:
    # a joiner also follows a whole emoji with its selector
    joiner = f"(?<![{_EMOJI}])(?<![{_EMOJI}]\ufe0f){_JOINER}"
    return re.compile(f"[{_CONTROLS}{_HIDDEN}]|{joiner}|(?<![{_EMOJI}])[{_STYLES}]")


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"<U+{code:04X}>"


def sanitise(text: str, before: str = "") -> str:
    """The text with everything that drives a terminal or hides what is there made visible.

    Control characters become their pictures (␛), other characters `<U+202E>`; `\\r\\n` becomes a newline. Each
    character is judged by itself and by what stands before it, never by a sequence it might begin, so a sequence
    split over two calls is as inert as a whole one. `before` is what was shown last (its last character counts):
    it lets an emoji go on across calls.

    Ordinary text is returned as it is.
    """
    if not _suspect().search(text):
        return text
    text = text.replace("\r\n", "\n")
    last = before[-1:]
    # a selector that was shown had an emoji before it; nothing else that was hidden allows anything after it
    context = "☺\ufe0f" if last == "\ufe0f" else "" if _suspect().search(last) else last
    return _unwanted().sub(_visible, context + text)[len(context) :]


def one_line(text: str) -> str:
    """The text, sanitised, on one line: line ends and tabs, with the spaces about them, become one space."""
    return re.sub(r"[ \t\n]*[\t\n][ \t\n]*", " ", sanitise(text)).strip(" ")
