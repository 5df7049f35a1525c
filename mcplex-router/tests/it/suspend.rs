//! What a session's upstream asks, for clients without a session.

use crate::{
    modern::{self, SERVER},
    world::{Going, Peer, World},
};
use mcplex_proto::{
    downstream::{Principal, Stay},
    upstream::{Health, UpstreamError, UpstreamName},
};
use mcplex_router::Options;
use serde_json::{Value, json};
use std::time::Duration;

const ALL: &str = r#"{"sampling":{},"elicitation":{"form":{},"url":{}},"roots":{}}"#;

/// Upstreams that have the tool `echo` and a tool of their own.
pub(crate) fn world() -> World {
    World::two()
}

/// A call of `one` with this id, and whatever a retry carries.
pub(crate) fn call(world: &mut World, peer: &Peer, id: u64, more: &str) -> Going {
    let meta = modern::meta(ALL, &format!(r#","progressToken":"t{id}""#));
    world.ask(peer, &format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"one","arguments":{{"n":1.50}},{meta}{more}}}}}"#
    ))
}

/// The upstream asks for a name under this id.
pub(crate) fn asks(world: &mut World, id: u64) {
    asks_by(
        world,
        id,
        "elicitation/create",
        r#""message":"Name?","elicitationId":"x","mode":"form""#,
    );
}

fn asks_by(world: &mut World, id: u64, method: &str, params: &str) {
    world.says(0, &format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{"_meta":{{"progressToken":5}},{params}}}}}"#
    ));
}

/// The moment in which questions are gathered goes by.
pub(crate) fn moment(world: &mut World) {
    assert!(world.clock.wake_after(Duration::from_millis(50)));
    world.run();
}

pub(crate) fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The result of a request that ended with questions.
pub(crate) fn required(going: &Going) -> Value {
    let result = value(&going.text())["result"].clone();
    assert_eq!(result["resultType"], "input_required", "{}", going.text());
    result
}

