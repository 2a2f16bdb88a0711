//! `print`: nothing on standard output but the answer.

use super::{Context, answer, credentials};
use crate::error::{Error, exit_code};
use crate::output::render::{Format, Material};
use crate::refresh::Reuse;

pub(super) fn run(context: &Context<'_>, profile: Option<&str>, format: Format) -> Result<u8, Error> {
    let found = credentials::find(context, profile, Reuse::Fresh)?;
    let material =
        Material { profile: &found.profile, issued: &found.issued, region: found.region.as_deref() };
    answer(material.render(format).as_bytes())?;
    Ok(exit_code::OK)
}
