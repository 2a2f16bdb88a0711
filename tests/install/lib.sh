# What the scripts beside it share: a Debian root, booted with its own systemd in a network namespace where a fake AWS
# answers at 169.254.169.254 and as STS. Sourced by bash scripts that run as root; everything is below target/install
# and in namespaces, and goes with the script. Functions print nothing but what failed.
#
#   make_root            the Debian folder, once for all scripts (debootstrap, 2 to 3 minutes)
#   world NAME           a copy of that root for this script (an overlay), the namespace, the fake AWS
#   boot / power_off     systemd as process 1 in it; `inside COMMAND...` runs a command there
#   aws WORDS...         a line to the fake AWS, whose answer it prints
#   eventually SECONDS COMMAND...    until it succeeds

set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
packaging=$repository/packaging
binary=${ROLEKEEPER_BINARY:-$repository/target/x86_64-unknown-linux-musl/release/rolekeeper}
fake_aws=${FAKE_AWS_BINARY:-$repository/target/debug/fake-aws}
place=$repository/target/install
debian=$place/root
export LC_ALL=C.UTF-8

step() { printf '%4d s  %s\n' "$SECONDS" "$*"; }

fail() {
    printf 'FAILED: %s\n' "$*"
    if [ -n "${container:-}" ]; then
        inside systemctl status --no-pager --full --lines=0 'rolekeeper*' 2>&1 | tail -n 30 || true
        inside journalctl --no-pager -n 30 -u 'rolekeeper*' -t rolekeeper -t CRON 2>&1 || true
    fi
    exit 1
}

# grep, at the end of a pipe: it reads all of it, where -q would end the writer and with it, by pipefail, the test.
has() { grep "$@" >/dev/null; }

