//! Whatever a peer of one revision may say, peers of all others are told in their own words, and what
//! no revision knows reaches them as it was written.

use mcplex_proto::{
    edit,
    message::Outcome,
    modern::{PER_HOP, SERVER_INFO},
    raw::Raw,
    version::{Era, Version},
};
use mcplex_schema::{
    generate::Generator,
    judge::{self, Asked, Side},
    revision::Revision,
};
use mcplex_translate::{
    capability, item, question,
    question::Question,
    result,
    task::{self, Detail, Status},
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// The results that calls of tools, prompts and resources have, each with its definition.
const RESULTS: [(&str, &str); 4] = [
    ("tools/call", "CallToolResult"),
    ("prompts/get", "GetPromptResult"),
    ("resources/read", "ReadResourceResult"),
    ("completion/complete", "CompleteResult"),
];

/// What a server asks, and the definition of the answer.
const QUESTIONS: [(&str, &str); 3] = [
    ("elicitation/create", "ElicitResult"),
    ("sampling/createMessage", "CreateMessageResult"),
    ("roots/list", "ListRootsResult"),
];

fn draws() -> impl Strategy<Value = Vec<u16>> {
    prop::collection::vec(any::<u16>(), 0..400)
}

fn version() -> impl Strategy<Value = Version> {
    prop::sample::select(Version::ALL.to_vec())
}

fn raw(text: String) -> Raw {
    Raw::parse(text).expect("what is made is JSON")
}

/// The same as a value; no parser of ours holds numbers as large as that one.
fn value(raw: &Raw) -> Value {
    serde_json::from_str(&raw.as_str().replace("1e400", "1e300")).expect("it is JSON")
}

proptest! {
    #[test]
    fn results_of_calls(draws in draws(), from in version(), to in version(), which in 0..4_usize) {
        let (method, definition) = RESULTS[which];
        let before = raw(Generator::new(from, &draws).value(definition));
        let server = raw(r#"{"name":"s","version":"1"}"#.to_owned());
        let new = result::to_client(method, &before, from, to, Some(&server));
        prop_assert!(from != to || new.is_none());
        let after = new.unwrap_or_else(|| before.clone());
        let asked = Asked { method: method.to_owned(), version: to, as_task: false };
        let message = json!({ "jsonrpc": "2.0", "id": 1, "result": value(&after) });
        let complaints = judge::response(&message, Some(&asked), to);
        prop_assert!(complaints.is_empty(), "{from} {before} became {to} {after}: {complaints:?}");
        prop_assert_eq!(lost(before.as_str(), after.as_str(), to), None, "{} became {}", before, after);
    }

    #[test]
    fn tools_in_lists(draws in draws(), from in version(), to in version()) {
        let mut make = Generator::new(from, &draws);
        let mut before = raw(make.value("Tool"));
        if from.era() == Era::Modern {
            let (input, output) = (object_schema(&mut make), schema(&mut make, 0));
            let mut new = vec![("inputSchema", &*input)];
            if output.starts_with('{') {
                new.push(("outputSchema", &*output));
            }
            before = edit::with_members(&before, &new);
        }
        let after = item::tool(&before, from, to).unwrap_or_else(|| before.clone());
        let complaints = Revision::of(to).complaints("Tool", &value(&after));
        prop_assert!(complaints.is_empty(), "{from} {before} became {to} {after}: {complaints:?}");
        prop_assert_eq!(lost(before.as_str(), after.as_str(), to), None, "{} became {}", before, after);
    }

    /// They have the same members in all revisions, so nobody changes them.
    #[test]
    fn everything_else_in_lists(draws in draws(), from in version(), to in version(), which in 0..3_usize) {
        let definition = ["Prompt", "Resource", "ResourceTemplate"][which];
        let item = raw(Generator::new(from, &draws).value(definition));
        let complaints = Revision::of(to).complaints(definition, &value(&item));
        prop_assert!(complaints.is_empty(), "{from} {item} for {to}: {complaints:?}");
    }

    #[test]
    fn questions(draws in draws(), from in version(), to in version(), which in 0..3_usize) {
        let method = QUESTIONS[which].0;
        let Some(definition) = Revision::of(from).of_method(method) else { return Ok(()) };
        let request = Generator::new(from, &draws).value(definition);
        let params = edit::member(&request, "params").map(|params| raw(params.get().to_owned()));
        let asked = Question { method: method.into(), params };
        let new = match question::to_client(&asked, from, to, || "minted".to_owned()) {
            Ok(new) => new,
            Err(why) => {
                prop_assert!(to < from, "{to} can be asked {request} of {from}, not: {why}");
                return Ok(());
            }
        };
        let mut message = json!({ "jsonrpc": "2.0", "id": 1, "method": method });
        if let Some(params) = &new.params {
            message["params"] = value(params);
        }
        let complaints = match to.era() {
            Era::Legacy => judge::call(Side::Server, &message, to),
            Era::Modern => {
                let definition = Revision::of(to).of_method(method).unwrap();
                Revision::of(to).complaints(definition, &message)
            }
        };
        prop_assert!(complaints.is_empty(), "{from} {request} became {to} {message}: {complaints:?}");
        if from == to {
            prop_assert_eq!(&new, &asked);
        }
        let text = |question: &Question| {
            question.params.as_ref().map_or("{}", Raw::as_str).to_owned()
        };
        prop_assert_eq!(lost(&text(&asked), &text(&new), to), None, "{} became {:?}", request, new);
    }

    #[test]
    fn answers(draws in draws(), from in version(), to in version(), which in 0..3_usize) {
        let (method, definition) = QUESTIONS[which];
        let knows = |version: Version| Revision::of(version).has(definition);
        if !knows(from) || !knows(to) {
            return Ok(());
        }
        let before = raw(Generator::new(from, &draws).value(definition));
        let after = match to.era() {
            Era::Modern => question::answer_to_modern(method, &Outcome::Result(before.clone())).unwrap(),
            Era::Legacy => match question::answer_to_legacy(method, &before, to) {
                Ok(after) => after,
                Err(why) => {
                    prop_assert!(to < from, "{to} can be told {before} of {from}, not: {why}");
                    return Ok(());
                }
            },
        };
        let complaints = Revision::of(to).complaints(definition, &value(&after));
        prop_assert!(complaints.is_empty(), "{from} {before} became {to} {after}: {complaints:?}");
        prop_assert!(to < from || before == after);
    }

    #[test]
    fn capabilities_of_clients(draws in draws(), from in version()) {
        let before = raw(Generator::new(from, &draws).value("ClientCapabilities"));
        let after = capability::to_modern(&before);
        let complaints =
            Revision::of(Version::LATEST_MODERN).complaints("ClientCapabilities", &value(&after));
        prop_assert!(complaints.is_empty(), "{from} {before} became {after}: {complaints:?}");
    }
}

/// The revisions that know tasks: in a session, and stateless.
const IN_SESSION: Version = Version::V2025_11_25;
const STATELESS: Version = Version::V2026_07_28;

/// What a router knows of a session's task beside what its server says of it.
fn detail(status: Status, draws: &[u16], which: usize) -> Detail {
    let mut make = Generator::new(STATELESS, draws);
    match (status, which) {
        (Status::Working | Status::Cancelled, _) | (Status::InputRequired, 0) => Detail::None,
        (Status::InputRequired, _) => Detail::Questions(raw(make.value("InputRequests"))),
        (Status::Completed | Status::Failed, 0) => Detail::Error(raw(make.value("Error"))),
        (Status::Completed | Status::Failed, _) => {
            Detail::Result(raw(make.value("CallToolResult")))
        }
    }
}

proptest! {
    #[test]
    fn tasks_of_sessions(draws in draws(), more in draws(), which in 0..2_usize) {
        let stateless = Revision::of(STATELESS);
        let before = raw(Generator::new(IN_SESSION, &draws).value("GetTaskResult"));
        let detail = detail(Status::of(&before), &more, which);
        let after = task::to_modern(&before, &detail);
        // Every answer says what it is.
        let answer = edit::with_members(&after, &[("resultType", "\"complete\"")]);
        let complaints = stateless.complaints("GetTaskResult", &value(&answer));
        prop_assert!(complaints.is_empty(), "{before} with {detail:?} became {answer}: {complaints:?}");
        prop_assert_eq!(unknown(&before), unknown(&after));
        let told = json!({ "jsonrpc": "2.0", "method": "notifications/tasks", "params": value(&after) });
        let complaints = stateless.complaints("TaskStatusNotification", &told);
        prop_assert!(complaints.is_empty(), "{before} with {detail:?} became {told}: {complaints:?}");
        // And back: a server's word for how it is stays, unless its result says otherwise.
        let back = task::to_legacy(&after);
        let complaints = Revision::of(IN_SESSION).complaints("GetTaskResult", &value(&back));
        prop_assert!(complaints.is_empty(), "{after} became {back}: {complaints:?}");
        prop_assert_eq!(unknown(&before), unknown(&back));
        prop_assert_eq!(Status::of(&before).is_over(), Status::of(&back).is_over());
    }

    #[test]
    fn tasks_of_stateless_servers(draws in draws()) {
        let session = Revision::of(IN_SESSION);
        let before = raw(Generator::new(STATELESS, &draws).value("GetTaskResult"));
        let after = task::to_legacy(&before);
        for definition in ["Task", "GetTaskResult", "CancelTaskResult"] {
            let complaints = session.complaints(definition, &value(&after));
            prop_assert!(complaints.is_empty(), "{before} became {after}: {complaints:?}");
        }
        let told = json!({
            "jsonrpc": "2.0", "method": "notifications/tasks/status", "params": value(&after),
        });
        let complaints = session.complaints("TaskStatusNotification", &told);
        prop_assert!(complaints.is_empty(), "{before} became {told}: {complaints:?}");
        let listed = json!({ "tasks": [value(&after)] });
        let complaints = session.complaints("ListTasksResult", &listed);
        prop_assert!(complaints.is_empty(), "{before} became {listed}: {complaints:?}");
        prop_assert_eq!(unknown(&before), unknown(&after));
        prop_assert_eq!(Status::of(&before).is_over(), Status::of(&after).is_over());
    }

    #[test]
    fn answers_that_make_tasks(draws in draws(), is_named in any::<bool>()) {
        let server = is_named.then(|| raw(r#"{"name":"s","version":"1"}"#.to_owned()));
        let before = raw(Generator::new(IN_SESSION, &draws).value("CreateTaskResult"));
        let after = task::made_to_modern(&before, server.as_ref()).expect("it holds a task");
        let complaints = Revision::of(STATELESS).complaints("CreateTaskResult", &value(&after));
        prop_assert!(complaints.is_empty(), "{before} became {after}: {complaints:?}");
        let inner = edit::member(before.as_str(), "task").unwrap().get().to_owned();
        let found = unknown(&after);
        for member in unknown(&raw(inner)) {
            prop_assert!(found.contains(&member), "{member:?} of {before} is not in {after}");
        }

        let before = raw(Generator::new(STATELESS, &draws).value("CreateTaskResult"));
        let after = task::made_to_legacy(&before);
        let complaints = Revision::of(IN_SESSION).complaints("CreateTaskResult", &value(&after));
        prop_assert!(complaints.is_empty(), "{before} became {after}: {complaints:?}");
        let inner = edit::member(after.as_str(), "task").unwrap().get().to_owned();
        prop_assert_eq!(unknown(&before), unknown(&raw(inner)));
        // A stateless answer holds no task of a session.
        prop_assert_eq!(task::made_to_modern(&before, None), None);
    }

    /// What is said of a task may be any result, any question, and any notification of a session.
    #[test]
    fn what_is_about_a_task_says_so(draws in draws(), from in version(), which in 0..3_usize) {
        let definition = ["CallToolResult", "ElicitRequestParams", "ProgressNotificationParams"][which];
        let definition = if Revision::of(from).has(definition) { definition } else { "CallToolResult" };
        let before = raw(Generator::new(from, &draws).value(definition));
        let id = raw(r#""t-1""#.to_owned());
        let after = task::related(&before, &id);
        prop_assert_eq!(task::related_to(&after), Some(id));
        let complaints = Revision::of(from).complaints(definition, &value(&after));
        prop_assert!(complaints.is_empty(), "{from} {before} became {after}: {complaints:?}");
        let back = task::unrelated(&after);
        prop_assert_eq!(task::related_to(&back), None);
        let complaints = Revision::of(from).complaints(definition, &value(&back));
        prop_assert!(complaints.is_empty(), "{from} {after} became {back}: {complaints:?}");
        for all in [&after, &back] {
            prop_assert_eq!(lost(before.as_str(), all.as_str(), from), None);
        }
    }
}

/// The members of a task that no revision knows, as they were written.
fn unknown(task: &Raw) -> Vec<(String, String)> {
    const KNOWN: [&str; 16] = [
        "_meta",
        "taskId",
        "status",
        "statusMessage",
        "createdAt",
        "lastUpdatedAt",
        "ttl",
        "ttlMs",
        "pollInterval",
        "pollIntervalMs",
        "resultType",
        "result",
        "error",
        "inputRequests",
        "requestState",
        "cacheScope",
    ];
    let members = edit::members(task.as_str()).expect("a task is an object");
    let unknown = members.iter().filter(|(name, _)| !KNOWN.contains(&&**name));
    unknown.map(|(name, value)| (name.to_string(), value.get().to_owned())).collect()
}

/// A JSON schema; `true` and `false` are some as well.
fn schema(make: &mut Generator<'_>, depth: usize) -> String {
    let kinds = if depth > 3 { 4 } else { 7 };
    match make.below(kinds) {
        0 => format!(r#"{{"type":"string","x":{}}}"#, make.odd()),
        1 => "true".to_owned(),
        2 => "false".to_owned(),
        3 => r##"{"$ref":"#/$defs/n"}"##.to_owned(),
        4 => format!(r#"{{"type":"array","items":{}}}"#, schema(make, depth + 1)),
        5 => format!(r#"{{"anyOf":[{}],"y":1.50}}"#, schema(make, depth + 1)),
        _ => object_schema(make),
    }
}

fn object_schema(make: &mut Generator<'_>) -> String {
    let (one, other) = (schema(make, 2), schema(make, 2));
    format!(
        r#"{{"type":"object","z":{},"properties":{{"a":{one},"b":{other}}},"required":["a"],"$defs":{{"n":{other}}}}}"#,
        make.odd()
    )
}

/// Members that belong to one hop or one era.
const GOES: [&str; 10] = [
    "resultType",
    "ttlMs",
    "cacheScope",
    "execution",
    "task",
    "elicitationId",
    "progressToken",
    SERVER_INFO,
    "io.modelcontextprotocol/related-task",
    "_meta",
];

/// What of a value did not come through as it was written, if anything: members stand in their
/// order, and every value that no revision knows has the same bytes.
fn lost(before: &str, after: &str, to: Version) -> Option<String> {
    if before == after {
        return None;
    }
    let changed = || Some(format!("{before} is {after} in {to}"));
    if let (Some(old), Some(new)) = (edit::members(before), edit::members(after)) {
        let kind = edit::member(before, "type").map(serde_json::value::RawValue::get);
        let is_degraded = matches!(kind, Some("\"resource_link\"" | "\"audio\""));
        if is_degraded && to < Version::V2025_06_18 {
            return None;
        }
        let mut rest = new.iter();
        for (name, value) in &old {
            let found = rest.clone().position(|(new, _)| new == name);
            let Some(at) = found else {
                if GOES.contains(&&**name) || PER_HOP.contains(&&**name) {
                    continue;
                }
                return Some(format!("{name:?} of {before} is not in its place in {after}"));
            };
            let new = rest.nth(at).expect("it was found there").1.get();
            let is_fine = match &**name {
                "structuredContent" => new == format!(r#"{{"result":{}}}"#, value.get()),
                // Its root becomes a property.
                "outputSchema" => true,
                _ => false,
            };
            if !is_fine && let Some(lost) = lost(value.get(), new, to) {
                return Some(lost);
            }
        }
        return None;
    }
    match (edit::elements(before), edit::elements(after)) {
        // The text of what is structured stands beside it as one more block.
        (Some(old), Some(new)) if new.len() == old.len() || new.len() == old.len() + 1 => {
            old.iter().zip(&new).find_map(|(old, new)| lost(old.get(), new.get(), to))
        }
        // A list of one block is that block where models know no lists.
        (Some(old), None) if old.len() == 1 && to < Version::V2025_11_25 => {
            lost(old[0].get(), after, to)
        }
        _ if matches!((before, after), ("true", "{}") | ("false", r#"{"not":{}}"#)) => None,
        _ => changed(),
    }
}
