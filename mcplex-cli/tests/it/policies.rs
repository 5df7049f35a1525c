//! When a server begins, rests and is given up, as it shows on the real thing.

use crate::{
    census::{self, Watch},
    client::{Client, text},
    gateway::{Gateway, PATIENCE, Setup},
    verbs::{ok, status},
};
use mcplex_proto::{error, upstream::UNAVAILABLE_META};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{fs, os::unix::fs::PermissionsExt as _};

fn served(flags: &[&str], supervise: &str) -> (Setup, Gateway) {
    let setup = Setup::new("[router]\nnaming = \"prefix\"");
    let spawns = setup.path("spawns");
    let flags = [&["--spawn-log", &spawns], flags].concat();
    let setup = setup.server_with("one", &flags, supervise);
    let gateway = setup.serve();
    (setup, gateway)
}

fn add(client: &mut Client) -> Value {
    client.call("one__add", &json!({ "a": 1, "b": 2 }))
}

/// The processes of the gateway's servers.
fn children(gateway: &Gateway) -> Watch {
    Watch::of(census::descendants(gateway.pid()).into_iter().map(|one| one.pid))
}

/// A lazy server whose lists are remembered from a run before, and the next run.
fn remembered() -> (Setup, Gateway) {
    let (setup, mut gateway) = served(&[], "lazy = true");
    gateway.client_of(&["one__add"]);
    assert_eq!(setup.lines("spawns").len(), 1, "what nothing is known of is started to be asked");
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().code(), Some(0));
    let gateway = setup.serve();
    (setup, gateway)
}

#[test]
fn a_lazy_server_is_listed_at_once_and_started_by_its_first_call() {
    let (setup, gateway) = remembered();
    let mut client = gateway.client();
    assert!(client.tools().contains(&"one__add".to_owned()));
    assert_eq!(setup.lines("spawns").len(), 1, "no process was started for the list");
    assert!(census::descendants(gateway.pid()).is_empty());
    assert_eq!(text(&add(&mut client)), "3");
    assert_eq!(setup.lines("spawns").len(), 2);
}

#[test]
fn a_lazy_server_is_started_by_any_request_for_it() {
    let (setup, gateway) = remembered();
    // With one upstream there is no doubt whom it is for, and this one does not know the method.
    let answer = gateway.client().request("x/any", &json!({}));
    assert_eq!(answer["error"]["code"], -32601, "{answer}");
    assert_eq!(setup.lines("spawns").len(), 2);
}

#[test]
fn a_server_that_nobody_uses_rests_and_the_next_call_starts_it() {
    let (setup, gateway) = served(&[], "idle_stop = \"300ms\"");
    let mut client = gateway.client_of(&["one__add"]);
    for spawns in 1..=2 {
        assert_eq!(text(&add(&mut client)), "3");
        let running = children(&gateway);
        gateway.wait_events("one", "upstream is not used", spawns);
        assert_eq!(running.left_after(PATIENCE), [0; 0], "nothing is left while it rests");
        assert_eq!(setup.lines("spawns").len(), spawns);
        assert!(client.tools().contains(&"one__add".to_owned()), "its tools are still shown");
    }
    assert_eq!(text(&add(&mut client)), "3");
    assert_eq!(gateway.events("one", "upstream died").len(), 0);
}

#[test]
fn so_many_calls_run_at_once() {
    let (_setup, gateway) = served(&[], "max_concurrency = 1\nqueue_limit = 1");
    let mut client = gateway.client_of(&["one__sleep"]);
    // Each has a connection of its own, so any of them may come first; the two that come first run
    // one after the other, and the last is too many.
    let calls: Vec<_> =
        (0..3).map(|_| client.begin_call("one__sleep", &json!({ "ms": 700 }))).collect();
    let answers = calls.iter().map(|call| call.answer()["result"].take());
    let (refused, slept): (Vec<_>, Vec<_>) = answers.partition(|answer| answer["isError"] == true);
    let [refused] = &refused[..] else { panic!("one is too many: {refused:?}, {slept:?}") };
    assert_eq!(refused["_meta"][UNAVAILABLE_META]["code"], error::QUEUE_FULL, "{refused}");
    assert_eq!(slept.iter().map(text).collect::<Vec<_>>(), ["slept", "slept"]);
}

