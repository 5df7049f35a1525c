//! Clients of both eras at the same time: on one endpoint, and on one pipe.

use crate::{
    client::{Client, Pending, connect, text},
    gateway::{Gateway, Setup},
    stateless::{Stateless, VERSION, subscription, with_envelope},
    stdio::StdioClient,
};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::thread;

const LISTEN: &str = "subscriptions/listen";
const TOOLS_CHANGED: &str = "notifications/tools/list_changed";

/// A gateway in front of one server that records all it reads, and a legacy client that knows it.
fn recorded() -> (Setup, Gateway, Client) {
    let setup = Setup::new("");
    let record = setup.path("record");
    let setup = setup.server("good", &["--resources", "--record", &record]);
    let gateway = setup.serve();
    let client = gateway.client_of(&["add"]);
    (setup, gateway, client)
}

/// The messages of a method that the server read.
fn heard(setup: &Setup, method: &str) -> Vec<Value> {
    let messages = setup.lines("record").into_iter();
    messages
        .map(|line| serde_json::from_str::<Value>(&line).unwrap())
        .filter(|message| message["method"] == method)
        .collect()
}

/// Waits until the server read such a message; every round is a call that it answered.
fn wait_until_heard(
    setup: &Setup,
    client: &mut Client,
    method: &str,
    is_it: impl Fn(&Value) -> bool,
) -> Value {
    let rounds = (0..1_000).find_map(|_| {
        client.call("pid", &json!({}));
        heard(setup, method).into_iter().find(&is_it)
    });
    rounds.unwrap_or_else(|| panic!("{method} does not reach the server"))
}

#[test]
fn sessions_and_stateless_requests_share_an_endpoint_and_its_servers() {
    let (_setup, gateway, mut client) = recorded();
    let pid = text(&client.call("pid", &json!({}))).to_owned();
    let url = gateway.url();
    thread::scope(|scope| {
        for n in 0..4_u32 {
            let url = &url;
            scope.spawn(move || {
                let mut stateless = Stateless::new(url);
                for a in 0..25_u32 {
                    let result = stateless.call("add", &json!({ "a": a, "b": n }));
                    assert_eq!(
                        (text(&result), &result["resultType"]),
                        (&*(a + n).to_string(), &json!("complete"))
                    );
                }
            });
            scope.spawn(move || {
                let mut session = Client::connect(url);
                for a in 0..25_u32 {
                    let result = session.call("add", &json!({ "a": a, "b": n }));
                    assert_eq!(
                        (text(&result), &result["resultType"]),
                        (&*(a + n).to_string(), &Value::Null)
                    );
                }
            });
        }
    });
    let mut stateless = Stateless::new(&url);
    assert_eq!(text(&stateless.call("pid", &json!({}))), pid, "both reach the same server");
    assert_eq!(text(&client.call("pid", &json!({}))), pid);
}

#[test]
fn a_stateless_client_is_told_what_there_is_and_what_there_is_not() {
    let (_setup, gateway, _client) = recorded();
    let mut stateless = Stateless::new(&gateway.url());
    let found = stateless.request("server/discover", &json!({}));
    assert_eq!(found["supportedVersions"], json!([VERSION]));
    assert!(found["capabilities"].is_object() && found["ttlMs"].is_u64(), "{found}");
    let tools = stateless.request("tools/list", &json!({}));
    assert!(tools["tools"].as_array().is_some_and(|tools| !tools.is_empty()));
    assert!(tools["ttlMs"].is_u64() && tools["cacheScope"].is_string(), "{tools}");
    for gone in ["initialize", "ping", "logging/setLevel", "resources/subscribe", "no/such"] {
        let (status, answer) = stateless.ask(gone, &json!({}));
        assert_eq!((status, &answer["error"]["code"]), (404, &json!(-32601)), "{gone}: {answer}");
    }
    let (status, answer) = stateless.ask("tools/call", &json!({ "name": "nobody" }));
    assert_eq!((status, &answer["error"]["code"]), (200, &json!(-32602)), "{answer}");
}

