//! Users and groups by name, from the text of `/etc/passwd` and `/etc/group`. Asks no name service: a static program
//! has none, and the numbers must be known before the first file is written.

use std::path::Path;

use super::error::ConfigError;
use super::problem::Problem;
use super::read::read_text;
use super::values::Setting;

/// The numbers that systemd hands to services with `DynamicUser`, for as long as each one runs.
const DYNAMIC: std::ops::RangeInclusive<u32> = 61184..=65519;

/// The two databases, read when a name asks for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accounts<'a> {
    pub(crate) passwd: &'a Path,
    pub(crate) group: &'a Path,
}

impl Accounts<'_> {
    /// The user id that `setting` names or gives as a number.
    pub(crate) fn user(&self, setting: &Setting<'_>) -> Result<u32, ConfigError> {
        resolve(setting, self.passwd)
    }

    /// The group id that `setting` names or gives as a number.
    pub(crate) fn group(&self, setting: &Setting<'_>) -> Result<u32, ConfigError> {
        resolve(setting, self.group)
    }
}

fn resolve(setting: &Setting<'_>, database: &Path) -> Result<u32, ConfigError> {
    let refuse = |problem| Err(ConfigError::new(setting.place.clone(), problem));
    if setting.value.is_empty() {
        return Err(setting.error("", "write a name or a number"));
    }
    let is_number = setting.value.bytes().all(|byte| byte.is_ascii_digit());
    // A database that is not there, as in a container built from nothing, has no names. Numbers need none.
    let id = if is_number {
        setting.value.parse().ok()
    } else {
        read_text(database).ok().and_then(|text| lookup(&text, setting.value))
    };
    match id {
        // The highest number means "leave it" to the kernel.
        None | Some(u32::MAX) if is_number => {
            Err(setting.error("not the number of an account", "write a number below 4294967295"))
        }
        Some(id) if DYNAMIC.contains(&id) => refuse(Problem::DynamicAccount { key: setting.key, id }),
        Some(id) => Ok(id),
        None => refuse(Problem::UnknownAccount {
            key: setting.key,
            name: setting.value.to_owned(),
            database: database.to_owned(),
        }),
    }
}

/// The third field of the line whose first field is `name`; both databases have it there.
fn lookup(database: &str, name: &str) -> Option<u32> {
    database.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() == Some(name) { fields.nth(1)?.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_whole_names_only() {
        let text = "root:x:0:0:root:/root:/bin/sh\napp:x:1001:1001::/:\nbroken\nodd:x:-1:0\n";
        assert_eq!(lookup(text, "app"), Some(1001));
        assert_eq!(lookup(text, "root"), Some(0));
        assert_eq!(lookup(text, "ap"), None);
        assert_eq!(lookup(text, "broken"), None);
        assert_eq!(lookup(text, "odd"), None);
    }
}
