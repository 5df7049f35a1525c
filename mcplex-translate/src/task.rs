//! Tasks: the experimental core of 2025-11-25, and the extension of 2026-07-28.
//!
//! In a session a task stands under `task` in the answer that makes it, its result is fetched, and a
//! tool that fails makes it a failed one. A stateless task lies flat in its answers, carries its
//! result, its error or its questions itself, and has failed only where the protocol did.

use crate::draft::Draft;
use mcplex_proto::{
    edit,
    modern::SERVER_INFO,
    raw::{self, Raw},
};

/// Marks a message of a task (revision 2025-11-25).
pub const RELATED_TASK: &str = "io.modelcontextprotocol/related-task";

/// The members that are called otherwise in the other era: in a session, and stateless.
const RENAMED: [(&str, &str); 2] = [("ttl", "ttlMs"), ("pollInterval", "pollIntervalMs")];

/// The members of a stateless task that a session's has not.
const OF_STATELESS: [&str; 6] =
    ["resultType", "result", "error", "inputRequests", "requestState", "cacheScope"];

/// How a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is worked on; also one of which no revision knows the word.
    Working,
    /// It waits for answers.
    InputRequired,
    /// Its result is there.
    Completed,
    /// It has ended without one.
    Failed,
    /// Nobody wants its result any more.
    Cancelled,
}

impl Status {
    /// Reads it.
    #[must_use]
    pub fn of(task: &Raw) -> Self {
        match edit::member(task.as_str(), "status").and_then(raw::string).as_deref() {
            Some("input_required") => Self::InputRequired,
            Some("completed") => Self::Completed,
            Some("failed") => Self::Failed,
            Some("cancelled") => Self::Cancelled,
            Some(_) | None => Self::Working,
        }
    }

    /// The word for it, which is the same in both eras.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::InputRequired => "input_required",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether it stays like that.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// What a stateless task carries beside itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Nothing.
    None,
    /// The result of its call.
    Result(Raw),
    /// The error of its call.
    Error(Raw),
    /// What it asks, by name.
    Questions(Raw),
}

/// A session's task as a stateless client knows it; `detail` decides how it is, if it says anything.
#[must_use]
pub fn to_modern(task: &Raw, detail: &Detail) -> Raw {
    let Some(mut draft) = Draft::read(task.as_str()) else { return task.clone() };
    upgrade(&mut draft);
    let (status, more) = match detail {
        Detail::None => (None, None),
        Detail::Result(result) => (Some(Status::Completed), Some(("result", result))),
        Detail::Error(error) => (Some(Status::Failed), Some(("error", error))),
        Detail::Questions(asked) => (Some(Status::InputRequired), Some(("inputRequests", asked))),
    };
    // What it waits for cannot be told, so there is nothing that a client could do about it.
    let is_mute = *detail == Detail::None && Status::of(task) == Status::InputRequired;
    let status = if is_mute { Some(Status::Working) } else { status };
    if let Some(status) = status {
        draft.set("status", format!("\"{}\"", status.word()));
    }
    if let Some((name, value)) = more {
        draft.set(name, value.as_str());
    }
    draft.finish().unwrap_or_else(|| task.clone())
}

/// A stateless task as a session's client knows it.
#[must_use]
pub fn to_legacy(task: &Raw) -> Raw {
    let Some(mut draft) = Draft::read(task.as_str()) else { return task.clone() };
    let error = draft.get("error").and_then(|error| edit::member(error, "message"));
    let said = error.filter(|said| said.get().starts_with('"')).map(|said| said.get().to_owned());
    let failed_inside = draft.get("result").is_some_and(is_error);
    match Status::of(task) {
        Status::Completed if failed_inside => draft.set("status", "\"failed\""),
        Status::Failed => {
            if let Some(said) = &said {
                draft.add("statusMessage", said);
            }
        }
        Status::Working | Status::InputRequired | Status::Completed | Status::Cancelled => {}
    }
    for name in OF_STATELESS {
        draft.remove(name);
    }
    for (legacy, modern) in RENAMED {
        rename(&mut draft, modern, legacy);
    }
    draft.add("ttl", "null");
    let meta = without_server(draft.get("_meta"));
    match meta {
        Some(None) => draft.remove("_meta"),
        Some(Some(meta)) => draft.set("_meta", meta),
        None => {}
    }
    draft.finish().unwrap_or_else(|| task.clone())
}

