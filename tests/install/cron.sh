#!/usr/bin/env bash
# packaging/cron/rolekeeper under a real cron: it refreshes, asks nobody while nothing is due, and mails only a failure
# that somebody has to act on. Runs as root; cleans up. Takes two to three minutes, because cron looks once a minute.
. "$(dirname "$0")/lib.sh"

world cron
install -m 755 "$binary" "$root/usr/bin/rolekeeper"
# The file as it is, but every minute and with less to wait for.
sed 's,^\*/5 ,* ,; s,--splay 60,--splay 3,' "$packaging/cron/rolekeeper" >"$root/etc/cron.d/rolekeeper"
[ "$(diff "$packaging/cron/rolekeeper" "$root/etc/cron.d/rolekeeper" | grep -c '^>')" = 1 ] || fail 'more than the line of the minutes was changed'
chmod 644 "$root/etc/cron.d/rolekeeper"
# Cron hands its mail to whatever calls itself sendmail.
install -m 755 /dev/stdin "$root/usr/sbin/sendmail" <<'END'
#!/bin/sh
cat >>/var/mail.txt
END
configure <<'END'
[profile own]
role_arn = arn:aws:iam::222222222222:role/efgh
credential_source = Ec2InstanceMetadata
region = us-east-1
ca_bundle = /etc/rolekeeper/ca.pem
END
chroot "$root" systemctl enable --quiet cron

runs() { inside journalctl -t CRON --no-pager -o cat | grep -c 'CMD (rolekeeper refresh --splay' || true; }
ran() { [ "$(runs)" -gt "$1" ]; }
next_run() {
    local before
    before=$(runs)
    eventually 75 ran "$before" || fail 'cron does not run it'
    sleep 5
}
mail() { cat "$root/var/mail.txt" 2>/dev/null || true; }
file=/run/rolekeeper/profiles/own/credentials.json

step 'a boot without a network yet sends no mail'
ip -n "$name" addr del 169.254.169.254/32 dev lo
boot
at_boot() { inside journalctl -t CRON --no-pager -o cat | has 'CMD (rolekeeper refresh 2>'; }
eventually 10 at_boot || fail 'cron does not run it at the boot'
tried() { inside test -e /run/rolekeeper/status.json; }
eventually 10 tried || fail 'it leaves no status'
sleep 1
[ -z "$(mail)" ] || fail "mail without need: $(mail)"
power_off
ip -n "$name" addr add 169.254.169.254/32 dev lo

step 'it refreshes at the boot'
boot
published() { inside test -s $file; }
eventually 10 published || fail 'nothing is published after the boot'
first=$(count sts_assume_role)
[ "$first" = 1 ] || fail "$first requests for the first refresh"

step 'a run while nothing is due asks nobody'
next_run
[ "$(count sts_assume_role) $(count imds_token)" = '1 1' ] || fail 'somebody was asked'
[ -z "$(mail)" ] || fail "mail without need: $(mail)"

step 'below the margin somebody gets mail'
# Due after at most 50 seconds, so at the next run or the one after it.
aws sts lifetime 100
inside rolekeeper refresh --force
aws sts fail 503 ServiceUnavailable
eventually 130 test -s "$root/var/mail.txt" || fail 'no mail about a failure below the margin'
grep -q '^Subject: Cron .*rolekeeper refresh' "$root/var/mail.txt" || fail "the mail: $(mail)"
grep -q 'profile `own`' "$root/var/mail.txt" || fail "the mail: $(mail)"
inside test -s $file || fail 'the files went with the failure'
step 'done'
