//! What goes through: calls, lists and messages of servers, as they were written.

use crate::{
    client::{Client, text},
    gateway::{Gateway, Setup},
    stateless::Stateless,
};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, io, net::TcpListener};

/// A gateway in front of one server that records all it reads.
fn recorded(flags: &[&str]) -> (Setup, Gateway, Client) {
    let setup = Setup::new("");
    let record = setup.path("record");
    let setup = setup.server("good", &[flags, &["--record", &record]].concat());
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

/// Waits until the server read a message; every round is a call that it answered.
fn wait_until_heard(setup: &Setup, client: &mut Client, method: &str) -> Value {
    let rounds = (0..1_000).find_map(|_| {
        client.call("pid", &json!({}));
        heard(setup, method).pop()
    });
    rounds.unwrap_or_else(|| panic!("{method} does not reach the server"))
}

#[test]
fn progress_comes_in_order_and_before_the_answer() {
    let (_setup, _gateway, mut client) = recorded(&[]);
    let pending = client.begin(
        "tools/call",
        &json!({ "name": "progress", "arguments": { "steps": 20 }, "_meta": { "progressToken": "mine" } }),
    );
    for step in 1..=20 {
        let message = pending.next();
        assert_eq!(message["method"], "notifications/progress", "{message}");
        let expected = json!({ "progressToken": "mine", "progress": step, "total": 20 });
        assert_eq!(message["params"], expected);
    }
    assert_eq!(text(&pending.next()["result"]), "20 steps");
}

#[test]
fn no_id_is_used_twice_toward_a_server() {
    let (setup, gateway, mut one) = recorded(&[]);
    // Both clients count from the same number.
    let mut two = gateway.client_of(&["add"]);
    let pause = json!({ "ms": 1 });
    let calls = |client: &mut Client| -> Vec<_> {
        (0..20).map(|_| client.begin_call("sleep", &pause)).collect()
    };
    let (ones, twos) = (calls(&mut one), calls(&mut two));
    for call in ones.into_iter().chain(twos) {
        assert_eq!(text(&call.answer()["result"]), "slept");
    }
    let read = |line: String| serde_json::from_str::<Value>(&line).unwrap()["id"].as_u64();
    let ids: Vec<_> = setup.lines("record").into_iter().filter_map(read).collect();
    let different: BTreeSet<_> = ids.iter().collect();
    assert!(ids.len() > 40 && different.len() == ids.len(), "{ids:?}");
}

#[test]
fn a_cancelled_call_is_cancelled_at_its_upstream() {
    let (setup, _gateway, mut client) = recorded(&[]);
    let pending = client.begin_call("sleep", &json!({ "ms": 60_000 }));
    let is_sleep = |message: &Value| message["params"]["name"] == "sleep";
    let sent = (0..1_000).find_map(|_| {
        client.call("pid", &json!({}));
        heard(&setup, "tools/call").into_iter().find(is_sleep)
    });
    let sent = sent.expect("the call reaches the server");
    client.notify(
        "notifications/cancelled",
        &json!({ "requestId": pending.id, "reason": "enough of it" }),
    );
    let cancelled = wait_until_heard(&setup, &mut client, "notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], sent["id"], "{cancelled}");
    assert_eq!(cancelled["params"]["reason"], "enough of it");
    assert!(pending.ended().is_empty(), "a cancelled call has no answer");
}

#[test]
fn a_hung_server_delays_no_other() {
    let setup = Setup::new("")
        .server("silent", &["--never-answer-initialize"])
        .server("deaf", &["--stop-reading"])
        .server("slow", &["--init-delay", "60000"])
        .server("good", &[]);
    let gateway = setup.serve();
    let mut client = gateway.client_of(&["add"]);
    gateway.wait_event("deaf", "upstream connected");
    for _ in 0..3 {
        assert_eq!(client.tools().len(), 13);
        assert_eq!(text(&client.call("add", &json!({ "a": 1, "b": 2 }))), "3");
    }
}

#[test]
fn lines_that_are_no_messages_are_skipped() {
    let (_setup, gateway, mut client) = recorded(&["--garbage"]);
    assert_eq!(text(&client.call("add", &json!({ "a": 1, "b": 2 }))), "3");
    assert!(gateway.events("good", "upstream died").is_empty());
}

#[test]
fn all_pages_are_followed() {
    let (_setup, _gateway, mut client) =
        recorded(&["--tools", "25", "--pages", "4", "--resources", "--prompts"]);
    let tools = client.tools();
    assert_eq!(tools.len(), 14 + 25, "{tools:?}");
    assert_eq!(tools.last().unwrap(), "extra_25");
    assert_eq!(tools[0], "echo");
    for (method, member, count) in
        [("resources/list", "resources", 3), ("prompts/list", "prompts", 2)]
    {
        let answer = client.request(method, &json!({}));
        assert_eq!(answer["result"][member].as_array().unwrap().len(), count, "{answer}");
    }
}

#[test]
fn equal_names_are_told_apart() {
    let setup = Setup::new("").server("one", &["--tools", "2"]).server("two", &["--tools", "1"]);
    let gateway = setup.serve();
    let mut client = gateway.client_of(&["one__pid", "two__pid"]);
    let tools = client.tools();
    let has = |name: &str| tools.iter().any(|tool| tool == name);
    assert!(!has("pid") && has("one__extra_1") && has("two__extra_1"), "{tools:?}");
    assert!(has("extra_2"), "what only one has keeps its name: {tools:?}");
    let one = client.call("one__pid", &json!({}));
    let two = client.call("two__pid", &json!({}));
    assert_ne!(text(&one), text(&two));
    // Still the same two, now by other names of theirs.
    assert_eq!(client.call("one__pid", &json!({})), one);
}

#[test]
fn what_a_client_writes_reaches_the_server_byte_for_byte() {
    const ARGUMENTS: &str =
        r#"{"z":1.50,"a":[1e40, 0.10 ,-0],"text":"\u00e9\/ é","z2":12345678901234567890123}"#;
    let (setup, _gateway, mut client) = recorded(&[]);
    let params =
        format!(r#"{{"unknown":{{"b":2.0,"a":1}},"name":"sleep","arguments":{ARGUMENTS}}}"#);
    client.request_raw("tools/call", &params);
    let lines = setup.lines("record");
    let line = lines.iter().find(|line| line.contains("\"sleep\"")).unwrap();
    assert!(line.contains(ARGUMENTS), "{line}");
    assert!(line.contains(r#""unknown":{"b":2.0,"a":1}"#), "{line}");
}

/// A tool with everything that a rewrite would change.
const TOOL: &str = r#"{"x-vendor":{"b":1.50,"a":1e2},"name":"odd","title":"Od\u0064","inputSchema":{"type":"object","properties":{"z":{"default":0.10},"a":{}}},"zz":12345678901234567890123,"annotations":{"readOnlyHint":true}}"#;

/// A result with the same.
const RESULT: &str = r#"{"structuredContent":{"z":1.50,"a":100e-2},"x-more":[1,  2],"content":[{"type":"text","text":"\u00e9"}],"isError":false}"#;

/// A server that knows nothing but its bytes; a JSON library would write its own.
const SERVER: &str = r#"
while read -r line; do
  id=${line#*\"id\":}
  id=${id%%[,\}]*}
  case $line in
    *'"initialize"'*) answer='{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"odd","version":"1"}}' ;;
    *'"tools/list"'*) answer="{\"tools\":[$(cat tool)]}" ;;
    *'"tools/call"'*) answer=$(cat result) ;;
    *) continue ;;
  esac
  printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$answer"
done
"#;

#[test]
fn what_a_server_writes_reaches_the_client_byte_for_byte() {
    let setup = Setup::new("[[servers]]\nname = \"odd\"\ncommand = \"sh\"\nargs = [\"server\"]");
    for (file, text) in [("server", SERVER), ("tool", TOOL), ("result", RESULT)] {
        fs::write(setup.file(file), text).unwrap();
    }
    let gateway = setup.serve();
    let mut client = gateway.client_of(&["odd"]);
    let list = client.request_raw("tools/list", "{}");
    assert!(list.contains(TOOL), "{list}");
    let answer = client.request_raw("tools/call", r#"{"name":"odd","arguments":{}}"#);
    assert!(answer.contains(RESULT), "{answer}");
}

#[test]
fn what_a_server_names_is_fetched_by_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = format!("http://{}/x", listener.local_addr().unwrap());
    let schema = format!(r#"{{"type":"object","properties":{{"a":{{"$ref":"{there}#/a"}}}}}}"#);
    let tool = format!(
        r#"{{"name":"odd","icons":[{{"src":"{there}"}}],"inputSchema":{schema},"outputSchema":{schema}}}"#
    );
    let result = format!(
        r#"{{"content":[{{"type":"resource_link","name":"n","uri":"{there}"}}],"structuredContent":{{"a":1}}}}"#
    );
    let setup = Setup::new("[[servers]]\nname = \"odd\"\ncommand = \"sh\"\nargs = [\"server\"]");
    for (file, text) in [("server", SERVER), ("tool", &tool), ("result", &result)] {
        fs::write(setup.file(file), text).unwrap();
    }
    let mut gateway = setup.serve();
    let mut client = gateway.client_of(&["odd"]);
    assert!(client.request_raw("tools/list", "{}").contains(&tool));
    let (called, mut stateless) = (client.call("odd", &json!({})), Stateless::new(&gateway.url()));
    assert_eq!(called["content"], stateless.call("odd", &json!({}))["content"]);
    assert!(stateless.request("tools/list", &json!({})).to_string().contains(&there));
    gateway.signal(Signal::TERM);
    gateway.ended();
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn a_subscriber_hears_that_a_resource_changed() {
    let (setup, _gateway, mut client) = recorded(&["--resources"]);
    let stream = client.listen();
    let uri = json!({ "uri": "fake://note/2" });
    let answer = client.request("resources/subscribe", &uri);
    assert_eq!(answer["result"], json!({}), "{answer}");
    assert_eq!(text(&client.call("touch", &uri)), "told");
    assert_eq!(stream.next_of("notifications/resources/updated")["params"], uri);
    client.request("resources/unsubscribe", &uri);
    assert_eq!(text(&client.call("touch", &uri)), "nobody wants to know");
    assert_eq!(heard(&setup, "resources/subscribe").len(), 1);
}

#[test]
fn a_new_life_is_subscribed_again() {
    let fast = "backoff_first = \"20ms\"\nbackoff_factor = 1";
    let setup = Setup::new("").server_with("good", &["--resources"], fast);
    let gateway = setup.serve();
    let mut client = gateway.client_of(&["touch"]);
    let stream = client.listen();
    let uri = json!({ "uri": "fake://note/2" });
    client.request("resources/subscribe", &uri);
    client.call("crash", &json!({}));
    gateway.wait_events("good", "upstream connected", 2);
    let is_told = (0..1_000).any(|_| text(&client.call("touch", &uri)) == "told");
    assert!(is_told, "the new life knows no subscriber");
    stream.next_of("notifications/resources/updated");
}

#[test]
fn templates_prompts_and_completions_go_through() {
    let (_setup, _gateway, mut client) = recorded(&["--resources", "--prompts"]);
    let answer = client.request("resources/read", &json!({ "uri": "fake://note/7" }));
    assert_eq!(answer["result"]["contents"][0]["text"], "note 7", "{answer}");
    let answer =
        client.request("prompts/get", &json!({ "name": "greet_1", "arguments": { "who": "Ada" } }));
    let said = &answer["result"]["messages"][0]["content"]["text"];
    assert_eq!(said, "Say hello to Ada.", "{answer}");
    let answer = client.request(
        "completion/complete",
        &json!({ "ref": { "type": "ref/prompt", "name": "greet_1" },
                 "argument": { "name": "who", "value": "x" } }),
    );
    assert_eq!(answer["result"]["completion"]["values"], json!(["xada", "xbob"]), "{answer}");
}

#[test]
fn log_messages_come_at_the_level_that_was_set() {
    let (setup, _gateway, mut client) = recorded(&[]);
    let stream = client.listen();
    let answer = client.request("logging/setLevel", &json!({ "level": "info" }));
    assert_eq!(answer["result"], json!({}), "{answer}");
    let told = wait_until_heard(&setup, &mut client, "logging/setLevel");
    assert_eq!(told["params"]["level"], "info", "{told}");
    let call = client.begin_call("log", &json!({ "text": "one" }));
    // With its call, or on the stream: both are right.
    let before = call.ended();
    let is_log = |message: &Value| message["method"] == "notifications/message";
    let message = before.into_iter().find(is_log);
    let message = message.unwrap_or_else(|| stream.next_of("notifications/message"));
    assert_eq!(message["params"]["data"], "one", "{message}");
}
