"""The completion script for fish."""

from __future__ import annotations

from codellama.completion.tree import Command, Option, Value

_SCRIPT = r"""# fish completion for codellama. Generated from its command tree: change nothing here.
#
# The tree stands in this file, so that TAB does not start the program; it is asked only for what this machine alone
# knows: models, lines of a file, languages, sessions.

# whether the commands on the line are these
function __codellama_at
    set -l words (commandline -opc)
    set -l path
    for word in $words[2..-1]
        string match -q -- '-*' $word; and continue
        # below a command that has none, words are arguments
        contains -- "$path" @GROUPS@; or break
        set -a path $word
    end
    test "$path" = "$argv[1]"
end

# what of a value is there: of --option=value what stands behind the sign
function __codellama_word
    commandline -ct | string replace -r -- '^--[\w-]+=' '' | string unescape
end

# whether a line of a file is being named
function __codellama_line
    set -l word (__codellama_word)
    set -l file (string replace -r ':[0-9]*$' '' -- "$word" | string replace -r '^~/' $HOME/)
    string match -qr -- ':[0-9]*$' "$word"; and test -f "$file"
end

# what the program knows of a kind of value
function __codellama_ask
    set -l words (commandline -opc)
    set -l program (string replace -r '^~/' $HOME/ -- $words[1])
    $program __complete $argv[1] (__codellama_word) 2>/dev/null
end

complete -c codellama -f
@COMPLETIONS@
"""


def script(tree: Command) -> str:
    groups = " ".join(_quoted(" ".join(command.path)) for command in tree.walk() if command.commands)
    lines = [line for command in tree.walk() for line in _command(command)]
    return _SCRIPT.replace("@GROUPS@", groups).replace("@COMPLETIONS@", "\n".join(lines))


def _command(command: Command) -> list[str]:
    here = f"__codellama_at {_quoted(' '.join(command.path))}"
    at = _where(here)
    lines = [f"{at} -a {each.path[-1]} -d {_quoted(each.help)}" for each in command.commands]
    # fish counts no arguments: each is completed by what any of them takes
    for value in dict.fromkeys(argument.value for argument in command.arguments):
        lines += _argument(value, here)
    lines += [f"{at} {_option(option)}" for option in command.options]
    return lines


def _where(condition: str) -> str:
    return f"complete -c codellama -n {_quoted(condition)}"


def _argument(value: Value, here: str) -> list[str]:
    match value.kind:
        case "text":
            return []
        case "files":
            return [f"{_where(here)} -F"]
        case "lines":
            # fish would give files behind a colon too
            named = f"{_where(here + '; and __codellama_line')} -k -a {_quoted(_values(value))}"
            return [f"{_where(here + '; and not __codellama_line')} -F", named]
        case "choices" | "directories":
            return [f"{_where(here)} -a {_quoted(_values(value))}"]
        case _:
            return [f"{_where(here)} -k -a {_quoted(_values(value))}"]


def _option(option: Option) -> str:
    names = [f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names]
    if option.value is None:
        taken = ""
    elif option.value.kind == "files":
        taken = " -r -F"
    elif option.value.kind == "text":
        taken = " -x"
    else:
        taken = f" -x -a {_quoted(_values(option.value))}"
    return f"{' '.join(names)}{taken} -d {_quoted(option.help)}"


def _values(value: Value) -> str:
    match value.kind:
        case "choices":
            return " ".join(value.choices)
        case "directories":
            return "(__fish_complete_directories (__codellama_word))"
        case "models":
            return "(__codellama_ask models; __fish_complete_directories (__codellama_word))"
        case kind:
            return f"(__codellama_ask {kind})"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
