"""Where a stream of text ends: stop strings, also across the borders of chunks."""

from __future__ import annotations

from collections.abc import Sequence


class StopStrings:
    """Lets text through until one of the strings is complete.

    What may yet become a stop string is held back, so that no part of one is ever let through.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings = [string for string in strings if string]
        self._held = ""
        self.hit = False

    def push(self, text: str) -> str:
        """The text that may be shown now. After a hit (`hit` is True) nothing more comes."""
        if self.hit:
            return ""
        text = self._held + text
        found = [index for index in map(text.find, self._strings) if index >= 0]
        if found:
            self.hit, self._held = True, ""
            return text[: min(found)]
        keep = max((_overlap(text, string) for string in self._strings), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def finish(self) -> str:
        """What is still held back: the stream ended before it became a stop string."""
        text, self._held = self._held, ""
        return text


def _overlap(text: str, string: str) -> int:
    """The length of the longest end of the text with which the string begins, short of the whole string."""
    longest = min(len(text), len(string) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(string[:n])), 0)
