//! Regions of STS that are out of order, and the fallback regions. The names are AWS's own: the program runs in a mount
//! namespace of its own, where a hosts file leads them to the fake on loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use fake_aws::{Action, Fault, Kind};

use super::PROFILE;
use crate::host::{has_mounts, quoted};
use crate::support::{INSTANCE_CROSS_ACCOUNT, Run, World};

/// A world whose STS is at an address of its own, and that address; the one after it answers nobody.
fn world_with(network: u8, fallbacks: &str) -> (World, Ipv4Addr) {
    let [.., high, low] = std::process::id().to_be_bytes();
    let address = Ipv4Addr::new(127, network, high, low);
    let config = format!(
        "{INSTANCE_CROSS_ACCOUNT}region = us-east-1\nrolekeeper_sts_fallback_regions = {fallbacks}\n"
    );
    let world = World::with_options(&config, |options| options.sts_address(SocketAddr::from((address, 443))));
    (world, address)
}

/// Refreshes with a hosts file that has these lines.
fn refresh(world: &World, hosts: &str) -> Run {
    let hosts = world.write("hosts", hosts);
    let described = world.command(&["refresh", "-v"]);
    let mut command = Command::new("unshare");
    command.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
    for (name, value) in described.get_envs().filter(|(name, _)| *name != "AWS_ENDPOINT_URL_STS") {
        command.env(name, value.unwrap());
    }
    let script = format!("mount --bind {} /etc/hosts && exec \"$@\"", quoted(&hosts));
    command.args(["--mount", "/bin/sh", "-c", &script, "sh"]);
    Run::of(command.arg(described.get_program()).args(described.get_args()))
}

/// The hosts that were asked for the role, in order, as TLS and HTTP name them.
fn asked(world: &World) -> Vec<String> {
    let host = |received: &fake_aws::Received| {
        assert_eq!(received.server_name.as_deref(), received.host());
        received.host().unwrap().to_owned()
    };
    world.assumptions().iter().map(host).collect()
}

#[test]
fn a_region_out_of_reach_is_followed_by_the_next_one_that_answers() {
    if !has_mounts() {
        return;
    }
    let (world, address) = world_with(70, "us-east-2, us-west-2, eu-west-1");
    let nobody = Ipv4Addr::from(u32::from(address) ^ 0x0080_0000);
    let run = refresh(
        &world,
        &format!(
            "{nobody} sts.us-east-1.amazonaws.com sts.us-east-2.amazonaws.com\n\
             {address} sts.us-west-2.amazonaws.com sts.eu-west-1.amazonaws.com\n"
        ),
    );
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(asked(&world), ["sts.us-west-2.amazonaws.com"]);
    for part in ["sts.us-east-1.amazonaws.com", "region `us-east-2` is asked", "region `us-west-2` is asked"]
    {
        assert!(run.stderr.contains(part), "{part}: {run:?}");
    }
    let status = world.status(PROFILE);
    assert_eq!(
        (&status["sts_fallback_region"], &status["region"]),
        (&"us-west-2".into(), &"us-east-1".into())
    );
}

#[test]
fn a_region_in_trouble_is_followed_by_the_next_one() {
    if !has_mounts() {
        return;
    }
    let (world, address) = world_with(71, "us-west-2");
    let hosts = format!("{address} sts.us-east-1.amazonaws.com sts.us-west-2.amazonaws.com\n");
    world.fake.sts().fail(Fault::new(Action::error(503, "ServiceUnavailable")).on(Kind::AssumeRole).times(3));
    let run = refresh(&world, &hosts);
    assert_eq!(run.code, 0, "{run:?}");
    let [east, west] = ["sts.us-east-1.amazonaws.com", "sts.us-west-2.amazonaws.com"];
    assert_eq!(asked(&world), [east, east, east, west]);
    assert_eq!(world.status(PROFILE)["sts_fallback_region"], "us-west-2");
}

#[test]
fn what_sts_has_decided_is_decided_everywhere() {
    if !has_mounts() {
        return;
    }
    let (world, address) = world_with(72, "us-west-2");
    let hosts = format!("{address} sts.us-east-1.amazonaws.com sts.us-west-2.amazonaws.com\n");
    for (action, code) in [(Action::error(403, "AccessDenied"), 77), (Action::error(400, "Throttling"), 75)] {
        world.fake.sts().fail(Fault::new(action).on(Kind::AssumeRole));
        refresh(&world, &hosts).assert_failure(code, &["role `arn:aws:iam::222222222222:role/efgh`"]);
        world.fake.sts().heal();
    }
    let asked = asked(&world);
    assert!(asked.len() > 1 && asked.iter().all(|host| host == "sts.us-east-1.amazonaws.com"), "{asked:?}");
    // The region of its own, when it answers, and nothing is said of another.
    assert_eq!(refresh(&world, &hosts).code, 0);
    assert!(world.status(PROFILE).get("sts_fallback_region").is_none());
}
