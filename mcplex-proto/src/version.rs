//! Protocol revisions, the two eras they fall into, and which one two peers speak.

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
    /// Stateless: every request says who asks and in which revision.
    V2026_07_28,
}

/// How two peers come to know each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Era {
    /// A session, opened by `initialize`.
    Legacy,
    /// Every request stands for itself and carries what `initialize` said.
    Modern,
}

impl Era {
    /// The word as it stands in configurations, logs and spans.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Modern => "modern",
        }
    }
}

impl fmt::Display for Era {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Version {
    /// What `initialize` asks for, and offers to a peer that asks for something else.
    pub const LATEST_LEGACY: Self = Self::V2025_11_25;

    /// What a stateless request is written in.
    pub const LATEST_MODERN: Self = Self::V2026_07_28;

    /// All of them, oldest first.
    pub const ALL: [Self; 5] = [
        Self::V2024_11_05,
        Self::V2025_03_26,
        Self::V2025_06_18,
        Self::V2025_11_25,
        Self::V2026_07_28,
    ];

    /// The date that names the revision.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// How peers of this revision come to know each other.
    #[must_use]
    pub fn era(self) -> Era {
        match self {
            Self::V2024_11_05 | Self::V2025_03_26 | Self::V2025_06_18 | Self::V2025_11_25 => {
                Era::Legacy
            }
            Self::V2026_07_28 => Era::Modern,
        }
    }

    /// Whether it knows `ping`; the stateless revisions do not and have `server/discover`.
    #[must_use]
    pub fn has_ping(self) -> bool {
        self.era() == Era::Legacy
    }

    /// What a server answers to a client that asks for `wanted` in `initialize`.
    ///
    /// A stateless revision is never negotiated there, also when it is asked for by name.
    #[must_use]
    pub fn answer(wanted: &str) -> Self {
        let known = wanted.parse().ok();
        known.filter(|known: &Self| known.era() == Era::Legacy).unwrap_or(Self::LATEST_LEGACY)
    }

    /// The stateless revisions, as `server/discover` lists them.
    pub fn modern() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|version| version.era() == Era::Modern)
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
