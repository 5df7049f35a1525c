//! When clients hear that a list changed, and when upstreams hear that roots did.

use crate::world::{Peer, World};
use mcplex_proto::upstream::Health;
use std::time::Duration;

const CHANGED: &str = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
const ROOTS: &str = r#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#;

/// The upstream says that its tools changed, and they are these.
fn change(world: &mut World, index: usize, tool: &str) {
    let page = format!(r#"{{"tools":[{{"inputSchema":{{"type":"object"}},"name":"{tool}"}}]}}"#);
    world.upstreams[index].lists("tools/list", &[&page]);
    world.says(index, CHANGED);
}

fn settled() -> (World, Peer) {
    let mut world = World::two();
    // Of the changes from before, both have been told and forgotten.
    for _ in 0..3 {
        world.clock.wake();
        world.run();
    }
    let peer = world.client("{}");
    (world, peer)
}

#[test]
fn what_looks_like_a_mark_means_nothing_where_there_are_none() {
    let (mut world, peer) = settled();
    let tools = r#"{"tools":[{"inputSchema":{"type":"object"},"name":"x"}]}"#;
    world.upstreams[0].lists("tools/list", &[tools]);
    world.says(
        0,
        &CHANGED.replace(
            r#""}"#,
            r#"","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":"stray"}}}"#,
        ),
    );
    assert_eq!(peer.client.take(), [CHANGED]);
}

#[test]
fn the_first_change_is_told_at_once_and_the_last_one_after_the_interval() {
    let (mut world, peer) = settled();
    change(&mut world, 0, "x");
    assert_eq!(peer.client.take(), [CHANGED]);
    for tool in ["y", "z", "w"] {
        change(&mut world, 0, tool);
        change(&mut world, 1, tool);
    }
    assert!(peer.client.take().is_empty());
    assert_eq!(world.clock.wake(), [Duration::from_secs(1)]);
    world.run();
    assert_eq!(peer.client.take(), [CHANGED]);
    world.clock.wake();
    world.run();
    assert!(peer.client.take().is_empty());
    change(&mut world, 1, "v");
    assert_eq!(peer.client.take(), [CHANGED]);
}

#[test]
fn what_an_upstream_says_has_changed_is_told_though_its_list_is_the_same() {
    let (mut world, peer) = settled();
    let prompts = CHANGED.replace("tools", "prompts");
    world.says(0, CHANGED);
    world.says(0, &prompts);
    world.says(0, &prompts);
    assert_eq!(peer.client.take(), [CHANGED]);
    world.clock.wake();
    world.run();
    assert_eq!(peer.client.take(), [prompts]);
}

#[test]
fn a_crash_loop_with_the_same_lists_is_never_heard_of() {
    let (mut world, peer) = settled();
    for life in 2..12 {
        world.down(0, Health::Recovering);
        world.ready(0, life);
        world.clock.wake();
        world.run();
    }
    world.down(0, Health::Tripped);
    assert!(peer.client.take().is_empty());
}

#[test]
fn a_life_with_other_lists_is_told_once() {
    let (mut world, peer) = settled();
    world.upstreams[0].introduces(r#"{"tools":{},"prompts":{},"resources":{}}"#, None);
    world.upstreams[0].lists("tools/list", &[r#"{"tools":[]}"#]);
    world.upstreams[0].lists("prompts/list", &[r#"{"prompts":[{"name":"p"}]}"#]);
    world.upstreams[0].lists("resources/list", &[r#"{"resources":[]}"#]);
    let template = r#"{"resourceTemplates":[{"uriTemplate":"t://{x}"}]}"#;
    world.upstreams[0].lists("resources/templates/list", &[template]);
    world.ready(0, 2);
    let mut got = peer.client.take();
    got.sort();
    assert_eq!(
        got,
        ["prompts", "resources", "tools"].map(|kind| format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/{kind}/list_changed"}}"#
        ))
    );
}

#[test]
fn a_list_that_cannot_be_read_stays_as_it_was() {
    let (mut world, peer) = settled();
    world.upstreams[0].refuses("tools/list", r#"{"code":-32603,"message":"no"}"#);
    world.says(0, CHANGED);
    world.upstreams[0].lists("tools/list", &[r#"{"tools":7}"#]);
    world.says(0, CHANGED);
    assert!(peer.client.take().is_empty());
    let answer = world.ask(&peer, r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#).text();
    assert!(answer.contains(r#"{"inputSchema":{"type":"object"},"name":"one"}"#), "{answer}");
}

#[test]
fn a_change_while_the_list_is_being_read_is_not_lost() {
    let (mut world, peer) = settled();
    world.upstreams[0].mute(true);
    world.says(0, CHANGED);
    world.says(0, CHANGED);
    world.says(0, CHANGED);
    assert_eq!(world.upstreams[0].calls().len(), 1);
    world.upstreams[0].answers(r#"{"tools":[{"inputSchema":{"type":"object"},"name":"old"}]}"#);
    world.run();
    assert_eq!(world.upstreams[0].calls().len(), 1, "it is read once more, not twice");
    world.upstreams[0].answers(r#"{"tools":[{"inputSchema":{"type":"object"},"name":"new"}]}"#);
    world.run();
    assert!(world.upstreams[0].calls().is_empty());
    assert_eq!(peer.client.take(), [CHANGED]);
    let answer = world.ask(&peer, r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#).text();
    assert!(answer.contains(r#"{"inputSchema":{"type":"object"},"name":"new"}"#), "{answer}");
}

#[test]
fn changed_roots_are_told_while_only_one_client_is_there() {
    let mut world = World::two();
    let told = |world: &World| {
        let sent: Vec<_> = world.upstreams.iter().map(|upstream| upstream.take_sent()).collect();
        assert_eq!(sent[0], sent[1]);
        sent[0].clone()
    };
    let one = world.arrives(r#"{"roots":{"listChanged":true}}"#);
    assert_eq!(told(&world), [ROOTS], "upstreams that asked nobody may ask again");
    world.tell(&one, ROOTS);
    assert_eq!(told(&world), [ROOTS]);
    let two = world.client(r#"{"roots":{}}"#);
    world.tell(&one, ROOTS);
    world.tell(&two, ROOTS);
    assert!(told(&world).is_empty(), "they would mix up two clients' roots");
    two.session.close();
    world.tell(&one, ROOTS);
    assert_eq!(told(&world), [ROOTS]);
}

#[test]
fn a_client_without_roots_tells_nothing_by_arriving() {
    let mut world = World::two();
    world.arrives("{}");
    assert!(world.upstreams[0].take_sent().is_empty());
}
