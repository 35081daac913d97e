"""What can be done with a code block, or a whole conversation: copied, saved, compared with a file."""

from __future__ import annotations

from pathlib import Path

from codellama import attachments, edit, newfile, source
from codellama.attachments import Place
from codellama.errors import CodellamaError
from codellama.sanitiser import one_line, sanitise
from codellama.tui import about, clipboard
from codellama.tui.asking import Asking
from codellama.tui.code import CodeBlock
from codellama.tui.dialogs import AskText, Choose, Show


class Filing(Asking):
    """Nothing is overwritten unasked, and nothing hidden is written unseen."""

    def on_code_block_asked(self, event: CodeBlock.Asked) -> None:
        block = event.block
        if event.wish == "copy":
            self._copy(block.plain, "the code")
            return
        place = about.place(block.info, self.talk.places)
        if event.wish == "save":
            whole = str(place.path) if place and place.first is None else about.named(block.info) or ""
            self._ask_name("Save the code as", whole, f"{block.code}\n" if block.code else "")
        elif place is not None:
            self._compare(place, block.code)
        else:

            def given(name: str | None) -> None:
                if name:
                    self._compare(attachments.place(name), block.code)

            self.app.push_screen(AskText("Compare the code with which file?"), given)

    def _compare(self, place: Place, code: str) -> None:
        try:
            read, new = about.proposed(place, code)
        except CodellamaError as error:
            self._complain(str(error))
            return
        diff = edit.unified(read, new)
        if diff:
            self.app.push_screen(Show(f"{place.path}: what the code would change", diff.removesuffix("\n"), "diff"))
        else:
            self.app.notify(one_line(f"{place.path} holds just this code"), markup=False)

    def _ask_name(self, title: str, name: str, text: str) -> None:
        def given(answer: str | None) -> None:
            if answer:
                self._save(Path(answer).expanduser(), text)

        self.app.push_screen(AskText(title, name), given)

    def _save(self, path: Path, text: str) -> None:
        """Write a file; ask before one is overwritten, or before something hidden is written."""
        doubts = []
        try:
            there = source.read_file(path) if path.exists() or path.is_symlink() else None
        except CodellamaError as error:
            self._complain(str(error))
            return
        if there is not None:
            doubts.append(f"{path} is there already: {there.text.count(chr(10))} lines, {text.count(chr(10))} now.")
        if found := edit.hidden(text):
            doubts.append(f"The text holds {len(found)} hidden characters, the first is {found[0][1]}.")

        def write() -> None:
            try:
                data = text.encode("utf-8", "replace")
                newfile.create(path, data) if there is None else edit.write(there, data)
            except CodellamaError as error:
                self._complain(str(error))
                return
            self.app.notify(one_line(f"wrote {path}"), markup=False)

        if doubts:
            way = "Overwrite it" if there else "Write it all the same"
            # what loses nothing comes first
            ways = ["Leave it", way]
            self.app.push_screen(
                Choose("Write the file?", ways, " ".join(doubts)), lambda number: write() if number == 1 else None
            )
        else:
            write()

    def _copy(self, text: str, what: str) -> None:
        """To the terminal's clipboard by OSC 52, and to the system's, in a thread: a program may be slow.

        What is copied is what was seen: to paste an escape sequence into a shell would run it.
        """
        text = sanitise(text)
        self.app.copy_to_clipboard(text)
        environ = self.tools.environ
        self.run_worker(lambda: clipboard.copy(text, environ), thread=True, exit_on_error=False, group="clipboard")
        lines = text.count("\n") + 1
        self.app.notify(f"copied {what}: {lines} line{'s' if lines > 1 else ''}", markup=False)

    def _complain(self, text: str) -> None:
        self.app.notify(one_line(text), severity="warning", markup=False)