/// What a retry carries that answers these.
pub(crate) fn retry(required: &Value, answers: &Value) -> String {
    format!(r#","requestState":{},"inputResponses":{answers}"#, required["requestState"])
}

pub(crate) fn code(going: &Going) -> i64 {
    value(&going.text())["error"]["code"].as_i64().unwrap()
}

/// What upstream `a` was sent beside calls.
pub(crate) fn sent(world: &World) -> Vec<Value> {
    world.upstreams[0].take_sent().iter().map(|text| value(text)).collect()
}

/// The answers that upstream `a` got, and nothing but answers.
pub(crate) fn answered(world: &World) -> Vec<Value> {
    let sent = sent(world);
    assert!(sent.iter().all(|message| message.get("method").is_none()), "{sent:?}");
    sent
}

pub(crate) fn ends(world: &mut World, result: &str) {
    world.upstreams[0].answers(result);
    world.run();
}

/// A call that was suspended with one question, under 7 at the upstream.
pub(crate) fn suspended(world: &mut World) -> (Peer, Value) {
    let peer = world.passer_by(Some("ann"));
    let going = call(world, &peer, 1, "");
    world.upstreams[0].take_sent();
    asks(world, 7);
    moment(world);
    let required = required(&going);
    // The listener closes what was opened for one request.
    peer.session.close();
    world.run();
    (peer, required)
}

#[test]
fn a_question_ends_the_request_and_the_retry_goes_on_with_the_call() {
    let mut world = world();
    let (_, required) = suspended(&mut world);
    assert_eq!(
        required["inputRequests"],
        json!({"q1": {"method": "elicitation/create",
            "params": {"message": "Name?", "elicitationId": "x", "mode": "form"}}}),
    );
    assert_eq!(required["_meta"][SERVER]["name"], "mcplex");
    assert!(answered(&world).is_empty() && world.upstreams[0].calls().len() == 1);
    let peer = world.passer_by(Some("ann"));
    let answers = json!({"q1": {"action": "accept", "content": {"n": 1}}, "q9": {}});
    let going = call(&mut world, &peer, 2, &retry(&required, &answers));
    assert_eq!(
        answered(&world),
        [json!({"jsonrpc": "2.0", "id": 7, "result": {"action": "accept", "content": {"n": 1}}})]
    );
    // It may ask again.
    asks_by(&mut world, 8, "sampling/createMessage", r#""messages":[]"#);
    moment(&mut world);
    let second = self::required(&going);
    assert_eq!(second["inputRequests"]["q2"]["params"], json!({"messages": []}));
    assert_ne!(second["requestState"], required["requestState"]);
    peer.session.close();
    let peer = world.passer_by(Some("ann"));
    let going = call(&mut world, &peer, 3, &retry(&second, &json!({"q2": {"role": "user"}})));
    assert_eq!(answered(&world)[0]["id"], 8);
    ends(&mut world, r#"{"content":[],"z":1.50}"#);
    assert!(going.text().contains(r#""z":1.50"#));
    assert_eq!(value(&going.text())["result"]["resultType"], "complete");
    assert_eq!(world.upstreams[0].taken().len(), 1, "it was called once");
}

#[test]
fn questions_side_by_side_become_one_result_and_are_answered_one_by_one() {
    let mut world = world();
    let peer = world.passer_by(None);
    let going = call(&mut world, &peer, 1, "");
    asks(&mut world, 7);
    asks_by(&mut world, 8, "sampling/createMessage", r#""messages":[]"#);
    asks_by(&mut world, 9, "roots/list", r#""x":1"#);
    moment(&mut world);
    let first = required(&going);
    assert_eq!(first["inputRequests"].as_object().unwrap().len(), 3);
    // One is missing, and one is no answer.
    let given = json!({"q1": {"action": "decline"}, "q2": 5});
    let going = call(&mut world, &peer, 2, &retry(&first, &given));
    assert_eq!(answered(&world).len(), 1);
    moment(&mut world);
    let second = required(&going);
    let keys: Vec<_> = second["inputRequests"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["q2", "q3"]);
    // The upstream takes one back.
    world.says(
        0,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":8}}"#,
    );
    let given = json!({"q1": {"action": "accept"}, "q2": {"a": 1}, "q3": {"roots": []}});
    let going = call(&mut world, &peer, 3, &retry(&second, &given));
    let answers = answered(&world);
    assert!(answers.len() == 1 && answers[0]["id"] == 9, "{answers:?}");
    ends(&mut world, r#"{"content":[]}"#);
    assert!(going.is_done());
}

#[test]
fn a_state_is_good_once_for_one_call_of_one_principal() {
    let mut world = world();
    let (_, required) = suspended(&mut world);
    let more = retry(&required, &json!({"q1": {"action": "accept"}}));
    let ann = world.passer_by(Some("ann"));
    let bob = world.passer_by(Some("bob"));
    assert_eq!(code(&call(&mut world, &bob, 2, &more)), -32602);
    let anybody = world.passer_by(None);
    assert_eq!(code(&call(&mut world, &anybody, 2, &more)), -32602);
    let other = more.replace(r#","requestState":"mcplex1."#, r#","requestState":"mcplex1.A"#);
    assert_eq!(code(&call(&mut world, &ann, 2, &other)), -32602);
    for state in [r#""""#, "7", "null"] {
        let other = format!(r#","requestState":{state}"#);
        assert_eq!(code(&call(&mut world, &ann, 2, &other)), -32602);
    }
    let meta = modern::meta(ALL, "");
    let other = world.ask(&ann, &format!(
        r#"{{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{{"name":"one","arguments":{{"n":2}},{meta}{more}}}}}"#
    ));
    assert_eq!(code(&other), -32602);
    assert!(answered(&world).is_empty());
    let going = call(&mut world, &ann, 3, &more);
    assert_eq!(answered(&world).len(), 1);
    assert_eq!(code(&call(&mut world, &ann, 4, &more)), -32602);
    ends(&mut world, r#"{"content":[]}"#);
    assert!(going.text().contains("complete"));
    assert_eq!(code(&call(&mut world, &ann, 5, &more)), -32602);
    assert_eq!(world.upstreams[0].taken().len(), 1);
    assert!(answered(&world).is_empty());
}

#[test]
fn a_cancel_or_a_closed_stream_ends_the_call_while_its_request_is_open() {
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}"#;
    for by_notification in [true, false] {
        let mut world = world();
        let (_, required) = suspended(&mut world);
        let ann = world.passer_by(Some("ann"));
        let going = call(&mut world, &ann, 2, &retry(&required, &json!({"q1": {"a": 1}})));
        asks(&mut world, 8);
        assert_eq!(answered(&world).len(), 1);
        if by_notification {
            world.tell(&ann, cancel);
        } else {
            ann.session.close();
            world.run();
        }
        assert_eq!(going.answer(), None);
        let sent = world.upstreams[0].take_sent();
        let is_cancel = |text: &String| text.contains("notifications/cancelled");
        assert!(sent.len() == 2 && sent.iter().filter(|text| is_cancel(text)).count() == 1);
        assert!(sent.iter().any(|text| text.contains(r#""id":8,"result":{"action":"cancel"}"#)));
        assert!(world.upstreams[0].calls().is_empty());
    }
}

pub(crate) fn died() -> UpstreamError {
    UpstreamError::Died {
        upstream: UpstreamName::new("a").unwrap(),
        reason: "it exited with code 3".into(),
        safe_to_retry: false,
        is_suspect: false,
        cause: None,
        from: None,
    }
}

#[test]
fn the_end_of_a_life_ends_its_calls_in_every_phase() {
    // While it is suspended: the retry hears of it.
    let mut world = world();
    let (_, required) = suspended(&mut world);
    world.upstreams[0].ends(Err(died()));
    world.down(0, Health::Recovering);
    world.ready(0, 2);
    world.upstreams[0].take_sent();
    let ann = world.passer_by(Some("ann"));
    let more = retry(&required, &json!({"q1": {"action": "accept"}}));
    let going = call(&mut world, &ann, 2, &more);
    assert!(going.text().contains("died during the call"), "{}", going.text());
    assert!(answered(&world).is_empty(), "the next life asked nothing");
    // While questions are gathered, and while the answer is awaited.
    for is_asked in [true, false] {
        let mut world = self::world();
        let peer = world.passer_by(None);
        let going = call(&mut world, &peer, 1, "");
        world.upstreams[0].take_sent();
        if is_asked {
            asks(&mut world, 7);
        }
        world.upstreams[0].ends(Err(died()));
        world.down(0, Health::Recovering);
        assert!(going.text().contains("died during the call"), "{}", going.text());
        world.upstreams[0].take_sent();
    }
}

#[test]
fn progress_goes_to_the_request_that_is_open_under_its_token() {
    let mut world = world();
    let peer = world.opens(Principal::Pipe, Stay::Long);
    let going = call(&mut world, &peer, 1, "");
    let id = value(&world.upstreams[0].calls()[0])["id"].clone();
    let progress = |world: &mut World, at: u64| {
        world.says(0, &format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{id},"progress":{at}}}}}"#
        ));
    };
    progress(&mut world, 1);
    asks(&mut world, 7);
    moment(&mut world);
    progress(&mut world, 2);
    let told = peer.client.take_about();
    assert!(told.len() == 1 && told[0].0.contains(r#""progressToken":"t1""#), "{told:?}");
    let required = required(&going);
    let going = call(&mut world, &peer, 2, &retry(&required, &json!({"q1": {"a": 1}})));
    progress(&mut world, 3);
    let told = peer.client.take_about();
    assert!(told[0].0.contains(r#""progressToken":"t2""#), "{told:?}");
    assert_eq!(told[0].1.clone().unwrap().to_string(), "2");
    ends(&mut world, r#"{"content":[]}"#);
    assert!(going.is_done());
}

#[test]
fn a_pipe_that_is_closed_takes_its_suspended_calls_along() {
    let mut world = world();
    let (one, two) =
        (world.opens(Principal::Pipe, Stay::Long), world.opens(Principal::Pipe, Stay::Long));
    let going = call(&mut world, &one, 1, "");
    world.upstreams[0].take_sent();
    asks(&mut world, 7);
    moment(&mut world);
    let more = retry(&required(&going), &json!({"q1": {"action": "accept"}}));
    assert_eq!(code(&call(&mut world, &two, 2, &more)), -32602);
    one.session.close();
    world.run();
    let sent = world.upstreams[0].take_sent();
    assert!(sent[0].contains(r#""action":"cancel""#) && sent[1].contains("cancelled"), "{sent:?}");
    assert!(world.upstreams[0].calls().is_empty());
}

#[test]
fn what_a_client_lacks_is_told_when_the_call_fails_for_it() {
    for (result, is_told) in [
        (r#"{"content":[],"isError":true}"#, true),
        (r#"{"content":[{"type":"text","text":"without"}]}"#, false),
    ] {
        let mut world = world();
        let peer = world.passer_by(None);
        let meta = modern::meta(r#"{"elicitation":{}}"#, "");
        let going = world.ask(&peer, &format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"one",{meta}}}}}"#
        ));
        asks_by(&mut world, 7, "sampling/createMessage", r#""messages":[],"tools":[]"#);
        asks_by(&mut world, 8, "elicitation/create", r#""mode":"url","url":"https://x""#);
        let sent = answered(&world);
        assert_eq!((sent[0]["error"]["code"].as_i64(), sent.len()), (Some(-32601), 2));
        assert_eq!(sent[1]["error"]["code"], -32602);
        ends(&mut world, result);
        let answer = value(&going.text());
        let required = &answer["error"]["data"]["requiredCapabilities"];
        if is_told {
            assert_eq!(answer["error"]["code"], -32021);
            assert_eq!(*required, json!({"sampling": {}, "elicitation": {"url": {}}}));
        } else {
            assert_eq!(answer["result"]["content"][0]["text"], "without");
        }
    }
}

#[test]
fn suspended_calls_are_bounded() {
    let options = Options { suspended_per_client: 1, ..Options::default() };
    let mut world = World::with(options, &["a"]);
    world.upstreams[0].introduces(r#"{"tools":{}}"#, None);
    world.upstreams[0].lists("tools/list", &[r#"{"tools":[{"name":"one"}]}"#]);
    world.ready(0, 1);
    let (_, _required) = suspended(&mut world);
    let ann = world.passer_by(Some("ann"));
    let going = call(&mut world, &ann, 2, "");
    asks(&mut world, 8);
    moment(&mut world);
    assert!(!going.is_done());
    let sent = answered(&world);
    assert!(sent.len() == 1 && sent[0]["id"] == 8 && sent[0]["error"]["code"] == -32603);
    // It goes on without the answer.
    let calls = world.upstreams[0].calls();
    assert_eq!(calls.len(), 2);
    world.upstreams[0].ends(Err(died()));
    ends(&mut world, r#"{"content":[]}"#);
    assert!(going.text().contains("complete"));
}

#[test]
fn answers_without_a_state_answer_nothing() {
    let mut world = world();
    let peer = world.passer_by(None);
    call(&mut world, &peer, 1, r#","inputResponses":{"q1":{"action":"accept"}}"#);
    let call = value(&world.upstreams[0].calls()[0]);
    assert_eq!(call["params"].get("inputResponses"), None);
    assert_eq!(call["params"]["arguments"]["n"], 1.5);
}

#[test]
fn only_calls_that_may_need_input_are_asked_in() {
    let mut world = World::new(&["a"]);
    world.upstreams[0].introduces(r#"{"completions":{},"prompts":{}}"#, None);
    world.upstreams[0].lists("prompts/list", &[r#"{"prompts":[{"name":"p"}]}"#]);
    world.ready(0, 1);
    let peer = world.passer_by(None);
    let meta = modern::meta(ALL, "");
    let going = world.ask(&peer, &format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{{"ref":{{"type":"ref/prompt","name":"p"}},"argument":{{"name":"a","value":""}},{meta}}}}}"#
    ));
    asks(&mut world, 7);
    let sent = answered(&world);
    assert!(sent.len() == 1 && sent[0]["error"]["code"] == -32602, "{sent:?}");
    ends(&mut world, r#"{"completion":{"values":[]}}"#);
    assert!(going.text().contains("complete"));
}

#[test]
fn urls_that_an_error_asks_for_are_asked_and_the_call_is_made_anew() {
    let mut world = world();
    let peer = world.passer_by(None);
    let going = call(&mut world, &peer, 1, "");
    let error = r#"{"code":-32042,"message":"Sign in.","data":{"elicitations":[{"mode":"url","elicitationId":"e","url":"https://x","message":"Open"}]}}"#;
    let error = format!(r#"{{"jsonrpc":"2.0","id":1,"error":{error}}}"#);
    world.upstreams[0].ends(Ok(&error));
    world.run();
    let required = required(&going);
    assert_eq!(
        required["inputRequests"],
        json!({"url1": {"method": "elicitation/create",
            "params": {"mode": "url", "url": "https://x", "message": "Open"}}})
    );
    // The call was refused: nothing waits that a state would have to open.
    assert_eq!(required.get("requestState"), None);
    let more = r#","inputResponses":{"url1":{"action":"accept"}}"#;
    let going = call(&mut world, &peer, 3, more);
    let taken = world.upstreams[0].taken();
    let again = value(taken.last().unwrap());
    assert!(taken.len() == 2 && again["params"].get("inputResponses").is_none());
    assert!(again["params"].get("requestState").is_none());
    ends(&mut world, r#"{"content":[]}"#);
    assert!(going.text().contains("complete"));
    // Nobody without a session hears of its end.
    world.says(0, r#"{"jsonrpc":"2.0","method":"notifications/elicitation/complete","params":{"elicitationId":"e"}}"#);
    assert!(peer.client.take().is_empty());
    // Who opens no URLs lacks something.
    let meta = modern::meta("{}", "");
    let going = world.ask(
        &peer,
        &format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"one",{meta}}}}}"#
        ),
    );
    world.upstreams[0].ends(Ok(&error));
    world.run();
    let answer = value(&going.text());
    assert_eq!(answer["error"]["code"], -32021);
    assert_eq!(
        answer["error"]["data"]["requiredCapabilities"],
        json!({"elicitation": {"url": {}}})
    );
}

/// Two upstreams of the stateless revision with the tools `one` and `two`.
fn stateless() -> World {
    let mut world = World::new(&["a", "b"]);
    for (index, tool) in ["one", "two"].into_iter().enumerate() {
        world.upstreams[index].introduces_modern(r#"{"tools":{}}"#);
        let tools = format!(
            r#"{{"resultType":"complete","tools":[{{"name":"{tool}"}}],"ttlMs":1,"cacheScope":"public"}}"#
        );
        world.upstreams[index].lists("tools/list", &[&tools]);
        world.ready(index, 1);
    }
    world
}

#[test]
fn a_state_of_a_stateless_upstream_goes_back_to_it_alone_and_unchanged() {
    let mut world = stateless();
    let peer = world.passer_by(Some("ann"));
    let going = call(&mut world, &peer, 1, "");
    let asked = r#""inputRequests":{"k":{"method":"roots/list","x":1.50}}"#;
    ends(
        &mut world,
        &format!(
            r#"{{"resultType":"input_required",{asked},"requestState":"s\u0074\" é","y":1.50}}"#
        ),
    );
    assert!(going.text().contains(asked) && going.text().contains(r#""y":1.50"#));
    let required = required(&going);
    assert!(required["requestState"].as_str().unwrap().starts_with("mcplex1."));
    let more = retry(&required, &json!({"k": {"roots": []}}));
    call(&mut world, &peer, 2, &more);
    let again = world.upstreams[0].calls()[0].clone();
    assert!(again.contains(r#""requestState":"s\u0074\" é""#), "{again}");
    assert!(again.contains(r#""inputResponses":{"k":{"roots":[]}}"#), "{again}");
    // It can be sent again: whether that is wanted the upstream decides.
    ends(&mut world, r#"{"resultType":"complete","content":[]}"#);
    call(&mut world, &peer, 3, &more);
    assert_eq!(world.upstreams[0].calls().len(), 1);
    let bob = world.passer_by(Some("bob"));
    assert_eq!(code(&call(&mut world, &bob, 4, &more)), -32602);
    let meta = modern::meta(ALL, "");
    let other = world.ask(&peer, &format!(
        r#"{{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{{"name":"two","arguments":{{"n":1.50}},{meta}{more}}}}}"#
    ));
    assert_eq!(code(&other), -32602);
    assert_eq!(code(&call(&mut world, &peer, 6, r#","requestState":"st\" é""#)), -32602);
    assert!(world.upstreams[1].taken().is_empty());
    // Without a state of its own it gets the answers as they are.
    ends(&mut world, r#"{"resultType":"complete","content":[]}"#);
    call(&mut world, &peer, 7, r#","inputResponses":{"k":{}}"#);
    assert!(world.upstreams[0].calls()[0].contains(r#""inputResponses":{"k":{}}"#));
}

#[test]
fn a_stateless_upstream_asks_no_more_than_the_client_can() {
    let mut world = stateless();
    let peer = world.passer_by(None);
    let meta = modern::meta(r#"{"roots":{}}"#, "");
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"one",{meta}}}}}"#
    );
    let going = world.ask(&peer, &text);
    ends(
        &mut world,
        r#"{"resultType":"input_required","inputRequests":{"k":{"method":"sampling/createMessage","params":{"tools":[]}}}}"#,
    );
    let answer = value(&going.text());
    assert_eq!(answer["error"]["code"], -32021);
    assert_eq!(answer["error"]["data"]["requiredCapabilities"], json!({"sampling": {}}));
    let going = world.ask(&peer, &text);
    ends(&mut world, r#"{"resultType":"input_required"}"#);
    assert_eq!(code(&going), -32603);
}

#[test]
fn a_client_of_an_older_revision_reads_urls_in_words() {
    let mut world = world();
    let peer = world.stranger();
    world.ask(&peer, r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#);
    let going = world.call(&peer, "1", "one");
    world.upstreams[0].ends(Ok(
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32042,"message":"Sign in.","data":{"elicitations":[{"mode":"url","elicitationId":"e","url":"https://x","message":"Open"}]}}}"#,
    ));
    world.run();
    let result = value(&going.text())["result"].clone();
    assert_eq!(result["isError"], true);
    assert!(result["content"][0]["text"].as_str().unwrap().contains("https://x"));
}
