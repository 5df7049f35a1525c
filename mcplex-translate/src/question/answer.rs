//! What questions are answered.

use super::{CannotSay, is_read_alone};
use crate::{content, draft::Draft};
use mcplex_proto::{
    edit,
    error::{ErrorObject, INTERNAL_ERROR},
    message::Outcome,
    method,
    raw::Raw,
    version::Version,
};
use std::fmt;

/// The answer of a session's client as a retry brings it; an error has no place there, so a refused
/// elicitation is a cancelled one.
///
/// # Errors
/// The sentence that ends the call, when the client refused to answer anything else.
pub fn answer_to_modern(method: &str, outcome: &Outcome) -> Result<Raw, ErrorObject> {
    match outcome {
        Outcome::Result(result) => Ok(result.clone()),
        Outcome::Error(_) if method == method::ELICITATION => Ok(cancelled()),
        Outcome::Error(error) => {
            let said = ErrorObject::read(error);
            let why = format!("the client refused {method}: {} (code {})", said.message, said.code);
            Err(ErrorObject::new(INTERNAL_ERROR, why))
        }
    }
}

/// The answer that a retry brought as a session's server reads it.
///
/// # Errors
/// When its revision cannot say it.
pub fn answer_to_legacy(method: &str, answer: &Raw, to: Version) -> Result<Raw, CannotSay> {
    if to >= Version::V2025_11_25 && method == method::SAMPLING {
        let draft = Draft::read(answer.as_str()).map(|mut draft| {
            draft.map("content", content::sampled);
            draft
        });
        return Ok(draft.and_then(Draft::finish).unwrap_or_else(|| answer.clone()));
    }
    if to >= Version::V2025_11_25 {
        return Ok(answer.clone());
    }
    let content = edit::member(answer.as_str(), "content").map(|content| content.get());
    match method {
        method::SAMPLING => sample_alone(answer, content, to),
        method::ELICITATION => {
            let fields = content.and_then(edit::members).unwrap_or_default();
            if fields.iter().any(|(_, field)| field.get().starts_with('[')) {
                return Err(CannotSay("the upstream's revision takes no list for an answer"));
            }
            Ok(answer.clone())
        }
        _ => Ok(answer.clone()),
    }
}

/// What a model said, as one block.
fn sample_alone(answer: &Raw, content: Option<&str>, to: Version) -> Result<Raw, CannotSay> {
    let Some(content) = content else { return Ok(answer.clone()) };
    let alone = match edit::elements(content).as_deref() {
        None => None,
        Some([only]) => Some(only.get()),
        Some(_) => {
            return Err(CannotSay("the upstream's revision reads one block of content alone"));
        }
    };
    if !is_read_alone(alone.unwrap_or(content), to) {
        return Err(CannotSay("the upstream's revision does not read such content"));
    }
    Ok(alone
        .map_or_else(|| answer.clone(), |only| edit::with_members(answer, &[("content", only)])))
}

/// The answer of whoever closed the question unread.
#[must_use]
pub fn cancelled() -> Raw {
    edit::object([("action", "\"cancel\"")])
}

/// What a server is told when a question of it was not answered.
#[must_use]
pub fn unanswered(method: &str, why: &dyn fmt::Display) -> Outcome {
    if method == method::ELICITATION {
        return Outcome::Result(cancelled());
    }
    Outcome::Error(Raw::of(&ErrorObject::new(INTERNAL_ERROR, why.to_string())))
}
