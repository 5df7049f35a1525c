//! What a stateless request says of itself, and how it is told from a legacy one.
//!
//! Every request of revision 2026-07-28 carries in `_meta` what `initialize` said once for a whole
//! session: the revision, who asks, and what the asker can do. That is its *envelope*. A request
//! without a revision in `_meta` is a legacy one; there is no third kind, and no state decides.

use crate::{edit, error::ErrorObject, raw, raw::Raw, version::Era, version::Version};
use memchr::memmem::Finder;
use serde_json::value::RawValue;
use std::sync::LazyLock;

/// The revision a request is written in.
pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// Name and version of who asks.
pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
/// What who asks can do.
pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// From which level on log lines may come with the answer.
pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
/// Name and version of who answers, in `_meta` of a result.
pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
/// Which `subscriptions/listen` a notification belongs to.
pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
/// The extension for tasks.
pub const TASKS_EXTENSION: &str = "io.modelcontextprotocol/tasks";
/// The extension by which tools have pages (MCP Apps).
pub const APPS_EXTENSION: &str = "io.modelcontextprotocol/ui";

/// The levels of syslog by their names, least severe first.
pub const LOG_LEVELS: [&str; 8] =
    ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

/// The members of `_meta` that each hop writes anew.
pub const PER_HOP: [&str; 4] = [PROTOCOL_VERSION, CLIENT_INFO, CLIENT_CAPABILITIES, LOG_LEVEL];

/// Who asks, in which revision, and what it can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// A stateless revision.
    pub version: Version,
    /// The `clientInfo` object, if there is one.
    pub client_info: Option<Raw>,
    /// The `clientCapabilities` object.
    pub capabilities: Raw,
    /// From which level on log lines may come with the answer; none without it.
    pub log_level: Option<&'static str>,
}

/// Which era a request belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// It belongs to a session.
    Legacy,
    /// It stands for itself.
    Modern(Box<Envelope>),
}

/// The revision a request names in `_meta`, as JSON, whatever it is; `None` for a legacy request.
#[must_use]
pub fn named_version(params: Option<&Raw>) -> Option<&RawValue> {
    let params = params.filter(|params| may_name_version(params))?;
    edit::member(edit::member(params.as_str(), "_meta")?.get(), PROTOCOL_VERSION)
}

/// Whether a request could name a revision; most legacy ones are told by it, for a search.
#[must_use]
pub fn may_name_version(params: &Raw) -> bool {
    // Only the end of the name is looked for, because some encoders write `\/` for the slash.
    static NAME: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(b"protocolVersion"));
    NAME.find(params.bytes()).is_some()
}

/// Tells by `_meta` alone which era a request belongs to.
///
/// # Errors
/// -32602 when the envelope cannot be read, and -32022 when it names a revision that is not served
/// in this way.
pub fn classify(params: Option<&Raw>) -> Result<Class, ErrorObject> {
    let Some(params) = params.filter(|params| may_name_version(params)) else {
        return Ok(Class::Legacy);
    };
    match edit::member(params.as_str(), "_meta") {
        Some(meta) => classify_meta(params, meta),
        None => Ok(Class::Legacy),
    }
}

