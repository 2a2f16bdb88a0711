//! Where STS is: regional, FIPS, dual-stack, legacy and custom endpoints. Decides names only; nothing is resolved or
//! contacted. Source of the rules: the STS endpoint rule set that the AWS SDKs share.

use std::error::Error;
use std::fmt;

use super::document::{Document, Section};
use super::error::{ConfigError, Location, Shown};
use super::partition::Partition;
use super::problem::Problem;
use super::url::Url;
use super::values::{Setting, flag};
use crate::environment::Environment;

/// The regions whose STS calls went to the one global endpoint before regional endpoints became the default.
const LEGACY_REGIONS: [&str; 16] = [
    "ap-northeast-1",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "aws-global",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];

/// The regions outside of `GovCloud` where AWS lists a FIPS endpoint of STS.
const FIPS_REGIONS: [&str; 4] = ["us-east-1", "us-east-2", "us-west-1", "us-west-2"];

/// How the region becomes an endpoint; already checked for options that exclude each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StsEndpointRule {
    custom: Option<String>,
    fips: bool,
    dual_stack: bool,
    legacy: bool,
}

/// Where one call goes, and what its signature says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StsEndpoint {
    /// Scheme, host and port, without a trailing slash.
    pub url: String,
    /// The region of the credential scope.
    pub signing_region: String,
}

/// The region cannot be part of a host name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidRegion {
    /// The region.
    pub region: String,
}

impl fmt::Display for InvalidRegion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no region", Shown(&self.region))
    }
}

impl Error for InvalidRegion {}

impl StsEndpointRule {
    /// The endpoint for `region`.
    ///
    /// # Errors
    ///
    /// When `region` cannot be part of a host name; what came from the configuration is checked at load, so this
    /// concerns a region that IMDS gave.
    pub fn resolve(&self, region: &str) -> Result<StsEndpoint, InvalidRegion> {
        if !is_region(region) {
            return Err(InvalidRegion { region: region.to_owned() });
        }
        let endpoint = |url: String, signing_region: &str| StsEndpoint {
            url,
            signing_region: signing_region.to_owned(),
        };
        if let Some(custom) = &self.custom {
            return Ok(endpoint(custom.clone(), region));
        }
        let partition = Partition::of_region(region);
        let regional =
            |host: &str, suffix: &str| endpoint(format!("https://{host}.{region}.{suffix}"), region);
        Ok(match (self.fips, self.dual_stack) {
            (true, true) => regional("sts-fips", partition.dual_stack_suffix),
            // GovCloud's ordinary endpoints are the validated ones.
            (true, false) if partition.name == "aws-us-gov" => regional("sts", partition.dns_suffix),
            (true, false) => regional("sts-fips", partition.dns_suffix),
            (false, true) => regional("sts", partition.dual_stack_suffix),
            (false, false) if region == "aws-global" || (self.legacy && LEGACY_REGIONS.contains(&region)) => {
                endpoint("https://sts.amazonaws.com".to_owned(), "us-east-1")
            }
            (false, false) => regional("sts", partition.dns_suffix),
        })
    }

    /// Whether the endpoint for `region` is one that the rules name, but that AWS does not list: resolving its name
    /// will probably fail.
    #[must_use]
    pub fn is_unlisted(&self, region: &str) -> bool {
        self.fips && !FIPS_REGIONS.contains(&region) && Partition::of_region(region).name != "aws-us-gov"
    }

    /// The custom endpoint, where one is in force.
    #[must_use]
    pub fn custom_url(&self) -> Option<&str> {
        self.custom.as_deref()
    }

    /// Whether STS is reached over TLS; only a custom endpoint on this host may be without.
    #[must_use]
    pub fn uses_tls(&self) -> bool {
        self.custom.as_deref().and_then(Url::parse).is_none_or(|url| url.is_https)
    }
}

/// Whether `region` can be part of a host name and of a credential scope.
pub(crate) fn is_region(region: &str) -> bool {
    (1..=63).contains(&region.len())
        && region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !region.starts_with('-')
        && !region.ends_with('-')
}

/// What `profile` and the environment say about STS's endpoint.
///
/// # Errors
///
/// As for [`choose`], and `sts_regional_endpoints` with another word than its two.
pub(crate) fn resolve_rule(
    document: &Document,
    profile: &Section,
    environment: &Environment,
) -> Result<StsEndpointRule, ConfigError> {
    let Choice { custom, fips, dual_stack } = choose(document, profile, environment, &STS)?;
    Ok(StsEndpointRule { custom, fips, dual_stack, legacy: legacy(profile, environment)? })
}

/// How the settings of one service's endpoint are called.
#[derive(Debug)]
pub(crate) struct Service {
    /// A key of our own, which nothing switches off.
    pub(crate) key: Option<&'static str>,
    /// The variable that is for this service alone.
    pub(crate) variable: &'static str,
    /// Its name in a `services` section.
    pub(crate) name: &'static str,
}

const STS: Service = Service { key: None, variable: "AWS_ENDPOINT_URL_STS", name: "sts" };

