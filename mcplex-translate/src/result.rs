//! Results of calls.

use crate::{content, draft::Draft, task::RELATED_TASK};
use mcplex_proto::{
    edit, method,
    modern::SERVER_INFO,
    raw,
    raw::Raw,
    version::{Era, Version},
};

/// What kind of result a server of a stateless revision gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The answer.
    Complete,
    /// The call needs more from the client first.
    InputRequired,
    /// The call goes on as a task.
    Task,
    /// No revision knows it: the result cannot be used.
    Unknown,
}

/// Reads `resultType`; a result without one is complete.
#[must_use]
pub fn kind(result: &Raw) -> Kind {
    let Some(kind) = edit::member(result.as_str(), "resultType") else { return Kind::Complete };
    match raw::string(kind).as_deref() {
        Some("complete") => Kind::Complete,
        Some("input_required") => Kind::InputRequired,
        Some("task") => Kind::Task,
        Some(_) | None => Kind::Unknown,
    }
}

/// The result of a call as a client of another revision knows it; `None` when it is that already.
///
/// `server` is the `serverInfo` object of who answers, which a stateless result carries; it is put
/// in where an upstream did not say it itself.
#[must_use]
pub fn to_client(
    method: &str,
    result: &Raw,
    from: Version,
    to: Version,
    server: Option<&Raw>,
) -> Option<Raw> {
    if from == to {
        return None;
    }
    let mut draft = Draft::read(result.as_str())?;
    match (from.era(), to.era()) {
        (Era::Legacy, Era::Modern) => upgrade(&mut draft, method, server),
        (Era::Modern, Era::Legacy) => downgrade(&mut draft),
        (Era::Legacy, Era::Legacy) | (Era::Modern, Era::Modern) => {}
    }
    if to < from {
        degrade(&mut draft, method, to);
    }
    draft.finish()
}

/// The most values that one completion may have, in every revision.
const MAX_COMPLETIONS: usize = 100;

/// A completion with no more values than a revision lets be, and the word that there are more; `None`
/// when it has no more.
#[must_use]
pub fn few_completions(result: &Raw) -> Option<Raw> {
    let mut draft = Draft::read(result.as_str())?;
    draft.map("completion", |completion| {
        let values = edit::elements(edit::member(completion, "values")?.get())?;
        if values.len() <= MAX_COMPLETIONS {
            return None;
        }
        let kept = edit::array(values[..MAX_COMPLETIONS].iter().map(|value| value.get()));
        let mut inner = Draft::read(completion)?;
        inner.set("values", kept.as_str());
        inner.set("hasMore", "true");
        inner.text()
    });
    draft.finish()
}

fn upgrade(draft: &mut Draft<'_>, method: &str, server: Option<&Raw>) {
    // What a session's server says under these names means nothing, and would mean something here.
    for name in ["resultType", "requestState", "inputRequests", "ttlMs", "cacheScope"] {
        draft.remove(name);
    }
    draft.set("resultType", "\"complete\"");
    if method == method::RESOURCES_READ {
        // How long it is good nobody said, and for whom neither: the careful answers.
        draft.set("ttlMs", "0");
        draft.set("cacheScope", "\"private\"");
    }
    let meta = draft.get("_meta").filter(|meta| meta.starts_with('{')).unwrap_or("{}").to_owned();
    let Some(mut inner) = Draft::read(&meta) else { return };
    inner.remove(RELATED_TASK);
    if let Some(server) = server {
        inner.add(SERVER_INFO, server.as_str());
    }
    if let Some(meta) = inner.text() {
        draft.set("_meta", meta);
    }
}

fn downgrade(draft: &mut Draft<'_>) {
    for name in ["resultType", "ttlMs", "cacheScope"] {
        draft.remove(name);
    }
    let Some(meta) = draft.get("_meta").map(str::to_owned) else { return };
    let Some(mut inner) = Draft::read(&meta) else { return };
    inner.remove(SERVER_INFO);
    match inner.text().as_deref() {
        Some("{}") => draft.remove("_meta"),
        Some(meta) => draft.set("_meta", meta),
        None => {}
    }
}

