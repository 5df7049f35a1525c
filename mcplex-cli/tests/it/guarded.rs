//! What stands between a gateway and a server must not be felt by either, until it is needed.

use crate::{
    census,
    gateway::{PATIENCE, Setup},
};
use futures_util::SinkExt as _;
use mcplex_proto::{
    message::{Message, Notification},
    transport::{
        CloseStep, Closed, ConnectError, Connection, Ending, Grace, Transport as _, Usage,
    },
    upstream::UpstreamName,
};
use mcplex_transport_stdio::{Command, StdioTransport, guard::Guard};
use rustix::process::Signal;
use serde_json::json;
use std::{fs, future::Future, os::unix::fs::PermissionsExt as _, time::Duration};

/// Short steps, so that a ladder of three takes no second.
const QUICK: Grace = Grace {
    eof: Duration::from_millis(100),
    term: Duration::from_millis(300),
    kill: Duration::from_secs(10),
};

/// A command under a guard that is the real `mcplex`.
fn guarded(program: &str, args: &[&str]) -> Command {
    let name = UpstreamName::new("test").unwrap();
    let command = Command::new(name, program).with_args(args.iter().copied());
    command.with_guard(Guard::of_program(env!("CARGO_BIN_EXE_mcplex"), QUICK))
}

async fn connect(script: &str) -> Connection {
    StdioTransport::new(guarded("sh", &["-c", script])).connect().await.unwrap()
}

async fn close(connection: Connection) -> Closed {
    let Connection { outgoing, incoming, mut lifeline } = connection;
    drop((outgoing, incoming));
    soon(lifeline.close(QUICK)).await
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it happens in time")
}

