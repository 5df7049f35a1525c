//! Calls that nobody comes back for, and whom an upstream may still mean by what it asks.

use crate::suspend::{
    answered, asks, call, code, died, ends, moment, required, retry, sent, suspended, world,
};
use serde_json::json;
use std::time::Duration;

#[test]
fn a_call_that_nobody_goes_on_with_is_given_up() {
    let mut world = world();
    let (_, required) = suspended(&mut world);
    assert!(world.clock.wake_after(Duration::from_secs(600)));
    world.run();
    let sent_first = sent(&world);
    let closed = json!({"jsonrpc": "2.0", "id": 7, "result": {"action": "cancel"}});
    assert_eq!(sent_first, [closed], "it may end by itself");
    assert!(world.clock.wake_after(Duration::from_secs(5)));
    world.run();
    let sent = sent(&world);
    assert!(sent.len() == 1 && sent[0]["method"] == "notifications/cancelled", "{sent:?}");
    assert!(world.upstreams[0].calls().is_empty());
    let ann = world.passer_by(Some("ann"));
    let more = retry(&required, &json!({"q1": {"action": "accept"}}));
    assert_eq!(code(&call(&mut world, &ann, 2, &more)), -32602);
    // Nobody knows whether the upstream is done with it, and after that time nobody would wait.
    let client = world.client(r#"{"elicitation":{}}"#);
    asks(&mut world, 9);
    assert!(client.client.take().is_empty() && answered(&world)[0]["id"] == 9);
    for _ in 0..2 {
        assert!(world.clock.wake_after(Duration::from_secs(600)));
        world.run();
    }
    asks(&mut world, 10);
    assert_eq!(client.client.take().len(), 1);
}

#[test]
fn a_call_that_ends_when_its_question_is_closed_leaves_nobody_in_doubt() {
    let mut world = world();
    suspended(&mut world);
    assert!(world.clock.wake_after(Duration::from_secs(600)));
    world.run();
    answered(&world);
    let client = world.client(r#"{"elicitation":{}}"#);
    asks(&mut world, 9);
    assert_eq!(answered(&world)[0]["id"], 9, "it may still be about the other's call");
    ends(&mut world, r#"{"content":[]}"#);
    asks(&mut world, 10);
    assert_eq!(client.client.take().len(), 1);
    assert!(!world.clock.wake_after(Duration::from_secs(5)), "nothing is left to wait for");
    assert!(answered(&world).is_empty(), "what has ended is not cancelled");
}

#[test]
fn a_call_that_is_answered_after_all_leaves_nobody_in_doubt() {
    let mut world = world();
    let client = world.client(r#"{"elicitation":{}}"#);
    let passer_by = world.passer_by(None);
    let gone = call(&mut world, &passer_by, 1, "");
    passer_by.session.close();
    world.run();
    assert_eq!(gone.answer(), None);
    let cancelled = sent(&world);
    asks(&mut world, 9);
    assert!(client.client.take().is_empty() && answered(&world)[0]["id"] == 9);
    assert_eq!(cancelled[0]["method"], "notifications/cancelled");
    let id = &cancelled[0]["params"]["requestId"];
    for (answered, is_told) in [(json!(1), false), (json!("x"), false), (id.clone(), true)] {
        world.says(0, &json!({"jsonrpc": "2.0", "id": answered, "result": {}}).to_string());
        asks(&mut world, 10);
        assert_eq!(!client.client.take().is_empty(), is_told, "{answered}");
    }
}

#[test]
fn a_retry_in_time_is_not_given_up_by_an_earlier_wait() {
    let mut world = world();
    let (_, required) = suspended(&mut world);
    let ann = world.passer_by(Some("ann"));
    let going = call(&mut world, &ann, 2, &retry(&required, &json!({"q1": {"action": "accept"}})));
    world.clock.wake();
    world.run();
    assert!(!going.is_done() && world.upstreams[0].calls().len() == 1);
    ends(&mut world, r#"{"content":[]}"#);
    assert!(going.text().contains("complete"));
}

#[test]
fn a_question_left_open_keeps_all_but_its_client_from_being_asked() {
    for (one, two, is_told) in [
        (None, None, false),
        (Some("ann"), Some("ann"), true),
        (Some("ann"), None, false),
        (None, Some("ann"), false),
        (Some("ann"), Some("bob"), false),
    ] {
        let mut world = world();
        let peer = world.passer_by(one);
        let left = call(&mut world, &peer, 1, "");
        asks(&mut world, 7);
        moment(&mut world);
        required(&left);
        peer.session.close();
        let peer = world.passer_by(two);
        let going = call(&mut world, &peer, 2, "");
        asks(&mut world, 8);
        if is_told {
            moment(&mut world);
            required(&going);
            assert!(answered(&world).is_empty());
        } else {
            assert_eq!(answered(&world)[0]["id"], 8);
            assert!(!going.is_done());
            world.upstreams[0].ends(Err(died()));
            ends(&mut world, r#"{"content":[]}"#);
        }
    }
    // Of two that go on nobody can say which asks.
    let mut world = world();
    let (one, two) = (world.passer_by(None), world.passer_by(None));
    call(&mut world, &one, 1, "");
    call(&mut world, &two, 1, "");
    asks(&mut world, 7);
    assert_eq!(answered(&world)[0]["error"]["code"], -32602);
}
