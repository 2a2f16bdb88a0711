#!/usr/bin/env bash
# A whole virtual EC2 instance, by hand before a release: qemu boots Debian's own kernel, cloud-init recognises EC2 by
# the firmware and reads packaging/cloud-init/user-data.yaml over IMDSv2, the clock is seven years ahead, and limits on
# memory are in force, which a container cannot show. Runs as root; cleans up; takes 5 to 10 minutes without KVM.
#   tests/install/qemu.sh [LOG]     the console is written to LOG, and a summary of it printed
. "$(dirname "$0")/lib.sh"

log=${1:-$place/qemu.log}
needs mke2fs e2fsprogs qemu-system-x86_64 qemu-system-x86
imds_address=127.0.0.1:8169
world qemu

step 'a kernel and what a machine needs beyond a container'
cp /etc/resolv.conf "$root/etc/resolv.conf"
{ chroot "$root" apt-get update && chroot "$root" apt-get install -y --no-install-recommends linux-image-cloud-amd64 \
    initramfs-tools ifupdown isc-dhcp-client kmod; } >"$stage/apt" 2>&1 || { tail -n 40 "$stage/apt"; fail 'packages'; }
rm -f "$root/etc/resolv.conf"
chroot "$root" systemctl enable --quiet cloud-init-local cloud-init cloud-config cloud-final
echo '/dev/vda / ext4 defaults 0 1' >"$root/etc/fstab"
printf 'auto lo eth0\niface lo inet loopback\niface eth0 inet dhcp\n' >"$root/etc/network/interfaces"
# In the guest, 10.0.2.2 is what 127.0.0.1 is in the namespace.
printf '127.0.0.1 localhost\n10.0.2.2 sts.us-east-1.amazonaws.com\n' >"$root/etc/hosts"
cat >"$root/etc/cloud/cloud.cfg.d/90-here.cfg" <<'END'
locale: false
network: {config: disabled}
datasource_list: [Ec2]
END

step 'the release, the user data and the disk'
mkdir "$stage/release"
install -m 755 "$binary" "$stage/release/rolekeeper-x86_64"
install -m 644 "$packaging/systemd/rolekeeper.service" "$stage/release/"
(cd "$stage/release" && sha256sum -- * >"$stage/SHA256SUMS" && mv "$stage/SHA256SUMS" SHA256SUMS)
sums=$(sha256sum <"$stage/release/SHA256SUMS" | cut -d' ' -f1)
ip netns exec "$name" python3 -m http.server --bind 127.0.0.1 --directory "$stage/release" 8000 >"$stage/downloads" 2>&1 &
{
    sed "s,^\( *release=\).*,\1http://10.0.2.2:8000, ; s,^\( *sums=\).*,\1$sums,
        s,^\( *\)region = us-east-1\$,&\n\1ca_bundle = /etc/rolekeeper/ca.pem," "$packaging/cloud-init/user-data.yaml"
    cat <<'END'
  - |
    set +e
    unit=/sys/fs/cgroup/system.slice/rolekeeper.service
    mkdir -p /etc/systemd/system/rolekeeper.service.d
    {
        echo "seen: cloud $(cloud-id)"
        echo "seen: year $(date +%Y)"
        echo "seen: status $(rolekeeper status | cut -f 1,2 | tr '\t' ' ')"
        echo "seen: offset $(sed -n 's/.*"clock_offset_seconds": *\(-*[0-9]*\).*/\1/p' /run/rolekeeper/status.json)"
        echo "seen: limit $(cat $unit/memory.max) used $(cat $unit/memory.current) peak $(cat $unit/memory.peak 2>/dev/null)"
        printf '[Service]\nMemoryMax=6M\nMemorySwapMax=0\n' >/etc/systemd/system/rolekeeper.service.d/small.conf
        systemctl daemon-reload && systemctl restart rolekeeper
        rolekeeper refresh --force
        echo "seen: small $(systemctl is-active rolekeeper) limit $(cat $unit/memory.max) refresh $?"
        systemd-run --quiet --wait --unit=hog -p MemoryMax=6M -p MemorySwapMax=0 python3 -c 'x = "x" * 50000000'
        echo "seen: hog $(systemctl show --value -p Result hog)"
        echo "seen: $(systemctl --version | head -n 1) kernel $(uname -r)"
    } >/dev/ttyS0 2>&1
    systemctl --no-block poweroff
END
} >"$stage/user-data"
ip netns exec "$name" python3 "$repository/tests/install/metadata.py" "$stage/user-data" 8169 >"$stage/metadata" 2>&1 &
mke2fs -q -F -t ext4 -d "$root" "$stage/disk" 2G

step 'the machine'
ip netns exec "$name" timeout --kill-after=5 1200 qemu-system-x86_64 -accel tcg,thread=multi -m 1024 -smp 2 \
    -nographic -no-reboot -rtc base=2033-02-03T04:05:06 \
    -kernel "$(echo "$root"/boot/vmlinuz-*)" -initrd "$(echo "$root"/boot/initrd.img-*)" \
    -append 'root=/dev/vda rw console=ttyS0 net.ifnames=0 systemd.log_color=0' \
    -drive "file=$stage/disk,format=raw,if=virtio" -netdev user,id=n -device virtio-net-pci,netdev=n \
    -smbios type=1,uuid=ec2e1916-9099-7caf-fd21-012345abcdef,serial=ec2e1916-9099-7caf-fd21-012345abcdef \
    </dev/null >"$log" 2>&1 || fail "qemu ended badly, see $log"

step 'what was seen'
tr -d '\r' <"$log" | sed -n 's/^seen: //p' | tee "$stage/seen"
said() { grep -q "$1" "$stage/seen" || fail "not seen: $1; the console is in $log"; }
said '^cloud aws$'
said '^year 2033$'
said '^status instancecrossaccount fresh$'
said '^offset -[0-9]\{8,\}$'
said '^limit 134217728 '
said '^small active limit 6291456 refresh 0$'
said '^hog oom-kill$'
# IMDSv2: the user data were asked for with a token.
grep -q 'PUT /latest/api/token' "$stage/metadata" || fail 'no token was asked for'
step 'done'
