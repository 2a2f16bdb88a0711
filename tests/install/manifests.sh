#!/usr/bin/env bash
# The manifests of packaging/container: held against the schemas of Kubernetes and the model of ECS, and then taken at
# their word. Their containers run with the users, volumes, capabilities and variables that they ask for, beside the
# endpoints of EKS Pod Identity, ECS and the metadata service; the application is a Debian that reads as the published
# `config` tells it to. What a cluster would do beyond that is not shown. Runs as root; cleans up.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/containers.sh"

more_addresses='169.254.170.2 169.254.170.23'
aws_options='--container 169.254.170.2:80 --container 169.254.170.23:80'
manifests=$packaging/container
venv=$repository/target/ci-venv
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check 'awscli==1.45.*' 'kubernetes-validate==1.37.*'

step 'the schemas'
"$venv/bin/python" "$repository/tests/install/manifests.py" schema "$manifests"/kubernetes/*.yaml

world manifests
engine
image=localhost/rolekeeper
mkdir "$stage/dist"
install -m 755 "$binary" "$stage/dist/rolekeeper-$(uname -m)"
"$manifests/image.py" --context "$stage/dist" --output "$stage/rolekeeper.tar"
podman load --quiet --input "$stage/rolekeeper.tar" >/dev/null
trusting=(--volume "$stage/aws/ca.pem:/ca.pem:ro" --env AWS_CA_BUNDLE=/ca.pem)
path=/v2/credentials/5f1b?of=task

lay_out() { # KIND FILE: its containers' words in $laid
    laid=$stage/laid-$(basename "$2")
    "$venv/bin/python" "$repository/tests/install/manifests.py" "$1" "$2" "$laid"
}
words() { mapfile -d '' -t "$1" <"$laid/$2"; } # ARRAY FILE
agent() { # FLAGS OF THE SURROUNDINGS...: starts the container `rolekeeper` and waits until it is healthy
    local flags given probe
    words flags rolekeeper.flags
    words given rolekeeper.words
    words probe rolekeeper.probe
    [ ${#probe[@]} -gt 0 ] || fail 'no health check'
    podman run --detach "${flags[@]}" "${trusting[@]}" "$@" $image "${given[@]}" >/dev/null
    healthy() { podman exec rolekeeper "${probe[@]}" >"$stage/said" 2>&1; }
    eventually 15 healthy || fail "not healthy: $(cat "$stage/said"; podman logs rolekeeper 2>&1)"
}
app() { # COMMAND...: in the application's container, with what the published config says in $answer
    local flags
    words flags app.flags
    answer=$(podman run --rm "${flags[@]}" --rootfs "$root" "$@" 2>&1) || fail "the application: $answer"
}
# As an SDK does it: the one process that the configuration of `[default]` names.
ask='eval "$(sed -n "/^\[default\]/,/^\[profile/s/^credential_process = //p" "$AWS_CONFIG_FILE")"'
session() { has '"Version": *1' <<<"$answer" && has '"SessionToken"' <<<"$answer" || fail "the application has: $answer"; }
gone() { podman rm --all --force --time 5 >/dev/null; }

step 'Kubernetes: a sidecar with EKS Pod Identity'
lay_out pod "$manifests/kubernetes/sidecar.yaml"
[ "$(tr '\n' ' ' <"$laid/order")" = 'rolekeeper app ' ] || fail "the order: $(cat "$laid/order")"
identity=/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/eks-pod-identity-token
printf 'of-this-pod' >"$stage/pod-token"
for_the_group() { chown 0:65532 "$1" && chmod 640 "$1"; } # as the kubelet does it for the group of the pod
for_the_group "$stage/pod-token"
aws container token of-this-pod
aws sts lifetime 14
agent --volume "$stage/pod-token:$identity:ro" --env "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=$identity" \
    --env "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://169.254.170.23$path"
app sh -c "$ask"
session
first=$answer
rotated() { app sh -c "$ask" && session && [ "$answer" != "$first" ]; }
eventually 20 rotated || fail 'the application does not see the rotation'
gone

step 'Kubernetes: a sidecar that answers over HTTP, as its comment tells'
aws sts lifetime 3600
answering=$stage/answering.yaml
sed 's/^    \[profile app\]/    [rolekeeper]\n    serve = 127.0.0.1:9911\n&/' "$manifests/kubernetes/sidecar.yaml" >"$answering"
lay_out pod "$answering"
agent --volume "$stage/pod-token:$identity:ro" --env "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=$identity" \
    --env "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://169.254.170.23$path"
app sh -c 'exec curl --silent --show-error --fail --header "Authorization: $(cat /run/rolekeeper/profiles/app/token)" http://127.0.0.1:9911/profiles/app'
has '"Token"' <<<"$answer" || fail "the application has: $answer"
gone

step 'Kubernetes: a sidecar with the identity of a service account (IRSA), as its comment tells'
token=/var/run/secrets/eks.amazonaws.com/serviceaccount/token
aws sts token https://issuer.example system:serviceaccount:default:app sts.amazonaws.com 600 >"$stage/oidc-token"
for_the_group "$stage/oidc-token"
federated=$stage/federated.yaml
comment=$(sed -n 's/^#     //p' "$manifests/kubernetes/sidecar.yaml" | sed 's,<the role .*>,arn:aws:iam::222222222222:role/pod,')
has "^web_identity_token_file = $token\$" <<<"$comment" || fail "the comment: $comment"
awk -v comment="$comment" '/^    \[profile app\]/ { gsub("\n", "\n    ", comment); print "    " comment } { print }' \
    "$manifests/kubernetes/sidecar.yaml" | sed 's/^    credential_source = .*/    source_profile = pod/; s,:role/efgh,:role/hop1,' >"$federated"