/// Waits until something is true.
async fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    soon(async {
        while !is_true() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    assert!(is_true(), "{what}");
}

/// Waits for a line on the server's stderr.
async fn says(connection: &Connection) -> String {
    let mut last = None;
    until("it says something", || {
        last = connection.lifeline.last_words().pop();
        last.is_some()
    })
    .await;
    last.unwrap().text
}

fn lives(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn guard_of(server: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{server}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
    parent.trim().parse().unwrap()
}

#[tokio::test]
async fn a_server_ends_as_if_there_were_no_guard() {
    let check = async |script: &str, expect: Ending| {
        let mut connection = connect(script).await;
        assert_eq!(soon(connection.lifeline.ended()).await, expect, "{script}");
        let closed = close(connection).await;
        let gone = Closed { ending: expect, step: CloseStep::Ended, is_gone: true };
        assert_eq!(closed, gone, "{script}");
    };
    check("exit 0", Ending::Exited(0)).await;
    check("exit 7", Ending::Exited(7)).await;
    // What a wrapper makes of a signal is its own affair.
    check("exit 143", Ending::Exited(143)).await;
    for signal in [1, 6, 9, 11, 15] {
        check(&format!("kill -{signal} $$; sleep 100"), Ending::Signaled(signal)).await;
    }
}

#[tokio::test]
async fn each_step_of_the_ladder_is_taken_only_if_it_is_needed() {
    let check = async |script: &str, step, ending| {
        let connection = connect(script).await;
        says(&connection).await;
        let mut closed = close(connection).await;
        // A quick child ends between the end of its input and the first look at it.
        closed.step = closed.step.max(CloseStep::Eof);
        assert_eq!(closed, Closed { ending, step, is_gone: true }, "{script}");
    };
    check("echo ready >&2; cat >/dev/null", CloseStep::Eof, Ending::Exited(0)).await;
    check("echo ready >&2; exec sleep 100", CloseStep::Term, Ending::Signaled(15)).await;
    let polite = "trap 'exit 5' TERM; echo ready >&2; sleep 100 & wait";
    check(polite, CloseStep::Term, Ending::Exited(5)).await;
    let stopped = "trap 'exit 5' TERM; echo ready >&2; kill -STOP $$; exit 6";
    check(stopped, CloseStep::Term, Ending::Exited(5)).await;
    let deaf = "trap '' TERM; echo ready >&2; exec sleep 100";
    check(deaf, CloseStep::Kill, Ending::Signaled(9)).await;
}

#[tokio::test]
async fn what_left_the_group_is_asked_before_it_is_killed() {
    let home = tempfile::tempdir().unwrap();
    let asked = home.path().join("asked");
    let escapee =
        format!("trap \"echo > {}; exit\" TERM; echo ready >&2; sleep 100 & wait", asked.display());
    let connection =
        connect(&format!("trap 'wait; exit 5' TERM; setsid sh -c '{escapee}' & wait")).await;
    says(&connection).await;
    let expect = Closed { ending: Ending::Exited(5), step: CloseStep::Term, is_gone: true };
    assert_eq!(close(connection).await, expect);
    assert!(asked.exists());
}

#[tokio::test]
async fn a_start_that_fails_is_told_apart_as_without_a_guard() {
    let home = tempfile::tempdir().unwrap();
    let check = async |file: &str, content: &[u8], args: &[&str]| {
        let program = home.path().join(file);
        fs::write(&program, content).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let command = guarded(program.to_str().unwrap(), args);
        let shown = |error: ConnectError| format!("{error:?}");
        let with = StdioTransport::new(command.clone()).connect().await.unwrap_err();
        let without = StdioTransport::new(command.with_guard(None)).connect().await.unwrap_err();
        assert_eq!(shown(with), shown(without), "{file}");
    };
    check("missing", b"#!/no/such/interpreter\n", &[]).await;
    check("crlf", b"#!/bin/sh\r\necho\r\n", &[]).await;
    check("bare", b"echo hello\n", &[]).await;
    check("big", b"#!/bin/sh\n", &[&"x".repeat(4 << 20)]).await;
    check("nul", b"#!/bin/sh\n", &["a\0b"]).await;
}

#[tokio::test]
async fn a_server_that_closes_its_stdin_is_an_error_for_the_writer() {
    let mut connection = connect("exec 0<&-; echo ready >&2; exec sleep 100").await;
    says(&connection).await;
    let note: Message = Notification::new("note", None).into();
    let sent = soon(connection.outgoing.send(note)).await;
    assert_eq!(sent.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
    // The hang-up of a closed stdin cannot be seen, and the server ends all the same.
    assert_eq!(close(connection).await.step, CloseStep::Term);
}

#[tokio::test]
async fn a_connection_that_is_dropped_takes_everything_with_it() {
    let connection = connect("trap '' TERM; setsid sleep 100 & echo $! >&2; wait").await;
    let server = connection.lifeline.pid().unwrap();
    let escapee = says(&connection).await.parse().unwrap();
    let guard = guard_of(server);
    drop(connection);
    until("all are gone", || ![server, escapee, guard].into_iter().any(lives)).await;
    // Somebody has also waited for it.
    until("no zombie", || !fs::exists(format!("/proc/{guard}")).unwrap()).await;
}

#[tokio::test]
async fn what_a_killed_guard_leaves_is_found_where_nobody_adopts() {
    let mut connection = connect("setsid sleep 100 & echo $! >&2; wait").await;
    let server = connection.lifeline.pid().unwrap();
    let escapee: u32 = says(&connection).await.parse().unwrap();
    census::signal(guard_of(server), Signal::KILL);
    assert_eq!(soon(connection.lifeline.ended()).await, Ending::Signaled(9));
    assert!(close(connection).await.is_gone);
    until("all are gone", || !lives(server) && !lives(escapee)).await;
}

#[tokio::test]
async fn what_a_server_used_is_known_at_its_end() {
    // More than any server here, so that ours would be told if the two were mixed up.
    let own = vec![1_u8; 96 << 20];
    let used = async |script: &str| {
        let mut connection = connect(script).await;
        soon(connection.lifeline.ended()).await;
        connection.lifeline.usage().unwrap()
    };
    let Usage { peak_memory, out_of_memory, .. } = used("exit 1").await;
    assert!((100_000..32 << 20).contains(&peak_memory), "{peak_memory}");
    assert!(!out_of_memory);
    let busy = used("i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; kill -9 $$").await;
    assert!(busy.cpu > Duration::from_millis(20), "{busy:?}");
    let large = used("x=$(head -c 40000000 /dev/zero | tr '\\0' x); exit 0").await;
    assert!((40 << 20..90 << 20).contains(&large.peak_memory), "{large:?}");
    assert_eq!(own.iter().filter(|byte| **byte == 1).count(), own.len());
}

#[tokio::test]
async fn a_guard_costs_little() {
    /// KiB that no other process shares; a build without optimization is several times as large.
    const PRIVATE: u64 = if cfg!(debug_assertions) { 6 * 400 } else { 400 };
    let mut guards = Vec::new();
    // Pages of the program are private to whoever has read them first, so there are two.
    let connections =
        (connect("echo >&2 a; exec sleep 100").await, connect("echo >&2 a; exec sleep 100").await);
    for connection in [&connections.0, &connections.1] {
        says(connection).await;
        guards.push(guard_of(connection.lifeline.pid().unwrap()));
    }
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", guards[0])).unwrap();
    let kib = |name: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let private = kib("Private_Dirty:") + kib("Private_Clean:");
    println!("a guard holds {private} KiB of its own");
    assert!(private < PRIVATE, "{private} KiB");
    // Three that are nothing, two that it waits with, its parent, and where it reports.
    assert!(census::fds(guards[0]) <= 7, "{}", census::fds(guards[0]));
    assert!(close(connections.0).await.is_gone && close(connections.1).await.is_gone);
}

/// What a server is given, as it tells on its stderr.
fn given(guard: &str) -> Vec<String> {
    let script = "ulimit -Sn >&2; grep -E 'Sig(Blk|Ign)' /proc/self/status >&2; ls /proc/self/fd >&2; \
                  echo end >&2; exec sleep 100";
    let mut setup = Setup::new(&format!("[supervise]\nguard = \"{guard}\""));
    setup.push(&format!(
        "[[servers]]\nname = \"tells\"\ncommand = \"sh\"\nargs = [\"-c\", {}]",
        json!(script)
    ));
    // A soft limit that is unlike any other, and a descriptor that is nobody's business.
    let gateway = setup.serve_by("ulimit -Sn 321; exec 7</dev/null; exec \"$@\"");
    gateway.wait_for("\"line\":\"end\"");
    let limits = fs::read_to_string(format!("/proc/{}/limits", gateway.pid())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let (soft, hard) = (files.split_whitespace().nth(3), files.split_whitespace().nth(4));
    assert_eq!(soft, hard, "ours is raised: {files}");
    let events = gateway.events("tells", "upstream wrote to its stderr");
    events.iter().map(|event| event["line"].as_str().unwrap().replace('\t', " ")).collect()
}

#[test]
fn a_server_is_given_what_the_gateway_was_given() {
    let guarded = given("auto");
    assert_eq!(guarded[0], "321");
    assert_eq!(guarded[1], "SigBlk: 0000000000000000");
    // `ls` has its own folder open, and no more than the three pipes beside it.
    assert_eq!(guarded[3..], ["0", "1", "2", "3", "end"]);
    let free = given("off");
    assert_eq!(free[..3], guarded[..3]);
}

/// Whether the server of a killed gateway came to its last command; nothing is left of it.
fn is_asked() -> bool {
    let mut setup = Setup::new("");
    let script = format!("echo ready >&2; cat >/dev/null; echo > {}", setup.path("asked"));
    setup.push(&format!(
        "[[servers]]\nname = \"polite\"\ncommand = \"sh\"\nargs = [\"-c\", {}]",
        json!(script)
    ));
    let mut gateway = setup.serve();
    gateway.wait_for("\"line\":\"ready\"");
    let family = census::descendants(gateway.pid());
    let watch = census::Watch::of(family.into_iter().map(|one| one.pid));
    gateway.signal(Signal::KILL);
    gateway.ended();
    assert!(watch.left_after(PATIENCE).is_empty());
    setup.file("asked").exists()
}

#[test]
fn a_server_of_a_killed_gateway_is_asked_before_it_is_killed() {
    // The gateway of another test that starts just then ends at once what it finds left behind.
    assert!((0..10).any(|_| is_asked()));
}

#[test]
fn what_an_earlier_run_left_behind_is_ended_by_the_next() {
    // Without a guard nothing ends a server whose gateway was killed.
    let mut setup = Setup::new("[supervise]\nguard = \"off\"");
    setup.push(
        "[[servers]]\nname = \"left\"\ncommand = \"sh\"\n\
         args = [\"-c\", \"setsid sleep 1000 & echo ready >&2; trap '' TERM; sleep 1000; true\"]",
    );
    let mut gateway = setup.serve();
    gateway.wait_for("\"line\":\"ready\"");
    let family = census::descendants(gateway.pid());
    let watch = census::Watch::of(family.into_iter().map(|one| one.pid));
    gateway.signal(Signal::KILL);
    gateway.ended();
    let next = Setup::new("").server("good", &[]).serve();
    next.client_of(&["add"]);
    // Perhaps by the gateway of another test that has started meanwhile.
    assert!(watch.left_after(PATIENCE).is_empty());
}
