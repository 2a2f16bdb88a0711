//! Where a container's credentials are: what the launcher of the container has put into the environment. Decides only;
//! no name is resolved and no file read.

use std::net::IpAddr;

use super::document::Section;
use super::error::ConfigError;
use super::model::{Authorization, ContainerSettings};
use super::url::Url;
use super::values::Setting;
use crate::credentials::Secret;
use crate::environment::Environment;
use crate::transport::is_container_address;

const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
/// The link-local address of the ECS agent, which relative URIs are relative to.
const ECS: &str = "http://169.254.170.2";

/// What the environment says of the endpoint that `source`, a `credential_source`, asks for. The relative URI beats
/// the full one, and the file the token, as in the SDKs.
///
/// # Errors
///
/// Where there is none, where it is none that a container may be given, and where its token is no header.
pub(crate) fn resolve(
    profile: &Section,
    source: &Setting<'_>,
    environment: &Environment,
) -> Result<ContainerSettings, ConfigError> {
    let variable = |name| Setting::of_environment(profile, environment, name);
    let url = match (variable(RELATIVE), variable(FULL)) {
        // The SDKs ask for its presence: one that is empty hides the full URI and leads nowhere.
        (None, _) if environment.is_empty(RELATIVE) => {
            let empty = Setting { key: RELATIVE, value: "", place: profile.at(source.key) };
            return Err(empty.error("", "unset it where it is not meant, or set the path that it stands for"));
        }
        (Some(relative), _) => relative_url(&relative)?,
        (None, Some(full)) => full_url(&full)?,
        (None, None) => {
            return Err(source.error(
                "but neither `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` nor `AWS_CONTAINER_CREDENTIALS_FULL_URI` is set",
                "run rolekeeper inside the container of the task or pod, which has one of them, or name another source",
            ));
        }
    };
    let authorization = match (environment.os(TOKEN_FILE), variable(TOKEN)) {
        (Some(file), _) => Some(Authorization::File(file.into())),
        (None, Some(token)) if is_header(token.value) => {
            Some(Authorization::Text(Secret::new(token.value.to_owned())))
        }
        (None, Some(_)) => {
            return Err(profile.error(source.key, super::problem::Problem::MalformedKey(TOKEN)));
        }
        (None, None) => None,
    };
    Ok(ContainerSettings { url, authorization })
}

/// Whether `text` can travel in a header as it is.
pub(crate) fn is_header(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

fn relative_url(relative: &Setting<'_>) -> Result<String, ConfigError> {
    let url = format!("{ECS}{}", relative.value);
    if relative.value.starts_with('/') && parse(&url).is_some() {
        Ok(url)
    } else {
        Err(relative.error("not a path", "set what the container agent gave, from `/` on"))
    }
}

fn full_url(full: &Setting<'_>) -> Result<String, ConfigError> {
    let url = parse(full.value)
        .ok_or_else(|| full.error("not a URL of a host", "set `http://HOST:PORT/PATH`, or an https URL"))?;
    let is_foreign = |address: IpAddr| !is_container_address(address);
    if !url.is_https && url.host.parse().is_ok_and(is_foreign) {
        return Err(full.error(
            "which in plain http is no address that credentials are fetched from",
            "set an https URL, or an address of loopback, 169.254.170.2, 169.254.170.23 or [fd00:ec2::23]",
        ));
    }
    Ok(full.value.to_owned())
}

/// The part before the query, which may hold anything that can be sent.
fn parse(url: &str) -> Option<Url<'_>> {
    let (before, query) = url.split_once('?').unwrap_or((url, ""));
    let is_query = query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    Url::parse(before).filter(|_| is_query)
}
