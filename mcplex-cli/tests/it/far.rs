//! Servers that mcplex does not start: reached over HTTP, and supervised like all others.

use crate::{
    client::{Client, text},
    gateway::{Gateway, PATIENCE, Setup},
    verbs::{ok, status},
};
use rustix::process::Signal;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead as _, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// The wait between two lives; the rules of the breaker stay as they are.
const FAST: &str = "backoff_first = \"150ms\"\nbackoff_factor = 1";

/// What an HTTP server does with a message.
pub(crate) enum Reply {
    Result(Value),
    Status(u16),
    /// Nothing, and the connection stays open.
    Never,
}

/// A small HTTP server.
#[derive(Clone)]
pub(crate) struct Far {
    addr: SocketAddr,
    /// The requests, as they came.
    seen: Arc<Mutex<Vec<String>>>,
}

impl Far {
    /// Answers each message by its method, and each stream with 405.
    pub(crate) fn start(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let far = Self { addr: listener.local_addr().unwrap(), seen: Arc::default() };
        let (seen, answer) = (Arc::clone(&far.seen), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                thread::spawn(move || serve(stream, &seen, &*answer));
            }
        });
        far
    }

    /// The same with TLS, and the certificate to trust.
    fn start_tls() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let far = Self { addr: listener.local_addr().unwrap(), seen: Arc::default() };
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .unwrap();
        let (seen, config) = (Arc::clone(&far.seen), Arc::new(config));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (seen, config) = (Arc::clone(&seen), Arc::clone(&config));
                let tls = ServerConnection::new(config).unwrap();
                thread::spawn(move || serve(StreamOwned::new(tls, stream), &seen, &well));
            }
        });
        (far, made.cert.pem())
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.addr)
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

fn serve(stream: impl Read + Write, seen: &Mutex<Vec<String>>, answer: &dyn Fn(&str) -> Reply) {
    let mut reader = BufReader::new(stream);
    while let Some((head, body)) = read(&mut reader) {
        seen.lock().unwrap().push(format!("{head}\n{body}"));
        let message: Value = serde_json::from_str(&body).unwrap_or_default();
        let reply = match message["method"].as_str() {
            Some(method) if !message["id"].is_null() => answer(method),
            Some(_) => Reply::Status(202),
            None => Reply::Status(405),
        };
        let (status, body) = match reply {
            Reply::Result(result) => (
                200,
                json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }).to_string(),
            ),
            Reply::Status(status) => (status, String::new()),
            Reply::Never => continue,
        };
        let text = format!(
            "HTTP/1.1 {status} Any\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        if reader.get_mut().write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

/// The next request of a connection: its head and its body.
pub(crate) fn read(reader: &mut BufReader<impl Read>) -> Option<(String, String)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let lower = head.to_ascii_lowercase();
    let length = lower.lines().find_map(|line| line.strip_prefix("content-length:"));
    let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8(body).unwrap()))
}

/// What every server says that has one tool.
pub(crate) fn well(method: &str) -> Reply {
    Reply::Result(match method {
        "initialize" => json!({
            "protocolVersion": "2025-11-25",
            "capabilities": { "tools": {} },
            "serverInfo": { "name": "far", "version": "1" },
        }),
        "tools/list" => json!({ "tools": [{ "name": "go", "inputSchema": { "type": "object" } }] }),
        "tools/call" => json!({ "content": [{ "type": "text", "text": "gone" }] }),
        "ping" => json!({}),
        _ => return Reply::Status(404),
    })
}

/// An mcplex with one server, which is there.
fn setup(url: &str, more: &str) -> Setup {
    Setup::new(&format!("[[servers]]\nname = \"far\"\nurl = \"{url}\"\n{more}"))
}

/// An mcplex that serves on a fixed port, once it is known.
fn inner(setup: &Setup, listen: &str) -> Gateway {
    setup.start(&["serve", "--listen", listen], Stdio::null())
}

#[test]
fn a_server_elsewhere_is_served_and_outlived_like_any_other() {
    for era in ["legacy", "modern"] {
        is_served_and_outlived(era);
    }
}

