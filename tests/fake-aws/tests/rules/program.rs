//! The program: says where it is, obeys its input, and ends with it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

#[test]
fn the_program_says_where_it_is_and_obeys_until_its_input_ends() {
    let directory = std::env::temp_dir().join(format!("fake-aws-program-{}", std::process::id()));
    let mut child = Command::new(env!("CARGO_BIN_EXE_fake-aws"))
        .arg("--dir")
        .arg(&directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(output.next().unwrap().unwrap(), "READY");

    let environment = std::fs::read_to_string(directory.join("env")).unwrap();
    for line in [
        "export AWS_EC2_METADATA_SERVICE_ENDPOINT='http://127.0.0.1:",
        "export AWS_ENDPOINT_URL_STS='https://localhost:",
        "export AWS_ENDPOINT_URL_S3='https://localhost:",
    ] {
        assert!(environment.contains(line), "{environment}");
    }
    assert!(std::fs::read_to_string(directory.join("ca.pem")).unwrap().starts_with("-----BEGIN CERTIFICATE"));

    for (line, answer) in [
        ("sts fail 503 SlowDown 2", "OK"),
        ("imds attach none", "OK"),
        ("sts token https://issuer.example pod sts.amazonaws.com 60", "OK ey"),
        ("requests", "OK []"),
        ("sts fly", "ERROR "),
    ] {
        writeln!(input, "{line}").unwrap();
        assert!(output.next().unwrap().unwrap().starts_with(answer), "{line}");
    }
    drop(input);
    assert!(child.wait().unwrap().success());
    std::fs::remove_dir_all(&directory).unwrap();
}
