#!/usr/bin/env bash
# The units of packaging/systemd under a real systemd: started, read, reloaded, stopped, killed, upgraded, while a
# consumer looks at a file all the time and never finds it missing, torn or expired. Runs as root; cleans up.
. "$(dirname "$0")/lib.sh"

needs systemd-analyze systemd
make_root

step 'the units are well-formed and confined'
for unit in rolekeeper.service:22 rolekeeper-refresh.service:22 rolekeeper@.service:15; do
    systemd-analyze security --offline=true --no-pager --threshold="${unit#*:}" "$packaging/systemd/${unit%:*}" \
        >"$place/security" || { cat "$place/security"; fail "$unit is more exposed than promised"; }
done
rm -f "$place/security"
# The three are confined alike, but for what the comments beside it explain.
confinement() { sed -n '/^CapabilityBoundingSet/,/^TasksMax/p' "$packaging/systemd/$1" | grep -v '^#' | sort; }
diff <(confinement rolekeeper.service) <(confinement rolekeeper-refresh.service) || fail 'service and one-shot differ'
different=$(diff <(confinement rolekeeper.service) <(confinement rolekeeper@.service) | grep '^[<>]' || true)
expected='< CapabilityBoundingSet=CAP_CHOWN
< SystemCallFilter=~@resources @keyring @memlock
> CapabilityBoundingSet=
> PrivateUsers=yes
> SystemCallFilter=~@privileged @resources @keyring @memlock'
[ "$(sort <<<"$different")" = "$(sort <<<"$expected")" ] || fail "the unit for one user differs by: $different"

world systemd
install_rolekeeper
useradd --root "$root" --create-home app
useradd --root "$root" --create-home other
install -m 644 "$repository/tests/install/reader.py" "$root/root/reader.py"
said=$(systemd-analyze verify --man=no --root="$root" rolekeeper.service rolekeeper-refresh.timer rolekeeper@app.service 2>&1) ||
    fail "systemd-analyze verify: $said"
if grep -i rolekeeper <<<"$said"; then fail 'systemd-analyze verify has remarks'; fi

configuration() { # MORE
    configure <<END
[rolekeeper]
[default]
region = us-east-1
ca_bundle = /etc/rolekeeper/ca.pem
[profile own]
role_arn = arn:aws:iam::222222222222:role/efgh
credential_source = Ec2InstanceMetadata
region = us-east-1
ca_bundle = /etc/rolekeeper/ca.pem
[profile given]
role_arn = arn:aws:iam::222222222222:role/one-hour
credential_source = Ec2InstanceMetadata
region = us-east-1
ca_bundle = /etc/rolekeeper/ca.pem
rolekeeper_owner = app
[profile denied]
role_arn = arn:aws:iam::222222222222:role/hop2
credential_source = Ec2InstanceMetadata
region = us-east-1
ca_bundle = /etc/rolekeeper/ca.pem
${1:-}
END
}
files=/run/rolekeeper/profiles

configuration
unit consumer.service <<'END'
[Unit]
Wants=rolekeeper.service
After=rolekeeper.service
[Service]
Type=oneshot
RemainAfterExit=yes
User=app
EnvironmentFile=/run/rolekeeper/profiles/given/env
ExecStart=/bin/sh -ec 'test -n "$AWS_SESSION_TOKEN"; grep -q "$AWS_ACCESS_KEY_ID" /run/rolekeeper/profiles/given/credentials'
[Install]
WantedBy=multi-user.target
END
chroot "$root" systemctl enable --quiet rolekeeper consumer
# Long enough that a refresh of the daemon's comes at half of it, short enough to see many.
aws sts lifetime 24

step 'it boots, is ready, and a unit ordered after it finds its file; the denied profile keeps nobody waiting'
boot
active || fail 'rolekeeper is not active after the boot'
active consumer.service || fail 'the consumer did not find its file'
case $(property StatusText) in '2 of 3 profiles fresh; failing: denied'*) ;; *) fail "status: $(property StatusText)" ;; esac
[ "$(inside stat -c '%U %a' $files/given/credentials)" = 'app 600' ] || fail 'the owner of a given file'
[ "$(inside stat -c '%U %a' $files/own/credentials)" = 'root 600' ] || fail 'the owner of an own file'
inside setpriv --reuid app --regid app --clear-groups cat $files/given/credentials.json >/dev/null || fail 'its owner cannot read it'
if inside setpriv --reuid other --regid other --clear-groups cat $files/given/credentials.json 2>/dev/null; then fail 'somebody else can read it'; fi
[ "$(inside sh -c 'grep -c Seccomp:.*2 /proc/$0/status' "$(property MainPID)")" = 1 ] || fail 'no system call filter'
[ "$(property WatchdogUSec)" = 2min ] || fail 'no watchdog'
[ "$(property NeedDaemonReload) $(property NRestarts)" = 'no 0' ] || fail 'it was restarted'
inside systemd-analyze security --no-pager --threshold=22 rolekeeper.service >"$stage/security" ||
    { cat "$stage/security"; fail 'more exposed than promised as it runs'; }
