"""The completion script for bash (3.2, as macOS has it, and later)."""

from __future__ import annotations

from codellama.completion.tree import Command, Value

_SCRIPT = r"""# bash completion for codellama. Generated from its command tree: change nothing here.
#
# The tree stands in this file, so that TAB does not start the program; it is asked only for what this machine alone
# knows: models, lines of a file, languages, sessions.

# of a command: what stands below it, its flags, its options with what their values are, and its arguments
_codellama_node() {
    commands='' flags='' values='' operands=''
    case $1 in
@NODES@
    esac
}

# what the program knows of a kind of value
_codellama_ask() {
    local value about listed=''
    # bash lists the candidates at a second TAB: what is said of them may stand beside them then
    [[ ${COMP_TYPE-} == 63 ]] && listed=1
    while IFS=$'\t' read -r value about; do
        [[ $listed && $about ]] && found+=("$value  ($about)") || found+=("$value")
    done < <("$program" __complete "$1" "$2" 2>/dev/null)
}

_codellama_values() {
    local kind=$1 word=$2 each file
    case $kind in
        text) compopt +o default +o bashdefault 2>/dev/null ;;
        files) compopt -o default -o filenames 2>/dev/null ;;
        directories)
            compopt -o filenames +o default 2>/dev/null
            while IFS= read -r each; do found+=("$each"); done < <(compgen -d -- "$word") ;;
        models)
            compopt -o filenames +o default 2>/dev/null
            _codellama_ask models "$word"
            while IFS= read -r each; do found+=("$each"); done < <(compgen -d -- "$word") ;;
        lines)
            # a backslash before a space is the shell's, not the file's
            each=${word//\\/}
            file=${each%:*}
            if [[ $word == *:* && -f ${file/#\~\//$HOME/} ]]; then
                compopt -o nosort +o default 2>/dev/null
                _codellama_ask lines "$each"
            else
                compopt -o default -o filenames 2>/dev/null
            fi ;;
        languages|sessions)
            compopt -o nosort +o default 2>/dev/null
            _codellama_ask "$kind" "$word" ;;
        *)
            compopt +o default +o bashdefault 2>/dev/null
            while IFS= read -r each; do found+=("$each"); done < <(compgen -W "${kind//|/ }" -- "$word") ;;
    esac
}

_codellama() {
    local IFS=$' \t\n' line=${COMP_LINE:0:COMP_POINT} words=() found=() word each kind='' path='' wants='' ended=''
    local commands flags values operands program i count=0
    COMPREPLY=()
    # bash takes words apart at : and =, which stand in FILE:LINE, cuda:0 and --option=value: they are put together
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        each=${line#"${line%%[![:space:]]*}"}
        if ((i == COMP_CWORD && ${#word} > ${#each})); then word=$each; fi
        if ((${#words[@]})) && [[ $each == "$line" && $line ]]; then
            words[${#words[@]}-1]+=$word
        else
            words+=("$word")
        fi
        line=${each:${#word}}
    done
    program=${words[0]/#\~\//$HOME/}
    word=${words[${#words[@]}-1]}
    _codellama_node ''
    for ((i = 1; i < ${#words[@]} - 1; i++)); do
        each=${words[i]}
        if [[ $wants ]]; then
            wants=''
        elif [[ ! $ended && $each == -- ]]; then
            ended=1
        elif [[ ! $ended && $each == -?* ]]; then
            [[ " $values " == *" $each="* ]] && wants=$each
        elif [[ " $commands " == *" $each "* ]]; then
            path+="${path:+ }$each"
            _codellama_node "$path"
        else
            ((count++))
        fi
    done
    if [[ ! $wants && ! $ended && $word == --*=* ]]; then
        wants=${word%%=*}
        word=${word#*=}
        [[ " $values " == *" $wants="* ]] || return 0
    fi
    if [[ $wants ]]; then
        for each in $values; do
            [[ $each == "$wants="* ]] && kind=${each#*=}
        done
        _codellama_values "$kind" "$word"
    elif [[ ! $ended && $word == -* ]]; then
        compopt +o default +o bashdefault 2>/dev/null
        for each in $flags $values; do
            each=${each%%=*}
            # of two names for one option the long one will do
            [[ $each == "$word"* && ($each == --* || $word == -?) ]] && found+=("$each")
        done
    elif [[ $commands ]]; then
        compopt +o default +o bashdefault 2>/dev/null
        while IFS= read -r each; do found+=("$each"); done < <(compgen -W "$commands" -- "$word")
    else
        # the last argument may be there to be repeated
        each=text
        for each in $operands; do
            ((count-- <= 0)) && break
            [[ $each == *... ]] && break
            each=text
        done
        _codellama_values "${each%...}" "$word"
    fi
    # what stands before the last of these characters stays on the line as it is
    line=''
    for each in : =; do
        if [[ $COMP_WORDBREAKS == *$each* && $word == *$each* ]]; then
            line=${word%"${word##*$each}"}
            word=${word##*$each}
            for ((i = 0; i < ${#found[@]}; i++)); do found[i]=${found[i]#"${line//\\/}"}; done
        fi
    done
    COMPREPLY=(${found[@]+"${found[@]}"})
}

complete -o bashdefault -o default -F _codellama codellama
"""


def script(tree: Command) -> str:
    nodes = "\n".join(_node(command) for command in tree.walk())
    return _SCRIPT.replace("@NODES@", nodes)


def _node(command: Command) -> str:
    flags = [name for option in command.options if option.value is None for name in option.names]
    values = [
        f"{name}={_kind(option.value)}" for option in command.options if option.value for name in option.names
    ]  # fmt: skip
    operands = [_kind(each.value) + ("..." if each.multiple else "") for each in command.arguments]
    parts = {
        "commands": [each.path[-1] for each in command.commands],
        "flags": flags, "values": values, "operands": operands,
    }  # fmt: skip
    lines = [f"            {name}='{' '.join(words)}'" for name, words in parts.items() if words]
    return "\n".join([f"        '{' '.join(command.path)}')", *lines, "            ;;"])


def _kind(value: Value) -> str:
    # a choice alone would look like a kind
    return "|".join(value.choices) + ("|" if len(value.choices) == 1 else "") if value.choices else value.kind
