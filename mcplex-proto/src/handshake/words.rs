//! What is known before a conversation is opened, and what of it after.

use crate::{
    edit,
    plain::plain,
    raw::{self, Raw},
    version::{Era, Version},
};
use std::{borrow::Cow, fmt};

/// What a server said of itself when its session was opened.
#[derive(Clone, Debug)]
pub struct ServerInfo {
    /// The revision both sides speak.
    pub version: Version,
    /// The `capabilities` object.
    pub capabilities: Raw,
    /// The `serverInfo` object; empty where a modern server does not tell.
    pub implementation: Raw,
    /// The `instructions` string, for the model.
    pub instructions: Option<String>,
}

impl ServerInfo {
    /// Whether the server has a capability, such as `tools`, or one inside it, such as
    /// `resources` and `subscribe`.
    #[must_use]
    pub fn can(&self, capability: &str, option: Option<&str>) -> bool {
        let Some(found) = edit::member(self.capabilities.as_str(), capability) else {
            return false;
        };
        match option {
            None => found.get() != "null",
            Some(option) => {
                edit::member(found.get(), option).is_some_and(|value| value.get() == "true")
            }
        }
    }

    /// Whether the server completes arguments: the first revision had that without a capability for
    /// it, so whoever speaks that one and has something to complete may.
    #[must_use]
    pub fn completes(&self) -> bool {
        let may = || self.can("prompts", None) || self.can("resources", None);
        self.can("completions", None) || (self.version == Version::V2024_11_05 && may())
    }
}

/// Name and version out of a `clientInfo` or `serverInfo` object, for people.
#[must_use]
pub fn title(implementation: &str) -> String {
    let word = |name| edit::member(implementation, name).and_then(raw::string).map(short);
    match (word("name"), word("version")) {
        (Some(name), Some(version)) => format!("{name} {version}"),
        (Some(name), None) => name,
        (None, _) => "without a name".to_owned(),
    }
}

/// How much of a name or a version is shown, in characters; whoever chose it may have meant harm.
const TITLE: usize = 100;

fn short(word: Cow<'_, str>) -> String {
    plain(&word).chars().take(TITLE).collect()
}

/// Which eras are tried, and in which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EraChoice {
    /// Both; modern first, unless it is known to be legacy.
    #[default]
    Auto,
    /// Only `initialize`.
    Legacy,
    /// Only `server/discover`.
    Modern,
    /// Both; legacy first, unless it is known to refuse that.
    LegacyFirst,
}

/// What is known of a server before it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing.
    Nothing,
    /// Its era, from an earlier life.
    Era(Era),
    /// The life before ended when it was asked `server/discover` first.
    EndedWhenAsked,
}

/// How it came to be known which era a server belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It was asked, and answered.
    Probed,
    /// It was remembered, and still holds.
    Remembered,
    /// The configuration says it.
    Configured,
    /// It did not answer `server/discover`, but `initialize`.
    Silence,
    /// It ended when it was asked `server/discover`, and then answered `initialize`.
    Ended,
}

impl How {
    /// The word as it stands in spans.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Probed => "probed",
            Self::Remembered => "remembered",
            Self::Configured => "configured",
            Self::Silence => "silence",
            Self::Ended => "ended",
        }
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who opens, and what it wants.
#[derive(Clone, Debug)]
pub struct Opener {
    /// Which eras are tried.
    pub choice: EraChoice,
    /// What is known before.
    pub known: Known,
    /// What the client can do, as `initialize` says it.
    pub capabilities: Raw,
    /// The `clientInfo` object.
    pub client: Raw,
}
