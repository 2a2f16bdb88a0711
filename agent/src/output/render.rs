//! Credentials as bytes, in each form that somebody reads. Pure; every value was checked when it arrived, so
//! nothing here needs quoting except for shells and commands.

use std::fmt::Write as _;

use zeroize::Zeroizing;

use crate::credentials::{IssuedCredentials, Secret};
use crate::timestamp::Rfc3339Seconds;

/// The first line of every INI file that rolekeeper publishes. A file that starts so is never taken as input:
/// an agent that read its own output as its configuration would feed on itself.
pub const MARKER: &str = "# Published by rolekeeper; changes are overwritten, and it is not read as input.";

/// Rendered credentials: wiped when dropped.
pub type Rendered = Zeroizing<String>;

/// One profile's credentials with what is written beside them.
#[derive(Clone, Copy, Debug)]
pub struct Material<'a> {
    /// The profile's name.
    pub profile: &'a str,
    /// The credentials.
    pub issued: &'a IssuedCredentials,
    /// The region of the profile, where one is known.
    pub region: Option<&'a str>,
}

/// The forms that `print` offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The `credential_process` document.
    Json,
    /// `NAME=value` lines.
    Env,
    /// `export NAME='value'` lines for a shell.
    Export,
    /// Sections of a credentials file.
    Ini,
}

impl Material<'_> {
    /// Renders in the form asked for.
    #[must_use]
    pub fn render(&self, format: Format) -> Rendered {
        match format {
            Format::Json => self.process_json(),
            Format::Env => self.env(),
            Format::Export => self.export(),
            Format::Ini => self.own_credentials_file(),
        }
    }

    /// The `credential_process` contract, version 1: one line, `Expiration` in whole seconds of UTC.
    #[must_use]
    pub fn process_json(&self) -> Rendered {
        json(self.issued, "{\"Version\":1,\"AccessKeyId\":", ",\"SessionToken\":")
    }

    /// The environment variables that carry these credentials.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, Zeroizing<String>)> {
        let keys = &self.issued.credentials;
        let owned = |text: &str| Zeroizing::new(text.to_owned());
        let mut variables = vec![
            ("AWS_ACCESS_KEY_ID", owned(&keys.access_key_id)),
            ("AWS_SECRET_ACCESS_KEY", owned(keys.secret_access_key.expose())),
        ];
        if let Some(session_token) = &keys.session_token {
            variables.push(("AWS_SESSION_TOKEN", owned(session_token.expose())));
        }
        if let Some(expiration) = self.issued.expiration {
            variables.push(("AWS_CREDENTIAL_EXPIRATION", Rfc3339Seconds(expiration).to_string().into()));
        }
        if let Some(account_id) = &self.issued.account_id {
            variables.push(("AWS_ACCOUNT_ID", owned(account_id)));
        }
        if let Some(region) = self.region {
            variables.push(("AWS_REGION", owned(region)));
            variables.push(("AWS_DEFAULT_REGION", owned(region)));
        }
        variables
    }

    /// `NAME=value` lines without quotes, the common ground of systemd's `EnvironmentFile` and `--env-file`.
    #[must_use]
    pub fn env(&self) -> Rendered {
        let mut text = buffer_for(self.issued, 1);
        for (name, value) in self.variables() {
            push_all(&mut text, &[name, "=", &value, "\n"]);
        }
        text
    }

    fn export(&self) -> Rendered {
        let mut text = buffer_for(self.issued, 1);
        for (name, value) in self.variables() {
            push_all(&mut text, &["export ", name, "='", &value, "'\n"]);
        }
        text
    }

    /// A credentials file of this profile alone: `[default]` and `[NAME]`, each once.
    #[must_use]
    pub fn own_credentials_file(&self) -> Rendered {
        let mut text = buffer_for(self.issued, 2);
        push_all(&mut text, &[MARKER, "\n"]);
        self.push_credentials_section(&mut text, "default");
        if self.profile != "default" {
            self.push_credentials_section(&mut text, self.profile);
        }
        text
    }

    fn push_credentials_section(&self, text: &mut Rendered, section: &str) {
        let keys = &self.issued.credentials;
        push_all(text, &["\n[", section, "]\naws_access_key_id = ", &keys.access_key_id]);
        push_all(text, &["\naws_secret_access_key = ", keys.secret_access_key.expose(), "\n"]);
        if let Some(session_token) = &keys.session_token {
            push_all(text, &["aws_session_token = ", session_token.expose(), "\n"]);
        }
    }
}

/// What the container credentials endpoint answers.
#[must_use]
pub fn container_json(issued: &IssuedCredentials) -> Rendered {
    json(issued, "{\"AccessKeyId\":", ",\"Token\":")
}

