# bash completion for rolekeeper. Written from the tables of the command line; see agent/src/cli/papers.

_rolekeeper_profiles() {
    rolekeeper status "$@" 2>/dev/null | sed -n 's/\t.*//p'
}

_rolekeeper() {
    local line=${COMP_LINE:0:COMP_POINT} words word current previous
    local command='' after='' operands=0 options='' first='' profiles=0 where=()
    COMPREPLY=()
    # Not COMP_WORDS, which are cut at `=` and `:`.
    read -r -a words <<<"$line"
    [[ $line != *[[:space:]] ]] || words+=("")
    current=${words[-1]} previous=${words[-2]}
    unset 'words[-1]' 'words[0]'
    for word in "${words[@]}"; do
        if [[ -n $after ]]; then
            case $after in --config | --output-dir) where+=("$after" "$word") ;; esac
            after=
            continue
        fi
        case $word in
        --)
            [[ $command == exec ]] || continue
            # What follows is a command of its own.
            if [[ $previous == -- ]]; then
                mapfile -t COMPREPLY < <(compgen -c -- "$current")
            else
                _rolekeeper_files -f
            fi
            return
            ;;
        --splay | --format | --min-life | --config | --output-dir | --role-arn | --credential-source | --profile-name | --external-id | --duration-seconds | --role-session-name | --region) after=$word ;;
        --config=* | --output-dir=*) where+=("$word") ;;
        -*) ;;
        *) if [[ -z $command ]]; then command=$word; else ((operands++)); fi ;;
        esac
    done
    if [[ $current == --*=* ]]; then
        previous=${current%%=*} current=${current#*=}
    fi
    case $previous in
    --format) mapfile -t COMPREPLY < <(compgen -W 'json env export ini' -- "$current"); return ;;
    --config) _rolekeeper_files -f; return ;;
    --output-dir) _rolekeeper_files -d; return ;;
    --credential-source) mapfile -t COMPREPLY < <(compgen -W 'Ec2InstanceMetadata EcsContainer Environment' -- "$current"); return ;;
    --splay | --min-life | --role-arn | --profile-name | --external-id | --duration-seconds | --role-session-name | --region) return ;;
    esac
    case $command in
    run) options='--config --output-dir --verbose -v --help -h --version -V --role-arn --credential-source --profile-name --external-id --duration-seconds --role-session-name --region' profiles=0 ;;
    refresh) options='--force --splay --config --output-dir --verbose -v --help -h --version -V --role-arn --credential-source --profile-name --external-id --duration-seconds --role-session-name --region' profiles=more ;;
    print) options='--format --config --output-dir --verbose -v --help -h --version -V --role-arn --credential-source --profile-name --external-id --duration-seconds --role-session-name --region' profiles=1 ;;
    exec) options='--min-life --refreshing --config --output-dir --verbose -v --help -h --version -V --role-arn --credential-source --profile-name --external-id --duration-seconds --role-session-name --region' profiles=1 ;;
    status) options='--json --ready --config --output-dir --verbose -v --help -h --version -V' profiles=more ;;
    whoami) options='--config --output-dir --verbose -v --help -h --version -V --role-arn --credential-source --profile-name --external-id --duration-seconds --role-session-name --region' profiles=1 ;;
    *) options='--config --output-dir --verbose -v --help -h --version -V' first='run refresh print exec status whoami' ;;
    esac
    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
    elif [[ -n $first ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$first" -- "$current")
    elif [[ $profiles == more ]] || ((operands < profiles)); then
        while IFS= read -r word; do
            # Of a word with colons, only what follows the last one is replaced.
            if [[ $word == "$current"* ]]; then COMPREPLY+=("${word#"${current%"${current##*:}"}"}"); fi
        done < <(_rolekeeper_profiles "${where[@]}")
    fi
}

_rolekeeper_files() {
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen "$1" -- "$current")
}

complete -F _rolekeeper rolekeeper
