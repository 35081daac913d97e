# fish completion for codellama. Generated from its command tree: change nothing here.
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
        contains -- "$path" '' 'completion' 'prompt' 'prompt show'; or break
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
complete -c codellama -n '__codellama_at \'\'' -a attention -d 'Show which token of a prompt sees which'
complete -c codellama -n '__codellama_at \'\'' -a complete -d 'Go on with a text'
complete -c codellama -n '__codellama_at \'\'' -a completion -d 'Complete commands, options, models and lines with TAB'
complete -c codellama -n '__codellama_at \'\'' -a convert -d 'Turn weights as Meta ships them into a directory in Hugging Face\'s layout, and prove it'
complete -c codellama -n '__codellama_at \'\'' -a doctor -d 'Look at Python, PyTorch, GPUs, memory, disk, settings, models and the terminal'
complete -c codellama -n '__codellama_at \'\'' -a infill -d 'Fill in the middle'
complete -c codellama -n '__codellama_at \'\'' -a prompt -d 'See what a model would see'
complete -c codellama -n '__codellama_at \'\'' -l version -d 'Print the version.'
complete -c codellama -n '__codellama_at \'\'' -l help -s h -d 'Show this message and exit.'
complete -c codellama -n '__codellama_at \'attention\'; and not __codellama_line' -F
complete -c codellama -n '__codellama_at \'attention\'; and __codellama_line' -k -a '(__codellama_ask lines)'
complete -c codellama -n '__codellama_at \'attention\'' -l weights -x -d 'Load the model and show what a head attends to; both from 0.'
complete -c codellama -n '__codellama_at \'attention\'' -l png -r -F -d 'Save a picture instead.'
complete -c codellama -n '__codellama_at \'attention\'' -l force -d 'Replace a picture that is there.'
complete -c codellama -n '__codellama_at \'attention\'' -l chat -d 'The text is a question, in the model\'s chat format.'
complete -c codellama -n '__codellama_at \'attention\'' -l system -s s -x -d 'With --chat: a system message before it.'
complete -c codellama -n '__codellama_at \'attention\'' -l dialog -r -F -d 'With --chat: earlier messages, a JSON list of {"role": …, "content": …}.'
complete -c codellama -n '__codellama_at \'attention\'' -l suffix-first -l prefix-first -d 'The prompt\'s order. Not given: suffix first where the hole begins a line.'
complete -c codellama -n '__codellama_at \'attention\'' -l context -r -F -d 'Show this file to the model too; may be given again.'
complete -c codellama -n '__codellama_at \'attention\'' -l lang -x -a '(__codellama_ask languages)' -d 'The language, if not the file\'s.'
complete -c codellama -n '__codellama_at \'attention\'' -l tokenizer -r -F -d 'A tokenizer.model or tokenizer.json for the ids.'
complete -c codellama -n '__codellama_at \'attention\'' -l json -d 'Print one JSON object.'
complete -c codellama -n '__codellama_at \'attention\'' -l model -s m -x -a '(__codellama_ask models; __fish_complete_directories (__codellama_word))' -d 'A directory, tiny, a name as 7b-instruct, or a hub id.'
complete -c codellama -n '__codellama_at \'attention\'' -l dtype -x -a 'auto float32 float16 bfloat16' -d 'auto (as stored), float16, bfloat16 or float32.'
complete -c codellama -n '__codellama_at \'attention\'' -l 4bit -d 'Quantise to 4 bit (nf4) on loading.'
complete -c codellama -n '__codellama_at \'attention\'' -l 8bit -d 'Quantise to 8 bit on loading.'
complete -c codellama -n '__codellama_at \'attention\'' -l device -x -a 'auto cpu cuda cuda:0 cuda:1' -d 'auto, cuda, cuda:1, 1 or cpu.'
complete -c codellama -n '__codellama_at \'attention\'' -l as -x -a 'infill instruct instruct-70b' -d 'Insist on infill, instruct or instruct-70b.'
complete -c codellama -n '__codellama_at \'attention\'' -l quiet -s q -d 'No progress, notes and warnings.'
complete -c codellama -n '__codellama_at \'attention\'' -l help -s h -d 'Show this message and exit.'
complete -c codellama -n '__codellama_at \'complete\'' -l file -s f -r -F -d 'Read the text from a file; -: standard input.'
complete -c codellama -n '__codellama_at \'complete\'' -l echo -d 'Print the prompt before its completion.'
complete -c codellama -n '__codellama_at \'complete\'' -l candidates -s n -x -d 'How many completions; in a pipe NUL between them.'
complete -c codellama -n '__codellama_at \'complete\'' -l stop -x -d 'End before this text; may be given again.'
complete -c codellama -n '__codellama_at \'complete\'' -l lang -x -a '(__codellama_ask languages)' -d 'Highlight as this language.'
complete -c codellama -n '__codellama_at \'complete\'' -l json -d 'Print one JSON object at the end.'
complete -c codellama -n '__codellama_at \'complete\'' -l dry-run -d 'Print what the model would see, and stop.'
complete -c codellama -n '__codellama_at \'complete\'' -l model -s m -x -a '(__codellama_ask models; __fish_complete_directories (__codellama_word))' -d 'A directory, tiny, a name as 7b-instruct, or a hub id.'
complete -c codellama -n '__codellama_at \'complete\'' -l dtype -x -a 'auto float32 float16 bfloat16' -d 'auto (as stored), float16, bfloat16 or float32.'
complete -c codellama -n '__codellama_at \'complete\'' -l 4bit -d 'Quantise to 4 bit (nf4) on loading.'
complete -c codellama -n '__codellama_at \'complete\'' -l 8bit -d 'Quantise to 8 bit on loading.'
complete -c codellama -n '__codellama_at \'complete\'' -l device -x -a 'auto cpu cuda cuda:0 cuda:1' -d 'auto, cuda, cuda:1, 1 or cpu.'
complete -c codellama -n '__codellama_at \'complete\'' -l temperature -x -d '0: always the likeliest token. In complete 0.2.'
complete -c codellama -n '__codellama_at \'complete\'' -l top-p -x -d 'Draw from the likeliest tokens up to P. In complete 0.9.'
complete -c codellama -n '__codellama_at \'complete\'' -l top-k -x -d 'Draw from the K likeliest tokens; 0: all.'
complete -c codellama -n '__codellama_at \'complete\'' -l seed -x -d 'The same seed draws the same text.'
complete -c codellama -n '__codellama_at \'complete\'' -l max-tokens -x -d 'Tokens to generate at most; 256.'
complete -c codellama -n '__codellama_at \'complete\'' -l repetition-penalty -x -d 'Make what was said less likely; 1: do not.'
complete -c codellama -n '__codellama_at \'complete\'' -l no-repeat-ngram -x -d 'Say no N tokens twice; 0: do not mind.'
complete -c codellama -n '__codellama_at \'complete\'' -l as -x -a 'infill instruct instruct-70b' -d 'Insist on infill, instruct or instruct-70b.'
complete -c codellama -n '__codellama_at \'complete\'' -l quiet -s q -d 'No progress, notes and warnings.'
complete -c codellama -n '__codellama_at \'complete\'' -l help -s h -d 'Show this message and exit.'
complete -c codellama -n '__codellama_at \'completion\'' -a install -d 'Write the script to where the shell looks for it'
complete -c codellama -n '__codellama_at \'completion\'' -a show -d 'Print the script'
complete -c codellama -n '__codellama_at \'completion\'' -a uninstall -d 'Remove what install wrote'
complete -c codellama -n '__codellama_at \'completion\'' -l help -s h -d 'Show this message and exit.'
complete -c codellama -n '__codellama_at \'completion install\'' -a 'bash zsh fish'
complete -c codellama -n '__codellama_at \'completion install\'' -l force -d 'Replace a file that is not codellama\'s.'
complete -c codellama -n '__codellama_at \'completion install\'' -l quiet -s q -d 'No notes.'
complete -c codellama -n '__codellama_at \'completion install\'' -l help -s h -d 'Show this message and exit.'
complete -c codellama -n '__codellama_at \'completion show\'' -a 'bash zsh fish'
complete -c codellama -n '__codellama_at \'completion show\'' -l help -s h -d 'Show this message and exit.'
complete -c codellama -n '__codellama_at \'completion uninstall\'' -a 'bash zsh fish'
complete -c codellama -n '__codellama_at \'completion uninstall\'' -l quiet -s q -d 'No notes.'
complete -c codellama -n '__codellama_at \'completion uninstall\'' -l help -s h -d 'Show this message and exit.'
complete -c codellama -n '__codellama_at \'convert\'' -a '(__fish_complete_directories (__codellama_word))'
complete -c codellama -n '__codellama_at \'convert\'' -l variant -x -a 'base python instruct' -d 'base, python or instruct, where the weights cannot tell.'
complete -c codellama -n '__codellama_at \'convert\'' -l dtype -x -a 'auto float32 float16 bfloat16' -d 'auto (as stored, bit for bit), float16, bfloat16 or float32.'
complete -c codellama -n '__codellama_at \'convert\'' -l 4bit -d 'Quantise to 4 bit (nf4); INPUT may be in Hugging Face\'s layout then.'
complete -c codellama -n '__codellama_at \'convert\'' -l shard-size -x -d 'The largest file, as 5GB or 500MB.'
complete -c codellama -n '__codellama_at \'convert\'' -l skip-checksum -r -F -d 'Do not compare FILE with checklist.chk; again for more.'
complete -c codellama -n '__codellama_at \'convert\'' -l force -d 'Replace an OUTPUT that convert made, once all is done.'
complete -c codellama -n '__codellama_at \'convert\'' -l dry-run -d 'Print what would be written, and stop.'
complete -c codellama -n '__codellama_at \'convert\'' -l verify -x -a '(__fish_complete_directories (__codellama_word))' -d 'Compare a converted directory with its checksums.'
complete -c codellama -n '__codellama_at \'convert\'' -l json -d 'Print one JSON object at the end.'
complete -c codellama -n '__codellama_at \'convert\'' -l quiet -s q -d 'No progress, notes and warnings.'
complete -c codellama -n '__codellama_at \'convert\'' -l help -s h -d 'Show this message and exit.'
complete -c codellama -n '__codellama_at \'doctor\'' -l json -d 'Print one JSON object.'
complete -c codellama -n '__codellama_at \'doctor\'' -l quiet -s q -d 'Print what is broken alone.'
complete -c codellama -n '__codellama_at \'doctor\'' -l help -s h -d 'Show this message and exit.'
complete -c codellama -n '__codellama_at \'infill\'; and not __codellama_line' -F
complete -c codellama -n '__codellama_at \'infill\'; and __codellama_line' -k -a '(__codellama_ask lines)'
complete -c codellama -n '__codellama_at \'infill\'' -l whole -d 'Print the whole text with its holes filled.'
complete -c codellama -n '__codellama_at \'infill\'' -l diff -d 'Print a unified diff.'
complete -c codellama -n '__codellama_at \'infill\'' -l write -s w -d 'Put the fill into the file.'
complete -c codellama -n '__codellama_at \'infill\'' -l json -d 'Print one JSON object at the end.'
complete -c codellama -n '__codellama_at \'infill\'' -l pick -d 'Choose among the candidates by key.'
complete -c codellama -n '__codellama_at \'infill\'' -l candidates -s n -x -d 'Draw N fills and take the best; 1, with --pick 4.'
complete -c codellama -n '__codellama_at \'infill\'' -l single-line -d 'Fill one line.'
complete -c codellama -n '__codellama_at \'infill\'' -l max-lines -x -d 'Fill N lines at most.'
complete -c codellama -n '__codellama_at \'infill\'' -l context -r -F -d 'Show this file to the model too; may be given again.'
complete -c codellama -n '__codellama_at \'infill\'' -l suffix-first -l prefix-first -d 'The prompt\'s order. Not given: suffix first where the hole begins a line.'
complete -c codellama -n '__codellama_at \'infill\'' -l raw -d 'Give what the model writes as it is.'
complete -c codellama -n '__codellama_at \'infill\'' -l lang -x -a '(__codellama_ask languages)' -d 'The language, if not the file\'s.'
complete -c codellama -n '__codellama_at \'infill\'' -l dry-run -d 'Print what the model would see, and stop.'
complete -c codellama -n '__codellama_at \'infill\'' -l model -s m -x -a '(__codellama_ask models; __fish_complete_directories (__codellama_word))' -d 'A directory, tiny, a name as 7b-instruct, or a hub id.'
complete -c codellama -n '__codellama_at \'infill\'' -l dtype -x -a 'auto float32 float16 bfloat16' -d 'auto (as stored), float16, bfloat16 or float32.'
complete -c codellama -n '__codellama_at \'infill\'' -l 4bit -d 'Quantise to 4 bit (nf4) on loading.'
complete -c codellama -n '__codellama_at \'infill\'' -l 8bit -d 'Quantise to 8 bit on loading.'
complete -c codellama -n '__codellama_at \'infill\'' -l device -x -a 'auto cpu cuda cuda:0 cuda:1' -d 'auto, cuda, cuda:1, 1 or cpu.'
complete -c codellama -n '__codellama_at \'infill\'' -l temperature -x -d '0: always the likeliest token. In complete 0.2.'
complete -c codellama -n '__codellama_at \'infill\'' -l top-p -x -d 'Draw from the likeliest tokens up to P. In complete 0.9.'
complete -c codellama -n '__codellama_at \'infill\'' -l top-k -x -d 'Draw from the K likeliest tokens; 0: all.'
complete -c codellama -n '__codellama_at \'infill\'' -l seed -x -d 'The same seed draws the same text.'
complete -c codellama -n '__codellama_at \'infill\'' -l max-tokens -x -d 'Tokens to generate at most; 256.'
complete -c codellama -n '__codellama_at \'infill\'' -l repetition-penalty -x -d 'Make what was said less likely; 1: do not.'
complete -c codellama -n '__codellama_at \'infill\'' -l no-repeat-ngram -x -d 'Say no N tokens twice; 0: do not mind.'
complete -c codellama -n '__codellama_at \'infill\'' -l as -x -a 'infill instruct instruct-70b' -d 'Insist on infill, instruct or instruct-70b.'
complete -c codellama -n '__codellama_at \'infill\'' -l quiet -s q -d 'No progress, notes and warnings.'
complete -c codellama -n '__codellama_at \'infill\'' -l help -s h -d 'Show this message and exit.'
complete -c codellama -n '__codellama_at \'prompt\'' -a show -d 'Print the text, the segments and the ids of a prompt'
complete -c codellama -n '__codellama_at \'prompt\'' -l help -s h -d 'Show this message and exit.'
complete -c codellama -n '__codellama_at \'prompt show\'' -a chat -d 'The prompt of a question, in the model\'s chat format'
complete -c codellama -n '__codellama_at \'prompt show\'' -a complete -d 'The prompt of `codellama complete`'
complete -c codellama -n '__codellama_at \'prompt show\'' -a infill -d 'The prompt of `codellama infill`'
complete -c codellama -n '__codellama_at \'prompt show\'' -l help -s h -d 'Show this message and exit.'
complete -c codellama -n '__codellama_at \'prompt show chat\'' -l file -s f -r -F -d 'Read the text from a file; -: standard input.'
complete -c codellama -n '__codellama_at \'prompt show chat\'' -l system -s s -x -d 'A system message before it.'
complete -c codellama -n '__codellama_at \'prompt show chat\'' -l dialog -r -F -d 'Earlier messages: a JSON list of {"role": …, "content": …}.'
complete -c codellama -n '__codellama_at \'prompt show chat\'' -l model -s m -x -a '(__codellama_ask models; __fish_complete_directories (__codellama_word))' -d 'Whose prompt: a directory, a name or a hub id.'
complete -c codellama -n '__codellama_at \'prompt show chat\'' -l tokenizer -r -F -d 'A tokenizer.model or tokenizer.json for the ids.'
complete -c codellama -n '__codellama_at \'prompt show chat\'' -l as -x -a 'infill instruct instruct-70b' -d 'Insist on infill, instruct or instruct-70b.'
complete -c codellama -n '__codellama_at \'prompt show chat\'' -l json -d 'Print one JSON object.'
complete -c codellama -n '__codellama_at \'prompt show chat\'' -l quiet -s q -d 'No notes.'
complete -c codellama -n '__codellama_at \'prompt show chat\'' -l help -s h -d 'Show this message and exit.'
complete -c codellama -n '__codellama_at \'prompt show complete\'' -l file -s f -r -F -d 'Read the text from a file; -: standard input.'
complete -c codellama -n '__codellama_at \'prompt show complete\'' -l model -s m -x -a '(__codellama_ask models; __fish_complete_directories (__codellama_word))' -d 'Whose prompt: a directory, a name or a hub id.'
complete -c codellama -n '__codellama_at \'prompt show complete\'' -l tokenizer -r -F -d 'A tokenizer.model or tokenizer.json for the ids.'
complete -c codellama -n '__codellama_at \'prompt show complete\'' -l json -d 'Print one JSON object.'
complete -c codellama -n '__codellama_at \'prompt show complete\'' -l quiet -s q -d 'No notes.'
complete -c codellama -n '__codellama_at \'prompt show complete\'' -l help -s h -d 'Show this message and exit.'
complete -c codellama -n '__codellama_at \'prompt show infill\'; and not __codellama_line' -F
complete -c codellama -n '__codellama_at \'prompt show infill\'; and __codellama_line' -k -a '(__codellama_ask lines)'
complete -c codellama -n '__codellama_at \'prompt show infill\'' -l prefix -x -d 'What stands before the hole.'
complete -c codellama -n '__codellama_at \'prompt show infill\'' -l suffix -x -d 'What stands after the hole.'
complete -c codellama -n '__codellama_at \'prompt show infill\'' -l suffix-first -l prefix-first -d 'The prompt\'s order. Not given: suffix first where the hole begins a line.'
complete -c codellama -n '__codellama_at \'prompt show infill\'' -l context -r -F -d 'Show this file to the model too; may be given again.'
complete -c codellama -n '__codellama_at \'prompt show infill\'' -l lang -x -a '(__codellama_ask languages)' -d 'The language, if not the file\'s.'
complete -c codellama -n '__codellama_at \'prompt show infill\'' -l max-tokens -x -d 'Tokens left for the fill.'
complete -c codellama -n '__codellama_at \'prompt show infill\'' -l model -s m -x -a '(__codellama_ask models; __fish_complete_directories (__codellama_word))' -d 'Whose prompt: a directory, a name or a hub id.'
complete -c codellama -n '__codellama_at \'prompt show infill\'' -l tokenizer -r -F -d 'A tokenizer.model or tokenizer.json for the ids.'
complete -c codellama -n '__codellama_at \'prompt show infill\'' -l as -x -a 'infill instruct instruct-70b' -d 'Insist on infill, instruct or instruct-70b.'
complete -c codellama -n '__codellama_at \'prompt show infill\'' -l json -d 'Print one JSON object.'
complete -c codellama -n '__codellama_at \'prompt show infill\'' -l quiet -s q -d 'No notes.'
complete -c codellama -n '__codellama_at \'prompt show infill\'' -l help -s h -d 'Show this message and exit.'
