//! However `mcplex` ends, nothing of it is left, and its exit code says how it went.

use crate::{
    census::{self, Watch},
    client::text,
    gateway::{Gateway, PATIENCE, Setup},
    stdio::StdioClient,
};
use rustix::{
    process::Signal,
    pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt},
};
use serde_json::json;
use std::{
    net::TcpListener,
    os::{fd::OwnedFd, unix::process::ExitStatusExt as _},
    process::Stdio,
    time::Duration,
};

/// Watches everything that runs below a gateway.
fn watch(gateway: &Gateway) -> Watch {
    let family = census::descendants(gateway.pid());
    assert!(!family.is_empty());
    Watch::of(family.into_iter().map(|process| process.pid))
}

fn nothing_is_left(watch: &Watch) {
    let left = watch.left_after(Duration::from_secs(2));
    assert!(left.is_empty(), "{left:?} still run");
}

/// A call that is in the hands of the upstream.
fn call_in_flight(setup: &Setup, gateway: &Gateway, ms: u64) -> crate::client::Pending {
    let mut client = gateway.client_of(&["sleep"]);
    let pending = client.begin_call("sleep", &json!({ "ms": ms }));
    let arrives = (0..1_000).any(|_| {
        client.call("pid", &json!({}));
        setup.lines("calls").iter().any(|line| line.starts_with("sleep"))
    });
    assert!(arrives, "the call does not reach the server");
    pending
}

fn with_call_log(flags: &[&str]) -> Setup {
    let setup = Setup::new("");
    let calls = setup.path("calls");
    setup.server("good", &[flags, &["--call-log", &calls]].concat())
}

fn drains(signal: Signal) {
    let setup = with_call_log(&["--grandchild"]);
    let mut gateway = setup.serve();
    let pending = call_in_flight(&setup, &gateway, 700);
    let watch = watch(&gateway);
    gateway.signal(signal);
    assert_eq!(text(&pending.answer()["result"]), "slept");
    let status = gateway.ended();
    assert_eq!(status.code(), Some(0), "{status}");
    nothing_is_left(&watch);
}

#[test]
fn sigterm_lets_a_call_in_flight_finish() {
    drains(Signal::TERM);
}

#[test]
fn sigint_lets_a_call_in_flight_finish() {
    drains(Signal::INT);
}

/// A terminal, and the side of it that a shell would have.
fn terminal() -> (OwnedFd, Stdio) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let terminal = openpt(flags).unwrap();
    unlockpt(&terminal).unwrap();
    let inside = ioctl_tiocgptpeer(&terminal, flags).unwrap();
    (terminal, inside.into())
}

#[test]
fn a_terminal_that_closes_lets_a_call_in_flight_finish() {
    let setup = with_call_log(&["--grandchild"]);
    let (terminal, inside) = terminal();
    let mut gateway = setup.serve_at(inside, &[]);
    let pending = call_in_flight(&setup, &gateway, 700);
    let watch = watch(&gateway);
    drop(terminal);
    assert_eq!(text(&pending.answer()["result"]), "slept");
    let status = gateway.ended();
    assert_eq!(status.code(), Some(0), "{status}");
    nothing_is_left(&watch);
}

#[test]
fn a_second_sighup_of_a_closed_terminal_kills_at_once() {
    let setup = with_call_log(&["--ignore-sigterm", "--grandchild"]);
    let (terminal, inside) = terminal();
    let mut gateway = setup.serve_at(inside, &[]);
    let _pending = call_in_flight(&setup, &gateway, 60_000);
    let watch = watch(&gateway);
    drop(terminal);
    gateway.wait_for("draining");
    gateway.signal(Signal::HUP);
    let status = gateway.ended();
    assert_eq!(status.code(), Some(129), "{status} {:?}", status.signal());
    nothing_is_left(&watch);
}

