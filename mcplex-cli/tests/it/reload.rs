//! A changed configuration is applied while everything else goes on.
//!
//! "One spawn per settled change" is counted in the servers' own spawn logs.

use crate::{
    census::{self, Watch},
    client::{Client, text},
    gateway::{Gateway, PATIENCE, Setup},
};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{fs, os::unix::fs::symlink};

const APPLIED: &str = "the configuration was applied";
const REFUSED: &str = "the configuration was not applied";
const SAME: &str = "the configuration is as it was";

/// Names of two servers can be told apart.
const PREFIX: &str = "[router]\nnaming = \"prefix\"\nlist_changed_interval = \"10ms\"";

/// A configuration with `good`, whose spawns and calls are logged.
fn setup(toml: &str) -> Setup {
    let setup = Setup::new(&format!("{toml}\n{PREFIX}"));
    let (spawns, calls) = (setup.path("good-spawns"), setup.path("good-calls"));
    setup.server("good", &["--spawn-log", &spawns, "--call-log", &calls])
}

/// Another server with flags of its own; its spawns are logged in a file of its name.
fn with(setup: &Setup, name: &str, flags: &[&str], supervise: &str) -> Setup {
    let spawns = setup.path(&format!("{name}-spawns"));
    setup.clone().server_with(name, &[&["--spawn-log", &spawns], flags].concat(), supervise)
}

/// Waits for the `count`th event of the gateway itself whose message begins so.
fn wait_own(gateway: &Gateway, message: &str, count: usize) -> Value {
    gateway.wait_own(message, count).pop().unwrap()
}

/// The process that serves a tool.
fn pid(client: &mut Client, server: &str) -> u32 {
    text(&client.call(&format!("{server}__pid"), &json!({}))).parse().unwrap()
}

#[test]
fn an_added_server_appears_and_a_removed_one_is_gone() {
    let setup = setup("");
    let gateway = setup.serve();
    let mut client = gateway.client_of(&["good__add"]);
    let before = pid(&mut client, "good");
    let stream = gateway.client().listen();

    with(&setup, "more", &[], "").write();
    stream.next_of("notifications/tools/list_changed");
    client.wait_for_tools(&["more__add"]);
    assert_eq!(wait_own(&gateway, APPLIED, 1)["changes"], "added: more; untouched: 1");
    let more = Watch::of([pid(&mut client, "more")]);
    drop(stream.rest());

    setup.write();
    stream.next_of("notifications/tools/list_changed");
    assert_eq!(wait_own(&gateway, APPLIED, 2)["changes"], "removed: more; untouched: 1");
    assert!(more.left_after(PATIENCE).is_empty());
    let tools = client.tools();
    assert!(!tools.iter().any(|tool| tool.starts_with("more__")), "{tools:?}");
    assert_eq!(pid(&mut client, "good"), before);
    assert_eq!((setup.lines("good-spawns").len(), setup.lines("more-spawns").len()), (1, 1));
}

#[test]
fn a_changed_server_is_started_once_and_the_others_keep_their_calls() {
    let setup = setup("");
    let both = with(&setup, "bad", &[], "");
    let gateway = both.serve();
    let mut client = gateway.client_of(&["good__add", "bad__add"]);
    let (good, bad) = (pid(&mut client, "good"), pid(&mut client, "bad"));
    let slow = client.begin_call("good__sleep", &json!({ "ms": 3_000 }));
    let reaches = (0..1_000).any(|_| {
        client.call("good__pid", &json!({}));
        setup.lines("good-calls").iter().any(|line| line.starts_with("sleep"))
    });
    assert!(reaches);

    let old = Watch::of([bad]);
    with(&setup, "bad", &["--tools", "1"], "").write();
    assert_eq!(wait_own(&gateway, APPLIED, 1)["changes"], "changed: bad; untouched: 1");
    gateway.wait_events("bad", "upstream connected", 2);
    assert!(old.left_after(PATIENCE).is_empty());
    let new = pid(&mut client, "bad");
    assert_ne!(new, bad);
    assert_eq!(setup.lines("bad-spawns"), [bad.to_string(), new.to_string()]);

    assert_eq!(text(&slow.answer()["result"]), "slept");
    assert_eq!(pid(&mut client, "good"), good);
    assert_eq!(setup.lines("good-spawns").len(), 1);
    assert!(gateway.events("bad", "upstream died").is_empty());
}

