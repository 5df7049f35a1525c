//! What is told of tasks unasked, and which are listed.

use crate::{
    modern::SUBSCRIPTION,
    tasks_across::{
        answers, in_session, makes_in_session, makes_stateless, of_sessions, of_stateless, result,
        session_task, stateless, stateless_task, value,
    },
    world::{Peer, World},
};
use mcplex_proto::downstream::{Principal, Stay};
use serde_json::{Value, json};

/// The `subscriptions/listen` that the upstream was sent last, which it acknowledges.
fn heard(world: &mut World) -> Value {
    let calls = world.upstreams[0].calls();
    let listens: Vec<_> = calls.iter().filter(|call| call.contains("subscriptions/")).collect();
    let listen = value(listens.last().expect("there is one"));
    let told = format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{{"_meta":{{"{SUBSCRIPTION}":{}}},"notifications":{}}}}}"#,
        listen["id"], listen["params"]["notifications"]
    );
    world.says(0, &told);
    listen
}

/// Somebody who came to listen to a task.
fn listens(world: &mut World, named: &str) -> (Peer, Value) {
    let id = value(&format!("{{{}}}", named.trim_start_matches(',')))["taskId"].clone();
    let peer = world.passer_by(Some("ann"));
    let filter = format!(r#","notifications":{{"taskIds":[{id},"mcplex1.none"]}}"#);
    let going = world.ask(&peer, &stateless(9, "subscriptions/listen", &filter));
    assert!(!going.is_done());
    let told = value(&peer.client.take()[0]);
    assert_eq!(told["params"]["notifications"]["taskIds"], json!([id]));
    (peer, id)
}

fn news(world: &mut World, method: &str, params: &str) {
    let text = format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params}}}"#);
    world.says(0, &text);
}

