//! Progress of tasks: it goes on under the token of the call that a task was made of.

use crate::{
    tasks_across::{answers, in_session, of_sessions, result, value},
    world::{Going, Peer, World},
};
use serde_json::{Value, json};

const RELATED: &str = "io.modelcontextprotocol/related-task";

/// Calls `one` under a progress token, as a task where `task` says so; gives the token that the
/// upstream has.
fn calls(world: &mut World, peer: &Peer, task: &str) -> (Going, u64) {
    let members = format!(r#""name":"one","_meta":{{"progressToken":"p"}}{task}"#);
    let going = world.ask(peer, &in_session(1, "tools/call", &members));
    let call = value(world.upstreams[0].taken().last().unwrap());
    let token = call["params"]["_meta"]["progressToken"].as_u64().unwrap();
    (going, token)
}

/// The upstream tells progress; gives what `peer` is told, each with the request it is told about.
fn progress(
    world: &mut World,
    peer: &Peer,
    (token, at): (u64, &str),
) -> Vec<(Value, Option<String>)> {
    let text = format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":{at},"x":1.50,"_meta":{{"{RELATED}":{{"taskId":"t-1"}}}}}}}}"#
    );
    world.says(0, &text);
    let told = peer.client.take_about();
    told.iter()
        .map(|(text, about)| (value(text), about.as_ref().map(ToString::to_string)))
        .collect()
}

fn made(world: &mut World) {
    world.upstreams[0].answers(r#"{"task":{"taskId":"t-1","status":"working"}}"#);
    world.run();
}

#[test]
fn it_goes_on_until_the_task_has_ended() {
    let ends: [fn(&mut World, &Peer, &str); 3] = [
        |world, peer, named| {
            world.ask(peer, &in_session(8, "tasks/result", named));
            answers(world, "tasks/result", r#"{"content":[]}"#);
        },
        |world, peer, named| {
            world.ask(peer, &in_session(8, "tasks/cancel", named));
            answers(world, "tasks/cancel", r#"{"taskId":"t-1","status":"cancelled"}"#);
        },
        |world, _, _| {
            let over = r#"{"jsonrpc":"2.0","method":"notifications/tasks/status","params":{"taskId":"t-1","status":"failed"}}"#;
            world.says(0, over);
        },
    ];
    for end in ends {
        let mut world = of_sessions();
        let (ann, bob) = (world.client("{}"), world.client("{}"));
        let (going, token) = calls(&mut world, &ann, r#","task":{"ttl":5}"#);
        let early = progress(&mut world, &ann, (token, "1"));
        assert_eq!((early.len(), &early[0].1), (1, &Some("1".to_owned())));
        made(&mut world);
        let task = result(&going)["task"]["taskId"].clone();
        assert_eq!(early[0].0["params"]["_meta"][RELATED]["taskId"], task);
        let told = progress(&mut world, &ann, (token, "2"));
        assert_eq!(told.len(), 1);
        let (params, about) = (&told[0].0["params"], &told[0].1);
        assert_eq!((&params["progressToken"], &params["progress"]), (&json!("p"), &json!(2)));
        assert_eq!((&params["x"], about), (&json!(1.5), &None));
        assert_eq!(params["_meta"][RELATED]["taskId"], task);
        // It has to grow, and nobody else hears of it.
        assert!(progress(&mut world, &ann, (token, "2")).is_empty());
        assert!(progress(&mut world, &ann, (token + 100, "3")).is_empty());
        assert!(bob.client.take().is_empty());
        let named = format!(r#""taskId":{task}"#);
        let reads = world.ask(&ann, &in_session(7, "tasks/result", &named));
        let told = progress(&mut world, &ann, (token, "4"));
        assert_eq!(told[0].1.as_deref(), Some("7"), "it comes where the result is awaited");
        let cancel =
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#;
        world.tell(&ann, cancel);
        assert_eq!(reads.answer(), None);
        end(&mut world, &ann, &named);
        ann.client.take();
        assert!(progress(&mut world, &ann, (token, "5")).is_empty());
    }
}

#[test]
fn it_ends_with_the_session_that_made_the_task() {
    let mut world = of_sessions();
    let ann = world.client("{}");
    let (_going, token) = calls(&mut world, &ann, r#","task":{}"#);
    made(&mut world);
    ann.session.close();
    assert!(progress(&mut world, &ann, (token, "2")).is_empty());
}

#[test]
fn a_call_that_is_run_as_a_task_keeps_its_progress() {
    let mut world = World::new(&["a"]);
    world.upstreams[0]
        .introduces(r#"{"tools":{},"tasks":{"requests":{"tools":{"call":{}}}}}"#, None);
    let tools = r#"{"tools":[{"name":"one","execution":{"taskSupport":"required"}}]}"#;
    world.upstreams[0].lists("tools/list", &[tools]);
    world.ready(0, 1);
    let ann = world.client("{}");
    let (going, token) = calls(&mut world, &ann, "");
    made(&mut world);
    let told = progress(&mut world, &ann, (token, "2"));
    assert_eq!((told.len(), told[0].1.as_deref()), (1, Some("1")));
    assert_eq!(told[0].0["params"]["progressToken"], "p");
    world.upstreams[0].answers(r#"{"content":[]}"#);
    world.run();
    assert!(going.is_done());
    assert!(progress(&mut world, &ann, (token, "3")).is_empty());
}
