//! Questions of a server to its client: requests in a session, `input_required` in a stateless call.

mod answer;

use crate::{
    content,
    draft::{Draft, map_elements},
    item,
};
use mcplex_proto::{
    edit, method,
    raw::{self, Raw},
    version::{Era, Version},
};
use std::borrow::Cow;

pub use answer::{answer_to_legacy, answer_to_modern, cancelled, unanswered};

/// What a server wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// `elicitation/create`, `sampling/createMessage` or `roots/list`.
    pub method: Cow<'static, str>,
    /// Its parameters.
    pub params: Option<Raw>,
}

/// What a stateless server needs before it goes on with a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Required {
    /// Questions by the server's own names for them.
    pub questions: Vec<(String, Question)>,
    /// What the server wants to get back, as the JSON string that it is.
    pub state: Option<Raw>,
}

/// A question that a client of some revision cannot be asked, or an answer that cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CannotSay(pub &'static str);

impl Required {
    /// Reads a result with `resultType` `input_required`.
    ///
    /// # Errors
    /// When it asks nothing and gives no state, or asks what nobody knows.
    pub fn read(result: &Raw) -> Result<Self, CannotSay> {
        let bad = CannotSay("the upstream needs input and does not say which");
        let members = edit::members(result.as_str()).ok_or(bad)?;
        let find = |name: &str| members.iter().find(|(key, _)| key == name).map(|&(_, v)| v);
        let mut questions = Vec::new();
        if let Some(asked) = find("inputRequests") {
            for (key, question) in edit::members(asked.get()).ok_or(bad)? {
                let method = edit::member(question.get(), "method").and_then(raw::string);
                let method = method::intern(&method.ok_or(bad)?);
                if !is_question(&method) {
                    return Err(CannotSay("the upstream asks what no client is asked"));
                }
                let params = edit::member(question.get(), "params");
                let params = params.map(|params| Raw::part(result, params));
                questions.push((key.into_owned(), Question { method, params }));
            }
        }
        let state = find("requestState").filter(|state| state.get().starts_with('"'));
        let state = state.map(|state| Raw::part(result, state));
        if questions.is_empty() && state.is_none() {
            return Err(bad);
        }
        Ok(Self { questions, state })
    }

    /// The result that asks a stateless client; `state` is what it has to send back.
    #[must_use]
    pub fn write(&self, server: Option<&Raw>) -> Raw {
        let asked = asked(&self.questions);
        let mut members = vec![("resultType", "\"input_required\"")];
        if !self.questions.is_empty() {
            members.push(("inputRequests", asked.as_str()));
        }
        if let Some(state) = &self.state {
            members.push(("requestState", state.as_str()));
        }
        let meta = server
            .map(|server| edit::object([(mcplex_proto::modern::SERVER_INFO, server.as_str())]));
        if let Some(meta) = &meta {
            members.push(("_meta", meta.as_str()));
        }
        edit::object(members)
    }
}

/// Questions by name, as a stateless client reads them.
#[must_use]
pub fn asked(questions: &[(String, Question)]) -> Raw {
    let asked = questions.iter().map(|(key, question)| {
        let name = Raw::of(&question.method);
        let mut members = vec![("method", name.as_str())];
        if let Some(params) = &question.params {
            members.push(("params", params.as_str()));
        }
        (key.as_str(), edit::object(members))
    });
    let asked: Vec<_> = asked.collect();
    edit::object(asked.iter().map(|(key, text)| (*key, text.as_str())))
}

/// Whether a server asks a client by this method.
#[must_use]
pub fn is_question(method: &str) -> bool {
    matches!(method, method::ELICITATION | method::SAMPLING | method::ROOTS_LIST)
}

/// The methods whose calls may need input, in stateless revisions.
#[must_use]
pub fn may_need_input(method: &str) -> bool {
    matches!(method, method::TOOLS_CALL | method::PROMPTS_GET | method::RESOURCES_READ)
}

/// The parameters of the retry that brings answers, by the server's own names, and its state back.
#[must_use]
pub fn retry(params: Option<&Raw>, answers: &[(String, Raw)], state: Option<&Raw>) -> Raw {
    let text = params.map_or("{}", Raw::as_str);
    let answers = edit::object(answers.iter().map(|(key, raw)| (key.as_str(), raw.as_str())));
    let Some(mut draft) = Draft::read(text) else { return Raw::empty_object() };
    draft.remove("requestState");
    draft.remove("inputResponses");
    if answers.as_str() != "{}" {
        draft.set("inputResponses", answers.as_str());
    }
    if let Some(state) = state {
        draft.set("requestState", state.as_str());
    }
    draft
        .finish()
        .unwrap_or_else(|| Raw::parse(text.to_owned()).unwrap_or_else(|_| Raw::empty_object()))
}

