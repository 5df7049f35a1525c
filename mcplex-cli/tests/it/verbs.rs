//! Operators' commands on a running `mcplex`.

use crate::{
    census,
    client::text,
    gateway::{Gateway, Ran, Setup},
};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// The folder with the sockets of whatever runs below a test's home.
pub(crate) fn run_folder(setup: &Setup) -> PathBuf {
    setup.file(".local/state/mcplex/run")
}

/// The files in a folder; none if it is not there.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Runs a command that is expected to succeed, and gives what it printed.
#[track_caller]
pub(crate) fn ok(setup: &Setup, args: &[&str]) -> String {
    let Ran { code, stdout, stderr } = setup.run(args);
    assert_eq!(code, 0, "{args:?}: {stdout}{stderr}");
    stdout
}

/// The status of an upstream.
#[track_caller]
pub(crate) fn status(setup: &Setup, upstream: &str) -> Value {
    let all: Value = serde_json::from_str(&ok(setup, &["status", "--json"])).unwrap();
    let found = all["upstreams"].as_array().unwrap().iter().find(|one| one["name"] == upstream);
    found.unwrap_or_else(|| panic!("no {upstream} in {all:#}")).clone()
}

fn serve(setup: &Setup, upstreams: &[&str]) -> Gateway {
    let gateway = setup.serve();
    for upstream in upstreams {
        gateway.wait_event(upstream, "upstream connected");
    }
    gateway
}

#[test]
fn stop_and_start_wait_for_their_effect() {
    let setup = Setup::new("").server("files", &["--grandchild"]).server("git", &[]);
    let gateway = serve(&setup, &["files", "git"]);
    let before = census::descendants(gateway.pid());
    assert!(ok(&setup, &["stop", "files"]).starts_with("files: stopped (stopped, life 1)"));
    // At the same moment nothing of it is left, and the other one goes on.
    let left = census::descendants(gateway.pid());
    assert!(left.len() < before.len() && !left.is_empty(), "{left:?}");
    assert_eq!(status(&setup, "files")["health"], "stopped");
    assert_eq!(status(&setup, "files")["pid"], Value::Null);
    assert!(ok(&setup, &["stop", "files"]).contains("was stopped already"));
    assert!(ok(&setup, &["start", "files"]).starts_with("files: started (ready, process "));
    let started = status(&setup, "files");
    assert_eq!((&started["health"], &started["incarnation"]), (&json!("ready"), &json!(2)));
    assert!(ok(&setup, &["start", "files"]).contains("was running already"));
    assert_eq!(status(&setup, "git")["incarnation"], 1);
}

#[test]
fn restart_gives_another_process_and_clients_stay() {
    let setup = Setup::new("").server("files", &[]);
    let gateway = serve(&setup, &["files"]);
    let mut client = gateway.client_of(&["pid"]);
    let first = text(&client.call("pid", &json!({}))).to_owned();
    let said = ok(&setup, &["restart", "files", "--json"]);
    let done: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&done["what"], &done["status"]["incarnation"]), (&json!("restarted"), &json!(2)));
    let second = text(&client.call("pid", &json!({}))).to_owned();
    assert_ne!(first, second);
    assert_eq!(done["status"]["pid"].to_string(), second);
    // What somebody asked for is no death.
    assert_eq!(status(&setup, "files")["deaths"], 0);
}

