//! Tasks of servers of one era, as clients of the other see them.

use crate::{
    modern::{self, CAPABILITIES},
    world::{Going, Peer, World},
};
use mcplex_proto::upstream::Health;
use serde_json::{Value, json};
use std::time::Duration;

const EXTENSION: &str = "io.modelcontextprotocol/tasks";
const RELATED: &str = "io.modelcontextprotocol/related-task";
const TIMES: &str = r#""createdAt":"2025-11-25T10:30:00Z","lastUpdatedAt":"2025-11-25T10:40:00Z""#;
const QUESTION: &str = r#""method":"elicitation/create","params":{"message":"m","requestedSchema":{"type":"object","properties":{}}"#;

pub(crate) fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// A stateless request that knows tasks and questions.
pub(crate) fn stateless(id: u32, method: &str, members: &str) -> String {
    let capabilities = format!(r#"{{"elicitation":{{}},"extensions":{{"{EXTENSION}":{{}}}}}}"#);
    let meta = modern::meta(&capabilities, "");
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{meta}{members}}}}}"#)
}

/// The same in a session.
pub(crate) fn in_session(id: u32, method: &str, members: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{members}}}}}"#)
}

/// A server with sessions that makes tasks of calls of `one`.
pub(crate) fn of_sessions() -> World {
    let mut world = World::new(&["a"]);
    let capabilities = r#"{"tools":{},"tasks":{"requests":{"tools":{"call":{}}}}}"#;
    world.upstreams[0].introduces(capabilities, None);
    world.upstreams[0].lists(
        "tools/list",
        &[r#"{"tools":[{"name":"one","execution":{"taskSupport":"optional"}},{"name":"two"}]}"#],
    );
    world.ready(0, 1);
    world
}

/// A stateless server that makes tasks when it likes.
pub(crate) fn of_stateless() -> World {
    let mut world = World::new(&["a"]);
    let capabilities = format!(r#"{{"tools":{{}},"extensions":{{"{EXTENSION}":{{}}}}}}"#);
    world.upstreams[0].introduces_modern(&capabilities);
    let tools =
        r#"{"resultType":"complete","tools":[{"name":"one"}],"ttlMs":1,"cacheScope":"public"}"#;
    world.upstreams[0].lists("tools/list", &[tools]);
    world.ready(0, 1);
    world
}

/// What a server with sessions says of a task.
pub(crate) fn session_task(id: &str, status: &str) -> String {
    format!(
        r#"{{"taskId":"{id}","status":"{status}",{TIMES},"ttl":60000,"pollInterval":100,"x":1.50}}"#
    )
}

/// What a stateless one says.
pub(crate) fn stateless_task(id: &str, status: &str, kind: &str, more: &str) -> String {
    format!(
        r#"{{"resultType":"{kind}","taskId":"{id}","status":"{status}",{TIMES},"ttlMs":60000,"pollIntervalMs":100,"x":1.50{more}}}"#
    )
}

/// The upstream answers its oldest open call of a method.
pub(crate) fn answers(world: &mut World, method: &str, result: &str) {
    world.upstreams[0].answers_to(method, result);
    world.run();
}

/// The upstream refuses its oldest open call.
fn refuses(world: &mut World, code: i32) {
    let error = format!(r#"{{"jsonrpc":"2.0","id":0,"error":{{"code":{code},"message":"no"}}}}"#);
    world.upstreams[0].ends(Ok(&error));
    world.run();
}

pub(crate) fn result(going: &Going) -> Value {
    value(&going.text())["result"].clone()
}

fn code(going: &Going) -> Value {
    value(&going.text())["error"]["code"].clone()
}

/// Makes a task of `one` and gives the id that the client knows, as a member of parameters.
pub(crate) fn makes_stateless(world: &mut World, peer: &Peer, own: &str) -> String {
    let going = world.ask(peer, &stateless(1, "tools/call", r#","name":"one""#));
    let made = format!(r#"{{"task":{}}}"#, session_task(own, "working"));
    answers(world, "tools/call", &made);
    format!(r#","taskId":{}"#, result(&going)["taskId"])
}

pub(crate) fn makes_in_session(world: &mut World, peer: &Peer, own: &str) -> String {
    let call = in_session(1, "tools/call", r#""name":"one","task":{"ttl":5}"#);
    let going = world.ask(peer, &call);
    answers(world, "tools/call", &stateless_task(own, "working", "task", ""));
    format!(r#""taskId":{}"#, result(&going)["task"]["taskId"])
}

#[test]
fn a_stateless_client_is_given_a_sessions_task_in_its_own_words() {
    let mut world = of_sessions();
    let ann = world.passer_by(Some("ann"));
    let offered = modern::asks(&mut world, &ann, "server/discover", "")["result"].clone();
    assert_eq!(offered["capabilities"]["extensions"][EXTENSION], json!({}));
    let going = world.ask(&ann, &stateless(1, "tools/call", r#","name":"one","task":{"ttl":1}"#));
    let made = format!(r#"{{"task":{},"y":1.50}}"#, session_task("t-1", "working"));
    answers(&mut world, "tools/call", &made);
    let call = value(&world.upstreams[0].taken()[0]);
    // What a stateless client says of tasks in a call is nothing that a session knows.
    assert_eq!(call["params"]["task"], json!({}));
    let made = result(&going);
    assert_eq!(
        (&made["resultType"], &made["ttlMs"], &made["pollIntervalMs"], &made["x"], &made["y"]),
        (&json!("task"), &json!(60000), &json!(100), &json!(1.5), &json!(1.5))
    );
    assert!(made["task"].is_null() && made["ttl"].is_null() && made["pollInterval"].is_null());
    let named = format!(r#","taskId":{}"#, made["taskId"]);
    let going = world.ask(&ann, &stateless(2, "tasks/get", &named));
    answers(&mut world, "tasks/get", &session_task("t-1", "working"));
    let got = result(&going);
    assert_eq!((&got["resultType"], &got["status"]), (&json!("complete"), &json!("working")));
    assert_eq!(got["taskId"], made["taskId"]);
    // Whoever does not know tasks gets an answer, and so does who calls another tool.
    let going = modern::calls(&mut world, &ann, "3", "one");
    answers(&mut world, "tools/call", r#"{"content":[]}"#);
    assert_eq!(result(&going)["resultType"], "complete");
    let going = world.ask(&ann, &stateless(4, "tools/call", r#","name":"two","task":{}"#));
    answers(&mut world, "tools/call", r#"{"content":[]}"#);
    assert_eq!(result(&going)["resultType"], "complete");
    assert!(world.upstreams[0].taken().iter().skip(1).all(|call| !call.contains(r#""task""#)));
}

#[test]
fn what_came_of_a_sessions_task_stands_in_it() {
    let mut world = of_sessions();
    let ann = world.passer_by(Some("ann"));
    let named = makes_stateless(&mut world, &ann, "t-1");
    let check = |world: &mut World, status: &str, outcome: &str, expect: &str| {
        let going = world.ask(&ann, &stateless(2, "tasks/get", &named));
        answers(world, "tasks/get", &session_task("t-1", status));
        world.upstreams[0].ends(Ok(&format!(r#"{{"jsonrpc":"2.0","id":0,{outcome}}}"#)));
        world.run();
        let got = result(&going);
        assert_eq!((&got["status"], &got["resultType"]), (&json!(expect), &json!("complete")));
        got
    };
    let related = format!(r#""_meta":{{"{RELATED}":{{"taskId":"t-1"}}}}"#);
    let plain = format!(r#""result":{{"content":[],"z":1.50,{related}}}"#);
    let got = check(&mut world, "completed", &plain, "completed");
    assert_eq!(
        (&got["result"]["z"], &got["result"]["resultType"]),
        (&json!(1.5), &json!("complete"))
    );
    assert!(!got.to_string().contains("t-1"));
    // A tool that failed has an answer all the same.
    let failed = r#""result":{"content":[],"isError":true}"#;
    let got = check(&mut world, "failed", failed, "completed");
    assert_eq!(got["result"]["isError"], true);
    let error = r#""error":{"code":-32002,"message":"gone"}"#;
    let got = check(&mut world, "failed", error, "failed");
    assert_eq!((&got["error"]["code"], &got["result"]), (&json!(-32602), &Value::Null));
}

#[test]
fn what_a_sessions_task_asks_stands_in_it_and_is_answered_by_an_update() {
    let mut world = of_sessions();
    let ann = world.passer_by(Some("ann"));
    let named = makes_stateless(&mut world, &ann, "t-1");
    let going = world.ask(&ann, &stateless(2, "tasks/get", &named));
    answers(&mut world, "tasks/get", &session_task("t-1", "input_required"));
    // It asks on the way of the result.
    let calls = world.upstreams[0].calls();
    assert!(calls.len() == 1 && calls[0].contains("tasks/result"), "{calls:?}");
    let question = format!(
        r#"{{"jsonrpc":"2.0","id":7,{QUESTION},"_meta":{{"{RELATED}":{{"taskId":"t-1"}}}}}}}}"#
    );
    world.says(0, &question);
    assert!(!going.is_done());
    assert!(world.clock.wake_after(Duration::from_millis(50)));
    world.run();
    let got = result(&going);
    assert_eq!(got["status"], "input_required");
    let asked = got["inputRequests"].as_object().unwrap();
    let (key, asked) = asked.iter().next().unwrap();
    assert_eq!(asked["method"], "elicitation/create");
    assert!(asked["params"]["_meta"].is_null(), "{asked}");
    // The same question as long as it is open, and nothing is read for it again.
    let again = world.ask(&ann, &stateless(3, "tasks/get", &named));
    answers(&mut world, "tasks/get", &session_task("t-1", "input_required"));
    assert_eq!(result(&again)["inputRequests"], got["inputRequests"]);
    // Nobody else answers it.
    let bob = world.passer_by(Some("bob"));
    let update = format!(
        r#"{named},"inputResponses":{{"{key}":{{"action":"accept","content":{{"n":1.50}}}},"other":{{}}}}"#
    );
    let refused = world.ask(&bob, &stateless(4, "tasks/update", &update));
    assert_eq!(code(&refused), -32602);
    world.upstreams[0].take_sent();
    let going = world.ask(&ann, &stateless(4, "tasks/update", &update));
    answers(&mut world, "tasks/get", &session_task("t-1", "input_required"));
    assert_eq!(result(&going)["resultType"], "complete");
    let sent = world.upstreams[0].take_sent();
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert!(sent[0].contains(r#""id":7"#) && sent[0].contains(r#"{"n":1.50}"#), "{sent:?}");
    // Nothing is open now, so there is nothing that the client could do.
    let going = world.ask(&ann, &stateless(5, "tasks/get", &named));
    answers(&mut world, "tasks/get", &session_task("t-1", "input_required"));
    world.clock.wake_after(Duration::from_secs(1));
    world.run();
    assert_eq!(result(&going)["status"], "working");
}

#[test]
fn a_question_of_a_task_that_nobody_reads_ends_with_its_life() {
    let mut world = of_sessions();
    let ann = world.passer_by(Some("ann"));
    let named = makes_stateless(&mut world, &ann, "t-1");
    let question = format!(
        r#"{{"jsonrpc":"2.0","id":7,{QUESTION},"_meta":{{"{RELATED}":{{"taskId":"t-1"}}}}}}}}"#
    );
    // Some ask before they are asked for the result.
    world.says(0, &question);
    let going = world.ask(&ann, &stateless(2, "tasks/get", &named));
    answers(&mut world, "tasks/get", &session_task("t-1", "input_required"));
    assert_eq!(result(&going)["status"], "input_required");
    world.down(0, Health::Recovering);
    world.upstreams[0].take_sent();
    world.ready(0, 2);
    // The next life knows nothing of it, and says so.
    let going = world.ask(&ann, &stateless(3, "tasks/get", &named));
    world.upstreams[0].answers_to("tasks/result", "{}");
    refuses(&mut world, -32602);
    assert_eq!(code(&going), -32602);
    assert!(world.upstreams[0].take_sent().is_empty());
}

#[test]
fn a_sessions_task_that_is_no_longer_wanted_is_cancelled_there() {
    let mut world = of_sessions();
    let ann = world.passer_by(Some("ann"));
    let named = makes_stateless(&mut world, &ann, "t-1");
    let going = world.ask(&ann, &stateless(2, "tasks/cancel", &named));
    answers(&mut world, "tasks/cancel", &session_task("t-1", "cancelled"));
    let told = result(&going);
    assert_eq!((&told["resultType"], &told["status"]), (&json!("complete"), &Value::Null));
    // One that has ended is no fault of who says so, and one that is none is.
    for (known, expect) in [(true, Value::Null), (false, json!(-32602))] {
        let going = world.ask(&ann, &stateless(3, "tasks/cancel", &named));
        refuses(&mut world, -32602);
        match known {
            true => answers(&mut world, "tasks/get", &session_task("t-1", "completed")),
            false => refuses(&mut world, -32602),
        }
        assert_eq!(code(&going), expect);
    }
    let undeclared = modern::asks(&mut world, &ann, "tasks/get", &named);
    assert_eq!(undeclared["error"]["code"], -32021);
}

#[test]
fn a_sessions_client_is_given_a_stateless_task_in_its_own_words() {
    let mut world = of_stateless();
    let stranger = world.stranger();
    let hello = in_session(
        0,
        "initialize",
        r#""protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}"#,
    );
    let greeting = result(&world.ask(&stranger, &hello));
    assert_eq!(greeting["capabilities"]["tasks"]["requests"]["tools"]["call"], json!({}));
    let ann = world.known("ann", r#"{"elicitation":{}}"#);
    let listed = result(&world.ask(&ann, &in_session(1, "tools/list", "")));
    assert_eq!(listed["tools"][0]["execution"]["taskSupport"], "optional");
    // Without the wish for a task there is none.
    let going = world.ask(&ann, &in_session(2, "tools/call", r#""name":"one""#));
    answers(&mut world, "tools/call", r#"{"resultType":"complete","content":[]}"#);
    assert!(result(&going)["content"].is_array());
    let call = in_session(3, "tools/call", r#""name":"one","task":{"ttl":5}"#);
    let going = world.ask(&ann, &call);
    answers(&mut world, "tools/call", &stateless_task("t-1", "working", "task", ""));
    let taken = world.upstreams[0].taken();
    let declared = |text: &str| value(text)["params"]["_meta"][CAPABILITIES]["extensions"].clone();
    assert!(declared(&taken[0])[EXTENSION].is_null());
    assert_eq!(declared(&taken[1])[EXTENSION], json!({}));
    assert!(value(&taken[1])["params"]["task"].is_null());
    let made = result(&going);
    let task = &made["task"];
    assert_eq!((&task["ttl"], &task["pollInterval"]), (&json!(60000), &json!(100)));
    assert!(made["resultType"].is_null() && task["resultType"].is_null());
    let named = format!(r#""taskId":{}"#, task["taskId"]);
    let going = world.ask(&ann, &in_session(4, "tasks/get", &named));
    answers(&mut world, "tasks/get", &stateless_task("t-1", "working", "complete", ""));
    assert_eq!(declared(world.upstreams[0].taken().last().unwrap())[EXTENSION], json!({}));
    let got = result(&going);
    assert_eq!((&got["taskId"], &got["ttl"]), (&task["taskId"], &json!(60000)));
    assert!(got["resultType"].is_null() && got["ttlMs"].is_null());
    let bob = world.known("bob", "{}");
    assert_eq!(code(&world.ask(&bob, &in_session(5, "tasks/get", &named))), -32602);
    let update = in_session(6, "tasks/update", &format!(r#"{named},"inputResponses":{{}}"#));
    assert_eq!(code(&world.ask(&ann, &update)), -32601);
}

#[test]
fn the_result_of_a_stateless_task_is_waited_for_and_its_questions_are_asked() {
    let mut world = of_stateless();
    let ann = world.known("ann", r#"{"elicitation":{}}"#);
    let named = makes_in_session(&mut world, &ann, "t-1");
    let going = world.ask(&ann, &in_session(2, "tasks/result", &named));
    answers(&mut world, "tasks/get", &stateless_task("t-1", "working", "complete", ""));
    assert!(world.clock.wake_after(Duration::from_millis(100)));
    world.run();
    let asked = format!(r#","inputRequests":{{"k":{{{QUESTION}}}}}}}"#);
    let waits = stateless_task("t-1", "input_required", "complete", &asked);
    answers(&mut world, "tasks/get", &waits);
    let told = ann.client.take_about();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].1.clone().unwrap().to_string(), "2");
    let asked = value(&told[0].0);
    let known = value(&format!("{{{named}}}"))["taskId"].clone();
    assert_eq!(asked["params"]["_meta"][RELATED]["taskId"], known);
    let answer = format!(
        r#"{{"jsonrpc":"2.0","id":{},"result":{{"action":"accept","content":{{"n":1.50}}}}}}"#,
        asked["id"]
    );
    world.tell(&ann, &answer);
    let update = world.upstreams[0].taken().last().unwrap().clone();
    assert!(update.contains(r#""method":"tasks/update""#), "{update}");
    assert!(update.contains(r#""inputResponses":{"k":{"action":"accept","content":{"n":1.50}}}"#));
    answers(&mut world, "tasks/update", r#"{"resultType":"complete"}"#);
    world.clock.wake_after(Duration::from_millis(100));
    world.run();
    // A server may show for a while what was answered; it is not asked again.
    answers(&mut world, "tasks/get", &waits);
    assert!(ann.client.take().is_empty());
    world.clock.wake_after(Duration::from_millis(100));
    world.run();
    let result_of = r#","result":{"resultType":"complete","content":[],"isError":true,"z":1.50}"#;
    let done = stateless_task("t-1", "completed", "complete", result_of);
    answers(&mut world, "tasks/get", &done);
    let came = result(&going);
    assert_eq!((&came["z"], &came["isError"]), (&json!(1.5), &json!(true)));
    assert_eq!(came["_meta"][RELATED]["taskId"], known);
    assert!(came["resultType"].is_null());
    let going = world.ask(&ann, &in_session(3, "tasks/get", &named));
    answers(&mut world, "tasks/get", &done);
    assert_eq!(
        (&result(&going)["status"], &result(&going)["result"]),
        (&json!("failed"), &Value::Null)
    );
    let going = world.ask(&ann, &in_session(4, "tasks/cancel", &named));
    answers(&mut world, "tasks/get", &done);
    assert_eq!(code(&going), -32602);
}

#[test]
fn a_stateless_task_whose_question_is_refused_is_cancelled() {
    let mut world = of_stateless();
    let ann = world.known("ann", r#"{"elicitation":{}}"#);
    let named = makes_in_session(&mut world, &ann, "t-1");
    let going = world.ask(&ann, &in_session(2, "tasks/result", &named));
    let asked = r#","inputRequests":{"k":{"method":"roots/list"}}"#;
    let waits = stateless_task("t-1", "input_required", "complete", asked);
    answers(&mut world, "tasks/get", &waits);
    answers(&mut world, "tasks/cancel", r#"{"resultType":"complete"}"#);
    assert_eq!(result(&going)["isError"], true);
    assert!(ann.client.take().is_empty());
}

#[test]
fn a_stateless_task_that_was_taken_back_stays_so() {
    let mut world = of_stateless();
    let ann = world.known("ann", "{}");
    let named = makes_in_session(&mut world, &ann, "t-1");
    let working = stateless_task("t-1", "working", "complete", "");
    let going = world.ask(&ann, &in_session(2, "tasks/cancel", &named));
    answers(&mut world, "tasks/get", &working);
    answers(&mut world, "tasks/cancel", r#"{"resultType":"complete"}"#);
    assert_eq!(result(&going)["status"], "cancelled");
    let going = world.ask(&ann, &in_session(3, "tasks/get", &named));
    answers(&mut world, "tasks/get", &working);
    assert_eq!(result(&going)["status"], "cancelled");
    let going = world.ask(&ann, &in_session(4, "tasks/result", &named));
    answers(&mut world, "tasks/get", &working);
    assert_eq!(code(&going), -32603);
}

#[test]
fn a_wait_for_a_result_that_is_given_up_asks_no_more() {
    let mut world = of_stateless();
    let ann = world.known("ann", "{}");
    let named = makes_in_session(&mut world, &ann, "t-1");
    let going = world.ask(&ann, &in_session(2, "tasks/result", &named));
    answers(&mut world, "tasks/get", &stateless_task("t-1", "working", "complete", ""));
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}"#;
    world.tell(&ann, cancel);
    assert_eq!(going.answer(), None);
    world.clock.wake();
    world.run();
    assert!(world.upstreams[0].calls().iter().all(|call| !call.contains("tasks/get")));
}

#[test]
fn who_asks_for_a_task_gets_one_of_what_is_answered_at_once() {
    let mut world = of_stateless();
    let ann = world.known("ann", "{}");
    let call = in_session(1, "tools/call", r#""name":"one","task":{}"#);
    let going = world.ask(&ann, &call);
    let plain = r#"{"resultType":"complete","content":[],"z":1.50}"#;
    answers(&mut world, "tools/call", plain);
    let task = result(&going)["task"].clone();
    assert_eq!(
        (&task["status"], &task["createdAt"]),
        (&json!("completed"), &json!("2001-09-09T01:46:40Z"))
    );
    let named = format!(r#""taskId":{}"#, task["taskId"]);
    assert_eq!(result(&world.ask(&ann, &in_session(2, "tasks/get", &named))), task);
    let came = result(&world.ask(&ann, &in_session(3, "tasks/result", &named)));
    assert_eq!((&came["z"], &came["_meta"][RELATED]["taskId"]), (&json!(1.5), &task["taskId"]));
    assert_eq!(code(&world.ask(&ann, &in_session(4, "tasks/cancel", &named))), -32602);
    let listed = result(&world.ask(&ann, &in_session(5, "tasks/list", "")));
    assert_eq!(listed["tasks"], json!([task]));
    let bob = world.known("bob", "{}");
    assert_eq!(code(&world.ask(&bob, &in_session(6, "tasks/result", &named))), -32602);
    assert_eq!(world.upstreams[0].taken().len(), 1);
    // A failure of ours is no task, so it is an error.
    let going = world.ask(&ann, &call);
    let gone = mcplex_proto::upstream::UpstreamError::OtherEra {
        upstream: mcplex_proto::upstream::UpstreamName::new("a").unwrap(),
        now: mcplex_proto::version::Era::Modern,
    };
    world.upstreams[0].ends(Err(gone));
    world.run();
    assert!(code(&going).is_i64());
}

#[test]
fn a_tool_of_a_server_without_tasks_is_not_run_as_one() {
    let mut world = World::new(&["a"]);
    world.upstreams[0].introduces_modern(r#"{"tools":{}}"#);
    let tools =
        r#"{"resultType":"complete","tools":[{"name":"one"}],"ttlMs":1,"cacheScope":"public"}"#;
    world.upstreams[0].lists("tools/list", &[tools]);
    world.ready(0, 1);
    let ann = world.known("ann", "{}");
    let call = in_session(1, "tools/call", r#""name":"one","task":{}"#);
    assert_eq!(code(&world.ask(&ann, &call)), -32601);
    let listed = result(&world.ask(&ann, &in_session(2, "tools/list", "")));
    assert!(listed["tools"][0]["execution"].is_null());
    assert_eq!(code(&world.ask(&ann, &in_session(3, "tasks/list", ""))), -32601);
}