#[test]
fn what_follows_an_exit_is_as_configured() {
    // Never: it stays stopped, and says so.
    let (setup, gateway) = served(&[], "restart = \"never\"");
    let mut client = gateway.client_of(&["one__crash"]);
    client.call("one__crash", &json!({}));
    gateway.wait_event("one", "upstream ended and is not started again");
    let refused = add(&mut client);
    assert_eq!(refused["_meta"][UNAVAILABLE_META]["code"], error::UPSTREAM_DISABLED, "{refused}");
    assert!(text(&refused).contains("one is stopped: it exited with code 1."), "{refused}");
    assert_eq!(setup.lines("spawns").len(), 1);
    let why = ok(&setup, &["why", "one"]).replace('\n', " ");
    for part in [
        "one does not run since ",
        ": it ended, and its setting `restart` lets no other life follow. Its last life ended at ",
        ": it exited with code ",
        "`mcplex start one` starts it.",
    ] {
        assert!(why.contains(part), "{part:?} is not in {why}");
    }
    // Whoever stops one that runs is not told of a death.
    ok(&setup, &["start", "one"]);
    ok(&setup, &["stop", "one"]);
    assert!(ok(&setup, &["why", "one"]).starts_with("one was stopped at "));
}

#[test]
fn a_start_that_ends_and_lets_nothing_follow_is_told_at_once() {
    let flags = ["--die-before-handshake", "0"];
    let (setup, gateway) = served(&flags, "restart = \"never\"");
    gateway.wait_event("one", "upstream ended and is not started again");
    let failed = setup.run(&["start", "one"]);
    assert_eq!(failed.code, 1, "{}", failed.stderr);
    let why = "one was told to start, and failed: it exited with code 1";
    assert!(failed.stderr.contains(why), "{}", failed.stderr);
    // One that means to leave, and comes back with the next call.
    let flags = ["--die-before-handshake", "0", "--exit", "0"];
    let (setup, gateway) = served(&flags, "on_exit_0 = \"idle\"");
    gateway.wait_event("one", "upstream ended and is not started again");
    let failed = setup.run(&["start", "one"]);
    assert!(failed.stderr.contains("and failed: it exited with code 0"), "{}", failed.stderr);
    let left = ok(&setup, &["why", "one"]);
    assert!(left.contains(": it exited with code 0. The next call starts it."), "{left}");
    assert_eq!(setup.lines("spawns").len(), 2);
}

#[test]
fn a_trip_says_why_and_what_to_do_wherever_it_is_told() {
    let words = "Error: TELEGRAM_API_ID is required, got token=abc123secret";
    let flags = ["--die-before-handshake", "0", "--stderr", words];
    let (_setup, gateway) = served(&flags, "max_deaths = 0");
    let trip = gateway.wait_event("one", "upstream tripped");
    let reason = trip["reason"].as_str().unwrap();
    for part in [
        "1 deaths in 60 s; the last time it exited with code",
        "probably the variable TELEGRAM_API_ID is not set",
        "set TELEGRAM_API_ID in `env` of the server",
        "token=[redacted]",
    ] {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    let mut client = gateway.client();
    let refused = add(&mut client);
    let sentence = text(&refused);
    assert!(sentence.contains(reason), "{sentence}");
    assert!(!refused.to_string().contains("abc123secret"), "{refused}");
}

#[test]
fn the_first_start_of_an_installer_says_what_it_installs() {
    let setup = Setup::new("");
    let program = mcplex_testkit::fake_server();
    let text = format!(
        "#!/bin/sh\necho 'fetching 1 of 2' >&2\nwhile [ ! -e {} ]; do sleep 0.05; done\nexec {}\n",
        setup.path("go"),
        program.display()
    );
    fs::write(setup.file("npx"), text).unwrap();
    fs::set_permissions(setup.file("npx"), fs::Permissions::from_mode(0o755)).unwrap();
    let toml = format!("[[servers]]\nname = \"new\"\ncommand = {:?}", setup.path("npx"));
    let setup = Setup::new(&toml).within(&setup);
    let gateway = setup.serve();
    gateway.wait_for("fetching 1 of 2");
    let mut looks = (0..1000).map(|_| status(&setup, "new")["reason"].clone());
    let said = looks.find(|reason| !reason.is_null()).unwrap();
    assert_eq!(said, "it is installing, and says: fetching 1 of 2");
    let why = ok(&setup, &["why", "new"]);
    assert!(why.contains("It is installing, and says: fetching 1 of 2."), "{why}");
    fs::write(setup.file("go"), "").unwrap();
    gateway.wait_event("new", "upstream connected");
    assert!(status(&setup, "new")["reason"].is_null());
}