#[test]
fn sighup_ends_nothing_while_the_terminal_is_there() {
    let setup = with_call_log(&[]);
    let (_terminal, inside) = terminal();
    let gateway = setup.serve_at(inside, &[]);
    let pending = call_in_flight(&setup, &gateway, 700);
    gateway.signal(Signal::HUP);
    gateway.wait_own("the configuration is as it was", 1);
    assert_eq!(text(&pending.answer()["result"]), "slept");
}

#[test]
fn nohup_outlives_its_terminal() {
    let setup = with_call_log(&[]);
    let (terminal, inside) = terminal();
    let gateway = setup.serve_at(inside, &["nohup"]);
    let mut client = gateway.client_of(&["add"]);
    drop(terminal);
    // The same signal, and no more than that.
    gateway.wait_own("the configuration is as it was", 1);
    assert_eq!(text(&client.call("add", &json!({ "a": 1, "b": 2 }))), "3");
}

#[test]
fn stdio_without_a_terminal_reloads_by_sighup_and_ends_with_its_client() {
    let setup = Setup::new("").server("good", &[]);
    let mut client = StdioClient::start(&setup, &[]);
    client.gateway.wait_event("good", "upstream connected");
    client.gateway.signal(Signal::HUP);
    client.gateway.wait_own("the configuration is as it was", 1);
    client.leave();
    assert_eq!(client.gateway.ended().code(), Some(0));
}

#[test]
fn a_drain_ends_by_itself_and_cuts_what_is_left() {
    let setup = Setup::new("[gateway]\ndrain = \"200ms\"");
    let calls = setup.path("calls");
    let setup = setup.server("good", &["--call-log", &calls]);
    let mut gateway = setup.serve();
    let pending = call_in_flight(&setup, &gateway, 60_000);
    let watch = watch(&gateway);
    gateway.signal(Signal::TERM);
    let status = gateway.ended();
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(pending.ended().len() <= 1);
    nothing_is_left(&watch);
}

/// A server that ignores everything that can be ignored, and has a process of its own.
fn second_signal_kills(signal: Signal, code: i32) {
    let setup = with_call_log(&["--ignore-sigterm", "--grandchild"]);
    let mut gateway = setup.serve();
    let _pending = call_in_flight(&setup, &gateway, 60_000);
    let watch = watch(&gateway);
    gateway.signal(signal);
    gateway.wait_for("draining");
    gateway.signal(signal);
    let status = gateway.ended();
    assert_eq!(status.code(), Some(code), "{status} {:?}", status.signal());
    nothing_is_left(&watch);
}

#[test]
fn a_second_sigterm_kills_at_once() {
    second_signal_kills(Signal::TERM, 143);
}

#[test]
fn a_second_sigint_kills_at_once() {
    second_signal_kills(Signal::INT, 130);
}

#[test]
fn a_server_that_ignores_everything_is_killed_at_the_end_of_its_grace() {
    let grace = "grace_eof = \"100ms\"\ngrace_term = \"100ms\"";
    let flags = ["--ignore-sigterm", "--grandchild"];
    let setup = Setup::new("").server_with("deaf", &flags, grace);
    let mut gateway = setup.serve();
    gateway.wait_event("deaf", "upstream connected");
    let watch = watch(&gateway);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().code(), Some(0));
    nothing_is_left(&watch);
}

#[test]
fn stdio_ends_with_everything_when_its_stdin_closes() {
    let setup = Setup::new("").server("good", &["--grandchild"]).server("other", &[]);
    let mut client = StdioClient::start(&setup, &[]);
    client.gateway.wait_event("good", "upstream connected");
    client.gateway.wait_event("other", "upstream connected");
    let watch = watch(&client.gateway);
    client.leave();
    assert_eq!(client.gateway.ended().code(), Some(0));
    nothing_is_left(&watch);
}