/// The answer to a call that a session's server made a task of, for a stateless client; `None` when
/// it made none.
#[must_use]
pub fn made_to_modern(result: &Raw, server: Option<&Raw>) -> Option<Raw> {
    let task = edit::member(result.as_str(), "task")?;
    let inner = edit::members(task.get())?;
    let mut draft = Draft::read(result.as_str())?;
    draft.remove("task");
    for (name, value) in &inner {
        // What says something of the answer is not the task's to say.
        if name != "_meta" {
            draft.set(name, value.get());
        }
    }
    upgrade(&mut draft);
    draft.set("resultType", "\"task\"");
    if let Some(server) = server {
        let meta = draft.get("_meta").filter(|meta| meta.starts_with('{')).unwrap_or("{}");
        let meta = Raw::parse(meta.to_owned()).ok()?;
        let meta = edit::with_members(&meta, &[(SERVER_INFO, server.as_str())]);
        draft.set("_meta", meta.as_str());
    }
    draft.finish()
}

/// The answer to a call that a stateless server made a task of, for a session's client.
#[must_use]
pub fn made_to_legacy(result: &Raw) -> Raw {
    let task = to_legacy(result);
    let Some(mut draft) = Draft::read(task.as_str()) else { return task };
    let meta = draft.get("_meta").map(str::to_owned);
    draft.remove("_meta");
    let task = draft.text().unwrap_or_else(|| task.as_str().to_owned());
    let members = [("task", Some(&*task)), ("_meta", meta.as_deref())];
    edit::object(members.into_iter().filter_map(|(name, value)| Some((name, value?))))
}

/// A message of a session with the id of the task it is about.
#[must_use]
pub fn related(message: &Raw, id: &Raw) -> Raw {
    let related = edit::object([("taskId", id.as_str())]);
    let meta = edit::member(message.as_str(), "_meta").map(|meta| meta.get());
    let meta = meta.filter(|meta| meta.starts_with('{')).unwrap_or("{}");
    let meta = Raw::parse(meta.to_owned()).unwrap_or_else(|_| Raw::empty_object());
    let meta = edit::with_members(&meta, &[(RELATED_TASK, related.as_str())]);
    edit::with_members(message, &[("_meta", meta.as_str())])
}

/// A message of a session without the id of the task it is about.
#[must_use]
pub fn unrelated(message: &Raw) -> Raw {
    let Some(meta) = edit::member(message.as_str(), "_meta") else { return message.clone() };
    let Some(mut draft) = Draft::read(meta.get()) else { return message.clone() };
    draft.remove(RELATED_TASK);
    let Some(meta) = draft.text() else { return message.clone() };
    if meta != "{}" {
        return edit::with_members(message, &[("_meta", &meta)]);
    }
    let Some(mut draft) = Draft::read(message.as_str()) else { return message.clone() };
    draft.remove("_meta");
    draft.finish().unwrap_or_else(|| message.clone())
}

/// The id of the task that a message of a session is about, as JSON.
#[must_use]
pub fn related_to(message: &Raw) -> Option<Raw> {
    let meta = edit::member(message.as_str(), "_meta")?;
    let related = edit::member(meta.get(), RELATED_TASK)?;
    let id = edit::member(related.get(), "taskId")?;
    Raw::parse(id.get().to_owned()).ok()
}

/// Whether the result of a tool says that it failed.
#[must_use]
pub fn is_error(result: &str) -> bool {
    edit::member(result, "isError").is_some_and(|said| said.get() == "true")
}

fn upgrade(draft: &mut Draft<'_>) {
    // In a session these mean nothing, whatever they say.
    for name in OF_STATELESS {
        draft.remove(name);
    }
    for (legacy, modern) in RENAMED {
        rename(draft, legacy, modern);
    }
    draft.add("ttlMs", "null");
}

/// Gives a member another name; what stood under that one before meant nothing.
fn rename(draft: &mut Draft<'_>, from: &'static str, to: &'static str) {
    let value = draft.get(from).map(str::to_owned);
    draft.remove(to);
    draft.remove(from);
    if let Some(value) = value {
        draft.set(to, value);
    }
}