lay_out pod "$federated"
agent --volume "$stage/oidc-token:$token:ro" --env AWS_ROLE_ARN=arn:aws:iam::222222222222:role/pod --env AWS_WEB_IDENTITY_TOKEN_FILE=$token
podman exec rolekeeper /rolekeeper whoami app | has ':assumed-role/hop1/' || fail 'another identity'
app sh -c "$ask"
session
gone

step 'Kubernetes: the same identity alone, without any file'
podman run --detach --name rolekeeper --network=host --user 12345 --group-add 65532 --read-only --read-only-tmpfs=false --cap-drop=all \
    --tmpfs /run/rolekeeper:mode=1777 --volume "$stage/oidc-token:$token:ro" "${trusting[@]}" --env AWS_REGION=us-east-1 \
    --env AWS_WEB_IDENTITY_TOKEN_FILE=$token --env AWS_ROLE_ARN=arn:aws:iam::222222222222:role/pod $image >/dev/null
ready() { podman exec rolekeeper /rolekeeper status --ready >"$stage/said" 2>&1; }
eventually 10 ready || fail "not ready: $(podman logs rolekeeper 2>&1)"
podman exec rolekeeper /rolekeeper whoami | has ':assumed-role/pod/' || fail 'another identity'
gone

step 'Kubernetes: one for each node, with the role of the node'
aws container token none
lay_out pod "$manifests/kubernetes/daemonset.yaml"
agent
published=$laid/node/run/rolekeeper/profiles/app
[ "$(stat -c '%u %a' "$published/credentials.json")" = '1000 600' ] || fail "whose file: $(stat -c '%u %a' "$published/credentials.json")"
for who in 1000 1001; do
    answer=$(podman run --rm --network=none --user $who --cap-drop=all --read-only --volume "$published:/creds:ro" \
        --env AWS_CONFIG_FILE=/creds/config --rootfs "$root" sh -c "$ask; cat /creds/credentials.json" 2>&1) || true
    case $who in 1000) session ;; *) [ "$(grep -c 'Permission denied' <<<"$answer")" = 2 ] || fail "another pod has $answer" ;; esac
done
# Its files outlive it, and nobody is asked for them again.
before=$(count sts_assume_role)
podman rm --force --time 5 rolekeeper >/dev/null
agent
[ "$(count sts_assume_role)" = "$before" ] || fail 'a restart asked STS'
gone

step 'ECS: a task'
lay_out task "$manifests/ecs-task-definition.json"
[ "$(tr '\n' ' ' <"$laid/order")" = 'config rolekeeper app ' ] || fail "the order: $(cat "$laid/order")"
words flags config.flags
words given config.words
podman run --rm "${flags[@]}" --rootfs "$root" "${given[@]}" || fail 'the configuration is not written'
agent --env "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=$path"
app sh -c "$ask"
session
gone
step 'the blocks of the README'
# What is missing is a cluster: what would be applied to it is held against the schemas, and everything else refused.
cat >"$stage/bin/kubectl" <<END
#!/bin/sh
case "\$1 \$2" in
'apply --filename') exec $venv/bin/python $repository/tests/install/manifests.py schema "\$3" ;;
'create namespace') ;;
*) exit 64 ;;
esac
END
# And the service: the AWS CLI holds what it is given against the model of ECS before it sends it.
cat >"$stage/bin/aws" <<END
#!/bin/sh
exec nsenter --net=/run/netns/$name env -i PATH=/usr/bin:/bin HOME=/nowhere AWS_ENDPOINT_URL=http://127.0.0.1:8170 AWS_DEFAULT_REGION=us-east-1 \\
    AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE AWS_SECRET_ACCESS_KEY=unused $venv/bin/python -m awscli "\$@"
END
chmod 755 "$stage/bin/kubectl" "$stage/bin/aws"
nsenter --net="/run/netns/$name" python3 "$repository/tests/install/ecs.py" 8170 "$stage/registered" &
eventually 10 test -e "$stage/registered" || fail 'the service does not start'
ran=0
while IFS= read -r -d '' block; do
    step "$(head -n 1 <<<"$block")"
    (cd "$repository" && bash -euxc "$block") >"$stage/said" 2>&1 </dev/null || { cat "$stage/said"; fail 'the block fails'; }
    ran=$((ran + 1))
done < <(blocks manifests)
[ "$ran" = 2 ] || fail "$ran blocks were found"
cmp <(python3 -m json.tool --sort-keys "$manifests/ecs-task-definition.json") <(python3 -m json.tool --sort-keys "$stage/registered") ||
    fail 'another task was registered'
step 'done'