#[test]
fn progress_comes_before_the_answer_of_a_stateless_call() {
    let (_setup, gateway, _client) = recorded();
    let mut stateless = Stateless::new(&gateway.url());
    let pending = stateless.begin(
        "tools/call",
        &json!({ "name": "progress", "arguments": { "steps": 5 }, "_meta": { "progressToken": "mine" } }),
    );
    for step in 1..=5 {
        let message = pending.next_of("notifications/progress");
        assert_eq!(
            (&message["params"]["progressToken"], &message["params"]["progress"]),
            (&json!("mine"), &json!(step))
        );
    }
    assert_eq!(text(&pending.next()["result"]), "5 steps");
    assert!(pending.ended().is_empty());
}

#[test]
fn who_leaves_cancels_a_stateless_call_and_no_other() {
    let (setup, gateway, mut client) = recorded();
    let mut stateless = Stateless::new(&gateway.url());
    let mut went = Vec::new();
    for (ms, is_stateless) in [(60_001, false), (60_002, true)] {
        let params = json!({ "name": "sleep", "arguments": { "ms": ms } });
        let pending = if is_stateless {
            stateless.begin("tools/call", &params)
        } else {
            client.begin("tools/call", &params)
        };
        let is_it = |message: &Value| message["params"]["arguments"]["ms"] == ms;
        let sent = wait_until_heard(&setup, &mut client, "tools/call", is_it);
        pending.vanish();
        went.push(sent["id"].clone());
    }
    let cancelled = wait_until_heard(&setup, &mut client, "notifications/cancelled", |_| true);
    assert_eq!(cancelled["params"]["requestId"], went[1], "{cancelled}");
    assert_eq!(heard(&setup, "notifications/cancelled").len(), 1, "the session's call goes on");
}

#[test]
fn subscriptions_hear_what_they_asked_for_until_the_end() {
    let (_setup, mut gateway, mut client) = recorded();
    let mut stateless = Stateless::new(&gateway.url());
    let resources = stateless.request("resources/list", &json!({}));
    let uri = resources["resources"][0]["uri"].clone();
    let tools = stateless.begin(LISTEN, &json!({ "notifications": { "toolsListChanged": true } }));
    let wanted = json!({ "notifications": { "resourceSubscriptions": [uri] } });
    let resources = stateless.begin(LISTEN, &wanted);
    for listen in [&tools, &resources] {
        assert_eq!(listen.head().status, 200);
        let first = listen.next();
        assert_eq!(first["method"], "notifications/subscriptions/acknowledged", "{first}");
        assert_eq!(subscription(&first), listen.id);
    }
    client.call("grow", &json!({}));
    let told = tools.next();
    assert_eq!((&told["method"], subscription(&told)), (&json!(TOOLS_CHANGED), &json!(tools.id)));
    // The upstream learns of the subscription a moment after the client did.
    let told = (0..1_000).find_map(|_| {
        client.call("touch", &json!({ "uri": uri }));
        resources.rest().into_iter().next()
    });
    let told = told.expect("the update is told");
    assert_eq!(told["method"], "notifications/resources/updated", "{told}");
    assert_eq!((&told["params"]["uri"], subscription(&told)), (&uri, &json!(resources.id)));
    gateway.signal(Signal::TERM);
    for listen in [tools, resources] {
        let rest = listen.ended();
        let last = rest.last().expect("the answer comes");
        assert_eq!((&last["id"], subscription(last)), (&json!(listen.id), &json!(listen.id)));
        let is_told = |message: &&Value| message["method"] == TOOLS_CHANGED;
        assert_eq!(rest.iter().filter(is_told).count(), 0, "{rest:?}");
    }
    assert_eq!(gateway.ended().code(), Some(0));
}