#[test]
fn calls_of_a_changed_server_finish_and_later_ones_wait_for_the_new_process() {
    let setup = setup("");
    let gateway = setup.serve();
    let mut client = gateway.client_of(&["good__add"]);
    let old = pid(&mut client, "good");
    let slow = client.begin_call("good__sleep", &json!({ "ms": 1_000 }));
    let reaches = (0..1_000).any(|_| {
        client.call("good__pid", &json!({}));
        setup.lines("good-calls").iter().any(|line| line.starts_with("sleep"))
    });
    assert!(reaches);
    with(&Setup::new(PREFIX).within(&setup), "good", &["--tools", "1"], "").write();
    wait_own(&gateway, APPLIED, 1);
    // It waits for the call before it, then for the new process.
    assert_ne!(pid(&mut client, "good"), old);
    assert_eq!(text(&slow.answer()["result"]), "slept");
    assert_eq!(setup.lines("good-spawns").len(), 2);
}

#[test]
fn changed_limits_hold_without_a_start() {
    let setup = setup("");
    let bad = ["--die-on-call"];
    let gateway = with(&setup, "bad", &bad, "").serve();
    let mut client = gateway.client_of(&["good__add", "bad__add"]);
    with(&setup, "bad", &bad, "max_deaths = 0").write();
    assert_eq!(wait_own(&gateway, APPLIED, 1)["changes"], "new limits: bad; untouched: 1");
    assert_eq!(setup.lines("bad-spawns").len(), 1);
    client.call("bad__add", &json!({ "a": 1, "b": 2 }));
    let trip = gateway.wait_event("bad", "upstream tripped");
    assert!(trip["reason"].as_str().unwrap().contains("1 death"), "{trip}");
    assert_eq!(setup.lines("bad-spawns").len(), 1);
}

#[test]
fn a_changed_server_that_had_tripped_is_tried_at_once() {
    let setup = setup("");
    let gateway = with(&setup, "bad", &["--die-before-handshake", "0"], "max_deaths = 0").serve();
    gateway.wait_event("bad", "upstream tripped");
    with(&setup, "bad", &[], "max_deaths = 0").write();
    gateway.client_of(&["bad__add"]);
    assert_eq!(gateway.wait_event("bad", "upstream reset")["reason"], "config_reload");
    assert_eq!(setup.lines("bad-spawns").len(), 2);
}

#[test]
fn a_server_can_be_disabled_and_enabled() {
    let setup = setup("");
    let gateway = setup.serve();
    let mut client = gateway.client_of(&["good__add"]);
    let process = Watch::of([pid(&mut client, "good")]);
    let toml = fs::read_to_string(setup.file("mcplex.toml")).unwrap();
    let off = toml.replace("name = \"good\"", "name = \"good\"\nenabled = false");
    fs::write(setup.file("mcplex.toml"), off).unwrap();
    wait_own(&gateway, APPLIED, 1);
    assert!(process.left_after(PATIENCE).is_empty());
    fs::write(setup.file("mcplex.toml"), toml).unwrap();
    wait_own(&gateway, APPLIED, 2);
    gateway.wait_events("good", "upstream connected", 2);
    assert_eq!(setup.lines("good-spawns").len(), 2);
}

#[test]
fn a_bad_file_changes_nothing_and_says_where_and_why() {
    let setup = setup("");
    let gateway = setup.serve();
    let mut client = gateway.client_of(&["good__add"]);
    let before = pid(&mut client, "good");
    let good = fs::read_to_string(setup.file("mcplex.toml")).unwrap();
    let bad = |text: &str, count: usize, part: &str| {
        fs::write(setup.file("mcplex.toml"), text).unwrap();
        let event = wait_own(&gateway, REFUSED, count);
        assert!(event["error"].as_str().unwrap().contains(part), "{event}");
        event["hint"].as_str().unwrap().to_owned()
    };
    let hint = bad("[[servers]]\nname = \"x\"\ncommnad = \"y\"", 1, "mcplex.toml:3");
    assert!(hint.contains("command"), "{hint}");
    bad("[router", 2, "this is not TOML");
    bad("[telemetry]\nlog = \"mcplex=loud\"", 3, "logs and traces cannot be set up");
    bad("[gateway]\nname = \"${NOT_SET}\"", 4, "NOT_SET");
    assert!(bad("", 5, "mcplex.toml is empty").contains("comment"));
    fs::remove_file(setup.file("mcplex.toml")).unwrap();
    let gone = wait_own(&gateway, REFUSED, 6);
    assert!(gone["error"].as_str().unwrap().contains("there is no such file"), "{gone}");
    assert_eq!(pid(&mut client, "good"), before);
    assert!(gateway.own(APPLIED).is_empty());
    // The next good one counts.
    fs::write(setup.file("mcplex.toml"), good).unwrap();
    with(&setup, "more", &[], "").write();
    client.wait_for_tools(&["more__add"]);
    assert_eq!(pid(&mut client, "good"), before);
}