#[test]
fn reset_starts_what_has_tripped_and_why_says_why() {
    let quick = "max_deaths = 0\ncooldown_first = \"60s\"";
    let setup = Setup::new("");
    let spawns = setup.path("spawns");
    let flags = ["--die-before-handshake", "0", "--stderr", "no API_ID", "--spawn-log", &spawns];
    let setup = setup.server_with("mail", &flags, quick);
    let gateway = setup.serve();
    gateway.wait_event("mail", "upstream tripped");
    let tripped = status(&setup, "mail");
    assert_eq!((&tripped["health"], &tripped["breaker"]), (&json!("tripped"), &json!("open")));
    let why = ok(&setup, &["why", "mail"]);
    for part in ["mail is given up for now", "exited with code 1", "mcplex reset mail"] {
        assert!(why.contains(part), "{part:?} is not in {why}");
    }
    let table = ok(&setup, &["status"]);
    assert!(table.contains("mail      tripped"), "{table}");
    // A start does not override a breaker.
    let refused = setup.run(&["start", "mail"]);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("mcplex reset mail"), "{}", refused.stderr);
    assert_eq!(setup.lines("spawns").len(), 1);
    // It dies again, and the command says so.
    let failed = setup.run(&["reset", "mail"]);
    assert_eq!(failed.code, 1, "{}", failed.stderr);
    assert!(failed.stderr.contains("mail was told to reset, and failed"), "{}", failed.stderr);
    assert_eq!(setup.lines("spawns").len(), 2);
}

#[test]
fn all_means_those_it_makes_sense_for() {
    let setup = Setup::new("").server("one", &[]).server("two", &[]);
    let _gateway = serve(&setup, &["one", "two"]);
    ok(&setup, &["stop", "one"]);
    let reset = ok(&setup, &["reset", "--all"]);
    assert!(!reset.contains("one:") && reset.contains("two: forgot its deaths"), "{reset}");
    let started = ok(&setup, &["start", "--all"]);
    assert!(started.contains("one: started") && !started.contains("two:"), "{started}");
    let stopped = ok(&setup, &["stop", "--all", "--no-wait"]);
    assert!(stopped.contains("one: told") && stopped.contains("two: told"), "{stopped}");
}

