//! The one table of the keys that this agent knows: where each is valid, who reads it, and whether this version
//! can act on it. What becomes supported changes its row here and nothing else in the reading of files.

use super::names::{distance, nearest};
use super::problem::Meant;

/// The prefix of the agent's own keys inside a profile.
pub(crate) const PREFIX: &str = "rolekeeper_";

/// As many wrong characters are a slip of the pen.
const SLIP: usize = 2;

/// Which profiles of a chain a key matters in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// `[rolekeeper]`, for the whole agent.
    Agent,
    /// The profile that is refreshed, not the ones it starts from.
    Selected,
    /// Every profile that describes an `AssumeRole` hop.
    Hop,
    /// The profile where a chain starts.
    Base,
}

/// What this version does with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Acts on it.
    Built,
    /// Refuses it by name; never taken for "no credentials".
    Later,
    /// Refuses it by name, because it needs somebody at a terminal.
    NeedsTerminal,
}

/// One row: a name, a family of names where it ends in `*`, or one value of a key.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) reach: Reach,
    pub(crate) state: State,
}

const fn key(name: &'static str, reach: Reach, state: State) -> Key {
    Key { name, reach, state }
}

/// The keys that decide what a profile or the agent does.
pub(crate) const KEYS: &[Key] = &[
    key("managed", Reach::Agent, State::Built),
    key("output_dir", Reach::Agent, State::Built),
    key("serve", Reach::Agent, State::Built),
    key("rolekeeper_publish", Reach::Selected, State::Built),
    key("rolekeeper_owner", Reach::Selected, State::Built),
    key("rolekeeper_group", Reach::Selected, State::Built),
    key("rolekeeper_mode", Reach::Selected, State::Built),
    key("rolekeeper_credential_process", Reach::Selected, State::Built),
    key("rolekeeper_refresh_after_percent", Reach::Selected, State::Built),
    key("rolekeeper_margin_seconds", Reach::Selected, State::Built),
    key("rolekeeper_credentials_file", Reach::Selected, State::Built),
    key("rolekeeper_on_rotate", Reach::Selected, State::Built),
    key("rolekeeper_on_rotate_timeout_seconds", Reach::Selected, State::Built),
    key("rolekeeper_write_mode", Reach::Selected, State::Built),
    key("rolekeeper_sts_fallback_regions", Reach::Selected, State::Built),
    key("mfa_serial", Reach::Hop, State::NeedsTerminal),
    key("rolekeeper_policy", Reach::Hop, State::Later),
    key("rolekeeper_policy_file", Reach::Hop, State::Later),
    key("rolekeeper_policy_arns", Reach::Hop, State::Later),
    key("rolekeeper_tags", Reach::Hop, State::Later),
    key("rolekeeper_transitive_tags", Reach::Hop, State::Later),
    key("rolekeeper_source_identity", Reach::Hop, State::Later),
    key("role_arn", Reach::Hop, State::Built),
    key("source_profile", Reach::Hop, State::Built),
    key("role_session_name", Reach::Hop, State::Built),
    key("external_id", Reach::Hop, State::Built),
    key("duration_seconds", Reach::Hop, State::Built),
    key("region", Reach::Selected, State::Built),
    key("ca_bundle", Reach::Selected, State::Built),
    key("services", Reach::Selected, State::Built),
    key("endpoint_url", Reach::Selected, State::Built),
    key("ignore_configured_endpoint_urls", Reach::Selected, State::Built),
    key("use_fips_endpoint", Reach::Selected, State::Built),
    key("use_dualstack_endpoint", Reach::Selected, State::Built),
    key("sts_regional_endpoints", Reach::Selected, State::Built),
    key("ec2_metadata_service_endpoint", Reach::Selected, State::Built),
    key("ec2_metadata_service_endpoint_mode", Reach::Selected, State::Built),
    key("disable_ec2_metadata", Reach::Selected, State::Built),
    key("ec2_instance_profile_name", Reach::Selected, State::Built),
    key("disable_clock_skew_correction", Reach::Selected, State::Built),
    key("aws_access_key_id", Reach::Base, State::Built),
    key("aws_secret_access_key", Reach::Base, State::Built),
    key("aws_session_token", Reach::Base, State::Built),
    key("aws_account_id", Reach::Base, State::Built),
    key("credential_source", Reach::Base, State::Built),
    key("credential_source = Ec2InstanceMetadata", Reach::Base, State::Built),
    key("credential_source = EcsContainer", Reach::Base, State::Built),
    key("credential_source = Environment", Reach::Base, State::Built),
    // The order of the other base sources is the order in which they are looked for.
    key("rolekeeper_iot_*", Reach::Base, State::Later),
    key("rolekeeper_roles_anywhere_*", Reach::Base, State::Later),
    key("rolekeeper_saml_assertion_file", Reach::Base, State::Built),
    key("rolekeeper_saml_principal_arn", Reach::Base, State::Built),
    key("web_identity_token_file", Reach::Base, State::Built),
    key("sso_session", Reach::Base, State::Later),
    key("sso_start_url", Reach::Base, State::Later),
    key("sso_region", Reach::Base, State::Later),
    key("sso_account_id", Reach::Base, State::Later),
    key("sso_role_name", Reach::Base, State::Later),
    key("login_session", Reach::Base, State::Later),
    key("credential_process", Reach::Base, State::Built),
];

