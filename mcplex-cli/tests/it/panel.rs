//! Operators who come over a network.

use crate::{
    census,
    gateway::{Gateway, PATIENCE, Setup},
    verbs::{ok, status},
};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
};

/// How much of a stream a test reads before it gives up.
const MAX_LINES: usize = 1000;

/// A way in, as `mcplex status --json` tells it.
pub(crate) struct Panel {
    address: String,
    token: String,
}

impl Panel {
    pub(crate) fn of(setup: &Setup) -> Self {
        let all: Value = serde_json::from_str(&ok(setup, &["status", "--json"])).unwrap();
        let instance = &all["instance"];
        let link = instance["dashboard"].as_str().unwrap();
        let (url, token) = link.split_once("#token=").unwrap();
        assert_eq!(instance["admin"], url);
        let address = url.strip_prefix("http://").unwrap().trim_end_matches('/').to_owned();
        Self { address, token: token.to_owned() }
    }

    fn send(&self, line: &str, token: Option<&str>) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let shown = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
        write!(
            stream,
            "{line} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{}\r\n",
            self.address,
            shown.unwrap_or_default()
        )
        .unwrap();
        BufReader::new(stream)
    }

    pub(crate) fn ask(&self, line: &str) -> (u16, String) {
        self.ask_with(line, Some(&self.token))
    }

    fn ask_with(&self, line: &str, token: Option<&str>) -> (u16, String) {
        let mut all = String::new();
        self.send(line, token).read_to_string(&mut all).unwrap();
        let (head, body) = all.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Asks for what must be there.
    #[track_caller]
    pub(crate) fn json(&self, line: &str) -> Value {
        let (code, body) = self.ask(line);
        assert_eq!(code, 200, "{line}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Reads events until one is what is wanted.
    #[track_caller]
    fn heard(events: &mut BufReader<TcpStream>, is_it: impl Fn(&Value) -> bool) -> Value {
        let mut line = String::new();
        for _ in 0..MAX_LINES {
            line.clear();
            assert!(events.read_line(&mut line).unwrap() > 0, "the stream ended");
            let Some(data) = line.strip_prefix("data: ") else { continue };
            let event: Value = serde_json::from_str(data).unwrap();
            if is_it(&event) {
                return event;
            }
        }
        panic!("it is not among {MAX_LINES} lines")
    }
}

/// A mcplex with an address for operators.
pub(crate) fn serve(setup: &Setup) -> (Gateway, Panel) {
    let gateway = setup.serve();
    gateway.wait_own("operators can connect", 1);
    let panel = Panel::of(setup);
    (gateway, panel)
}

pub(crate) const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"";

#[test]
fn a_trip_is_heard_and_a_reset_brings_the_upstream_back() {
    let limits = "max_deaths = 0\ncooldown_first = \"60s\"";
    let setup = Setup::new(ADMIN).server_with("mail", &[], limits).server("files", &[]);
    let (gateway, panel) = serve(&setup);
    gateway.wait_event("mail", "upstream connected");
    gateway.wait_event("files", "upstream connected");
    assert_eq!(panel.json("GET /readyz")["ready"], true);
    let mut events = panel.send("GET /api/v1/events", Some(&panel.token));
    let mut first = String::new();
    while first.trim() != ": listening" {
        first.clear();
        assert!(events.read_line(&mut first).unwrap() > 0);
    }
    // With its guard ends what it guards.
    let pid = status(&setup, "mail")["pid"].as_u64().unwrap();
    census::signal(u32::try_from(pid).unwrap(), rustix::process::Signal::KILL);
    let died = Panel::heard(&mut events, |event| event["kind"] == "died");
    assert_eq!((&died["upstream"], &died["incarnation"]), (&json!("mail"), &json!(1)));
    let tripped = Panel::heard(&mut events, |event| event["health"] == "tripped");
    assert_eq!((&tripped["upstream"], &tripped["trips"]), (&json!("mail"), &json!(1)));
    let crash = panel.json("GET /api/v1/crashes/mail/1");
    assert_eq!(crash["signal"], "SIGKILL");
    let done = panel.json("POST /api/v1/upstreams/mail/reset");
    assert_eq!(done["status"]["health"], "ready");
    Panel::heard(&mut events, |event| event["health"] == "ready" && event["incarnation"] == 2);
    let timeline = panel.json("GET /api/v1/timeline?upstream=mail");
    let kinds: Vec<_> = timeline.as_array().unwrap().iter().map(|it| &it["kind"]).collect();
    assert!(kinds.contains(&&json!("died")), "{kinds:?}");
    assert_eq!(panel.json("GET /api/v1/upstreams/files")["incarnation"], 1);
    assert!(panel.json("GET /api/v1/upstreams/mail/why")["text"].is_string());
    let (code, log) = panel.ask("GET /api/v1/upstreams/mail/logs?lines=100");
    assert!(code == 200 && log.contains("life 1 ended"), "{log}");
}

#[test]
fn the_token_is_made_once_and_nobody_else_reads_it() {
    let setup = Setup::new(ADMIN).server("files", &[]);
    let (mut gateway, panel) = serve(&setup);
    let folder = serde_json::from_str::<Value>(&ok(&setup, &["status", "--json"])).unwrap();
    let folder = folder["instance"]["state"].as_str().unwrap().to_owned();
    let file = std::path::Path::new(&folder).join("admin-token");
    assert_eq!(fs::read_to_string(&file).unwrap(), panel.token);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    for (line, token) in [("GET /api/v1/status", None), ("POST /api/v1/reload", Some("x"))] {
        assert_eq!(panel.ask_with(line, token).0, 401, "{line}");
    }
    // Who has the token by other means need not find it in answers.
    assert!(panel.json("GET /api/v1/status")["instance"]["dashboard"].is_null());
    gateway.signal(rustix::process::Signal::TERM);
    gateway.ended();
    assert!(!gateway.said().join("\n").contains(&panel.token), "the log has the token");
    let (_gateway, again) = serve(&setup);
    assert_eq!(again.token, panel.token);
}

#[test]
fn settings_are_shown_with_their_origins_and_without_secrets() {
    let toml = format!("{ADMIN}\ntoken = \"${{PANEL}}\"\n");
    let setup = Setup::new(&toml).env("PANEL", "0123456789abcdef-geheim");
    let mut setup = setup.server("files", &[]);
    setup.push("[servers.env]\nKEY = \"s3cret-value\"");
    let (_gateway, panel) = serve(&setup);
    assert_eq!(panel.token, "0123456789abcdef-geheim");
    let (_, text) = panel.ask("GET /api/v1/configuration");
    assert!(!text.contains("s3cret") && !text.contains("geheim"), "{text}");
    let settings: Value = serde_json::from_str(&text).unwrap();
    let find = |key: &str| {
        let all = settings.as_array().unwrap();
        all.iter().find(|it| it["key"] == key).unwrap_or_else(|| panic!("no {key}")).clone()
    };
    assert_eq!(find("gateway.listen")["origin"], "--listen");
    assert_eq!(find("admin.token")["value"], "(hidden)");
    assert_eq!(find("servers.files.env.KEY")["value"], "(hidden)");
    assert!(find("admin.listen")["origin"].as_str().unwrap().ends_with("mcplex.toml:2"));
    // What only a restart applies is shown as it runs.
    let changed = fs::read_to_string(setup.file("mcplex.toml")).unwrap();
    let changed = changed.replace("[admin]", "[telemetry]\nservice_name = \"x\"\n[admin]");
    fs::write(setup.file("mcplex.toml"), changed).unwrap();
    let reloaded = panel.json("POST /api/v1/reload");
    assert_eq!(reloaded["needs_restart"], json!(["telemetry.service_name"]));
    let settings = panel.json("GET /api/v1/configuration");
    let all = settings.as_array().unwrap();
    let name = all.iter().find(|it| it["key"] == "telemetry.service_name").unwrap();
    assert_eq!(name["value"], "\"mcplex\"");
}

#[test]
fn an_address_that_is_taken_is_said() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let setup = Setup::new(&format!("[admin]\nlisten = \"{address}\"")).server("files", &[]);
    setup.write();
    let ran = setup.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.contains(&format!("cannot listen on {address}")), "{}", ran.stderr);
    assert!(ran.stderr.contains("admin.listen"), "{}", ran.stderr);
}

