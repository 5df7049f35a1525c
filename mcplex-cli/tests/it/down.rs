//! What a client reads while an upstream is down.

use crate::{
    client::{Client, text},
    gateway::{Gateway, Setup},
};
use mcplex_proto::{error, upstream::UNAVAILABLE_META};
use serde_json::{Value, json};

/// Comes back at once.
const FAST: &str = "backoff_first = \"20ms\"\nbackoff_factor = 1";

/// Does not come back within a test, and nobody waits for it.
const AWAY: &str = "backoff_first = \"60s\"\nbackoff_max = \"60s\"\nqueue_wait = \"50ms\"";

fn frail(toml: &str, supervise: &str) -> (Setup, Gateway, Client) {
    let setup = Setup::new(toml);
    let calls = setup.path("calls");
    let flags = ["--call-log", &calls, "--resources", "--stderr", "it begins"];
    let setup = setup.server_with("frail", &flags, supervise).server("other", &["--tools", "1"]);
    let gateway = setup.serve();
    let client = gateway.client_of(&["frail__crash", "extra_1"]);
    (setup, gateway, client)
}

fn crash(client: &mut Client) -> Value {
    client.call("frail__crash", &json!({}))
}

fn add(client: &mut Client) -> Value {
    client.call("frail__add", &json!({ "a": 1, "b": 2 }))
}

/// The structured reason of a refusal.
#[track_caller]
fn reason(result: &Value, code: i64) -> &Value {
    assert_eq!(result["isError"], true, "{result}");
    let reason = &result["_meta"][UNAVAILABLE_META];
    assert_eq!(reason["code"], code, "{result}");
    assert_eq!(reason["server"], "frail", "{result}");
    reason
}

#[test]
fn a_call_in_flight_fails_once_and_is_not_repeated() {
    let (setup, gateway, mut client) = frail("", FAST);
    let result = crash(&mut client);
    let why = reason(&result, error::UPSTREAM_DIED);
    assert_eq!([&why["sent"], &why["outcome"]], [&json!(true), &json!("unknown")]);
    let sentence = text(&result);
    assert!(sentence.contains("frail") && sentence.contains("it begins"), "{sentence}");
    // The next life serves what comes now, and was never asked what killed the one before.
    gateway.wait_events("frail", "upstream connected", 2);
    assert_eq!(text(&add(&mut client)), "3");
    let calls = setup.lines("calls");
    assert_eq!(calls.iter().filter(|line| line.starts_with("crash")).count(), 1, "{calls:?}");
}

#[test]
fn a_call_while_it_comes_back_waits_and_is_served() {
    let back_soon = "backoff_first = \"400ms\"\nbackoff_factor = 1";
    let (_setup, gateway, mut client) = frail("", back_soon);
    crash(&mut client);
    let waiting = client.begin_call("frail__add", &json!({ "a": 1, "b": 2 }));
    assert_eq!(text(&waiting.answer()["result"]), "3");
    assert_eq!(gateway.wait_events("frail", "upstream connected", 2).len(), 2);
}

#[test]
fn a_call_that_waited_too_long_is_told_so() {
    let (setup, _gateway, mut client) = frail("", AWAY);
    crash(&mut client);
    let result = add(&mut client);
    let why = reason(&result, error::UPSTREAM_UNAVAILABLE);
    assert_eq!(why["sent"], false, "{result}");
    assert!(why["retryAfterMs"].as_u64().unwrap() > 10_000, "{result}");
    assert!(text(&result).contains("not sent"), "{result}");
    assert_eq!(setup.lines("calls").len(), 1);
}

