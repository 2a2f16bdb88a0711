#!/usr/bin/env bash
# The image of packaging/container, built with an engine and without, under a real runtime: with nothing around it, as
# any user, as process 1, as the neighbour of an application that sees every rotation through a mounted directory, and
# with the sources that ECS and EKS give to their containers. Runs as root; cleans up.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/containers.sh"

more_addresses='169.254.170.2 169.254.170.23'
aws_options='--container 169.254.170.2:80 --container 169.254.170.23:80'
world container
engine
dist=$stage/dist
mkdir "$dist" "$stage/reports" "$stage/etc"
chmod 777 "$stage/reports"
install -m 755 "$binary" "$dist/rolekeeper-$(uname -m)"
role=arn:aws:iam::222222222222:role/efgh
words=(--role-arn "$role" --credential-source Ec2InstanceMetadata --profile-name app --region us-east-1)
trusting=(--volume "$stage/aws/ca.pem:/ca.pem:ro" --env AWS_CA_BUNDLE=/ca.pem)

step 'the same image twice: by an engine and without one'
platform=linux/$(podman info --format '{{.Host.Arch}}')
podman build --quiet --platform "$platform" --file "$packaging/container/Dockerfile" --tag by-engine "$dist" >/dev/null
"$packaging/container/image.py" --context "$dist" --output "$stage/rolekeeper.tar"
podman load --quiet --input "$stage/rolekeeper.tar" >/dev/null
podman save --quiet --format oci-archive --output "$stage/by-engine.tar" by-engine
python3 "$repository/tests/install/image.py" "$stage/by-engine.tar" "$stage/rolekeeper.tar" "$binary" || fail 'the images differ'
(cd "$stage" && PYTHONHASHSEED=7 TZ=Asia/Tokyo python3 -B "$packaging/container/image.py" --context dist --output again.tar)
cmp "$stage/rolekeeper.tar" "$stage/again.tar" || fail 'two builds differ'
image=localhost/rolekeeper

step 'one image for several architectures, from which everybody takes what fits'
# Programs for other machines, as far as their headers tell.
patched() { # MACHINE NAME
    cp "$binary" "$stage/several/rolekeeper-$2"
    printf "$1" | dd of="$stage/several/rolekeeper-$2" bs=1 seek=18 conv=notrunc status=none
}
mkdir "$stage/several"
patched '\x3e\x00' x86_64
patched '\xb7\x00' aarch64
patched '\x28\x00' armv7l
"$packaging/container/image.py" --context "$stage/several" --output "$stage/several.tar"
for pair in amd64:x86_64 arm64:aarch64 arm/v7:armv7l; do
    architecture=${pair%:*}
    podman build --quiet --platform "linux/$architecture" --file "$packaging/container/Dockerfile" --tag "for-${pair#*:}" \
        "$stage/several" >/dev/null
    podman save --quiet --format oci-archive --output "$stage/for-${pair#*:}.tar" "for-${pair#*:}"
    python3 "$repository/tests/install/image.py" "$stage/for-${pair#*:}.tar" "$stage/several.tar" \
        "$stage/several/rolekeeper-${pair#*:}" "${architecture%/*}" || fail "the image for $pair"
done
podman rmi --force $image >/dev/null
podman load --quiet --input "$stage/several.tar" >/dev/null
[ "$(podman image inspect --format '{{.Architecture}}' $image)" = "${platform#*/}" ] || fail 'another architecture is loaded'
patched '\xb7\x00' x86_64
if "$packaging/container/image.py" --context "$stage/several" --output "$stage/wrong.tar" 2>"$stage/said"; then fail 'a program for another machine is taken'; fi
has 'rolekeeper-x86_64 is no program for amd64' <"$stage/said" || fail "$(cat "$stage/said")"
podman rmi --force $image >/dev/null
podman load --quiet --input "$stage/rolekeeper.tar" >/dev/null

step 'as any user with nothing around it, described on the command line alone'
volume() { # what a runtime mounts: root's, and everybody may write
    podman volume create --opt type=tmpfs --opt device=tmpfs --opt o=mode=1777 credentials >/dev/null
}
volume
answer=$(bare --rm --user 12345:54321 --volume credentials:/run/rolekeeper "${trusting[@]}" $image print app "${words[@]}") ||
    fail "print: $answer"
has '"SessionToken"' <<<"$answer" || fail "print: $answer"
bare --rm --user 12345 --tmpfs /run/rolekeeper:mode=1777 "${trusting[@]}" $image refresh "${words[@]}" >"$stage/said" 2>&1 ||
    fail "refresh: $(cat "$stage/said")"
