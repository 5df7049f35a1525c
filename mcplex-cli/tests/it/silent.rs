//! Operators' commands on an `mcplex` that runs and does not answer.

use crate::{
    census,
    gateway::{Gateway, Said, Setup},
    verbs::status,
};
use rustix::process::Signal;
use std::process::Stdio;

#[test]
fn no_command_waits_for_ever_for_an_mcplex_that_is_stopped() {
    let setup = Setup::new("").server("files", &[]);
    let gateway = setup.serve();
    gateway.wait_event("files", "upstream connected");
    let mut following = setup.command(&["logs", "files", "-f"]);
    let mut following = following.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = Said::of(following.stdout.take().unwrap());
    lines.wait_for("the first life", |line| line.contains("life 1 began"));
    gateway.signal(Signal::STOP);
    let commands: [&[&str]; 10] = [
        &["status"],
        &["status", "--watch"],
        &["why", "files"],
        &["logs", "files"],
        &["logs", "files", "-f"],
        &["crashes"],
        &["crashes", "show", "files"],
        &["stop", "files"],
        &["restart", "--all"],
        &["reset", "files", "--no-wait"],
    ];
    // Side by side, since each of them waits.
    let asked: Vec<Gateway> =
        commands.iter().map(|args| setup.start(args, Stdio::null())).collect();
    let expect = format!(
        "error: mcplex (process {}) runs but does not answer; it is stopped or overloaded",
        gateway.pid()
    );
    for (mut asked, args) in asked.into_iter().zip(commands) {
        assert_eq!(asked.ended().code(), Some(8), "{args:?}");
        asked.wait_for(&expect);
        asked.wait_for(&format!("kill -CONT {}", gateway.pid()));
    }
    // Who follows has had an answer, and goes on with what comes.
    assert!(following.try_wait().unwrap().is_none());
    gateway.signal(Signal::CONT);
    let now = status(&setup, "files");
    assert_eq!((&now["health"], &now["incarnation"]), (&"ready".into(), &1.into()), "{now:#}");
    census::signal(following.id(), Signal::TERM);
    following.wait().unwrap();
}
