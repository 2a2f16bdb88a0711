# bash completion for rolekeeper. Written from the tables of the command line; see agent/src/cli/papers.

_rolekeeper_profiles() {
    rolekeeper status "$@" 2>/dev/null | sed -n 's/\t.*//p'
}

_rolekeeper() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local command= operands=0 options= first= profiles=0 where=() word name index
    COMPREPLY=()
    # bash cuts `--format=env` into three words.
    if [[ $current == = ]]; then
        current=
    elif [[ $previous == = ]]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    for ((index = 1; index < COMP_CWORD; index++)); do
        word=${COMP_WORDS[index]}
        case $word in
        --)
            # What follows is a command of its own.
            if declare -F _command_offset >/dev/null; then
                _command_offset $((index + 1))
            elif ((COMP_CWORD == index + 1)); then
                COMPREPLY=($(compgen -c -- "$current"))
            else
                COMPREPLY=($(compgen -f -- "$current"))
            fi
            return
            ;;
        --splay | --format | --min-life | --config | --output-dir | --role-arn | --credential-source | --profile-name | --external-id | --duration-seconds | --role-session-name | --region)
            [[ ${COMP_WORDS[index + 1]} != = ]] || ((index++))
            case $word in --config | --output-dir) where+=("$word" "${COMP_WORDS[index + 1]}") ;; esac
            ((index++))
            ;;
        -* | =) ;;
        *) if [[ -z $command ]]; then command=$word; else ((operands++)); fi ;;
        esac
    done
    case $previous in
    --format) COMPREPLY=($(compgen -W 'json env export ini' -- "$current")); return ;;
    --config) COMPREPLY=($(compgen -f -- "$current")); return ;;
    --output-dir) COMPREPLY=($(compgen -d -- "$current")); return ;;
    --credential-source) COMPREPLY=($(compgen -W 'Ec2InstanceMetadata' -- "$current")); return ;;
    --splay | --min-life | --role-arn | --profile-name | --external-id | --duration-seconds | --role-session-name | --region) return ;;
    esac
    case $command in
    run) options='--config --output-dir --verbose -v --help -h --version -V' profiles=0 ;;
    refresh) options='--force --splay --config --output-dir --verbose -v --help -h --version -V --role-arn --credential-source --profile-name --external-id --duration-seconds --role-session-name --region' profiles=more ;;
    print) options='--format --config --output-dir --verbose -v --help -h --version -V --role-arn --credential-source --profile-name --external-id --duration-seconds --role-session-name --region' profiles=1 ;;
    exec) options='--min-life --refreshing --config --output-dir --verbose -v --help -h --version -V --role-arn --credential-source --profile-name --external-id --duration-seconds --role-session-name --region' profiles=1 ;;
    status) options='--json --config --output-dir --verbose -v --help -h --version -V' profiles=0 ;;
    whoami) options='--config --output-dir --verbose -v --help -h --version -V --role-arn --credential-source --profile-name --external-id --duration-seconds --role-session-name --region' profiles=1 ;;
    *) options='--config --output-dir --verbose -v --help -h --version -V' first='run refresh print exec status whoami' ;;
    esac
    if [[ $current == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$current"))
    elif [[ -n $first ]]; then
        COMPREPLY=($(compgen -W "$first" -- "$current"))
    elif [[ $profiles == more ]] || ((operands < profiles)); then
        while IFS= read -r name; do
            printf -v word %q "$name"
            if [[ $name == "$current"* || $word == "$current"* ]]; then COMPREPLY+=("$word"); fi
        done < <(_rolekeeper_profiles "${where[@]}")
    fi
}

complete -F _rolekeeper rolekeeper
