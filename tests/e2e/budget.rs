//! What a run costs in system calls, connections and threads, counted by strace. The figures bind the program that
//! is shipped, which `ROLEKEEPER_BINARY` names; a debug build is held to looser ones.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::process::Command;

use crate::host::has_program;
use crate::support::{INSTANCE_CROSS_ACCOUNT, World};

/// System calls of a cold refresh, whatever it publishes, those for memory apart.
const FIXED: usize = 95;
/// System calls for each file that is created: six, and one more where there could be another before it.
const PER_FILE: usize = 7;
/// System calls of each further profile beside its files: a directory, and an exchange with STS.
const PER_FURTHER_PROFILE: usize = 8;
/// What moves memory about. How often that is, the allocator decides, and the length of a path or a port sways it: musl's
/// hands back a page as soon as the few strings in it are gone, and asks for another one for the next profile.
const MEMORY: [&str; 5] = ["mmap", "munmap", "brk", "mprotect", "madvise"];
/// System calls for memory of a cold refresh, and of each further profile.
const FIXED_MEMORY: usize = 60;
const PROFILES_MEMORY: usize = 30;
/// What a debug build may need more: it is dynamically linked and asks its allocator for more.
const DEBUG_ALLOWANCE: usize = 60;

/// System calls by name, as strace writes them.
type Calls = BTreeMap<String, Vec<String>>;

/// The program to measure, and what its kind is allowed beyond the budget.
#[expect(clippy::disallowed_methods, reason = "a test asks for its own environment, not for the agent's")]
pub(crate) fn program() -> (std::ffi::OsString, usize) {
    std::env::var_os("ROLEKEEPER_BINARY")
        .map_or_else(|| (env!("CARGO_BIN_EXE_rolekeeper").into(), DEBUG_ALLOWANCE), |named| (named, 0))
}

/// Runs the program with `arguments` under strace. STS is named by its address, so that no name is looked up.
fn trace(world: &World, arguments: &[&str]) -> Calls {
    let described = world.command(arguments);
    let log = world.directory.join("strace");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o"]).arg(&log).arg(program().0).args(described.get_args()).env_clear();
    for (name, value) in described.get_envs() {
        command.env(name, value.unwrap());
    }
    command.env("AWS_ENDPOINT_URL_STS", world.fake.sts_url().replace("localhost", "127.0.0.1"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut calls = Calls::new();
    // `PID call(arguments) = result`; the end of a call that another thread interrupted is a line of its own.
    for line in fs::read_to_string(log).unwrap().lines() {
        let call = line.split_whitespace().nth(1).and_then(|rest| rest.split_once('('));
        if let Some((name, _)) = call.filter(|_| !line.contains(" resumed>")) {
            calls.entry(name.to_owned()).or_default().push(line.to_owned());
        }
    }
    calls
}

fn count(calls: &Calls, names: &[&str]) -> usize {
    names.iter().filter_map(|name| calls.get(*name)).map(Vec::len).sum()
}

fn total(calls: &Calls) -> usize {
    calls.values().map(Vec::len).sum()
}

/// How often each call was made.
fn summary(calls: &Calls) -> String {
    let counts: Vec<String> = calls.iter().map(|(name, lines)| format!("{name} {}", lines.len())).collect();
    counts.join(", ")
}

fn report(line: &str) {
    // Straight to the stream: the test harness swallows what a test that passes prints.
    writeln!(std::io::stderr(), "{line}").unwrap();
}

#[test]
fn a_cold_refresh_keeps_to_its_budget_of_system_calls() {
    if !has_program("strace") {
        return;
    }
    for profiles in [1, 4] {
        let config: String = (1..=profiles)
            .map(|number| INSTANCE_CROSS_ACCOUNT.replace("account]", &format!("account-{number}]")))
            .collect();
        let world = World::new(&config);
        let calls = trace(&world, &["refresh"]);
        let (memory, files) = (count(&calls, &MEMORY), world.snapshot().len());
        let work = total(&calls) - memory;
        let budget = FIXED + PER_FILE * files + PER_FURTHER_PROFILE * (profiles - 1);
        let memory_budget = FIXED_MEMORY + PROFILES_MEMORY * (profiles - 1);
        let (program, allowance) = program();
        report(&format!(
            "budget: a cold refresh by {} takes {work} of {budget} system calls for {files} files, and {memory} of \
             {memory_budget} for memory",
            std::path::Path::new(&program).display()
        ));
        assert_eq!(files, 5 + 5 * profiles, "four files and a record each, and five for all");
        assert!(work <= budget + allowance, "{work} of {budget}: {}", summary(&calls));
        assert!(memory <= memory_budget + allowance, "{memory} of {memory_budget}: {}", summary(&calls));
    }
}

#[test]
fn a_cold_refresh_starts_no_thread_for_a_request() {
    if !has_program("strace") {
        return;
    }
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    let calls = trace(&world, &["refresh"]);
    assert!(count(&calls, &["clone", "clone3", "fork", "vfork"]) <= 1, "{}", summary(&calls));
    assert_eq!(count(&calls, &["connect"]), 2, "one connection to each service: {}", summary(&calls));
}

#[test]
fn a_warm_refresh_and_a_print_stay_off_the_network_and_the_disk() {
    if !has_program("strace") {
        return;
    }
    let world = World::new(INSTANCE_CROSS_ACCOUNT);
    trace(&world, &["refresh"]);
    for arguments in [["refresh"].as_slice(), &["print", "instancecrossaccount"], &["status"]] {
        let calls = trace(&world, arguments);
        report(&format!("budget: a warm {} takes {} system calls", arguments.join(" "), total(&calls)));
        assert_eq!(count(&calls, &["socket", "connect"]), 0, "{arguments:?}: {}", summary(&calls));
        let writes = ["fsync", "fdatasync", "rename", "renameat", "renameat2", "unlinkat", "fchmod"];
        assert_eq!(count(&calls, &writes), 0, "{arguments:?}: {}", summary(&calls));
    }
}
