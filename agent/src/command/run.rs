//! `run`: the daemon.

use super::Context;
use crate::daemon;
use crate::error::{Error, exit_code};

pub(super) fn run(context: &Context<'_>) -> Result<u8, Error> {
    let load = || {
        let config = context.load_config()?;
        let facts = context.facts(&config)?;
        if config.profiles().is_empty() {
            return Err(Error::NoProfile { known: Vec::new() });
        }
        Ok((config, facts))
    };
    let process = context.process;
    daemon::run(&load, &process.environment, process.clock, super::seed(&process.random))?;
    Ok(exit_code::OK)
}
