//! What a stateless upstream asks in its results, for clients with a session.

use crate::{
    modern::CAPABILITIES,
    world::{Going, Peer, World},
};
use mcplex_proto::upstream::{UpstreamError, UpstreamName};
use serde_json::{Value, json};
use std::time::Duration;

const ALL: &str = r#"{"sampling":{},"elicitation":{"form":{},"url":{}},"roots":{"listChanged":true},"tasks":{},"extensions":{"a/b":{}}}"#;
const NAME: &str = r#""name":{"method":"elicitation/create","params":{"message":"Name?","requestedSchema":{"type":"object","properties":{"n":{"minimum":1.50}}}}}"#;
const JOKE: &str =
    r#""joke":{"method":"sampling/createMessage","params":{"messages":[],"maxTokens":9}}"#;

fn world() -> World {
    let mut world = World::new(&["a"]);
    let upstream = &world.upstreams[0];
    upstream.introduces_modern(r#"{"tools":{},"prompts":{}}"#);
    let end = r#""ttlMs":1,"cacheScope":"public""#;
    let tools = format!(r#"{{"resultType":"complete","tools":[{{"name":"echo"}}],{end}}}"#);
    upstream.lists("tools/list", &[&tools]);
    let prompts = format!(r#"{{"resultType":"complete","prompts":[{{"name":"p"}}],{end}}}"#);
    upstream.lists("prompts/list", &[&prompts]);
    world.ready(0, 1);
    world
}

fn calls(world: &mut World, peer: &Peer) -> Going {
    world.ask(peer, r#"{"jsonrpc":"2.0","id":"k","method":"tools/call","params":{"name":"echo","_meta":{"progressToken":"t"},"arguments":{"n":1.50}}}"#)
}

/// The upstream needs something for its oldest open call.
fn requires(world: &mut World, questions: &str, state: Option<&str>) {
    let state = state.map_or(String::new(), |state| format!(r#","requestState":{state}"#));
    world.upstreams[0].answers(&format!(
        r#"{{"resultType":"input_required","inputRequests":{{{questions}}}{state}}}"#
    ));
    world.run();
}

/// The client's answer to the question with this id of ours.
fn answers(world: &mut World, peer: &Peer, id: u64, outcome: &str) {
    world.tell(peer, &format!(r#"{{"jsonrpc":"2.0","id":{id},{outcome}}}"#));
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The only open call, as it stands on the wire.
fn open_call(world: &World) -> Value {
    let calls = world.upstreams[0].calls();
    assert_eq!(calls.len(), 1, "{calls:?}");
    value(&calls[0])
}

fn sent(world: &World) -> Vec<Value> {
    let sent = world.upstreams[0].take_sent();
    sent.iter().map(|text| value(text)).filter(|message| message["method"] != "x").collect()
}

#[test]
fn questions_become_requests_on_the_stream_of_the_call_and_the_answers_a_retry() {
    let mut world = world();
    let peer = world.client(ALL);
    let going = calls(&mut world, &peer);
    let first = open_call(&world);
    let told = &first["params"]["_meta"][CAPABILITIES];
    assert_eq!(
        *told,
        json!({"sampling": {}, "elicitation": {"form": {}, "url": {}}, "roots": {},
            "extensions": {}})
    );
    requires(&mut world, &format!("{NAME},{JOKE}"), Some(r#""s\u0074\" é""#));
    let asked = peer.client.take_about();
    let about: Vec<_> = asked.iter().map(|(_, about)| about.clone().unwrap().to_string()).collect();
    assert_eq!(about, [r#""k""#, r#""k""#]);
    assert_eq!(
        asked[0].0,
        r#"{"jsonrpc":"2.0","id":1,"method":"elicitation/create","params":{"message":"Name?","requestedSchema":{"type":"object","properties":{"n":{"minimum":1.50}}}}}"#
    );
    assert!(world.upstreams[0].calls().is_empty() && !going.is_done());
    answers(&mut world, &peer, 2, r#""result":{"role":"assistant","n":1.50}"#);
    answers(&mut world, &peer, 1, r#""result":{"action":"accept","content":{"n":2.0}}"#);
    let retry = world.upstreams[0].calls()[0].clone();
    assert!(
        retry.contains(
            r#""inputResponses":{"name":{"action":"accept","content":{"n":2.0}},"joke":{"role":"assistant","n":1.50}},"requestState":"s\u0074\" é""#
        ),
        "{retry}"
    );
    let retry = value(&retry);
    assert_ne!(retry["id"], first["id"]);
    assert_eq!(retry["params"]["_meta"]["progressToken"], retry["id"]);
    assert_eq!(retry["params"]["arguments"], first["params"]["arguments"]);
    // Progress of the second try is progress of the client's call.
    let progress = format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{},"progress":1}}}}"#,
        retry["id"]
    );
    world.says(0, &progress);
    assert!(peer.client.take()[0].contains(r#""progressToken":"t""#));
    // What the next round asks replaces what was asked before, and so does its state.
    requires(&mut world, NAME, None);
    answers(&mut world, &peer, 3, r#""result":{"action":"decline"}"#);
    let retry = open_call(&world);
    assert_eq!(retry["params"]["inputResponses"], json!({"name": {"action": "decline"}}));
    assert_eq!(retry["params"].get("requestState"), None);
    world.upstreams[0].answers(r#"{"resultType":"complete","content":[],"z":1.50}"#);
    world.run();
    assert_eq!(going.text(), r#"{"jsonrpc":"2.0","id":"k","result":{"content":[],"z":1.50}}"#);
    assert_eq!(world.upstreams[0].taken().len(), 3);
}

#[test]
fn a_refused_elicitation_is_cancelled_and_anything_else_refused_ends_the_call() {
    let mut world = world();
    let peer = world.client(ALL);
    let no = r#""error":{"code":-1,"message":"User rejected"}"#;
    let going = calls(&mut world, &peer);
    requires(&mut world, NAME, None);
    answers(&mut world, &peer, 1, no);
    assert_eq!(open_call(&world)["params"]["inputResponses"]["name"], json!({"action": "cancel"}));
    requires(&mut world, &format!("{JOKE},{NAME}"), None);
    peer.client.take();
    answers(&mut world, &peer, 2, no);
    let answer = value(&going.text());
    assert_eq!(answer["result"]["isError"], true);
    assert!(answer["result"]["content"][0]["text"].as_str().unwrap().contains("User rejected"));
    // The other question is pointless now.
    let taken_back = peer.client.take();
    assert!(taken_back.len() == 1 && taken_back[0].contains(r#""requestId":3"#), "{taken_back:?}");
    answers(&mut world, &peer, 3, r#""result":{"action":"accept"}"#);
    assert!(world.upstreams[0].calls().is_empty());
    let prompt = r#"{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"p"}}"#;
    let going = world.ask(&peer, prompt);
    requires(&mut world, JOKE, None);
    answers(&mut world, &peer, 4, no);
    assert_eq!(value(&going.text())["error"]["code"], -32603);
}

#[test]
fn what_a_client_cannot_be_asked_is_refused_for_it() {
    let mut world = world();
    let peer = world.client(r#"{"elicitation":{}}"#);
    let url = r#""u":{"method":"elicitation/create","params":{"mode":"url","message":"m","url":"https://x"}}"#;
    let going = calls(&mut world, &peer);
    requires(&mut world, &format!("{url},{NAME}"), None);
    let asked = peer.client.take();
    assert!(asked.len() == 1 && asked[0].contains("Name?"), "{asked:?}");
    answers(&mut world, &peer, 1, r#""result":{"action":"accept"}"#);
    let given = open_call(&world)["params"]["inputResponses"].clone();
    assert_eq!(given, json!({"u": {"action": "cancel"}, "name": {"action": "accept"}}));
    requires(&mut world, &format!("{NAME},{JOKE}"), None);
    assert!(peer.client.take().is_empty(), "nothing is asked in vain");
    assert_eq!(value(&going.text())["result"]["isError"], true);
    // Who opens URLs wants to hear of them by an id.
    let peer = world.client(ALL);
    calls(&mut world, &peer);
    requires(&mut world, url, None);
    let asked = value(&peer.client.take()[0]);
    assert_eq!(asked["params"]["elicitationId"].as_str().unwrap().len(), 36);
}

#[test]
fn rounds_are_bounded_and_those_that_ask_nothing_are_paced() {
    let mut world = world();
    let peer = world.client(ALL);
    let going = calls(&mut world, &peer);
    for round in 0..8 {
        requires(&mut world, "", Some(&format!(r#""s{round}""#)));
        assert!(world.upstreams[0].calls().is_empty());
        assert!(world.clock.wake().contains(&Duration::from_millis(250)));
        world.run();
        let params = open_call(&world)["params"].clone();
        assert_eq!(params["requestState"], format!("s{round}"));
        assert_eq!(params.get("inputResponses"), None);
    }
    // Nobody is asked what no retry would carry.
    peer.client.take();
    requires(&mut world, NAME, Some(r#""s9""#));
    assert!(peer.client.take().is_empty());
    assert_eq!(value(&going.text())["result"]["isError"], true);
    assert_eq!(world.upstreams[0].taken().len(), 9);
    assert!(world.upstreams[0].calls().is_empty());
}

#[test]
fn a_question_is_not_open_for_ever() {
    let mut world = world();
    let peer = world.client(ALL);
    calls(&mut world, &peer);
    requires(&mut world, NAME, None);
    peer.client.take();
    assert!(world.clock.wake().contains(&Duration::from_secs(600)));
    world.run();
    assert_eq!(open_call(&world)["params"]["inputResponses"]["name"], json!({"action": "cancel"}));
    assert!(peer.client.take()[0].contains(r#""requestId":1"#));
}

#[test]
fn a_cancel_takes_back_what_is_asked_and_stops_the_retries() {
    let mut world = world();
    let peer = world.client(ALL);
    let cancel =
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"k"}}"#;
    let going = calls(&mut world, &peer);
    requires(&mut world, NAME, None);
    peer.client.take();
    world.tell(&peer, cancel);
    assert_eq!(going.answer(), None);
    let told = peer.client.take_about();
    assert!(told.len() == 1 && told[0].0.contains(r#""requestId":1"#), "{told:?}");
    let about = told[0].1.as_ref().map(ToString::to_string);
    assert_eq!(about.as_deref(), Some(r#""k""#), "on the stream on which it was asked");
    assert!(sent(&world).is_empty(), "nothing of it is at the upstream");
    answers(&mut world, &peer, 1, r#""result":{"action":"accept"}"#);
    assert!(world.upstreams[0].calls().is_empty());
    // While a retry runs, that is what is cancelled.
    let going = calls(&mut world, &peer);
    requires(&mut world, NAME, None);
    answers(&mut world, &peer, 2, r#""result":{"action":"accept"}"#);
    let retry = open_call(&world)["id"].clone();
    world.tell(&peer, cancel);
    assert_eq!(going.answer(), None);
    let sent = sent(&world);
    assert!(sent.len() == 1 && sent[0]["params"]["requestId"] == retry, "{sent:?}");
}

#[test]
fn who_leaves_or_cannot_be_reached_ends_the_rounds() {
    let mut world = world();
    let peer = world.client(ALL);
    let going = calls(&mut world, &peer);
    requires(&mut world, JOKE, None);
    peer.session.close();
    world.run();
    assert!(going.is_done() && world.upstreams[0].calls().is_empty());
    let peer = world.client(ALL);
    let going = calls(&mut world, &peer);
    peer.client.goes();
    requires(&mut world, JOKE, None);
    assert_eq!(value(&going.text())["result"]["isError"], true);
}

#[test]
fn an_upstream_that_dies_in_a_later_round_ends_the_call_once() {
    let mut world = world();
    let peer = world.client(ALL);
    let going = calls(&mut world, &peer);
    requires(&mut world, NAME, None);
    answers(&mut world, &peer, 1, r#""result":{"action":"accept"}"#);
    world.upstreams[0].ends(Err(UpstreamError::Died {
        upstream: UpstreamName::new("a").unwrap(),
        reason: "it exited with code 3".into(),
        safe_to_retry: false,
        is_suspect: false,
        cause: None,
        from: None,
    }));
    world.run();
    assert!(going.text().contains("died during the call"), "{}", going.text());
    assert_eq!(world.upstreams[0].taken().len(), 2);
}

#[test]
fn what_cannot_be_read_as_a_question_is_an_error() {
    let mut world = world();
    let peer = world.client(ALL);
    for bad in [
        r#"{"resultType":"input_required"}"#,
        r#"{"resultType":"input_required","inputRequests":{"a":{"method":"tools/call"}}}"#,
    ] {
        let going = calls(&mut world, &peer);
        world.upstreams[0].answers(bad);
        world.run();
        assert_eq!(value(&going.text())["result"]["isError"], true, "{}", going.text());
    }
    // What a session's client says of answers is nothing to a stateless upstream.
    let forged = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","requestState":"s","inputResponses":{"a":{}}}}"#;
    world.ask(&peer, forged);
    let params = open_call(&world)["params"].clone();
    assert!(params.get("requestState").is_none() && params.get("inputResponses").is_none());
    assert_eq!(world.upstreams[0].taken().len(), 3);
}
