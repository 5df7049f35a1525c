//! Clients and upstreams of both eras, each with each.

use crate::{
    fake::FIRST_ID,
    modern::{self, CAPABILITIES, CLIENT, LEVEL, SERVER, VERSION, asks, calls, me},
    world::World,
};
use mcplex_proto::{
    downstream::{Principal, Stay},
    upstream::Health,
    version::Version,
};
use mcplex_router::Options;

const HELLO: &str = r#"{"jsonrpc":"2.0","id":"hello","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;

/// A world with one upstream of the stateless revision with a tool `echo`.
fn modern_world() -> World {
    let mut world = World::new(&["a"]);
    world.upstreams[0].introduces_modern(r#"{"tools":{}}"#);
    world.upstreams[0].lists(
        "tools/list",
        &[r#"{"resultType":"complete","tools":[{"name":"echo","x":1.50}],"ttlMs":7000,"cacheScope":"public"}"#],
    );
    world.ready(0, 1);
    world
}

#[test]
fn a_stateless_request_needs_no_session_and_makes_none() {
    let mut world = World::two();
    let peer = world.passer_by(None);
    let going = calls(&mut world, &peer, "7", "one");
    assert_eq!(
        world.upstreams[0].calls(),
        [format!(
            r#"{{"jsonrpc":"2.0","id":{FIRST_ID},"method":"tools/call","params":{{"_meta":{{}},"name":"one"}}}}"#
        )
        .replace(&FIRST_ID.to_string(), &(FIRST_ID + 1).to_string())]
    );
    world.upstreams[0].answers(r#"{"content":[],"z":1.50}"#);
    world.run();
    let expect = format!(
        r#"{{"jsonrpc":"2.0","id":7,"result":{{"resultType":"complete","content":[],"z":1.50,"_meta":{{"{SERVER}":{}}}}}}}"#,
        me()
    );
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(value(&going.text()), value(&expect));
    assert!(going.text().contains(r#""z":1.50"#));
    assert_eq!(peer.session.version(), None);
}

#[test]
fn both_eras_go_side_by_side_on_one_pipe() {
    let mut world = World::two();
    let peer = world.opens(Principal::Pipe, Stay::Long);
    let before = calls(&mut world, &peer, "1", "one");
    assert!(world.ask(&peer, HELLO).text().contains("2025-11-25"));
    let legacy = world.call(&peer, "2", "one");
    let modern = calls(&mut world, &peer, "3", "one");
    for _ in 0..3 {
        world.upstreams[0].answers(r#"{"content":[]}"#);
    }
    world.run();
    assert_eq!(legacy.text(), r#"{"jsonrpc":"2.0","id":2,"result":{"content":[]}}"#);
    for modern in [before, modern] {
        assert!(modern.text().contains(r#""resultType":"complete""#), "{}", modern.text());
    }
    // What the session said in `initialize` is nothing to a stateless request, and back.
    let answer = asks(&mut world, &peer, "initialize", "");
    assert_eq!(answer["error"]["code"], -32601);
}

#[test]
fn an_envelope_that_cannot_be_served_is_refused_with_its_id() {
    let mut world = World::two();
    let peer = world.passer_by(None);
    let mut refused = |meta: &str, code: i64| {
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":"x","method":"tools/list","params":{{"_meta":{meta}}}}}"#
        );
        let answer: serde_json::Value =
            serde_json::from_str(&world.ask(&peer, &text).text()).unwrap();
        assert_eq!((&answer["error"]["code"], &answer["id"]), (&code.into(), &"x".into()));
        answer
    };
    refused(&format!(r#"{{"{VERSION}":"2026-07-28"}}"#), -32602);
    refused(
        &format!(r#"{{"{VERSION}":"2026-07-28","{CAPABILITIES}":{{}},"{LEVEL}":"loud"}}"#),
        -32602,
    );
    let answer = refused(&format!(r#"{{"{VERSION}":"1999-01-01","{CAPABILITIES}":{{}}}}"#), -32022);
    assert_eq!(answer["error"]["data"]["supported"], serde_json::json!(["2026-07-28"]));
    assert_eq!(answer["error"]["data"]["requested"], "1999-01-01");
}

#[test]
fn discovery_says_what_is_known_without_asking_anybody() {
    let mut world = World::new(&["a", "b"]);
    let peer = world.passer_by(None);
    let before = asks(&mut world, &peer, "server/discover", "");
    // Nobody has said anything yet, so everything may come.
    assert!(before["result"]["capabilities"]["prompts"].is_object());
    assert_eq!(before["result"]["ttlMs"], 0);
    world.upstreams[0].introduces(r#"{"tools":{},"logging":{}}"#, Some("Use a."));
    world.upstreams[1].introduces(
        r#"{"resources":{"subscribe":true},"extensions":{"io.modelcontextprotocol/ui":{"x":1.0},"a/b":{}}}"#,
        None,
    );
    world.upstreams[1].speaks(Version::LATEST_MODERN);
    for index in [0, 1] {
        world.ready(index, 1);
    }
    for index in [0, 1] {
        world.down(index, Health::Tripped);
        world.upstreams[index].take_reads();
    }
    let result = asks(&mut world, &peer, "server/discover", "")["result"].clone();
    assert_eq!(
        result["capabilities"],
        serde_json::json!({
            "tools": {"listChanged": true}, "logging": {},
            "resources": {"subscribe": true, "listChanged": true},
            "extensions": {"io.modelcontextprotocol/ui": {"x": 1.0}},
        })
    );
    assert_eq!(result["supportedVersions"], serde_json::json!(["2026-07-28"]));
    assert_eq!(result["resultType"], "complete");
    assert_eq!(result["cacheScope"], "private");
    assert!(result["ttlMs"].as_u64().unwrap() > 0);
    assert_eq!(result["instructions"], "# a\n\nUse a.");
    assert_eq!(result["_meta"][SERVER]["name"], "mcplex");
    assert!(world.upstreams.iter().all(|upstream| upstream.take_reads().is_empty()));
}

#[test]
fn an_upstream_of_2024_with_prompts_is_one_with_completions() {
    let mut world = World::new(&["a"]);
    world.upstreams[0].introduces(r#"{"prompts":{}}"#, None);
    world.upstreams[0].speaks(Version::V2024_11_05);
    world.ready(0, 1);
    let peer = world.passer_by(None);
    let result = asks(&mut world, &peer, "server/discover", "")["result"].clone();
    assert_eq!(result["capabilities"]["completions"], serde_json::json!({}));
}

#[test]
fn what_a_stateless_client_may_not_ask_is_no_method() {
    let mut world = World::two();
    let peer = world.passer_by(None);
    for method in [
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
        "tasks/list",
        "x/y",
        "prompts/list",
        "prompts/get",
        "resources/read",
        "completion/complete",
    ] {
        let answer = asks(&mut world, &peer, method, r#","name":"x","uri":"x://1""#);
        assert_eq!(answer["error"]["code"], -32601, "{method}");
    }
    let session = world.client("{}");
    for method in ["server/discover", "subscriptions/listen", "tasks/update"] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{}}}}"#);
        assert!(world.ask(&session, &text).text().contains("-32601"), "{method}");
    }
}

#[test]
fn a_list_is_in_the_words_of_its_reader() {
    let mut world = World::new(&["a", "b"]);
    world.upstreams[0].introduces(r#"{"tools":{}}"#, None);
    world.upstreams[0].lists(
        "tools/list",
        &[r#"{"tools":[{"name":"old","execution":{"taskSupport":"optional"},"x":1.50}]}"#],
    );
    world.upstreams[1].introduces_modern(r#"{"tools":{}}"#);
    world.upstreams[1].lists("tools/list", &[
        r#"{"resultType":"complete","tools":[{"name":"new","inputSchema":{"properties":{"a":true}}}],"ttlMs":7000,"cacheScope":"public","nextCursor":""}"#,
        r#"{"resultType":"complete","tools":[],"ttlMs":5000,"cacheScope":"public"}"#,
    ]);
    world.ready(1, 1);
    let peer = world.passer_by(None);
    let list = |world: &mut World| asks(world, &peer, "tools/list", "")["result"].clone();
    assert_eq!(list(&mut world)["ttlMs"], 0, "one has not said anything");
    world.ready(0, 1);
    let (modern, session) = (list(&mut world), world.client("{}"));
    assert_eq!((&modern["ttlMs"], &modern["cacheScope"]), (&0.into(), &"private".into()));
    assert_eq!(
        modern["tools"][0],
        serde_json::json!({"name": "old", "x": 1.50, "inputSchema": {"type": "object"}})
    );
    assert_eq!(modern["tools"][1]["inputSchema"]["properties"]["a"], true);
    let legacy = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let legacy: serde_json::Value =
        serde_json::from_str(&world.ask(&session, legacy).text()).unwrap();
    assert_eq!(legacy["result"]["tools"][0]["execution"]["taskSupport"], "optional");
    assert_eq!(
        legacy["result"]["tools"][1]["inputSchema"]["properties"]["a"],
        serde_json::json!({})
    );
    assert_eq!(legacy["result"].as_object().unwrap().len(), 1);
    // Asked in the words of each.
    assert_eq!(world.upstreams[0].take_reads(), ["tools/list"]);
    let reads = world.upstreams[1].take_reads();
    assert!(reads[0].contains(VERSION) && reads[1].contains(r#""cursor":"""#), "{reads:?}");
    world.remove(0);
    let modern = list(&mut world);
    assert_eq!((&modern["ttlMs"], &modern["cacheScope"]), (&5000.into(), &"public".into()));
}

/// A world in which nobody lists a resource and all may have some.
fn with_resources(names: &[&str]) -> World {
    let mut world = World::new(names);
    for index in 0..names.len() {
        world.upstreams[index].introduces(r#"{"resources":{}}"#, None);
        world.upstreams[index].lists("resources/list", &[r#"{"resources":[]}"#]);
        world.upstreams[index].lists("resources/templates/list", &[r#"{"resourceTemplates":[]}"#]);
        world.ready(index, 1);
    }
    world
}

#[test]
fn errors_are_in_the_words_of_their_reader() {
    let mut world = with_resources(&["a"]);
    let peer = world.passer_by(None);
    let going = world.ask(&peer, &modern::request("1", "resources/read", r#","uri":"x://1""#));
    world.upstreams[0].ends(Ok(
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32002,"message":"no","data":{"uri":"x://1"}}}"#,
    ));
    world.run();
    assert!(going.text().contains(r#""code":-32602"#), "{}", going.text());
    let mut world = with_resources(&["a", "b"]);
    let peer = world.passer_by(None);
    let answer = asks(&mut world, &peer, "resources/read", r#","uri":"x://1""#);
    assert_eq!(answer["error"]["code"], -32602);
}

#[test]
fn a_missing_capability_is_told_to_who_can_declare_it() {
    let mut world = modern_world();
    for (required, for_modern) in [
        (r#"{"sampling":{}}"#, "-32021"),
        (r#"{"extensions":{"io.modelcontextprotocol/ui":{}}}"#, "-32021"),
        (r#"{"extensions":{"a/b":{}}}"#, "-32603"),
    ] {
        let (session, peer) = (world.client("{}"), world.passer_by(None));
        let both = [calls(&mut world, &peer, "1", "echo"), world.call(&session, "1", "echo")];
        for (going, code) in both.iter().zip([for_modern, "-32603"]) {
            world.upstreams[0].ends(Ok(&format!(
                r#"{{"jsonrpc":"2.0","id":1,"error":{{"code":-32021,"message":"m","data":{{"requiredCapabilities":{required}}}}}}}"#
            )));
            world.run();
            assert!(going.text().contains(&format!(r#""code":{code}"#)), "{}", going.text());
        }
    }
}

#[test]
fn a_refusal_of_our_own_is_a_result_of_the_readers_revision() {
    let mut world = World::two();
    let peer = world.passer_by(None);
    let going = calls(&mut world, &peer, "1", "one");
    world.upstreams[0].ends(Err(mcplex_proto::upstream::UpstreamError::Stopped {
        upstream: mcplex_proto::upstream::UpstreamName::new("a").unwrap(),
        reason: None,
    }));
    world.run();
    let answer: serde_json::Value = serde_json::from_str(&going.text()).unwrap();
    assert_eq!(answer["result"]["isError"], true);
    assert_eq!(answer["result"]["resultType"], "complete");
    assert_eq!(answer["result"]["_meta"][SERVER]["name"], "mcplex");
}

#[test]
fn a_stateless_upstream_reads_in_each_call_who_asks() {
    let mut world = modern_world();
    let peer = world.client(r#"{"roots":{"listChanged":true},"sampling":{}}"#);
    let going = world.ask(&peer, r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","_meta":{"progressToken":"t","v/x":1.50},"arguments":{"n":1.0}}}"#);
    let call = world.upstreams[0].calls()[0].clone();
    assert!(call.contains(r#""arguments":{"n":1.0}"#) && call.contains(r#""v/x":1.50"#), "{call}");
    let call: serde_json::Value = serde_json::from_str(&call).unwrap();
    let meta = &call["params"]["_meta"];
    assert_eq!(meta[VERSION], "2026-07-28");
    assert_eq!(meta[CLIENT]["name"], "mcplex");
    assert!(meta[CAPABILITIES].is_object());
    assert_eq!(meta["progressToken"], call["id"]);
    world.upstreams[0].answers(&format!(
        r#"{{"resultType":"complete","content":[],"z":1.50,"_meta":{{"{SERVER}":{{}},"v/y":1.0}}}}"#
    ));
    world.run();
    assert_eq!(
        going.text(),
        r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"z":1.50,"_meta":{"v/y":1.0}}}"#
    );
}

#[test]
fn what_goes_from_one_stateless_side_to_the_other_stays_as_it_is() {
    let mut world = modern_world();
    let peer = world.passer_by(None);
    let more = r#","v/x":{"b":1.0,"a":null},"io.modelcontextprotocol/clientInfo":{"name":"c"}"#;
    let meta = modern::meta(r#"{"elicitation":{},"extensions":{"a/b":{}}}"#, more);
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{ "z":1e2,"name":"echo",{meta},"arguments":{{"b":1.0,"a":null}}}},"x":1.0}}"#
    );
    let going = world.ask(&peer, &text);
    let call = world.upstreams[0].calls()[0].clone();
    let id = call.split(r#""id":"#).nth(1).unwrap().split(',').next().unwrap().to_owned();
    let expect = format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{ "z":1e2,"name":"echo","_meta":{{"{VERSION}":"2026-07-28","{CAPABILITIES}":{{"elicitation":{{}},"extensions":{{}}}},"v/x":{{"b":1.0,"a":null}},"{CLIENT}":{}}},"arguments":{{"b":1.0,"a":null}}}},"x":1.0}}"#,
        me()
    );
    assert_eq!(call, expect);
    let result =
        r#"{ "resultType":"complete","content":[],"n":1.0,"m":null,"structuredContent":[1e2]}"#;
    world.upstreams[0].answers(result);
    world.run();
    assert_eq!(going.text(), format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#));
}

#[test]
fn a_result_of_no_known_kind_is_an_error() {
    let mut world = modern_world();
    for (result, is_fine) in [
        (r#"{"content":[]}"#, true),
        (r#"{"resultType":"new","content":[]}"#, false),
        (r#"{"resultType":7,"content":[]}"#, false),
    ] {
        let (session, peer) = (world.client("{}"), world.passer_by(None));
        let both = [world.call(&session, "1", "echo"), calls(&mut world, &peer, "1", "echo")];
        for going in &both {
            world.upstreams[0].answers(result);
            world.run();
            assert_eq!(going.text().contains("-32603"), !is_fine, "{}", going.text());
        }
        let has_type = both[1].text().contains(r#""resultType":"complete""#);
        assert_eq!(has_type, is_fine, "{}", both[1].text());
    }
}

#[test]
fn a_call_that_was_written_for_the_other_era_is_written_again_once() {
    let mut world = World::detached(Options::default(), &["a"]);
    world.router.attach(world.keys[0], world.upstreams[0].clone());
    world.upstreams[0].set_health(Health::Recovering);
    // Nothing was ever said, so the call is written for the era that is the older one.
    let peer = world.client("{}");
    world.upstreams[0].introduces_modern(r#"{"tools":{}}"#);
    world.upstreams[0].speaks(Version::LATEST_LEGACY);
    world.upstreams[0].lists("tools/list", &[r#"{"tools":[{"name":"echo"}]}"#]);
    world.ready(0, 1);
    world.down(0, Health::Recovering);
    world.upstreams[0].turns_at_next_call(Version::LATEST_MODERN);
    let going = world.call(&peer, "1", "echo");
    let calls = world.upstreams[0].calls();
    assert!(calls.len() == 1 && calls[0].contains(VERSION), "{calls:?}");
    world.upstreams[0].answers(r#"{"resultType":"complete","content":[]}"#);
    world.run();
    assert_eq!(going.text(), r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#);
}

#[test]
fn who_left_takes_its_stateless_call_along() {
    let mut world = World::two();
    let peer = world.passer_by(None);
    let going = calls(&mut world, &peer, "7", "one");
    world.upstreams[0].take_sent();
    peer.session.close();
    world.run();
    assert_eq!(going.answer(), None);
    let sent = world.upstreams[0].take_sent();
    assert!(sent.len() == 1 && sent[0].contains("notifications/cancelled"), "{sent:?}");
}

#[test]
fn a_method_nobody_knows_reaches_a_stateless_upstream_that_is_alone() {
    let mut world = modern_world();
    let peer = world.passer_by(None);
    let going = world.ask(&peer, &modern::request("1", "x/y", r#","n":1.50"#));
    assert!(world.upstreams[0].calls()[0].contains(r#""method":"x/y""#));
    world.upstreams[0].answers(r#"{"resultType":"complete","n":1.50}"#);
    world.run();
    assert!(going.text().contains(r#""result":{"resultType":"complete","n":1.50}"#));
    // A legacy one would take it for something else.
    let mut world = World::one(r#"{"tools":{}}"#);
    let peer = world.passer_by(None);
    assert_eq!(asks(&mut world, &peer, "x/y", "")["error"]["code"], -32601);
}

/// What every way through keeps as it is: unknown members, numbers, the order of keys, and `null`.
const ODD: &str =
    r#""z":{"b":1.0,"a":1,"null":null,"e":1e2,"big":12345678901234567890123},"ü":"\u00fc\/""#;

#[test]
fn whatever_passes_between_two_of_one_era_stays_byte_for_byte() {
    for is_modern in [false, true] {
        let mut world = World::new(&["a"]);
        world.upstreams[0].introduces(r#"{"tools":{}}"#, None);
        if is_modern {
            world.upstreams[0].speaks(Version::LATEST_MODERN);
        }
        world.upstreams[0].lists("tools/list", &[&format!(
            r#"{{"resultType":"complete","tools":[{{"name":"echo","inputSchema":{{"type":"object"}},{ODD}}}],"ttlMs":1,"cacheScope":"public"}}"#
        )]);
        world.ready(0, 1);
        let peer = world.client("{}");
        let meta = match is_modern {
            true => modern::meta("{}", &format!(r#","progressToken":"t","v/x":{{{ODD}}}"#)),
            false => format!(r#""_meta":{{"progressToken":"t","v/x":{{{ODD}}}}}"#),
        };
        let ask = |world: &mut World, method: &str, members: &str| {
            let text = format!(
                r#"{{"jsonrpc":"2.0","id":7,"method":"{method}","params":{{{meta}{members}}},{ODD}}}"#
            );
            world.ask(&peer, &text)
        };
        assert!(
            ask(&mut world, "tools/list", "")
                .text()
                .contains(&format!(r#"{{"name":"echo","inputSchema":{{"type":"object"}},{ODD}}}"#))
        );
        let arguments = format!(r#","name":"echo","arguments":{{{ODD}}},{ODD}"#);
        let going = ask(&mut world, "tools/call", &arguments);
        let call = world.upstreams[0].calls()[0].clone();
        for part in [format!(r#""v/x":{{{ODD}}}"#), format!("{arguments}}},{ODD}}}")] {
            assert!(call.contains(&part), "{call} lacks {part}");
        }
        let id: serde_json::Value = serde_json::from_str(&call).unwrap();
        let id = id["id"].as_u64().unwrap();
        let progress = |token: &str| {
            format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{{ODD},"progressToken":{token},"progress":1.0}},{ODD}}}"#
            )
        };
        world.says(0, &progress(&id.to_string()));
        let told = peer.client.take();
        assert!(told.contains(&progress("\"t\"")), "{told:?}");
        let result = format!(r#"{{"resultType":"complete", "content":[{{{ODD}}}],{ODD}}}"#);
        world.upstreams[0]
            .ends(Ok(&format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result},{ODD}}}"#)));
        world.run();
        assert_eq!(going.text(), format!(r#"{{"jsonrpc":"2.0","id":7,"result":{result},{ODD}}}"#));
        let going = ask(&mut world, "tools/call", &arguments);
        let error = format!(r#"{{"code":-31999,"message":"m","data":{{{ODD}}},{ODD}}}"#);
        world.upstreams[0]
            .ends(Ok(&format!(r#"{{"jsonrpc":"2.0","id":1,"error":{error},{ODD}}}"#)));
        world.run();
        assert_eq!(going.text(), format!(r#"{{"jsonrpc":"2.0","id":7,"error":{error},{ODD}}}"#));
        // Nothing comes after the answer.
        world.says(0, &progress(&(id + 1).to_string()));
        assert!(peer.client.take().is_empty());
    }
}
