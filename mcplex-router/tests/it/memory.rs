//! Lists that are known before their upstream was ever asked.

use crate::world::World;
use mcplex_proto::upstream::Health;
use mcplex_router::Memory;
use std::sync::{Arc, Mutex};

const CHANGED: &str = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;

#[derive(Debug, Default)]
struct Paper {
    text: Mutex<Option<String>>,
    writes: Mutex<usize>,
}

impl Memory for Paper {
    fn recall(&self) -> Option<String> {
        self.text.lock().unwrap().clone()
    }

    fn remember(&self, document: String) {
        *self.text.lock().unwrap() = Some(document);
        *self.writes.lock().unwrap() += 1;
    }
}

impl Paper {
    fn writes(&self) -> usize {
        *self.writes.lock().unwrap()
    }
}

fn world(paper: &Arc<Paper>) -> (World, bool) {
    let mut world = World::new(&[]);
    let index = world.add("a");
    let is_known = world.router.remember(world.keys[index], paper.clone());
    world.run();
    (world, is_known)
}

fn speaks(world: &World, tools: &str) {
    world.upstreams[0].introduces(r#"{"tools":{}}"#, Some("Be kind"));
    world.upstreams[0].lists("tools/list", &[&format!(r#"{{"tools":{tools}}}"#)]);
}

/// What a first run of the gateway leaves behind.
fn written() -> Arc<Paper> {
    let paper = Arc::new(Paper::default());
    let (mut world, is_known) = world(&paper);
    assert!(!is_known && paper.writes() == 0);
    speaks(&world, r#"[{"inputSchema":{"type":"object"},"name":"t","x":1.0}]"#);
    world.ready(0, 1);
    assert_eq!(paper.writes(), 1);
    paper
}

#[test]
fn a_list_is_answered_at_once_while_its_upstream_rests() {
    let paper = written();
    let (mut world, is_known) = world(&paper);
    assert!(is_known);
    world.down(0, Health::Idle);
    let peer = world.client("{}");
    let list = world.ask(&peer, LIST).text();
    assert!(list.contains(r#"{"inputSchema":{"type":"object"},"name":"t","x":1.0}"#), "{list}");
    assert!(world.upstreams[0].take_reads().is_empty(), "nothing was asked for it");
    // The call is what starts it, without a wait for who might arrive.
    let going = world.call(&peer, "2", "t");
    assert_eq!(world.upstreams[0].calls().len(), 1);
    world.upstreams[0].answers("{}");
    world.run();
    assert!(going.is_done());
    let unknown = world.call(&peer, "3", "nothing");
    assert!(unknown.is_done());
}

#[test]
fn the_first_life_corrects_what_is_remembered_and_clients_hear_of_it() {
    let paper = written();
    let (mut world, _) = world(&paper);
    let peer = world.client("{}");
    for _ in 0..3 {
        world.clock.wake();
        world.run();
    }
    peer.client.take();
    speaks(&world, r#"[{"inputSchema":{"type":"object"},"name":"t","x":1.0}]"#);
    world.ready(0, 1);
    assert!(peer.client.take().is_empty(), "it is as it was");
    assert_eq!(paper.writes(), 1);
    speaks(&world, r#"[{"inputSchema":{"type":"object"},"name":"u"}]"#);
    world.ready(0, 2);
    assert_eq!(peer.client.take(), [CHANGED]);
    assert_eq!(paper.writes(), 2);
    // A life that rests leaves its lists.
    world.down(0, Health::Idle);
    world.says(0, CHANGED);
    assert!(
        world.ask(&peer, LIST).text().contains(r#"{"inputSchema":{"type":"object"},"name":"u"}"#)
    );
}

#[test]
fn half_a_list_is_not_remembered() {
    let paper = Arc::new(Paper::default());
    let (mut world, _) = world(&paper);
    world.upstreams[0].introduces(r#"{"tools":{},"prompts":{}}"#, None);
    world.upstreams[0].lists("prompts/list", &[r#"{"prompts":[{"name":"p"}]}"#]);
    world.upstreams[0].refuses("tools/list", r#"{"code":-32603,"message":"no"}"#);
    world.ready(0, 1);
    assert_eq!(paper.writes(), 0);
}

#[test]
fn a_document_that_cannot_be_read_is_as_good_as_none() {
    let paper = Arc::new(Paper::default());
    paper.remember("{".to_owned());
    let (mut world, is_known) = world(&paper);
    assert!(!is_known);
    speaks(&world, r#"[{"inputSchema":{"type":"object"},"name":"t"}]"#);
    world.ready(0, 1);
    assert_eq!(paper.writes(), 2);
    let peer = world.client("{}");
    assert!(
        world.ask(&peer, LIST).text().contains(r#"{"inputSchema":{"type":"object"},"name":"t"}"#)
    );
}

#[test]
fn another_memory_gets_what_is_read_from_then_on() {
    let (one, two) = (written(), Arc::new(Paper::default()));
    let (mut world, _) = world(&one);
    assert!(!world.router.remember(world.keys[0], two.clone()));
    assert_eq!(two.recall(), None, "what another configuration listed is not written down for it");
    speaks(&world, r#"[{"inputSchema":{"type":"object"},"name":"t","x":1.0}]"#);
    world.ready(0, 1);
    assert_eq!(two.recall(), one.recall());
    world.says(0, CHANGED);
    assert_eq!((one.writes(), two.writes()), (1, 1));
}
