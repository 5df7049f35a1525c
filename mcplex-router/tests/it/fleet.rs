//! Upstreams that come, go and are replaced while clients are served.

use crate::world::{Peer, World};
use mcplex_proto::upstream::{Health, UpstreamError, UpstreamName};
use mcplex_router::{DownReply, Naming, Options};

const CHANGED: &str = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;

/// The names of all tools as a client sees them.
fn tools(world: &mut World, peer: &Peer) -> Vec<String> {
    let list = r#"{"jsonrpc":"2.0","id":"tools","method":"tools/list"}"#;
    let answer: serde_json::Value = serde_json::from_str(&world.ask(peer, list).text()).unwrap();
    let tools = answer["result"]["tools"].as_array().unwrap();
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

fn has_tools(world: &mut World, index: usize, tools: &[&str]) {
    let items: Vec<_> = tools.iter().map(|name| format!(r#"{{"name":"{name}"}}"#)).collect();
    let page = format!(r#"{{"tools":[{}]}}"#, items.join(","));
    let all = r#"{"tools":{},"logging":{},"resources":{"subscribe":true}}"#;
    world.upstreams[index].introduces(all, None);
    world.upstreams[index].lists("tools/list", &[&page]);
    world.upstreams[index].lists("resources/list", &[r#"{"resources":[{"uri":"x://1"}]}"#]);
    let templates = r#"{"resourceTemplates":[]}"#;
    world.upstreams[index].lists("resources/templates/list", &[templates]);
}

/// Lets the time pass in which nothing more is told.
fn settle(world: &mut World) {
    for _ in 0..3 {
        world.clock.wake();
        world.run();
    }
}

fn gone() -> UpstreamError {
    UpstreamError::Stopped { upstream: UpstreamName::new("a").unwrap(), reason: None }
}

#[test]
fn an_upstream_that_is_added_later_is_read_and_called() {
    let mut world = World::two();
    let peer = world.client("{}");
    settle(&mut world);
    peer.client.take();
    let index = world.add("c");
    assert!(peer.client.take().is_empty(), "it has not said anything yet");
    has_tools(&mut world, index, &["late"]);
    world.ready(index, 1);
    assert!(peer.client.take().contains(&CHANGED.to_owned()));
    assert_eq!(tools(&mut world, &peer), ["a__echo", "one", "b__echo", "two", "late"]);
    let going = world.call(&peer, "1", "late");
    world.upstreams[index].answers("{}");
    world.run();
    assert!(going.text().contains(r#""result":{}"#));
}

#[test]
fn a_call_waits_for_an_upstream_that_was_just_added() {
    let mut world = World::two();
    let peer = world.client("{}");
    let index = world.add("c");
    let going = world.call(&peer, "1", "late");
    assert!(!going.is_done());
    has_tools(&mut world, index, &["late"]);
    world.ready(index, 1);
    world.upstreams[index].answers("{}");
    world.run();
    assert!(going.text().contains(r#""result":{}"#));
}

#[test]
fn who_waits_for_an_upstream_is_answered_when_it_is_removed() {
    let mut world = World::two();
    let peer = world.client("{}");
    let index = world.add("c");
    let going = world.call(&peer, "1", "late");
    world.remove(index);
    assert!(going.text().contains("unknown tool"), "{}", going.text());
}

#[test]
fn what_is_removed_vanishes_from_the_lists_and_is_told_once() {
    let mut world = World::two();
    let peer = world.client("{}");
    settle(&mut world);
    peer.client.take();
    world.remove(0);
    assert_eq!(peer.client.take(), [CHANGED]);
    assert_eq!(tools(&mut world, &peer), ["echo", "two"]);
    assert!(world.call(&peer, "1", "one").text().contains("unknown tool"));
    // It says what it says to nobody, and attaching it again has no effect.
    world.says(0, CHANGED);
    world.router.attach(world.keys[0], world.upstreams[0].clone());
    world.down(0, Health::Stopped);
    world.remove(0);
    settle(&mut world);
    assert!(peer.client.take().is_empty());
    assert_eq!(tools(&mut world, &peer), ["echo", "two"]);
}

#[test]
fn removing_one_that_lists_nothing_is_not_told() {
    let mut world = World::two();
    let index = world.add("c");
    let peer = world.client("{}");
    settle(&mut world);
    peer.client.take();
    world.remove(index);
    assert!(peer.client.take().is_empty());
}

#[test]
fn calls_in_flight_to_a_removed_upstream_are_answered_by_who_supervises_it() {
    let mut world = World::two();
    let peer = world.client(r#"{"sampling":{}}"#);
    let (early, late) = (world.call(&peer, "1", "one"), world.call(&peer, "2", "one"));
    let other = world.call(&peer, "3", "two");
    world.remove(0);
    // It still works on them, and may ask the client for it.
    world.says(0, r#"{"jsonrpc":"2.0","id":9,"method":"sampling/createMessage","params":{}}"#);
    let asked = peer.client.take();
    assert!(asked.iter().any(|text| text.contains("sampling/createMessage")), "{asked:?}");
    world.upstreams[0].answers("{}");
    world.upstreams[0].ends(Err(gone()));
    world.run();
    assert!(early.text().contains(r#""result":{}"#), "{}", early.text());
    assert!(late.text().contains("is stopped"), "{}", late.text());
    assert!(!other.is_done());
    world.upstreams[1].answers("{}");
    world.run();
    assert!(other.text().contains(r#""result":{}"#));
    // What the client was asked is withdrawn with the life that asked.
    world.down(0, Health::Stopped);
    assert!(peer.client.take()[0].contains("notifications/cancelled"));
}

#[test]
fn a_name_can_be_used_again_while_the_old_one_still_ends() {
    let mut world = World::two();
    let peer = world.client("{}");
    let old = world.call(&peer, "1", "one");
    world.remove(0);
    let index = world.add("a");
    assert_ne!(world.keys[0], world.keys[index]);
    has_tools(&mut world, index, &["one"]);
    world.ready(index, 1);
    let new = world.call(&peer, "2", "one");
    world.upstreams[0].ends(Err(gone()));
    world.upstreams[index].answers("{}");
    world.run();
    assert!(old.text().contains("is stopped"));
    assert!(new.text().contains(r#""result":{}"#));
}

#[test]
fn lists_are_joined_in_the_order_that_was_asked_for() {
    let mut world = World::two();
    let peer = world.client("{}");
    let index = world.add("c");
    has_tools(&mut world, index, &["late"]);
    world.ready(index, 1);
    settle(&mut world);
    peer.client.take();
    world.router.order(&[world.keys[index], world.keys[1]]);
    assert_eq!(tools(&mut world, &peer), ["late", "b__echo", "two", "a__echo", "one"]);
    world.run();
    assert_eq!(peer.client.take(), [CHANGED]);
    // The same order again is no change.
    settle(&mut world);
    world.router.order(&[world.keys[index], world.keys[1], world.keys[0]]);
    world.run();
    assert!(peer.client.take().is_empty());
    let going = world.call(&peer, "1", "one");
    world.upstreams[0].answers("{}");
    world.run();
    assert!(going.text().contains(r#""result":{}"#));
}

#[test]
fn a_changed_configuration_keeps_the_lists_until_the_new_life_was_read() {
    let mut world = World::two();
    let peer = world.client("{}");
    settle(&mut world);
    peer.client.take();
    let old = world.replace(0);
    assert_eq!(tools(&mut world, &peer), ["a__echo", "one", "b__echo", "two"]);
    // The end of the old one is nothing that the new one's lists depend on.
    world.says(old, CHANGED);
    world.down(old, Health::Stopped);
    assert_eq!(tools(&mut world, &peer), ["a__echo", "one", "b__echo", "two"]);
    has_tools(&mut world, 0, &["echo", "uno"]);
    world.ready(0, 1);
    let told = peer.client.take();
    assert_eq!(told.iter().filter(|text| *text == CHANGED).count(), 1, "{told:?}");
    assert_eq!(tools(&mut world, &peer), ["a__echo", "uno", "b__echo", "two"]);
    assert!(
        world.upstreams[old].take_reads().iter().filter(|read| *read == "tools/list").count() <= 1
    );
}

#[test]
fn a_changed_configuration_leaves_calls_in_flight_where_they_are() {
    let mut world = World::two();
    let peer = world.client("{}");
    let before = world.call(&peer, "1", "one");
    let cancelled = world.call(&peer, "2", "one");
    let old = world.replace(0);
    let after = world.call(&peer, "3", "one");
    assert_eq!(world.upstreams[old].calls().len(), 2);
    assert_eq!(world.upstreams[0].calls().len(), 1);
    // Both count their ids from the same number, so progress and cancels must not be mixed up.
    world.upstreams[old].take_sent();
    world.tell(
        &peer,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}"#,
    );
    assert_eq!(cancelled.answer(), None);
    assert!(world.upstreams[old].take_sent()[0].contains("notifications/cancelled"));
    assert!(world.upstreams[0].take_sent().is_empty());
    world.upstreams[old].answers(r#"{"by":"old"}"#);
    world.upstreams[0].answers(r#"{"by":"new"}"#);
    world.run();
    assert!(before.text().contains("old"));
    assert!(after.text().contains("new"));
}

#[test]
fn an_answer_goes_to_the_upstream_that_asked_and_not_to_its_successor() {
    let mut world = World::two();
    let peer = world.client(r#"{"sampling":{}}"#);
    let going = world.call(&peer, "1", "one");
    world.says(0, r#"{"jsonrpc":"2.0","id":9,"method":"sampling/createMessage","params":{}}"#);
    let old = world.replace(0);
    world.ready(0, 1);
    world.upstreams[0].take_sent();
    world.tell(&peer, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    assert_eq!(world.upstreams[old].take_sent_to()[0].0, Some(1));
    assert!(world.upstreams[0].take_sent().is_empty());
    world.upstreams[old].answers("{}");
    world.run();
    assert!(going.is_done());
}

#[test]
fn a_changed_configuration_is_told_of_subscriptions_and_log_levels() {
    let mut world = World::two();
    has_tools(&mut world, 0, &["echo", "one"]);
    world.ready(0, 2);
    let peer = world.client("{}");
    let going = world.ask(
        &peer,
        r#"{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"x://1"}}"#,
    );
    world.upstreams[0].answers("{}");
    world.run();
    assert!(going.is_done());
    world.ask(
        &peer,
        r#"{"jsonrpc":"2.0","id":2,"method":"logging/setLevel","params":{"level":"error"}}"#,
    );
    let old = world.replace(0);
    has_tools(&mut world, 0, &["echo", "one"]);
    world.ready(0, 1);
    let sent = world.upstreams[0].take_sent();
    assert!(sent.iter().any(|text| text.contains("resources/subscribe")), "{sent:?}");
    assert!(sent.iter().any(|text| text.contains("logging/setLevel")), "{sent:?}");
    // The subscription is the client's all the same: it hears of updates, and can end it.
    peer.client.take();
    let updated =
        r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"x://1"}}"#;
    world.says(0, updated);
    assert_eq!(peer.client.take(), [updated]);
    peer.session.close();
    assert!(world.upstreams[0].take_sent()[0].contains("resources/unsubscribe"));
    assert!(!world.upstreams[old].take_sent().iter().any(|text| text.contains("unsubscribe")));
}

#[test]
fn a_new_upstream_that_is_ready_before_it_is_attached_is_read_at_once() {
    let mut world = World::two();
    let peer = world.client("{}");
    let key = world.keys[0];
    let events = world.router.events(key);
    let upstream = crate::fake::FakeUpstream::new("a");
    upstream.introduces(r#"{"tools":{}}"#, None);
    upstream.lists("tools/list", &[r#"{"tools":[{"name":"eager"}]}"#]);
    events.changed(crate::fake::status(Health::Ready, 1));
    world.run();
    assert!(upstream.take_reads().is_empty());
    world.router.attach(key, upstream.clone());
    world.run();
    assert_eq!(upstream.take_reads(), ["tools/list"]);
    assert_eq!(tools(&mut world, &peer), ["eager", "echo", "two"]);
}

#[test]
fn other_options_count_from_the_next_request_on() {
    let mut world = World::two();
    let peer = world.client("{}");
    settle(&mut world);
    peer.client.take();
    let naming = Naming::Prefix;
    let separator = "-".to_owned();
    world.router.set_options(Options {
        naming,
        separator,
        down_reply: DownReply::Error,
        ..Options::default()
    });
    world.run();
    assert_eq!(peer.client.take(), [CHANGED]);
    assert_eq!(tools(&mut world, &peer), ["a-echo", "a-one", "b-echo", "b-two"]);
    let going = world.call(&peer, "1", "a-one");
    world.upstreams[0].ends(Err(gone()));
    world.run();
    assert!(going.text().contains(r#""error":"#), "{}", going.text());
}

#[test]
fn a_degraded_upstream_is_still_the_life_that_asked() {
    let mut world = World::two();
    let peer = world.client(r#"{"sampling":{}}"#);
    let going = world.call(&peer, "1", "one");
    world.says(0, r#"{"jsonrpc":"2.0","id":9,"method":"sampling/createMessage","params":{}}"#);
    peer.client.take();
    world.down(0, Health::Degraded);
    assert!(peer.client.take().is_empty(), "nothing is withdrawn");
    world.ready(0, 1);
    assert_eq!(world.upstreams[0].take_reads().len(), 1, "it is the same life");
    world.upstreams[0].answers("{}");
    world.run();
    assert!(going.is_done());
}