#[test]
fn both_eras_share_a_pipe() {
    let setup = Setup::new("").server("good", &[]);
    let mut pipe = StdioClient::start(&setup, &[]);
    let pid = text(&pipe.call("pid", &json!({}))).to_owned();
    let stateless = |params: &Value| with_envelope(params, &json!({}));
    let mut waiting = Vec::new();
    for a in 0..20_u32 {
        let params = json!({ "name": "add", "arguments": { "a": a, "b": 1 } });
        waiting.push((a, false, pipe.begin("tools/call", &params)));
        waiting.push((a, true, pipe.begin("tools/call", &stateless(&params))));
    }
    // Answers come in any order, so what is not the one that is looked for is kept.
    let mut answers = pipe.answers(waiting.len());
    for (a, is_stateless, id) in waiting {
        let answer = answers.remove(&id).unwrap_or_else(|| panic!("{id} was not answered"));
        assert_eq!(text(&answer["result"]), (a + 1).to_string());
        assert_eq!(answer["result"]["resultType"] == "complete", is_stateless, "{answer}");
    }
    let found = pipe.request("server/discover", &stateless(&json!({})));
    assert_eq!(found["result"]["supportedVersions"], json!([VERSION]));
    let ping = pipe.request("ping", &stateless(&json!({})));
    assert_eq!(ping["error"]["code"], -32601, "{ping}");
    assert_eq!(pipe.request("ping", &json!({}))["result"], json!({}));
    let bad = json!({ "_meta": { "io.modelcontextprotocol/protocolVersion": "2999-01-01" } });
    assert_eq!(pipe.request("tools/list", &bad)["error"]["code"], -32022);
    assert_eq!(text(&pipe.call("pid", &json!({}))), pid);
    pipe.leave();
    assert_eq!(pipe.gateway.ended().code(), Some(0));
}

#[test]
fn several_subscriptions_share_a_pipe_and_end_one_by_one() {
    let setup = Setup::new("").server("good", &[]);
    let mut pipe = StdioClient::start(&setup, &[]);
    pipe.call("pid", &json!({}));
    let wanted = json!({ "notifications": { "toolsListChanged": true } });
    let ids: Vec<_> = (0..3)
        .map(|_| {
            let id = pipe.begin(LISTEN, &with_envelope(&wanted, &json!({})));
            let is_it = |message: &Value| {
                message["method"] == "notifications/subscriptions/acknowledged"
                    && *subscription(message) == id
            };
            pipe.wait(is_it);
            id
        })
        .collect();
    pipe.begin("tools/call", &json!({ "name": "grow", "arguments": {} }));
    let mut told: Vec<_> = (0..4)
        .map(|_| {
            let message = pipe.wait(|message| message["method"] == TOOLS_CHANGED);
            subscription(&message).as_u64().unwrap_or(0)
        })
        .collect();
    told.sort_unstable();
    assert_eq!(told, [0, ids[0], ids[1], ids[2]], "the session itself hears of it too");
    pipe.notify("notifications/cancelled", &json!({ "requestId": ids[1] }));
    pipe.call("pid", &json!({}));
    pipe.gateway.signal(Signal::TERM);
    let mut answered = pipe.answers(2);
    for id in [ids[0], ids[2]] {
        let answer = answered.remove(&id).unwrap_or_else(|| panic!("{id} was not answered"));
        assert_eq!(subscription(&answer), id);
    }
    assert_eq!(pipe.gateway.ended().code(), Some(0));
}

#[test]
fn a_client_of_the_first_revision_finds_its_stream() {
    let (_setup, gateway, _client) = recorded();
    let url = gateway.url();
    let (address, _) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let get = format!("GET /sse HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n\r\n");
    let stream = Pending::begin(address, 0, get);
    let place = stream.next_text();
    let mut wire = connect(address);
    let mut post = |message: &Value| {
        let body = message.to_string();
        let request = format!(
            "POST {place} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let head = wire.exchange(request.as_bytes(), |_| {}, |body| panic!("{body}")).unwrap();
        assert_eq!(head.status, 202);
    };
    post(&json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2024-11-05", "capabilities": {},
        "clientInfo": { "name": "old", "version": "0" } } }));
    let answer = stream.next();
    assert_eq!(answer["result"]["protocolVersion"], "2024-11-05", "{answer}");
    post(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    post(&json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call",
        "params": { "name": "add", "arguments": { "a": 1, "b": 2 } } }));
    let answer = (0..100).map(|_| stream.next()).find(|message| message["id"] == 2).unwrap();
    assert_eq!(text(&answer["result"]), "3");
    stream.vanish();
    let gone = (0..1_000).any(|_| {
        let note = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        let request = format!(
            "POST {place} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{note}",
            note.len()
        );
        connect(address).exchange(request.as_bytes(), |_| {}, |_| {}).unwrap().status == 404
    });
    assert!(gone, "the session ends with its stream");
}
