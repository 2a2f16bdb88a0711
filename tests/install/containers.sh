# What the tests of the image share: podman with a storage of its own, all of it in the network namespace of a world (see
# lib.sh), so that "the network of the host" is that namespace and nothing else can be reached. Sourced after lib.sh.
#
#   engine               after `world`: from here on `podman` is that podman, for the blocks of README.md too
#   bare WORDS...        podman run with the flags of the strictest container, and the words
#   app_reads FILE NAME  an application container that reads FILE of the volume all the time, as another user
#   pid_of NAME          of its first process, as the host sees it

engine() {
    needs podman podman runc runc nsenter util-linux python3 python3
    mkdir -p "$stage/bin" "$stage/containers"
    # Its path may have no more than 50 letters.
    runroot=$(mktemp -d /run/podman-XXXXXX)
    cat >"$stage/containers/containers.conf" <<END
[containers]
base_hosts_file = "$root/etc/hosts"
# What a machine allows by itself; root in a container may be unable to raise it.
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
END
    cat >"$stage/bin/podman" <<END
#!/bin/sh
exec nsenter --net=/run/netns/$name env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \\
    CONTAINERS_CONF=$stage/containers/containers.conf $(command -v podman) --root $stage/containers/storage \\
    --runroot $runroot --tmpdir $runroot/tmp "\$@"
END
    chmod 755 "$stage/bin/podman"
    PATH=$stage/bin:$PATH
    trap 'code=$?; end_engine; (exit $code); end_world' EXIT
}

end_engine() {
    set +e
    podman rm --all --force --time 0 >"$stage/containers/removed" 2>&1 || cat "$stage/containers/removed"
    podman volume rm --all --force >"$stage/containers/removed" 2>&1 || cat "$stage/containers/removed"
    umount "$stage/containers/storage/overlay" 2>/dev/null
    rm -rf "$runroot"
}

bare() {
    podman run --network=host --read-only --read-only-tmpfs=false --passwd=false --cap-drop=all \
        --security-opt=no-new-privileges --memory=32m --pids-limit=16 "$@"
}

pid_of() { podman inspect --format '{{.State.Pid}}' "$1"; }

app_reads() { # FILE BELOW /run/rolekeeper, NAME; the volume is `credentials`
    podman run --detach --name "$2" --network=none --user 1000:1000 --group-add 65532 --cap-drop=all --read-only \
        --volume credentials:/run/rolekeeper:ro --volume "$repository/tests/install/reader.py:/reader.py:ro" \
        --volume "$stage/reports:/reports" --rootfs "$root" python3 /reader.py "/run/rolekeeper/$1" "/reports/$2" >/dev/null
}