#[test]
fn calls_are_told_with_how_they_ended() {
    let limits = "max_deaths = 0\ncooldown_first = \"60s\"";
    let setup = Setup::new(ADMIN).server_with("mail", &[], limits);
    let (gateway, panel) = serve(&setup);
    let mut client = gateway.client_of(&["pid"]);
    let pid = client.call("pid", &json!({}));
    client.call("pid", &json!({}));
    census::signal(crate::client::text(&pid).parse().unwrap(), rustix::process::Signal::KILL);
    gateway.wait_event("mail", "upstream tripped");
    client.call("pid", &json!({}));
    let calls = panel.json("GET /api/v1/calls?upstream=mail");
    let outcomes: Vec<_> = calls.as_array().unwrap().iter().map(|it| &it["outcome"]).collect();
    assert_eq!(outcomes, ["rejected", "ok", "ok"]);
    assert_eq!(calls[0]["error_type"], "mcplex.upstream_tripped");
    assert!(calls[1]["duration_us"].as_u64().unwrap() > 0);
    let tools = panel.json("GET /api/v1/tools");
    let figures = &tools[0];
    assert_eq!((&figures["tool"], &figures["upstream"]), (&json!("pid"), &json!("mail")));
    assert_eq!((&figures["calls"], &figures["errors"]), (&json!(3), &json!(1)));
    assert!(figures["p50_us"].as_u64() <= figures["p99_us"].as_u64(), "{figures}");
}

#[test]
fn the_dashboard_is_a_page_without_anything_from_elsewhere() {
    let setup = Setup::new(ADMIN).server("files", &[]);
    let (_gateway, panel) = serve(&setup);
    let (code, page) = panel.ask_with("GET /", None);
    assert_eq!(code, 200);
    assert!(page.contains("<main ") && page.contains("aria-live") && !page.contains(&panel.token));
}