/// The parameters of a call without what only its retries carry.
#[must_use]
pub fn first_round(params: Option<&Raw>) -> Option<Raw> {
    let mut draft = Draft::read(params?.as_str())?;
    draft.remove("requestState");
    draft.remove("inputResponses");
    draft.finish().or_else(|| params.cloned())
}

/// The answers that a retry brings.
#[must_use]
pub fn answers(params: Option<&Raw>) -> Vec<(String, Raw)> {
    let Some(params) = params else { return Vec::new() };
    let given = edit::member(params.as_str(), "inputResponses");
    let given = given.and_then(|given| edit::members(given.get())).unwrap_or_default();
    given.into_iter().map(|(key, value)| (key.into_owned(), Raw::part(params, value))).collect()
}

/// A question as a client of this revision is asked it.
///
/// `mint` makes an id for a URL that a session's client wants to hear of again.
///
/// # Errors
/// When the revision has no such question.
pub fn to_client(
    question: &Question,
    from: Version,
    to: Version,
    mint: impl FnOnce() -> String,
) -> Result<Question, CannotSay> {
    let Question { method, params } = question;
    let text = params.as_ref().map_or("{}", Raw::as_str);
    let Some(mut draft) = Draft::read(text) else {
        return Err(CannotSay("its parameters are no object"));
    };
    match &**method {
        method::ELICITATION => elicitation(&mut draft, to, mint)?,
        method::SAMPLING => sampling(&mut draft, to)?,
        _ => {}
    }
    if from.era() == Era::Modern && to.era() == Era::Legacy {
        draft.map("messages", |messages| {
            map_elements(messages, |message| {
                let mut message = Draft::read(message)?;
                message.map("content", content::sampled);
                message.text()
            })
        });
    }
    if *method == method::SAMPLING {
        draft.map("tools", |tools| {
            map_elements(tools, |tool| Some(item::inside(tool, from, to)?.as_str().to_owned()))
        });
    }
    if from.era() != to.era() {
        draft.remove("task");
        without_hop(&mut draft, to);
    }
    let params = draft.finish().or_else(|| params.clone());
    Ok(Question { method: method.clone(), params })
}

/// Takes out of `_meta` what belongs to the hop before.
fn without_hop(draft: &mut Draft<'_>, to: Version) {
    let Some(meta) = draft.get("_meta").map(str::to_owned) else { return };
    let Some(mut inner) = Draft::read(&meta) else { return };
    if to.era() == Era::Modern {
        inner.remove("progressToken");
        inner.remove(crate::task::RELATED_TASK);
    }
    for name in mcplex_proto::modern::PER_HOP {
        inner.remove(name);
    }
    match inner.text().as_deref() {
        Some("{}") => draft.remove("_meta"),
        Some(meta) => draft.set("_meta", meta),
        None => {}
    }
}

fn elicitation(
    draft: &mut Draft<'_>,
    to: Version,
    mint: impl FnOnce() -> String,
) -> Result<(), CannotSay> {
    let is_url = draft.get("mode") == Some("\"url\"");
    if to < Version::V2025_06_18 {
        return Err(CannotSay("clients of its revision are not asked anything"));
    }
    if is_url {
        match to.era() {
            Era::Modern => draft.remove("elicitationId"),
            Era::Legacy if to < Version::V2025_11_25 => {
                return Err(CannotSay("clients of its revision open no URLs"));
            }
            Era::Legacy if draft.get("elicitationId").is_none() => {
                draft.set("elicitationId", Raw::of(&mint()).as_str());
            }
            Era::Legacy => {}
        }
    }
    // Choosing several came with 2025-11-25, and so did naming the form as such.
    if to < Version::V2025_11_25 && !is_url {
        let properties = draft
            .get("requestedSchema")
            .and_then(|schema| edit::members(edit::member(schema, "properties")?.get()));
        let is_array = |(_, property): &edit::Member<'_>| {
            edit::member(property.get(), "type").and_then(raw::string).as_deref() == Some("array")
        };
        if properties.iter().flatten().any(is_array) {
            return Err(CannotSay("clients of its revision cannot choose several of a list"));
        }
    }
    Ok(())
}

