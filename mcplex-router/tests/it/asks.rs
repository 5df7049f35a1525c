//! Requests of upstreams: their answers, their progress, and every way they can end.

use crate::world::{Peer, World};
use mcplex_proto::{upstream::Health, version::Version};

const ALL: &str = r#"{"sampling":{},"elicitation":{"url":{}},"roots":{}}"#;

fn sample(world: &mut World, index: usize, id: &str) {
    let params = r#"{"_meta":{"progressToken":"up"},"n":1.50}"#;
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"sampling/createMessage","params":{params}}}"#
    );
    world.says(index, &text);
}

fn answers(world: &mut World, peer: &Peer, id: u64) {
    world.tell(peer, &format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"n":1.50}},"x":1.0}}"#));
}

#[test]
fn an_answer_goes_to_the_life_that_asked_under_its_id() {
    let mut world = World::two();
    let peer = world.client(ALL);
    sample(&mut world, 0, r#""q-1""#);
    assert_eq!(
        peer.client.take(),
        [
            r#"{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{"_meta":{"progressToken":1},"n":1.50}}"#
        ]
    );
    answers(&mut world, &peer, 1);
    let expect =
        (Some(1), r#"{"jsonrpc":"2.0","id":"q-1","result":{"n":1.50},"x":1.0}"#.to_owned());
    assert_eq!(world.upstreams[0].take_sent_to(), [expect]);
    // A second answer, and one to nothing.
    answers(&mut world, &peer, 1);
    answers(&mut world, &peer, 99);
    assert!(world.upstreams.iter().all(|upstream| upstream.take_sent().is_empty()));
}

#[test]
fn a_client_answers_only_what_it_was_asked() {
    let mut world = World::two();
    let peer = world.client(ALL);
    sample(&mut world, 0, "1");
    let thief = world.client("{}");
    answers(&mut world, &thief, 1);
    assert!(world.upstreams[0].take_sent().is_empty());
    answers(&mut world, &peer, 1);
    assert_eq!(world.upstreams[0].take_sent().len(), 1);
}

#[test]
fn a_refusal_of_the_client_reaches_the_upstream() {
    let mut world = World::two();
    let peer = world.client(ALL);
    sample(&mut world, 1, "4");
    world.tell(&peer, r#"{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"no","n":1.50}}"#);
    assert_eq!(
        world.upstreams[1].take_sent(),
        [r#"{"jsonrpc":"2.0","id":4,"error":{"code":-1,"message":"no","n":1.50}}"#]
    );
}

#[test]
fn an_answer_is_written_as_the_upstream_reads_it() {
    let mut world = World::two();
    world.upstreams[0].speaks(Version::V2025_06_18);
    let peer = world.client(ALL);
    let block = r#"{"type":"text","text":"a","n":1.50}"#;
    // Of several blocks, as clients of later revisions may answer, it reads one alone.
    for (id, content, expect) in [
        (1, format!("[{block}]"), format!(r#""result":{{"content":{block}}}"#)),
        (2, format!("[{block},{block}]"), r#""error":{"code":-32603"#.to_owned()),
        (3, block.to_owned(), format!(r#""result":{{"content":{block}}}"#)),
    ] {
        sample(&mut world, 0, "4");
        peer.client.take();
        let answer = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":{content}}}}}"#);
        world.tell(&peer, &answer);
        let sent = world.upstreams[0].take_sent();
        assert!(sent.len() == 1 && sent[0].contains(&expect), "{sent:?}");
    }
}

#[test]
fn an_answer_of_a_client_that_is_none_becomes_an_error() {
    let mut world = World::two();
    let peer = world.client(ALL);
    let odd = [r#""result":null"#, r#""result":[]"#, r#""error":{"code":"x","message":"no"}"#];
    for (odd, id) in odd.into_iter().zip(1..) {
        sample(&mut world, 0, "4");
        world.tell(&peer, &format!(r#"{{"jsonrpc":"2.0","id":{id},{odd}}}"#));
        let sent = world.upstreams[0].take_sent().pop().unwrap();
        let expect = r#"{"jsonrpc":"2.0","id":4,"error":{"code":-32603,"message":"the client answered with a"#;
        assert!(sent.starts_with(expect), "{sent}");
    }
}

#[test]
fn progress_of_the_client_reaches_the_upstream_under_its_token() {
    let mut world = World::two();
    let peer = world.client(ALL);
    sample(&mut world, 0, "4");
    let progress = |token: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":0.50}}}}"#
        )
    };
    world.tell(&peer, &progress("1"));
    assert_eq!(world.upstreams[0].take_sent_to(), [(Some(1), progress(r#""up""#))]);
    world.tell(&peer, &progress("2"));
    answers(&mut world, &peer, 1);
    world.upstreams[0].take_sent();
    world.tell(&peer, &progress("1"));
    assert!(world.upstreams[0].take_sent().is_empty());
}

#[test]
fn an_upstream_can_take_back_what_it_asked() {
    let mut world = World::two();
    let peer = world.client(ALL);
    sample(&mut world, 0, "4");
    sample(&mut world, 1, "4");
    peer.client.take();
    world.says(
        0,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":4,"reason":"enough"}}"#,
    );
    assert_eq!(
        peer.client.take(),
        [
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,"reason":"enough"}}"#
        ]
    );
    answers(&mut world, &peer, 1);
    answers(&mut world, &peer, 2);
    assert!(world.upstreams[0].take_sent().is_empty());
    assert_eq!(world.upstreams[1].take_sent().len(), 1);
}

#[test]
fn a_death_takes_the_questions_of_its_life_along() {
    for health in [Health::Recovering, Health::Tripped, Health::Stopped] {
        let mut world = World::two();
        let peer = world.client(ALL);
        sample(&mut world, 0, "4");
        sample(&mut world, 1, "4");
        peer.client.take();
        world.down(0, health);
        let got = peer.client.take();
        assert!(got.len() == 1 && got[0].contains(r#""requestId":1"#), "{got:?}");
        // The next life knows nothing of it.
        world.ready(0, 2);
        world.upstreams[0].take_sent();
        answers(&mut world, &peer, 1);
        assert!(world.upstreams[0].take_sent().is_empty());
        answers(&mut world, &peer, 2);
        assert_eq!(world.upstreams[1].take_sent().len(), 1);
    }
}

#[test]
fn a_client_that_leaves_answers_with_an_error() {
    let mut world = World::two();
    let peer = world.client(ALL);
    sample(&mut world, 0, "4");
    sample(&mut world, 1, "5");
    peer.session.close();
    for (index, id) in [(0, 4), (1, 5)] {
        let sent = world.upstreams[index].take_sent_to();
        let [(Some(1), text)] = &sent[..] else { panic!("{sent:?}") };
        assert!(text.contains(&format!(r#""id":{id},"error":{{"code":-32603"#)), "{text}");
    }
    peer.session.close();
    answers(&mut world, &peer, 1);
    assert!(world.upstreams[0].take_sent().is_empty());
}

#[test]
fn a_client_that_cannot_be_reached_is_not_waited_for() {
    let mut world = World::two();
    let peer = world.client(ALL);
    peer.client.goes();
    sample(&mut world, 0, "4");
    let sent = world.upstreams[0].take_sent();
    assert!(sent.len() == 1 && sent[0].contains("-32603"), "{sent:?}");
}

#[test]
fn a_client_has_a_bounded_number_of_open_questions() {
    let mut world = World::two();
    let peer = world.client(ALL);
    for id in 0..257 {
        sample(&mut world, 0, &id.to_string());
    }
    assert_eq!(peer.client.take().len(), 256);
    assert!(world.upstreams[0].take_sent()[0].contains(r#""id":256,"error":{"code":-32603"#));
    answers(&mut world, &peer, 1);
    sample(&mut world, 0, "300");
    assert_eq!(peer.client.take().len(), 1);
}

#[test]
fn the_end_of_an_elicitation_by_url_reaches_the_client_that_was_asked() {
    let mut world = World::two();
    let peer = world.client(ALL);
    world.says(
        0,
        r#"{"jsonrpc":"2.0","id":1,"method":"elicitation/create","params":{"mode":"url","elicitationId":"e1","url":"https://x"}}"#,
    );
    assert!(peer.client.take()[0].contains(r#""elicitationId":"e1""#));
    answers(&mut world, &peer, 1);
    let other = world.client(ALL);
    let complete = r#"{"jsonrpc":"2.0","method":"notifications/elicitation/complete","params":{"elicitationId":"e1"}}"#;
    world.says(1, complete);
    assert!(peer.client.take().is_empty());
    world.says(0, complete);
    assert_eq!(peer.client.take(), [complete]);
    world.says(0, complete);
    assert!(peer.client.take().is_empty() && other.client.take().is_empty());
}

#[test]
fn the_end_of_an_elicitation_that_an_error_asked_for_reaches_the_client_too() {
    let mut world = World::two();
    let (peer, other) = (world.client(ALL), world.client(ALL));
    let going = world.call(&peer, "1", "one");
    let error = r#"{"code":-32042,"message":"m","data":{"elicitations":[{"mode":"url","elicitationId":"e2","url":"https://x"}]}}"#;
    world.upstreams[0].ends(Ok(&format!(r#"{{"jsonrpc":"2.0","id":1,"error":{error}}}"#)));
    world.run();
    assert!(going.text().contains(error));
    let complete = r#"{"jsonrpc":"2.0","method":"notifications/elicitation/complete","params":{"elicitationId":"e2"}}"#;
    world.says(0, complete);
    assert_eq!(peer.client.take(), [complete]);
    assert!(other.client.take().is_empty());
}