fn is_served_and_outlived(era: &str) {
    let one = Setup::new("").server("one", &[]);
    let mut behind = inner(&one, "127.0.0.1:0");
    let url = behind.url();
    let setup = setup(&url, &format!("{FAST}\nera = \"{era}\""));
    let gateway = setup.serve();
    let mut client = gateway.client_of(&["add", "progress"]);
    assert_eq!(gateway.wait_event("far", "upstream connected")["era"], era);
    let sum = json!({ "a": 1, "b": 2 });
    assert_eq!(text(&client.call("add", &sum)), "3");
    // Its messages arrive with the call that they are about.
    let params = json!({ "name": "progress", "arguments": { "steps": 5 }, "_meta": { "progressToken": "p" } });
    let call = client.begin("tools/call", &params);
    assert_eq!(call.next_of("notifications/progress")["params"]["progressToken"], "p");
    assert!(call.answer()["error"].is_null());
    let row = status(&setup, "far");
    assert_eq!((&row["url"], &row["pid"]), (&json!(url), &Value::Null));
    assert!(ok(&setup, &["status"]).contains(url.strip_prefix("http://").unwrap()));

    // Killed, it is a death like any other, and noticed by the end of its stream.
    behind.signal(Signal::KILL);
    behind.ended();
    let died = gateway.wait_event("far", "upstream died");
    let reason = format!("{url} can no longer be reached");
    assert!(died["reason"].as_str().unwrap().starts_with(&reason), "{died}");
    gateway.wait_event("far", "upstream will be started again");
    // There again, it is found again.
    let listen = url.strip_prefix("http://").unwrap().split('/').next().unwrap();
    let behind = inner(&one, listen);
    assert_eq!(behind.url(), url);
    gateway.wait_events("far", "upstream connected", 2);
    client.wait_for_tools(&["add"]);
    assert_eq!(text(&client.call("add", &sum)), "3");
}

#[test]
fn a_server_that_is_not_there_trips_after_six_refusals_and_recovers_when_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    drop(listener);
    let gateway = setup(&url, FAST).serve();
    let trip = gateway.wait_event("far", "upstream tripped");
    let reason = trip["reason"].as_str().unwrap();
    for part in ["6 deaths in 60 s", &format!("{url} cannot be reached"), "start the server"] {
        assert!(reason.contains(part), "{part:?} is not in {reason}");
    }
    assert_eq!(gateway.events("far", "upstream died").len(), 6);

    let behind = inner(&Setup::new("").server("one", &[]), &url["http://".len()..url.len() - 4]);
    assert_eq!(behind.url(), url);
    gateway.signal(Signal::USR1);
    gateway.wait_event("far", "upstream reset");
    assert_eq!(text(&gateway.client_of(&["add"]).call("add", &json!({ "a": 1, "b": 2 }))), "3");
}

#[test]
fn a_server_that_wants_credentials_is_asked_once_and_says_where() {
    let far = Far::start(|_| Reply::Status(401));
    let gateway = setup(&far.url(), FAST).serve();
    let trip = gateway.wait_event("far", "upstream tripped");
    let reason = trip["reason"].as_str().unwrap();
    for part in [&far.url(), "401", "headers = { Authorization = "] {
        assert!(reason.contains(part), "{part:?} is not in {reason}");
    }
    assert_eq!(gateway.events("far", "upstream died").len(), 1);
    assert_eq!(far.seen().len(), 1, "no second try would help");
}

#[test]
fn a_server_that_fails_call_by_call_stays_up() {
    let far = Far::start(|method| match method {
        "tools/call" => Reply::Status(500),
        _ => well(method),
    });
    let gateway = setup(&far.url(), FAST).serve();
    let mut client = gateway.client_of(&["go"]);
    for _ in 0..20 {
        let answer = client.request("tools/call", &json!({ "name": "go", "arguments": {} }));
        assert_eq!(answer["error"]["code"], -32603, "{answer}");
        assert_eq!(answer["error"]["data"]["status"], 500, "{answer}");
    }
    assert_eq!(gateway.events("far", "upstream died").len(), 0);
    // While it opens there is no call to blame, and what answers is there.
    let far = Far::start(|_| Reply::Status(503));
    let gateway = setup(&far.url(), FAST).serve();
    let reason = gateway.wait_event("far", "upstream tripped");
    let reason = reason["reason"].as_str().unwrap();
    for part in ["503", "answers, but opens no session", "look into the log of that server"] {
        assert!(reason.contains(part), "{part:?} is not in {reason}");
    }
    assert!(!reason.contains("start the server"), "{reason}");
}