/// Takes out what an older revision does not know.
fn degrade(draft: &mut Draft<'_>, method: &str, to: Version) {
    match method {
        method::TOOLS_CALL => {
            draft.map("content", |content| content::blocks(content, to));
            // Nothing reads it in older ones.
            if to >= Version::V2025_06_18 {
                content::wrap_structured(draft);
            }
        }
        method::PROMPTS_GET => draft.map("messages", |messages| {
            crate::draft::map_elements(messages, |message| {
                let mut message = Draft::read(message)?;
                message.map("content", |content| content::block(content, to));
                message.text()
            })
        }),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Version = Version::V2024_11_05;
    const B: Version = Version::V2025_03_26;
    const C: Version = Version::V2025_06_18;
    const D: Version = Version::V2025_11_25;
    const E: Version = Version::V2026_07_28;

    fn translated(method: &str, text: &str, from: Version, to: Version) -> Option<String> {
        let raw = Raw::parse(text.to_owned()).unwrap();
        let server = Raw::parse(r#"{"name":"s","version":"1"}"#.to_owned()).unwrap();
        to_client(method, &raw, from, to, Some(&server)).map(|raw| raw.as_str().to_owned())
    }

    #[test]
    fn a_legacy_result_gets_what_a_stateless_client_expects() {
        let check = |method: &str, text: &str, expect: &str| {
            assert_eq!(translated(method, text, D, E).as_deref(), Some(expect));
        };
        let server = r#""io.modelcontextprotocol/serverInfo":{"name":"s","version":"1"}"#;
        check(
            "tools/call",
            r#"{"content":[],"x":1.50}"#,
            &format!(r#"{{"content":[],"x":1.50,"resultType":"complete","_meta":{{{server}}}}}"#),
        );
        check(
            "resources/read",
            r#"{"_meta":{"v/x":null,"io.modelcontextprotocol/related-task":{}},"contents":[]}"#,
            &format!(
                r#"{{"_meta":{{"v/x":null,{server}}},"contents":[],"resultType":"complete","ttlMs":0,"cacheScope":"private"}}"#
            ),
        );
    }

    #[test]
    fn names_that_mean_nothing_in_a_session_are_not_taken_at_their_word() {
        let server = r#""io.modelcontextprotocol/serverInfo":{"name":"s","version":"1"}"#;
        let expect = format!(r#"{{"content":[],"resultType":"complete","_meta":{{{server}}}}}"#);
        for stray in [
            r#""resultType":"input_required","requestState":"x","inputRequests":{}"#,
            r#""resultType":"weird","resultType":"task""#,
            r#""resultType":5,"ttlMs":-5,"cacheScope":"public""#,
        ] {
            let text = format!(r#"{{"content":[],{stray}}}"#);
            assert_eq!(translated("tools/call", &text, D, E).as_deref(), Some(&*expect));
            // Another session's client may know what is meant.
            assert_eq!(translated("tools/call", &text, D, C), None);
        }
        let read = format!(
            r#"{{"contents":[],"resultType":"complete","ttlMs":0,"cacheScope":"private","_meta":{{{server}}}}}"#
        );
        let text = r#"{"ttlMs":9,"contents":[],"cacheScope":"public"}"#;
        assert_eq!(translated("resources/read", text, D, E).as_deref(), Some(&*read));
        // A `_meta` that is none gives way to one that is.
        let text = r#"{"content":[],"_meta":5}"#;
        let expect = format!(r#"{{"content":[],"_meta":{{{server}}},"resultType":"complete"}}"#);
        assert_eq!(translated("tools/call", text, D, E).as_deref(), Some(&*expect));
    }

    #[test]
    fn a_stateless_result_loses_what_a_session_does_not_know() {
        let text = r#"{"resultType":"complete","ttlMs":5,"cacheScope":"public","contents":[],"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"u"}}}"#;
        let back = translated("resources/read", text, E, D);
        assert_eq!(back.as_deref(), Some(r#"{"contents":[]}"#));
        let text = r#"{"resultType":"complete","content":[],"_meta":{"v/x":1,"io.modelcontextprotocol/serverInfo":{}}}"#;
        let back = translated("tools/call", text, E, A);
        assert_eq!(back.as_deref(), Some(r#"{"content":[],"_meta":{"v/x":1}}"#));
    }

    #[test]
    fn what_needs_no_change_stays_as_it_is() {
        assert_eq!(translated("tools/call", r#"{"content":[]}"#, D, D), None);
        assert_eq!(translated("tools/call", r#"{"content":[]}"#, D, A), None);
        assert_eq!(translated("tools/call", r#"{"content":[]}"#, A, D), None);
        assert_eq!(translated("tools/call", "[1]", E, D), None);
    }

    #[test]
    fn structured_content_becomes_an_object_with_its_text_beside_it() {
        let text = r#"{"content":[],"structuredContent":null}"#;
        let expect =
            r#"{"content":[{"type":"text","text":"null"}],"structuredContent":{"result":null}}"#;
        assert_eq!(translated("tools/call", text, E, C).as_deref(), Some(expect));
        let text = r#"{"content":[{"type":"text","text":"[ 1 ]"}],"structuredContent":[1]}"#;
        let expect =
            r#"{"content":[{"type":"text","text":"[ 1 ]"}],"structuredContent":{"result":[1]}}"#;
        assert_eq!(translated("tools/call", text, E, D).as_deref(), Some(expect));
        assert_eq!(translated("tools/call", text, E, B), None);
        assert_eq!(translated("tools/call", r#"{"structuredContent":{}}"#, E, D), None);
    }

    #[test]
    fn blocks_an_older_client_does_not_know_become_ones_it_does() {
        let link = r#"{"content":[{"type":"resource_link","uri":"x://1","name":"one"}]}"#;
        let text = r#"{"content":[{"text":"one: x://1","type":"text"}]}"#;
        assert_eq!(translated("tools/call", link, D, B).as_deref(), Some(text));
        assert_eq!(translated("tools/call", link, D, C), None);
        let audio = r#"{"messages":[{"role":"user","content":{"type":"audio","data":"QQ==","mimeType":"audio/wav"}}]}"#;
        let blob = r#"{"messages":[{"role":"user","content":{"resource":{"blob":"QQ==","mimeType":"audio/wav","uri":"data:,audio"},"type":"resource"}}]}"#;
        assert_eq!(translated("prompts/get", audio, D, A).as_deref(), Some(blob));
        assert_eq!(translated("prompts/get", audio, D, B), None);
    }

    #[test]
    fn a_completion_has_a_hundred_values_and_says_that_there_are_more() {
        let values = |many: usize| {
            let all: Vec<_> = (0..many).map(|number| format!("\"v{number}\"")).collect();
            all.join(",")
        };
        let cut = |text: &str| {
            let raw = Raw::parse(text.to_owned()).unwrap();
            few_completions(&raw).map(|raw| raw.as_str().to_owned())
        };
        let (few, many) = (values(100), values(101));
        assert_eq!(cut(&format!(r#"{{"completion":{{"values":[{few}]}}}}"#)), None);
        assert_eq!(
            cut(&format!(
                r#"{{"completion":{{"values":[{many}],"total":101,"hasMore":false}},"x":1}}"#
            )),
            Some(format!(
                r#"{{"completion":{{"values":[{few}],"total":101,"hasMore":true}},"x":1}}"#
            ))
        );
        for odd in ["{}", r#"{"completion":5}"#, r#"{"completion":{"values":{}}}"#] {
            assert_eq!(cut(odd), None);
        }
    }

    #[test]
    fn kinds_of_results_are_told_apart() {
        let check = |text: &str, expect: Kind| {
            assert_eq!(kind(&Raw::parse(text.to_owned()).unwrap()), expect, "{text}");
        };
        check("{}", Kind::Complete);
        check(r#"{"resultType":"complete"}"#, Kind::Complete);
        check(r#"{"resultType":"input_required"}"#, Kind::InputRequired);
        check(r#"{"resultType":"task"}"#, Kind::Task);
        check(r#"{"resultType":"later"}"#, Kind::Unknown);
        check(r#"{"resultType":1}"#, Kind::Unknown);
    }
}
