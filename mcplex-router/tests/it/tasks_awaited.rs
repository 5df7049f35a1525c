//! Tools that a stateless server runs as tasks alone, called by a session that knows of none.

use crate::{
    tasks_across::{answers, in_session, of_stateless, result, stateless_task, value},
    world::{Going, Peer, World},
};
use mcplex_proto::upstream::{UpstreamError, UpstreamName};
use serde_json::{Value, json};
use std::time::Duration;

const QUESTION: &str = r#""method":"elicitation/create","params":{"message":"m","requestedSchema":{"type":"object","properties":{}}}"#;

/// The upstream wants this capability, and has run nothing.
fn wants(world: &mut World, required: &Value) {
    let error = json!({ "jsonrpc": "2.0", "id": 0, "error": {
        "code": -32021, "message": "not without it", "data": { "requiredCapabilities": required },
    } });
    world.upstreams[0].responds_to("tools/call", &error.to_string());
    world.run();
}

fn tasks() -> Value {
    json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } })
}

/// Calls `one`, which becomes a task.
fn begins(world: &mut World, peer: &Peer) -> Going {
    let going = world.call(peer, "1", "one");
    wants(world, &tasks());
    let call = value(world.upstreams[0].taken().last().unwrap());
    let capabilities = &call["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"];
    assert_eq!(capabilities["extensions"], tasks()["extensions"]);
    assert_eq!(capabilities["elicitation"], json!({}));
    answers(world, "tools/call", &stateless_task("t-1", "working", "task", ""));
    assert!(!going.is_done());
    going
}

/// The upstream is asked for the task, and answers this.
fn looks(world: &mut World, status: &str, more: &str) {
    answers(world, "tasks/get", &stateless_task("t-1", status, "complete", more));
    world.clock.wake_after(Duration::from_millis(100));
    world.run();
}

fn code(going: &Going) -> Value {
    value(&going.text())["error"]["code"].clone()
}

#[test]
fn to_the_client_it_is_a_call() {
    let mut world = of_stateless();
    let ann = world.client(r#"{"elicitation":{}}"#);
    let going = begins(&mut world, &ann);
    let asked = value(world.upstreams[0].taken().last().unwrap());
    assert_eq!(
        (&asked["method"], &asked["params"]["taskId"]),
        (&json!("tasks/get"), &json!("t-1"))
    );
    looks(&mut world, "working", "");
    looks(&mut world, "input_required", &format!(r#","inputRequests":{{"k":{{{QUESTION}}}}}"#));
    let told = ann.client.take_about();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].1.clone().unwrap().to_string(), "1");
    let asked = value(&told[0].0);
    assert!(!told[0].0.contains("related-task"), "it knows of no task");
    let answer = format!(
        r#"{{"jsonrpc":"2.0","id":{},"result":{{"action":"accept","content":{{"n":1.50}}}}}}"#,
        asked["id"]
    );
    world.tell(&ann, &answer);
    let update = world.upstreams[0].taken().last().unwrap().clone();
    assert!(update.contains(r#""inputResponses":{"k":{"action":"accept","content":{"n":1.50}}}"#));
    answers(&mut world, "tasks/update", r#"{"resultType":"complete"}"#);
    world.clock.wake_after(Duration::from_millis(100));
    world.run();
    looks(&mut world, "completed", r#","result":{"resultType":"complete","content":[],"z":1.50}"#);
    let came = result(&going);
    assert_eq!(
        (&came["z"], &came["resultType"], &came["_meta"]),
        (&json!(1.5), &Value::Null, &Value::Null)
    );
    world.run();
    let taken = world.upstreams[0].taken();
    assert!(taken.iter().all(|call| !call.contains("tasks/cancel")), "{taken:?}");
    // It is in no list: nobody has asked for a task.
    let listed = result(&world.ask(&ann, &in_session(2, "tasks/list", "")));
    assert_eq!(listed["tasks"], json!([]));
}

#[test]
fn what_fails_or_is_lost_is_an_error_of_the_call() {
    let check = |more: &str, status: &str, expect: i32| {
        let mut world = of_stateless();
        let ann = world.client(r#"{"elicitation":{}}"#);
        let going = begins(&mut world, &ann);
        looks(&mut world, status, more);
        assert_eq!(code(&going), expect, "{status}");
    };
    check(r#","error":{"code":-32000,"message":"no"}"#, "failed", -32000);
    check("", "cancelled", -32603);
    let mut world = of_stateless();
    let ann = world.client(r#"{"elicitation":{}}"#);
    let going = begins(&mut world, &ann);
    let unknown = r#"{"jsonrpc":"2.0","id":0,"error":{"code":-32602,"message":"no such task"}}"#;
    world.upstreams[0].responds_to("tasks/get", unknown);
    world.run();
    // To the client nothing was wrong with its parameters.
    assert_eq!(code(&going), -32603);
    assert!(going.text().contains("no such task"));
}

#[test]
fn a_call_that_is_given_up_cancels_its_task() {
    let gives_up: [fn(&mut World, &Peer); 2] = [
        |world, ann| {
            let cancel =
                r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
            world.tell(ann, cancel);
        },
        |world, _| {
            let upstream = UpstreamName::new("a").unwrap();
            world.upstreams[0].ends(Err(UpstreamError::Timeout {
                upstream,
                timeout: Duration::from_secs(1),
                from: None,
            }));
            world.run();
        },
    ];
    for give_up in gives_up {
        let mut world = of_stateless();
        let ann = world.client(r#"{"elicitation":{}}"#);
        let _going = begins(&mut world, &ann);
        give_up(&mut world, &ann);
        world.run();
        let taken = world.upstreams[0].taken();
        let last = value(taken.last().unwrap());
        assert_eq!(
            (&last["method"], &last["params"]["taskId"]),
            (&json!("tasks/cancel"), &json!("t-1"))
        );
    }
}

#[test]
fn other_things_that_are_missing_are_not_made_up_for() {
    let check = |required: Value| {
        let mut world = of_stateless();
        let ann = world.client("{}");
        let going = world.call(&ann, "1", "one");
        wants(&mut world, &required);
        assert_eq!(code(&going), -32603, "{required}");
        assert_eq!(world.upstreams[0].taken().len(), 1);
    };
    check(json!({ "sampling": {} }));
    check(json!({ "extensions": { "io.modelcontextprotocol/tasks": {}, "x/y": {} } }));
    check(json!({ "sampling": {}, "extensions": { "io.modelcontextprotocol/tasks": {} } }));
    check(json!(null));
    // Nor is it asked for a second time.
    let mut world = of_stateless();
    let ann = world.client("{}");
    let going = world.call(&ann, "1", "one");
    wants(&mut world, &tasks());
    wants(&mut world, &tasks());
    assert_eq!(code(&going), -32603);
    // Who is stateless may declare it, and reads that it has to.
    let passer = world.passer_by(None);
    let going = crate::modern::calls(&mut world, &passer, "3", "one");
    wants(&mut world, &tasks());
    let error = value(&going.text())["error"].clone();
    assert_eq!(error["code"], -32021);
    assert_eq!(error["data"]["requiredCapabilities"], tasks());
}
