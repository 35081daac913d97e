"""The full-screen chat: the only importer of textual, which takes 170 ms and is imported when the screen is taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codellama.backends.base import Backend
    from codellama.console import Console
    from codellama.dialog import Sampling
    from codellama.history import History
    from codellama.settings import Settings


def run_chat(
    console: Console,
    settings: Settings,
    open_backend: Callable[[str | None], Backend],
    sampling: Sampling,
    history: History,
    *,
    check: Callable[[Sampling], None] = lambda sampling: None,
    system: str = "",
    conversation: int | None = None,
    text: str = "",
) -> None:
    """Take the screen until the user leaves.

    `open_backend` opens the backend of a model's name, None: of the model that was asked for; `check` raises InputError
    for a sampling that is out of range; `conversation` is one of the history to go on with; `text` is put into the
    input, as what came through a pipe.

    Raises what `open_backend` raises, InputError where there is no terminal or no such conversation, or where the
    settings name a theme or a key that there is not; all before the screen is taken.
    """
    from functools import partial

    from codellama import models
    from codellama.errors import CodellamaError
    from codellama.tui.app import ChatApp
    from codellama.tui.asking import Tools
    from codellama.tui.notices import forwarded
    from codellama.tui.talk import Talk
    from codellama.tui.terminal import own_terminal

    backend = open_backend(None)
    handle = partial(models.handle, settings=settings, environ=console.environ)
    talk = Talk(backend, sampling, history, handle, system=system)
    talk.take(backend)
    if conversation is not None:
        talk.resume(conversation)
        # said now, it holds for what is asked now
        if system and system != talk.system:
            talk = talk.with_system(system)
    app = ChatApp(talk, Tools(settings, console.environ, open_backend, check), text)
    with own_terminal(), forwarded(console, app.say):
        app.run(mouse=settings.pick("mouse", default=True))
    if app.return_code:
        raise CodellamaError("the full-screen chat failed; what was said until then is in the history")
