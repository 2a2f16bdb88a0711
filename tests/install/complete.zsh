# complete.zsh LINE: what zsh offers at its end, a completion on each line. A second zsh is run at a terminal of its
# own with a line editor that writes down what its completion functions add, instead of showing it.
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'PROMPT= RPROMPT=; stty -echo; fpath=($COMPLETIONS $fpath); autoload -U compinit; compinit -u -d $HOME/.zcompdump'
zpty -w shell 'compadd() {
    local -a found shown
    [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]] && { builtin compadd "$@"; return $? }
    builtin compadd -O found "$@"
    builtin compadd "$@"
    local code=$?
    for shown in $found; do print -r -- "offered:${IPREFIX}$shown"; done
    return $code
}
complete-and-tell() { zle complete-word; print -r -- "told:" }
zle -C complete-word complete-word _main_complete
zle -N complete-and-tell; bindkey "^I" complete-and-tell
print -r -- ready:'
zpty -r -m shell text $'*ready:\r\n' || exit 1
zpty -w -n shell "$1"$'\t'
zpty -r -m shell text '*told:*' || exit 1
print -r -- "$text" | tr -d '\r' | sed -n 's/.*offered://p'
zpty -d shell
