//! `subscriptions/listen` of clients.

use crate::{
    modern::{SUBSCRIPTION, request},
    world::{Going, Peer, World},
};
use mcplex_proto::{
    downstream::{Principal, Stay},
    id::Id,
    upstream::Health,
};

const CHANGED: &str = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;

fn listen(world: &mut World, peer: &Peer, id: &str, filter: &str) -> Going {
    let members = format!(r#","notifications":{{{filter}}}"#);
    world.ask(peer, &request(id, "subscriptions/listen", &members))
}

fn world() -> World {
    let mut world = World::new(&["a", "b"]);
    for (index, subscribe) in [(0, "true"), (1, "false")] {
        let capabilities = format!(
            r#"{{"tools":{{"listChanged":true}},"resources":{{"subscribe":{subscribe}}}}}"#
        );
        world.upstreams[index].introduces(&capabilities, None);
        world.upstreams[index].lists("tools/list", &[r#"{"tools":[]}"#]);
        let list = format!(r#"{{"resources":[{{"uri":"x://{index}"}}]}}"#);
        world.upstreams[index].lists("resources/list", &[&list]);
        world.upstreams[index].lists("resources/templates/list", &[r#"{"resourceTemplates":[]}"#]);
        world.ready(index, 1);
    }
    settle(&mut world);
    world
}

fn settle(world: &mut World) {
    for _ in 0..3 {
        world.clock.wake();
        world.run();
    }
}

fn marked(method: &str, id: &str, more: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/{method}","params":{{"_meta":{{"{SUBSCRIPTION}":{id}}}{more}}}}}"#
    )
}

fn updated(uri: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{{"uri":"{uri}"}}}}"#
    )
}

#[test]
fn a_listener_is_told_first_what_it_will_hear() {
    let mut world = world();
    let peer = world.passer_by(None);
    let filter = r#""toolsListChanged":true,"promptsListChanged":false,"resourceSubscriptions":["x://0","x://1","x://nobody"],"unknown":true"#;
    let going = listen(&mut world, &peer, r#""l""#, filter);
    let honoured =
        r#","notifications":{"toolsListChanged":true,"resourceSubscriptions":["x://0"]}"#;
    let first = marked("subscriptions/acknowledged", r#""l""#, honoured);
    assert_eq!(peer.client.take_about(), [(first, Some(Id::Text("l".into())))]);
    assert!(!going.is_done());
    let sent = world.upstreams[0].take_sent();
    assert!(sent.len() == 1 && sent[0].contains("resources/subscribe"), "{sent:?}");
    assert!(world.upstreams[1].take_sent().is_empty());
    // Only what it asked for, and everything with its mark.
    world.says(0, CHANGED);
    world.says(0, &CHANGED.replace("tools", "resources"));
    settle(&mut world);
    assert_eq!(peer.client.take(), [marked("tools/list_changed", r#""l""#, "")]);
    world.says(0, &updated("x://0/part"));
    world.says(0, &updated("x://other"));
    world.says(1, &updated("x://0"));
    let told = peer.client.take();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains(&format!(r#""_meta":{{"{SUBSCRIPTION}":"l"}}"#)), "{told:?}");
    assert!(told[0].contains(r#""uri":"x://0/part""#), "{told:?}");
}

#[test]
fn several_listen_on_one_pipe_and_beside_a_session() {
    let mut world = world();
    let peer = world.client("{}");
    settle(&mut world);
    peer.client.take();
    let filter = r#""toolsListChanged":true,"resourceSubscriptions":["x://0"]"#;
    let one = listen(&mut world, &peer, "1", filter);
    let two = listen(&mut world, &peer, r#""1""#, r#""resourceSubscriptions":["x://0"]"#);
    assert_eq!(world.upstreams[0].take_sent().len(), 1, "the upstream hears of the first alone");
    peer.client.take();
    world.says(0, CHANGED);
    settle(&mut world);
    let told = peer.client.take();
    assert_eq!(told, [CHANGED.to_owned(), marked("tools/list_changed", "1", "")]);
    world.says(0, &updated("x://0"));
    assert_eq!(peer.client.take().len(), 2);
    // The same id again is refused as long as it is used.
    assert!(listen(&mut world, &peer, "1", "").text().contains("-32600"));
    world.tell(
        &peer,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#,
    );
    assert_eq!(one.answer(), None);
    assert!(world.upstreams[0].take_sent().is_empty());
    world.tell(
        &peer,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"1"}}"#,
    );
    assert_eq!(two.answer(), None);
    assert!(world.upstreams[0].take_sent()[0].contains("resources/unsubscribe"));
    world.says(0, &updated("x://0"));
    assert!(peer.client.take().is_empty());
    assert!(!listen(&mut world, &peer, "1", "").is_done());
}

#[test]
fn sessions_and_listeners_count_as_one_to_the_upstream() {
    let mut world = world();
    let (session, peer) = (world.client("{}"), world.passer_by(None));
    listen(&mut world, &peer, "1", r#""resourceSubscriptions":["x://0"]"#);
    assert_eq!(world.upstreams[0].take_sent().len(), 1);
    let subscribe =
        r#"{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"x://0"}}"#;
    assert!(world.ask(&session, subscribe).is_done());
    peer.session.close();
    world.run();
    assert!(world.upstreams[0].take_sent().is_empty());
    session.session.close();
    assert!(world.upstreams[0].take_sent()[0].contains("resources/unsubscribe"));
}

#[test]
fn a_listener_gets_its_answer_when_the_gateway_stops() {
    let mut world = world();
    let peer = world.opens(Principal::Pipe, Stay::Long);
    let going = listen(&mut world, &peer, r#""l""#, r#""toolsListChanged":true"#);
    peer.client.take();
    peer.session.drain();
    world.run();
    let answer: serde_json::Value = serde_json::from_str(&going.text()).unwrap();
    assert_eq!(answer["id"], "l");
    assert_eq!(answer["result"]["resultType"], "complete");
    assert_eq!(answer["result"]["_meta"][SUBSCRIPTION], "l");
    world.says(0, CHANGED);
    settle(&mut world);
    assert!(peer.client.take().is_empty());
}

#[test]
fn a_new_life_is_told_what_listeners_want() {
    let mut world = world();
    let peer = world.passer_by(None);
    listen(&mut world, &peer, "1", r#""resourceSubscriptions":["x://0"]"#);
    world.down(0, Health::Recovering);
    world.upstreams[0].take_sent();
    world.ready(0, 2);
    let sent = world.upstreams[0].take_sent();
    assert!(sent.len() == 1 && sent[0].contains("resources/subscribe"), "{sent:?}");
}

#[test]
fn a_filter_that_cannot_be_read_is_refused() {
    let mut world = world();
    let peer = world.passer_by(None);
    for members in [
        "",
        r#","notifications":[]"#,
        r#","notifications":{"resourceSubscriptions":[1]}"#,
        r#","notifications":{"toolsListChanged":"yes"}"#,
        r#","notifications":{"promptsListChanged":1}"#,
    ] {
        let going = world.ask(&peer, &request("1", "subscriptions/listen", members));
        assert!(going.text().contains("-32602"), "{}", going.text());
    }
    assert!(peer.client.take().is_empty());
}