impl Key {
    /// Whether this row describes `name`.
    pub(crate) fn matches(&self, name: &str) -> bool {
        self.name.strip_suffix('*').map_or(self.name == name, |family| {
            name.strip_prefix(family).is_some_and(|rest| !rest.is_empty())
        })
    }

    /// Whether the row is one of the agent's own, as a section of a profile would write it.
    pub(crate) fn is_ours(&self) -> bool {
        self.reach == Reach::Agent || self.name.starts_with(PREFIX)
    }
}

/// Whether `name` is one of the agent's keys, valid in `[rolekeeper]` (`agent`) or in a profile.
pub(crate) fn is_known(name: &str, agent: bool) -> bool {
    KEYS.iter().any(|key| (key.reach == Reach::Agent) == agent && key.is_ours() && key.matches(name))
}

/// The AWS key that somebody who wrote `name` probably meant; `None` where `name` is one, or like none. Keys of other
/// tools are many and stay unknown here, so only a slip of one or two characters counts.
pub(crate) fn misspelt(name: &str) -> Option<&'static str> {
    if name.len() <= 3 * SLIP || KEYS.iter().any(|key| key.matches(name)) {
        return None;
    }
    let names =
        KEYS.iter().filter(|key| !key.is_ours() && !key.name.contains([' ', '*'])).map(|key| key.name);
    names.into_iter().find(|key| key.len().abs_diff(name.len()) <= SLIP && distance(name, key) <= SLIP)
}

/// Whether `name`, known or not, was written for this agent: it begins like our keys, or misses one by a slip.
pub(crate) fn is_for_us(name: &str) -> bool {
    name.starts_with(PREFIX.trim_end_matches('_'))
        || (!KEYS.iter().any(|key| key.matches(name))
            && KEYS.iter().any(|key| {
                key.name.starts_with(PREFIX)
                    && key.name.len().abs_diff(name.len()) <= SLIP
                    && distance(name, key.name) <= SLIP
            }))
}

/// The known key nearest to `name`, which is none itself.
pub(crate) fn meant(name: &str, agent: bool) -> Meant {
    let keys =
        |agent: bool| KEYS.iter().filter(move |key| (key.reach == Reach::Agent) == agent && key.is_ours());
    // The common prefix is no likeness; without it in `name`, the whole names are compared.
    let (word, prefix) = name.strip_prefix(PREFIX).map_or((name, ""), |bare| (bare, PREFIX));
    let bare = |key: &Key| key.name.strip_prefix(PREFIX).unwrap_or(key.name);
    let compared =
        |key: &Key| if agent { bare(key) } else { key.name.strip_prefix(prefix).unwrap_or(key.name) };
    if let Some(elsewhere) = keys(!agent).find(|key| bare(key) == word) {
        return Meant::Elsewhere(elsewhere.name);
    }
    nearest(word, keys(agent).map(compared))
        .and_then(|near| keys(agent).find(|key| compared(key) == near))
        .map_or(Meant::Nothing, |key| Meant::Key(key.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_need_a_rest() {
        assert!(is_known("rolekeeper_iot_endpoint", false));
        assert!(!is_known("rolekeeper_iot_", false));
        assert!(!is_known("rolekeeper_iot", false));
    }

    #[test]
    fn a_misspelt_key_finds_its_neighbour() {
        assert_eq!(meant("rolekeeper_ownr", false), Meant::Key("rolekeeper_owner"));
        assert_eq!(meant("outptu_dir", true), Meant::Key("output_dir"));
        assert_eq!(meant("rolekeeper_output_dir", false), Meant::Elsewhere("output_dir"));
        assert_eq!(meant("rolekeeper_output_dir", true), Meant::Key("output_dir"));
        assert_eq!(meant("rolekeeper_zzzzzzzz", false), Meant::Nothing);
        assert_eq!(meant("rolekeper_owner", false), Meant::Key("rolekeeper_owner"));
    }

    #[test]
    fn a_misspelt_prefix_is_still_ours() {
        for name in
            ["rolekeeper_x", "rolekeeper-owner", "rolekeeperowner", "rolekeper_owner", "role_keeper_mode"]
        {
            assert!(is_for_us(name), "{name}");
        }
        for name in ["role_arn", "region", "credential_process", "role_session_name", "keeper_mode", ""] {
            assert!(!is_for_us(name), "{name}");
        }
    }

    #[test]
    fn a_slip_is_no_other_tool_s_key() {
        assert_eq!(misspelt("duration_second"), Some("duration_seconds"));
        assert_eq!(misspelt("souce_porfile"), None);
        assert_eq!(misspelt("sourceprofile"), Some("source_profile"));
        for name in [
            "s3",
            "output",
            "cli_pager",
            "retry_mode",
            "max_attempts",
            "sso_region",
            "cli_auto_prompt",
            "use_dualstack_endpoint",
            "s3_use_arn_region",
            "defaults_mode",
            "sigv4a_signing_region_set",
            "tcp_keepalive",
            "account_id_endpoint_mode",
            "request_checksum_calculation",
            "ec2_metadata_v1_disabled",
            "metadata_service_timeout",
            "aws_security_token",
        ] {
            assert_eq!(misspelt(name), None, "{name}");
        }
    }

    #[test]
    fn no_name_occurs_twice() {
        for (index, key) in KEYS.iter().enumerate() {
            assert!(KEYS.iter().skip(index + 1).all(|other| other.name != key.name), "{}", key.name);
        }
    }
}
