//! AWS IoT Core and Roles Anywhere through an HTTPS proxy, which sees a tunnel and nothing in it, and container
//! endpoints without one. The names are AWS's own and are looked up by nobody.

use std::net::SocketAddr;
use std::process::Command;

use fake_aws::Service;

use super::certificates::world_of;
use crate::support::proxy::{Manner, Proxy};
use crate::support::{Run, World};

const IOT: &str = "c2abc.credentials.iot.eu-west-1.amazonaws.com";
const ANYWHERE: &str = "rolesanywhere.eu-west-1.amazonaws.com";
/// The endpoint of each profile.
const SERVICES: [(&str, &str); 2] = [("iot", IOT), ("anywhere", ANYWHERE)];

/// A world whose two profiles ask AWS under its own names, and where AWS really is.
fn world() -> (World, [(String, SocketAddr); 2]) {
    let world = world_of(World::with_options("", |options| options.name(IOT).name(ANYWHERE)));
    let (iot, anywhere) = (world.fake.iot_endpoint(), world.fake.roles_anywhere_url());
    let config = world.text("config");
    let config = config.replace(&format!("rolekeeper_roles_anywhere_endpoint = {anywhere}\n"), "");
    world.write("config", config.replace(&iot, IOT));
    let at = |url: &str| SocketAddr::from(([127, 0, 0, 1], url.rsplit(':').next().unwrap().parse().unwrap()));
    let hosts = [(format!("{IOT}:443"), at(&iot)), (format!("{ANYWHERE}:443"), at(&anywhere))];
    (world, hosts)
}

fn proxy(manner: Manner, hosts: &[(String, SocketAddr); 2]) -> Proxy {
    let [iot, anywhere] = hosts;
    Proxy::start(manner, &[(&iot.0, iot.1), (&anywhere.0, anywhere.1)])
}

fn command(world: &World, profile: &str, variables: &[(&str, &str)]) -> Command {
    let mut command = world.command(&["refresh", "--force", profile]);
    command.env_remove("AWS_ENDPOINT_URL_STS").envs(variables.iter().copied());
    command
}

/// Refreshes, and asserts that no password is said.
fn refresh(world: &World, profile: &str, variables: &[(&str, &str)]) -> Run {
    let run = Run::of(&mut command(world, profile, variables));
    assert!(!run.stderr.contains("hunter") && !run.stderr.contains("aHVudGVy"), "a password: {run:?}");
    run
}

#[test]
fn both_services_are_reached_by_a_tunnel_to_their_own_names() {
    let (world, hosts) = world();
    let proxy = proxy(Manner::Lead, &hosts);
    for (profile, host) in SERVICES {
        refresh(&world, profile, &[("HTTPS_PROXY", &proxy.url(""))]).assert_silent_success();
        assert_eq!(proxy.asked().pop(), Some(format!("CONNECT {host}:443 HTTP/1.1")));
        assert!(!proxy.heads().pop().unwrap().contains("Authorization"));
        // The handshake is AWS's, certificates included: the proxy ends no TLS.
        assert_eq!(world.asked().pop().unwrap().server_name.as_deref(), Some(host));
    }
    assert_eq!((proxy.asked().len(), world.asked().len()), (2, 2));
    world.assert_no_imds();
}

#[test]
fn the_proxy_is_told_user_and_password_and_the_services_are_not() {
    let (world, hosts) = world();
    let proxy = proxy(Manner::LeadFor("Basic amU6aHVudGVyIDJA"), &hosts);
    for (profile, host) in SERVICES {
        let right = proxy.url("je:hunter%202%40@");
        refresh(&world, profile, &[("https_proxy", &right)]).assert_silent_success();
        let received = world.asked().pop().unwrap();
        assert_eq!(received.header("proxy-authorization"), None);
        let before = world.document(profile);
        std::fs::remove_dir_all(world.out()).unwrap();
        for wrong in ["", "je:hunter@"] {
            let run = refresh(&world, profile, &[("https_proxy", &proxy.url(wrong))]);
            run.assert_failure(75, &[host, "407", "http://USER:PASSWORD@HOST:PORT"]);
            assert!(world.is_unpublished(profile), "{before}");
        }
    }
    assert_eq!(world.asked().len(), 2);
}