capabilities=$(inside sed -n 's/^CapBnd:\t//p' "/proc/$(property MainPID)/status")
[ "$capabilities" = 0000000000000001 ] || fail "capabilities: $capabilities"

inside systemd-run --quiet --unit=reader --property=KillSignal=SIGTERM python3 /root/reader.py $files/given/credentials.json /root/report
step 'it rotates'
rotates 'after the start'

step 'a reload takes over a new profile and keeps the process'
pid=$(property MainPID)
configuration '[profile more]
role_arn = arn:aws:iam::222222222222:role/one-hour
credential_source = Ec2InstanceMetadata
region = us-east-1
ca_bundle = /etc/rolekeeper/ca.pem
rolekeeper_on_rotate = systemctl restart consumer.service'
started=$(property ExecMainStartTimestampMonotonic consumer.service)
inside systemctl reload rolekeeper
eventually 40 inside test -s $files/more/credentials || fail 'the new profile is not published'
[ "$(property MainPID)" = "$pid" ] || fail 'another process after the reload'
restarted() { [ "$(property ExecMainStartTimestampMonotonic consumer.service)" != "$started" ]; }
eventually 10 restarted || fail 'the hook did not restart a unit from within the sandbox'

step 'a reload of a broken configuration changes nothing and says so'
echo 'rolekeeper_ownr = app' >>"$root/etc/rolekeeper/config"
inside systemctl reload rolekeeper
complains() { property StatusText | has 'the new configuration is not used'; }
eventually 5 complains || fail "status: $(property StatusText)"
active || fail 'it ended'
rotates 'with a broken configuration on the disk'
configuration

step 'a restart asks nobody for what is fresh'
# A session that lasts: otherwise one might be due just now.
aws sts lifetime 3600
rotates 'before the restart'
before=$(count sts_assume_role)
pid=$(property MainPID)
inside systemctl restart rolekeeper
another_process "$pid" || fail 'the same process after a restart'
sleep 1
after=$(count sts_assume_role)
# The denied profile is tried at each start.
[ $((after - before)) -le 1 ] || fail "$((after - before)) requests for a restart"

step 'a stop leaves the files'
inside systemctl stop rolekeeper
[ "$(property ActiveState)" = inactive ] || fail 'not stopped'
for file in credentials credentials.json env config; do inside test -s $files/given/$file || fail "$file went with the stop"; done
inside systemctl start rolekeeper

step 'after SIGKILL it comes back'
pid=$(property MainPID)
inside kill -KILL "$pid"
eventually 15 another_process "$pid" || fail 'not restarted after SIGKILL'

step 'the watchdog ends a daemon that hangs'
unit rolekeeper.service.d/watchdog.conf <<'END'
[Service]
WatchdogSec=2s
RestartSec=100ms
END
inside systemctl daemon-reload
inside systemctl restart rolekeeper
pid=$(property MainPID)
sleep 5
[ "$(property MainPID)" = "$pid" ] || fail 'the watchdog ended a daemon that lives'
inside kill -STOP "$pid"
eventually 15 another_process "$pid" || fail 'the watchdog did not act'
inside journalctl -u rolekeeper --no-pager | has 'Watchdog timeout' || fail 'no word of the watchdog'
rm "$root/etc/systemd/system/rolekeeper.service.d/watchdog.conf"
inside systemctl daemon-reload

step 'an upgrade while it runs: the old program goes on until the restart'
aws sts lifetime 24
inside rolekeeper refresh --force given own
inside systemctl restart rolekeeper
pid=$(property MainPID)
# As package managers do it: a new file in the place of the old one.
cp "$binary" "$root/usr/bin/rolekeeper.dpkg-new" && mv "$root/usr/bin/rolekeeper.dpkg-new" "$root/usr/bin/rolekeeper"
rotates 'after the program was replaced'
[ "$(property MainPID)" = "$pid" ] || fail 'the old process did not survive the upgrade'
inside systemctl daemon-reload && inside systemctl try-restart rolekeeper
another_process "$pid" || fail 'not restarted'
rotates 'after the upgrade'

