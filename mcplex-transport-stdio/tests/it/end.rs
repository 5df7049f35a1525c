//! How children end, and what is left of them.

use crate::child::{connect, sh, soon};
use futures_util::StreamExt as _;
use mcplex_proto::transport::{
    CloseStep, Closed, Connection, Ending, Grace, Received, Transport as _,
};
use mcplex_transport_stdio::StdioTransport;
use rustix::process::{Pid, test_kill_process};
use std::time::Duration;

/// Short steps, so that a ladder of three takes no second.
const QUICK: Grace = Grace {
    eof: Duration::from_millis(100),
    term: Duration::from_millis(300),
    kill: Duration::from_secs(10),
};

/// Connects and waits for a first line, which must say the pid of a process to look for.
async fn connect_with_pid(script: &str) -> (Connection, Pid) {
    let mut connection = connect(script).await;
    let ready = soon(connection.incoming.next()).await;
    assert!(matches!(ready, Some(Received::Garbage(_))), "{ready:?}");
    // A number is no message, so it is told through stderr, which came before.
    let pid = soon(async {
        loop {
            if let Some(pid) = connection.lifeline.last_words().last() {
                break pid.text.parse().expect("a pid");
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    (connection, Pid::from_raw(pid).expect("not 0"))
}

async fn close(connection: Connection) -> Closed {
    let Connection { outgoing, incoming, mut lifeline } = connection;
    drop((outgoing, incoming));
    soon(lifeline.close(QUICK)).await
}

/// Waits until a process that is not our child is gone, or only a zombie of somebody else.
async fn is_gone(pid: Pid) {
    let lives = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
        test_kill_process(pid).is_ok() && !stat.is_ok_and(|stat| stat.contains(") Z "))
    };
    soon(async {
        while lives() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn each_step_of_the_ladder_is_taken_only_if_it_is_needed() {
    let check = async |script: &str, step, ending| {
        let (connection, _) = connect_with_pid(script).await;
        let mut closed = close(connection).await;
        // A quick child ends between the end of its input and the first look at it.
        closed.step = closed.step.max(CloseStep::Eof);
        assert_eq!(closed, Closed { ending, step, is_gone: true }, "{script}");
    };
    check("echo $$ >&2; echo; echo 1; exec cat", CloseStep::Eof, Ending::Exited(0)).await;
    check("echo $$ >&2; echo 1; exec sleep 100", CloseStep::Term, Ending::Signaled(15)).await;
    // An ignored signal stays ignored in what a shell starts.
    let deaf = "trap '' TERM; echo $$ >&2; echo 1; exec sleep 100";
    check(deaf, CloseStep::Kill, Ending::Signaled(9)).await;
    let polite = "trap 'exit 5' TERM; echo $$ >&2; echo 1; sleep 100 & wait";
    check(polite, CloseStep::Term, Ending::Exited(5)).await;
}

#[tokio::test]
async fn a_stopped_child_is_woken_to_follow_the_request() {
    let (connection, pid) =
        connect_with_pid("trap 'exit 5' TERM; echo $$ >&2; echo 1; read line; kill -STOP $$").await;
    assert_eq!(connection.lifeline.pid(), Some(pid.as_raw_nonzero().get().cast_unsigned()));
    let closed = close(connection).await;
    assert_eq!((closed.step, closed.ending), (CloseStep::Term, Ending::Exited(5)));
}

#[tokio::test]
async fn what_the_child_started_ends_with_it() {
    let script = "sleep 100 & echo $! >&2; echo 1; wait";
    let (connection, grandchild) = connect_with_pid(script).await;
    assert!(close(connection).await.is_gone);
    is_gone(grandchild).await;
}

#[tokio::test]
async fn what_a_dead_child_left_behind_is_ended_without_the_first_step() {
    let script = "sleep 100 & echo $! >&2; echo 1; exit 7";
    let (mut connection, grandchild) = connect_with_pid(script).await;
    assert_eq!(soon(connection.lifeline.ended()).await, Ending::Exited(7));
    let Connection { outgoing, incoming, mut lifeline } = connection;
    drop((outgoing, incoming));
    let closed = soon(lifeline.close(Grace { eof: Duration::from_secs(1000), ..QUICK })).await;
    let expect = Closed { ending: Ending::Exited(7), step: CloseStep::Term, is_gone: true };
    assert_eq!(closed, expect);
    is_gone(grandchild).await;
}

#[tokio::test]
async fn a_child_that_has_ended_needs_no_step() {
    let mut connection = connect("exit 7").await;
    assert_eq!(soon(connection.lifeline.ended()).await, Ending::Exited(7));
    assert_eq!(soon(connection.lifeline.ended()).await, Ending::Exited(7));
    let expect = Closed { ending: Ending::Exited(7), step: CloseStep::Ended, is_gone: true };
    assert_eq!(close(connection).await, expect);
}

#[tokio::test]
async fn a_death_is_seen_although_a_helper_holds_the_pipes() {
    let (mut connection, helper) =
        connect_with_pid("sleep 100 & echo $! >&2; echo 1; kill -SEGV $$").await;
    assert_eq!(soon(connection.lifeline.ended()).await, Ending::Signaled(11));
    assert!(close(connection).await.is_gone);
    is_gone(helper).await;
}

#[tokio::test]
async fn a_dropped_connection_kills_all_of_the_group() {
    let script = "trap '' TERM; sleep 100 & echo $! >&2; echo 1; wait";
    let (connection, grandchild) = connect_with_pid(script).await;
    let leader = connection.lifeline.pid().and_then(|pid| Pid::from_raw(pid.cast_signed()));
    drop(connection);
    is_gone(grandchild).await;
    is_gone(leader.expect("it has a pid")).await;
}

#[tokio::test]
async fn the_last_words_are_those_before_the_death() {
    let flood = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done >&2; exit 1";
    let mut connection = connect(flood).await;
    assert_eq!(soon(connection.lifeline.ended()).await, Ending::Exited(1));
    let words = connection.lifeline.last_words();
    assert_eq!(words.len(), mcplex_transport_stdio::Command::STDERR_LINES);
    assert_eq!(words.last().map(|word| &*word.text), Some("line 19999"));
}

#[tokio::test]
async fn many_lives_leave_no_open_file_behind() {
    // Other tests of this binary open files at the same time, so this one counts in a process of
    // its own.
    let exe = std::env::current_exe().unwrap();
    let mut command = sh("");
    command.program = exe.to_str().unwrap().to_owned();
    command.args = ["--exact", "--ignored", "end::fifty_lives_alone"].map(String::from).into();
    let Connection { outgoing, mut incoming, mut lifeline } =
        StdioTransport::new(command).connect().await.unwrap();
    drop(outgoing);
    while let Some(said) = soon(incoming.next()).await {
        drop(said);
    }
    assert_eq!(soon(lifeline.ended()).await, Ending::Exited(0), "{:?}", lifeline.last_words());
}

#[tokio::test]
#[ignore = "run in a process of its own by many_lives_leave_no_open_file_behind"]
async fn fifty_lives_alone() {
    let open_files = || std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let mut before = 0;
    for round in 0..51 {
        if round == 1 {
            // The first life also opened what the runtime keeps.
            before = open_files();
        }
        let Connection { outgoing, incoming, mut lifeline } = connect("cat; exit 3").await;
        drop((outgoing, incoming));
        // Time enough for a busy host: nothing here waits for it to pass.
        let closed = soon(lifeline.close(Grace { eof: Duration::from_secs(10), ..QUICK })).await;
        assert_eq!(closed.ending, Ending::Exited(3));
        assert!(closed.step <= CloseStep::Eof && closed.is_gone);
    }
    assert_eq!(open_files(), before);
}