[ ! -s "$stage/said" ] || fail "refresh is not silent: $(cat "$stage/said")"
# What `exec` starts has the session in its environment: here the only program that there is.
answer=$(bare --rm --user 12345 --tmpfs /run/rolekeeper:mode=1777 "${trusting[@]}" $image exec app "${words[@]}" -- \
    /rolekeeper whoami --credential-source Environment --region us-east-1) || fail "exec: $answer"
has ':assumed-role/efgh/' <<<"$answer" || fail "exec: $answer"
bare --rm "${trusting[@]}" $image whoami "${words[@]}" | has "assumed-role/efgh/rolekeeper-i-" || fail 'whoami'
# Embedded roots are what the program has without a bundle, and the fake's CA is none of them.
code=0
bare --rm --tmpfs /run/rolekeeper:mode=1777 $image refresh "${words[@]}" >"$stage/said" 2>&1 || code=$?
[ "$code" = 75 ] && has -i 'certificate' <"$stage/said" || fail "without the CA: $code $(cat "$stage/said")"
code=0
bare --rm "${trusting[@]}" $image refresh "${words[@]}" >"$stage/said" 2>&1 || code=$?
[ "$code" = 73 ] && has '/run/rolekeeper' <"$stage/said" || fail "without a volume: $code $(cat "$stage/said")"
podman volume rm credentials >/dev/null

step 'with less than any runtime gives: no /proc, no /dev, no HOME, no variable but two'
bottom=$stage/bottom
mkdir -p "$bottom/out" "$bottom/etc"
cp "$binary" "$stage/aws/ca.pem" "$bottom/"
cp "$root/etc/hosts" "$bottom/etc/"
chown 12345 "$bottom/out"
at_the_bottom() { # WORDS...
    nsenter --net="/run/netns/$name" env -i AWS_CA_BUNDLE=/ca.pem RUNTIME_DIRECTORY=/out \
        unshare --fork --pid --mount --ipc --uts --kill-child "$(command -v chroot)" --userspec=12345:12345 "$bottom" /rolekeeper "$@"
}
at_the_bottom refresh "${words[@]}" || fail 'refresh'
at_the_bottom status --ready app >/dev/null || fail 'status'
rm -r "$bottom/out/profiles" "$bottom/out/state" "$bottom/out/status.json"
at_the_bottom run "${words[@]}" 2>"$stage/said" &
bottom_published() { [ -s "$bottom/out/profiles/app/credentials" ]; }
eventually 10 bottom_published || fail "run: $(cat "$stage/said")"
kill $!
wait $! 2>/dev/null || true

step 'a neighbour sees every rotation, and nothing else'
# So long that a busy machine does not let it expire, and so short that there are three rotations at least.
aws sts lifetime 14
volume
cat >"$stage/etc/config" <<END
[profile app]
role_arn = $role
credential_source = Ec2InstanceMetadata
region = us-east-1
rolekeeper_group = 65532
rolekeeper_mode = 0640
END
bare --detach --name sidecar --volume "$stage/etc:/etc/rolekeeper:ro" --volume credentials:/run/rolekeeper "${trusting[@]}" $image >/dev/null
ready() { podman exec "${1:-sidecar}" /rolekeeper status --ready app >"$stage/said" 2>&1; }
eventually 20 ready || fail "not ready: $(podman logs sidecar 2>&1)"
app_reads profiles/app/credentials.json reader
inside_of() { ls -A "/proc/$(pid_of sidecar)/root"; }
[ -z "$(inside_of | grep -vxE 'rolekeeper|etc|run|dev|proc|sys|ca\.pem|\.containerenv')" ] || fail "in the image: $(inside_of | tr '\n' ' ')"
[ "$(find "/proc/$(pid_of sidecar)/root/etc" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | tr '\n' ' ')" = 'hostname hosts mtab resolv.conf rolekeeper ' ] || fail 'more than the runtime put there is in /etc'
for line in 'Uid:.65532.65532.65532.65532' 'CapEff:.0000000000000000' 'CapBnd:.0000000000000000' 'NoNewPrivs:.1' 'Seccomp:.2'; do
    has "^$line" <"/proc/$(pid_of sidecar)/status" || fail "not confined: $line"