#[test]
fn a_call_that_is_refused_for_who_asks_leaves_its_server_up() {
    let far = Far::start(|method| match method {
        "tools/call" => Reply::Status(401),
        _ => well(method),
    });
    let gateway = setup(&far.url(), FAST).serve();
    let mut client = gateway.client_of(&["go"]);
    for _ in 0..10 {
        let answer = client.request("tools/call", &json!({ "name": "go", "arguments": {} }));
        let error = &answer["error"];
        assert_eq!((&error["code"], &error["data"]["safeToRetry"]), (&json!(-32603), &json!(true)));
        assert!(error["message"].as_str().unwrap().contains("give it credentials"), "{error}");
    }
    assert_eq!(gateway.events("far", "upstream died").len(), 0);
    assert_eq!(gateway.events("far", "upstream tripped").len(), 0);
}

#[test]
fn a_modern_server_that_becomes_an_older_one_is_asked_anew() {
    let is_old = Arc::new(AtomicBool::new(false));
    let is_open = AtomicBool::new(false);
    let far = Far::start({
        let is_old = Arc::clone(&is_old);
        move |method| match (method, is_old.load(Ordering::SeqCst)) {
            ("server/discover", false) => Reply::Result(json!({
                "resultType": "complete", "supportedVersions": ["2026-07-28"],
                "capabilities": { "tools": {} }, "ttlMs": 0, "cacheScope": "private",
            })),
            ("initialize", true) => {
                is_open.store(true, Ordering::SeqCst);
                well(method)
            }
            (_, true) if !is_open.load(Ordering::SeqCst) => Reply::Status(400),
            _ => well(method),
        }
    });
    let gateway = setup(&far.url(), FAST).serve();
    let mut client = gateway.client_of(&["go"]);
    assert_eq!(gateway.wait_event("far", "upstream connected")["era"], "modern");
    assert_eq!(text(&client.call("go", &json!({}))), "gone");
    is_old.store(true, Ordering::SeqCst);
    let answer = client.request("tools/call", &json!({ "name": "go", "arguments": {} }));
    assert_eq!(answer["error"]["data"]["status"], 400, "{answer}");
    let died = gateway.wait_event("far", "upstream died");
    assert_eq!(died["reason"], "it no longer answers as a server of 2026-07-28");
    assert_eq!(gateway.wait_events("far", "upstream connected", 2)[1]["era"], "legacy");
    assert_eq!(text(&client.call("go", &json!({}))), "gone");
    assert_eq!(gateway.events("far", "upstream died").len(), 1);
}

#[test]
fn a_server_that_hangs_is_found_by_the_probe() {
    let far = Far::start(|method| match method {
        "ping" => Reply::Never,
        _ => well(method),
    });
    let probe = "probe_every = \"200ms\"\nprobe_timeout = \"200ms\"\nprobe_misses = 2";
    let gateway = setup(&far.url(), &format!("{FAST}\n{probe}")).serve();
    let died = gateway.wait_event("far", "upstream died");
    assert_eq!(died["reason"], "it was idle and answered no ping");
    gateway.wait_events("far", "upstream connected", 2);
}

