#!/usr/bin/env bash
# The blocks of the README that install on a host, run as they stand, one after the other, in a clone on a booted
# Debian. What surrounds them is in the environment alone: where the CA of the fake AWS is. Runs as root; cleans up.
. "$(dirname "$0")/lib.sh"

step 'each marked block is run by a script beside this one'
sed -n 's/^<!-- runs in: \(.*\) -->$/\1/p' "$repository/README.md" | sort -u | while read -r mark; do
    grep -q "^ *done < <(blocks $mark)\|blocks $mark" "$repository"/tests/install/*.sh || fail "nothing runs '$mark'"
done

world readme
chroot "$root" systemctl enable --quiet cron
install -D -m 644 /dev/stdin "$root/etc/systemd/system.conf.d/aws.conf" <<'END'
[Manager]
DefaultEnvironment=AWS_CA_BUNDLE=/etc/rolekeeper/ca.pem
END
clone=$root/root/rolekeeper
mkdir -p "$clone/target/x86_64-unknown-linux-musl/release"
cp -R "$packaging" "$clone/"
cp "$binary" "$clone/target/x86_64-unknown-linux-musl/release/"
boot

ran=0
while IFS= read -r -d '' block; do
    step "$(head -n 1 <<<"$block")"
    printf 'cd /root/rolekeeper\nset -eux\n%s\n' "$block" >"$root/root/block"
    inside env AWS_CA_BUNDLE=/etc/rolekeeper/ca.pem sh /root/block >"$stage/said" 2>&1 ||
        { cat "$stage/said"; fail 'the block fails'; }
    ran=$((ran + 1))
    case $block in
    *'enable --now rolekeeper.service'*)
        grep -q 'instancecrossaccount.*fresh' "$stage/said" || { cat "$stage/said"; fail 'not fresh'; }
        [ "$(inside systemctl is-active rolekeeper)" = active ] || fail 'the service is not active' ;;
    *rolekeeper-refresh.timer*)
        [ "$(inside systemctl is-active rolekeeper-refresh.timer)" = active ] || fail 'the timer is not active'
        refreshed() { [ "$(inside systemctl show --value -p Result,ExecMainStatus,ActiveState rolekeeper-refresh | tr '\n' ' ')" = 'success 0 inactive ' ]; }
        eventually 30 refreshed || fail 'the one-shot did not succeed' ;;
    */etc/cron.d/*)
        inside journalctl -t cron --no-pager | grep -i error && fail 'cron does not like its file' ;;
    esac
done < <(blocks host)
step 'the examples of the default configuration, taken at their word'
useradd --root "$root" app
inside rolekeeper refresh --config /root/rolekeeper/packaging/config && fail 'comments configure nothing'
sed -n '/rolekeeper\]/q; s/^# \(\[.*\|[a-z_]* = .*\)/\1/p' "$packaging/config" | configure
inside env AWS_CA_BUNDLE=/etc/rolekeeper/ca.pem rolekeeper refresh --force >"$stage/said" 2>&1 || { cat "$stage/said"; fail 'they are not understood'; }
[ "$(inside stat -c %U /run/rolekeeper/profiles/instancecrossaccount/env)" = app ] || fail 'the owner of the example'
[ "$ran" -ge 6 ] || fail "only $ran blocks were found"
step "$ran blocks"
