//! Reports of deaths, while `mcplex` runs and after it.

use crate::{
    gateway::Setup,
    verbs::{files, ok},
};
use rustix::process::Signal;
use serde_json::Value;
use std::{fs, os::unix::fs::PermissionsExt as _};

fn setup() -> Setup {
    let flags = ["--die-before-handshake", "0", "--stderr", "no API_ID"];
    let quick = "max_deaths = 1\nbackoff_first = \"1ms\"\nbackoff_max = \"1ms\"";
    Setup::new("").server_with("mail", &flags, quick)
}

#[test]
fn every_death_has_a_report_that_outlives_mcplex() {
    let setup = setup();
    let mut gateway = setup.serve();
    gateway.wait_event("mail", "upstream tripped");
    let list: Value = serde_json::from_str(&ok(&setup, &["crashes", "--json"])).unwrap();
    let list = list.as_array().unwrap();
    assert_eq!(list.len(), 2, "{list:?}");
    assert_eq!((&list[0]["number"], &list[0]["incarnation"]), (&1.into(), &2.into()));
    let shown = ok(&setup, &["crashes", "show", "mail"]);
    for part in ["mail, life 2", "exited with code 1", "no API_ID", "tripped"] {
        assert!(shown.contains(part), "{part:?} is not in {shown}");
    }
    assert!(ok(&setup, &["crashes", "show", "mail#2"]).contains("mail, life 1"));
    let why = ok(&setup, &["why", "mail"]);
    assert!(why.contains("mcplex crashes show mail"), "{why}");
    assert!(ok(&setup, &["logs", "mail"]).contains("-- mcplex: life 2 ended: "));
    gateway.signal(Signal::TERM);
    gateway.ended();
    // Nobody runs, and the disk knows.
    let after: Value =
        serde_json::from_str(&ok(&setup, &["crashes", "show", "mail", "--json"])).unwrap();
    assert_eq!((&after["upstream"], &after["incarnation"]), (&"mail".into(), &2.into()));
    assert_eq!(ok(&setup, &["crashes", "mail"]).lines().count(), 2);
    let ran = setup.run(&["crashes", "show", "mail#9"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("mail has only 2 crash reports"), "{}", ran.stderr);
}

/// That commands for a name that nobody has say so, with the name that was meant.
#[track_caller]
fn check_unknown(setup: &Setup) {
    for args in [&["crashes", "mial"][..], &["crashes", "show", "mial"], &["crashes", "mail/s1"]] {
        let ran = setup.run(args);
        assert_eq!(ran.code, 6, "{args:?}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains("there is no upstream"), "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("did you mean mail?"), "{args:?}: {}", ran.stderr);
    }
    assert_eq!(setup.run(&["crashes", ""]).code, 6);
    assert_eq!(setup.run(&["crashes", "show", "../mail"]).code, 6);
}

#[test]
fn a_name_that_nobody_has_is_told_and_one_without_deaths_is_fine() {
    let setup = setup().server("good", &[]);
    let mut gateway = setup.serve();
    gateway.wait_event("mail", "upstream tripped");
    check_unknown(&setup);
    assert_eq!(ok(&setup, &["crashes", "good"]), "no deaths are known\n");
    let ran = setup.run(&["crashes", "show", "mail#99"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("mail has only 2 crash reports"), "{}", ran.stderr);
    let ran = setup.run(&["crashes", "show", "good"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("there is no crash report of good"), "{}", ran.stderr);
    gateway.signal(Signal::TERM);
    gateway.ended();
    // The same from the disk, and from a configuration that says who else there is.
    check_unknown(&setup);
    assert_eq!(ok(&setup, &["crashes", "good"]), "no deaths are known\n");
}

#[test]
fn reports_are_private_and_bounded_on_disk() {
    let bounds = Setup::new("[history]\ncrash_reports = 1");
    let flags = ["--die-before-handshake", "0"];
    let quick = "max_deaths = 3\nbackoff_first = \"1ms\"\nbackoff_max = \"1ms\"";
    let setup = bounds.server_with("mail", &flags, quick);
    let mut gateway = setup.serve();
    gateway.wait_event("mail", "upstream tripped");
    gateway.signal(Signal::TERM);
    gateway.ended();
    let state = setup.file(".local/state/mcplex");
    let own = files(&state).into_iter().find(|name| name != "run").unwrap();
    let folder = state.join(own).join("crashes/mail");
    let names = files(&folder);
    assert_eq!(names.len(), 1, "{names:?}");
    assert!(names[0].ends_with("-4.json"), "{names:?}");
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(folder.join(&names[0])), mode(folder)), (0o600, 0o700));
}

#[test]
fn what_a_server_has_used_that_mcplex_ends_is_known_too() {
    let quick = "max_deaths = 0\nhandshake_timeout = \"300ms\"";
    let flags = ["--never-answer-initialize", "--stderr", "waiting for the moon"];
    let setup = Setup::new("").server_with("mute", &flags, quick);
    let gateway = setup.serve();
    gateway.wait_event("mute", "upstream tripped");
    let report: Value =
        serde_json::from_str(&ok(&setup, &["crashes", "show", "mute", "--json"])).unwrap();
    let peak = report["peak_memory"].as_u64().unwrap();
    assert!((100_000..1 << 30).contains(&peak), "{report:#}");
    assert!(report["cpu_ms"].is_u64(), "{report:#}");
    assert_eq!(report["stderr"][0]["text"], "waiting for the moon", "{report:#}");
}

#[test]
fn what_is_secret_in_the_configuration_is_seen_nowhere_else() {
    let server = mcplex_testkit::fake_server();
    let said = "told $MY_PASSWORD $DB_PASS and $ADDRESS";
    let script = format!("echo \"{said}\" >&2; exec {} --die-on-call", server.display());
    // Words without any sign of what they are, but for where they stand in the configuration.
    let toml = format!(
        r#"
[[servers]]
name = "mail"
command = "sh"
args = ["-c", {script:?}, "--api-key", "planted-behind", "--token=planted-joined"]
env.MY_PASSWORD = "planted horse"
env.DB_PASS = "planted-pass"
env.ADDRESS = "db://me:planted-url@nowhere/x"
"#
    );
    let setup = Setup::new(&toml);
    let gateway = setup.serve();
    let mut client = gateway.client_of(&["echo"]);
    let heard = "and planted-behind, planted horse";
    let answer = client.call("echo", &serde_json::json!({ "text": heard }));
    gateway.wait_event("mail", "upstream died");
    assert!(answer.to_string().contains("told [redacted] [redacted] and db://"), "{answer}");
    let shown = ok(&setup, &["crashes", "show", "mail"]);
    assert!(shown.contains("and [redacted], [redacted]"), "{shown}");
    let commands = [
        &["status", "--json"][..],
        &["status"],
        &["why", "mail"],
        &["crashes"],
        &["crashes", "show", "mail", "--json"],
        &["check"],
        &["check", "--json"],
        &["doctor", "--json"],
    ];
    let outputs = commands.iter().map(|args| setup.run(args).stdout);
    let outputs = outputs.chain(gateway.said()).chain([answer.to_string(), shown]);
    for output in outputs {
        assert!(!output.contains("planted"), "{output}");
    }
}