needs() { # COMMAND PACKAGE, in pairs
    local missing=()
    while [ $# -gt 0 ]; do
        command -v "$1" >/dev/null || missing+=("$2")
        shift 2
    done
    [ ${#missing[@]} -eq 0 ] && return
    { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >"$place.apt" 2>&1 ||
        { cat "$place.apt"; fail "cannot install ${missing[*]}"; }
    rm -f "$place.apt"
}

eventually() { # SECONDS COMMAND...
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.2
    done
}

make_root() {
    [ "$(id -u)" = 0 ] || fail 'this runs as root'
    needs debootstrap debootstrap systemd-nspawn systemd-container ip iproute2 nsenter util-linux
    [ -e "$debian.made" ] && return
    rm -rf "$debian"
    mkdir -p "$place"
    local mirror log=$place/root.log
    mirror=$(sed -n 's/^URIs: //p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n 1)
    debootstrap --variant=minbase \
        --include=systemd,systemd-sysv,dbus,udev,cron,ca-certificates,iproute2,curl,procps,python3-minimal \
        bookworm "$debian" "${mirror:-http://deb.debian.org/debian}" >"$log" 2>&1 || { cat "$log"; fail debootstrap; }
    cp /etc/resolv.conf "$debian/etc/resolv.conf"
    cp /etc/apt/apt.conf.d/*proxy* "$debian/etc/apt/apt.conf.d/" 2>/dev/null || true
    chroot "$debian" apt-get install -y --no-install-recommends cloud-init >>"$log" 2>&1 ||
        { tail -n 40 "$log"; fail 'cloud-init cannot be installed'; }
    chroot "$debian" systemctl disable --quiet cloud-init-local cloud-init cloud-config cloud-final cron >>"$log" 2>&1
    chroot "$debian" apt-get clean
    rm -f "$debian/etc/resolv.conf" "$debian/etc/hostname"
    touch "$debian.made"
}

world() { # NAME
    make_root
    [ -x "$binary" ] || fail "there is no $binary"
    [ -x "$fake_aws" ] || fail "there is no $fake_aws"
    name=rolekeeper-$1-$$
    stage=$place/$name
    root=$stage/root
    trap end_world EXIT
    trap 'exit 1' INT TERM
    mkdir -p "$stage/upper" "$stage/work" "$root" "$stage/aws"
    mount -t overlay overlay -o "lowerdir=$debian,upperdir=$stage/upper,workdir=$stage/work" "$root"
    ip netns add "$name"
    ip -n "$name" link set lo up
    for address in 169.254.169.254 ${more_addresses:-}; do ip -n "$name" addr add "$address/32" dev lo; done
    # The metadata service of the fake, where nothing is put before it.
    start_aws "${imds_address:-169.254.169.254:80}"
    printf '127.0.0.1 localhost sts.us-east-1.amazonaws.com\n' >"$root/etc/hosts"
    install -D -m 644 "$stage/aws/ca.pem" "$root/etc/rolekeeper/ca.pem"
}

start_aws() { # ADDRESS OF THE METADATA SERVICE
    coproc AWS { exec ip netns exec "$name" "$fake_aws" --dir "$stage/aws" --imds "$1" --sts 127.0.0.1:443 ${aws_options:-}; }
    local word
    # Subshells do not get the descriptors of a coprocess, but copies of them.
    exec {from_aws}<&"${AWS[0]}" {to_aws}>&"${AWS[1]}"
    read -r -t 20 word <&"$from_aws" && [ "$word" = READY ] || fail 'the fake AWS does not start'
}

aws() { # WORDS...
    local answer
    printf '%s\n' "$*" >&"$to_aws"
    read -r -t 20 answer <&"$from_aws" || fail 'the fake AWS has gone'
    case $answer in OK) ;; OK*) printf '%s\n' "${answer#OK }" ;; *) fail "the fake AWS says: $answer" ;; esac
}

count() { aws counts | tr ' ' '\n' | sed -n "s/^$1=//p"; } # NAME OF A COUNT

boot() {
    SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn --quiet --directory="$root" --boot --register=no --keep-unit \
        --console=pipe --network-namespace-path="/run/netns/$name" "$@" </dev/null >"$stage/console" 2>&1 &
    nspawn=$!
    eventually 120 is_up || { cat "$stage/console"; fail 'it does not come up'; }
}

leader() { cut -d' ' -f1 "/proc/$nspawn/task/$nspawn/children"; }
# The first child of nspawn is a helper that goes away, so the leader is looked up until it answers.
is_up() {
    container=$(leader 2>/dev/null) && [ -n "$container" ] || return 1
    case $(inside systemctl is-system-running 2>/dev/null) in running | degraded) ;; *) false ;; esac
}
# With nothing of our own environment, where AWS may have been set up.
inside() {
    nsenter --target "$container" --mount --uts --ipc --net --pid --cgroup -- \
        env -i "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" LC_ALL=C.UTF-8 HOME=/root "$@"
}

power_off() {
    [ -n "${container:-}" ] || return 0
    kill -s RTMIN+4 "$container" 2>/dev/null || true
    eventually 20 gone || kill -KILL "$nspawn" 2>/dev/null || true
    wait "$nspawn" 2>/dev/null || true
    container=
}

gone() { ! kill -0 "$nspawn" 2>/dev/null; }

end_world() {
    local code=$?
    set +e
    power_off
    # The fake AWS, and what else a script has started there.
    ip netns pids "$name" 2>/dev/null | xargs -r kill 2>/dev/null
    wait 2>/dev/null
    ip netns del "$name" 2>/dev/null
    umount "$root" && rm -rf "$stage"
    exit $code
}

# Where the packages put them.
install_rolekeeper() {
    install -m 755 "$binary" "$root/usr/bin/rolekeeper"
    install -m 644 "$packaging"/systemd/*.service "$packaging"/systemd/*.timer "$root/usr/lib/systemd/system/"
}

configure() { # FILE, else /etc/rolekeeper/config; the text on standard input
    install -D -m 600 /dev/stdin "$root${1:-/etc/rolekeeper/config}"
}

# The daemon, and the profile `given` that its configuration names.
unit() { install -D -m 644 /dev/stdin "$root/etc/systemd/system/$1"; } # NAME, the text on standard input
property() { inside systemctl show --value -p "$1" "${2:-rolekeeper.service}"; } # PROPERTY [UNIT]
active() { [ "$(property ActiveState "$@")" = active ]; } # [UNIT]
sets() { # PROFILE: how many sets of credentials it has had
    inside rolekeeper status --json | python3 -c "
import json, sys
print(next(p['generation'] for p in json.load(sys.stdin)['profiles'] if p['profile'] == '$1'))"
}
beyond() { [ "$(sets "$1" 2>/dev/null || echo 0)" -gt "$2" ]; }
rotates() { # WHEN
    local before
    before=$(sets given)
    eventually 20 beyond given "$before" || fail "no rotation $1"
}
another_process() { # PID: the daemon runs and is not that process any more
    active && [ "$(property MainPID)" != "$1" ]
}

# The blocks of README.md that carry the mark `<!-- runs in: NAME -->`, each followed by a line with a zero byte.
blocks() { # NAME
    awk -v mark="<!-- runs in: $1 -->" '
        marked && /^```/ { inside = 1; marked = 0; next }
        inside && /^```/ { inside = 0; printf "%c", 0; next }
        inside { print }
        $0 == mark { marked = 1 }' "$repository/README.md"
}
