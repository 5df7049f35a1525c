//! Ways to start `mcplex`: two listeners at once, no configuration, files of others, `check`.

use crate::{client::text, gateway::Setup, stdio::StdioClient};
use mcplex_proto::{error, upstream::UNAVAILABLE_META};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{fs, os::unix::fs::PermissionsExt as _, process::Stdio};

#[test]
fn stdio_and_http_are_served_at_once() {
    let setup = Setup::new("").server("good", &[]);
    let mut stdio = StdioClient::start(&setup, &["--listen", "127.0.0.1:0"]);
    let mut http = stdio.gateway.client_of(&["pid"]);
    let pid = stdio.call("pid", &json!({}));
    assert_eq!(http.call("pid", &json!({})), pid, "both reach the same server");
    stdio.leave();
    assert_eq!(stdio.gateway.ended().code(), Some(0));
}

#[test]
fn stdio_writes_nothing_but_messages_to_its_stdout() {
    // The client parses every line, so one word too many would fail it.
    let setup = Setup::new("").server("good", &["--garbage", "--flood-stderr", "4000"]);
    let mut stdio = StdioClient::start(&setup, &[]);
    stdio.gateway.wait_event("good", "upstream connected");
    assert_eq!(stdio.request("ping", &json!({}))["result"], json!({}));
    stdio.leave();
    assert_eq!(stdio.gateway.ended().code(), Some(0));
}

#[test]
fn without_configuration_the_demo_says_how_to_use_it_and_trips_as_told() {
    let setup = Setup::new("");
    let mut gateway = setup.start(&["serve", "--listen", "127.0.0.1:0"], Stdio::null());
    let url = gateway.url();
    let snippet = gateway.wait_for("mcpServers");
    let snippet: Value = serde_json::from_str(snippet.trim()).unwrap();
    assert_eq!(snippet["mcpServers"]["mcplex"]["url"], url);
    gateway.wait_for(&format!("claude mcp add --transport http mcplex {url}"));

    let mut client = gateway.client_of(&["add_note", "list_notes", "crash", "count"]);
    for lives in 1..=6 {
        gateway.wait_events("fragile", "upstream connected", lives);
        assert_eq!(client.call("crash", &json!({}))["isError"], true);
    }
    gateway.wait_event("fragile", "upstream tripped");
    client.call("add_note", &json!({ "text": "still here" }));
    assert_eq!(text(&client.call("list_notes", &json!({}))), "still here");
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().code(), Some(0));
}

fn out(setup: &Setup, args: &[&str]) -> String {
    let ran = setup.run(args);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran.stdout
}

#[test]
fn check_says_what_would_run_and_runs_nothing() {
    let setup = Setup::new("").server("good", &["--spawn-log", "spawns", "two words"]);
    let program = mcplex_testkit::fake_server().display().to_string();
    let text = out(&setup, &["check"]);
    for part in ["mcplex.toml", "good", &program, "'two words'", "http://127.0.0.1:3100/mcp"] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    let report: Value = serde_json::from_str(&out(&setup, &["check", "--json"])).unwrap();
    assert_eq!(report["servers"][0]["program"], program);
    assert_eq!(report["servers"][0]["error"], Value::Null);
    let settings = report["settings"].as_array().unwrap();
    assert!(settings.iter().any(|setting| setting["key"] == "gateway.listen"), "{report}");
    assert!(setup.lines("spawns").is_empty());
}

#[test]
fn check_refuses_a_log_filter_as_serve_does() {
    let setup = Setup::new("[telemetry]\nlog = \"bogus=xx\"").server("good", &[]);
    let checked = setup.run(&["check"]);
    assert_eq!((checked.code, checked.stdout.as_str()), (3, ""), "{checked:?}");
    assert!(checked.stderr.contains("bogus=xx"), "{checked:?}");
    assert_eq!(setup.run(&["serve"]).stderr, checked.stderr);
}