#[test]
fn a_server_with_tls_is_trusted_as_the_system_does() {
    let (far, pem) = Far::start_tls();
    let url = format!("https://localhost:{}/mcp", far.addr.port());
    let setup = setup(&url, FAST);
    let stranger = setup.serve();
    let died = stranger.wait_event("far", "upstream died");
    let reason = died["reason"].as_str().unwrap();
    assert!(reason.starts_with(&format!("{url} cannot be reached (invalid peer")), "{reason}");
    assert!(far.seen().is_empty(), "nothing is told to a server that nobody knows");
    drop(stranger);
    fs::write(setup.file("roots.pem"), pem).unwrap();
    let roots = setup.path("roots.pem");
    let gateway = setup.env("SSL_CERT_FILE", &roots).serve();
    assert_eq!(text(&gateway.client_of(&["go"]).call("go", &json!({}))), "gone");
    assert!(!far.seen().is_empty());
}

#[test]
fn what_a_server_elsewhere_asks_goes_to_the_client_of_the_call() {
    let behind = Setup::new("").server("curious", &[]).serve();
    // In a session; the question comes on the stream of the call.
    let gateway = setup(&behind.url(), "era = \"legacy\"").serve();
    let able = json!({ "sampling": {} });
    let mut others: Vec<_> = (0..2).map(|_| Client::connect_with(&gateway.url(), &able)).collect();
    let mut client = Client::connect_with(&gateway.url(), &able);
    client.wait_for_tools(&["sample"]);
    let streams: Vec<_> = others.iter_mut().map(|other| other.listen()).collect();
    let pending = client.begin_call("sample", &json!({}));
    let question = pending.next_of("sampling/createMessage");
    let content = json!({ "type": "text", "text": "hello back" });
    let answer = json!({ "role": "assistant", "content": content, "model": "m" });
    client.respond(&question["id"], &answer);
    let heard: Value = serde_json::from_str(text(&pending.answer()["result"])).unwrap();
    assert_eq!(heard, answer);
    let strays = streams.iter().flat_map(crate::client::Pending::rest);
    let strays: Vec<_> =
        strays.filter(|message| message["method"] == "sampling/createMessage").collect();
    assert!(strays.is_empty(), "{strays:?}");
}

/// Posts with a header of the client's own, and gives the response as it came.
fn post(url: &str, session: &str, body: &Value) -> String {
    let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let body = body.to_string();
    let request = format!(
        "POST /{path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nAuthorization: Bearer of-the-client\r\n\
         Cookie: a=of-the-client\r\n{session}Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

#[test]
fn what_a_client_proves_itself_with_goes_to_nobody_and_what_we_do_into_no_log() {
    let far = Far::start(well);
    let headers = "headers = { Authorization = \"Bearer ${TOKEN}\", X-Team = \"blue\" }";
    let mut setup = setup(&format!("{}?key=in-the-query", far.url()), headers);
    setup.push("[telemetry]\nlog = \"trace\"");
    let setup = setup.env("TOKEN", "of-the-gateway");
    let gateway = setup.serve();
    let url = gateway.url();
    gateway.client_of(&["go"]);
    let hello = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": crate::client::initialize(&json!({})) });
    let opened = post(&url, "", &hello);
    let id = opened.lines().find_map(|line| line.strip_prefix("mcp-session-id: ")).unwrap();
    let session = format!("Mcp-Session-Id: {id}\r\nMCP-Protocol-Version: 2025-11-25\r\n");
    let call =
        json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": { "name": "go" } });
    assert!(post(&url, &session, &call).contains("gone"));
    let seen = far.seen();
    assert!(seen.iter().any(|request| request.contains("tools/call")));
    for request in &seen {
        let lower = request.to_ascii_lowercase();
        assert!(lower.contains("authorization: bearer of-the-gateway\r\n"), "{request}");
        assert!(lower.contains("x-team: blue\r\n"), "{request}");
        assert!(
            lower.starts_with("post /mcp?key=in-the-query") || lower.starts_with("get /mcp?key")
        );
        assert!(!request.contains("of-the-client"), "{request}");
    }
    let shown = [
        ok(&setup, &["status", "--json"]),
        ok(&setup, &["check"]),
        ok(&setup, &["check", "--json"]),
    ];
    for text in gateway.said().iter().chain(&shown) {
        for secret in ["of-the-gateway", "of-the-client", "in-the-query"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    assert!(shown[1].contains(&format!("  at     {}\n  with   Authorization, X-Team", far.url())));
}