#[test]
fn unknown_names_and_nobody_running_have_codes_of_their_own() {
    let setup = Setup::new("").server("files", &[]);
    setup.write();
    let ran = setup.run(&["status"]);
    assert_eq!(ran.code, 5, "{}", ran.stderr);
    assert!(ran.stderr.contains("no mcplex runs with mcplex.toml"), "{}", ran.stderr);
    assert!(ran.stderr.contains("mcplex serve -c mcplex.toml"), "{}", ran.stderr);
    let mut gateway = serve(&setup, &["files"]);
    for args in [&["stop", "flies"][..], &["why", "flies"], &["logs", "flies"]] {
        let ran = setup.run(args);
        assert_eq!(ran.code, 6, "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("did you mean files?"), "{args:?}: {}", ran.stderr);
    }
    assert_eq!(setup.run(&["stop"]).code, 2);
    assert_eq!(setup.run(&["status", "-c", "nowhere.toml"]).code, 3);
    gateway.signal(Signal::TERM);
    gateway.ended();
    assert_eq!(setup.run(&["stop", "files"]).code, 5);
}

#[test]
fn with_one_unknown_name_nothing_is_done_to_the_others() {
    let setup = Setup::new("").server("good", &[]);
    let _gateway = serve(&setup, &["good"]);
    let ran = setup.run(&["stop", "good", "nope", "god"]);
    assert_eq!(ran.code, 6, "{}", ran.stderr);
    assert_eq!(ran.stdout, "");
    for name in ["nope", "god"] {
        let expect = format!("there is no upstream \"{name}\"; nothing was done");
        assert!(ran.stderr.contains(&expect), "{}", ran.stderr);
    }
    assert!(ran.stderr.contains("did you mean good?"), "{}", ran.stderr);
    assert_eq!(status(&setup, "good")["health"], "ready");
    let ran = setup.run(&["stop", "good/2?x=%", "--json"]);
    assert_eq!(ran.code, 6, "{}", ran.stderr);
    let said: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(said["error"]["kind"], "unknown-upstream", "{said}");
}

#[test]
fn of_two_commands_at_once_the_second_is_refused() {
    let slow = "grace_eof = \"3s\"\ngrace_term = \"3s\"";
    let setup = Setup::new("").server_with("deaf", &["--ignore-sigterm"], slow);
    let gateway = serve(&setup, &["deaf"]);
    // Its lists were read: an answer to a closed pipe would end it at once.
    drop(gateway.client_of(&["add"]));
    let mut first = setup.start(&["stop", "deaf"], std::process::Stdio::null());
    gateway.wait_event("deaf", "an operator's command");
    let second = setup.run(&["restart", "deaf"]);
    assert_eq!(second.code, 7, "{}", second.stderr);
    assert!(second.stderr.contains("`stop` of deaf is still under way"), "{}", second.stderr);
    assert_eq!(first.ended().code(), Some(0));
    assert_eq!(status(&setup, "deaf")["health"], "stopped");
}

#[test]
fn a_disabled_upstream_cannot_be_started() {
    let mut setup = Setup::new("").server("files", &[]);
    setup = setup.server_with(
        "off",
        &[],
        "[[servers]]\nname = \"other\"\ncommand = \"x\"\nenabled = false",
    );
    let _gateway = serve(&setup, &["files"]);
    let ran = setup.run(&["start", "other"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("is disabled in the configuration"), "{}", ran.stderr);
}

#[test]
fn only_the_user_reaches_the_socket_and_nothing_is_left_of_it() {
    let setup = Setup::new("").server("files", &[]);
    let mut gateway = serve(&setup, &["files"]);
    let folder = run_folder(&setup);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let names = files(&folder);
    assert_eq!(names.len(), 2, "{names:?}");
    for name in names {
        assert_eq!(mode(&folder.join(name)), 0o600);
    }
    gateway.signal(Signal::TERM);
    gateway.ended();
    assert_eq!(files(&folder), Vec::<String>::new());
}

#[test]
fn what_a_killed_mcplex_left_is_replaced() {
    let setup = Setup::new("").server("files", &[]);
    let mut gateway = serve(&setup, &["files"]);
    gateway.signal(Signal::KILL);
    gateway.ended();
    assert_eq!(files(&run_folder(&setup)).len(), 2);
    assert_eq!(setup.run(&["status"]).code, 5);
    let second = serve(&setup, &["files"]);
    assert_eq!(status(&setup, "files")["health"], "ready");
    drop(second);
}

#[test]
fn a_second_serve_is_warned_and_commands_reach_the_first() {
    let setup = Setup::new("").server("files", &[]);
    let first = serve(&setup, &["files"]);
    let second = serve(&setup, &["files"]);
    second.wait_for("another mcplex runs this configuration");
    second.wait_for("is in use by another mcplex");
    let all: Value = serde_json::from_str(&ok(&setup, &["status", "--json"])).unwrap();
    assert_eq!(all["instance"]["pid"], first.pid());
    drop(second);
    // The end of the second took nothing from the first.
    assert_eq!(status(&setup, "files")["health"], "ready");
}

#[test]
fn a_socket_can_be_turned_off() {
    let setup = Setup::new("[gateway]\ncontrol = false").server("files", &[]);
    let _gateway = serve(&setup, &["files"]);
    assert_eq!(files(&run_folder(&setup)), Vec::<String>::new());
    assert_eq!(setup.run(&["status"]).code, 5);
}

#[test]
fn without_a_configuration_of_its_own_a_command_means_the_only_one_that_runs() {
    let setup = Setup::new("").server("files", &[]);
    let _gateway = serve(&setup, &["files"]);
    let elsewhere = setup.file("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let run = |args: &[&str]| setup.command(args).current_dir(&elsewhere).output().unwrap();
    let found = run(&["status"]);
    assert!(String::from_utf8_lossy(&found.stdout).contains("files"), "{found:?}");
    // Two run now, and none of them is meant.
    let demo = setup
        .command(&["serve", "--listen", "127.0.0.1:0"])
        .current_dir(&elsewhere)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let demo = Gateway::adopt(demo, &setup);
    demo.url();
    fs::write(elsewhere.join("mcplex.toml"), "").unwrap();
    let several = run(&["status"]);
    let said = String::from_utf8_lossy(&several.stderr);
    assert_eq!(several.status.code(), Some(5), "{said}");
    assert!(
        said.contains("the built-in demo (process ") && said.contains("mcplex.toml (process "),
        "{said}"
    );
}
