//! JSON objects that hold secrets: read leniently, wiped when dropped.

use serde_json::Value;
use zeroize::Zeroize;

/// A parsed JSON object whose strings are wiped when it is dropped.
pub struct WipedJson(Value);

impl WipedJson {
    /// Reads an object; anything else is `None`.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let parsed = Self(serde_json::from_slice(body).ok()?);
        parsed.0.is_object().then_some(parsed)
    }

    /// The string member `name`; an exact match goes before one in another letter case.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.member(name)?.as_str()
    }

    /// The member `name`, as [`Self::text`] finds it.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Value> {
        let object = self.0.as_object()?;
        object.get(name).or_else(|| {
            object.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        })
    }
}

impl std::fmt::Debug for WipedJson {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WipedJson")
    }
}

impl Drop for WipedJson {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// The depth is bounded by the parser, which refuses more than 128 levels.
fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(members) => members.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
