//! Answers in the words of the revision that their reader speaks.

use crate::{
    asker::{Asker, RELAYED_EXTENSIONS},
    lists::{Hints, Kind},
    target::Local,
};
use mcplex_proto::{
    edit,
    error::{self, ErrorObject},
    header::{self, HeaderParams},
    message::Outcome,
    method, modern,
    raw::Raw,
    version::{Era, Version},
};
use mcplex_translate as translate;
use std::{borrow::Cow, fmt};
use translate::result::Kind as ResultKind;

/// What a result is that no further round follows.
const COMPLETE: &str = "\"complete\"";

/// An answer as it came, if it is one: what no revision knows as an answer reaches nobody.
pub(crate) fn sound(outcome: Outcome, from: impl fmt::Display) -> Outcome {
    let Some(flaw) = error::flaw(&outcome) else { return outcome };
    tracing::debug!(%from, ?outcome, "an answer was replaced, because it is none");
    let why = format!("{from} answered with {flaw}");
    Outcome::Error(Raw::of(&ErrorObject::new(error::INTERNAL_ERROR, why)))
}

/// An answer of an upstream, for a client that may speak another revision; as it came where it does
/// not.
pub(crate) fn answer(
    outcome: Outcome,
    method: &str,
    from: Version,
    asker: &Asker,
    identity: impl FnOnce() -> Raw,
) -> Outcome {
    if from.era() == Era::Modern
        && let Outcome::Result(result) = &outcome
        && let Some(refusal) = unusable(result, asker)
    {
        return Outcome::Error(Raw::of(&refusal));
    }
    let outcome = match outcome {
        Outcome::Result(result) if method == method::COMPLETE => {
            Outcome::Result(translate::result::few_completions(&result).unwrap_or(result))
        }
        other @ (Outcome::Result(_) | Outcome::Error(_)) => other,
    };
    let to = asker.version;
    // Nearly every answer: both speak of the same.
    if to.era() == Era::Legacy && from <= to {
        return outcome;
    }
    match outcome {
        Outcome::Result(result) if from == to => Outcome::Result(complete(result, method)),
        Outcome::Result(result) => {
            let server = (to.era() == Era::Modern).then(identity);
            let new = translate::result::to_client(method, &result, from, to, server.as_ref());
            Outcome::Result(new.unwrap_or(result))
        }
        Outcome::Error(error) => {
            let new = translate::error::to_client(&error, from, to, can_declare(&error));
            Outcome::Error(new.unwrap_or(error))
        }
    }
}

/// Whether what an upstream misses is the client's to declare: an extension that does not find its
/// way would be missed again.
fn can_declare(error: &Raw) -> bool {
    let data = ErrorObject::read(error).data.unwrap_or_default();
    let extensions = data["requiredCapabilities"]["extensions"].as_object();
    extensions.is_none_or(|all| all.keys().all(|name| RELAYED_EXTENSIONS.contains(&&**name)))
}

/// An answer of our own, written as if an upstream of a legacy revision had given it.
pub(crate) fn own(local: Local, asker: &Asker, identity: impl FnOnce() -> Raw) -> Local {
    let (from, to) = (Version::LATEST_LEGACY, asker.version);
    if to.era() == Era::Legacy {
        return local;
    }
    match local {
        Ok(result) => {
            let new = translate::result::to_client("", &result, from, to, Some(&identity()));
            Ok(new.unwrap_or(result))
        }
        Err(error) => {
            let new = translate::error::to_client(&Raw::of(&error), from, to, true);
            Err(new.as_ref().map_or(error, ErrorObject::read))
        }
    }
}

/// An answer of our own as it stands in a response.
pub(crate) fn outcome(local: Local) -> Outcome {
    local.map_or_else(|error| Outcome::Error(Raw::of(&error)), Outcome::Result)
}

/// Why a stateless upstream's result cannot be passed on.
fn unusable(result: &Raw, asker: &Asker) -> Option<ErrorObject> {
    let why = match (translate::result::kind(result), asker.era()) {
        // What a stateless client is asked was seen to before.
        (ResultKind::Complete, _) | (ResultKind::InputRequired, Era::Modern) => return None,
        (ResultKind::InputRequired, Era::Legacy) => "the upstream asks what cannot be asked here",
        (ResultKind::Task, _) => "the upstream made a task of the call, which nobody asked for",
        (ResultKind::Unknown, _) => "the upstream answered with a result of an unknown kind",
    };
    Some(ErrorObject::new(error::INTERNAL_ERROR, why))
}

/// A result of a stateless upstream with what every one of its kind says; as it is when it says so.
fn complete(result: Raw, method: &str) -> Raw {
    let members = edit::members(result.as_str()).unwrap_or_default();
    let lacks = |name: &str| !members.iter().any(|(known, _)| known == name);
    let is_complete = translate::result::kind(&result) == ResultKind::Complete;
    let hints = [("ttlMs", "0"), ("cacheScope", "\"private\"")];
    let hints = hints.into_iter().filter(|_| is_complete && method == method::RESOURCES_READ);
    let all = [("resultType", COMPLETE)].into_iter().chain(hints);
    let missing: Vec<_> = all.filter(|(name, _)| lacks(name)).collect();
    if missing.is_empty() { result } else { edit::with_members(&result, &missing) }
}

/// The result of a list method for a stateless client.
pub(crate) fn cacheable(list: (&str, &str), hints: Hints, identity: &Raw) -> Raw {
    let meta = edit::object([(modern::SERVER_INFO, identity.as_str())]);
    let scope = if hints.is_public { "\"public\"" } else { "\"private\"" };
    edit::object([
        ("resultType", COMPLETE),
        list,
        ("ttlMs", &*hints.ttl_ms.to_string()),
        ("cacheScope", scope),
        ("_meta", meta.as_str()),
    ])
}

/// An item of a list as clients of a revision may see it.
///
/// A session's client learns of each tool whether it may be a task, where a stateless one learns it of
/// the server: `makes_tasks`.
pub(crate) fn item(
    kind: Kind,
    raw: &Raw,
    (from, makes_tasks): (Version, bool),
    to: Version,
) -> Cow<'_, Raw> {
    const OPTIONAL: (&str, &str) = ("execution", r#"{"taskSupport":"optional"}"#);
    if kind != Kind::Tools {
        return Cow::Borrowed(raw);
    }
    let tool = translate::item::tool(raw, from, to).map_or(Cow::Borrowed(raw), Cow::Owned);
    match to.era() {
        Era::Modern => without_bad_headers(&tool).map_or(tool, Cow::Owned),
        Era::Legacy if makes_tasks && from.era() == Era::Modern && to == Version::V2025_11_25 => {
            Cow::Owned(edit::with_members(&tool, &[OPTIONAL]))
        }
        Era::Legacy => tool,
    }
}

/// A tool whose schema has no annotations for headers, where they break the rules: clients would leave
/// it out, and who is called over a pipe or in a session reads none.
fn without_bad_headers(tool: &Raw) -> Option<Raw> {
    let schema = edit::member(tool.as_str(), "inputSchema")?.get();
    HeaderParams::read(schema).is_err().then_some(())?;
    let schema = header::without_annotations(schema)?;
    Some(edit::with_members(tool, &[("inputSchema", &schema)]))
}