step 'a file in the home of its owner, with the drop-in'
sed 's/^BindPaths=.*/BindPaths=\/home\/app\/.aws/' "$packaging/systemd/rolekeeper-merge.conf" | unit rolekeeper.service.d/merge.conf
install -d -o "$(inside id -u app)" -g "$(inside id -g app)" -m 700 "$root/home/app/.aws"
configuration '[profile merged]
role_arn = arn:aws:iam::222222222222:role/one-hour
credential_source = Ec2InstanceMetadata
region = us-east-1
ca_bundle = /etc/rolekeeper/ca.pem
rolekeeper_credentials_file = /home/app/.aws/credentials'
inside systemctl daemon-reload
inside systemctl restart rolekeeper
eventually 5 inside test -s /home/app/.aws/credentials || fail "nothing was merged: $(inside rolekeeper status)"
[ "$(inside stat -c %U /home/app/.aws/credentials)" = app ] || fail 'merged by somebody else'
rm "$root/etc/systemd/system/rolekeeper.service.d/merge.conf"
configuration
inside systemctl daemon-reload

step 'within the confinement: a process as source, the endpoint, and its port below 1024 with the drop-in'
# What a source of one's own does: it looks for the network, for programs, and for a place to write.
install -m 755 /dev/stdin "$root/usr/local/bin/source" <<'END'
#!/bin/sh
set -eu
metadata=http://169.254.169.254/latest
token=$(curl --silent --fail --request PUT --header 'X-aws-ec2-metadata-token-ttl-seconds: 60' $metadata/api/token)
get() { curl --silent --fail --header "X-aws-ec2-metadata-token: $token" "$metadata/meta-data/iam/security-credentials/$1"; }
get "$(get '')" >/tmp/answer
exec python3 -c 'import json; a = json.load(open("/tmp/answer")); print(json.dumps({"Version": 1, "AccessKeyId": a["AccessKeyId"], "SecretAccessKey": a["SecretAccessKey"], "SessionToken": a["Token"], "Expiration": a["Expiration"]}))'
END
process='[profile process]
credential_process = /usr/local/bin/source
[profile behind]
role_arn = arn:aws:iam::222222222222:role/one-hour
source_profile = process
region = us-east-1
ca_bundle = /etc/rolekeeper/ca.pem
rolekeeper_owner = app'
served() { # PORT PROFILE DIRECTORY: what a consumer that runs as app is told
    inside setpriv --reuid app --regid app --clear-groups python3 -c "
import sys, urllib.request
request = urllib.request.Request('http://127.0.0.1:$1/profiles/$2', headers={'Authorization': open('$3/profiles/$2/token').read()})
print(urllib.request.urlopen(request, timeout=5).read().decode())"
}
configuration "$process"
sed -i 's/^\[rolekeeper\]$/&\nserve = 127.0.0.1:911/' "$root/etc/rolekeeper/config"
inside systemctl restart rolekeeper
eventually 10 inside test -s $files/behind/credentials || fail "nothing from the process: $(inside rolekeeper status)"
inside test ! -e $files/behind/token || fail 'a token without a port'
unit rolekeeper.service.d/port.conf <<'END'
[Service]
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
END
inside systemctl daemon-reload
inside systemctl restart rolekeeper
eventually 10 inside test -s $files/behind/token || fail 'no token with the drop-in'
served 911 behind /run/rolekeeper | has SecretAccessKey || fail 'the endpoint does not answer'
rm "$root/etc/systemd/system/rolekeeper.service.d/port.conf"
sed -i 's/^serve = .*/serve = 127.0.0.1:8911/' "$root/etc/rolekeeper/config"
inside systemctl daemon-reload
inside systemctl restart rolekeeper
served_there() { served 8911 behind /run/rolekeeper 2>/dev/null | has SecretAccessKey; }
eventually 10 served_there || fail 'the endpoint does not answer without the drop-in'

step 'within the confinement: a process that reads a home, with the drop-in'
install -D -m 600 /dev/stdin "$root/root/.aws/answer.json" <<'END'
{"Version": 1, "AccessKeyId": "AKIAEXAMPLEATHOME", "SecretAccessKey": "at-home"}
END
configuration '[profile home]
rolekeeper_publish = true
credential_process = /bin/cat /root/.aws/answer.json'
inside systemctl restart rolekeeper
inside test ! -e $files/home/credentials || fail 'a home is open without the drop-in'
unit rolekeeper.service.d/home.conf <<'END'
[Service]
ProtectHome=read-only
END
inside systemctl daemon-reload
inside systemctl restart rolekeeper
eventually 10 inside grep -q AKIAEXAMPLEATHOME $files/home/credentials || fail "nothing from home: $(inside rolekeeper status)"
rm "$root/etc/systemd/system/rolekeeper.service.d/home.conf"
inside systemctl daemon-reload

