//! What a client reads when a request leads nowhere.

use crate::{
    modern,
    world::{Peer, World},
};
use mcplex_proto::upstream::{Health, UpstreamError, UpstreamName};
use mcplex_proto::version::Version;
use mcplex_router::{DownReply, Options};

fn check(world: &mut World, peer: &Peer, method: &str, params: &str, code: &str, part: &str) {
    let request = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
    let answer = world.ask(peer, &request).text();
    assert!(answer.contains(&format!(r#""code":{code},"#)), "{answer}");
    assert!(answer.contains(part), "{answer} lacks {part}");
}

#[test]
fn a_miss_says_what_is_missing() {
    let mut world = World::two();
    let peer = world.client("{}");
    let mut check = |method: &str, params: &str, code: &str, part: &str| {
        check(&mut world, &peer, method, params, code, part);
    };
    check("tools/call", r#"{"name":"x"}"#, "-32602", r#"unknown tool \"x\""#);
    check(
        "tools/call",
        r#"{"name":"echo"}"#,
        "-32602",
        r#"several upstreams have a tool \"echo\"; call one of a__echo, b__echo"#,
    );
    check("tools/call", r#"{"name":7}"#, "-32602", "`name` must be there and be a string");
    check("tools/call", r#"{"name":"a__echo","name":"b__echo"}"#, "-32602", "`name` stands twice");
    let tokens = r#"{"name":"a__echo","_meta":{"progressToken":1,"progressToken":2}}"#;
    check("tools/call", tokens, "-32602", "`progressToken` stands twice");
    check("prompts/get", r#"{"name":"x"}"#, "-32602", r#"unknown prompt \"x\""#);
    check("resources/read", r#"{"uri":"x://y"}"#, "-32002", r#""data":{"uri":"x://y"}"#);
    check("resources/read", "{}", "-32602", "`uri`");
    check("completion/complete", r#"{"ref":{"type":"ref/prompt","name":"x"}}"#, "-32602", "prompt");
    check("completion/complete", r#"{"ref":{"type":"ref/resource","uri":"x"}}"#, "-32602", "uri");
    check("completion/complete", r#"{"ref":{"type":"x"}}"#, "-32602", "ref.type");
    check("completion/complete", "{}", "-32602", "ref.type");
    check("logging/setLevel", r#"{"level":"loud"}"#, "-32602", "level");
    check("tasks/list", "{}", "-32601", "tasks/list");
}

#[test]
fn what_is_of_the_wrong_kind_goes_to_no_upstream() {
    let mut world = World::two();
    let peer = world.client("{}");
    for (method, params, part) in [
        ("tools/call", r#"{"name":"one","arguments":[]}"#, "`arguments` must be an object"),
        ("tools/call", r#"{"name":"one","arguments":"s"}"#, "`arguments` must be an object"),
        ("tools/call", r#"{"name":"one","_meta":5}"#, "`_meta` must be an object"),
        ("tools/call", r#"{"name":"one","_meta":{"progressToken":{"a":1}}}"#, "`progressToken`"),
        ("prompts/get", r#"{"name":"p","arguments":{"a":5}}"#, "must be a string"),
    ] {
        check(&mut world, &peer, method, params, "-32602", part);
        // Of a stateless client as well, but for what is its envelope.
        if !params.contains("_meta") {
            let params = params.trim_start_matches('{').trim_end_matches('}');
            let params = format!(",{params}{}", "}".repeat(usize::from(params.contains('{'))));
            let answer = modern::asks(&mut world, &peer, method, &params);
            assert_eq!(answer["error"]["code"], -32602, "{answer}");
        }
    }
    assert!(world.upstreams[0].calls().is_empty());
}

#[test]
fn an_answer_that_is_none_reaches_nobody() {
    let mut world = World::two();
    world.upstreams[1].introduces_modern(r#"{"tools":{}}"#);
    world.ready(1, 2);
    let session = world.client("{}");
    let passer = world.passer_by(None);
    for (upstream, tool) in [(0, "one"), (1, "two")] {
        for (odd, why) in [
            (r#""result":null"#, "answered with a result that is no object"),
            (r#""result":[]"#, "answered with a result that is no object"),
            (r#""result":"x""#, "answered with a result that is no object"),
            (r#""error":{"code":-32000.5,"message":"frac"}"#, "answered with an error that has"),
            (r#""error":{"code":"x","message":1}"#, "answered with an error that has"),
            (r#""error":null"#, "answered with an error that has"),
        ] {
            for going in
                [world.call(&session, "7", tool), modern::calls(&mut world, &passer, "7", tool)]
            {
                world.upstreams[upstream].ends(Ok(&format!(r#"{{"jsonrpc":"2.0","id":1,{odd}}}"#)));
                world.run();
                let text = going.text();
                let name = ["a", "b"][upstream];
                let expect = format!(
                    r#"{{"jsonrpc":"2.0","id":7,"error":{{"code":-32603,"message":"upstream {name} {why}"#
                );
                assert!(text.starts_with(&expect), "{text}");
            }
        }
    }
}

#[test]
fn an_upstream_that_is_not_attached_is_not_there_yet() {
    let mut world = World::detached(Options::default(), &["a"]);
    let peer = world.client("{}");
    check(&mut world, &peer, "x/y", "{}", "-31001", "Upstream a is not there yet");
}

#[test]
fn completions_of_an_upstream_without_them_are_empty() {
    let mut world = World::new(&["a"]);
    world.upstreams[0].introduces(r#"{"prompts":{}}"#, None);
    world.upstreams[0].lists("prompts/list", &[r#"{"prompts":[{"name":"p"}]}"#]);
    world.ready(0, 1);
    let peer = world.client("{}");
    let request = r#"{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"n","value":"v"}}}"#;
    let answer = world.ask(&peer, request).text();
    assert_eq!(answer, r#"{"jsonrpc":"2.0","id":1,"result":{"completion":{"values":[]}}}"#);
    assert!(world.upstreams[0].calls().is_empty());
}

#[test]
fn an_upstream_of_2024_is_asked_for_completions_though_it_never_said_it_has_them() {
    let mut world = World::new(&["a"]);
    world.upstreams[0].introduces(r#"{"prompts":{}}"#, None);
    world.upstreams[0].speaks(Version::V2024_11_05);
    world.upstreams[0].lists("prompts/list", &[r#"{"prompts":[{"name":"p"}]}"#]);
    world.ready(0, 1);
    let peer = world.client("{}");
    let request = r#"{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"n","value":"v"}}}"#;
    world.ask(&peer, request);
    assert_eq!(world.upstreams[0].calls().len(), 1);
}

#[test]
fn a_completion_names_the_prompt_as_its_upstream_does() {
    let mut world = World::new(&["a", "b"]);
    for upstream in &world.upstreams {
        upstream.introduces(r#"{"prompts":{},"completions":{}}"#, None);
        upstream.lists("prompts/list", &[r#"{"prompts":[{"name":"p"}]}"#]);
    }
    world.ready(0, 1);
    world.ready(1, 1);
    let peer = world.client("{}");
    let request = |name: &str| {
        format!(
            r#""method":"completion/complete","params":{{"ref":{{"type":"ref/prompt","name":"{name}"}},"argument":{{"name":"n","value":"b__p"}}}}}}"#
        )
    };
    world.ask(&peer, &format!(r#"{{"jsonrpc":"2.0","id":1,{}"#, request("b__p")));
    let calls = world.upstreams[1].calls();
    assert!(calls[0].ends_with(&request("p")), "{calls:?}");
}

fn died() -> UpstreamError {
    UpstreamError::Died {
        upstream: UpstreamName::new("a").unwrap(),
        reason: "it exited with code 1".into(),
        safe_to_retry: false,
        is_suspect: false,
        cause: None,
        from: None,
    }
}

#[test]
fn a_tool_of_a_dead_upstream_answers_with_a_result_the_model_can_read() {
    let mut world = World::two();
    let peer = world.client("{}");
    let going = world.call(&peer, "1", "one");
    world.upstreams[0].ends(Err(died()));
    world.run();
    let expect =
        format!(r#"{{"jsonrpc":"2.0","id":1,"result":{}}}"#, died().to_tool_result().as_str());
    assert_eq!(going.text(), expect);
    assert!(expect.contains(r#""isError":true"#) && expect.contains("-31003"), "{expect}");
}

#[test]
fn with_down_reply_error_a_tool_answers_with_an_error() {
    let options = Options { down_reply: DownReply::Error, ..Options::default() };
    let mut world = World::with(options, &["a"]);
    world.upstreams[0].introduces(r#"{"tools":{}}"#, None);
    world.upstreams[0].lists("tools/list", &[r#"{"tools":[{"name":"one"}]}"#]);
    world.ready(0, 1);
    let peer = world.client("{}");
    let going = world.call(&peer, "1", "one");
    world.upstreams[0].ends(Err(died()));
    world.run();
    assert!(going.text().contains(r#""error":{"code":-31003,"#), "{}", going.text());
}

#[test]
fn whatever_is_no_tool_always_answers_with_an_error() {
    let mut world = World::one("{}");
    let peer = world.client("{}");
    for (error, code) in [
        (died(), -31003),
        (
            UpstreamError::Stopped { upstream: UpstreamName::new("a").unwrap(), reason: None },
            -31006,
        ),
        (
            UpstreamError::QueueFull {
                upstream: UpstreamName::new("a").unwrap(),
                limit: 64,
                retry_after: None,
            },
            -31005,
        ),
    ] {
        let going = world.ask(&peer, r#"{"jsonrpc":"2.0","id":1,"method":"x/y"}"#);
        world.upstreams[0].ends(Err(error));
        world.run();
        assert!(going.text().contains(&format!(r#""error":{{"code":{code},"#)), "{}", going.text());
    }
}

#[test]
fn a_token_that_is_null_is_no_token() {
    let mut world = World::two();
    let peer = world.client("{}");
    world.ask(
        &peer,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"one","arguments":null,"_meta":{"progressToken":null}}}"#,
    );
    let calls = world.upstreams[0].calls();
    assert!(calls[0].ends_with(r#""params":{"name":"one","_meta":{}}}"#), "{calls:?}");
}

#[test]
fn a_name_of_an_upstream_that_never_listed_any_gets_the_reason() {
    let mut world = World::new(&["a", "b"]);
    world.upstreams[0].introduces(r#"{"tools":{}}"#, None);
    world.upstreams[0].lists("tools/list", &[r#"{"tools":[{"name":"one"}]}"#]);
    world.ready(0, 1);
    world.down(1, Health::Tripped);
    let peer = world.client("{}");
    let text = world.call(&peer, "1", "b__anything").text();
    assert!(text.contains("Upstream b is tripped") && text.contains("-31002"), "{text}");
    // Of an upstream that has listed its tools it is known that this is none.
    assert!(world.call(&peer, "2", "a__anything").text().contains("unknown tool"));
}