done
generation() { podman exec sidecar /rolekeeper status --json | sed -n 's/.*"generation": *\([0-9]*\).*/\1/p'; }
first=$(generation)
# One more than it has to see: it may begin to look a little later.
rotated() { [ "$(generation)" -ge $((first + 4)) ]; }
eventually 60 rotated || fail "no four rotations: $(podman logs sidecar 2>&1)"
podman stop --time 10 reader >/dev/null 2>&1
cat "$stage/reports/reader"; echo
python3 - "$stage/reports/reader" <<'END' || fail 'the neighbour saw something wrong'
import json, sys
report = json.load(open(sys.argv[1]))
sys.exit(bool(report["wrong"]) or report["looks"] < 1000 or report["sets"] < 4)
END

if podman run --rm --network=none --user 1000:1000 --cap-drop=all --read-only --volume credentials:/run/rolekeeper:ro \
    --rootfs "$root" cat /run/rolekeeper/profiles/app/credentials.json >"$stage/said" 2>&1; then fail 'somebody else can read it'; fi
has 'Permission denied' <"$stage/said" || fail "not refused: $(cat "$stage/said")"

step 'process 1 ends at once, and leaves the files to whoever starts next'
ends_after() { # CONTAINER SECONDS: from SIGTERM to its end
    python3 - "$(pid_of "$1")" "$2" <<'END'
import os, select, signal, sys, time
process = os.pidfd_open(int(sys.argv[1]))
start = time.monotonic()
signal.pidfd_send_signal(process, signal.SIGTERM)
ended, _, _ = select.select([process], [], [], 20)
took = time.monotonic() - start
print(f"{took * 1000:.0f} ms")
sys.exit(not ended or took > float(sys.argv[2]))
END
}
exit_code() { podman wait "$1" >/dev/null; podman inspect --format '{{.State.ExitCode}}' "$1"; }
ends_after sidecar 0.5 || fail 'SIGTERM is not obeyed'
[ "$(exit_code sidecar)" = 0 ] || fail "exit code $(exit_code sidecar)"
podman rm reader >/dev/null
aws sts hang
before=$(count sts_connections)
podman start sidecar >/dev/null
asks() { [ "$(count sts_connections)" -gt "$before" ]; }
eventually 10 asks || fail 'it asks nobody'
ends_after sidecar 0.5 || fail 'SIGTERM in the middle of a request is not obeyed'
aws sts heal
podman rm sidecar >/dev/null
podman volume rm credentials >/dev/null

step 'process 1 collects what its hooks leave behind'
aws sts lifetime 3600
echo 'rolekeeper_on_rotate = /bin/sh -c "sleep 1 & sleep 1 & exit 0"' >>"$stage/etc/config"
chown -R root:root "$stage/etc"
podman run --detach --name hooked --network=host --cap-drop=all --cap-add=chown --read-only --user 0 \
    --volume "$stage/etc:/etc/rolekeeper:ro" --tmpfs /run/rolekeeper --volume "$binary:/rolekeeper:ro" "${trusting[@]}" \
    --entrypoint '["/rolekeeper"]' --rootfs "$root" run >/dev/null
children() { cat "/proc/$(pid_of hooked)/task/"*/children; }
dead() { [ "$(for child in $(children); do cat "/proc/$child/stat"; done 2>/dev/null | grep -c ' (sleep) Z ')" = 2 ]; }
eventually 10 dead || fail "no orphans: $(podman logs hooked 2>&1)"
# It looks around at least every 40 seconds, and whenever it is woken.
podman kill --signal HUP hooked >/dev/null
alone() { [ -z "$(children)" ]; }
eventually 10 alone || fail "left behind: $(children)"
podman rm --force --time 5 hooked >/dev/null
step 'the blocks of the README'
mkdir -p "$stage/clone/target/x86_64-unknown-linux-musl/release"
cp -R "$packaging" "$stage/clone/"
cp "$binary" "$stage/clone/target/x86_64-unknown-linux-musl/release/"
# Whom to trust is the environment's affair here.
sed -i "s,^\[containers\]\$,&\nenv = [\"AWS_CA_BUNDLE=/ca.pem\"]\nvolumes = [\"$stage/aws/ca.pem:/ca.pem:ro\"]," "$stage/containers/containers.conf"
podman rmi --force $image >/dev/null
ran=0
while IFS= read -r -d '' block; do
    step "$(head -n 1 <<<"$block")"
    (cd "$stage/clone" && timeout 60 bash -euxc "$block") >"$stage/said" 2>&1 || { cat "$stage/said"; fail 'the block fails'; }
    ran=$((ran + 1))
    case $block in *'rolekeeper print app'*) has '"SessionToken"' <"$stage/said" || { cat "$stage/said"; fail 'no credentials'; } ;; esac
done < <(blocks container)
[ "$ran" -ge 1 ] || fail "only $ran blocks were found"
step 'done'