/// `_meta` without who the server is; nothing when it stays as it is.
fn without_server(meta: Option<&str>) -> Option<Option<String>> {
    let mut inner = Draft::read(meta?)?;
    inner.remove(SERVER_INFO);
    let text = inner.text()?;
    Some((text != "{}").then_some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Raw {
        Raw::parse(text.to_owned()).unwrap()
    }

    #[test]
    fn members_have_the_names_of_their_reader() {
        let legacy =
            raw(r#"{"taskId":"t","status":"working","ttl":1.50,"pollInterval":5,"x":null}"#);
        let modern =
            r#"{"taskId":"t","status":"working","x":null,"ttlMs":1.50,"pollIntervalMs":5}"#;
        assert_eq!(to_modern(&legacy, &Detail::None).as_str(), modern);
        let back = r#"{"taskId":"t","status":"working","x":null,"ttl":1.50,"pollInterval":5}"#;
        assert_eq!(to_legacy(&raw(modern)).as_str(), back);
        // What is missing must be there, and what means nothing must not.
        let bare = raw(r#"{"taskId":"t","status":"working","ttlMs":7,"result":{}}"#);
        let expect = r#"{"taskId":"t","status":"working","ttlMs":null}"#;
        assert_eq!(to_modern(&bare, &Detail::None).as_str(), expect);
    }

    #[test]
    fn a_tool_that_failed_is_told_in_the_words_of_each_era() {
        let failed = raw(r#"{"taskId":"t","status":"failed","ttl":1}"#);
        let result = Detail::Result(raw(r#"{"isError":true}"#));
        let told = to_modern(&failed, &result);
        assert_eq!(Status::of(&told), Status::Completed);
        assert_eq!(Status::of(&to_legacy(&told)), Status::Failed);
        let error = Detail::Error(raw(r#"{"code":-1,"message":"b\u0061d"}"#));
        let told = to_modern(&failed, &error);
        assert_eq!(Status::of(&told), Status::Failed);
        assert!(to_legacy(&told).as_str().contains(r#""statusMessage":"b\u0061d""#));
        assert!(!to_legacy(&told).as_str().contains("error"));
    }

    #[test]
    fn what_it_asks_is_told_or_it_asks_nothing() {
        let waits = raw(r#"{"taskId":"t","status":"input_required","ttl":1}"#);
        assert_eq!(Status::of(&to_modern(&waits, &Detail::None)), Status::Working);
        let asked = to_modern(&waits, &Detail::Questions(raw(r#"{"k":{}}"#)));
        assert_eq!(Status::of(&asked), Status::InputRequired);
        assert_eq!(Status::of(&to_legacy(&asked)), Status::InputRequired);
        assert!(!to_legacy(&asked).as_str().contains("inputRequests"));
    }

    #[test]
    fn the_answer_that_makes_a_task_holds_it_or_is_it() {
        let server = raw(r#"{"name":"s"}"#);
        let legacy = raw(r#"{"x":1.50,"task":{"taskId":"t","status":"working","ttl":null}}"#);
        let modern = r#"{"x":1.50,"taskId":"t","status":"working","ttlMs":null,"resultType":"task","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s"}}}"#;
        assert_eq!(made_to_modern(&legacy, Some(&server)).unwrap().as_str(), modern);
        assert!(made_to_modern(&raw(r#"{"content":[]}"#), None).is_none());
        let back = r#"{"task":{"x":1.50,"taskId":"t","status":"working","ttl":null}}"#;
        assert_eq!(made_to_legacy(&raw(modern)).as_str(), back);
        let with_meta = raw(r#"{"taskId":"t","resultType":"task","_meta":{"v/x":1}}"#);
        let expect = r#"{"task":{"taskId":"t","ttl":null},"_meta":{"v/x":1}}"#;
        assert_eq!(made_to_legacy(&with_meta).as_str(), expect);
    }

    #[test]
    fn a_message_says_which_task_it_is_about() {
        let about = related(&raw(r#"{"content":[],"_meta":{"v/x":1.0}}"#), &raw("\"i\""));
        assert_eq!(
            about.as_str(),
            r#"{"content":[],"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"i"},"v/x":1.0}}"#
        );
        assert_eq!(related_to(&about), Some(raw("\"i\"")));
        assert_eq!(related_to(&raw("{}")), None);
        assert_eq!(unrelated(&about).as_str(), r#"{"content":[],"_meta":{"v/x":1.0}}"#);
        let alone = related(&raw(r#"{"content":[]}"#), &raw("\"i\""));
        assert_eq!(unrelated(&alone).as_str(), r#"{"content":[]}"#);
        for other in ["{}", r#"{"_meta":{}}"#, r#"{"_meta":null}"#] {
            assert_eq!(unrelated(&raw(other)), raw(other));
        }
    }
}
