# bash completion for codellama. Generated from its command tree: change nothing here.
#
# The tree stands in this file, so that TAB does not start the program; it is asked only for what this machine alone
# knows: models, lines of a file, languages, sessions.

# of a command: what stands below it, its flags, its options with what their values are, and its arguments
_codellama_node() {
    commands='' flags='' values='' operands=''
    case $1 in
        '')
            commands='attention chat complete completion convert docstring doctor history infill models prompt'
            flags='--version --help -h'
            ;;
        'attention')
            flags='--force --chat --suffix-first --prefix-first --json --4bit --8bit --quiet -q --help -h'
            values='--weights=text --png=files --system=text -s=text --dialog=files --context=files --lang=languages --tokenizer=files --model=models -m=models --dtype=auto|float32|float16|bfloat16 --device=auto|cpu|cuda|cuda:0|cuda:1 --as=infill|instruct|instruct-70b'
            operands='lines'
            ;;
        'chat')
            flags='--continue -c --drop-oldest --extract -x --extract-last --xl --no-history --tui --json --dry-run --4bit --8bit --quiet -q --help -h'
            values='--file=files -f=files --system=text -s=text --cid=sessions --model=models -m=models --dtype=auto|float32|float16|bfloat16 --device=auto|cpu|cuda|cuda:0|cuda:1 --temperature=text --top-p=text --top-k=text --seed=text --max-tokens=text --repetition-penalty=text --no-repeat-ngram=text --as=infill|instruct|instruct-70b'
            operands='text'
            ;;
        'complete')
            flags='--echo --json --dry-run --4bit --8bit --quiet -q --help -h'
            values='--file=files -f=files --candidates=text -n=text --stop=text --lang=languages --model=models -m=models --dtype=auto|float32|float16|bfloat16 --device=auto|cpu|cuda|cuda:0|cuda:1 --temperature=text --top-p=text --top-k=text --seed=text --max-tokens=text --repetition-penalty=text --no-repeat-ngram=text --as=infill|instruct|instruct-70b'
            operands='text'
            ;;
        'completion')
            commands='install show uninstall'
            flags='--help -h'
            ;;
        'completion install')
            flags='--force --quiet -q --help -h'
            operands='bash|zsh|fish'
            ;;
        'completion show')
            flags='--help -h'
            operands='bash|zsh|fish'
            ;;
        'completion uninstall')
            flags='--quiet -q --help -h'
            operands='bash|zsh|fish'
            ;;
        'convert')
            flags='--4bit --force --dry-run --json --quiet -q --help -h'
            values='--variant=base|python|instruct --dtype=auto|float32|float16|bfloat16 --shard-size=text --skip-checksum=files --verify=directories'
            operands='directories directories'
            ;;
        'docstring')
            flags='--check --diff --modules --private --magic --tests --changed --staged --fail-open --4bit --8bit --quiet -q --help -h'
            values='--since=text --max-functions=text --timeout=text --style=plain|google|numpy|sphinx --model=models -m=models --dtype=auto|float32|float16|bfloat16 --device=auto|cpu|cuda|cuda:0|cuda:1 --temperature=text --top-p=text --top-k=text --seed=text --max-tokens=text --repetition-penalty=text --no-repeat-ngram=text --as=infill|instruct|instruct-70b'
            operands='files...'
            ;;
        'doctor')
            flags='--json --quiet -q --help -h'
            ;;
        'history')
            commands='delete export list off on search show'
            flags='--help -h'
            ;;
        'history delete')
            flags='--all --yes -y --help -h'
            operands='sessions...'
            ;;
        'history export')
            flags='--help -h'
            operands='sessions files'
            ;;
        'history list')
            flags='--json --help -h'
            values='--limit=text -n=text'
            ;;
        'history off')
            flags='--help -h'
            ;;
        'history on')
            flags='--help -h'
            ;;
        'history search')
            flags='--json --help -h'
            values='--limit=text -n=text'
            operands='text'
            ;;
        'history show')
            flags='--json --help -h'
            operands='sessions'
            ;;
        'infill')
            flags='--whole --diff --write -w --json --pick --single-line --suffix-first --prefix-first --raw --dry-run --4bit --8bit --quiet -q --help -h'
            values='--candidates=text -n=text --beams=text --max-lines=text --context=files --lang=languages --model=models -m=models --dtype=auto|float32|float16|bfloat16 --device=auto|cpu|cuda|cuda:0|cuda:1 --temperature=text --top-p=text --top-k=text --seed=text --max-tokens=text --repetition-penalty=text --no-repeat-ngram=text --as=infill|instruct|instruct-70b'
            operands='lines'
            ;;
        'models')
            commands='info list memory path pull remove'
            flags='--help -h'
            ;;
        'models info')
            flags='--verify --json --quiet -q --help -h'
            operands='models'
            ;;
        'models list')
            flags='--json --help -h'
            ;;
        'models memory')
            flags='--json --quiet -q --help -h'
            values='--context=text -c=text --batch=text -b=text'
            operands='models'
            ;;
        'models path')
            flags='--help -h'
            operands='models'
            ;;
        'models pull')
            flags='--4bit --drop-original --dry-run --json --quiet -q --help -h'
            values='--revision=text'
            operands='models'
            ;;
        'models remove')
            flags='--yes -y --quiet -q --help -h'
            operands='models'
            ;;
        'prompt')
            commands='show'
            flags='--help -h'
            ;;
        'prompt show')
            commands='chat complete infill'
            flags='--help -h'
            ;;
        'prompt show chat')
            flags='--json --quiet -q --help -h'
            values='--file=files -f=files --system=text -s=text --dialog=files --model=models -m=models --tokenizer=files --as=infill|instruct|instruct-70b'
            operands='text'
            ;;
        'prompt show complete')
            flags='--json --quiet -q --help -h'
            values='--file=files -f=files --model=models -m=models --tokenizer=files'
            operands='text'
            ;;
        'prompt show infill')
            flags='--suffix-first --prefix-first --json --quiet -q --help -h'
            values='--prefix=text --suffix=text --context=files --lang=languages --max-tokens=text --model=models -m=models --tokenizer=files --as=infill|instruct|instruct-70b'
            operands='lines'
            ;;
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
