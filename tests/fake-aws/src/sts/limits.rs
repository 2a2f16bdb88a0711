//! The limits of STS parameters, as the service model gives them, and the message that names every breach at
//! once. Knows no action.

use super::StsError;

/// Letters allowed in session names and source identities.
pub(super) const NAME: &str = "[\\w+=,.@-]*";
/// Letters allowed in external ids.
pub(super) const EXTERNAL_ID: &str = "[\\w+=,.@:\\/-]*";
/// Letters allowed in the serial numbers of MFA devices.
pub(super) const SERIAL_NUMBER: &str = "[\\w+=/:,.@-]*";

/// What was found wrong so far.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<String>);

impl Findings {
    fn add(&mut self, value: &str, parameter: &str, constraint: &str) {
        self.0.push(format!(
            "Value '{value}' at '{parameter}' failed to satisfy constraint: Member must {constraint}"
        ));
    }

    /// A parameter that must be there.
    pub(super) fn require<'a>(&mut self, parameter: &str, value: Option<&'a str>) -> &'a str {
        if value.is_none() {
            self.0.push(format!(
                "Value null at '{parameter}' failed to satisfy constraint: Member must not be null"
            ));
        }
        value.unwrap_or_default()
    }

    /// A length in characters.
    pub(super) fn length(&mut self, parameter: &str, value: &str, least: usize, most: usize) {
        let length = value.chars().count();
        if length < least {
            self.add(value, parameter, &format!("have length greater than or equal to {least}"));
        }
        if length > most {
            self.add(value, parameter, &format!("have length less than or equal to {most}"));
        }
    }

    /// The number of elements of a list.
    pub(super) fn count(&mut self, parameter: &str, values: &[String], most: usize) {
        if values.len() > most {
            let shown = format!("[{}]", values.join(", "));
            self.add(&shown, parameter, &format!("have length less than or equal to {most}"));
        }
    }

    /// ASCII letters, digits, `_` and the signs of `pattern`.
    pub(super) fn letters(&mut self, parameter: &str, value: &str, pattern: &str) {
        let signs = pattern.trim_start_matches("[\\w").trim_end_matches("]*");
        let fits = |letter: char| {
            letter.is_ascii_alphanumeric() || letter == '_' || (letter != '\\' && signs.contains(letter))
        };
        if !value.chars().all(fits) {
            self.add(value, parameter, &format!("satisfy regular expression pattern: {pattern}"));
        }
    }

    /// Any other pattern, judged by the caller.
    pub(super) fn pattern(&mut self, parameter: &str, value: &str, fits: bool, pattern: &str) {
        if !fits {
            self.add(value, parameter, &format!("satisfy regular expression pattern: {pattern}"));
        }
    }

    /// A number within bounds.
    pub(super) fn range(&mut self, parameter: &str, value: i64, least: i64, most: i64) {
        if value < least {
            self.add(&value.to_string(), parameter, &format!("have value greater than or equal to {least}"));
        }
        if value > most {
            self.add(&value.to_string(), parameter, &format!("have value less than or equal to {most}"));
        }
    }

    /// The error that names them all.
    pub(super) fn conclude(self) -> Result<(), StsError> {
        let count = self.0.len();
        if count == 0 {
            return Ok(());
        }
        let noun = if count == 1 { "error" } else { "errors" };
        Err(StsError::validation(&format!("{count} validation {noun} detected: {}", self.0.join("; "))))
    }
}
