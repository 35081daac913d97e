"""Every error a user can meet, and the exit code it ends with.

    CodellamaError                1   something failed
    ├── InputError                2   bad input: a file, a model, an option, a prompt
    ├── NoCompletionError         4   the model gave nothing usable
    ├── CapabilityError           5   the model cannot do what was asked
    ├── ContextError              6   the prompt does not fit the model's context
    ├── FileChangedError          7   the file changed meanwhile; nothing was written
    └── ReaderGoneError         141   whoever read standard output went away

A message is one line that names the thing and the way out. `app.run` is the one place that
prints it and turns it into an exit code.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    DONE = 0
    FAILED = 1
    USAGE = 2
    HOOK_CHANGED = 3
    NO_COMPLETION = 4
    CAPABILITY = 5
    CONTEXT = 6
    FILE_CHANGED = 7
    INTERRUPTED = 130
    READER_GONE = 141


class CodellamaError(Exception):
    exit_code: ClassVar[ExitCode] = ExitCode.FAILED


class InputError(CodellamaError):
    exit_code = ExitCode.USAGE


class NoCompletionError(CodellamaError):
    exit_code = ExitCode.NO_COMPLETION


class CapabilityError(CodellamaError):
    exit_code = ExitCode.CAPABILITY


class ContextError(CodellamaError):
    exit_code = ExitCode.CONTEXT


class FileChangedError(CodellamaError):
    exit_code = ExitCode.FILE_CHANGED


class ReaderGoneError(CodellamaError):
    exit_code = ExitCode.READER_GONE
