//! Which calls were made by whom: the audit log of a real gateway.

use crate::{
    gateway::Setup,
    panel::Panel,
    stateless::Stateless,
    verbs::{files, ok},
};
use rustix::{
    fs::{CWD, FileType, Mode, mknodat},
    process::Signal,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    thread,
};

const AUDIT: &str = "[audit]\nfile = \"audit.jsonl\"\n";

/// The folder in which the only configuration of a test keeps things.
pub(crate) fn state(setup: &Setup) -> PathBuf {
    let state = setup.file(".local/state/mcplex");
    let own = files(&state).into_iter().find(|name| name != "run").unwrap();
    state.join(own)
}

/// All lines of a log, oldest first.
pub(crate) fn lines(path: &Path) -> Vec<String> {
    let (folder, name) = (path.parent().unwrap(), path.file_name().unwrap().to_str().unwrap());
    let is_it = |found: &&String| {
        let rest = found.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
        rest.is_some_and(|rest| rest.parse::<u64>().is_ok())
    };
    let all = files(folder);
    let older = all.iter().filter(is_it).map(|name| folder.join(name));
    let texts = older.chain([path.to_owned()]).map(|path| fs::read_to_string(path).unwrap());
    texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn calls(setup: &Setup) -> Vec<Value> {
    let lines = lines(&state(setup).join("audit.jsonl"));
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_call_has_a_line_also_those_that_are_refused() {
    let setup = Setup::new(&format!("{AUDIT}allow = [\"good/add /a\"]"))
        .server("good", &["--resources"])
        .server_with("bad", &[], "max_deaths = 0\ncooldown_first = \"60s\"");
    let mut gateway = setup.serve();
    gateway.wait_event("good", "upstream connected");
    let mut client = gateway.client_of(&["good__add", "bad__crash"]);
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let meta = json!({ "traceparent": format!("00-{trace}-b7ad6b7169203331-01") });
    let arguments = json!({ "a": 1, "b": 2, "password": "hunter2" });
    let call = json!({ "name": "good__add", "arguments": arguments, "_meta": meta });
    client.request("tools/call", &call);
    client.call("good__fail", &json!({}));
    client.request("tools/call", &json!({ "name": "nobody", "arguments": { "x": "mine" } }));
    client.request("resources/read", &json!({ "uri": "made:up?token=abc123" }));
    client.call("bad__crash", &json!({}));
    gateway.wait_event("bad", "upstream tripped");
    client.call("bad__add", &json!({ "a": 1, "b": 2 }));
    // What mcplex answers by itself is no call.
    client.tools();
    gateway.signal(Signal::TERM);
    assert!(gateway.ended().success());

    let all = calls(&setup);
    let told: Vec<_> = all
        .iter()
        .map(|line| {
            let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            [text("outcome"), text("error"), text("upstream"), text("upstream_name")]
        })
        .collect();
    let expect = [
        ["ok", "", "good", "add"],
        ["error", "tool_error", "good", "fail"],
        ["rejected", "-32602", "", ""],
        ["error", "-32002", "good", ""],
        ["error", "mcplex.upstream_died", "bad", "crash"],
        ["rejected", "mcplex.upstream_tripped", "bad", "add"],
    ];
    assert_eq!(told, expect.map(|line| line.map(str::to_owned)), "{all:#?}");
    let first = &all[0];
    for (name, expect) in [
        ("method", json!("tools/call")),
        ("name", json!("good__add")),
        ("incarnation", json!(1)),
        ("attempts", json!(1)),
        ("principal", json!("anybody")),
        ("client", json!("test")),
        ("client_version", json!("0")),
        ("trace_id", json!(trace)),
        ("values", json!({ "/a": 1 })),
        ("bytes_in", json!(call.to_string().len())),
    ] {
        assert_eq!(first[name], expect, "{name}: {first}");
    }
    assert_eq!(first["arguments"]["password"], json!({ "kind": "string", "size": 9 }));
    assert!(first["session"].is_u64() && first["bytes_out"].as_u64() > Some(10), "{first}");
    assert_eq!(all[5]["code"], -31_002);
    // Which life it died with; what was refused was for none.
    assert_eq!((&all[4]["incarnation"], &all[5]["incarnation"]), (&json!(1), &Value::Null));
    let text = fs::read_to_string(state(&setup).join("audit.jsonl")).unwrap();
    for secret in ["hunter2", "mine", "abc123"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[test]
fn who_was_meant_stands_in_the_line_although_nobody_answered() {
    let setup = Setup::new(AUDIT)
        .server_with("rests", &[], "idle_stop = \"300ms\"\ncall_timeout = \"6s\"")
        .server_with(
            "down",
            &["--die-before-handshake", "0"],
            "max_deaths = 0\ncooldown_first = \"60s\"",
        );
    let mut gateway = setup.serve();
    gateway.wait_event("down", "upstream tripped");
    let mut client = gateway.client_of(&["sleep"]);
    gateway.wait_event("rests", "upstream is not used");
    // It waits for the next life, which has it long before it is too late.
    client.call("sleep", &json!({ "ms": 60_000 }));
    // Nobody has ever seen the list of this one.
    client.call("down__add", &json!({ "a": 1, "b": 2 }));
    gateway.signal(Signal::TERM);
    assert!(gateway.ended().success());
    let all = calls(&setup);
    let told: Vec<_> = all
        .iter()
        .map(|line| (&line["outcome"], &line["error"], &line["upstream"], &line["incarnation"]))
        .collect();
    let expect = [
        ("error", "timeout", "rests", json!(2)),
        ("rejected", "mcplex.upstream_tripped", "down", Value::Null),
    ];
    let expect: Vec<_> = expect
        .into_iter()
        .map(|(outcome, error, upstream, life)| {
            (json!(outcome), json!(error), json!(upstream), life)
        })
        .collect();
    let expect: Vec<_> = expect.iter().map(|(a, b, c, d)| (a, b, c, d)).collect();
    assert_eq!(told, expect, "{all:#?}");
}

#[test]
fn prompts_resources_and_calls_that_are_given_up_have_lines_too() {
    let log = ["--call-log", "calls"];
    let setup =
        Setup::new(AUDIT).server("good", &[&log[..], &["--resources", "--prompts"]].concat());
    let mut gateway = setup.serve();
    let mut client = gateway.client_of(&["sleep"]);
    client.request("prompts/get", &json!({ "name": "greet_1", "arguments": { "who": "Ada" } }));
    client.request("resources/read", &json!({ "uri": "fake://note/1" }));
    // Of 2026-07-28, which says in each request who asks.
    Stateless::new(&gateway.url()).call("echo", &json!({}));
    let given_up = client.begin_call("sleep", &json!({ "ms": 60_000 }));
    let is_there = (0..1_000).any(|_| {
        client.call("pid", &json!({}));
        setup.lines("calls").iter().any(|line| line.starts_with("sleep"))
    });
    assert!(is_there, "the call reaches the server");
    client.notify("notifications/cancelled", &json!({ "requestId": given_up.id }));
    assert!(given_up.ended().is_empty());
    // Whoever leaves with a call on its way has given it up as well.
    let left = client.begin_call("sleep", &json!({ "ms": 60_001 }));
    let is_there = (0..1_000).any(|_| {
        client.call("pid", &json!({}));
        setup.lines("calls").iter().any(|line| line.contains("60001"))
    });
    assert!(is_there, "the call reaches the server");
    client.delete();
    left.vanish();
    gateway.signal(Signal::TERM);
    assert!(gateway.ended().success());

    let all = calls(&setup);
    let line = |name: &str, value: &str| {
        let found = all.iter().find(|line| line[name] == value);
        found.unwrap_or_else(|| panic!("no {name} {value} in {all:#?}"))
    };
    let prompt = line("method", "prompts/get");
    assert_eq!((&prompt["name"], &prompt["upstream"]), (&json!("greet_1"), &json!("good")));
    assert_eq!(prompt["arguments"], json!({ "who": { "kind": "string", "size": 5 } }));
    let resource = line("method", "resources/read");
    assert_eq!(resource["resource"], "fake://note/1");
    assert_eq!((&resource["outcome"], &resource["upstream_name"]), (&json!("ok"), &Value::Null));
    let stateless = line("name", "echo");
    assert_eq!((&stateless["session"], &stateless["outcome"]), (&Value::Null, &json!("ok")));
    assert!(stateless["client"].is_string(), "{stateless}");
    let slept: Vec<_> = all.iter().filter(|line| line["name"] == "sleep").collect();
    assert_eq!(slept.len(), 2);
    for line in slept {
        assert_eq!((&line["outcome"], &line["error"]), (&json!("cancelled"), &json!("cancelled")));
        assert_eq!((&line["bytes_out"], &line["attempts"]), (&json!(0), &json!(1)));
        assert_eq!(line["incarnation"], 1, "{line}");
    }
}

#[test]
fn files_change_under_many_clients_and_each_call_is_there_once() {
    let bounds = "size = \"2KiB\"\ntotal = \"1GiB\"\nallow = [\"good/add /a\"]";
    let setup = Setup::new(&format!("{AUDIT}{bounds}")).server("good", &[]);
    let mut gateway = setup.serve();
    gateway.client_of(&["add"]).delete();
    let (clients, each) = (4, 100);
    let url = gateway.url();
    let hands: Vec<_> = (0..clients)
        .map(|number| {
            let mut client = crate::client::Client::connect(&url);
            thread::spawn(move || {
                for n in 0..each {
                    client.call("add", &json!({ "a": number * each + n, "b": 0 }));
                }
            })
        })
        .collect();
    hands.into_iter().for_each(|hand| hand.join().unwrap());
    gateway.signal(Signal::TERM);
    assert!(gateway.ended().success());
    let all = calls(&setup);
    let seen: BTreeSet<_> = all.iter().map(|line| line["values"]["/a"].as_i64().unwrap()).collect();
    assert_eq!((all.len(), seen.len()), (400, 400));
    let folder = state(&setup);
    let moved = files(&folder).iter().filter(|name| name.starts_with("audit.jsonl.0")).count();
    assert!(moved > 40, "{moved}");
}

#[test]
fn a_kill_leaves_whole_lines_and_the_next_start_goes_on() {
    let setup = Setup::new(AUDIT).server("good", &[]);
    for round in 1..=2 {
        let gateway = setup.serve();
        let mut client = gateway.client_of(&["add"]);
        for n in 0..50 {
            client.call("add", &json!({ "a": n, "b": 0 }));
        }
        gateway.signal(Signal::KILL);
        drop(gateway);
        // What was in the queue in this moment is lost, and nothing of it is there in part.
        let all = calls(&setup);
        assert!(all.len() <= round * 50, "{}", all.len());
        assert!(all.iter().all(|line| line["name"] == "add"));
    }
}

#[test]
fn lines_that_are_lost_are_shown_and_cost_no_call() {
    let setup = Setup::new("");
    // A folder of its own, which can be taken away.
    let file = setup.path("audit/audit.jsonl");
    let setup =
        Setup::new(&format!("[admin]\nlisten = \"127.0.0.1:0\"\n[audit]\nfile = {file:?}\n"))
            .within(&setup)
            .server("good", &[]);
    let mut gateway = setup.serve();
    gateway.wait_own("operators can connect", 1);
    let mut client = gateway.client_of(&["add"]);
    client.call("add", &json!({ "a": 1, "b": 2 }));
    fs::remove_dir_all(setup.file("audit")).unwrap();
    fs::write(setup.file("audit"), "no folder").unwrap();
    for n in 0..5 {
        let result = client.call("add", &json!({ "a": n, "b": 1 }));
        assert_eq!(result["content"][0]["text"], (n + 1).to_string());
    }
    gateway.wait_own("lines cannot be written to disk", 1);
    fs::remove_file(setup.file("audit")).unwrap();
    client.call("add", &json!({ "a": 1, "b": 2 }));
    let panel = Panel::of(&setup);
    let lost = |setup: &Setup| {
        let all: Value = serde_json::from_str(&ok(setup, &["status", "--json"])).unwrap();
        all["instance"]["lost_audit"].as_u64().unwrap()
    };
    assert!(lost(&setup) > 0);
    let (code, page) = panel.ask("GET /metrics");
    assert!(code == 200 && page.contains("mcplex_audit_dropped_total"), "{page}");
    assert!(ok(&setup, &["status"]).contains("lines of the audit log"));
    gateway.signal(Signal::TERM);
    assert!(gateway.ended().success());
    let lines = lines(&setup.file("audit/audit.jsonl"));
    let all = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let (told, missing): (Vec<_>, Vec<_>) = all.partition(|line| line["outcome"] == "ok");
    let missing: u64 = missing.iter().map(|line| line["count"].as_u64().unwrap()).sum();
    // The line of the first of seven calls may have gone with the folder.
    let count = told.len() as u64 + missing;
    assert!(missing > 0 && (6..=7).contains(&count), "{lines:?}");
}

#[test]
fn without_its_audit_log_nothing_is_served() {
    let setup = Setup::new("");
    fs::write(setup.file("file"), "").unwrap();
    let file = setup.path("file/audit.jsonl");
    let setup = Setup::new(&format!("[audit]\nfile = {file:?}")).within(&setup);
    let ran = setup.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("`audit.file` cannot be written"), "{}", ran.stderr);
    // Nor where it would wait for somebody who reads: it is said at once, by whoever is asked.
    let pipe = setup.file("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let setup = Setup::new(&format!("[audit]\nfile = {pipe:?}")).within(&setup);
    let ran = setup.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("it is a pipe, a device or a socket"), "{}", ran.stderr);
    let ran = setup.run(&["doctor"]);
    assert!(ran.code == 9 && ran.stdout.contains("it is no regular file"), "{}", ran.stdout);
    // Nor where another one has it.
    let first = Setup::new(AUDIT).server("good", &[]);
    let gateway = first.serve();
    gateway.wait_event("good", "upstream connected");
    let shared = state(&first).join("audit.jsonl");
    let second = Setup::new(&format!("[audit]\nfile = {shared:?}"));
    let ran = second.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("another mcplex has it"), "{}", ran.stderr);
    let ran = second.run(&["doctor"]);
    let holder = format!("process {} has it", gateway.pid());
    assert!(ran.code == 9 && ran.stdout.contains(&holder), "{}", ran.stdout);
    assert!(ok(&first, &["doctor"]).contains("audit.jsonl can be written"));
    // A disk of its own may be full while that of the state folder is not.
    assert!(
        ran.stdout.contains(&format!("MB free for {}", state(&first).display())),
        "{}",
        ran.stdout
    );
}

#[test]
fn the_log_goes_to_a_file_as_well_and_files_are_moved_aside() {
    let bounds = "log_file = \"mcplex.log\"\nlog_file_size = \"4KiB\"\nlog_file_total = \"16KiB\"";
    let words = format!("[telemetry]\nlog = \"debug\"\n{bounds}");
    let setup = Setup::new(&words).server("good", &[]);
    let mut gateway = setup.serve();
    gateway.wait_event("good", "upstream connected");
    assert!(ok(&setup, &["check"]).contains("/mcplex.log\n"));
    for _ in 0..40 {
        gateway.client_of(&["add"]).delete();
    }
    gateway.signal(Signal::TERM);
    assert!(gateway.ended().success());
    let path = state(&setup).join("mcplex.log");
    let lines = lines(&path);
    for line in &lines {
        let event: Value = serde_json::from_str(line).unwrap();
        assert!(event["timestamp"].as_str().unwrap().ends_with('Z'), "{line}");
        assert!(event["message"].is_string() && event["level"].is_string(), "{line}");
    }
    // The same event, from the same moment on.
    let last = lines.last().unwrap();
    let message = serde_json::from_str::<Value>(last).unwrap()["message"].clone();
    gateway.wait_for(message.as_str().unwrap());
    let own = |name: &&String| name.starts_with("mcplex.log") && !name.ends_with(".lock");
    let sizes: Vec<_> = files(path.parent().unwrap())
        .iter()
        .filter(own)
        .map(|name| fs::metadata(path.with_file_name(name)).unwrap().len())
        .collect();
    let sum: u64 = sizes.iter().sum();
    assert!(sizes.len() > 2 && sum <= 16 << 10, "{sizes:?}");
}

#[test]
fn the_log_file_is_found_again_when_logrotate_moved_it() {
    let setup = Setup::new("[telemetry]\nlog_file = \"mcplex.log\"").server("good", &[]);
    let mut gateway = setup.serve();
    gateway.wait_event("good", "upstream connected");
    let path = state(&setup).join("mcplex.log");
    let moved = path.with_file_name("mcplex.log-20261126");
    fs::rename(&path, &moved).unwrap();
    gateway.signal(Signal::TERM);
    assert!(gateway.ended().success());
    let (before, after) = (fs::read_to_string(moved).unwrap(), fs::read_to_string(&path).unwrap());
    assert!(before.contains("upstream connected") || after.contains("upstream connected"));
    assert!(after.contains("draining; a second signal ends at once"), "{after}");
}

#[test]
fn a_log_file_that_is_none_is_neither_waited_for_nor_written() {
    let setup = Setup::new("");
    let pipe = setup.file("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let words = format!("[telemetry]\nlog_file = {pipe:?}");
    let gateway = Setup::new(&words).within(&setup).server("good", &[]).serve();
    gateway.wait_own("the log goes to stderr alone", 1);
    gateway.wait_event("good", "upstream connected");
}

#[test]
fn a_log_file_that_cannot_be_made_is_no_reason_not_to_serve() {
    let setup = Setup::new("");
    fs::write(setup.file("file"), "").unwrap();
    let file = setup.path("file/mcplex.log");
    let setup =
        Setup::new(&format!("[telemetry]\nlog_file = {file:?}")).within(&setup).server("good", &[]);
    let gateway = setup.serve();
    gateway.wait_event("good", "upstream connected");
    gateway.wait_own("lines cannot be written to disk", 1);
    let mut client = gateway.client_of(&["add"]);
    client.call("add", &json!({ "a": 1, "b": 2 }));
    let all: Value = serde_json::from_str(&ok(&setup, &["status", "--json"])).unwrap();
    assert!(all["instance"]["lost_log"].as_u64() > Some(0), "{all:#}");
}
