//! What clients see of all upstreams together.

use crate::{
    fake::FIRST_ID,
    modern,
    world::{Peer, World},
};
use mcplex_proto::upstream::{Health, UpstreamError, UpstreamName};
use mcplex_router::Options;
use std::time::Duration;

fn list(world: &mut World, peer: &Peer, method: &str) -> String {
    world.ask(peer, &format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#)).text()
}

fn answer(result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#)
}

#[test]
fn items_keep_every_byte_that_is_not_their_name() {
    let mut world = World::new(&["a", "b"]);
    let page = r#"{"tools":[ {"z":1.50,"name":"t", "inputSchema":{"b":1,"type":"object","a":1e2},"x-new":[null]}, {"inputSchema":{"type":"object"},"name":"same"}],"ttl":1}"#;
    world.upstreams[0].introduces(r#"{"tools":{}}"#, None);
    world.upstreams[0].lists("tools/list", &[page]);
    world.upstreams[1].introduces(r#"{"tools":{}}"#, None);
    world.upstreams[1].lists(
        "tools/list",
        &[r#"{"tools":[{"n":1.0,"inputSchema":{"type":"object"},"name":"same" }]}"#],
    );
    world.ready(0, 1);
    world.ready(1, 1);
    let peer = world.client("{}");
    assert_eq!(
        list(&mut world, &peer, "tools/list"),
        answer(
            r#"{"tools":[{"z":1.50,"name":"t", "inputSchema":{"b":1,"type":"object","a":1e2},"x-new":[null]},{"inputSchema":{"type":"object"},"name":"a__same"},{"n":1.0,"inputSchema":{"type":"object"},"name":"b__same" }]}"#
        )
    );
}

#[test]
fn an_item_that_clients_cannot_read_takes_no_other_with_it() {
    let mut world = World::new(&["a"]);
    world.upstreams[0].introduces(r#"{"tools":{}}"#, None);
    let page = r#"{"tools":[{"name":"bare"},{"name":"odd","inputSchema":5},{"inputSchema":{"type":"object"},"name":"good"},{"name":"told","description":5}]}"#;
    world.upstreams[0].lists("tools/list", &[page]);
    world.ready(0, 1);
    let peer = world.client("{}");
    assert_eq!(
        list(&mut world, &peer, "tools/list"),
        answer(
            r#"{"tools":[{"inputSchema":{"type":"object"},"name":"bare"},{"inputSchema":{"type":"object"},"name":"good"}]}"#
        )
    );
}

#[test]
fn a_name_that_may_not_be_is_shown_as_another_and_both_lead_there() {
    let mut world = World::new(&["a"]);
    world.upstreams[0].introduces(r#"{"tools":{}}"#, None);
    let page = r#"{"tools":[{"name":"get/it é","inputSchema":{"type":"object"}}]}"#;
    world.upstreams[0].lists("tools/list", &[page]);
    world.ready(0, 1);
    let peer = world.client("{}");
    let listed = list(&mut world, &peer, "tools/list");
    let (_, rest) = listed.split_once(r#""name":""#).unwrap();
    let shown = rest.split('"').next().unwrap().to_owned();
    assert!(shown.starts_with("get_it___") && shown.len() == 17, "{shown}");
    for name in [&*shown, "get/it é"] {
        world.call(&peer, "1", name);
        let sent = world.upstreams[0].calls();
        assert!(sent[0].contains(r#""name":"get/it é""#), "{sent:?}");
        world.upstreams[0].answers("{}");
        world.run();
    }
}

#[test]
fn annotations_for_headers_that_break_the_rules_are_not_shown_to_who_would_mind() {
    let mut world = World::new(&["a"]);
    world.upstreams[0].introduces(r#"{"tools":{}}"#, None);
    let bad = r#"{"name":"t","inputSchema":{"type":"object","properties":{"n":{"type":"number","x-mcp-header":"A B"}}}}"#;
    let page = format!(r#"{{"tools":[{bad}]}}"#);
    world.upstreams[0].lists("tools/list", &[&page]);
    world.ready(0, 1);
    let peer = world.client("{}");
    assert_eq!(list(&mut world, &peer, "tools/list"), answer(&page));
    let peer = world.passer_by(None);
    let listed = modern::asks(&mut world, &peer, "tools/list", "");
    let tool = &listed["result"]["tools"][0];
    assert_eq!(tool["name"], "t");
    assert_eq!(tool["inputSchema"]["properties"]["n"], serde_json::json!({ "type": "number" }));
}

#[test]
fn all_pages_are_followed_also_past_an_empty_cursor() {
    let mut world = World::new(&["a"]);
    world.upstreams[0].introduces(r#"{"prompts":{}}"#, None);
    world.upstreams[0].lists(
        "prompts/list",
        &[
            r#"{"prompts":[{"name":"p0"}],"nextCursor":""}"#,
            r#"{"prompts":[{"name":"p1"}],"nextCursor":"2"}"#,
            r#"{"prompts":[{"name":"p2"}]}"#,
        ],
    );
    world.ready(0, 1);
    assert_eq!(
        world.upstreams[0].take_reads(),
        ["prompts/list", r#"prompts/list{"cursor":""}"#, r#"prompts/list{"cursor":"2"}"#]
    );
    let peer = world.client("{}");
    assert_eq!(
        list(&mut world, &peer, "prompts/list"),
        answer(r#"{"prompts":[{"name":"p0"},{"name":"p1"},{"name":"p2"}]}"#)
    );
}

#[test]
fn a_list_that_never_ends_is_taken_as_far_as_it_was_read() {
    let mut world = World::new(&["a"]);
    world.upstreams[0].introduces(r#"{"tools":{},"prompts":{}}"#, None);
    let endless = r#"{"tools":[{"inputSchema":{"type":"object"},"name":"t"}],"nextCursor":"0"}"#;
    world.upstreams[0].lists("tools/list", &[endless]);
    world.upstreams[0].lists("prompts/list", &[r#"{"prompts":[{"name":"p"}]}"#]);
    world.ready(0, 1);
    let peer = world.client("{}");
    let tools = r#"{"tools":[{"inputSchema":{"type":"object"},"name":"t"}]}"#;
    assert_eq!(list(&mut world, &peer, "tools/list"), answer(tools));
    assert_eq!(list(&mut world, &peer, "prompts/list"), answer(r#"{"prompts":[{"name":"p"}]}"#));
}

#[test]
fn lists_an_upstream_does_not_have_are_not_asked_for() {
    let mut world = World::new(&["a"]);
    world.upstreams[0].introduces(r#"{"resources":{}}"#, None);
    world.upstreams[0].lists("resources/list", &[r#"{"resources":[{"uri":"x://1"}]}"#]);
    world.upstreams[0]
        .refuses("resources/templates/list", r#"{"code":-32601,"message":"Method not found"}"#);
    world.ready(0, 1);
    assert_eq!(world.upstreams[0].take_reads(), ["resources/list", "resources/templates/list"]);
    let peer = world.client("{}");
    assert_eq!(
        list(&mut world, &peer, "resources/list"),
        answer(r#"{"resources":[{"name":"x://1","uri":"x://1"}]}"#)
    );
    assert_eq!(
        list(&mut world, &peer, "resources/templates/list"),
        answer(r#"{"resourceTemplates":[]}"#)
    );
}

#[test]
fn a_cursor_nobody_gave_out_is_refused() {
    let mut world = World::two();
    let peer = world.client("{}");
    for (cursor, is_fine) in [(r#""x""#, false), (r#""""#, false), ("7", false), ("null", true)] {
        let request = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{"cursor":{cursor}}}}}"#
        );
        let answer = world.ask(&peer, &request).text();
        assert_eq!(answer.contains("-32602"), !is_fine, "{answer}");
    }
}

#[test]
fn a_slow_upstream_delays_no_list_of_another() {
    let mut world = World::new(&["a", "b"]);
    for (index, name) in ["slow", "quick"].into_iter().enumerate() {
        world.upstreams[index].introduces(r#"{"tools":{}}"#, None);
        let page =
            format!(r#"{{"tools":[{{"inputSchema":{{"type":"object"}},"name":"{name}"}}]}}"#);
        world.upstreams[index].lists("tools/list", &[&page]);
    }
    world.upstreams[0].mute(true);
    world.ready(0, 1);
    world.ready(1, 1);
    let peer = world.client("{}");
    assert_eq!(
        list(&mut world, &peer, "tools/list"),
        answer(r#"{"tools":[{"inputSchema":{"type":"object"},"name":"quick"}]}"#)
    );
    assert_eq!(
        world.upstreams[0].calls(),
        [format!(r#"{{"jsonrpc":"2.0","id":{FIRST_ID},"method":"tools/list"}}"#)]
    );
    world.upstreams[0].answers(r#"{"tools":[{"inputSchema":{"type":"object"},"name":"slow"}]}"#);
    world.run();
    assert_eq!(
        list(&mut world, &peer, "tools/list"),
        answer(
            r#"{"tools":[{"inputSchema":{"type":"object"},"name":"slow"},{"inputSchema":{"type":"object"},"name":"quick"}]}"#
        )
    );
}

#[test]
fn lists_stay_while_an_upstream_is_down() {
    let mut world = World::two();
    let peer = world.client("{}");
    let before = list(&mut world, &peer, "tools/list");
    for health in [Health::Recovering, Health::Tripped, Health::Stopped] {
        world.down(0, health);
        assert_eq!(list(&mut world, &peer, "tools/list"), before);
    }
}

#[test]
fn an_upstream_may_be_ready_before_it_is_attached() {
    let mut world = World::detached(Options::default(), &["a"]);
    world.upstreams[0].introduces(r#"{"tools":{}}"#, None);
    world.upstreams[0]
        .lists("tools/list", &[r#"{"tools":[{"inputSchema":{"type":"object"},"name":"t"}]}"#]);
    world.ready(0, 1);
    let peer = world.client("{}");
    assert_eq!(list(&mut world, &peer, "tools/list"), answer(r#"{"tools":[]}"#));
    world.router.attach(world.keys[0], world.upstreams[0].clone());
    world.run();
    assert_eq!(
        list(&mut world, &peer, "tools/list"),
        answer(r#"{"tools":[{"inputSchema":{"type":"object"},"name":"t"}]}"#)
    );
}

#[test]
fn a_hung_list_hides_no_other_and_is_read_again() {
    let mut world = World::new(&["a"]);
    world.upstreams[0].introduces(r#"{"tools":{},"prompts":{}}"#, None);
    world.upstreams[0]
        .lists("tools/list", &[r#"{"tools":[{"inputSchema":{"type":"object"},"name":"t"}]}"#]);
    // Without a script the test has to answer it.
    world.ready(0, 1);
    let peer = world.client("{}");
    assert_eq!(
        list(&mut world, &peer, "tools/list"),
        answer(r#"{"tools":[{"inputSchema":{"type":"object"},"name":"t"}]}"#)
    );
    let name = UpstreamName::new("a").unwrap();
    let timeout = Duration::from_secs(30);
    world.upstreams[0].ends(Err(UpstreamError::Timeout { upstream: name, timeout, from: None }));
    world.run();
    assert!(world.upstreams[0].calls()[0].contains("prompts/list"));
    world.upstreams[0].answers(r#"{"prompts":[{"name":"p"}]}"#);
    world.run();
    assert_eq!(list(&mut world, &peer, "prompts/list"), answer(r#"{"prompts":[{"name":"p"}]}"#));
    assert!(world.upstreams[0].calls().is_empty());
}
