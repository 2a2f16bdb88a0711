//! Where STS is asked and what the signature says: the names are AWS's own, and a proxy leads all of them to the fake.
//! The table in `tests/config/endpoints.txt` has every region; here each kind of name is really used.

use std::net::SocketAddr;
use std::process::Command;

use fake_aws::scenario::{self, ALICE};
use fake_aws::{Permission, Role, Trust};

use crate::host::{has_program, has_root};
use crate::observe::INSTANCE;
use crate::support::proxy::{Manner, Proxy};
use crate::support::{Run, World};

/// The configuration, the region of the role's partition, where the call has to go and the region that is signed for.
struct Case {
    lines: &'static str,
    variables: &'static [(&'static str, &'static str)],
    partition: &'static str,
    host: &'static str,
    signed: &'static str,
}

const fn case(
    lines: &'static str,
    partition: &'static str,
    host: &'static str,
    signed: &'static str,
) -> Case {
    Case { lines, variables: &[], partition, host, signed }
}

const CASES: [Case; 17] = [
    case("region = us-east-1", "aws", "sts.us-east-1.amazonaws.com", "us-east-1"),
    case("region = aws-global", "aws", "sts.amazonaws.com", "us-east-1"),
    case("region = eu-west-1\nsts_regional_endpoints = legacy", "aws", "sts.amazonaws.com", "us-east-1"),
    case(
        "region = eu-south-1\nsts_regional_endpoints = legacy",
        "aws",
        "sts.eu-south-1.amazonaws.com",
        "eu-south-1",
    ),
    case(
        "region = us-west-2\nuse_fips_endpoint = true",
        "aws",
        "sts-fips.us-west-2.amazonaws.com",
        "us-west-2",
    ),
    case("region = us-west-2\nuse_dualstack_endpoint = true", "aws", "sts.us-west-2.api.aws", "us-west-2"),
    case(
        "region = us-west-2\nuse_dualstack_endpoint = true\nuse_fips_endpoint = true",
        "aws",
        "sts-fips.us-west-2.api.aws",
        "us-west-2",
    ),
    case("region = cn-north-1", "aws-cn", "sts.cn-north-1.amazonaws.com.cn", "cn-north-1"),
    case(
        "region = us-gov-west-1\nuse_fips_endpoint = true",
        "aws-us-gov",
        "sts.us-gov-west-1.amazonaws.com",
        "us-gov-west-1",
    ),
    case("region = eusc-de-east-1", "aws-eusc", "sts.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
    case("region = us-iso-east-1", "aws-iso", "sts.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"),
    case("region = us-isob-east-1", "aws-iso-b", "sts.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1"),
    case("region = eu-isoe-west-1", "aws-iso-e", "sts.eu-isoe-west-1.cloud.adc-e.uk", "eu-isoe-west-1"),
    case("region = us-isof-south-1", "aws-iso-f", "sts.us-isof-south-1.csp.hci.ic.gov", "us-isof-south-1"),
    case(
        "region = us-east-1\nendpoint_url = https://sts.example:8443/",
        "aws",
        "sts.example:8443",
        "us-east-1",
    ),
    Case {
        lines: "region = us-east-1\nservices = s\nendpoint_url = https://profile.example\n\
                [services s]\nsts =\n  endpoint_url = https://services.example",
        variables: &[],
        partition: "aws",
        host: "services.example",
        signed: "us-east-1",
    },
    Case {
        lines: "region = us-east-1\nendpoint_url = https://profile.example",
        variables: &[
            ("AWS_ENDPOINT_URL", "https://environment.example"),
            ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"),
            ("AWS_REGION", "us-west-2"),
        ],
        partition: "aws",
        host: "sts.us-west-2.amazonaws.com",
        signed: "us-west-2",
    },
];

fn sts(world: &World) -> SocketAddr {
    let url = world.fake.sts_url();
    SocketAddr::from(([127, 0, 0, 1], url.rsplit(':').next().unwrap().parse().unwrap()))
}

fn role(partition: &str) -> String {
    format!("arn:{partition}:iam::222222222222:role/efgh")
}

/// A world in which alice may assume a role of each partition, with this profile `a` of hers.
fn world(lines: &str, partition: &str) -> World {
    let keys = scenario::alice();
    let config = format!(
        "[profile a]\nrole_arn = {}\nsource_profile = b\n{lines}\n[profile b]\naws_access_key_id = {}\n\
         aws_secret_access_key = {}\n",
        role(partition),
        keys.access_key_id,
        keys.secret_access_key
    );
    let names = CASES.iter().map(|case| case.host.split(':').next().unwrap());
    let world = World::with_options(&config, |options| names.fold(options, |all, name| all.name(name)));
    world.fake.iam().permit(ALICE, Permission::allow("sts:AssumeRole", "*"));
    world.fake.iam().add_role(Role::new(&role(partition)).trust(Trust::of(ALICE)));
    world
}

fn refresh(world: &World, proxy: &Proxy, change: impl FnOnce(&mut Command)) -> Run {
    let mut command = world.command(&["refresh"]);
    command.env_remove("AWS_ENDPOINT_URL_STS").env("HTTPS_PROXY", proxy.url(""));
    change(&mut command);
    Run::of(&mut command)
}

#[test]
fn each_kind_of_endpoint_is_asked_by_its_name_and_signed_for() {
    for case in &CASES {
        let world = world(case.lines, case.partition);
        let (name, port) = case.host.split_once(':').unwrap_or((case.host, "443"));
        let target = format!("{name}:{port}");
        let proxy = Proxy::start(Manner::Lead, &[(&target, sts(&world))]);
        let run = refresh(&world, &proxy, |command| {
            command.envs(case.variables.iter().copied());
        });
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{}", case.lines);
        assert_eq!(proxy.asked(), [format!("CONNECT {target} HTTP/1.1")]);
        let sent = &world.assumptions()[0];
        assert_eq!((sent.host(), sent.server_name.as_deref()), (Some(case.host), Some(name)));
        let scope = format!("/{}/sts/aws4_request", case.signed);
        assert!(sent.header("authorization").unwrap().contains(&scope), "{}: {scope}", case.lines);
        assert_eq!(sent.parameter("RoleArn"), Some(role(case.partition).as_str()));
    }
}

#[test]
fn a_ca_bundle_may_stand_in_the_profile() {
    let world = world("region = us-east-1\nca_bundle = CA", "aws");
    let config = std::fs::read_to_string(world.directory.join("config")).unwrap();
    let ca = world.fake.ca_file().unwrap().to_str().unwrap();
    world.write("config", config.replace("ca_bundle = CA", &format!("ca_bundle = {ca}")));
    let proxy = Proxy::start(Manner::Lead, &[("sts.us-east-1.amazonaws.com:443", sts(&world))]);
    let without = |command: &mut Command| {
        command.env_remove("AWS_CA_BUNDLE");
    };
    refresh(&world, &proxy, without).assert_silent_success();
    assert_eq!(world.assumptions().len(), 1);
    std::fs::remove_dir_all(world.out()).unwrap();
    let empty = world.write("empty.pem", "no certificate");
    world.write("config", config.replace("ca_bundle = CA", &format!("ca_bundle = {}", empty.display())));
    refresh(&world, &proxy, without).assert_failure(78, &["empty.pem", "holds no PEM certificate"]);
    assert_eq!(world.assumptions().len(), 1, "a bundle stands for all roots");
}

#[test]
fn imds_at_its_own_ipv6_address_is_found_by_its_mode() {
    if !has_root() || !has_program("ip") || !has_program("unshare") {
        return;
    }
    let world = World::new(&format!("{INSTANCE}ec2_metadata_service_endpoint_mode = ipv6\n"));
    let described = world.command(&["refresh"]);
    let mut command = Command::new("unshare");
    command.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
    let endpoint = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
    command.envs(
        described
            .get_envs()
            .filter(|(name, _)| *name != endpoint)
            .filter_map(|(name, value)| Some((name, value?))),
    );
    // A network of its own, in which the address is there and nobody listens: it is refused, not out of reach.
    let script = "ip link set lo up && ip addr add fd00:ec2::254/128 dev lo && exec \"$@\"";
    command.args(["--net", "/bin/sh", "-c", script, "sh"]);
    let run = Run::of(command.arg(described.get_program()).args(described.get_args()));
    run.assert_failure(75, &["http://[fd00:ec2::254]", "refused"]);
}