#[test]
fn a_call_beyond_the_queue_is_refused_at_once() {
    let supervise =
        "backoff_first = \"60s\"\nbackoff_max = \"60s\"\nqueue_limit = 1\nqueue_wait = \"1s\"";
    let (_setup, _gateway, mut client) = frail("", supervise);
    crash(&mut client);
    let arguments = json!({ "a": 1, "b": 2 });
    let both: Vec<_> = (0..2).map(|_| client.begin_call("frail__add", &arguments)).collect();
    let mut answers: Vec<_> = both.iter().map(|call| call.answer()["result"].take()).collect();
    // Which of them came first is theirs to settle.
    answers.sort_by_key(|answer| answer["_meta"][UNAVAILABLE_META]["code"].as_i64());
    let why = reason(&answers[0], error::QUEUE_FULL);
    assert_eq!([&why["sent"], &why["limit"]], [&json!(false), &json!(1)]);
    reason(&answers[1], error::UPSTREAM_UNAVAILABLE);
}

#[test]
fn a_call_while_tripped_is_refused_with_the_last_words() {
    let (setup, gateway, mut client) = frail("", &format!("{FAST}\nmax_deaths = 0"));
    crash(&mut client);
    gateway.wait_event("frail", "upstream tripped");
    let result = add(&mut client);
    let why = reason(&result, error::UPSTREAM_TRIPPED);
    assert_eq!([&why["sent"], &why["trips"]], [&json!(false), &json!(1)]);
    assert!(text(&result).contains("it begins"), "{result}");
    assert_eq!(text(&client.call("other__add", &json!({ "a": 1, "b": 2 }))), "3");
    assert_eq!(setup.lines("calls").len(), 1);
}

#[test]
fn what_is_no_tool_call_fails_with_an_error() {
    let (_setup, _gateway, mut client) = frail("", AWAY);
    crash(&mut client);
    let answer = client.request("resources/read", &json!({ "uri": "fake://note/1" }));
    assert_eq!(answer["error"]["code"], error::UPSTREAM_UNAVAILABLE, "{answer}");
    assert_eq!(answer["error"]["data"]["server"], "frail");
}

#[test]
fn a_tool_call_fails_with_an_error_where_it_is_asked_to() {
    let (_setup, _gateway, mut client) = frail("[router]\ndown_reply = \"error\"", AWAY);
    let params = json!({ "name": "frail__crash", "arguments": {} });
    let answer = client.request("tools/call", &params);
    assert_eq!(answer["error"]["code"], error::UPSTREAM_DIED, "{answer}");
}

#[test]
fn lists_stay_while_it_is_down() {
    let (_setup, gateway, mut client) = frail("", &format!("{AWAY}\nmax_deaths = 1"));
    let before = client.request_raw("tools/list", "{}");
    let resources = client.request("resources/list", &json!({}))["result"].take();
    crash(&mut client);
    assert_eq!(without_id(&before), without_id(&client.request_raw("tools/list", "{}")));
    gateway.wait_event("frail", "upstream will be started again");
    assert_eq!(client.request("resources/list", &json!({}))["result"], resources);
}

fn without_id(answer: &str) -> &str {
    &answer[answer.find("\"result\"").unwrap()..]
}

#[test]
fn a_crash_loop_with_the_same_tools_is_no_change() {
    let toml = "[router]\nlist_changed_interval = \"1ms\"";
    let (_setup, gateway, mut client) =
        frail(toml, &format!("{FAST}\nmax_deaths = 100\nmax_run = 100"));
    let stream = client.listen();
    let before = client.tools();
    for life in 2..=6 {
        crash(&mut client);
        gateway.wait_events("frail", "upstream connected", life);
        // Served after the lists of this life were asked for.
        assert_eq!(text(&add(&mut client)), "3");
        assert_eq!(client.tools(), before);
    }
    client.call("other__grow", &json!({}));
    // The last change of the start may be told late, and the real one is told; five lives are not.
    let told = (1..=5).find(|_| {
        stream.next_of("notifications/tools/list_changed");
        client.tools().iter().any(|tool| tool == "grown_1")
    });
    assert!(told.is_some_and(|count| count <= 2), "{told:?} changes were told");
}
