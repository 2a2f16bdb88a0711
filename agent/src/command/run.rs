//! `run`: the daemon, and the processes that work for it.

use super::{Context, nothing_managed};
use crate::config::{Config, Texts};
use crate::daemon::{self, Loaded, Origin};
use crate::error::{Error, exit_code};

pub(super) fn run(context: &Context<'_>) -> Result<u8, Error> {
    let process = context.process;
    daemon::run(
        &load(context),
        &process.environment,
        &process.program,
        process.clock,
        super::seed(&process.random),
    )?;
    Ok(exit_code::OK)
}

pub(super) fn work(context: &Context<'_>) -> Result<u8, Error> {
    daemon::work(&load(context), context.host)?;
    Ok(exit_code::OK)
}

fn load(context: &Context<'_>) -> impl Fn(Origin<'_>) -> Result<Loaded, Error> {
    move |from| {
        let (config, texts) = match from {
            Origin::Files => context.read_config()?,
            Origin::Texts(texts) => {
                let environment = &context.process.environment;
                (Config::from_texts(texts, &context.load_options(), environment)?, Texts::default())
            }
        };
        let facts = context.facts(&config)?;
        if config.profiles().is_empty() {
            return Err(nothing_managed(&config));
        }
        Ok(Loaded { config, facts, texts })
    }
}
