//! Who asks, and what is known of it: of a legacy request what its session said, of a stateless one
//! what its envelope says.

use crate::level::Level;
use mcplex_proto::{
    edit,
    modern::{self, Envelope},
    raw::Raw,
    version::{Era, Version},
};
use mcplex_translate::capability;
use std::sync::OnceLock;

/// Extensions whose every message finds its way through: MCP Apps are resources and `_meta` alone.
pub(crate) const RELAYED_EXTENSIONS: [&str; 2] = [modern::APPS_EXTENSION, modern::TASKS_EXTENSION];

/// Those of them that a session's client can have of a stateless upstream in every call; tasks it
/// asks for in each.
const OF_SESSIONS: [&str; 1] = [modern::APPS_EXTENSION];

/// What a client may be asked for, by the names of its capabilities.
const ASKED_FOR: [&str; 4] = ["roots", "sampling", "elicitation", "extensions"];

/// One client as it was when it asked.
#[derive(Debug)]
pub(crate) struct Asker {
    /// The revision it speaks.
    pub(crate) version: Version,
    /// Its name and version, as it says; the `clientInfo` object.
    pub(crate) info: Option<Raw>,
    /// The `capabilities` object.
    capabilities: Raw,
    /// From which level on a stateless request wants log lines; what a session wants stands in the
    /// session, because it changes.
    pub(crate) level: Option<Level>,
    /// What of its capabilities a stateless upstream is told.
    relayed: OnceLock<Raw>,
}

impl Asker {
    /// A client that said this of itself in `initialize`.
    pub(crate) fn of_session(version: Version, info: Option<Raw>, capabilities: Raw) -> Self {
        Self { version, info, capabilities, level: None, relayed: OnceLock::new() }
    }

    /// A client that says this of itself in this request.
    pub(crate) fn of_request(envelope: Envelope) -> Self {
        let Envelope { version, client_info: info, capabilities, log_level } = envelope;
        let level = log_level.and_then(Level::read);
        Self { version, info, capabilities, level, relayed: OnceLock::new() }
    }

    /// How it and a server come to know each other.
    pub(crate) fn era(&self) -> Era {
        self.version.era()
    }

    /// Whether the client has a capability, or one inside it.
    pub(crate) fn can(&self, path: &[&str]) -> bool {
        let mut at = self.capabilities.as_str();
        for name in path {
            match edit::member(at, name) {
                Some(found) if !matches!(found.get(), "null" | "false") => at = found.get(),
                Some(_) | None => return false,
            }
        }
        true
    }

    /// Whether it is told when what it was asked by URL has ended, and so wants ids for that.
    pub(crate) fn hears_of_urls(&self) -> bool {
        self.era() == Era::Legacy && self.version >= Version::V2025_11_25
    }

    /// What a legacy upstream is told that serves this client alone: what the client declared, as far
    /// as its messages find their way.
    pub(crate) fn declared(&self) -> Raw {
        let all = edit::members(self.capabilities.as_str()).unwrap_or_default();
        let is_one = |(name, value): &&edit::Member<'_>| {
            ASKED_FOR.contains(&&**name) && value.get().starts_with('{')
        };
        let kept = all.iter().filter(is_one).map(|(name, value)| (&**name, value.get()));
        relayed(&edit::object(kept), &OF_SESSIONS)
    }

    /// The capabilities that a stateless upstream is told: never more than the client declared, and
    /// nothing whose messages would not find their way.
    pub(crate) fn relayed(&self) -> &Raw {
        self.relayed.get_or_init(|| match self.era() {
            Era::Modern => relayed(&self.capabilities, &RELAYED_EXTENSIONS),
            Era::Legacy => relayed(&capability::to_modern(&self.capabilities), &OF_SESSIONS),
        })
    }
}

fn relayed(capabilities: &Raw, extensions: &[&str]) -> Raw {
    let members = edit::members(capabilities.as_str()).unwrap_or_default();
    let Some((_, declared)) = members.iter().find(|(name, _)| name == "extensions") else {
        return capabilities.clone();
    };
    let all = edit::members(declared.get()).unwrap_or_default();
    let kept = all.iter().filter(|(name, _)| extensions.contains(&&**name));
    let kept = edit::object(kept.map(|(name, value)| (&**name, value.get())));
    edit::with_members(capabilities, &[("extensions", kept.as_str())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_serves_one_client_is_told_what_that_client_can_do() {
        let check = |text: &str, expect: &str| {
            let capabilities = Raw::parse(text.to_owned()).unwrap();
            let asker = Asker::of_session(Version::V2025_11_25, None, capabilities);
            assert_eq!(asker.declared().as_str(), expect);
        };
        check("{}", "{}");
        check(
            r#"{"roots":{"listChanged":true},"tasks":{},"experimental":{"x":1},"sampling":{},"elicitation":null}"#,
            r#"{"roots":{"listChanged":true},"sampling":{}}"#,
        );
        check(
            r#"{"elicitation":{"url":{}},"extensions":{"a/b":{}}}"#,
            r#"{"elicitation":{"url":{}},"extensions":{}}"#,
        );
    }

    #[test]
    fn only_extensions_that_find_their_way_are_passed_on() {
        let check = |text: &str, expect: &str| {
            assert_eq!(
                relayed(&Raw::parse(text.to_owned()).unwrap(), &OF_SESSIONS).as_str(),
                expect
            );
        };
        check(r#"{"sampling":{ "x":1.0 }}"#, r#"{"sampling":{ "x":1.0 }}"#);
        check(
            r#"{"extensions":{"a/b":{},"io.modelcontextprotocol/ui":{"m":[1.0]}},"roots":{}}"#,
            r#"{"extensions":{"io.modelcontextprotocol/ui":{"m":[1.0]}},"roots":{}}"#,
        );
    }
}