#[test]
fn stdio_ends_although_a_server_never_answered() {
    let grace = "grace_eof = \"100ms\"\ngrace_term = \"100ms\"";
    let flags = ["--never-answer-initialize", "--ignore-sigterm", "--stderr", "here"];
    let setup = Setup::new("").server_with("hung", &flags, grace);
    let mut client = StdioClient::start(&setup, &[]);
    client.gateway.wait_for("here");
    let watch = watch(&client.gateway);
    client.leave();
    assert_eq!(client.gateway.ended().code(), Some(0));
    nothing_is_left(&watch);
}

#[test]
fn the_death_of_mcplex_itself_closes_the_pipes_of_its_servers() {
    let setup = Setup::new("").server("good", &[]);
    let mut gateway = setup.serve();
    gateway.wait_event("good", "upstream connected");
    let watch = watch(&gateway);
    gateway.signal(Signal::KILL);
    assert_eq!(gateway.ended().signal(), Some(9));
    let left = watch.left_after(PATIENCE);
    assert!(left.is_empty(), "{left:?} still run");
}

/// Runs to the end and gives the code and what was written to stderr.
fn failed(setup: &Setup, args: &[&str]) -> (i32, String) {
    let ran = setup.run(args);
    (ran.code, ran.stderr)
}

#[test]
fn a_port_in_use_is_exit_code_4_and_names_its_holder() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let setup = Setup::new("").server("good", &["--spawn-log", "spawns"]);
    let (code, text) = failed(&setup, &["serve", "--listen", &address.to_string()]);
    assert_eq!(code, 4, "{text}");
    assert!(text.contains(&format!("cannot listen on {address}")), "{text}");
    let holder = format!("process {} (", std::process::id());
    assert!(text.contains(&holder), "{text}");
    assert!(text.contains("--listen"), "{text}");
    assert!(setup.lines("spawns").is_empty(), "no server was started");
}

#[test]
fn a_wrong_configuration_is_exit_code_3_with_the_line_and_a_hint() {
    let setup = Setup::new("[gateway]\nlisten = \"127.0.0.1:0\"\n\n[router]\nnamign = \"none\"");
    for args in [&["serve"][..], &["stdio"], &["check"]] {
        let (code, text) = failed(&setup, args);
        assert_eq!(code, 3, "{text}");
        for part in ["mcplex.toml:5", "namign", "hint: ", "naming"] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
    }
}

#[test]
fn a_configuration_that_is_not_there_is_exit_code_3() {
    let (code, text) = failed(&Setup::new(""), &["serve", "-c", "nowhere.toml"]);
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("nowhere.toml"), "{text}");
}

#[test]
fn an_unknown_flag_is_exit_code_2() {
    let (code, text) = failed(&Setup::new(""), &["serve", "--lisen", "127.0.0.1:0"]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("--listen"), "{text}");
}

#[test]
fn a_client_that_vanishes_harms_nobody() {
    let setup = with_call_log(&[]);
    let gateway = setup.serve();
    let mut client = gateway.client_of(&["sleep"]);
    let fds = census::fds(gateway.pid());
    for _ in 0..5 {
        let pending = client.begin_call("sleep", &json!({ "ms": 50 }));
        client.call("pid", &json!({}));
        pending.vanish();
    }
    // The same session goes on, and the connections that were cut are given back.
    let is_flat = (0..500).any(|_| {
        assert_eq!(text(&client.call("add", &json!({ "a": 1, "b": 2 }))), "3");
        census::fds(gateway.pid()) <= fds
    });
    assert!(is_flat, "{} descriptors, {fds} before", census::fds(gateway.pid()));
    assert_eq!(gateway.events("good", "upstream died").len(), 0);
}

#[test]
fn a_session_that_was_ended_is_gone() {
    let setup = with_call_log(&[]);
    let gateway = setup.serve();
    let client = gateway.client_of(&["sleep"]);
    let watch = watch(&gateway);
    client.delete();
    // The servers stay for the next client.
    assert_eq!(text(&gateway.client().call("add", &json!({ "a": 1, "b": 2 }))), "3");
    assert!(!watch.left_after(Duration::ZERO).is_empty());
}