/// Which of a service's endpoints is wanted.
#[derive(Debug)]
pub(crate) struct Choice {
    /// Scheme, host and port, without a slash at the end.
    pub(crate) custom: Option<String>,
    pub(crate) fips: bool,
    pub(crate) dual_stack: bool,
}

/// What `profile` and the environment say about the endpoint of `service`, in the SDKs' order.
///
/// # Errors
///
/// Values that their keys do not allow, a `services` section that does not exist, and a custom endpoint together
/// with FIPS or dual stack.
pub(crate) fn choose(
    document: &Document,
    profile: &Section,
    environment: &Environment,
    service: &Service,
) -> Result<Choice, ConfigError> {
    let fips = flag(profile, environment, "AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint")?;
    let dual_stack = flag(profile, environment, "AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint")?;
    let custom = custom(document, profile, environment, service)?;
    if let Some(setting) = &custom {
        let excluded = [(fips, "use_fips_endpoint"), (dual_stack, "use_dualstack_endpoint")];
        if let Some((_, option)) = excluded.into_iter().find(|(on, _)| *on) {
            return Err(ConfigError::new(setting.place.clone(), Problem::CustomEndpointWith(option)));
        }
    }
    Ok(Choice { custom: custom.as_ref().map(checked_url).transpose()?, fips, dual_stack })
}

fn legacy(profile: &Section, environment: &Environment) -> Result<bool, ConfigError> {
    let setting = Setting::find(profile, environment, "AWS_STS_REGIONAL_ENDPOINTS", "sts_regional_endpoints");
    let Some(setting) = setting else { return Ok(false) };
    match setting.value.to_ascii_lowercase().as_str() {
        "legacy" => Ok(true),
        "regional" => Ok(false),
        _ => Err(setting.error(
            "neither `regional` nor `legacy`",
            "write `sts_regional_endpoints = regional`, or leave it out",
        )),
    }
}

/// The custom endpoint in force, and where it is written.
fn custom<'a>(
    document: &'a Document,
    profile: &'a Section,
    environment: &'a Environment,
    service: &Service,
) -> Result<Option<Setting<'a>>, ConfigError> {
    let services = match profile.text("services") {
        None => None,
        Some(name) => Some(
            document
                .services
                .iter()
                .find(|section| section.name == name)
                .ok_or_else(|| profile.error("services", Problem::UnknownServices(name.to_owned())))?,
        ),
    };
    let ours = service.key.and_then(|key| Setting::of_profile(profile, key));
    let ignored =
        flag(profile, environment, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "ignore_configured_endpoint_urls")?;
    if ignored || ours.is_some() {
        return Ok(ours);
    }
    let from_environment = |name| Setting::of_environment(profile, environment, name);
    let from_services = || {
        let table = services?.entries.get(service.name)?;
        let url = table.nested.iter().rev().find(|nested| nested.key == "endpoint_url")?;
        let place =
            Location { file: table.file.clone(), line: Some(url.line), profile: Some(profile.name.clone()) };
        Some(Setting { key: "endpoint_url", value: &url.value, place })
    };
    Ok(from_environment(service.variable)
        .or_else(|| from_environment("AWS_ENDPOINT_URL"))
        .or_else(from_services)
        .or_else(|| Setting::of_profile(profile, "endpoint_url")))
}

fn checked_url(setting: &Setting<'_>) -> Result<String, ConfigError> {
    const WRITE: &str = "write `https://HOST` or `https://HOST:PORT`";
    let url = Url::parse(setting.value).ok_or_else(|| setting.error("not an https URL of a host", WRITE))?;
    if !url.path.is_empty() && url.path != "/" {
        return Err(setting.error("which has a path", WRITE));
    }
    if !url.is_https && !url.is_loopback() {
        return Err(setting.error(
            "without encryption to another host",
            "write `https://`; plain `http://` is for a loopback host only",
        ));
    }
    Ok(setting.value.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_those_of_botocore() {
        let mut count = 0;
        for line in
            include_str!("../../../tests/config/endpoints.txt").lines().filter(|line| !line.starts_with('#'))
        {
            let fields: Vec<_> = line.split(' ').collect();
            let [region, options, url, signing_region] = fields.as_slice() else { panic!("{line}") };
            let rule = StsEndpointRule {
                custom: None,
                fips: options.contains("fips"),
                dual_stack: options.contains("dualstack"),
                legacy: options.contains("legacy"),
            };
            let expected =
                StsEndpoint { url: (*url).to_owned(), signing_region: (*signing_region).to_owned() };
            assert_eq!(rule.resolve(region), Ok(expected), "{line}");
            count += 1;
        }
        assert!(count > 200, "only {count} endpoints");
    }

    #[test]
    fn a_region_must_fit_into_a_host_name() {
        for region in ["", "us east", "US-EAST-1", "-us", "us-", "a.b", "a/b", "a@b", &"a".repeat(64)] {
            assert!(StsEndpointRule::default().resolve(region).is_err(), "{region}");
        }
    }
}
