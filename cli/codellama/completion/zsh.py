"""The completion script for zsh."""

from __future__ import annotations

from codellama.completion.tree import Command, Option, Value

_SCRIPT = r"""#compdef codellama
# zsh completion for codellama. Generated from its command tree: change nothing here.
#
# The tree stands in this file, so that TAB does not start the program; it is asked only for what this machine alone
# knows: models, lines of a file, languages, sessions.

# what the program knows of a kind of value: $1; as it stands on the line: $2; what of it stands there already: $3
_codellama_ask() {
    local line
    local -a values shown
    for line in "${(@f)$($_codellama_program __complete $1 "$2" 2>/dev/null)}"; do
        [[ -n $line ]] || continue
        line=${line#"$3"}
        values+=("${line%%$'\t'*}")
        shown+=("${line%%$'\t'*}  ${line#*$'\t'}")
    done
    (( $#values )) && compadd -V $1 -l -d shown -a values
}

_codellama_models() {
    local -i found=1
    _codellama_ask models "${(Q)PREFIX}" && found=0
    _directories && found=0
    return found
}

_codellama_lines() {
    local word=${(Q)PREFIX}
    local file=${word%:*}
    # the tilde is not yet what it stands for
    if [[ $word == *:* && -f ${file/#\~\//$HOME/} ]]; then
        compset -P '*:'
        _codellama_ask lines "$word" "$file:"
    else
        _files
    fi
}

_codellama_languages() { _codellama_ask languages "${(Q)PREFIX}" }
_codellama_sessions() { _codellama_ask sessions "${(Q)PREFIX}" }

@FUNCTIONS@
_codellama() {
    local _codellama_program=${${(Q)words[1]}/#\~\//$HOME/}
    _codellama_at
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _codellama "$@"
else
    compdef _codellama codellama
fi
"""


def script(tree: Command) -> str:
    return _SCRIPT.replace("@FUNCTIONS@", "\n".join(_function(command) for command in tree.walk()))


def _name(path: tuple[str, ...]) -> str:
    return "_".join(["_codellama_at", *path]).replace("-", "_")


def _function(command: Command) -> str:
    specs = [spec for option in command.options for spec in _option(option)]
    if not command.commands:
        for each in command.arguments:
            specs.append(_quoted(f"{'*' if each.multiple else ''}:{_plain(each.metavar)}:{_action(each.value)}"))
        lines = " \\\n        ".join(["_arguments -s -S :", *specs])
        return f"{_name(command.path)}() {{\n    {lines}\n}}\n"
    specs += ["'1:command:->command'", "'*::argument:->argument'"]
    lines = " \\\n        ".join(["_arguments -C -s :", *specs])
    listed = "\n".join(
        "                " + _quoted(f"{each.path[-1]}:{_plain(each.help)}") for each in command.commands
    )  # fmt: skip
    cases = "\n".join(f"                {each.path[-1]}) {_name(each.path)} ;;" for each in command.commands)
    return f"""{_name(command.path)}() {{
    local curcontext=$curcontext state line
    local -a commands
    local -A opt_args
    {lines} && return 0
    case $state in
        command)
            commands=(
{listed}
            )
            _describe command commands ;;
        argument)
            case $line[1] in
{cases}
            esac ;;
    esac
}}
"""


def _option(option: Option) -> list[str]:
    """Its specification, one for each name: they exclude each other, unless it may be given again."""
    others = "" if option.multiple else f"({' '.join(option.names)})"
    specs = []
    for name in option.names:
        taking = "" if option.value is None else "=" if name.startswith("--") else "+"
        value = "" if option.value is None else f":{_plain(option.metavar or 'value')}:{_action(option.value)}"
        repeated = "*" if option.multiple else ""
        specs.append(_quoted(f"{others}{repeated}{name}{taking}[{_plain(option.help)}]{value}"))
    return specs


def _action(value: Value) -> str:
    match value.kind:
        case "choices":
            return f"({' '.join(choice.replace(':', chr(92) + ':') for choice in value.choices)})"
        case "files" | "directories":
            return f"_{value.kind}"
        case "text":
            return " "
        case kind:
            return f"_codellama_{kind}"


def _plain(text: str) -> str:
    for character in "\\[]:":
        text = text.replace(character, "\\" + character)
    return text


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