#[test]
fn check_says_where_a_program_is_that_path_does_not_reach() {
    let setup = Setup::new("[[servers]]\nname = \"far\"\ncommand = \"a-server-of-nvm\"");
    let bin = setup.file(".nvm/versions/node/v22.1.0/bin");
    fs::create_dir_all(&bin).unwrap();
    fs::copy("/bin/sh", bin.join("a-server-of-nvm")).unwrap();
    let ran = setup.run(&["check"]);
    assert_eq!(ran.code, 3);
    let found = format!("there is {}; set `env.PATH` to", bin.join("a-server-of-nvm").display());
    assert!(ran.stdout.contains(&found), "{ran:?}");
}

#[test]
fn check_finds_what_is_missing() {
    let setup = Setup::new("[[servers]]\nname = \"gone\"\ncommand = \"no-such-program-here\"");
    let ran = setup.run(&["check"]);
    assert_eq!(ran.code, 3);
    assert!(ran.stdout.contains("no-such-program-here"), "{ran:?}");
    assert!(ran.stderr.contains("hint: "), "{ran:?}");
    // A script that is there, for an interpreter that is not.
    let setup = Setup::new("[[servers]]\nname = \"script\"\ncommand = \"./script\"");
    fs::write(setup.file("script"), "#!/usr/bin/env no-such-interpreter\n").unwrap();
    fs::set_permissions(setup.file("script"), fs::Permissions::from_mode(0o755)).unwrap();
    let ran = setup.run(&["check"]);
    assert_eq!(ran.code, 3);
    assert!(ran.stdout.contains("no-such-interpreter"), "{ran:?}");
}

#[test]
fn a_file_of_a_desktop_client_is_served() {
    let setup = Setup::new("");
    let config = json!({ "mcpServers": {
        "first": { "command": mcplex_testkit::fake_server(), "args": ["--tools", "1"] },
        "second": { "type": "stdio", "command": mcplex_testkit::fake_server(), "env": { "A": "b" } },
    } });
    fs::write(setup.file("desktop.json"), config.to_string()).unwrap();
    let args = ["serve", "-c", "desktop.json", "--listen", "127.0.0.1:0"];
    let gateway = setup.start(&args, Stdio::null());
    let mut client = gateway.client_of(&["first__add", "second__add", "extra_1"]);
    assert_eq!(text(&client.call("second__add", &json!({ "a": 1, "b": 2 }))), "3");
}

#[test]
fn a_file_of_the_first_mcplex_is_served_unchanged() {
    let program = mcplex_testkit::fake_server();
    let program = program.to_str().unwrap();
    let setup = Setup::new(&format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\nname = \"my-mcplex\"\n
         [[servers]]\nname = \"good\"\ncommand = \"{program}\"\nargs = [\"--tools\", \"1\"]\nenabled = true
         [servers.env]\nTOKEN = \"x\"\n
         [[servers]]\nname = \"off\"\ncommand = \"nothing-that-exists\"\nargs = []\nenabled = false"
    ));
    let gateway = setup.start(&["serve"], Stdio::null());
    let mut client = gateway.client_of(&["extra_1", "add"]);
    assert_eq!(text(&client.call("add", &json!({ "a": 1, "b": 2 }))), "3");
    assert!(gateway.events("off", "").is_empty(), "what is off is not started");
    let refused = client.call("off__anything", &json!({}));
    assert_eq!(refused["_meta"][UNAVAILABLE_META]["code"], error::UPSTREAM_DISABLED, "{refused}");
}

#[test]
fn the_environment_and_flags_stand_above_the_file() {
    let setup = Setup::new("[gateway]\nlisten = \"127.0.0.1:1\"\nname = \"file\"")
        .env("MCPLEX_GATEWAY__NAME", "environment")
        .env("MCPLEX_GATEWAY__LISTEN", "127.0.0.1:2");
    let gateway = setup.start(&["serve", "--listen", "127.0.0.1:0"], Stdio::null());
    assert!(!gateway.url().contains("127.0.0.1:2/"));
    let report: Value = serde_json::from_str(&out(&setup, &["check", "--json"])).unwrap();
    let settings = report["settings"].as_array().unwrap();
    let name = settings.iter().find(|setting| setting["key"] == "gateway.name").unwrap();
    assert_eq!(name["value"], "environment", "{name}");
}
