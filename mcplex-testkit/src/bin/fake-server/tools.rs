//! The tools; each call runs on a thread of its own.

use crate::{append, die, features::text, peer::Peer};
use serde_json::{Value, json};
use std::{
    io,
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

/// A tool's name, the names and types of its arguments, and what it does.
type Tool = (&'static str, &'static [(&'static str, &'static str)], &'static str);

/// The tools every server has.
const TOOLS: &[Tool] = &[
    ("echo", &[], "Gives back its arguments as JSON."),
    ("add", &[("a", "number"), ("b", "number")], "Adds two numbers."),
    ("sleep", &[("ms", "integer")], "Answers after that time."),
    ("big", &[("bytes", "integer")], "Answers with that much text."),
    ("pid", &[], "Tells the pid of the server."),
    ("fail", &[], "Answers with a tool error."),
    ("crash", &[], "Ends the process without an answer."),
    ("progress", &[("steps", "integer")], "Tells its progress in so many steps."),
    ("log", &[("text", "string")], "Sends the text as a log message."),
    ("sample", &[], "Asks the client's model."),
    ("elicit", &[], "Asks the client's user."),
    ("roots", &[], "Asks the client for its roots."),
    ("grow", &[], "Adds a tool and tells so."),
];

const TOUCH: Tool = ("touch", &[("uri", "string")], "Tells subscribers that the resource changed.");

pub(crate) fn list(peer: &Peer) -> Vec<Value> {
    let more = peer.behavior.tools.unwrap_or_default();
    let grown = peer.grown.load(Ordering::Relaxed);
    let extra = (1..=more).map(|n| format!("extra_{n}"));
    let extra = extra.chain((1..=grown).map(|n| format!("grown_{n}")));
    TOOLS
        .iter()
        .chain(peer.behavior.resources.then_some(&TOUCH))
        .map(|(name, arguments, about)| tool(name, arguments, about))
        .chain(extra.map(|name| tool(&name, &[], "Gives back its arguments as JSON.")))
        .collect()
}

fn tool(name: &str, arguments: &[(&str, &str)], about: &str) -> Value {
    let properties: serde_json::Map<_, _> = arguments
        .iter()
        .map(|(name, kind)| ((*name).to_owned(), json!({ "type": kind })))
        .collect();
    let required: Vec<_> = arguments.iter().map(|(name, _)| name).collect();
    let schema = json!({ "type": "object", "properties": properties, "required": required });
    json!({ "name": name, "description": about, "inputSchema": schema })
}

/// Begins a call; its answer is written later.
pub(crate) fn call(peer: &Arc<Peer>, id: Value, params: &Value) -> io::Result<()> {
    let name = text(params, "name");
    if let Some(file) = &peer.behavior.call_log {
        append(file, &format!("{name} {}\n", params["arguments"]))?;
    }
    if peer.behavior.on_call && !peer.has_begun_ill.swap(true, Ordering::Relaxed) {
        crate::after_handshake(peer)?;
    }
    let is_poisoned = |text: &String| params["arguments"].to_string().contains(text);
    if peer.behavior.die_on_call
        || name == "crash"
        || peer.behavior.poison.as_ref().is_some_and(is_poisoned)
    {
        die(peer.behavior.exit_code());
    }
    let (own, params) = (Arc::clone(peer), params.clone());
    let work = move || match run(&own, &name, &params) {
        Some(result) => own.result(&id, &result),
        None => own.error(&id, -32602, &format!("Invalid params: unknown tool {name}")),
    };
    if peer.behavior.single {
        work();
    } else {
        thread::spawn(work);
    }
    Ok(())
}

fn run(peer: &Peer, name: &str, params: &Value) -> Option<Value> {
    let arguments = &params["arguments"];
    let number = |member: &str| arguments[member].as_u64().unwrap_or_default();
    Some(match name {
        "echo" => said(&arguments.to_string()),
        "add" => {
            let sum = arguments["a"].as_f64()? + arguments["b"].as_f64()?;
            let mut result = said(&sum.to_string());
            result["structuredContent"] = json!({ "sum": sum });
            result
        }
        "sleep" => {
            thread::sleep(Duration::from_millis(number("ms")));
            said("slept")
        }
        "big" => said(&"x".repeat(usize::try_from(number("bytes")).ok()?)),
        "pid" => said(&std::process::id().to_string()),
        "fail" => {
            let mut result = said("it was told to fail");
            result["isError"] = json!(true);
            result
        }
        "progress" => progress(peer, &params["_meta"]["progressToken"], number("steps")),
        "log" => {
            let data = text(arguments, "text");
            peer.notify("notifications/message", &json!({ "level": "info", "data": data }));
            said("logged")
        }
        "sample" => {
            let content = json!({ "type": "text", "text": "hello" });
            let messages = json!([{ "role": "user", "content": content }]);
            let params = json!({ "messages": messages, "maxTokens": 10 });
            heard(&peer.ask("sampling/createMessage", &params))
        }
        "elicit" => {
            let schema =
                json!({ "type": "object", "properties": { "name": { "type": "string" } } });
            let params = json!({ "message": "who are you?", "requestedSchema": schema });
            heard(&peer.ask("elicitation/create", &params))
        }
        "roots" => heard(&peer.ask("roots/list", &json!({}))),
        "grow" => {
            peer.grown.fetch_add(1, Ordering::Relaxed);
            peer.notify("notifications/tools/list_changed", &json!({}));
            said("grown")
        }
        "touch" if peer.behavior.resources => touch(peer, &text(arguments, "uri")),
        _ if is_extra(peer, name) => said(&arguments.to_string()),
        _ => return None,
    })
}

fn is_extra(peer: &Peer, name: &str) -> bool {
    let is_one_of = |prefix, count| {
        name.strip_prefix(prefix)
            .and_then(|n| n.parse::<u64>().ok())
            .is_some_and(|n| (1..=count).contains(&n))
    };
    is_one_of("extra_", peer.behavior.tools.unwrap_or_default())
        || is_one_of("grown_", peer.grown.load(Ordering::Relaxed))
}

fn progress(peer: &Peer, token: &Value, steps: u64) -> Value {
    if !token.is_null() {
        for step in 1..=steps {
            let params = json!({ "progressToken": token, "progress": step, "total": steps });
            peer.notify("notifications/progress", &params);
        }
    }
    said(&format!("{steps} steps"))
}

fn touch(peer: &Peer, uri: &String) -> Value {
    let is_modern = peer.is_modern.load(Ordering::Relaxed);
    if is_modern || peer.subscribed.lock().expect("no panic").contains(uri) {
        peer.notify("notifications/resources/updated", &json!({ "uri": uri }));
        return said("told");
    }
    said("nobody wants to know")
}

fn said(text: &str) -> Value {
    json!({ "content": [{ "type": "text", "text": text }] })
}

/// The outcome of a request to the client, as JSON text.
fn heard(answer: &Value) -> Value {
    said(&answer.get("result").unwrap_or_else(|| &answer["error"]).to_string())
}
