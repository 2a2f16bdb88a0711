#!/usr/bin/env bash
# The completions in real shells: commands, options, values and the names of profiles, which come from what is
# published. The manual page through the formatters, the scripts that are shipped through shellcheck. Needs no root, but
# for installing what is missing.
set -euo pipefail
repository=$(cd "$(dirname "$0")/../.." && pwd)
. "$repository/tests/install/lib.sh"

needs zsh zsh fish fish mandoc mandoc man man-db shellcheck shellcheck
completions=$packaging/completions
work=$(mktemp -d)
trap 'kill "${fake:-}" 2>/dev/null || true; rm -rf "$work"' EXIT

step 'the scripts that are shipped'
sed -n '/^  - |$/,$s/^    //p' "$packaging/cloud-init/user-data.yaml" >"$work/user-data"
has '^set -eu$' <"$work/user-data" || fail 'no script in the user data'
shellcheck --shell=sh --severity=style "$work/user-data" || fail 'the user data'
shellcheck --severity=style "$repository/.ci/run" "$packaging"/build/{release,static-pie-ld} \
    "$packaging"/packages/{build,after-install,before-removal,after-removal} "$completions/rolekeeper.bash" || fail 'shellcheck'

step 'the manual page'
said=$(mandoc -T lint "$packaging/man/rolekeeper.1" 2>&1 | grep -v -e 'referenced manual not found' -e 'mandoc.db' || true)
[ -z "$said" ] || fail "mandoc: $said"
said=$(LC_ALL=C.UTF-8 MANWIDTH=80 man --warnings -l "$packaging/man/rolekeeper.1" 2>&1 >"$work/page")
[ -z "$said" ] || fail "man: $said"
grep -q 'instancecrossaccount' "$work/page" || fail 'the page is cut short'

step 'two profiles are published'
mkfifo "$work/lines"
"$fake_aws" --dir "$work/aws" <>"$work/lines" >"$work/fake" &
fake=$!
eventually 10 grep -q READY "$work/fake"
. "$work/aws/env"
for name in instancecrossaccount team:prod/eu; do
    printf '[profile %s]\nrole_arn = arn:aws:iam::222222222222:role/efgh\ncredential_source = Ec2InstanceMetadata\nregion = us-east-1\n' "$name"
done >"$work/config"
chmod 600 "$work/config"
mkdir "$work/bin"
ln -s "$binary" "$work/bin/rolekeeper"
# What the shells run with: the fake is gone by then, so a completion that asked anybody would fail.
clean=(env -i "PATH=$work/bin:/usr/bin:/bin" "HOME=$work" LC_ALL=C.UTF-8 TERM=dumb "RUNTIME_DIRECTORY=$work/run" AWS_EC2_METADATA_DISABLED=true)
env -i "RUNTIME_DIRECTORY=$work/run" "AWS_EC2_METADATA_SERVICE_ENDPOINT=$AWS_EC2_METADATA_SERVICE_ENDPOINT" \
    "AWS_ENDPOINT_URL_STS=$AWS_ENDPOINT_URL_STS" "AWS_CA_BUNDLE=$AWS_CA_BUNDLE" "$binary" refresh --config "$work/config"
kill "$fake"
"${clean[@]}" rolekeeper status | cut -f1

in_bash() { # LINE: the completions of its last word
    "${clean[@]}" bash --norc --noprofile -c '
        . "$1"
        COMP_LINE=$2 COMP_POINT=${#2}
        _rolekeeper
        printf "%s\n" "${COMPREPLY[@]}"' bash "$completions/rolekeeper.bash" "$1" | sort | tr '\n' ' '
}
in_fish() {
    "${clean[@]}" fish --no-config -c "source $completions/rolekeeper.fish; complete -C \$argv[1]" "$1" | cut -f1 | sort | tr '\n' ' '
}
# zsh completes at its line editor only, so one is run at a terminal of its own, where completions are listed.
in_zsh() {
    "${clean[@]}" "COMPLETIONS=$completions" zsh -f "$repository/tests/install/complete.zsh" "$1" | sort -u | tr '\n' ' '
}
for shell in bash fish zsh; do
    step "$shell"
    offers() { # LINE WORD...: all of the words are among the completions
        local line=$1 found
        found=" $(in_$shell "$line")"
        shift
        for word; do
            case $found in *" $word "*) ;; *) fail "$shell: '$line' offers$found, and not $word" ;; esac
        done
    }
    lacks() { # LINE WORD...: none of the words is
        local line=$1 found
        found=" $(in_$shell "$line")"
        shift
        for word; do
            case $found in *" $word "*) fail "$shell: '$line' offers$found, with $word" ;; esac
        done
    }
    offers 'rolekeeper ' run refresh print exec status whoami
    lacks 'rolekeeper ' instancecrossaccount
    offers 'rolekeeper re' refresh
    lacks 'rolekeeper re' run
    offers 'rolekeeper refresh --' --force --splay --config --help
    lacks 'rolekeeper refresh --' --format --json
    lacks 'rolekeeper status --' --force
    offers 'rolekeeper print --format ' json env export ini
    offers 'rolekeeper print --format e' env export
    lacks 'rolekeeper print --format e' json
    offers 'rolekeeper print ' instancecrossaccount
    offers 'rolekeeper print inst' instancecrossaccount
    offers 'rolekeeper refresh instancecrossaccount ' instancecrossaccount
    lacks 'rolekeeper print instancecrossaccount ' instancecrossaccount
    offers 'rolekeeper exec ' instancecrossaccount
    offers 'rolekeeper --output-dir /nowhere whoa' whoami
    lacks 'rolekeeper print --output-dir /nowhere ' instancecrossaccount
    offers 'rolekeeper status ' instancecrossaccount
    lacks 'rolekeeper run ' instancecrossaccount
    offers 'rolekeeper exec instancecrossaccount -- rolek' rolekeeper
    offers 'rolekeeper print -- ' instancecrossaccount
    lacks 'rolekeeper print -- ' rolekeeper
    # zsh names the directory once and for all, the others with each file.
    case $shell in zsh) file=config ;; *) file=$work/config ;; esac
    offers "rolekeeper --config $work/conf" "$file"
    offers 'rolekeeper print tea' team:prod/eu
done
offers=$(in_bash 'rolekeeper print --format=e')
[ "$offers" = 'env export ' ] || fail "bash: --format=e offers $offers"
# What bash replaces begins after the colon.
offers=$(in_bash 'rolekeeper print team:pr')
[ "$offers" = 'prod/eu ' ] || fail "bash: a name with a colon offers $offers"
step 'done'
