#!/usr/bin/env bash
# A program for another processor at work under qemu, against a fake AWS that runs already; called by release.sh.
#
#   foreign.sh commands PROGRAM QEMU WORK   what ends by itself, and the daemon where it cannot start itself again
#   foreign.sh daemon   PROGRAM QEMU WORK   in a user namespace, whose kernel starts such programs with qemu: rotations,
#                                           workers, hook, merged file, endpoint, reload, end
#   foreign.sh later    PROGRAM QEMU WORK   with clocks that are beyond what 32 bits can count
. "$(dirname "$0")/lib.sh"

mode=$1 program=$2 qemu=$3 work=$4 emulator=$3-static
# shellcheck source=/dev/null
. "$work/aws/env"
here=$work/$mode-$qemu
mkdir -p "$here/home"
daemon=
trap 'kill -KILL "$daemon" 2>/dev/null || true' EXIT
clean=(env -i "RUNTIME_DIRECTORY=$here/run" "AWS_EC2_METADATA_SERVICE_ENDPOINT=$AWS_EC2_METADATA_SERVICE_ENDPOINT"
    "AWS_ENDPOINT_URL_STS=$AWS_ENDPOINT_URL_STS" "AWS_CA_BUNDLE=$AWS_CA_BUNDLE" PATH=/usr/bin:/bin)
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
install -m 600 /dev/stdin "$here/config" <<END_OF_CONFIG
[rolekeeper]
serve = 127.0.0.1:$port
[profile own]
rolekeeper_publish = true
credential_source = Ec2InstanceMetadata
region = us-east-1
[profile efgh]
role_arn = arn:aws:iam::222222222222:role/efgh
credential_source = Ec2InstanceMetadata
region = us-east-1
rolekeeper_credentials_file = $here/home/credentials
END_OF_CONFIG
# Times of files, too, are beyond 2038.
touch -d 2050-01-01 "$here/config"

tell() { # WORDS..., to the fake AWS
    local before
    before=$(wc -l <"$work/fake")
    printf '%s\n' "$*" >"$work/lines"
    answered() { [ "$(wc -l <"$work/fake")" -gt "$before" ]; }
    eventually 20 answered || fail 'the fake AWS has gone'
    tail -n 1 "$work/fake" | has '^OK' || fail "the fake AWS says: $(tail -n 1 "$work/fake")"
}
member() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
keeps() { # COMMAND...: runs the daemon with it
    "${clean[@]}" "$@" run --config "$here/config" -v >"$here/log" 2>&1 &
    daemon=$!
}
ends() {
    kill -TERM "$daemon"
    over() { ! kill -0 "$daemon" 2>/dev/null; }
    eventually 5 over || fail 'SIGTERM does not end it'
    wait "$daemon" || fail "it ended with $?"
    daemon=
}
published() { grep -qF "profile \`efgh\`: published, generation $1" "$here/log" 2>/dev/null; }

commands() {
    tell sts lifetime 3600
    local agent=("${clean[@]}" "$emulator" "$program") key
    "${agent[@]}" --version | has '^rolekeeper [0-9]' || fail '--version'
    "${agent[@]}" refresh --config "$here/config" || fail 'refresh'
    key=$("${agent[@]}" print efgh | member AccessKeyId)
    # What the command sees are the keys of `print`.
    [ "$("${agent[@]}" exec efgh -- /bin/sh -c 'echo "$AWS_ACCESS_KEY_ID"')" = "$key" ] || fail 'exec'
    grep -qF "$key" "$here/home/credentials" || fail 'nothing is merged'
    "${agent[@]}" whoami efgh --config "$here/config" | has ':assumed-role/efgh/' || fail 'whoami'
    "${agent[@]}" status | has -E '^efgh[[:space:]]fresh' || fail 'status'
    rm -r "$here/run"
    keeps "$emulator" "$program"
    eventually 20 published 1 || { cat "$here/log"; fail 'the daemon publishes nothing'; }
    grep -q 'work is done within the daemon' "$here/log" || fail 'it has workers without binfmt_misc'
    ends
}

daemon() {
    tell sts lifetime 16
    mkdir "$here/binfmt"
    mount -t binfmt_misc none "$here/binfmt" ||
        fail 'this kernel gives user namespaces no binfmt_misc of their own: it takes Linux 6.7'
    cat "/usr/lib/binfmt.d/$qemu.conf" >"$here/binfmt/register"
    echo "rolekeeper_on_rotate = /bin/sh -c 'echo \$ROLEKEEPER_GENERATION >>$here/hook'" >>"$here/config"
    keeps "$program"
    eventually 60 published 3 || { cat "$here/log"; fail 'two rotations do not come'; }
    ! grep 'work is done within the daemon' "$here/log" || fail 'it has no workers'
    # The hook of the third may be under way.
    hooked() { [ "$(head -n 3 "$here/hook" | tr '\n' ' ')" = '1 2 3 ' ]; }
    eventually 10 hooked || fail "the hooks: $(cat "$here/hook")"
    served() {
        python3 - "$port" "$here/run/profiles/efgh/token" <<'END_OF_QUESTION' | member AccessKeyId
import sys, urllib.request
url = f"http://127.0.0.1:{sys.argv[1]}/profiles/efgh"
question = urllib.request.Request(url, headers={"Authorization": open(sys.argv[2]).read()})
sys.stdout.write(urllib.request.urlopen(question, timeout=10).read().decode())
END_OF_QUESTION
    }
    # Unless a rotation comes between the two.
    same() { [ "$(served)" = "$(member AccessKeyId <"$here/run/profiles/efgh/credentials.json")" ]; }
    eventually 10 same || fail 'the endpoint answers with something else than the file'
    sed -i '/^\[profile own\]/,/^region/d' "$here/config"
    kill -HUP "$daemon"
    removed() { [ ! -e "$here/run/profiles/own" ] && [ -e "$here/run/profiles/efgh" ]; }
    eventually 20 removed || { cat "$here/log"; fail 'the reload'; }
    ends
}

later() {
    tell sts lifetime 3600
    echo $((25 * 365 * 24 * 3600)) >"$work/offset"
    local agent=("${clean[@]}" "$work/wrong-clock" "$work/offset" "$emulator" "$program") expiration
    # The host is wrong, and learns it: TLS and signatures are made with the true time.
    "${agent[@]}" refresh efgh --config "$here/config" || fail 'refresh'
    expiration=$("${agent[@]}" print efgh | member Expiration)
    [[ $expiration < 2038 ]] || fail "the session ends at $expiration"
    "${agent[@]}" status | has -E '^efgh[[:space:]]fresh' || fail 'status'
    # It is right.
    rm -r "$here/run"
    tell imds clock "$(cat "$work/offset")"
    "${agent[@]}" refresh own --config "$here/config" || fail 'refresh in 2051'
    tell imds clock 0
    expiration=$("${agent[@]}" print own | member Expiration)
    [[ $expiration > 2050 ]] || fail "the credentials end at $expiration"
    "${agent[@]}" status | has -E '^own[[:space:]]fresh' || fail 'status in 2051'
}

"$mode"
