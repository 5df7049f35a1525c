//! What an upstream is called.

use std::{fmt, sync::Arc};

/// The name a person gave an upstream in the configuration.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpstreamName(Arc<str>);

/// A name that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("upstream name {0:?} must be 1 to 64 of A-Z a-z 0-9 _ -")]
pub struct BadName(pub String);

impl UpstreamName {
    /// Checks a name.
    ///
    /// Names become part of tool names, and many model APIs accept only these characters and
    /// 64 of them.
    ///
    /// # Errors
    /// When it is empty, longer than 64 characters, or has other characters.
    pub fn new(name: &str) -> Result<Self, BadName> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if name.is_empty() || name.len() > 64 || !name.chars().all(is_allowed) {
            return Err(BadName(name.to_owned()));
        }
        Ok(Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same name, for those who keep it as a text.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl fmt::Display for UpstreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UpstreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_break_a_tool_name_are_refused() {
        for good in ["a", "my-server_2", "X"] {
            assert!(UpstreamName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a/b", "a.b", "ä", &"x".repeat(65)] {
            assert!(UpstreamName::new(bad).is_err(), "{bad}");
        }
    }
}