#[test]
fn hosts_that_need_no_proxy_are_reached_without_it() {
    // Nothing resolves AWS's names here, so what goes without the proxy goes to this host's.
    let world = world_of(World::new(""));
    let proxy = Proxy::start(Manner::Say(b"HTTP/1.1 503 no\r\n\r\n"), &[]);
    let url = proxy.url("");
    for profile in ["iot", "anywhere"] {
        for list in ["localhost", "*", "example.com, .localhost"] {
            let variables = [("HTTPS_PROXY", url.as_str()), ("NO_PROXY", list)];
            refresh(&world, profile, &variables).assert_silent_success();
        }
        assert!(proxy.asked().is_empty(), "{:?}", proxy.asked());
    }
    assert_eq!(world.asked().len(), 6);
    for profile in ["iot", "anywhere"] {
        std::fs::remove_dir_all(world.out()).unwrap();
        let run = refresh(&world, profile, &[("HTTPS_PROXY", &url), ("NO_PROXY", "localhost:1")]);
        run.assert_failure(
            75,
            &["no answer from the", "status 503", "has to allow CONNECT to `https://localhost:"],
        );
    }
}

/// The advice is that for STS, and names the host alone.
#[test]
fn a_proxy_that_does_not_lead_on_is_named_with_what_to_do() {
    let (world, _) = world();
    let closed = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let forbidden = Proxy::start(Manner::Say(b"HTTP/1.1 403 Forbidden\r\n\r\n"), &[]);
    let portal = Proxy::start(Manner::Say(b"HTTP/1.1 200 OK\r\n\r\n<html>sign in</html>"), &[]);
    for (profile, host) in SERVICES {
        let allow = format!("the proxy has to allow CONNECT to `https://{host}`\n");
        let check = "check HTTPS_PROXY, and write hosts that need no proxy into NO_PROXY";
        for (url, code, parts) in [
            (format!("http://je:hunter@{closed}"), 75, ["cannot be reached", check]),
            (forbidden.url("je:hunter@"), 75, ["status 403", &allow]),
            (portal.url("je:hunter@"), 75, ["not HTTP", check]),
            (
                "socks5://je:hunter@proxy:1080".to_owned(),
                78,
                ["`HTTPS_PROXY`", "http://USER:PASSWORD@HOST:PORT"],
            ),
        ] {
            let run = refresh(&world, profile, &[("HTTPS_PROXY", &url)]);
            run.assert_failure(code, &parts);
            assert!(world.is_unpublished(profile));
        }
    }
    assert!(world.asked().is_empty());
}

#[test]
fn a_container_s_endpoint_is_never_behind_the_proxy() {
    let world = World::new("[profile a]\ncredential_source = EcsContainer\nrolekeeper_publish = true\n");
    let proxy = Proxy::start(Manner::Say(b"HTTP/1.1 503 no\r\n\r\n"), &[]);
    let url = proxy.url("");
    let variables = [
        ("HTTPS_PROXY", url.as_str()),
        ("https_proxy", &url),
        ("HTTP_PROXY", &url),
        ("http_proxy", &url),
        ("ALL_PROXY", &url),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &world.fake.container_url()),
    ];
    refresh(&world, "a", &variables).assert_silent_success();
    assert!(proxy.asked().is_empty(), "{:?}", proxy.asked());
    assert_eq!(world.received(Service::Container).len(), 1);
    // What listens there is STS, which knows no such path: it was reached by TLS, and directly.
    let https = format!("{}/credentials", world.fake.sts_url());
    let variables = [("HTTPS_PROXY", url.as_str()), ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &https)];
    let run = Run::of(command(&world, "a", &variables).arg("-v"));
    assert!(run.stderr.contains("status 404"), "{run:?}");
    assert!(proxy.asked().is_empty(), "{:?}", proxy.asked());
}
