//! One message of one side.

use crate::revision::{Revision, has_result_type};
use mcplex_proto::version::{Era, Version};
use serde_json::Value;

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who calls tools.
    Client,
    /// Who has them.
    Server,
}

/// What a result answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The method of the request.
    pub method: String,
    /// The revision it was asked in.
    pub version: Version,
    /// Whether it asked to become a task (revision 2025-11-25).
    pub as_task: bool,
}

/// What is wrong with a request or notification, as sentences.
#[must_use]
pub fn call(side: Side, message: &Value, version: Version) -> Vec<String> {
    let mut complaints = envelope(message);
    let method = message["method"].as_str().unwrap_or_default();
    let is_request = message.get("id").is_some();
    if is_request && side == Side::Server && version.era() == Era::Modern {
        complaints.push(format!("{version} knows no requests of servers, and {method} is one"));
    }
    let revision = Revision::of(version);
    match revision.of_method(method) {
        None => complaints.push(format!("{version} does not know {method}")),
        Some(definition) => complaints.extend(revision.complaints(definition, message)),
    }
    if let Some(params) = message.get("params")
        && !params.is_object()
    {
        complaints.push(format!("the params of {method} are no object"));
    }
    complaints
}

/// What is wrong with a response, as sentences; `None` for one whose request nobody could read.
#[must_use]
pub fn response(message: &Value, asked: Option<&Asked>, version: Version) -> Vec<String> {
    let version = asked.map_or(version, |asked| asked.version);
    let mut complaints = envelope(message);
    match (message.get("result"), message.get("error")) {
        (Some(result), None) => match asked {
            Some(asked) => complaints.extend(self::result(result, asked)),
            None => complaints.push("a result of no request".to_owned()),
        },
        (None, Some(error)) => complaints.extend(self::error(error, version)),
        (Some(_), Some(_)) => complaints.push("a response with a result and an error".to_owned()),
        (None, None) => complaints.push("neither a call nor a response".to_owned()),
    }
    complaints
}

fn envelope(message: &Value) -> Vec<String> {
    let mut complaints = Vec::new();
    if message["jsonrpc"] != "2.0" {
        complaints.push("`jsonrpc` is not \"2.0\"".to_owned());
    }
    if let Some(id) = message.get("id")
        && !(id.is_string() || id.is_i64() || id.is_u64())
    {
        complaints.push(format!("the id {id} is no string and no integer"));
    }
    complaints
}

/// The definition that a result has to fit.
fn definition(result: &Value, asked: &Asked) -> Option<String> {
    let revision = Revision::of(asked.version);
    if has_result_type(asked.version) {
        match result["resultType"].as_str() {
            Some("input_required") => return Some("InputRequiredResult".to_owned()),
            Some("task") if asked.method == "tools/call" => {
                return Some("CreateTaskResult".to_owned());
            }
            _ => {}
        }
    }
    if asked.as_task && result.get("task").is_some() {
        return Some("CreateTaskResult".to_owned());
    }
    let special = match &*asked.method {
        // The requests of clients that become tasks are all of tools.
        "tasks/result" => Some("CallToolResult"),
        "elicitation/create" => Some("ElicitResult"),
        _ => None,
    };
    let named = revision.of_method(&asked.method)?.strip_suffix("Request")?;
    let named = special.map_or_else(|| format!("{named}Result"), str::to_owned);
    Some(if revision.has(&named) { named } else { "EmptyResult".to_owned() })
}

fn result(result: &Value, asked: &Asked) -> Vec<String> {
    let Asked { method, version, .. } = asked;
    let mut complaints = match definition(result, asked) {
        Some(definition) => Revision::of(*version).complaints(&definition, result),
        None => Vec::new(),
    };
    if let (Era::Modern, "tasks/get", Some(Value::Object(inner))) =
        (version.era(), &**method, result.get("result"))
    {
        // The examples of the extension leave this out.
        let mut inner = inner.clone();
        inner.entry("resultType").or_insert_with(|| "complete".into());
        let inner = Value::Object(inner);
        complaints.extend(Revision::of(*version).complaints("CallToolResult", &inner));
    }
    let is_answer_of_client =
        matches!(&**method, "elicitation/create" | "sampling/createMessage" | "roots/list");
    match version.era() {
        Era::Modern if !is_answer_of_client => {
            let kind = result["resultType"].as_str();
            if !matches!(kind, Some("complete" | "input_required" | "task")) {
                complaints.push(format!("the result of {method} has the type {kind:?}"));
            }
            if kind == Some("input_required")
                && result.get("inputRequests").is_none()
                && result.get("requestState").is_none()
            {
                complaints.push(format!("{method} needs input and does not say which"));
            }
        }
        Era::Modern => {}
        Era::Legacy => {
            for name in ["resultType", "ttlMs", "cacheScope", "requestState", "inputRequests"] {
                if result.get(name).is_some() {
                    complaints.push(format!("the result of {method} has {name:?} in {version}"));
                }
            }
        }
    }
    if method == "initialize" && result["protocolVersion"] == Version::V2026_07_28.as_str() {
        complaints.push("`initialize` was answered with a stateless revision".to_owned());
    }
    complaints
}