/// The same for parameters whose `_meta` was found already.
///
/// # Errors
/// As [`classify`].
pub fn classify_meta(params: &Raw, meta: &RawValue) -> Result<Class, ErrorObject> {
    let Some(members) = edit::members(meta.get()) else { return Ok(Class::Legacy) };
    let bad = |name: &str, what: &str| {
        ErrorObject::invalid_params(format_args!("`_meta[\"{name}\"]` {what}"))
    };
    let all = |name: &'static str| {
        members.iter().filter(move |(key, _)| key == name).map(|&(_, value)| value)
    };
    let find = |name: &'static str| all(name).next();
    let Some(version) = find(PROTOCOL_VERSION) else { return Ok(Class::Legacy) };
    // Two readers that disagree on which one counts would act on different envelopes.
    if let Some(name) = PER_HOP.into_iter().find(|name| all(name).nth(1).is_some()) {
        return Err(bad(name, "stands twice"));
    }
    let version = raw::string(version).ok_or_else(|| bad(PROTOCOL_VERSION, "must be a string"))?;
    let known = version.parse().ok().filter(|known: &Version| known.era() == Era::Modern);
    let version = known.ok_or_else(|| ErrorObject::unsupported_version(&version))?;
    let object = |name: &'static str| match find(name) {
        Some(value) if value.get().starts_with('{') => Ok(Some(Raw::part(params, value))),
        Some(_) => Err(bad(name, "must be an object")),
        None => Ok(None),
    };
    let capabilities =
        object(CLIENT_CAPABILITIES)?.ok_or_else(|| bad(CLIENT_CAPABILITIES, "must be there"))?;
    let log_level = match find(LOG_LEVEL) {
        Some(value) => {
            let known = raw::string(value)
                .and_then(|told| LOG_LEVELS.into_iter().find(|level| *level == told));
            Some(known.ok_or_else(|| bad(LOG_LEVEL, "must be a level of syslog"))?)
        }
        None => None,
    };
    let client_info = object(CLIENT_INFO)?;
    Ok(Class::Modern(Box::new(Envelope { version, client_info, capabilities, log_level })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classed(text: &str) -> Result<Class, i64> {
        let params = Raw::parse(text.to_owned()).unwrap();
        classify(Some(&params)).map_err(|error| error.code)
    }

    #[test]
    fn only_a_named_revision_makes_a_request_stateless() {
        assert_eq!(classify(None).unwrap(), Class::Legacy);
        assert_eq!(classed("{}"), Ok(Class::Legacy));
        assert_eq!(classed(r#"{"_meta":{"progressToken":1}}"#), Ok(Class::Legacy));
        // The name as a mere value says nothing.
        let value = format!(r#"{{"name":"{PROTOCOL_VERSION}"}}"#);
        assert_eq!(classed(&value), Ok(Class::Legacy));
        let modern = classed(&format!(
            r#"{{"_meta":{{"{PROTOCOL_VERSION}":"2026-07-28","{CLIENT_CAPABILITIES}":{{"roots":{{}}}},"{LOG_LEVEL}":"info"}}}}"#
        ));
        let Ok(Class::Modern(envelope)) = modern else { panic!("{modern:?}") };
        assert_eq!(envelope.version, Version::V2026_07_28);
        assert_eq!(envelope.capabilities.as_str(), r#"{"roots":{}}"#);
        assert_eq!((envelope.client_info, envelope.log_level), (None, Some("info")));
    }

    #[test]
    fn an_envelope_that_cannot_be_read_is_told_why() {
        let with = |version: &str, rest: &str| {
            classed(&format!(r#"{{"_meta":{{"{PROTOCOL_VERSION}":{version}{rest}}}}}"#))
        };
        let can = format!(r#","{CLIENT_CAPABILITIES}":{{}}"#);
        assert_eq!(with("1", &can), Err(-32602));
        assert_eq!(with(r#""2026-07-28""#, ""), Err(-32602));
        let bad = format!(r#","{CLIENT_CAPABILITIES}":[]"#);
        assert_eq!(with(r#""2026-07-28""#, &bad), Err(-32602));
        assert_eq!(with(r#""2999-01-01""#, &can), Err(-32022));
        let twice = format!(r#"{can}{can}"#);
        assert_eq!(with(r#""2026-07-28""#, &twice), Err(-32602));
        for level in ["\"loud\"", "7", "null"] {
            let bad = format!(r#"{can},"{LOG_LEVEL}":{level}"#);
            assert_eq!(with(r#""2026-07-28""#, &bad), Err(-32602), "{level}");
        }
        // A session cannot be had without `initialize`.
        assert_eq!(with(r#""2025-11-25""#, &can), Err(-32022));
    }
}
