//! What comes in before all upstreams are there.

use crate::world::World;
use mcplex_proto::upstream::Health;
use mcplex_router::Options;
use std::time::Duration;

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;

/// Two upstreams with a tool each, of which only `a` is there.
fn half(options: Options) -> World {
    let mut world = World::with(options, &["a", "b"]);
    comes(&mut world, 0, "one");
    world
}

fn comes(world: &mut World, index: usize, tool: &str) {
    world.upstreams[index].introduces(r#"{"tools":{}}"#, None);
    let page = format!(r#"{{"tools":[{{"inputSchema":{{"type":"object"}},"name":"{tool}"}}]}}"#);
    world.upstreams[index].lists("tools/list", &[&page]);
    world.ready(index, 1);
}

#[test]
fn a_call_by_an_unknown_name_waits_for_who_is_on_the_way() {
    let mut world = half(Options::default());
    let peer = world.client("{}");
    let going = world.call(&peer, "1", "two");
    assert!(!going.is_done());
    comes(&mut world, 1, "two");
    world.upstreams[1].answers("{}");
    world.run();
    assert_eq!(going.text(), r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
}

#[test]
fn a_known_name_and_a_list_wait_for_nobody() {
    let mut world = half(Options::default());
    let peer = world.client("{}");
    assert_eq!(
        world.ask(&peer, LIST).text(),
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"inputSchema":{"type":"object"},"name":"one"}]}}"#
    );
    let going = world.call(&peer, "2", "one");
    world.upstreams[0].answers("{}");
    world.run();
    assert_eq!(going.text(), r#"{"jsonrpc":"2.0","id":2,"result":{}}"#);
}

#[test]
fn nobody_waits_longer_than_told_nor_for_the_dead() {
    let mut world = half(Options::default());
    let peer = world.client("{}");
    // The sleep of whoever tells clients of changes.
    world.clock.wake();
    let going = world.call(&peer, "1", "nothing");
    assert!(!going.is_done());
    assert_eq!(world.clock.wake(), [Duration::from_secs(5)]);
    world.run();
    assert!(going.text().contains("unknown tool"));

    let going = world.call(&peer, "2", "nothing");
    assert!(!going.is_done());
    world.down(1, Health::Recovering);
    assert!(going.text().contains("unknown tool"));
    assert!(world.call(&peer, "3", "nothing").text().contains("unknown tool"));
}

#[test]
fn a_first_list_waits_where_it_is_asked_to() {
    let wait = Duration::from_secs(3);
    let mut world = half(Options { first_list_wait: wait, ..Options::default() });
    let peer = world.client("{}");
    let going = world.ask(&peer, LIST);
    assert!(!going.is_done());
    comes(&mut world, 1, "two");
    assert!(going.text().contains(r#"[{"inputSchema":{"type":"object"},"name":"one"},{"inputSchema":{"type":"object"},"name":"two"}]"#));
    assert!(world.ask(&peer, LIST).is_done());
}
