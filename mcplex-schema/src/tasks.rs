//! The definitions of the tasks extension, which the schema of its revision does not have.
//!
//! Written from the extension's own specification (SEP-2663), in the names that the revision before
//! has for the same.

use serde_json::{Map, Value, json};

/// How a task may be, each with what it then carries and of which definition that is.
const KINDS: [(&str, Option<(&str, &str)>); 5] = [
    ("working", None),
    ("input_required", Some(("inputRequests", "InputRequests"))),
    ("completed", Some(("result", "JSONObject"))),
    ("failed", Some(("error", "Error"))),
    ("cancelled", None),
];

/// Adds them to those of the revision.
pub(crate) fn define(definitions: &mut Map<String, Value>) {
    let all = |more: &[(&str, Value)]| -> Vec<Value> {
        KINDS
            .iter()
            .map(|(status, carried)| task(&json!({ "const": status }), *carried, more))
            .collect()
    };
    let complete = [("resultType", json!({ "const": "complete" })), meta("ResultMetaObject")];
    let made = [("resultType", json!({ "const": "task" })), meta("ResultMetaObject")];
    let words: Vec<_> = KINDS.iter().map(|(status, _)| *status).collect();
    let acknowledged = object(&complete, &["resultType"]);
    let answers = ("inputResponses", json!({ "$ref": "#/$defs/InputResponses" }));
    let new = [
        ("CreateTaskResult", task(&json!({ "type": "string", "enum": words }), None, &made)),
        ("GetTaskResult", json!({ "anyOf": all(&complete) })),
        ("UpdateTaskResult", acknowledged.clone()),
        ("CancelTaskResult", acknowledged),
        ("GetTaskRequest", request("tasks/get", &[])),
        ("UpdateTaskRequest", request("tasks/update", &[answers])),
        ("CancelTaskRequest", request("tasks/cancel", &[])),
        ("TaskStatusNotification", notification(all(&[meta("NotificationMetaObject")]))),
    ];
    definitions.extend(new.into_iter().map(|(name, schema)| (name.to_owned(), schema)));
}

fn meta(definition: &str) -> (&'static str, Value) {
    ("_meta", json!({ "$ref": format!("#/$defs/{definition}") }))
}

fn object(members: &[(&str, Value)], required: &[&str]) -> Value {
    let members: Map<_, _> =
        members.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({ "type": "object", "properties": members, "required": required })
}

/// A task with this status, what it carries, and what else stands beside it.
fn task(status: &Value, carried: Option<(&str, &str)>, more: &[(&str, Value)]) -> Value {
    let text = || json!({ "type": "string" });
    let mut members = vec![
        ("taskId", text()),
        ("status", status.clone()),
        ("statusMessage", text()),
        ("createdAt", text()),
        ("lastUpdatedAt", text()),
        ("ttlMs", json!({ "type": ["integer", "null"] })),
        ("pollIntervalMs", json!({ "type": "integer" })),
    ];
    let mut required = vec!["taskId", "status", "createdAt", "lastUpdatedAt", "ttlMs"];
    if let Some((name, definition)) = carried {
        members.push((name, json!({ "$ref": format!("#/$defs/{definition}") })));
        required.push(name);
    }
    members.extend(more.iter().cloned());
    required.extend(more.iter().map(|(name, _)| *name).filter(|name| *name == "resultType"));
    object(&members, &required)
}

fn request(method: &str, more: &[(&'static str, Value)]) -> Value {
    let mut members = vec![meta("RequestMetaObject"), ("taskId", json!({ "type": "string" }))];
    members.extend(more.iter().cloned());
    let required: Vec<_> = members.iter().map(|(name, _)| *name).collect();
    let params = object(&members, &required);
    let all = [
        ("jsonrpc", json!({ "const": "2.0" })),
        ("id", json!({ "$ref": "#/$defs/RequestId" })),
        ("method", json!({ "const": method })),
        ("params", params),
    ];
    object(&all, &["jsonrpc", "id", "method", "params"])
}

fn notification(kinds: Vec<Value>) -> Value {
    let all = [
        ("jsonrpc", json!({ "const": "2.0" })),
        ("method", json!({ "const": "notifications/tasks" })),
        ("params", json!({ "anyOf": kinds })),
    ];
    object(&all, &["jsonrpc", "method", "params"])
}
