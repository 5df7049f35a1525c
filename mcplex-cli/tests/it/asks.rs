//! What a server asks a client: its model, its user, its roots.

use crate::{
    census::{self, Watch},
    client::{Client, text},
    gateway::{Gateway, PATIENCE, Setup},
    stateless::Stateless,
    verbs::ok,
};
use serde_json::{Value, json};

fn gateway() -> Gateway {
    Setup::new("").server("curious", &[]).serve()
}

fn able(gateway: &Gateway) -> Client {
    let capabilities =
        json!({ "sampling": {}, "elicitation": {}, "roots": { "listChanged": true } });
    let mut client = Client::connect_with(&gateway.url(), &capabilities);
    client.wait_for_tools(&["sample"]);
    client
}

/// Calls a tool that asks back, answers it, and gives what the tool heard.
fn asked(client: &mut Client, tool: &str, method: &str, answer: &Value) -> (Value, Value) {
    let pending = client.begin_call(tool, &json!({}));
    let question = pending.next_of(method);
    client.respond(&question["id"], answer);
    let heard = serde_json::from_str(text(&pending.answer()["result"])).unwrap();
    (question, heard)
}

#[test]
fn sampling_goes_to_the_client_and_back() {
    let gateway = gateway();
    let content = json!({ "type": "text", "text": "hello back" });
    let answer = json!({ "role": "assistant", "content": content, "model": "m", "x-new": 1 });
    let (question, heard) = asked(&mut able(&gateway), "sample", "sampling/createMessage", &answer);
    assert_eq!(question["params"]["maxTokens"], 10, "{question}");
    assert_eq!(heard, answer);
}

#[test]
fn elicitation_goes_to_the_client_and_back() {
    let gateway = gateway();
    let answer = json!({ "action": "accept", "content": { "name": "Ada" } });
    let (question, heard) = asked(&mut able(&gateway), "elicit", "elicitation/create", &answer);
    assert_eq!(question["params"]["message"], "who are you?", "{question}");
    assert_eq!(heard, answer);
}

#[test]
fn roots_go_to_the_client_and_back() {
    let gateway = gateway();
    let answer = json!({ "roots": [{ "uri": "file:///tmp/here", "name": "here" }] });
    let (_, heard) = asked(&mut able(&gateway), "roots", "roots/list", &answer);
    assert_eq!(heard, answer);
}

#[test]
fn what_a_client_cannot_do_it_is_not_asked() {
    let gateway = gateway();
    let mut client = gateway.client_of(&["sample"]);
    let pending = client.begin_call("sample", &json!({}));
    let messages = pending.ended();
    let [answer] = &messages[..] else { panic!("one answer and no question: {messages:?}") };
    assert!(text(&answer["result"]).contains("\"code\""), "{answer}");
}

#[test]
fn a_question_that_two_clients_may_have_caused_is_refused() {
    let gateway = gateway();
    let (mut one, mut two) = (able(&gateway), able(&gateway));
    let stream = two.listen();
    let sleeping = two.begin_call("sleep", &json!({ "ms": 1_500 }));
    // Until the other's call is there, the question has one possible cause and is passed on.
    let refused = (0..100).find_map(|_| {
        let pending = one.begin_call("sample", &json!({}));
        let message = pending.next();
        if message["method"].is_null() {
            return Some(message);
        }
        one.respond(
            &message["id"],
            &json!({ "role": "assistant", "model": "m",
            "content": { "type": "text", "text": "early" } }),
        );
        pending.answer();
        None
    });
    let refused = refused.expect("the question is refused");
    assert!(text(&refused["result"]).contains("\"code\""), "{refused}");
    assert_eq!(text(&sleeping.answer()["result"]), "slept");
    let questions = stream.rest();
    assert!(questions.iter().all(|message| message["id"].is_null()), "{questions:?}");
}

#[test]
fn a_call_that_waits_for_answers_hears_that_its_server_was_taken_away() {
    let setup = Setup::new("[gateway]\ndrain = \"10ms\"");
    let other = setup.clone().server("other", &[]);
    let gateway = setup.server("curious", &[]).serve();
    gateway.client_of(&["elicit"]).delete();
    let capabilities = json!({ "elicitation": { "form": {} } });
    let mut client = Stateless::able(&gateway.url(), capabilities);
    let elicit = json!({ "name": "elicit", "arguments": {} });
    let asked = client.begin("tools/call", &elicit).answer()["result"].clone();
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let servers = census::descendants(gateway.pid()).into_iter().map(|process| process.pid);
    let servers = Watch::of(servers);
    ok(&other, &["reload"]);
    assert!(servers.left_after(PATIENCE).is_empty());
    let mut retry = elicit;
    retry["requestState"] = asked["requestState"].clone();
    retry["inputResponses"] = json!({ "q1": { "action": "decline" } });
    let ended = client.request("tools/call", &retry);
    assert_eq!(ended["isError"], true, "{ended}");
    assert!(
        text(&ended).contains("curious died during the call: it is no longer in the"),
        "{ended}"
    );
    // The state was good once, also for that.
    let (_, refused) = client.ask("tools/call", &retry);
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
}