fn error(error: &Value, version: Version) -> Vec<String> {
    let mut complaints = Vec::new();
    if !error["message"].is_string() {
        complaints.push("the error has no message".to_owned());
    }
    match error["code"].as_i64() {
        None => complaints.push("the code of the error is no integer".to_owned()),
        Some(code) if version.era() == Era::Modern => match code {
            -32020 | -32021 => {}
            -32022 => {
                let data = &error["data"];
                if !data["supported"].is_array() || !data["requested"].is_string() {
                    complaints.push("-32022 does not say what is supported".to_owned());
                }
            }
            -32099..=-32020 | -32002 => {
                complaints.push(format!("{code} may not be emitted in {version}"));
            }
            _ => {}
        },
        Some(code @ -32022..=-32020) => {
            complaints.push(format!("{code} has no meaning in {version}"));
        }
        Some(_) => {}
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn asked(method: &str, version: Version) -> Asked {
        Asked { method: method.to_owned(), version, as_task: false }
    }

    fn answered(result: &Value, method: &str, version: Version) -> Vec<String> {
        let message = json!({ "jsonrpc": "2.0", "id": 1, "result": result });
        response(&message, Some(&asked(method, version)), version)
    }

    #[test]
    fn a_result_is_judged_by_what_it_answers() {
        let good = json!({ "content": [] });
        assert!(answered(&good, "tools/call", Version::V2025_06_18).is_empty());
        assert!(!answered(&json!({}), "tools/call", Version::V2025_06_18).is_empty());
        assert!(answered(&json!({}), "ping", Version::V2025_06_18).is_empty());
        assert!(!answered(&good, "tools/call", Version::V2026_07_28).is_empty());
        let modern = json!({ "content": [], "resultType": "complete" });
        assert!(answered(&modern, "tools/call", Version::V2026_07_28).is_empty());
        assert!(!answered(&modern, "tools/call", Version::V2025_11_25).is_empty());
        let input = json!({ "resultType": "input_required" });
        assert!(!answered(&input, "tools/call", Version::V2026_07_28).is_empty());
        let input = json!({ "resultType": "input_required", "requestState": "s" });
        assert!(answered(&input, "tools/call", Version::V2026_07_28).is_empty());
    }

    #[test]
    fn every_result_of_every_revision_finds_its_definition() {
        for version in Version::ALL {
            let revision = Revision::of(version);
            for name in revision.definitions().filter(|name| name.ends_with("Request")) {
                let method = &revision.definition(name).unwrap()["properties"]["method"]["const"];
                let Some(method) = method.as_str() else { continue };
                let definition = definition(&json!({}), &asked(method, version));
                assert!(definition.is_some_and(|it| revision.has(&it)), "{version} {method}");
            }
        }
    }

    #[test]
    fn tasks_are_judged_by_how_they_are() {
        let task = |more: Value| {
            let mut task = json!({
                "resultType": "complete", "taskId": "t", "createdAt": "", "lastUpdatedAt": "",
                "ttlMs": null, "status": "working",
            });
            task.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            task
        };
        let check = |more: Value, method: &str, is_good: bool| {
            let complaints = answered(&task(more.clone()), method, Version::V2026_07_28);
            assert_eq!(complaints.is_empty(), is_good, "{method} {more}: {complaints:?}");
        };
        check(json!({}), "tasks/get", true);
        check(json!({ "status": "completed" }), "tasks/get", false);
        check(json!({ "status": "completed", "result": { "content": [] } }), "tasks/get", true);
        check(json!({ "status": "completed", "result": {} }), "tasks/get", false);
        check(json!({ "status": "failed", "error": {} }), "tasks/get", false);
        check(json!({ "status": "odd" }), "tasks/get", false);
        check(json!({ "resultType": "task" }), "tools/call", true);
        check(json!({ "resultType": "task" }), "tasks/get", false);
        let legacy = json!({ "content": [] });
        assert!(answered(&legacy, "tasks/result", Version::V2025_11_25).is_empty());
        assert!(!answered(&json!({}), "tasks/result", Version::V2025_11_25).is_empty());
        let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tasks/list" });
        assert!(call(Side::Client, &list, Version::V2025_11_25).is_empty());
        assert!(!call(Side::Client, &list, Version::V2026_07_28).is_empty());
    }

    #[test]
    fn ids_and_codes_are_looked_at() {
        let null =
            json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32600, "message": "" } });
        assert_eq!(response(&null, None, Version::V2025_11_25).len(), 1);
        let bare = json!({ "jsonrpc": "2.0", "error": { "code": -32600, "message": "" } });
        assert!(response(&bare, None, Version::V2025_11_25).is_empty());
        let old = json!({ "jsonrpc": "2.0", "id": 1, "error": { "code": -32002, "message": "" } });
        assert!(response(&old, None, Version::V2025_11_25).is_empty());
        assert_eq!(response(&old, None, Version::V2026_07_28).len(), 1);
    }

    #[test]
    fn a_stateless_server_asks_nothing() {
        let ask = json!({ "jsonrpc": "2.0", "id": 1, "method": "roots/list" });
        assert!(call(Side::Server, &ask, Version::V2025_11_25).is_empty());
        assert!(!call(Side::Server, &ask, Version::V2026_07_28).is_empty());
        let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
        assert!(!call(Side::Client, &ping, Version::V2026_07_28).is_empty());
    }
}
