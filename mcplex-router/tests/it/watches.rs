//! What stateless upstreams are listened to for.

use crate::{
    modern::{SUBSCRIPTION, VERSION, asks, request},
    world::{Peer, World},
};
use mcplex_proto::upstream::{Health, UpstreamError, UpstreamName};
use std::time::Duration;

const ALL: &str = r#"{"tools":{"listChanged":true},"prompts":{},"resources":{"subscribe":true,"listChanged":true}}"#;

fn lists(world: &World, index: usize, tool: &str) {
    let tools = format!(
        r#"{{"resultType":"complete","tools":[{{"name":"{tool}"}}],"ttlMs":0,"cacheScope":"private"}}"#
    );
    world.upstreams[index].lists("tools/list", &[&tools]);
    world.upstreams[index].lists("prompts/list", &[r#"{"prompts":[]}"#]);
    world.upstreams[index].lists("resources/list", &[r#"{"resources":[{"uri":"x://1"}]}"#]);
    world.upstreams[index].lists("resources/templates/list", &[r#"{"resourceTemplates":[]}"#]);
}

fn world() -> World {
    let mut world = World::new(&["a"]);
    world.upstreams[0].introduces_modern(ALL);
    lists(&world, 0, "t");
    world.ready(0, 1);
    world
}

/// The open listens of an upstream: their ids and filters.
fn listens(world: &World) -> Vec<(u64, serde_json::Value)> {
    let calls = world.upstreams[0].calls();
    let calls = calls.iter().map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap());
    let listens = calls.filter(|call| call["method"] == "subscriptions/listen");
    listens
        .map(|call| {
            assert_eq!(call["params"]["_meta"][VERSION], "2026-07-28");
            (call["id"].as_u64().unwrap(), call["params"]["notifications"].clone())
        })
        .collect()
}

fn acknowledges(world: &mut World, id: u64) {
    let text = format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{{"_meta":{{"{SUBSCRIPTION}":{id}}},"notifications":{{"toolsListChanged":true,"resourcesListChanged":true}}}}}}"#
    );
    world.says(0, &text);
}

fn says(world: &mut World, id: u64, what: &str, more: &str) {
    let text = format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/{what}","params":{{"_meta":{{"{SUBSCRIPTION}":{id}}}{more}}}}}"#
    );
    world.says(0, &text);
}

fn subscribe(world: &mut World, peer: &Peer, verb: &str) {
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":"{verb}","method":"resources/{verb}","params":{{"uri":"x://1"}}}}"#
    );
    assert!(world.ask(peer, &text).text().contains(r#""result":{}"#));
}

fn reads(world: &World) -> usize {
    world.upstreams[0].take_reads().iter().filter(|read| read.starts_with("tools/list")).count()
}

#[test]
fn a_stateless_upstream_is_listened_to_for_what_it_tells_of() {
    let mut world = world();
    let open = listens(&world);
    let [(id, filter)] = &open[..] else { panic!("{open:?}") };
    assert_eq!(
        filter,
        &serde_json::json!({"toolsListChanged": true, "resourcesListChanged": true})
    );
    reads(&world);
    acknowledges(&mut world, *id);
    assert_eq!(reads(&world), 1, "something may have changed before the stream was there");
    let peer = world.client("{}");
    for _ in 0..3 {
        world.clock.wake();
        world.run();
    }
    peer.client.take();
    lists(&world, 0, "u");
    says(&mut world, 999, "tools/list_changed", "");
    assert_eq!(reads(&world), 0, "that is no stream that is listened to");
    says(&mut world, *id, "tools/list_changed", "");
    assert_eq!(reads(&world), 1);
    assert_eq!(
        peer.client.take(),
        [r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#]
    );
}

#[test]
fn another_filter_opens_another_stream_before_the_old_one_is_ended() {
    let mut world = world();
    let first = listens(&world)[0].0;
    acknowledges(&mut world, first);
    let peer = world.client("{}");
    let listener = world.passer_by(None);
    subscribe(&mut world, &peer, "subscribe");
    let open = listens(&world);
    assert_eq!(open.len(), 2, "{open:?}");
    let (second, filter) = open[1].clone();
    assert_eq!(filter["resourceSubscriptions"], serde_json::json!(["x://1"]));
    assert_eq!(filter["toolsListChanged"], true);
    // The old one still speaks, and the new one not yet.
    says(&mut world, first, "resources/updated", r#","uri":"x://1""#);
    says(&mut world, second, "resources/updated", r#","uri":"x://1""#);
    assert_eq!(peer.client.take().len(), 1);
    reads(&world);
    acknowledges(&mut world, second);
    assert_eq!(reads(&world), 0, "there was no gap");
    let sent = world.upstreams[0].take_sent();
    assert!(sent.len() == 1 && sent[0].contains(&format!(r#""requestId":{first}"#)), "{sent:?}");
    assert_eq!(listens(&world).len(), 1);
    says(&mut world, first, "resources/updated", r#","uri":"x://1""#);
    assert!(peer.client.take().is_empty());
    says(&mut world, second, "resources/updated", r#","uri":"x://1""#);
    let told = peer.client.take();
    assert!(told.len() == 1 && !told[0].contains(SUBSCRIPTION), "{told:?}");
    // One more who wants the same changes nothing, and the last one who goes does.
    let filter = r#","notifications":{"resourceSubscriptions":["x://1"]}"#;
    world.ask(&listener, &request("7", "subscriptions/listen", filter));
    listener.client.take();
    assert_eq!(listens(&world).len(), 1);
    says(&mut world, second, "resources/updated", r#","uri":"x://1""#);
    let told = listener.client.take();
    assert!(told.len() == 1 && told[0].contains(&format!(r#""{SUBSCRIPTION}":7"#)), "{told:?}");
    subscribe(&mut world, &peer, "unsubscribe");
    assert_eq!(listens(&world).len(), 1);
    listener.session.close();
    world.run();
    let open = listens(&world);
    assert!(open.len() == 2 && open[1].1.get("resourceSubscriptions").is_none(), "{open:?}");
}

#[test]
fn a_lost_stream_is_opened_again_after_ever_longer_waits() {
    let mut world = world();
    let secs = Duration::from_secs;
    for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
        let open = listens(&world);
        assert_eq!(open.len(), 1);
        acknowledges(&mut world, open[0].0);
        reads(&world);
        world.upstreams[0].answers(r#"{"resultType":"complete"}"#);
        world.run();
        assert!(listens(&world).is_empty());
        let slept = world.clock.wake();
        assert!(slept.contains(&secs(wait)), "{slept:?}");
        world.run();
    }
    let id = listens(&world)[0].0;
    acknowledges(&mut world, id);
    assert_eq!(reads(&world), 1, "something may have changed while nobody listened");
}

#[test]
fn what_may_have_changed_while_nobody_listened_is_told_to_who_subscribed() {
    let mut world = world();
    let first = listens(&world)[0].0;
    acknowledges(&mut world, first);
    let (peer, other, listener) = (world.client("{}"), world.client("{}"), world.passer_by(None));
    subscribe(&mut world, &peer, "subscribe");
    let second = listens(&world)[1].0;
    acknowledges(&mut world, second);
    world.upstreams[0].calls();
    let filter = r#","notifications":{"resourceSubscriptions":["x://1"]}"#;
    world.ask(&listener, &request("7", "subscriptions/listen", filter));
    listener.client.take();
    // The first stream was ended, so the one that is left is lost.
    world.upstreams[0].answers(r#"{"resultType":"complete"}"#);
    world.run();
    world.clock.wake();
    world.run();
    assert!(peer.client.take().iter().all(|text| !text.contains("updated")), "not yet");
    let third = listens(&world)[0].0;
    acknowledges(&mut world, third);
    let updated = |peer: &Peer| -> Vec<String> {
        peer.client.take().into_iter().filter(|text| text.contains("resources/updated")).collect()
    };
    assert_eq!(
        updated(&peer),
        [
            r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"x://1"}}"#
        ]
    );
    let told = updated(&listener);
    assert!(told.len() == 1 && told[0].contains(&format!(r#""{SUBSCRIPTION}":7"#)), "{told:?}");
    assert!(updated(&other).is_empty());
    // Another stream in the place of this one leaves no gap.
    subscribe(&mut world, &peer, "unsubscribe");
    listener.session.close();
    world.run();
    let fourth = listens(&world).last().unwrap().0;
    acknowledges(&mut world, fourth);
    assert!(updated(&peer).is_empty());
}

#[test]
fn a_stream_that_is_never_acknowledged_is_given_up() {
    let mut world = world();
    let id = listens(&world)[0].0;
    world.upstreams[0].take_sent();
    world.clock.wake();
    world.run();
    let sent = world.upstreams[0].take_sent();
    assert!(sent.len() == 1 && sent[0].contains(&format!(r#""requestId":{id}"#)), "{sent:?}");
    assert!(listens(&world).is_empty());
    world.clock.wake();
    world.run();
    assert_eq!(listens(&world).len(), 1);
}

#[test]
fn a_new_life_is_listened_to_at_once() {
    let mut world = world();
    let id = listens(&world)[0].0;
    acknowledges(&mut world, id);
    let peer = world.client("{}");
    subscribe(&mut world, &peer, "subscribe");
    acknowledges(&mut world, id + 1);
    let upstream = UpstreamName::new("a").unwrap();
    world.down(0, Health::Recovering);
    while !world.upstreams[0].calls().is_empty() {
        world.upstreams[0].ends(Err(UpstreamError::Died {
            upstream: upstream.clone(),
            reason: "it exited".into(),
            safe_to_retry: true,
            is_suspect: false,
            cause: None,
            from: None,
        }));
    }
    world.run();
    assert!(listens(&world).is_empty());
    world.ready(0, 2);
    let open = listens(&world);
    assert!(open.len() == 1 && open[0].1["resourceSubscriptions"][0] == "x://1", "{open:?}");
    // Nothing else is sent to it: it knows neither subscriptions nor levels.
    assert!(world.upstreams[0].take_sent().iter().all(|text| text.contains("cancelled")));
}

#[test]
fn a_life_that_knows_no_listen_is_not_asked_again() {
    let mut world = world();
    world.upstreams[0]
        .ends(Ok(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}"#));
    for _ in 0..3 {
        world.run();
        world.clock.wake();
    }
    let peer = world.client("{}");
    subscribe(&mut world, &peer, "subscribe");
    assert!(listens(&world).is_empty());
    world.ready(0, 2);
    assert_eq!(listens(&world).len(), 1);
}

#[test]
fn a_list_whose_changes_nobody_tells_is_read_again_when_it_is_asked_for_and_old() {
    let mut world = World::new(&["a"]);
    world.upstreams[0].introduces_modern(r#"{"tools":{}}"#);
    let page = |tool: &str| {
        format!(
            r#"{{"resultType":"complete","tools":[{{"name":"{tool}"}}],"ttlMs":7000,"cacheScope":"public"}}"#
        )
    };
    world.upstreams[0].lists("tools/list", &[&page("t")]);
    world.ready(0, 1);
    let peer = world.passer_by(None);
    let list = |world: &mut World| asks(world, &peer, "tools/list", "")["result"].to_string();
    reads(&world);
    list(&mut world);
    assert_eq!(reads(&world), 0, "it is fresh");
    world.upstreams[0].lists("tools/list", &[&page("u")]);
    assert!(world.clock.wake().contains(&Duration::from_secs(7)));
    world.run();
    assert_eq!(reads(&world), 0, "nobody asks");
    assert!(list(&mut world).contains(r#""name":"t""#), "nobody waits for it");
    world.run();
    assert_eq!(reads(&world), 1);
    assert!(list(&mut world).contains(r#""name":"u""#));
    assert_eq!(reads(&world), 0);
}
