//! Servers of either era: asked at the first start, known at the second.

use crate::{
    gateway::{Gateway, Setup},
    verbs::{ok, status},
};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{fs, path::PathBuf};

/// What the server was told, method by method, over all of its lives.
fn told(setup: &Setup) -> Vec<String> {
    let method = |line: String| {
        let message: Value = serde_json::from_str(&line).unwrap();
        message["method"].as_str().map(str::to_owned)
    };
    setup.lines("told").into_iter().filter_map(method).collect()
}

/// One run, until the server is connected; gives what the log says of it.
fn run(setup: &Setup) -> Value {
    let mut gateway = setup.serve();
    let connected = gateway.wait_event("one", "upstream connected");
    end(&mut gateway);
    connected
}

fn end(gateway: &mut Gateway) {
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().code(), Some(0));
}

fn setup(flags: &[&str], supervise: &str) -> Setup {
    let setup = Setup::new("");
    let (record, spawns) = (setup.path("told"), setup.path("spawns"));
    let own = ["--record", &record, "--spawn-log", &spawns];
    setup.server_with("one", &[flags, &own].concat(), supervise)
}

/// The file in which the era of the only server is kept.
fn verdict(setup: &Setup) -> PathBuf {
    let state = setup.file(".local/state/mcplex");
    let runs = fs::read_dir(state).unwrap().flatten();
    let folders = runs.filter_map(|run| fs::read_dir(run.path().join("era")).ok());
    let mut files: Vec<_> = folders.flat_map(|folder| folder.flatten()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0).path()
}

fn opening(told: &[String]) -> Vec<&str> {
    told.iter().map(String::as_str).filter(|method| !method.ends_with("/list")).collect()
}

#[test]
fn a_server_that_ends_when_it_is_asked_costs_one_start_more_and_only_once() {
    let setup = setup(&["--exit-on-probe"], "");
    let mut gateway = setup.serve();
    let connected = gateway.wait_event("one", "upstream connected");
    assert_eq!((&connected["era"], &connected["verdict"]), (&json!("legacy"), &json!("ended")));
    let ended = gateway.events("one", "upstream ended when it was asked");
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0]["level"], "INFO");
    // Nothing of it is a death, for nobody.
    let one = status(&setup, "one");
    assert_eq!(
        (&one["deaths"], &one["trips"], &one["incarnation"]),
        (&json!(0), &json!(0), &json!(2))
    );
    assert_eq!((&one["last_error"], &one["protocol"]), (&Value::Null, &json!("2025-11-25")));
    assert_eq!(ok(&setup, &["crashes", "--json"]).trim(), "[]");
    for alarm in ["upstream died", "upstream ended; it does not count", "upstream will be started"]
    {
        assert!(gateway.events("one", alarm).is_empty(), "{alarm}");
    }
    end(&mut gateway);
    assert_eq!(opening(&told(&setup))[..2], ["server/discover", "initialize"]);
    assert_eq!(setup.lines("spawns").len(), 2);
    // A second run knows.
    assert_eq!(run(&setup)["verdict"], "remembered");
    assert_eq!(setup.lines("spawns").len(), 3);
}

#[test]
fn a_legacy_server_is_asked_in_one_round_and_only_once_a_week() {
    let setup = setup(&[], "");
    assert_eq!(run(&setup)["verdict"], "probed");
    let first = ["server/discover", "initialize", "notifications/initialized"];
    assert_eq!(opening(&told(&setup)), first);
    fs::remove_file(setup.file("told")).unwrap();
    assert_eq!(run(&setup)["verdict"], "remembered");
    assert_eq!(opening(&told(&setup)), first[1..]);
    // As if it had been long ago.
    let file = verdict(&setup);
    let kept: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(kept["era"], "legacy");
    fs::write(&file, json!({ "era": "legacy", "found": 0 }).to_string()).unwrap();
    assert_eq!(run(&setup)["verdict"], "probed");
    // What cannot be read is as good as nothing.
    fs::write(&file, "{").unwrap();
    assert_eq!(run(&setup)["verdict"], "probed");
}

#[test]
fn a_modern_server_is_opened_without_a_session_and_the_status_says_so() {
    for era in ["modern", "both"] {
        let setup = setup(&["--era", era], "");
        let mut gateway = setup.serve();
        let connected = gateway.wait_event("one", "upstream connected");
        assert_eq!(
            (&connected["era"], &connected["verdict"]),
            (&json!("modern"), &json!("probed"))
        );
        let server = connected["server"].as_str().unwrap();
        assert!(server.starts_with("fake-server"), "{server}");
        let one = status(&setup, "one");
        assert_eq!((&one["protocol"], &one["era"]), (&json!("2026-07-28"), &json!("modern")));
        assert!(ok(&setup, &["status"]).contains("2026-07-28"));
        end(&mut gateway);
        let told = told(&setup);
        assert_eq!(told[0], "server/discover");
        assert!(!told.iter().any(|method| method.contains("initialize")), "{told:?}");
        assert_eq!(run(&setup)["verdict"], "remembered");
    }
}

#[test]
fn a_server_that_does_not_say_is_initialized_after_a_while() {
    let setup = setup(&["--mute-on-probe"], "era_wait = \"200ms\"");
    let connected = run(&setup);
    assert_eq!((&connected["era"], &connected["verdict"]), (&json!("legacy"), &json!("silence")));
    assert_eq!(setup.lines("spawns").len(), 1);
    assert_eq!(run(&setup)["verdict"], "remembered");
}

#[test]
fn a_server_that_became_another_is_found_out_in_its_first_life() {
    // What decides what a server is, is what it is started with, so both are the same script.
    let program = mcplex_testkit::fake_server();
    let script = format!("exec '{}' $(cat flags)", program.display());
    let script = serde_json::to_string(&script).unwrap();
    let toml = format!("[[servers]]\nname = \"one\"\ncommand = \"sh\"\nargs = [\"-c\", {script}]");
    let setup = Setup::new(&toml);
    for (flags, era, verdict) in [
        ("--era modern", "modern", "probed"),
        ("--era legacy", "legacy", "probed"),
        ("--era legacy", "legacy", "remembered"),
        ("--era modern", "modern", "probed"),
        ("--era modern", "modern", "remembered"),
    ] {
        fs::write(setup.file("flags"), flags).unwrap();
        let connected = run(&setup);
        assert_eq!((&connected["era"], &connected["verdict"]), (&json!(era), &json!(verdict)));
        assert_eq!(connected["incarnation"], 1, "{flags}");
    }
}

#[test]
fn a_configured_era_is_not_asked_for() {
    let legacy = setup(&["--exit-on-probe"], "era = \"legacy\"");
    assert_eq!(run(&legacy)["verdict"], "configured");
    assert_eq!(legacy.lines("spawns").len(), 1);
    let first = setup(&["--era", "both"], "era = \"legacy-first\"");
    let connected = run(&first);
    assert_eq!(
        (&connected["era"], &connected["verdict"]),
        (&json!("legacy"), &json!("configured"))
    );
    let modern = setup(&["--era", "legacy"], "era = \"modern\"\nmax_deaths = 0");
    let gateway = modern.serve();
    let trip = gateway.wait_event("one", "upstream tripped");
    let reason = trip["reason"].as_str().unwrap();
    assert!(reason.contains("the server does not speak 2026-07-28"), "{reason}");
    assert!(reason.contains("set `era = \"auto\"`"), "{reason}");
    assert!(!told(&modern).iter().any(|method| method == "initialize"));
}
