//! The fake server does as its flags say.

use mcplex_testkit::census;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::Duration,
};

/// A client that waits for each answer; the server's own watch bounds every wait.
struct Client {
    server: Child,
    write: ChildStdin,
    read: BufReader<ChildStdout>,
}

impl Client {
    fn new(flags: &[&str]) -> Self {
        Self::start(flags, None)
    }

    fn start(flags: &[&str], mark: Option<&str>) -> Self {
        #[expect(clippy::disallowed_methods, reason = "mcplex is not what starts it")]
        let mut server = Command::new(env!("CARGO_BIN_EXE_fake-server"))
            .args(flags)
            .envs(mark.map(|mark| ("FAKE_FAMILY", mark)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it was built");
        let write = server.stdin.take().expect("it is piped");
        let read = BufReader::new(server.stdout.take().expect("it is piped"));
        Self { server, write, read }
    }

    fn open(flags: &[&str]) -> Self {
        Self::open_in(flags, None)
    }

    /// The same with a variable that marks its family.
    fn open_in(flags: &[&str], mark: Option<&str>) -> Self {
        let mut it = Self::start(flags, mark);
        it.ask("initialize", &json!({ "protocolVersion": "2025-11-25" }));
        assert_eq!(it.hear()["result"]["serverInfo"]["name"], "fake-server");
        it.say(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        it
    }

    fn say(&mut self, message: &Value) {
        writeln!(self.write, "{message}").expect("it reads");
    }

    fn ask(&mut self, method: &str, params: &Value) {
        self.say(&json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params }));
    }

    fn call(&mut self, tool: &str, arguments: &Value) {
        let meta = json!({ "progressToken": "t" });
        let params = json!({ "name": tool, "arguments": arguments, "_meta": meta });
        self.ask("tools/call", &params);
    }

    /// The next message; lines that are none are passed over.
    fn hear(&mut self) -> Value {
        for _ in 0..10 {
            let mut line = Vec::new();
            self.read.read_until(b'\n', &mut line).expect("it writes");
            if let Ok(message) = serde_json::from_slice(&line) {
                return message;
            }
        }
        Value::Null
    }

    fn text(&mut self) -> String {
        let answer = self.hear();
        answer["result"]["content"][0]["text"].as_str().unwrap_or_default().to_owned()
    }

    fn code(mut self) -> Option<i32> {
        drop(self.write);
        self.server.wait().expect("it is ours").code()
    }
}

#[test]
fn a_good_server_answers_and_leaves_when_its_input_ends() {
    let mut client = Client::open(&[]);
    client.call("add", &json!({ "a": 1.5, "b": 2 }));
    assert_eq!(client.text(), "3.5");
    client.call("progress", &json!({ "steps": 2 }));
    assert_eq!(client.hear()["params"]["progress"], 1);
    assert_eq!(client.hear()["params"]["progressToken"], "t");
    assert_eq!(client.text(), "2 steps");
    client.call("grow", &json!({}));
    assert_eq!(client.hear()["method"], "notifications/tools/list_changed");
    assert_eq!(client.text(), "grown");
    client.call("grown_1", &json!({ "n": 1 }));
    assert_eq!(client.text(), r#"{"n":1}"#);
    client.call("absent", &json!({}));
    assert_eq!(client.hear()["error"]["code"], -32602);
    client.call("roots", &json!({}));
    let asked = client.hear();
    assert_eq!(asked["method"], "roots/list");
    client.say(&json!({ "jsonrpc": "2.0", "id": asked["id"], "result": { "roots": [] } }));
    assert_eq!(client.text(), r#"{"roots":[]}"#);
    assert_eq!(client.code(), Some(0));
}

#[test]
fn lists_come_in_pages() {
    let mut client = Client::open(&["--tools", "20", "--pages", "7"]);
    let (mut names, mut cursor) = (Vec::new(), Value::Null);
    for _ in 0..10 {
        let params = if cursor.is_null() { json!({}) } else { json!({ "cursor": cursor }) };
        client.ask("tools/list", &params);
        let page = client.hear();
        let tools = page["result"]["tools"].as_array().expect("a page").clone();
        names.extend(tools.into_iter().map(|tool| tool["name"].to_string()));
        cursor = page["result"]["nextCursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(names.len(), 33);
    assert_eq!(names.last().map(String::as_str), Some(r#""extra_20""#));
}

#[test]
fn resources_are_read_and_watched() {
    let mut client = Client::open(&["--resources", "--prompts", "--garbage"]);
    client.ask("resources/read", &json!({ "uri": "fake://note/2" }));
    assert_eq!(client.hear()["result"]["contents"][0]["text"], "note 2");
    client.ask("resources/subscribe", &json!({ "uri": "fake://note/2" }));
    client.hear();
    client.call("touch", &json!({ "uri": "fake://note/2" }));
    assert_eq!(client.hear()["params"]["uri"], "fake://note/2");
    assert_eq!(client.text(), "told");
    client.ask("prompts/get", &json!({ "name": "greet_1", "arguments": { "who": "ada" } }));
    let words = client.hear()["result"]["messages"][0]["content"]["text"].clone();
    assert_eq!(words, "Say hello to ada.");
}

#[test]
fn it_dies_as_told() {
    let check = |flags: &[&str], code| {
        let mut client = Client::new(&[flags, &["--exit", "5"]].concat());
        let mut said = String::new();
        let _length = client.read.read_to_string(&mut said).expect("it ends");
        assert_eq!((said.as_str(), client.code()), ("", Some(code)), "{flags:?}");
    };
    check(&["--die-before-handshake", "10"], 5);
    let mut client = Client::open(&["--die-on-call", "--exit", "6"]);
    client.call("echo", &json!({}));
    assert_eq!((client.hear(), client.code()), (Value::Null, Some(6)));
    let mut client = Client::open(&["--die-after", "10"]);
    assert_eq!((client.hear(), client.code()), (Value::Null, Some(1)));
}

#[test]
fn it_keeps_a_record() {
    let home = tempfile::tempdir().expect("a directory");
    let file = |name: &str| home.path().join(name).to_str().expect("UTF-8").to_owned();
    let (calls, record, spawns) = (file("calls"), file("record"), file("spawns"));
    let flags = ["--call-log", &calls, "--record", &record, "--spawn-log", &spawns];
    for _ in 0..2 {
        let mut client = Client::open(&flags);
        client.call("echo", &json!({ "n": 1 }));
        assert_eq!(client.text(), r#"{"n":1}"#);
        assert_eq!(client.code(), Some(0));
    }
    let lines = |file| fs::read_to_string(file).expect("it was written").lines().count();
    assert_eq!((lines(calls), lines(record), lines(spawns)), (2, 6, 2));
}

#[test]
fn a_cancelled_call_is_not_answered_where_told_so() {
    let mut client = Client::open(&["--mute-after-cancel"]);
    client.call("sleep", &json!({ "ms": 50 }));
    let params = json!({ "requestId": 7 });
    client.say(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params }));
    client.say(&json!({ "jsonrpc": "2.0", "id": 8, "method": "tools/call",
        "params": { "name": "sleep", "arguments": { "ms": 150 } } }));
    assert_eq!(client.hear()["id"], 8);
}

#[test]
fn it_writes_the_id_last_and_help_says_when_it_ends() {
    let mut client = Client::open(&["--id-last"]);
    client.say(&json!({ "jsonrpc": "2.0", "id": 7, "method": "ping" }));
    let mut line = String::new();
    client.read.read_line(&mut line).expect("it answers");
    assert_eq!(line, "{\"result\":{},\"jsonrpc\":\"2.0\",\"id\":7}\n");
    let mut help = String::new();
    Client::new(&["--help"]).read.read_to_string(&mut help).expect("it is UTF-8");
    assert!(help.contains("--id-last ") && help.contains("code 99 after 600 s"), "{help}");
}

#[test]
fn it_closes_its_stdout_and_lives_or_floods_it() {
    let mut client = Client::open(&["--close-stdout", "--ignore-eof"]);
    assert_eq!(client.hear(), Value::Null);
    assert!(client.server.try_wait().expect("it is ours").is_none());
    client.server.kill().expect("it lives");
    assert_eq!(client.code(), None);

    let mut client = Client::open(&["--long-line", "100000"]);
    assert_eq!(client.hear()["params"]["data"].as_str().map(str::len), Some(100_000));
    let mut client = Client::open(&["--no-newline-flood", "100000"]);
    let mut flood = vec![0; 100_000];
    client.read.read_exact(&mut flood).expect("it floods");
    assert!(flood.iter().all(|byte| *byte == b'x'));
}

#[test]
fn the_library_finds_it() {
    assert!(mcplex_testkit::fake_server().ends_with("fake-server"));
}

/// Everything that carries the variable, but the server itself.
fn family(mark: &str) -> Vec<u32> {
    let all = census::with_variable("FAKE_FAMILY", mark).expect("there is a /proc");
    all.into_iter().map(|one| one.pid).collect()
}

#[test]
fn its_family_leaves_group_session_and_parent_and_is_found_all_the_same() {
    let mark = std::process::id().to_string();
    let mut client = Client::open_in(&["--daemon", "--setsid-child", "--grandchild"], Some(&mark));
    // The daemon's first process has ended by now, for the server waited for it.
    let all = family(&mark);
    assert_eq!(all.len(), 4, "{all:?}");
    let server = client.server.id();
    let look = || -> Vec<_> { all.iter().filter_map(|pid| census::one(*pid)).collect() };
    let sessions = |found: &[census::Process]| {
        found.iter().map(|one| one.session).collect::<BTreeSet<_>>().len()
    };
    // A child begins its own session by itself, which may be after the server has gone on.
    let mut found = look();
    for _ in 0..1000 {
        if sessions(&found) == 3 {
            break;
        }
        thread::sleep(Duration::from_millis(10));
        found = look();
    }
    assert_eq!(sessions(&found), 3, "{found:?}");
    let orphans = found.iter().filter(|one| one.pid != server && one.parent != server).count();
    assert_eq!(orphans, 1, "{found:?}");
    let watch = census::Watch::of(all).expect("they can be watched");
    client.server.kill().expect("it lives");
    watch.kill();
    assert!(watch.left_after(Duration::from_secs(10)).expect("it waits").is_empty());
}

#[test]
fn it_writes_what_nobody_should() {
    let mut client = Client::open(&["--bad-utf8", "--deep", "50"]);
    let mut line = Vec::new();
    client.read.read_until(b'\n', &mut line).expect("it writes");
    assert!(String::from_utf8(line).is_err());
    assert_eq!(client.hear()["method"], "deep");
    let mut client = Client::new(&["--answer-twice"]);
    client.ask("ping", &json!({}));
    let ids: Vec<_> = (0..3).map(|_| client.hear()["id"].clone()).collect();
    assert_eq!(ids, [json!(4_000_000_000_u64), json!(7), json!(7)]);

    let mut client = Client::new(&["--windows-lines", "--banner", "hello"]);
    client.ask("initialize", &json!({ "protocolVersion": "2025-11-25" }));
    let mut line = String::new();
    client.read.read_line(&mut line).expect("it writes");
    assert_eq!(line, "hello\n");
    line.clear();
    client.read.read_line(&mut line).expect("it writes");
    assert!(line.starts_with('\u{feff}') && line.ends_with("\r\n"), "{line:?}");
}

#[test]
fn what_is_said_to_kill_it_does() {
    let mut client = Client::open(&["--poison", "arsenic", "--exit", "7"]);
    client.call("echo", &json!({ "drink": "water" }));
    assert_eq!(client.text(), r#"{"drink":"water"}"#);
    client.call("echo", &json!({ "drink": "arsenic" }));
    assert_eq!((client.hear(), client.code()), (Value::Null, Some(7)));
    let home = tempfile::tempdir().expect("a directory");
    let log = home.path().join("spawns").to_str().expect("UTF-8").to_owned();
    let flags = ["--sick-for", "2", "--spawn-log", &log];
    assert_eq!([1, 2].map(|_| Client::new(&flags).code()), [Some(1); 2]);
    assert_eq!(Client::open(&flags).code(), Some(0));
}
