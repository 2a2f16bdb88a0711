//! `whoami`: what STS says of a profile's credentials. Nothing is published.

use super::{Context, answer, credentials};
use crate::chain::{ChainError, Chains};
use crate::config::Config;
use crate::error::{Error, exit_code};
use crate::sts::{Sts, sts_region};

pub(super) fn run(context: &Context<'_>, profile: Option<&str>) -> Result<u8, Error> {
    let config = context.load_config()?;
    let name = match profile.or_else(|| context.profile_from_environment()) {
        Some(name) => name.to_owned(),
        None => default_profile(context, &config)?,
    };
    let profile = credentials::resolve(&config, &name)?;
    let chains = Chains::new(context.host);
    let failed = |cause| Error::Chain { profile: name.clone(), cause: Box::new(cause) };
    let obtained = chains.obtain(&profile, &[]).map_err(failed)?;
    let role = profile.chain.roles.last().or_else(|| profile.chain.base.first_role());
    let identity = sts_region(&profile, role, obtained.region.as_deref())
        .and_then(|region| Sts::new(&profile.sts, region, chains.host(&profile)))
        .and_then(|sts| sts.caller_identity(&obtained.issued.credentials))
        .map_err(|cause| failed(ChainError::Sts(cause)))?;
    let text =
        format!("Account  {}\nArn      {}\nUserId   {}\n", identity.account, identity.arn, identity.user_id);
    answer(text.as_bytes())?;
    Ok(exit_code::OK)
}

/// The profile that the AWS CLI would take, else the only one there is.
fn default_profile(context: &Context<'_>, config: &Config) -> Result<String, Error> {
    if let Some(described) = &context.invocation.profile {
        return Ok(described.profile_name.clone().unwrap_or_else(|| "default".to_owned()));
    }
    if config.resolve("default").is_ok() {
        return Ok("default".to_owned());
    }
    match config.profiles() {
        [only] => Ok(only.name.clone()),
        _ => Err(Error::NoProfile { known: credentials::known_names(Some(config)) }),
    }
}
