#!/usr/bin/env bash
# The release, as the README makes it: what each program is, the same bytes from another directory, the bill of
# materials judged by CycloneDX's own library, the licences; and the programs for foreign processors at work under
# qemu, where the daemon rotates, starts its workers, and knows the years after 2038. Runs as root; cleans up. Takes
# five to eight minutes. The release stays in target/dist.
. "$(dirname "$0")/lib.sh"

dist=$repository/target/dist
bound=2000000
work=$(mktemp -d)
trap 'kill "${again:-}" "${fake:-}" 2>/dev/null || true; wait; rm -rf "$work" "$repository/target/release-again"' EXIT
trap 'exit 1' INT TERM
needs readelf binutils qemu-arm-static qemu-user-static unshare util-linux cc gcc
[ -x "$fake_aws" ] || fail "there is no $fake_aws"
SOURCE_DATE_EPOCH=$(git -C "$repository" log -1 --format=%ct)
export SOURCE_DATE_EPOCH

ran=0
while IFS= read -r -d '' block; do
    step "$(head -n 1 <<<"$block")"
    (cd "$repository" && sh -euxc "$block") >"$work/said" 2>&1 || { cat "$work/said"; fail 'the block fails'; }
    ran=$((ran + 1))
done < <(blocks release)
[ "$ran" = 1 ] || fail "$ran blocks instead of one"

step 'each is static, position-independent, stripped and small'
for program in x86_64:X86-64 aarch64:AArch64 armv7l:ARM; do
    file=$dist/rolekeeper-${program%:*}
    readelf --wide --file-header --program-headers --sections "$file" >"$work/elf"
    has -E "Machine: .*${program#*:}\$" <"$work/elf" || fail "$file: the machine"
    has -E 'Type: *DYN ' <"$work/elf" || fail "$file is not position-independent"
    ! grep -E 'INTERP|\.symtab|\.debug' "$work/elf" || fail "$file has an interpreter or is not stripped"
    size=$(stat -c %s "$file")
    printf 'measured: %s has %s of %s bytes\n' "${file##*/}" "$size" $bound
    [ "$size" -le $bound ] || fail "$file is too large"
done
for path in "$repository" "${CARGO_HOME:-$HOME/.cargo}" "${RUSTUP_HOME:-$HOME/.rustup}"; do
    ! grep -lF "$path/" "$dist"/* || fail "the path $path is in them"
done
[ "$(tr -s ' ' <"$dist/SHA256SUMS" | cut -d' ' -f2 | tr '\n' ' ')" = "$(cd "$dist" && find . -type f ! -name SHA256SUMS -printf '%P\n' | sort | tr '\n' ' ')" ] ||
    fail 'SHA256SUMS does not list every file'

# Another checkout, another target directory, another home of cargo, and the tools at another place. They are linked,
# not fetched again.
step 'a second build elsewhere begins'
elsewhere=$repository/target/release-again
rm -rf "$elsewhere"
mkdir -p "$elsewhere/checkout" "$elsewhere/cargo" "$elsewhere/built"
(cd "$repository" && git ls-files -z --cached --others --exclude-standard | tar --null --files-from - -cf -) | tar -xf - -C "$elsewhere/checkout"
cp -al "${CARGO_HOME:-$HOME/.cargo}/registry" "$elsewhere/cargo/" 2>/dev/null || cp -a "${CARGO_HOME:-$HOME/.cargo}/registry" "$elsewhere/cargo/"
cp -al "$repository/target/release-tools" "$elsewhere/built/"
CARGO_HOME=$elsewhere/cargo CARGO_TARGET_DIR=$elsewhere/built "$elsewhere/checkout/packaging/build/release" >"$work/again" 2>&1 &
again=$!

step 'the bill of materials'
venv=$repository/target/ci-bill
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet 'cyclonedx-python-lib[json-validation]==11.*' || fail 'its judge cannot be installed'
"$venv/bin/python" "$repository/tests/install/bill.py" "$dist" || fail 'the bill of materials'

step 'a text for each licence'
while read -r part; do
    grep -qE "^${part//./\\.} \(" "$dist/LICENCES.txt" || fail "no text for $part"
done < <(sed -n '3,/^$/s/^    \(.*\): .*/\1/p' "$dist/LICENCES.txt")
for part in 'ring [0-9.]* \(LICENSE-BoringSSL\)' 'ring [0-9.]* \(third_party/fiat/LICENSE\)' 'std [0-9.]* \(' 'musl [0-9.]* \(copyright\)'; do
    grep -qE "^$part" "$dist/LICENCES.txt" || fail "no text of $part"
done
grep -q '^musl developers\|Rich Felker' "$dist/LICENCES.txt" || fail 'the authors of musl'

mkfifo "$work/lines"
"$fake_aws" --dir "$work/aws" <>"$work/lines" >"$work/fake" &
fake=$!
eventually 20 grep -q READY "$work/fake" || fail 'the fake AWS does not start'
cc -O2 -o "$work/wrong-clock" "$repository/tests/wrong-clock/wrong-clock.c"

for machine in aarch64:qemu-aarch64 armv7l:qemu-arm; do
    program=$dist/rolekeeper-${machine%:*} qemu=${machine#*:}
    step "${machine%:*}: commands"
    "$repository/tests/install/foreign.sh" commands "$program" "$qemu" "$work" || fail "${machine%:*}"
    step "${machine%:*}: the daemon"
    unshare --user --map-root-user --mount --kill-child "$repository/tests/install/foreign.sh" daemon "$program" "$qemu" "$work" ||
        fail "${machine%:*}"
    step "${machine%:*}: the years after 2038"
    "$repository/tests/install/foreign.sh" later "$program" "$qemu" "$work" || fail "${machine%:*}"
done

step 'the second build ends'
wait "$again" || { cat "$work/again"; fail 'the second build'; }
again=
diff "$dist/SHA256SUMS" "$elsewhere/built/dist/SHA256SUMS" || fail 'the second build is another one'
for file in "$dist"/*; do cmp "$file" "$elsewhere/built/dist/${file##*/}" || fail "$file differs"; done
step "$(wc -l <"$dist/SHA256SUMS") files are equal byte for byte"
