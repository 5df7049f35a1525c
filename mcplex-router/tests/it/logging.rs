//! Log levels and log lines.

use crate::world::{Peer, World};

fn set_level(world: &mut World, peer: &Peer, level: &str) {
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":"l","method":"logging/setLevel","params":{{"level":"{level}"}}}}"#
    );
    assert_eq!(world.ask(peer, &text).text(), r#"{"jsonrpc":"2.0","id":"l","result":{}}"#);
}

/// The levels an upstream was asked for since the last time.
fn asked(world: &World, index: usize) -> Vec<String> {
    let sent = world.upstreams[index].take_sent();
    let level = |text: String| {
        assert!(text.contains("logging/setLevel"), "{text}");
        let (_, level) = text.split_once(r#""level":""#).unwrap();
        level.split('"').next().unwrap().to_owned()
    };
    sent.into_iter().map(level).collect()
}

/// The same as a client reads it, who has to know which upstream wrote it.
fn heard(level: &str) -> String {
    line(level).replace(r#""params":{"#, r#""params":{"logger":"a","#)
}

fn line(level: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"{level}","data":1.50}}}}"#
    )
}

#[test]
fn upstreams_log_as_much_as_the_most_curious_client_wants() {
    let mut world = World::two();
    let (one, two) = (world.client("{}"), world.client("{}"));
    assert!(asked(&world, 0).is_empty());
    set_level(&mut world, &one, "warning");
    set_level(&mut world, &two, "debug");
    for index in [0, 1] {
        assert_eq!(asked(&world, index), ["warning", "debug"]);
    }
    two.session.close();
    assert_eq!(asked(&world, 0), ["warning"]);
    let other = world.client("{}");
    asked(&world, 0);
    other.session.close();
    assert!(asked(&world, 0).is_empty(), "it wanted nothing, so its leaving changes nothing");
}

#[test]
fn each_client_reads_what_it_wants() {
    let mut world = World::two();
    let peer = world.client("{}");
    world.says(0, &line("debug"));
    assert_eq!(peer.client.take(), [heard("debug")], "nobody said how much, so all of it");
    set_level(&mut world, &peer, "warning");
    for level in ["debug", "notice", "warning", "emergency", "odd"] {
        world.says(0, &line(level));
    }
    // What has no level that anybody knows is no line of a log.
    assert_eq!(peer.client.take(), ["warning", "emergency"].map(heard));
}

#[test]
fn a_line_that_could_be_anybodys_is_nobodys() {
    let mut world = World::two();
    let (one, two) = (world.client("{}"), world.client("{}"));
    world.says(0, &line("error"));
    assert!(one.client.take().is_empty() && two.client.take().is_empty());
    world.call(&one, "1", "one");
    world.says(0, &line("error"));
    world.says(1, &line("error"));
    assert_eq!(one.client.take_about(), [(heard("error"), Some(1.into()))]);
    assert!(two.client.take().is_empty());
}

#[test]
fn a_new_life_is_told_the_level() {
    let mut world = World::two();
    let peer = world.client("{}");
    set_level(&mut world, &peer, "info");
    asked(&world, 0);
    world.ready(0, 2);
    assert_eq!(asked(&world, 0), ["info"]);
    world.upstreams[0].introduces(r#"{"tools":{}}"#, None);
    world.ready(0, 3);
    assert!(asked(&world, 0).is_empty(), "this life has no log");
}

#[test]
fn a_line_says_whose_it_is_where_there_are_several() {
    let line = |logger: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"error"{logger},"data":1.50}}}}"#
        )
    };
    let mut world = World::two();
    let peer = world.client("{}");
    world.says(0, &line(r#","logger":"x\u00e9""#));
    assert!(peer.client.take()[0].contains(r#""logger":"a/xé""#));
    world.says(0, &line(r#","logger":5"#));
    assert!(peer.client.take()[0].contains(r#""logger":"a""#));
    // Of a single one there is no doubt, and it is heard as it spoke.
    let mut world = World::one(r#"{"logging":{}}"#);
    let peer = world.client("{}");
    world.says(0, &line(r#","logger":"x\u00e9""#));
    assert_eq!(peer.client.take(), [line(r#","logger":"x\u00e9""#)]);
}

#[test]
fn what_no_revision_knows_as_a_line_of_a_log_reaches_nobody() {
    let mut world = World::two();
    let peer = world.client("{}");
    for params in [
        r#"{"data":1}"#,
        r#"{"level":"silly","data":1}"#,
        r#"{"level":5,"data":1}"#,
        r#"{"level":"error"}"#,
        "{}",
    ] {
        let text =
            format!(r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{params}}}"#);
        world.says(0, &text);
        assert!(peer.client.take().is_empty(), "{params}");
    }
}