#[test]
fn a_stateless_client_hears_of_the_stateless_tasks_that_it_names() {
    let mut world = of_stateless();
    let ann = world.passer_by(Some("ann"));
    let going = world.ask(&ann, &stateless(1, "tools/call", r#","name":"one""#));
    answers(&mut world, "tools/call", &stateless_task("t-1", "working", "task", ""));
    let named = format!(r#","taskId":{}"#, result(&going)["taskId"]);
    let (listener, id) = listens(&mut world, &named);
    let listen = heard(&mut world);
    assert_eq!(listen["params"]["notifications"], json!({"taskIds": ["t-1"]}));
    let mark =
        format!(r#","_meta":{{"{SUBSCRIPTION}":{}}},"result":{{"content":[]}}}}"#, listen["id"]);
    let done = stateless_task("t-1", "completed", "complete", "").replace('}', &mark);
    news(&mut world, "notifications/tasks", &done);
    let told = listener.client.take_about();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].1.clone().unwrap().to_string(), "9");
    let told = value(&told[0].0);
    assert_eq!(told["method"], "notifications/tasks");
    assert_eq!(
        (&told["params"]["taskId"], &told["params"]["_meta"][SUBSCRIPTION]),
        (&id, &json!(9))
    );
    assert_eq!(told["params"]["result"]["content"], json!([]));
    assert!(ann.client.take().is_empty());
    // It has ended, so there is nothing more to hear.
    assert!(world.upstreams[0].calls().is_empty());
}

#[test]
fn a_session_hears_of_the_stateless_tasks_that_it_made() {
    let mut world = of_stateless();
    let (ann, bob) = (world.known("ann", "{}"), world.known("bob", "{}"));
    let named = makes_in_session(&mut world, &ann, "t-1");
    let listen = heard(&mut world);
    assert_eq!(listen["params"]["notifications"], json!({"taskIds": ["t-1"]}));
    let more = format!(
        r#","_meta":{{"{SUBSCRIPTION}":{}}},"error":{{"code":1,"message":"bad"}}"#,
        listen["id"]
    );
    news(&mut world, "notifications/tasks", &stateless_task("t-1", "failed", "complete", &more));
    let told = ann.client.take();
    assert_eq!(told.len(), 1);
    let told = value(&told[0]);
    assert_eq!(told["method"], "notifications/tasks/status");
    let params = &told["params"];
    assert_eq!((&params["status"], &params["ttl"]), (&json!("failed"), &json!(60000)));
    assert_eq!(params["statusMessage"], "bad");
    assert!(params["error"].is_null() && params["_meta"][SUBSCRIPTION].is_null());
    assert!(named.contains(params["taskId"].as_str().unwrap()));
    assert!(bob.client.take().is_empty());
}

#[test]
fn a_stateless_client_hears_all_of_a_sessions_task_that_it_names() {
    let mut world = of_sessions();
    let ann = world.passer_by(Some("ann"));
    let named = makes_stateless(&mut world, &ann, "t-1");
    let (listener, id) = listens(&mut world, &named);
    news(&mut world, "notifications/tasks/status", &session_task("t-1", "completed"));
    // More is asked than the upstream said, and what it says meanwhile has it asked again.
    news(&mut world, "notifications/tasks/status", &session_task("t-1", "completed"));
    for _ in 0..2 {
        assert!(listener.client.take().is_empty());
        answers(&mut world, "tasks/get", &session_task("t-1", "completed"));
        answers(&mut world, "tasks/result", r#"{"content":[],"z":1.50}"#);
        let told = listener.client.take();
        assert_eq!(told.len(), 1, "{told:?}");
        let told = value(&told[0]);
        assert_eq!(told["method"], "notifications/tasks");
        let params = &told["params"];
        assert_eq!((&params["taskId"], &params["ttlMs"]), (&id, &json!(60000)));
        assert_eq!(params["result"]["z"], 1.5);
    }
    assert!(world.upstreams[0].calls().is_empty());
}

#[test]
fn who_listens_to_tasks_has_to_know_them() {
    let mut world = of_stateless();
    let peer = world.passer_by(None);
    let filter = r#","notifications":{"taskIds":["x"]}"#;
    let text = crate::modern::request("1", "subscriptions/listen", filter);
    let answer = value(&world.ask(&peer, &text).text());
    assert_eq!(answer["error"]["code"], -32021);
    let filter = r#","notifications":{"taskIds":[1]}"#;
    let answer = value(&world.ask(&peer, &stateless(1, "subscriptions/listen", filter)).text());
    assert_eq!(answer["error"]["code"], -32602);
}

#[test]
fn only_the_own_tasks_are_listed_page_by_page() {
    const COUNT: usize = 40;
    let mut world = of_stateless();
    let ann = world.known("ann", "{}");
    let bob = world.known("bob", "{}");
    for number in 0..COUNT {
        makes_in_session(&mut world, &ann, &format!("t-{number}"));
    }
    makes_in_session(&mut world, &bob, "b");
    let again = world.known("ann", "{}");
    let mut cursor = String::new();
    let mut all = Vec::new();
    for page in 0..3 {
        let going = world.ask(&again, &in_session(2, "tasks/list", &cursor));
        let calls = world.upstreams[0].calls();
        for call in calls.iter().filter(|call| call.contains("tasks/get")) {
            let own = value(call)["params"]["taskId"].as_str().unwrap().to_owned();
            assert_ne!(own, "b");
            // Of the last one its upstream has heard nothing.
            if own == format!("t-{}", COUNT - 1) {
                let error = r#"{"jsonrpc":"2.0","id":0,"error":{"code":-32602,"message":"no"}}"#;
                world.upstreams[0].responds_to("tasks/get", error);
            } else {
                let told = stateless_task(&own, "working", "complete", "");
                world.upstreams[0].answers_to("tasks/get", &told);
            }
        }
        world.run();
        let listed = result(&going);
        let tasks = listed["tasks"].as_array().unwrap();
        assert!(tasks.iter().all(|task| task["ttl"] == 60000 && task["resultType"].is_null()));
        all.extend(tasks.clone());
        let Some(next) = listed["nextCursor"].as_str() else {
            assert_eq!(page, 1);
            break;
        };
        cursor = format!(r#""cursor":"{next}""#);
    }
    assert_eq!(all.len(), COUNT - 1);
    for (peer, cursor) in [(&ann, r#""cursor":"x""#), (&bob, &*cursor)] {
        let answer = value(&world.ask(peer, &in_session(3, "tasks/list", cursor)).text());
        assert_eq!(answer["error"]["code"], -32602);
    }
}

#[test]
fn who_proves_nothing_is_listed_what_its_own_session_made() {
    let mut world = of_stateless();
    let (one, two) = (world.arrives("{}"), world.arrives("{}"));
    let named = makes_in_session(&mut world, &one, "t-1");
    let listed = result(&world.ask(&two, &in_session(2, "tasks/list", "")));
    assert_eq!(listed["tasks"], json!([]));
    let going = world.ask(&one, &in_session(2, "tasks/list", ""));
    answers(&mut world, "tasks/get", &stateless_task("t-1", "working", "complete", ""));
    assert_eq!(result(&going)["tasks"].as_array().map(Vec::len), Some(1));
    // The id says whose it is, and who left may come back with it.
    one.session.close();
    let going = world.ask(&two, &in_session(3, "tasks/get", &named));
    answers(&mut world, "tasks/get", &stateless_task("t-1", "working", "complete", ""));
    assert_eq!(result(&going)["status"], "working");
}

#[test]
fn an_id_that_another_life_gives_again_opens_nothing_of_somebody_else() {
    let mut world = of_stateless();
    let (ann, bob) = (world.known("ann", "{}"), world.known("bob", "{}"));
    let named = makes_in_session(&mut world, &ann, "1");
    makes_in_session(&mut world, &bob, "1");
    let unknown = value(&world.ask(&ann, &in_session(2, "tasks/get", r#""taskId":"x""#)).text());
    let taken = value(&world.ask(&ann, &in_session(2, "tasks/get", &named)).text());
    assert_eq!(taken["error"]["code"], -32602);
    assert_eq!(taken["error"], unknown["error"]);
}

#[test]
fn tasks_that_are_forgotten_can_still_be_asked_for() {
    const COUNT: usize = 513;
    let mut world = of_stateless();
    let pipe = world.opens(Principal::Pipe, Stay::Long);
    let hello = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;
    world.ask(&pipe, hello);
    let named: Vec<_> =
        (0..COUNT).map(|at| makes_in_session(&mut world, &pipe, &format!("t-{at}"))).collect();
    let going = world.ask(&pipe, &in_session(2, "tasks/list", ""));
    let first = value(&world.upstreams[0].calls()[0]);
    assert_eq!(first["params"]["taskId"], "t-1", "the oldest one was forgotten");
    drop(going);
    let going = world.ask(&pipe, &in_session(3, "tasks/cancel", &named[0]));
    let last = value(world.upstreams[0].calls().last().unwrap());
    assert_eq!((&last["method"], &last["params"]["taskId"]), (&json!("tasks/get"), &json!("t-0")));
    assert!(!going.is_done());
}
