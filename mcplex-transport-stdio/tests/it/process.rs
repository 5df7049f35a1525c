//! Serves a client over the stdin and stdout of a process, whatever they are.

use crate::serve::{Door, World, answer};
use mcplex_transport_stdio::{Left, Options, process_input, process_output, serve_stdio};
use std::{
    fs::File,
    future::pending,
    io::{Read as _, Seek as _, Write as _},
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

const CALL: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"quick\"}\n";

/// This test binary, started to run nothing but [`serves_alone`].
fn server(stdin: Stdio, stdout: Stdio) -> Command {
    #[expect(clippy::disallowed_methods, reason = "a test chooses what stdin is")]
    let mut command = Command::new(std::env::current_exe().expect("it has a path"));
    command.args(["--exact", "--ignored", "process::serves_alone"]).stdin(stdin).stdout(stdout);
    command
}

/// What the harness writes stands around it.
fn check(said: &[u8]) {
    let said = String::from_utf8_lossy(said);
    assert!(said.contains(&answer(1)) && said.contains("1 passed"), "{said}");
}

#[test]
fn over_pipes() {
    let mut server = server(Stdio::piped(), Stdio::piped()).spawn().unwrap();
    server.stdin.take().unwrap().write_all(CALL).unwrap();
    check(&server.wait_with_output().unwrap().stdout);
}

#[test]
fn over_sockets() {
    let pair = || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        (ours, Stdio::from(OwnedFd::from(theirs)))
    };
    let ((mut write, stdin), (mut read, stdout)) = (pair(), pair());
    let mut command = server(stdin, stdout);
    let mut server = command.spawn().unwrap();
    // It holds the other ends.
    drop(command);
    write.write_all(CALL).unwrap();
    drop(write);
    let mut said = Vec::new();
    read.read_to_end(&mut said).unwrap();
    check(&said);
    assert!(server.wait().unwrap().success());
}

#[test]
fn over_files() {
    let mut stdin = tempfile::tempfile().unwrap();
    stdin.write_all(CALL).unwrap();
    stdin.rewind().unwrap();
    let mut stdout = tempfile::tempfile().unwrap();
    let copy = |file: &File| Stdio::from(file.try_clone().unwrap());
    assert!(server(copy(&stdin), copy(&stdout)).status().unwrap().success());
    let mut said = Vec::new();
    stdout.rewind().unwrap();
    stdout.read_to_end(&mut said).unwrap();
    check(&said);
}

#[tokio::test]
#[ignore = "run in a process of its own by the other tests here"]
async fn serves_alone() {
    let (world, _events) = World::new();
    let (input, output) = (process_input().unwrap(), process_output().unwrap());
    let door = Arc::new(Door(world));
    let left = serve_stdio(door, input, output, Options::default(), pending()).await;
    assert_eq!(left, Left::InputEnded);
}
