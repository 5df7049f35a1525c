//! What it has besides tools that are called: lists, resources, prompts.

use crate::{behavior::Behavior, peer::Peer, tools};
use serde_json::{Value, json};

/// A JSON-RPC error code and why.
type Failure = (i64, String);

const RESOURCES: u64 = 3;
const PROMPTS: u64 = 2;

pub(crate) fn capabilities(behavior: &Behavior) -> Value {
    let mut all = json!({ "tools": { "listChanged": true }, "logging": {} });
    if behavior.resources {
        all["resources"] = json!({ "subscribe": true, "listChanged": true });
    }
    if behavior.prompts {
        all["prompts"] = json!({ "listChanged": true });
        all["completions"] = json!({});
    }
    all
}

/// Answers everything but `initialize` and `tools/call`.
pub(crate) fn answer(peer: &Peer, method: &str, params: &Value) -> Result<Value, Failure> {
    let Behavior { resources, prompts, .. } = peer.behavior;
    match method {
        "ping" | "logging/setLevel" => Ok(json!({})),
        "tools/list" => page(peer, "tools", tools::list(peer), params),
        "resources/list" if resources => {
            let items = (1..=RESOURCES).map(
                |n| json!({ "uri": uri(n), "name": format!("note {n}"), "mimeType": "text/plain" }),
            );
            page(peer, "resources", items.collect(), params)
        }
        "resources/templates/list" if resources => {
            let template = json!({ "uriTemplate": "fake://note/{id}", "name": "note" });
            page(peer, "resourceTemplates", vec![template], params)
        }
        "resources/read" if resources => read(params),
        "resources/subscribe" if resources => {
            peer.subscribed.lock().expect("no panic").insert(text(params, "uri"));
            Ok(json!({}))
        }
        "resources/unsubscribe" if resources => {
            peer.subscribed.lock().expect("no panic").remove(&text(params, "uri"));
            Ok(json!({}))
        }
        "prompts/list" if prompts => {
            let items = (1..=PROMPTS)
                .map(|n| json!({ "name": format!("greet_{n}"), "arguments": [{ "name": "who" }] }));
            page(peer, "prompts", items.collect(), params)
        }
        "prompts/get" if prompts => prompt(params),
        "completion/complete" if prompts => {
            let value = text(&params["argument"], "value");
            Ok(
                json!({ "completion": { "values": [format!("{value}ada"), format!("{value}bob")] } }),
            )
        }
        _ => Err((-32601, format!("Method not found: {method}"))),
    }
}

/// All items, or one page of them.
fn page(peer: &Peer, member: &str, items: Vec<Value>, params: &Value) -> Result<Value, Failure> {
    let Some(size) = peer.behavior.pages.and_then(|size| usize::try_from(size).ok()) else {
        return Ok(json!({ member: items }));
    };
    let start = match params["cursor"].as_str() {
        None => 0,
        Some(cursor) => cursor
            .parse()
            .ok()
            .filter(|start| *start < items.len())
            .ok_or_else(|| (-32602, format!("Invalid params: no cursor {cursor}")))?,
    };
    let end = (start + size.max(1)).min(items.len());
    let mut page = json!({ member: items[start..end] });
    if end < items.len() {
        page["nextCursor"] = json!(end.to_string());
    }
    Ok(page)
}

fn uri(n: u64) -> String {
    format!("fake://note/{n}")
}

fn read(params: &Value) -> Result<Value, Failure> {
    let uri = text(params, "uri");
    match uri.strip_prefix("fake://note/") {
        Some(id) => {
            let content =
                json!({ "uri": uri, "mimeType": "text/plain", "text": format!("note {id}") });
            Ok(json!({ "contents": [content] }))
        }
        None => Err((-32002, format!("Resource not found: {uri}"))),
    }
}

fn prompt(params: &Value) -> Result<Value, Failure> {
    let name = text(params, "name");
    if !name.starts_with("greet_") {
        return Err((-32602, format!("Invalid params: no prompt {name}")));
    }
    let words = format!("Say hello to {}.", text(&params["arguments"], "who"));
    let content = json!({ "type": "text", "text": words });
    Ok(json!({ "messages": [{ "role": "user", "content": content }] }))
}

/// A member that is a string, or the empty string.
pub(crate) fn text(object: &Value, member: &str) -> String {
    object[member].as_str().unwrap_or_default().to_owned()
}