/// The document that begins with `head`, and calls the session token as `session_token` says.
fn json(issued: &IssuedCredentials, head: &str, session_token: &str) -> Rendered {
    let keys = &issued.credentials;
    let mut json = buffer_for(issued, 1);
    push_json(&mut json, head, &keys.access_key_id);
    push_json(&mut json, ",\"SecretAccessKey\":", keys.secret_access_key.expose());
    if let Some(text) = &keys.session_token {
        push_json(&mut json, session_token, text.expose());
    }
    if let Some(expiration) = issued.expiration {
        push_json(&mut json, ",\"Expiration\":", &Rfc3339Seconds(expiration).to_string());
    }
    if let Some(account_id) = &issued.account_id {
        push_json(&mut json, ",\"AccountId\":", account_id);
    }
    json.push_str("}\n");
    json
}

/// The credentials file at the top: one section for each profile.
#[must_use]
pub fn all_credentials(profiles: &[Material<'_>]) -> Rendered {
    let mut text =
        Zeroizing::new(String::with_capacity(profiles.len().saturating_mul(2048).saturating_add(256)));
    push_all(&mut text, &[MARKER, "\n"]);
    for profile in profiles {
        profile.push_credentials_section(&mut text, profile.profile);
    }
    text
}

/// What a `config` file says of one profile: no secret among it.
#[derive(Clone, Debug)]
pub struct ConfigEntry {
    /// The profile's name.
    pub profile: String,
    /// The region, where one is known.
    pub region: Option<String>,
    /// The command that prints the credentials.
    pub credential_process: String,
}

impl ConfigEntry {
    /// A config file of this profile alone: `[default]` and `[profile NAME]`, each once.
    #[must_use]
    pub fn own_config_file(&self) -> String {
        let mut text = format!("{MARKER}\n");
        self.push_section(&mut text, "default");
        if self.profile != "default" {
            self.push_section(&mut text, &self.profile);
        }
        text
    }

    fn push_section(&self, text: &mut String, name: &str) {
        let kind = if name == "default" { "" } else { "profile " };
        push_all(text, &["\n[", kind, name, "]\n"]);
        if let Some(region) = &self.region {
            push_all(text, &["region = ", region, "\n"]);
        }
        push_all(text, &["credential_process = ", &self.credential_process, "\n"]);
    }
}

/// The config file at the top: one section for each profile.
#[must_use]
pub fn all_config(entries: &[ConfigEntry]) -> String {
    let mut text = format!("{MARKER}\n");
    for entry in entries {
        entry.push_section(&mut text, &entry.profile);
    }
    text
}

/// `word` so that botocore's word splitting and `sh -c`, which the other SDKs use, both read it as one word.
#[must_use]
pub fn shell_word(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./@%+:,=".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r#"'"'"'"#))
}

/// The members of a published `credential_process` document.
#[must_use]
pub fn parse_process_json(bytes: &[u8]) -> Option<IssuedCredentials> {
    let json = crate::json::WipedJson::parse(bytes)?;
    let expiration = match json.text("Expiration") {
        Some(text) => Some(crate::timestamp::parse_rfc3339(text)?),
        None => None,
    };
    Some(IssuedCredentials {
        credentials: crate::credentials::Credentials {
            access_key_id: json.text("AccessKeyId")?.to_owned(),
            secret_access_key: Secret::new(json.text("SecretAccessKey")?.to_owned()),
            session_token: json.text("SessionToken").map(|text| Secret::new(text.to_owned())),
        },
        expiration,
        account_id: json.text("AccountId").map(str::to_owned),
    })
}

/// A buffer that holds `issued` so many times: growing would leave unwiped copies behind.
fn buffer_for(issued: &IssuedCredentials, times: usize) -> Rendered {
    /// Names, markers, times and regions around one set of keys.
    const AROUND: usize = 512;
    let keys = &issued.credentials;
    let token = keys.session_token.as_ref().map_or(0, |token| token.expose().len());
    let length = [keys.access_key_id.len(), keys.secret_access_key.expose().len(), token, AROUND];
    let one = length.into_iter().fold(0_usize, usize::saturating_add);
    Zeroizing::new(String::with_capacity(one.saturating_mul(times)))
}

fn push_all(text: &mut String, parts: &[&str]) {
    for part in parts {
        text.push_str(part);
    }
}

fn push_json(text: &mut String, before: &str, value: &str) {
    text.push_str(before);
    text.push('"');
    for character in value.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            control if control.is_control() => {
                // Writing into a String cannot fail.
                let written = write!(text, "\\u{:04x}", u32::from(control));
                debug_assert!(written.is_ok());
            }
            plain => text.push(plain),
        }
    }
    text.push('"');
}
