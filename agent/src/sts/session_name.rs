//! The session name where none is configured: it tells `CloudTrail` which host it was.

/// `rolekeeper-<instance id>`, else the host name, in the alphabet and the lengths of `RoleSessionName`.
#[must_use]
pub fn default_session_name(instance_id: Option<&str>, host_name: &str) -> String {
    const LONGEST: usize = 64;
    const SHORTEST: usize = 2;
    let name = instance_id.map_or_else(|| host_name.to_owned(), |id| format!("rolekeeper-{id}"));
    let clean = |character: char| {
        if character.is_ascii_alphanumeric() || "_+=,.@-".contains(character) { character } else { '-' }
    };
    let cleaned: String = name.trim().chars().take(LONGEST).map(clean).collect();
    if cleaned.len() < SHORTEST {
        format!("rolekeeper-{cleaned}").trim_end_matches('-').to_owned()
    } else {
        cleaned
    }
}

#[cfg(test)]
mod tests {
    use super::default_session_name;

    #[test]
    fn default_session_names_identify_the_host_in_sts_alphabet() {
        for (instance, host, expected) in [
            (Some("i-0123456789abcdef0"), "web", "rolekeeper-i-0123456789abcdef0"),
            (None, "web_01.example.com/eu", "web_01.example.com-eu"),
            (None, "kühlschrank", "k-hlschrank"),
            (None, "a", "rolekeeper-a"),
            (None, "", "rolekeeper"),
        ] {
            assert_eq!(default_session_name(instance, host), expected);
        }
        assert_eq!(default_session_name(None, &"x".repeat(200)).len(), 64);
    }
}