step 'within the confinement: a proxy, where nobody but it finds STS'
ip netns exec "$name" python3 "$repository/tests/install/proxy.py" 3128 "$stage/proxied" &
cp "$root/etc/hosts" "$stage/hosts"
echo '127.0.0.1 localhost' >"$root/etc/hosts"
unit rolekeeper.service.d/proxy.conf <<'END'
[Service]
Environment=HTTPS_PROXY=http://127.0.0.1:3128
END
configuration
aws sts lifetime 24
inside systemctl daemon-reload
inside systemctl restart rolekeeper
rotates 'through the proxy'
has '^sts.us-east-1.amazonaws.com:443$' <"$stage/proxied" || fail 'the proxy was not asked'
if grep -v '^sts' "$stage/proxied"; then fail 'something else went through the proxy'; fi
rm "$root/etc/systemd/system/rolekeeper.service.d/proxy.conf"
cat "$stage/hosts" >"$root/etc/hosts"
inside systemctl daemon-reload

step 'the timer alone'
inside systemctl disable --quiet --now rolekeeper
unit rolekeeper-refresh.timer.d/soon.conf <<'END'
[Timer]
OnActiveSec=
OnActiveSec=0
OnUnitInactiveSec=2s
AccuracySec=100ms
END
unit rolekeeper-refresh.service.d/soon.conf <<'END'
[Service]
ExecStart=
ExecStart=/usr/bin/rolekeeper refresh --splay 1
END
inside systemctl daemon-reload
inside systemctl enable --quiet --now rolekeeper-refresh.timer
rotates 'by the timer'
rotates 'by the timer, once more'
inside systemctl stop rolekeeper-refresh.timer
has_ended() { [ "$(property ActiveState rolekeeper-refresh.service)" != activating ]; }
eventually 20 has_ended || fail 'the one-shot does not end'
inside test -s $files/given/credentials || fail 'the files went with the one-shot'

step 'the consumer that looked all the time'
inside systemctl stop reader
cat "$root/root/report"; echo
python3 - "$root/root/report" <<'END' || fail 'the consumer saw something wrong'
import json, sys
report = json.load(open(sys.argv[1]))
sys.exit(bool(report["wrong"]) or report["looks"] < 1000 or report["sets"] < 8)
END

step 'the unit for one user, without any privilege'
configure /etc/rolekeeper/app.config <<'END'
[profile only]
role_arn = arn:aws:iam::222222222222:role/efgh
credential_source = Ec2InstanceMetadata
region = us-east-1
ca_bundle = /etc/rolekeeper/ca.pem
END
inside chgrp app /etc/rolekeeper/app.config && inside chmod 640 /etc/rolekeeper/app.config
inside systemctl start rolekeeper@app
[ "$(inside stat -c '%U %a' /run/rolekeeper-app)" = 'app 700' ] || fail 'the directory of the user'
[ "$(inside stat -c '%U %a' /run/rolekeeper-app/credentials)" = 'app 600' ] || fail 'the file of the user'

step 'the endpoint of the unit for one user, below port 1024 with the drop-in'
sed -i '1i [rolekeeper]\nserve = 127.0.0.1:912' "$root/etc/rolekeeper/app.config"
unit rolekeeper@app.service.d/port.conf <<'END'
[Service]
PrivateUsers=no
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
AmbientCapabilities=CAP_NET_BIND_SERVICE
END
inside systemctl daemon-reload
inside systemctl restart rolekeeper@app
served_to_user() { served 912 only /run/rolekeeper-app 2>/dev/null | has SecretAccessKey; }
eventually 10 served_to_user || fail "the user's endpoint does not answer: $(property StatusText rolekeeper@app)"

inside systemctl stop rolekeeper@app
inside test -s /run/rolekeeper-app/credentials || fail 'the files of the user went with the stop'

step 'a configuration that is wrong from the start fails loudly, once'
configuration 'rolekeeper_ownr = app'
if inside systemctl start rolekeeper 2>/dev/null; then fail 'it started with a wrong configuration'; fi
[ "$(property ExecMainStatus) $(property NRestarts) $(property ActiveState)" = '78 0 failed' ] ||
    fail "exit code, restarts, state: $(property ExecMainStatus) $(property NRestarts) $(property ActiveState)"
inside journalctl -u rolekeeper --no-pager -n 20 | has 'rolekeeper_owner' || fail 'no word of what was meant'
step 'done'
