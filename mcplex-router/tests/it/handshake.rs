//! What a client may do before, in and after its handshake.

use crate::world::{Peer, World};
use mcplex_proto::version::Version;

fn hello(version: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{{"protocolVersion":"{version}","capabilities":{{}},"clientInfo":{{"name":"t","version":"1"}}}}}}"#
    )
}

#[test]
fn nothing_but_initialize_and_ping_is_served_to_a_stranger() {
    let mut world = World::two();
    let peer = world.stranger();
    let ping = world.ask(&peer, r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    assert_eq!(ping.text(), r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    for method in ["tools/list", "tools/call", "logging/setLevel", "x/y"] {
        let request = format!(r#"{{"jsonrpc":"2.0","id":2,"method":"{method}"}}"#);
        let answer = world.ask(&peer, &request).text();
        assert!(answer.contains("-32600") && answer.contains("initialize"), "{answer}");
    }
    assert!(world.upstreams.iter().all(|upstream| upstream.calls().is_empty()));
}

#[test]
fn a_known_version_is_echoed_and_an_unknown_one_gets_the_latest() {
    let mut world = World::two();
    for (wanted, expect) in [
        ("2025-03-26", Version::V2025_03_26),
        ("2025-06-18", Version::V2025_06_18),
        ("2099-01-01", Version::LATEST_LEGACY),
    ] {
        let peer = world.stranger();
        assert_eq!(peer.session.version(), None);
        let answer = world.ask(&peer, &hello(wanted)).text();
        assert!(answer.contains(&format!(r#""protocolVersion":"{expect}""#)), "{answer}");
        assert_eq!(peer.session.version(), Some(expect));
    }
}

#[test]
fn a_session_is_initialized_once() {
    let mut world = World::two();
    let peer = world.stranger();
    world.ask(&peer, &hello("2025-06-18"));
    let again = world.ask(&peer, &hello("2025-03-26")).text();
    assert!(again.contains("-32600") && again.contains("already"), "{again}");
    assert_eq!(peer.session.version(), Some(Version::V2025_06_18));
}

#[test]
fn an_initialize_without_a_version_opens_nothing() {
    let mut world = World::two();
    let peer = world.stranger();
    let request = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;
    assert!(world.ask(&peer, request).text().contains("-32602"));
    assert_eq!(peer.session.version(), None);
}

#[test]
fn nobody_speaks_unasked_to_a_client_before_it_is_ready() {
    let mut world = World::two();
    let peer = world.stranger();
    let changes = |world: &mut World, tool: &str| {
        let page = format!(r#"{{"tools":[{{"name":"{tool}"}}]}}"#);
        world.upstreams[0].lists("tools/list", &[&page]);
        world.says(0, r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#);
        world.clock.wake();
        world.run();
    };
    let changed = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    changes(&mut world, "w");
    world.ask(&peer, &hello("2025-06-18"));
    changes(&mut world, "x");
    assert_eq!(peer.client.take(), Vec::<String>::new());
    world.tell(&peer, initialized);
    changes(&mut world, "y");
    assert_eq!(peer.client.take(), [changed]);

    // In the wrong order, as scripts that read no answers say it.
    let hasty = world.stranger();
    world.tell(&hasty, initialized);
    changes(&mut world, "z");
    assert_eq!(hasty.client.take(), Vec::<String>::new());
    world.ask(&hasty, &hello("2025-06-18"));
    changes(&mut world, "w");
    assert_eq!(hasty.client.take(), [changed]);
}

#[test]
fn a_notification_nobody_knows_reaches_the_only_upstream_from_a_session_alone() {
    let mut world = World::new(&["a"]);
    world.ready(0, 1);
    let (client, stranger) = (world.client("{}"), world.stranger());
    world.upstreams[0].take_sent();
    let mut told = |peer: &Peer, text: &str| {
        world.tell(peer, text);
        world.upstreams[0].take_sent()
    };
    let note = r#"{"jsonrpc":"2.0","method":"x/note","params":{"n":1.50}}"#;
    assert_eq!(told(&client, note), [note]);
    assert_eq!(told(&stranger, note), Vec::<String>::new());
    // What a stateless client says belongs to a request.
    let stateless = note.replace(
        r#""n":1.50"#,
        r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#,
    );
    assert_eq!(told(&client, &stateless), Vec::<String>::new());
    // These are for servers to say.
    for method in ["notifications/tools/list_changed", "notifications/message"] {
        let text = format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{{}}}}"#);
        assert_eq!(told(&client, &text), Vec::<String>::new(), "{method}");
    }
    let mut world = World::two();
    let client = world.client("{}");
    world.tell(&client, note);
    assert!(world.upstreams.iter().all(|upstream| upstream.take_sent().is_empty()));
}

#[test]
fn the_greeting_offers_everything_and_joins_the_instructions() {
    let mut world = World::new(&["a", "b"]);
    world.upstreams[0].introduces("{}", Some("Use a."));
    world.upstreams[1].introduces("{}", Some("Use b."));
    world.ready(0, 1);
    world.ready(1, 1);
    let peer = world.stranger();
    let answer = world.ask(&peer, &hello("2025-06-18")).text();
    for part in [
        r#""logging":{}"#,
        r#""completions":{}"#,
        r#""prompts":{"listChanged":true}"#,
        r#""resources":{"subscribe":true,"listChanged":true}"#,
        r#""tools":{"listChanged":true}"#,
        r##""instructions":"# a\n\nUse a.\n\n# b\n\nUse b.""##,
    ] {
        assert!(answer.contains(part), "{answer} lacks {part}");
    }
}
