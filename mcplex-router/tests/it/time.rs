//! What a call waits for its client is not its upstream's time.

use crate::{
    fake::FIRST_ID,
    modern,
    world::{Peer, World},
};
use serde_json::Value;
use std::time::Duration;

const QUESTION: &str =
    r#"{"jsonrpc":"2.0","id":7,"method":"sampling/createMessage","params":{"messages":[]}}"#;
const ABLE: &str = r#"{"sampling":{}}"#;

/// The id of the only call that is open at the upstream.
fn open(world: &World) -> u64 {
    let calls = world.upstreams[0].calls();
    let [call] = &calls[..] else { panic!("{calls:?}") };
    let call: Value = serde_json::from_str(call).unwrap();
    call["id"].as_u64().unwrap()
}

fn asked(world: &mut World) -> u64 {
    let id = open(world);
    assert!(id > FIRST_ID && world.upstreams[0].take_renewed().is_empty());
    world.says(0, QUESTION);
    let renewed = world.upstreams[0].take_renewed();
    assert_eq!(renewed, [(id, Duration::from_secs(600))], "a person has ten minutes");
    id
}

#[test]
fn a_question_to_a_session_and_its_answer_begin_the_time_of_the_call_anew() {
    let mut world = World::two();
    let peer = world.client(ABLE);
    world.call(&peer, "1", "one");
    let id = asked(&mut world);
    world.tell(&peer, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    assert_eq!(world.upstreams[0].take_renewed(), [(id, Duration::ZERO)]);
}

fn call(world: &mut World, peer: &Peer, more: &str) -> crate::world::Going {
    let meta = modern::meta(ABLE, "");
    world.ask(peer, &format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"one",{meta}{more}}}}}"#
    ))
}

#[test]
fn so_does_each_round_of_a_call_without_a_session() {
    let mut world = World::two();
    let peer = world.passer_by(None);
    let mut going = call(&mut world, &peer, "");
    for round in 1..=3 {
        let id = asked(&mut world);
        assert!(world.clock.wake_after(Duration::from_millis(50)));
        world.run();
        let asked: Value = serde_json::from_str(&going.text()).unwrap();
        let state = &asked["result"]["requestState"];
        let peer = world.passer_by(None);
        let more =
            format!(r#","requestState":{state},"inputResponses":{{"q{round}":{{"role":"user"}}}}"#);
        going = call(&mut world, &peer, &more);
        assert_eq!(world.upstreams[0].take_renewed(), [(id, Duration::ZERO)]);
    }
}

#[test]
fn a_question_in_no_call_gives_no_call_any_time() {
    let mut world = World::two();
    let peer = world.client(ABLE);
    world.says(0, QUESTION);
    assert_eq!(peer.client.take().len(), 1);
    // Nor does one that is refused.
    let other = world.client(ABLE);
    world.call(&peer, "1", "one");
    world.call(&other, "1", "one");
    world.says(0, QUESTION);
    assert!(world.upstreams[0].take_renewed().is_empty());
}
