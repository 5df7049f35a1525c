//! Subscriptions of many clients to resources of one upstream.

use crate::world::{Going, Peer, World};
use mcplex_proto::upstream::Health;

const CAPABILITIES: &str = r#"{"resources":{"subscribe":true}}"#;

fn ask(world: &mut World, peer: &Peer, verb: &str) -> Going {
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":"{verb}","method":"resources/{verb}","params":{{"uri":"x://1"}}}}"#
    );
    world.ask(peer, &text)
}

/// Asks, and lets the upstream agree if it is asked at all; tells whether it was.
fn done(world: &mut World, peer: &Peer, verb: &str) -> bool {
    let going = ask(world, peer, verb);
    let was_asked = !going.is_done();
    if was_asked {
        world.upstreams[0].answers("{}");
        world.run();
    }
    assert!(going.text().contains(r#""result":{}"#), "{}", going.text());
    was_asked
}

fn updated(uri: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{{"uri":"{uri}"}}}}"#
    )
}

fn world() -> World {
    let mut world = World::new(&["a"]);
    world.upstreams[0].introduces(CAPABILITIES, None);
    world.upstreams[0].lists("resources/list", &[r#"{"resources":[{"uri":"x://1"}]}"#]);
    world.upstreams[0].lists("resources/templates/list", &[r#"{"resourceTemplates":[]}"#]);
    world.ready(0, 1);
    world
}

#[test]
fn the_upstream_hears_of_the_first_and_the_last_subscriber() {
    let mut world = world();
    let (one, two, none) = (world.client("{}"), world.client("{}"), world.client("{}"));
    assert!(done(&mut world, &one, "subscribe"));
    assert!(!done(&mut world, &two, "subscribe"));
    assert!(!done(&mut world, &one, "subscribe"));
    world.says(0, &updated("x://1"));
    world.says(0, &updated("x://2"));
    assert_eq!(one.client.take(), [updated("x://1")]);
    assert_eq!(two.client.take(), [updated("x://1")]);
    assert!(none.client.take().is_empty());
    assert!(!done(&mut world, &none, "unsubscribe"));
    assert!(!done(&mut world, &one, "unsubscribe"));
    world.says(0, &updated("x://1"));
    assert!(one.client.take().is_empty());
    assert_eq!(two.client.take(), [updated("x://1")]);
    assert!(done(&mut world, &two, "unsubscribe"));
}

#[test]
fn a_client_that_leaves_unsubscribes() {
    let mut world = world();
    let (one, two) = (world.client("{}"), world.client("{}"));
    done(&mut world, &one, "subscribe");
    done(&mut world, &two, "subscribe");
    one.session.close();
    assert!(world.upstreams[0].take_sent().is_empty());
    two.session.close();
    let sent = world.upstreams[0].take_sent();
    assert!(sent.len() == 1 && sent[0].contains("resources/unsubscribe"), "{sent:?}");
}

#[test]
fn a_new_life_is_told_of_all_subscriptions() {
    let mut world = world();
    let peer = world.client("{}");
    done(&mut world, &peer, "subscribe");
    world.down(0, Health::Recovering);
    world.ready(0, 2);
    let sent = world.upstreams[0].take_sent();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert!(sent[0].contains(r#""method":"resources/subscribe","params":{"uri":"x://1"}"#));
    assert_eq!(peer.client.take(), [updated("x://1")], "it may have changed between the lives");
    world.says(0, &updated("x://1"));
    assert_eq!(peer.client.take(), [updated("x://1")]);
    // The same life again is nothing new.
    world.ready(0, 2);
    assert!(world.upstreams[0].take_sent().is_empty());
}

#[test]
fn a_subscription_that_fails_is_none() {
    let mut world = world();
    let peer = world.client("{}");
    let going = ask(&mut world, &peer, "subscribe");
    world.upstreams[0]
        .ends(Ok(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"no"}}"#));
    world.run();
    assert!(going.text().contains("-32603"));
    world.says(0, &updated("x://1"));
    assert!(peer.client.take().is_empty());
    assert!(done(&mut world, &peer, "subscribe"));
}

#[test]
fn a_subscription_that_is_cancelled_is_none() {
    let mut world = world();
    let peer = world.client("{}");
    let going = ask(&mut world, &peer, "subscribe");
    world.tell(
        &peer,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"subscribe"}}"#,
    );
    assert_eq!(going.answer(), None);
    assert!(world.upstreams[0].calls().is_empty());
    assert!(done(&mut world, &peer, "subscribe"));
}

#[test]
fn a_subscription_that_never_left_is_none() {
    let mut world = world();
    let (gone, peer) = (world.client("{}"), world.client("{}"));
    gone.session.close();
    assert!(ask(&mut world, &gone, "subscribe").text().contains("-32600"));
    assert!(done(&mut world, &peer, "subscribe"));
    // The id is free again after an answer that needed no upstream.
    assert!(!done(&mut world, &peer, "subscribe"));
    assert!(done(&mut world, &peer, "unsubscribe"));
}

#[test]
fn an_upstream_without_subscriptions_is_not_asked_for_one() {
    let mut world = World::new(&["a"]);
    world.upstreams[0].introduces(r#"{"resources":{}}"#, None);
    world.upstreams[0].lists("resources/list", &[r#"{"resources":[{"uri":"x://1"}]}"#]);
    world.upstreams[0].lists("resources/templates/list", &[r#"{"resourceTemplates":[]}"#]);
    world.ready(0, 1);
    let peer = world.client("{}");
    let answer = ask(&mut world, &peer, "subscribe").text();
    assert!(answer.contains("-32601") && answer.contains("Upstream a"), "{answer}");
}

#[test]
fn who_joined_a_subscription_keeps_it_when_the_first_gives_up() {
    let mut world = world();
    let (first, second) = (world.client("{}"), world.client("{}"));
    ask(&mut world, &first, "subscribe");
    assert!(!done(&mut world, &second, "subscribe"));
    first.session.close();
    world.run();
    let sent = world.upstreams[0].take_sent();
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert!(sent[0].contains("notifications/cancelled"), "{sent:?}");
    assert!(sent[1].contains(r#""method":"resources/subscribe""#), "{sent:?}");
    world.says(0, &updated("x://1"));
    assert_eq!(second.client.take(), [updated("x://1")]);
}
