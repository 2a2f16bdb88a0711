#!/usr/bin/env bash
# packaging/cloud-init/user-data.yaml with the real cloud-init, which reads it from a seed on the disk (NoCloud) and
# from the metadata service (Ec2): installed from a server on loopback with its checksums verified, configured, enabled,
# waited for. A second boot and a second run change nothing; a wrong checksum and a wrong configuration are reported.
# Runs as root; cleans up.
. "$(dirname "$0")/lib.sh"

imds_address=127.0.0.1:8169
world cloud-init
chroot "$root" systemctl enable --quiet cloud-init-local cloud-init cloud-config cloud-final
# A bare Debian has no locales to set up, and this one no network to configure.
printf 'locale: false\nnetwork: {config: disabled}\n' >"$root/etc/cloud/cloud.cfg.d/90-here.cfg"

step 'the release: a directory with checksums, on a server'
release=$stage/release
mkdir "$release"
install -m 755 "$binary" "$release/rolekeeper-$(uname -m)"
install -m 644 "$packaging/systemd/rolekeeper.service" "$release/"
(cd "$release" && sha256sum -- * >"$stage/SHA256SUMS" && mv "$stage/SHA256SUMS" SHA256SUMS)
sums=$(sha256sum <"$release/SHA256SUMS" | cut -d' ' -f1)
ip netns exec "$name" python3 -m http.server --bind 127.0.0.1 --directory "$release" 8000 >"$stage/downloads" 2>&1 &
ip netns exec "$name" python3 "$repository/tests/install/metadata.py" "$stage/user-data" 8169 >"$stage/metadata" 2>&1 &

# As published, but for where the release is and what vouches for it, and for the CA of the fake AWS.
user_data() { # SUMS
    sed "s,^\( *release=\).*,\1http://127.0.0.1:8000, ; s,^\( *sums=\).*,\1$1,
        s,^\( *\)region = us-east-1\$,&\n\1ca_bundle = /etc/rolekeeper/ca.pem," "$packaging/cloud-init/user-data.yaml"
}
[ "$(user_data "$sums" | diff - "$packaging/cloud-init/user-data.yaml" | grep -c '^>')" = 2 ] || fail 'more than two lines were changed'
user_data "$sums" >"$root/root/user-data.yaml"
chroot "$root" cloud-init schema --config-file /root/user-data.yaml || fail 'the schema'

seed=$root/var/lib/cloud/seed/nocloud
seeded() { # INSTANCE, user data on standard input
    mkdir -p "$seed"
    cat >"$seed/user-data"
    printf 'instance-id: %s\nlocal-hostname: host\n' "$1" >"$seed/meta-data"
    echo 'datasource_list: [NoCloud]' >"$root/etc/cloud/cloud.cfg.d/91-source.cfg"
}
settled() { case $(inside cloud-init status 2>/dev/null) in *done* | *error*) ;; *) false ;; esac; }
status() {
    eventually 90 settled || fail "cloud-init does not end: $(inside cloud-init status --long)"
    inside cloud-init status | sed -n 's/^status: //p'
}
output() { cat "$root/var/log/cloud-init-output.log"; }
works() { # WHEN
    [ "$(inside systemctl is-active rolekeeper)" = active ] || fail "not active $1"
    [ "$(inside systemctl is-enabled rolekeeper)" = enabled ] || fail "not enabled $1"
    inside test -s /run/rolekeeper/profiles/instancecrossaccount/credentials || fail "no credentials $1"
    [ "$(inside stat -c '%U %a' /etc/rolekeeper/config)" = 'root 600' ] || fail "the mode of the configuration $1"
}
downloads() { grep -c '"GET' "$stage/downloads" || true; }

step 'NoCloud, first boot'
user_data "$sums" | seeded i-1
boot
[ "$(status)" = 'done' ] || { output; fail 'cloud-init reports an error'; }
works 'after the first boot'
[ "$(downloads)" = 3 ] || fail "downloads: $(downloads)"
output | has 'instancecrossaccount' || { output; fail 'the status is not in the log'; }

step 'NoCloud, second boot: nothing is downloaded, everything works'
before=$(cd "$root" && sha256sum etc/rolekeeper/config etc/systemd/system/rolekeeper.service usr/bin/rolekeeper)
power_off
boot
[ "$(status)" = 'done' ] || { output; fail 'cloud-init reports an error at the second boot'; }
works 'after the second boot'
[ "$(downloads)" = 3 ] || fail "downloads at the second boot: $(downloads)"

step 'another run on a host that has it already, as from an image that was made of it'
power_off
user_data "$sums" | seeded i-2
boot
[ "$(status)" = 'done' ] || { output; fail 'cloud-init reports an error at the second run'; }
works 'after the second run'
[ "$(downloads)" = 6 ] || fail "downloads of the second run: $(downloads)"
[ "$before" = "$(cd "$root" && sha256sum etc/rolekeeper/config etc/systemd/system/rolekeeper.service usr/bin/rolekeeper)" ] || fail 'the second run changed something'
power_off

forget() { # what the runs before left, so that the host is new
    rm -rf "$root/etc/rolekeeper/config" "$root/usr/bin/rolekeeper" "$root/etc/systemd/system/rolekeeper.service" \
        "$root/etc/systemd/system/multi-user.target.wants/rolekeeper.service" "$root/var/lib/cloud" "$root"/var/log/cloud-init*
}

step 'a download that is not what was vouched for is not installed, and reported'
forget
user_data "$(printf other | sha256sum | cut -d' ' -f1)" | seeded i-3
boot
[ "$(status)" = error ] || { output; fail 'a wrong checksum is not reported'; }
[ ! -e "$root/usr/bin/rolekeeper" ] || fail 'it was installed with a wrong checksum'
power_off

step 'a configuration that is wrong is reported with what to write instead'
forget
user_data "$sums" | sed 's/^\( *\)region = .*/&\n\1rolekeeper_ownr = app/' | seeded i-4
boot
[ "$(status)" = error ] || { output; fail 'a wrong configuration is not reported'; }
output | has 'rolekeeper has no credentials' || { output; fail 'the log does not say so'; }
output | has 'rolekeeper_owner' || { output; fail 'the log does not say what was meant'; }
power_off

step 'Ec2: the user data come from the metadata service'
forget
printf 'datasource_list: [Ec2]\ndatasource: {Ec2: {strict_id: false, metadata_urls: ["http://169.254.169.254"]}}\n' \
    >"$root/etc/cloud/cloud.cfg.d/91-source.cfg"
user_data "$sums" >"$stage/user-data"
boot
[ "$(status)" = 'done' ] || { output; fail 'cloud-init reports an error with the Ec2 source'; }
inside cloud-init status --long | has 'DataSourceEc2' || fail "the source: $(inside cloud-init status --long)"
works 'with the Ec2 source'
step 'done'
