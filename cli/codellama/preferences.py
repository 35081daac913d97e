"""Changes config.toml: one key, and every other byte stays, comments too."""

from __future__ import annotations

import re
from pathlib import Path

from codellama import edit, source
from codellama.errors import CodellamaError
from codellama.settings import KEYS, read


def set_switch(path: Path, key: str, on: bool) -> None:
    """Set a key that is true or false; the file is made where there is none.

    Raises InputError for a file that says something unknown, CodellamaError where it cannot be written.
    """
    assert KEYS[key] is bool
    if read(path).get(key) is on:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise CodellamaError(f"{path}: cannot be written: {error.strerror}") from None
    file = source.read_file(path)
    value = "true" if on else "false"
    # before the first table, whose keys are others
    table = re.search(r"^[ \t]*\[", file.text, flags=re.M)
    end = table.start() if table else len(file.text)
    there = re.search(rf"^[ \t]*(?:{key}|\"{key}\"|'{key}')[ \t]*=[ \t]*(true|false)\b", file.text[:end], flags=re.M)
    if there:
        splice = edit.Splice(there.start(1), there.end(1), value)
    else:
        newline = "" if not file.text[:end] or file.text[:end].endswith("\n") else "\n"
        splice = edit.Splice(end, end, f"{newline}{key} = {value}\n")
    edit.write(file, edit.apply(file, [splice]))