#[test]
fn a_hundred_rapid_changes_are_one_spawn() {
    let setup = setup("");
    let gateway = setup.serve();
    let mut client = gateway.client_of(&["good__add"]);
    for n in 1..=100 {
        with(&setup, "more", &["--tools", &n.to_string()], "").write();
    }
    let tools: Vec<_> = (1..=100).map(|n| format!("more__extra_{n}")).collect();
    let last = tools.last().unwrap().clone();
    client.wait_for_tools(&["more__add"]);
    let listed = client.tools();
    assert!(listed.contains(&last), "{listed:?}");
    assert_eq!(gateway.own(APPLIED).len(), 1, "the writes were one change");
    assert_eq!((setup.lines("more-spawns").len(), setup.lines("good-spawns").len()), (1, 1));
}

#[test]
fn a_hundred_signals_in_a_row_are_no_more_spawns_than_changes_and_the_last_one_counts() {
    let setup = setup("gateway.watch = false");
    let gateway = setup.serve();
    let mut client = gateway.client_of(&["good__add"]);
    let good = pid(&mut client, "good");
    for n in 1..=100 {
        // Whole at any moment: a signal does not wait until the file is quiet.
        with(&setup, "more", &["--tools", &n.to_string()], "").write_to("next");
        fs::rename(setup.file("next"), setup.file("mcplex.toml")).unwrap();
        gateway.signal(Signal::HUP);
    }
    client.wait_for_tools(&["more__extra_100"]);
    let applied = gateway.own(APPLIED).len();
    let spawns = setup.lines("more-spawns").len();
    // One, unless the host is so busy that signals are further apart than a change takes to settle.
    assert!(spawns <= applied && applied <= 10, "{spawns} spawns, {applied} changes");
    assert_eq!((pid(&mut client, "good"), setup.lines("good-spawns").len()), (good, 1));
    assert_eq!(census::groups(gateway.pid()).len(), 2);
}

#[test]
fn what_needs_a_restart_is_named_each_time() {
    let setup = setup("");
    let gateway = setup.serve();
    let mut client = gateway.client_of(&["good__add"]);
    let toml = fs::read_to_string(setup.file("mcplex.toml")).unwrap();
    let other = format!("gateway.path = \"/other\"\ntelemetry.log = \"debug\"\n{toml}");
    for count in 1..=2 {
        fs::write(setup.file("mcplex.toml"), &other).unwrap();
        let event = gateway.wait_own("these settings need a restart", count).pop().unwrap();
        assert_eq!(event["settings"], "gateway.path, telemetry.log");
    }
    // It serves where it did.
    assert_eq!(text(&client.call("good__add", &json!({ "a": 1, "b": 2 }))), "3");
    assert_eq!(setup.lines("good-spawns").len(), 1);
}

#[test]
fn router_settings_hold_at_once() {
    let setup = setup("");
    let gateway = setup.serve();
    let mut client = gateway.client_of(&["good__add"]);
    let toml = fs::read_to_string(setup.file("mcplex.toml")).unwrap();
    fs::write(setup.file("mcplex.toml"), toml.replace("\"prefix\"", "\"none\"")).unwrap();
    client.wait_for_tools(&["add"]);
    assert_eq!(wait_own(&gateway, APPLIED, 1)["changes"], "applied: router.naming; untouched: 1");
    assert_eq!(setup.lines("good-spawns").len(), 1);
}

#[test]
fn without_a_watch_a_change_waits_for_sighup() {
    let setup = setup("gateway.watch = false");
    let gateway = setup.serve();
    let mut client = gateway.client_of(&["good__add"]);
    gateway.signal(Signal::HUP);
    wait_own(&gateway, SAME, 1);
    with(&setup, "more", &[], "").write();
    gateway.signal(Signal::HUP);
    client.wait_for_tools(&["more__add"]);
    // The watch begins when it is wanted.
    let toml = fs::read_to_string(setup.file("mcplex.toml")).unwrap();
    fs::write(setup.file("mcplex.toml"), toml.replace("watch = false", "watch = true")).unwrap();
    gateway.signal(Signal::HUP);
    assert_eq!(wait_own(&gateway, APPLIED, 2)["changes"], "applied: gateway.watch; untouched: 2");
    self::setup("").within(&setup).write();
    assert!(wait_own(&gateway, APPLIED, 3)["changes"].as_str().unwrap().contains("removed: more"));
}

#[test]
fn a_file_put_in_the_place_of_the_old_one_is_seen() {
    let setup = setup("");
    let gateway = setup.serve();
    let mut client = gateway.client_of(&["good__add"]);
    let old = setup.file("mcplex.toml");
    fs::rename(&old, setup.file("mcplex.toml~")).unwrap();
    with(&setup, "more", &[], "").write_to("new.toml");
    fs::rename(setup.file("new.toml"), &old).unwrap();
    client.wait_for_tools(&["more__add"]);
    assert_eq!(gateway.own(APPLIED).len(), 1);
    assert!(gateway.own(REFUSED).is_empty(), "what was between is not read");
}