/// Whether models and those who ask them exchange such a block in revisions that know no lists.
fn is_read_alone(block: &str, to: Version) -> bool {
    let kind = edit::member(block, "type").and_then(raw::string);
    match kind.as_deref() {
        Some("text" | "image") => true,
        Some("audio") => to >= Version::V2025_03_26,
        _ => false,
    }
}

fn sampling(draft: &mut Draft<'_>, to: Version) -> Result<(), CannotSay> {
    if to >= Version::V2025_11_25 {
        return Ok(());
    }
    // Lists of blocks came with that revision; one of a single block says the same without.
    draft.map("messages", |messages| {
        map_elements(messages, |message| {
            let mut message = Draft::read(message)?;
            message.map("content", |content| match edit::elements(content).as_deref() {
                Some([only]) => Some(only.get().to_owned()),
                Some(_) | None => None,
            });
            message.text()
        })
    });
    if draft.get("tools").is_some() || draft.get("toolChoice").is_some() {
        return Err(CannotSay("models of clients of its revision are not given tools"));
    }
    let messages = draft.get("messages").and_then(edit::elements).unwrap_or_default();
    for message in messages {
        let Some(content) = edit::member(message.get(), "content") else { continue };
        if !is_read_alone(content.get(), to) {
            return Err(CannotSay("models of clients of its revision do not read such messages"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcplex_proto::{error::ErrorObject, message::Outcome};

    const B: Version = Version::V2025_03_26;
    const C: Version = Version::V2025_06_18;
    const D: Version = Version::V2025_11_25;
    const E: Version = Version::V2026_07_28;

    fn raw(text: &str) -> Raw {
        Raw::parse(text.to_owned()).unwrap()
    }

    fn question(method: &'static str, params: &str) -> Question {
        Question { method: method.into(), params: Some(raw(params)) }
    }

    fn asked(question: &Question, from: Version, to: Version) -> Result<String, CannotSay> {
        let question = to_client(question, from, to, || "minted".to_owned())?;
        Ok(question.params.unwrap().as_str().to_owned())
    }

    #[test]
    fn what_is_required_is_read_and_written() {
        let text = r#"{"resultType":"input_required","inputRequests":{"a":{"method":"elicitation/create","params":{"x":1.50}},"b":{"method":"roots/list"}},"requestState":"s\u0074"}"#;
        let required = Required::read(&raw(text)).unwrap();
        assert_eq!(required.questions.len(), 2);
        assert_eq!(required.state.as_ref().map(Raw::as_str), Some(r#""s\u0074""#));
        assert_eq!(required.write(None).as_str(), text);
        for bad in [
            r#"{"resultType":"input_required"}"#,
            r#"{"inputRequests":{}}"#,
            r#"{"inputRequests":{"a":{"method":"tools/call"}}}"#,
            r#"{"inputRequests":[]}"#,
        ] {
            assert!(Required::read(&raw(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_retry_carries_the_answers_and_the_state_and_nothing_of_the_round_before() {
        let params = raw(r#"{"name":"t","n":1.0,"inputResponses":{"old":1},"requestState":"old"}"#);
        let answers = [("a".to_owned(), raw(r#"{"action":"accept"}"#))];
        assert_eq!(
            retry(Some(&params), &answers, Some(&raw("\"s\""))).as_str(),
            r#"{"name":"t","n":1.0,"inputResponses":{"a":{"action":"accept"}},"requestState":"s"}"#
        );
        assert_eq!(retry(Some(&params), &[], None).as_str(), r#"{"name":"t","n":1.0}"#);
        assert_eq!(first_round(Some(&params)).unwrap().as_str(), r#"{"name":"t","n":1.0}"#);
        let given = self::answers(Some(&params));
        assert_eq!(given, [("old".to_owned(), raw("1"))]);
    }

    #[test]
    fn a_url_has_an_id_for_sessions_and_none_for_others() {
        let url = question("elicitation/create", r#"{"mode":"url","message":"m","url":"u"}"#);
        let with_id = r#"{"mode":"url","message":"m","url":"u","elicitationId":"minted"}"#;
        assert_eq!(asked(&url, E, D).as_deref(), Ok(with_id));
        assert!(asked(&url, E, C).is_err() && asked(&url, E, B).is_err());
        let back = question("elicitation/create", with_id);
        let without = r#"{"mode":"url","message":"m","url":"u"}"#;
        assert_eq!(asked(&back, D, E).as_deref(), Ok(without));
    }

    #[test]
    fn what_a_revision_cannot_ask_is_told() {
        let several = question(
            "elicitation/create",
            r#"{"message":"m","requestedSchema":{"type":"object","properties":{"a":{"type":"array"}}}}"#,
        );
        assert!(asked(&several, E, D).is_ok() && asked(&several, E, C).is_err());
        let tools = question("sampling/createMessage", r#"{"messages":[],"tools":[]}"#);
        assert!(asked(&tools, E, D).is_ok() && asked(&tools, E, C).is_err());
        let blocks = question("sampling/createMessage", r#"{"messages":[{"content":[]}]}"#);
        assert!(asked(&blocks, E, C).is_err());
    }

    #[test]
    fn a_list_of_one_block_is_that_block_to_models_that_know_no_lists() {
        let text = |content: &str| format!(r#"{{"messages":[{{"content":{content},"x":1.0}}]}}"#);
        let (one, two) = (r#"{"type":"text","text":"a"}"#, r#"{"type":"audio","data":"QQ=="}"#);
        let all = format!("[{one},{two}]");
        let check = |content: &str, to: Version, expect: Option<&str>| {
            let question = question("sampling/createMessage", &text(content));
            assert_eq!(asked(&question, E, to).ok(), expect.map(text), "{content}");
        };
        check(&format!("[{one}]"), B, Some(one));
        check(&format!("[{one}]"), D, Some(&format!("[{one}]")));
        check(&format!("[{two}]"), B, Some(two));
        check(&format!("[{two}]"), Version::V2024_11_05, None);
        check(&all, C, None);
        check(&all, D, Some(&all));
    }

    #[test]
    fn results_of_tools_in_what_a_model_reads_are_written_as_those_of_calls() {
        let result = |rest: &str| {
            format!(r#"{{"messages":[{{"content":[{{"type":"tool_result",{rest}}}]}}]}}"#)
        };
        let before = result(r#""structuredContent":[1.50],"content":[]"#);
        let after = result(
            r#""structuredContent":{"result":[1.50]},"content":[{"type":"text","text":"[1.50]"}]"#,
        );
        let question = question("sampling/createMessage", &before);
        assert_eq!(asked(&question, E, D).as_deref(), Ok(&*after));
        assert_eq!(asked(&question, D, E).as_deref(), Ok(&*before));
    }

    #[test]
    fn what_belongs_to_the_hop_before_is_left_there() {
        let task = question("roots/list", r#"{"task":{},"_meta":{"progressToken":1,"v/x":2}}"#);
        assert_eq!(asked(&task, D, E).as_deref(), Ok(r#"{"_meta":{"v/x":2}}"#));
        assert_eq!(
            asked(&question("roots/list", r#"{"_meta":{"progressToken":1}}"#), D, E).as_deref(),
            Ok("{}")
        );
    }

    #[test]
    fn a_refusal_is_an_answer_only_for_elicitations() {
        let refused = Outcome::Error(Raw::of(&ErrorObject::new(-1, "no")));
        let answer = answer_to_modern("elicitation/create", &refused).unwrap();
        assert_eq!(answer.as_str(), r#"{"action":"cancel"}"#);
        assert!(answer_to_modern("sampling/createMessage", &refused).is_err());
        let several = raw(r#"{"content":[{"a":1},{"b":2}]}"#);
        assert!(answer_to_legacy("sampling/createMessage", &several, C).is_err());
        let one = raw(r#"{"content":[{"type":"text","a":1.0}]}"#);
        let read = answer_to_legacy("sampling/createMessage", &one, C).unwrap();
        assert_eq!(read.as_str(), r#"{"content":{"type":"text","a":1.0}}"#);
        let tool = raw(r#"{"content":{"type":"tool_use"}}"#);
        assert!(answer_to_legacy("sampling/createMessage", &tool, C).is_err());
        let chosen = raw(r#"{"action":"accept","content":{"a":["x"]}}"#);
        assert!(answer_to_legacy("elicitation/create", &chosen, C).is_err());
        assert_eq!(answer_to_legacy("elicitation/create", &chosen, D).as_ref(), Ok(&chosen));
        assert_eq!(answer_to_legacy("sampling/createMessage", &several, D), Ok(several));
    }
}
