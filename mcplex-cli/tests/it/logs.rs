//! What upstreams write to stderr, while `mcplex` runs and after it.

use crate::{
    gateway::Setup,
    verbs::{files, ok, status},
};
use rustix::process::Signal;
use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Stdio};

/// Where the logs of the only configuration of a test are.
fn folder(setup: &Setup) -> PathBuf {
    let state = setup.file(".local/state/mcplex");
    let own = files(&state).into_iter().find(|name| name != "run").unwrap();
    state.join(own).join("logs")
}

#[test]
fn logs_are_dated_private_and_outlive_mcplex() {
    let setup = Setup::new("").server("files", &["--stderr", "hello from files"]);
    let mut gateway = setup.serve();
    gateway.wait_event("files", "upstream connected");
    let said = ok(&setup, &["logs", "files"]);
    let line = said.lines().find(|line| line.ends_with("Z hello from files")).unwrap();
    assert_eq!(line.find('Z'), Some("2026-01-01T00:00:00.000".len()), "{line}");
    assert!(said.contains("-- mcplex: life 1 began: process "), "{said}");
    let file = folder(&setup).join("files.log");
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    gateway.signal(Signal::TERM);
    gateway.ended();
    let after = ok(&setup, &["logs", "files", "-n", "100"]);
    assert!(after.starts_with(&said) && after.contains("-- mcplex: stopped"), "{after}");
    assert_eq!(ok(&setup, &["logs", "files", "-n", "1"]).lines().count(), 1);
    let unknown = setup.run(&["logs", "other"]);
    assert_eq!(unknown.code, 6, "{}", unknown.stderr);
    assert!(unknown.stderr.contains("these are known: files"), "{}", unknown.stderr);
    let near = setup.run(&["logs", "flies"]);
    assert_eq!(near.code, 6, "{}", near.stderr);
    assert!(near.stderr.contains("did you mean files?"), "{}", near.stderr);
}

#[test]
fn who_follows_sees_the_next_life() {
    let setup = Setup::new("").server("files", &["--stderr", "hello"]);
    let mut gateway = setup.serve();
    gateway.wait_event("files", "upstream connected");
    let mut following = setup.command(&["logs", "files", "-f"]);
    let mut following = following.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = crate::gateway::Said::of(following.stdout.take().unwrap());
    lines.wait_for("the first life", |line| line.contains("life 1 began"));
    ok(&setup, &["restart", "files"]);
    lines.wait_for("the second life", |line| line.contains("life 2 began"));
    // The end of mcplex ends it too.
    gateway.signal(Signal::TERM);
    gateway.ended();
    assert_eq!(following.wait().unwrap().code(), Some(5));
}

/// Fault F53: a flood of stderr.
#[test]
fn a_flood_of_stderr_is_bounded_on_disk_and_in_memory() {
    // A thousand lines and a few are logged of it, some 100 KiB; in the log of mcplex itself they
    // would be in the way.
    let bounds = "[history]\nlog_size = \"16KiB\"\nlog_files = 3\n\
                  [telemetry]\nlog = \"info,mcplex::upstream_stderr=off\"";
    let flood = (32 << 20).to_string();
    let setup = Setup::new(bounds).server("flood", &["--flood-stderr", &flood]).server("good", &[]);
    let gateway = setup.serve();
    gateway.wait_event("good", "upstream connected");
    let before = memory(gateway.pid());
    gateway.wait_event("flood", "upstream connected");
    assert_eq!(status(&setup, "flood")["health"], "ready");
    let sizes: Vec<u64> = files(&folder(&setup))
        .iter()
        .filter(|name| name.starts_with("flood"))
        .map(|name| fs::metadata(folder(&setup).join(name)).unwrap().len())
        .collect();
    assert_eq!(sizes.len(), 3, "{sizes:?}");
    assert!(sizes.iter().all(|size| *size <= 16 << 10), "{sizes:?}");
    let grown = memory(gateway.pid()).saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes more");
}

/// The memory that a process holds, in bytes.
fn memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn a_state_folder_that_cannot_be_made_costs_only_the_disk() {
    let setup = Setup::new("");
    fs::write(setup.file("file"), "").unwrap();
    let below = setup.path("file/below");
    let setup = Setup::new(&format!("[gateway]\nstate_dir = {below:?}"))
        .within(&setup)
        .server("files", &["--stderr", "hello"]);
    let gateway = setup.serve();
    gateway.wait_for("kept in memory only");
    gateway.wait_event("files", "upstream connected");
    assert!(ok(&setup, &["logs", "files"]).contains("Z hello"));
}