#[test]
fn a_swapped_link_is_seen_as_in_a_config_map() {
    let setup = setup("");
    for version in ["..1", "..2", "..3"] {
        fs::create_dir(setup.file(version)).unwrap();
    }
    setup.write_to("..1/mcplex.toml");
    with(&setup, "more", &[], "").write_to("..2/mcplex.toml");
    with(&setup, "most", &[], "").write_to("..3/mcplex.toml");
    symlink("..1", setup.file("..data")).unwrap();
    symlink("..data/mcplex.toml", setup.file("linked.toml")).unwrap();
    let gateway = setup.start(
        &["serve", "-c", "linked.toml", "--listen", "127.0.0.1:0"],
        std::process::Stdio::null(),
    );
    let mut client = gateway.client_of(&["good__add"]);
    for (version, tool) in [("..2", "more__add"), ("..3", "most__add")] {
        symlink(version, setup.file("..tmp")).unwrap();
        fs::rename(setup.file("..tmp"), setup.file("..data")).unwrap();
        client.wait_for_tools(&[tool]);
    }
    assert_eq!(setup.lines("good-spawns").len(), 1);
}

#[test]
fn removed_and_back_at_once_there_are_never_two() {
    let setup = setup("gateway.watch = false");
    let flags = ["--ignore-sigterm"];
    let with_bad = with(&setup, "bad", &flags, "grace_eof = \"300ms\"\ngrace_term = \"300ms\"");
    let gateway = with_bad.serve();
    let mut client = gateway.client_of(&["good__add", "bad__add"]);
    let old = pid(&mut client, "bad");
    let apply = |setup: &Setup, count| {
        setup.write();
        gateway.signal(Signal::HUP);
        wait_own(&gateway, APPLIED, count);
    };
    apply(&setup, 1);
    apply(&with_bad, 2);
    // The old one takes its time to leave; the new one waits for it.
    let new = gateway.wait_events("bad", "upstream connected", 2);
    assert_eq!(new.len(), 2);
    assert!(Watch::of([old]).left_after(std::time::Duration::ZERO).is_empty());
    assert_eq!(setup.lines("bad-spawns").len(), 2);
    client.wait_for_tools(&["bad__add"]);
}

#[test]
fn the_demo_has_no_file_to_read_again() {
    let gateway = Setup::new("").serve();
    gateway.url();
    gateway.signal(Signal::HUP);
    let event = wait_own(&gateway, REFUSED, 1);
    assert!(event["error"].as_str().unwrap().contains("demo"), "{event}");
    assert!(event["hint"].as_str().unwrap().contains("--config"), "{event}");
}

#[test]
fn the_command_says_what_was_applied_or_why_nothing_was() {
    let setup = setup("gateway.watch = false");
    let gateway = setup.serve();
    let mut client = gateway.client_of(&["good__add"]);
    // The command leaves the file as it is.
    let reload = |args: &[&str]| {
        let ran = setup.command(args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (ran.status.code(), text(ran.stdout), text(ran.stderr))
    };
    let same = reload(&["reload"]);
    assert_eq!(same, (Some(0), "nothing differs\n".to_owned(), String::new()));

    with(&setup.clone(), "more", &[], "").write();
    let toml = fs::read_to_string(setup.file("mcplex.toml")).unwrap();
    fs::write(setup.file("mcplex.toml"), format!("gateway.path = \"/other\"\n{toml}")).unwrap();
    let ran = reload(&["reload", "--json"]);
    let said: Value = serde_json::from_str(&ran.1).unwrap();
    assert_eq!(said["added"], json!(["more"]), "{said}");
    assert_eq!(said["untouched"], json!(["good"]), "{said}");
    assert_eq!(said["needs_restart"], json!(["gateway.path"]), "{said}");
    // The rest was applied, so that this is no failure; the help says so.
    assert_eq!(ran.0, Some(0), "{ran:?}");
    let help = reload(&["reload", "--help"]).1.split_whitespace().collect::<Vec<_>>().join(" ");
    let promise = "Settings that need a restart of mcplex are named, and everything else is applied: \
                   the exit code stays 0.";
    assert!(help.contains(promise), "{help}");
    client.wait_for_tools(&["more__add"]);

    fs::write(setup.file("mcplex.toml"), "[router]\nnamign = \"none\"").unwrap();
    let ran = reload(&["reload"]);
    assert_eq!(ran.0, Some(3), "{ran:?}");
    for part in ["mcplex.toml:2", "namign", "hint: ", "naming"] {
        assert!(ran.2.contains(part), "{part:?} is not in {ran:?}");
    }
    assert_eq!((setup.lines("good-spawns").len(), setup.lines("more-spawns").len()), (1, 1));
}
