//! Tasks: whose they are, and where what is asked of them goes.

use crate::{
    modern::{self, CAPABILITIES},
    world::{Peer, World},
};
use serde_json::{Value, json};

const EXTENSION: &str = "io.modelcontextprotocol/tasks";

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Asks with the extension declared, without waiting for the answer.
fn request(method: &str, members: &str) -> String {
    let meta = modern::meta(&format!(r#"{{"extensions":{{"{EXTENSION}":{{}}}}}}"#), "");
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{meta}{members}}}}}"#)
}

/// A world with `a` and `b`, both of the stateless revision, of which both make tasks.
fn stateless() -> World {
    let mut world = World::new(&["a", "b"]);
    for (index, tool) in ["one", "two"].into_iter().enumerate() {
        let extensions = format!(r#"{{"tools":{{}},"extensions":{{"{EXTENSION}":{{}}}}}}"#);
        world.upstreams[index].introduces_modern(&extensions);
        let tools = format!(
            r#"{{"resultType":"complete","tools":[{{"name":"{tool}"}}],"ttlMs":1,"cacheScope":"public"}}"#
        );
        world.upstreams[index].lists("tools/list", &[&tools]);
        world.ready(index, 1);
    }
    world
}

/// Asks, has the upstream with this index answer, and gives the answer.
fn exchange(world: &mut World, peer: &Peer, index: usize, text: &str, result: &str) -> Value {
    let going = world.ask(peer, text);
    world.upstreams[index].answers(result);
    world.run();
    value(&going.text())
}

#[test]
fn a_task_of_a_stateless_upstream_is_asked_for_by_an_id_that_is_its_owners() {
    let mut world = stateless();
    let ann = world.passer_by(Some("ann"));
    let offered = modern::asks(&mut world, &ann, "server/discover", "")["result"].clone();
    assert!(offered["capabilities"]["extensions"][EXTENSION].is_object());
    let made = exchange(
        &mut world,
        &ann,
        1,
        &request("tools/call", r#","name":"two""#),
        r#"{"resultType":"task","taskId":"t-1","status":"working","ttlMs":1.50}"#,
    );
    let call = value(&world.upstreams[1].taken()[0]);
    assert!(call["params"]["_meta"][CAPABILITIES]["extensions"][EXTENSION].is_object());
    assert_eq!(
        (&made["result"]["resultType"], &made["result"]["ttlMs"]),
        (&json!("task"), &json!(1.5))
    );
    let id = made["result"]["taskId"].as_str().unwrap().to_owned();
    assert!(!id.contains("t-1") && id.starts_with("mcplex1."));
    let named = format!(r#","taskId":"{id}""#);
    let got = exchange(
        &mut world,
        &ann,
        1,
        &request("tasks/get", &named),
        r#"{"resultType":"complete","taskId":"t-1","status":"input_required","inputRequests":{"k":{"method":"roots/list"}}}"#,
    );
    assert_eq!(
        (&got["result"]["taskId"], &got["result"]["status"]),
        (&json!(id), &json!("input_required"))
    );
    let update =
        request("tasks/update", &format!(r#"{named},"inputResponses":{{"k":{{"n":1.50}}}}"#));
    exchange(&mut world, &ann, 1, &update, r#"{"resultType":"complete"}"#);
    let taken = world.upstreams[1].taken();
    assert!(taken[2].contains(r#""taskId":"t-1","inputResponses":{"k":{"n":1.50}}"#), "{taken:?}");
    exchange(&mut world, &ann, 1, &request("tasks/cancel", &named), r#"{"resultType":"complete"}"#);
    // Nobody else's, and no id that was not given out.
    for (who, id) in [(Some("bob"), &*named), (None, &*named), (Some("ann"), r#","taskId":"t-1""#)]
    {
        let peer = world.passer_by(who);
        let answer = value(&world.ask(&peer, &request("tasks/get", id)).text());
        assert_eq!(answer["error"]["code"], -32602);
    }
    let undeclared = modern::asks(&mut world, &ann, "tasks/get", &named);
    assert_eq!(undeclared["error"]["code"], -32021);
    assert!(
        undeclared["error"]["data"]["requiredCapabilities"]["extensions"][EXTENSION].is_object()
    );
    for method in ["tasks/result", "tasks/list"] {
        assert_eq!(
            value(&world.ask(&ann, &request(method, &named)).text())["error"]["code"],
            -32601
        );
    }
    assert!(world.upstreams[0].taken().is_empty());
    assert_eq!(world.upstreams[1].taken().len(), 4);
}

#[test]
fn a_task_nobody_asked_for_is_an_error() {
    let mut world = stateless();
    let peer = world.passer_by(None);
    let text = modern::request("1", "tools/call", r#","name":"one""#);
    let made = r#"{"resultType":"task","taskId":"t","status":"working"}"#;
    assert_eq!(exchange(&mut world, &peer, 0, &text, made)["error"]["code"], -32603);
    let session = world.client(&format!(r#"{{"extensions":{{"{EXTENSION}":{{}}}}}}"#));
    let text = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"one"}}"#;
    assert_eq!(exchange(&mut world, &session, 0, text, made)["error"]["code"], -32603);
    let call = value(world.upstreams[0].taken().last().unwrap());
    assert_eq!(call["params"]["_meta"][CAPABILITIES]["extensions"], json!({}));
}

#[test]
fn nobody_who_makes_tasks_means_that_there_are_none() {
    let mut world = World::two();
    let peer = world.passer_by(None);
    let answer = value(&world.ask(&peer, &request("tasks/get", r#","taskId":"t""#)).text());
    assert_eq!(answer["error"]["code"], -32601);
    let hello = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;
    let stranger = world.stranger();
    assert!(!world.ask(&stranger, hello).text().contains(r#""tasks""#));
}

/// News of the task `t-1` reach its client under the id it knows, and nobody else.
fn only_its_client_is_told(world: &mut World, (ann, id): (&Peer, &str), bob: &Peer) {
    for (own, heard) in [("t-1", 1), ("t-2", 0)] {
        let news = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/tasks/status","params":{{"taskId":"{own}","status":"working","x":1.50}}}}"#
        );
        world.says(0, &news);
        let told = ann.client.take();
        assert_eq!(told.len(), heard);
        assert!(told.iter().all(|told| told.contains(id) && told.contains("1.50")), "{told:?}");
        assert!(bob.client.take().is_empty());
    }
}

#[test]
fn a_task_of_a_session_is_its_principals() {
    let mut world = World::new(&["a"]);
    world.upstreams[0]
        .introduces(r#"{"tools":{},"tasks":{"list":{},"requests":{"tools":{"call":{}}}}}"#, None);
    world.upstreams[0].lists("tools/list", &[r#"{"tools":[{"name":"one"}]}"#]);
    world.ready(0, 1);
    let hello = |version: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"{version}","capabilities":{{}},"clientInfo":{{"name":"t","version":"1"}}}}}}"#
        )
    };
    let stranger = world.stranger();
    let greeting = value(&world.ask(&stranger, &hello("2025-11-25")).text());
    assert_eq!(
        greeting["result"]["capabilities"]["tasks"],
        json!({"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}})
    );
    let old = world.stranger();
    assert!(!world.ask(&old, &hello("2025-06-18")).text().contains(r#""tasks""#));
    let ann = world.known("ann", "{}");
    let text = |method: &str, members: &str| crate::tasks_across::in_session(1, method, members);
    let made = exchange(
        &mut world,
        &ann,
        0,
        &text("tools/call", r#""name":"one","task":{"ttl":1.50}"#),
        r#"{"task":{"taskId":"t-1","status":"working","ttl":1.50},"x":1.50}"#,
    );
    let id = made["result"]["task"]["taskId"].as_str().unwrap().to_owned();
    assert!(id.starts_with("mcplex1.") && made["result"]["x"] == 1.5);
    let named = format!(r#""taskId":"{id}""#);
    let got = exchange(
        &mut world,
        &ann,
        0,
        &text("tasks/get", &named),
        r#"{"taskId":"t-1","status":"completed"}"#,
    );
    assert_eq!(got["result"]["taskId"], id);
    let result = exchange(
        &mut world,
        &ann,
        0,
        &text("tasks/result", &named),
        r#"{"content":[],"_meta":{"v/x":1,"io.modelcontextprotocol/related-task":{"taskId":"t-1"}}}"#,
    );
    let meta = &result["result"]["_meta"];
    assert_eq!(meta["io.modelcontextprotocol/related-task"]["taskId"], id);
    assert_eq!(meta["v/x"], 1);
    assert!(world.upstreams[0].taken()[2].contains(r#""taskId":"t-1""#));
    let bob = world.known("bob", "{}");
    for (peer, id) in [(&bob, &*named), (&ann, r#""taskId":"t-1""#), (&stranger, &*named)] {
        let answer = value(&world.ask(peer, &text("tasks/get", id)).text());
        assert_eq!(answer["error"]["code"], -32602);
    }
    // One that has ended is listed as it was; others are asked for.
    for (peer, count) in [(&ann, 1), (&bob, 0), (&stranger, 0)] {
        let listed = value(&world.ask(peer, &text("tasks/list", "")).text());
        assert_eq!(listed["result"]["tasks"].as_array().map(Vec::len), Some(count));
    }
    assert_eq!(value(&world.ask(&old, &text("tasks/list", "")).text())["error"]["code"], -32601);
    only_its_client_is_told(&mut world, (&ann, &id), &bob);
}

/// A world with one upstream that runs `one` as a task alone.
fn of_jobs() -> World {
    let mut world = World::new(&["a"]);
    world.upstreams[0]
        .introduces(r#"{"tools":{},"tasks":{"requests":{"tools":{"call":{}}}}}"#, None);
    world.upstreams[0].lists(
        "tools/list",
        &[r#"{"tools":[{"name":"one","execution":{"taskSupport":"required"}},{"name":"two","execution":{"taskSupport":"optional"}}]}"#],
    );
    world.ready(0, 1);
    world
}

const MADE: &str = r#"{"task":{"taskId":"t-1","status":"working"}}"#;

#[test]
fn a_tool_that_is_a_task_alone_is_run_as_one_for_who_knows_none() {
    let mut world = of_jobs();
    let session = world.client("{}");
    let stateless = world.passer_by(None);
    let going =
        [world.call(&session, "1", "one"), modern::calls(&mut world, &stateless, "1", "one")];
    for going in going {
        world.upstreams[0].answers(MADE);
        world.run();
        assert!(!going.is_done());
    }
    let taken = world.upstreams[0].taken();
    assert!(taken[..2].iter().all(|call| call.contains(r#""task":{}"#)), "{taken:?}");
    assert!(taken[2].contains(r#""method":"tasks/result","params":{"taskId":"t-1"}"#), "{taken:?}");
    let result = r#"{"content":[],"z":1.50}"#;
    world.upstreams[0].answers(result);
    world.upstreams[0].answers(result);
    world.run();
    assert!(world.upstreams[0].take_sent().iter().all(|text| !text.contains("tasks/cancel")));
    // What may be a task, and what was asked for as one, is not touched.
    world.call(&session, "2", "two");
    assert!(!world.upstreams[0].taken().last().unwrap().contains(r#""task""#));
    world.upstreams[0].answers(result);
    let asked = r#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"one","task":{"ttl":5}}}"#;
    let made = exchange(&mut world, &session, 0, asked, MADE);
    assert!(made["result"]["task"]["taskId"].as_str().unwrap().starts_with("mcplex1."));
}

#[test]
fn a_call_that_is_given_up_cancels_its_task_and_a_question_of_it_is_asked() {
    let mut world = of_jobs();
    let session = world.client(r#"{"elicitation":{}}"#);
    let going = world.call(&session, "1", "one");
    world.upstreams[0].answers(MADE);
    world.run();
    let reads = value(&world.upstreams[0].calls()[0])["id"].as_u64().unwrap();
    let question =
        r#"{"jsonrpc":"2.0","id":7,"method":"elicitation/create","params":{"message":"m"}}"#;
    world.says_about(0, question, reads);
    let asked = session.client.take_about();
    assert_eq!(asked[0].1.clone().unwrap().to_string(), "1");
    world.upstreams[0].take_sent();
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    world.tell(&session, cancel);
    assert_eq!(going.answer(), None);
    let sent = world.upstreams[0].take_sent();
    let cancels = sent.iter().filter(|text| text.contains(r#""method":"tasks/cancel""#));
    assert_eq!(cancels.count(), 1, "{sent:?}");
}

#[test]
fn what_a_call_that_is_run_as_a_task_says_of_it_is_for_its_client_and_names_none() {
    let mut world = of_jobs();
    let capabilities = r#"{"elicitation":{}}"#;
    let (ann, bob) = (world.client(capabilities), world.client(capabilities));
    let mut going = Vec::new();
    for (peer, task) in [(&ann, "t-1"), (&bob, "t-2")] {
        going.push(world.call(peer, "1", "one"));
        let made = format!(r#"{{"task":{{"taskId":"{task}","status":"working"}}}}"#);
        world.upstreams[0].answers_to("tools/call", &made);
        world.run();
    }
    // Nothing but the task says whom it means.
    let related = |id: &str| {
        format!(r#""_meta":{{"io.modelcontextprotocol/related-task":{{"taskId":"{id}"}}}}"#)
    };
    for (peer, other, id) in [(&ann, &bob, "t-1"), (&bob, &ann, "t-2")] {
        let about = related(id);
        let question = format!(
            r#"{{"jsonrpc":"2.0","id":7,"method":"elicitation/create","params":{{"message":"m",{about}}}}}"#
        );
        let line = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"info","data":1.50,{about}}}}}"#
        );
        for (said, word) in [(question, "elicitation/create"), (line, "1.50")] {
            world.says(0, &said);
            let told = peer.client.take_about();
            assert_eq!(told.len(), 1, "{said}: {told:?}");
            assert_eq!(told[0].1.clone().unwrap().to_string(), "1");
            assert!(told[0].0.contains(word) && !told[0].0.contains("related-task"), "{told:?}");
            assert!(other.client.take().is_empty());
        }
    }
    let result = format!(r#"{{"content":[],{}}}"#, related("t-1"));
    world.upstreams[0].answers_to("tasks/result", &result);
    world.run();
    assert_eq!(value(&going[0].text())["result"], json!({ "content": [] }));
    assert!(!going[1].is_done());
}
