//! Base sources other than the instance metadata service: what is asked of whom, what is believed, and what a bad one
//! can do.

mod bad_files;
mod behind_proxy;
mod certificates;
mod container;
mod environment;
mod federated;
mod process;
mod sharing;

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use fake_aws::Service;

use crate::host::{quoted, set_mode};
use crate::support::{Run, World};

impl World {
    /// Runs the binary with `arguments` and further variables, which are text.
    fn run_in(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Run {
        let variables: Vec<(&str, &OsStr)> =
            variables.iter().map(|(name, value)| (*name, OsStr::new(*value))).collect();
        self.run_with(&variables, arguments)
    }

    /// A shell script of this name, and how a configuration names it.
    fn script(&self, name: &str, text: &str) -> String {
        let text = text.replace("DIR/", &format!("{}/", self.directory.display()));
        let source = self.write(&format!("{name}.text"), format!("#!/bin/sh\n{text}\n"));
        let script = self.directory.join(name);
        // By a process of its own: a file that this one wrote could be inherited, still open, by what another test
        // starts meanwhile, and could then not be executed.
        assert!(Command::new("cp").arg(&source).arg(&script).status().unwrap().success());
        set_mode(&script, 0o700);
        quoted(script)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.directory.join(name)).unwrap_or_default()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    #[track_caller]
    fn assert_no_imds(&self) {
        assert!(self.received(Service::Imds).is_empty(), "IMDS was asked");
    }
}
