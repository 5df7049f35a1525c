//! Protocol revisions that open with `initialize`, and which one two peers speak.

use std::{fmt, str::FromStr};

/// A revision of the protocol; later ones compare greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// Stdio and HTTP with SSE.
    V2024_11_05,
    /// Streamable HTTP, batches, audio, completions.
    V2025_03_26,
    /// Elicitation, structured content, the version header; no batches.
    V2025_06_18,
    /// Icons, URL elicitation, experimental tasks, priming events.
    V2025_11_25,
}

impl Version {
    /// What we ask for, and offer to a peer that asks for something unknown.
    pub const LATEST: Self = Self::V2025_11_25;

    /// All of them, oldest first.
    pub const ALL: [Self; 4] =
        [Self::V2024_11_05, Self::V2025_03_26, Self::V2025_06_18, Self::V2025_11_25];

    /// The date that names the revision.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
        }
    }

    /// Whether it knows `ping`; the stateless revisions do not and have `server/discover`.
    #[must_use]
    pub fn has_ping(self) -> bool {
        match self {
            Self::V2024_11_05 | Self::V2025_03_26 | Self::V2025_06_18 | Self::V2025_11_25 => true,
        }
    }

    /// What a server answers to a client that asks for `wanted`.
    #[must_use]
    pub fn answer(wanted: &str) -> Self {
        wanted.parse().unwrap_or(Self::LATEST)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No revision we speak has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown protocol version {0:?}")]
pub struct UnknownVersion(pub String);

impl FromStr for Version {
    type Err = UnknownVersion;

    fn from_str(text: &str) -> Result<Self, UnknownVersion> {
        Self::ALL
            .into_iter()
            .find(|version| version.as_str() == text)
            .ok_or_else(|| UnknownVersion(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_version_is_echoed_and_any_other_gets_the_latest() {
        let check = |wanted: &str, expect: Version| assert_eq!(Version::answer(wanted), expect);
        check("2024-11-05", Version::V2024_11_05);
        check("2025-06-18", Version::V2025_06_18);
        // The stateless revision is never negotiated through `initialize`.
        check("2026-07-28", Version::V2025_11_25);
        check("", Version::V2025_11_25);
    }
}
