//! What a person is told when settings cannot be used.

use std::{fmt, io};

/// Why the settings cannot be used: what is wrong, where, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {what}")]
#[non_exhaustive]
pub struct ConfigError {
    /// What is wrong, with what was expected.
    pub what: String,
    /// Where it stands.
    pub place: Place,
    /// What to do about it.
    pub hint: String,
    /// Why the file could not be read, if that is what failed.
    #[source]
    pub cause: Option<io::Error>,
}

/// Where a setting stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, variable or flag.
    pub source: String,
    /// The line in the file, where known: JSON keeps none.
    pub line: Option<usize>,
    /// The setting, such as `gateway.listen`.
    pub key: Option<String>,
}

impl Place {
    /// A file, variable or flag as a whole.
    pub(crate) fn whole(source: impl Into<String>) -> Self {
        Self { source: source.into(), line: None, key: None }
    }
}

impl fmt::Display for Place {
    /// Writes `file:line` or the variable or flag; the key is part of the sentence beside it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.source),
            None => f.write_str(&self.source),
        }
    }
}

impl ConfigError {
    pub(crate) fn new(what: impl Into<String>, place: Place, hint: impl Into<String>) -> Box<Self> {
        Box::new(Self { what: what.into(), place, hint: hint.into(), cause: None })
    }
}
