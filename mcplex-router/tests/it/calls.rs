//! Requests of clients on their way to an upstream and back.

use crate::{
    fake::{FIRST_ID, message, text},
    world::{Peer, World},
};
use futures_util::FutureExt as _;
use mcplex_proto::{message::Message, upstream::Health};

fn progress(token: &str, progress: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":{progress},"x":1.50}}}}"#
    )
}

fn cancels(world: &mut World, peer: &Peer, id: &str, reason: &str) {
    let text = format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}{reason}}}}}"#
    );
    world.tell(peer, &text);
}

#[test]
fn a_renamed_call_differs_in_id_and_name_alone() {
    let mut world = World::two();
    let peer = world.client("{}");
    let going = world.ask(
        &peer,
        r#"{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{ "arguments":{"n":1.50,"name":"a__echo"}, "name":"b__echo" ,"_meta":{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","v":1e2}},"ext":{"k":[1.0]}}"#,
    );
    // One id went to the first list.
    let id = FIRST_ID + 1;
    assert_eq!(
        world.upstreams[1].calls(),
        [format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{ "arguments":{{"n":1.50,"name":"a__echo"}}, "name":"echo" ,"_meta":{{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","v":1e2}}}},"ext":{{"k":[1.0]}}}}"#
        )]
    );
    assert!(world.upstreams[0].calls().is_empty());
    world.upstreams[1]
        .ends(Ok(r#"{"jsonrpc":"2.0","id":9,"result":{"content":[] ,"n":1.50},"more":1.0}"#));
    world.run();
    assert_eq!(
        going.text(),
        r#"{"jsonrpc":"2.0","id":"x","result":{"content":[] ,"n":1.50},"more":1.0}"#
    );
}

#[test]
fn errors_of_an_upstream_are_passed_on_as_they_are() {
    let mut world = World::two();
    let peer = world.client("{}");
    let going = world.call(&peer, "7", "one");
    let error = r#"{"code":-32042,"message":"open it","data":{"n":1.50}}"#;
    world.upstreams[0].ends(Ok(&format!(r#"{{"jsonrpc":"2.0","id":1,"error":{error}}}"#)));
    world.run();
    assert_eq!(going.text(), format!(r#"{{"jsonrpc":"2.0","id":7,"error":{error}}}"#));
}

#[test]
fn progress_comes_under_the_clients_token_and_only_ever_grows() {
    let mut world = World::two();
    let peer = world.client("{}");
    let going = world.ask(
        &peer,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"one","_meta":{"progressToken":"mine"}}}"#,
    );
    let token = (FIRST_ID + 1).to_string();
    let expect = format!(r#""params":{{"name":"one","_meta":{{"progressToken":{token}}}}}"#);
    assert!(world.upstreams[0].calls()[0].contains(&expect));
    for step in ["0", "0.5", "0.5", "0.25", r#""1""#, "1e0"] {
        world.says(0, &progress(&token, step));
    }
    // Somebody else's, and nobody's.
    world.says(1, &progress(&token, "2"));
    world.says(0, &progress(r#""mine""#, "2"));
    let got = peer.client.take_about();
    let texts: Vec<_> = got.iter().map(|(text, _)| &**text).collect();
    assert_eq!(texts, ["0", "0.5", "1e0"].map(|step| progress(r#""mine""#, step)));
    assert!(got.iter().all(|(_, about)| *about == Some(1.into())), "{got:?}");
    world.upstreams[0].answers("{}");
    world.run();
    assert!(going.is_done());
    world.says(0, &progress(&token, "5"));
    assert_eq!(peer.client.take(), Vec::<String>::new());
}

#[test]
fn who_gave_no_token_gets_no_progress() {
    let mut world = World::two();
    let peer = world.client("{}");
    world.call(&peer, "1", "one");
    world.says(0, &progress(&(FIRST_ID + 1).to_string(), "1"));
    assert_eq!(peer.client.take(), Vec::<String>::new());
}

#[test]
fn a_cancelled_call_has_no_answer_and_the_upstream_is_told() {
    let mut world = World::two();
    let (peer, other) = (world.client("{}"), world.client("{}"));
    let going = world.call(&peer, r#""c""#, "one");
    let id = FIRST_ID + 1;
    // Another client's request of the same id is another request.
    cancels(&mut world, &other, r#""c""#, "");
    assert!(!going.is_done());
    cancels(&mut world, &peer, r#""c""#, r#","reason":"too  slow""#);
    assert_eq!(going.answer(), None);
    assert_eq!(
        world.upstreams[0].take_sent(),
        [format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id},"reason":"too  slow"}}}}"#
        )]
    );
    assert!(world.upstreams[0].calls().is_empty());
    // Too late, twice.
    cancels(&mut world, &peer, r#""c""#, "");
    assert_eq!(world.upstreams[0].take_sent(), Vec::<String>::new());
    let again = world.call(&peer, r#""c""#, "one");
    world.upstreams[0].answers("{}");
    world.run();
    assert_eq!(again.text(), r#"{"jsonrpc":"2.0","id":"c","result":{}}"#);
}

#[test]
fn a_late_answer_is_dropped() {
    let mut world = World::two();
    let peer = world.client("{}");
    let going = world.call(&peer, "1", "one");
    cancels(&mut world, &peer, "1", "");
    // `calls` would sweep the cancelled one away, so this answers it.
    world.upstreams[0].answers(r#"{"late":true}"#);
    world.run();
    assert_eq!(going.answer(), None);
    assert_eq!(peer.client.take(), Vec::<String>::new());
}

#[test]
fn an_id_in_use_is_refused_and_the_first_call_goes_on() {
    let mut world = World::two();
    let peer = world.client("{}");
    let first = world.call(&peer, "1", "one");
    let second = world.call(&peer, "1", "one").text();
    assert!(second.contains("-32600"), "{second}");
    // `1` and `"1"` are two ids.
    let third = world.call(&peer, r#""1""#, "one");
    assert_eq!(world.upstreams[0].calls().len(), 2);
    world.upstreams[0].answers(r#"{"n":1}"#);
    world.upstreams[0].answers(r#"{"n":3}"#);
    world.run();
    assert_eq!(first.text(), r#"{"jsonrpc":"2.0","id":1,"result":{"n":1}}"#);
    assert_eq!(third.text(), r#"{"jsonrpc":"2.0","id":"1","result":{"n":3}}"#);
}

#[test]
fn a_closed_session_cancels_its_calls_and_starts_no_more() {
    let mut world = World::two();
    let peer = world.client("{}");
    let going = world.call(&peer, "1", "one");
    peer.session.close();
    world.run();
    assert_eq!(going.answer(), None);
    let sent = world.upstreams[0].take_sent();
    assert!(sent.len() == 1 && sent[0].contains(r#""reason":"the client has left""#), "{sent:?}");
    let late = world.call(&peer, "2", "one").text();
    assert!(late.contains("-32600"), "{late}");
    assert!(world.upstreams[0].calls().is_empty());
}

#[test]
fn a_closed_session_cancels_its_calls_also_where_the_listener_drops_them() {
    let mut world = World::two();
    let peer = world.client("{}");
    let request = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"one"}}"#;
    let Message::Request(request) = message(request) else { panic!("it is a request") };
    let mut waits = peer.session.request(request);
    assert!(waits.as_mut().now_or_never().is_none());
    peer.session.close();
    drop(waits);
    let sent = world.upstreams[0].take_sent();
    assert!(sent.len() == 1 && sent[0].contains("notifications/cancelled"), "{sent:?}");
}

#[test]
fn calls_wait_for_nobody_elses() {
    let mut world = World::two();
    let peer = world.client("{}");
    let slow = world.call(&peer, "1", "one");
    let quick = world.call(&peer, "2", "two");
    world.upstreams[1].answers("{}");
    world.run();
    assert!(quick.is_done() && !slow.is_done());
    world.down(0, Health::Recovering);
    let next = world.call(&peer, "3", "two");
    world.upstreams[1].answers("{}");
    world.run();
    assert!(next.is_done() && !slow.is_done());
}

#[test]
fn resources_and_prompts_go_to_their_owner() {
    let mut world = World::new(&["a", "b"]);
    for (index, upstream) in world.upstreams.iter().enumerate() {
        upstream.introduces(r#"{"resources":{},"prompts":{}}"#, None);
        let resources = format!(r#"{{"resources":[{{"uri":"x://{index}"}}]}}"#);
        upstream.lists("resources/list", &[&resources]);
        let template =
            format!(r#"{{"resourceTemplates":[{{"uriTemplate":"t{index}://{{id}}"}}]}}"#);
        upstream.lists("resources/templates/list", &[&template]);
        upstream.lists("prompts/list", &[r#"{"prompts":[{"name":"p"}]}"#]);
    }
    world.ready(0, 1);
    world.ready(1, 1);
    let peer = world.client("{}");
    for (id, method, params, sent) in [
        (1, "resources/read", r#"{"uri":"x://1"}"#, r#"{"uri":"x://1"}"#),
        (2, "resources/read", r#"{"uri":"t1://9"}"#, r#"{"uri":"t1://9"}"#),
        (3, "prompts/get", r#"{"name":"b__p"}"#, r#"{"name":"p"}"#),
    ] {
        let request =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
        let going = world.ask(&peer, &request);
        let calls = world.upstreams[1].calls();
        assert!(calls[0].ends_with(&format!(r#""params":{sent}}}"#)), "{calls:?}");
        world.upstreams[1].answers("{}");
        world.run();
        assert!(going.is_done());
    }
    assert!(world.upstreams[0].calls().is_empty());
}

#[test]
fn a_single_upstream_gets_what_mcplex_does_not_know() {
    let mut world = World::one("{}");
    let peer = world.client("{}");
    let going = world.ask(&peer, r#"{"jsonrpc":"2.0","id":1,"method":"x/y","params":{"a":1.50}}"#);
    assert_eq!(
        world.upstreams[0].calls(),
        [format!(r#"{{"jsonrpc":"2.0","id":{FIRST_ID},"method":"x/y","params":{{"a":1.50}}}}"#)]
    );
    world.upstreams[0].answers("{}");
    world.run();
    assert!(going.is_done());
    world.tell(&peer, r#"{"jsonrpc":"2.0","method":"x/told","params":{"a":1.50}}"#);
    assert_eq!(
        world.upstreams[0].take_sent(),
        [r#"{"jsonrpc":"2.0","method":"x/told","params":{"a":1.50}}"#]
    );
}

#[test]
fn an_id_is_in_use_until_its_cancelled_call_has_ended() {
    let mut world = World::two();
    let peer = world.client("{}");
    let going = world.call(&peer, "1", "one");
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    let Message::Notification(cancel) = message(cancel) else { panic!("{cancel}") };
    let again = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"one"}}"#;
    let Message::Request(again) = message(again) else { panic!("{again}") };
    // Both arrive before the first call's task runs again.
    peer.session.notification(cancel);
    let refused = peer.session.request(again).now_or_never().expect("it waits for nobody");
    let refused = text(&refused.expect("it is answered").into());
    assert!(refused.contains("-32600"), "{refused}");
    world.run();
    assert_eq!(going.answer(), None);
}
