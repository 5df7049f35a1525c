//! The endpoint with `[auth]`: tokens are judged, and stay where they are.

use crate::{
    audit::{lines, state},
    client::{VERSION, initialize},
    gateway::{Gateway, PATIENCE, Setup},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use mcplex_testkit::otlp::Receiver;
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use serde_json::{Value, json};
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

/// An authorization server: what it publishes, and what it signs with.
struct Issuer {
    url: String,
    pair: EcdsaKeyPair,
}

impl Issuer {
    /// Publishes its metadata and its keys until the test ends.
    fn start() -> Self {
        let random = SystemRandom::new();
        let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let der = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(kind, der.as_ref(), &random).unwrap();
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let key = json!({"kty": "EC", "crv": "P-256", "kid": "k", "x": text(x), "y": text(y)});
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let metadata = json!({ "issuer": url, "jwks_uri": format!("{url}/keys") });
        let keys = json!({ "keys": [key] });
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut line = String::new();
                BufReader::new(&stream).read_line(&mut line).unwrap();
                let body = match line.split(' ').nth(1) {
                    Some("/.well-known/oauth-authorization-server") => metadata.to_string(),
                    Some("/keys") => keys.to_string(),
                    _ => String::new(),
                };
                let status = if body.is_empty() { 404 } else { 200 };
                let length = body.len();
                let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n");
                // Who has asked may have left.
                drop(stream.write_all((head + &body).as_bytes()));
            }
        });
        Self { url, pair }
    }

    /// A token for a resource, good for five minutes, with some claims in other words.
    fn token(&self, resource: &str, changes: &Value) -> String {
        #[expect(clippy::disallowed_methods, reason = "a token ends in calendar time")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({
            "iss": self.url, "sub": "ada", "aud": resource, "exp": now + 300, "scope": "mcp",
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let header = json!({"alg": "ES256", "kid": "k", "typ": "at+jwt"});
        let part = |json: &Value| text(json.to_string().as_bytes());
        let signed = part(&header) + "." + &part(&claims);
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", text(signature.as_ref()))
    }

    fn setup(&self) -> Setup {
        let issuer = &self.url;
        Setup::new(&format!("[auth]\nissuers = [\"{issuer}\"]\nscopes = [\"mcp\"]"))
    }
}

fn text(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// One answer: its status, its header lines, and its body.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Sends one request and reads its whole answer.
fn ask(gateway: &Gateway, path: &str, headers: &[String], body: Option<&Value>) -> Answer {
    let url = gateway.url();
    let address = url.strip_prefix("http://").unwrap().split('/').next().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let method = if body.is_some() { "POST" } else { "GET" };
    let body = body.map(Value::to_string).unwrap_or_default();
    let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
         {headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

fn request(method: &str, params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

#[test]
fn only_who_shows_a_good_token_gets_in() {
    let issuer = Issuer::start();
    let gateway = issuer.setup().serve();
    let url = gateway.url();
    let hello = request("initialize", &initialize(&json!({})));
    let knock = |headers: &[String]| ask(&gateway, "/mcp", headers, Some(&hello));

    let place = url.replace("/mcp", "/.well-known/oauth-protected-resource/mcp");
    let challenge = format!("Bearer resource_metadata=\"{place}\", scope=\"mcp\"");
    let answer = knock(&[]);
    assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some(&*challenge)));
    let path = place.find("/.well-known").map(|at| &place[at..]).unwrap();
    for path in [path, "/.well-known/oauth-protected-resource"] {
        let answer = ask(&gateway, path, &[], None);
        let document: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!((answer.status, &document["resource"]), (200, &json!(url)));
        assert_eq!(document["authorization_servers"], json!([issuer.url]));
    }
    let good = issuer.token(&url, &json!({}));
    let check = |token: &str, status: u16, error: &str| {
        let answer = knock(&[bearer(token)]);
        let told = answer.header("www-authenticate").unwrap_or_default();
        let is_told = told.starts_with(&challenge) && told.contains(&format!("error=\"{error}\""));
        assert!(answer.status == status && is_told, "{} {told}", answer.status);
        assert!(!answer.head.contains(token) && !answer.body.contains(token));
    };
    check(&issuer.token("https://other.example/mcp", &json!({})), 401, "invalid_token");
    check(&issuer.token(&url, &json!({"iss": "http://127.0.0.1:1"})), 401, "invalid_token");
    check(&issuer.token(&url, &json!({"exp": 1})), 401, "invalid_token");
    check(&Issuer::start().token(&url, &json!({"iss": issuer.url})), 401, "invalid_token");
    check(&good[..good.len() - 4], 401, "invalid_token");
    check(&issuer.token(&url, &json!({"scope": "other"})), 403, "insufficient_scope");
    let answer = knock(&[bearer(&good)]);
    assert_eq!(answer.status, 200, "{}", answer.head);
    // In the URL it is none.
    assert_eq!(ask(&gateway, &format!("/mcp?access_token={good}"), &[], Some(&hello)).status, 401);

    let session = answer.header("mcp-session-id").unwrap();
    let again = [format!("Mcp-Session-Id: {session}"), format!("MCP-Protocol-Version: {VERSION}")];
    let ping = |token: Option<String>| {
        let headers = again.iter().cloned().chain(token.map(|token| bearer(&token)));
        let headers: Vec<_> = headers.collect();
        ask(&gateway, "/mcp", &headers, Some(&request("ping", &json!({})))).status
    };
    // A session is no proof of anything, and belongs to who opened it.
    assert_eq!(ping(None), 401);
    assert_eq!(ping(Some(issuer.token(&url, &json!({"sub": "bob"})))), 404);
    assert_eq!(ping(Some(issuer.token(&url, &json!({"exp": 4_000_000_000_u64})))), 200);
}

#[test]
fn who_is_let_in_and_who_is_not_stands_in_the_audit_log() {
    let issuer = Issuer::start();
    let mut setup = issuer.setup();
    setup.push("[audit]\nfile = \"audit.jsonl\"");
    let setup = setup.server("echo", &[]);
    let mut gateway = setup.serve();
    let url = gateway.url();
    gateway.wait_event("echo", "upstream connected");
    let hello = request("initialize", &initialize(&json!({})));
    let good = issuer.token(&url, &json!({}));
    let narrow = issuer.token(&url, &json!({"scope": "other"}));
    assert_eq!(ask(&gateway, "/mcp", &[bearer(&narrow)], Some(&hello)).status, 403);
    let answer = ask(&gateway, "/mcp", &[bearer(&good)], Some(&hello));
    let session = answer.header("mcp-session-id").unwrap();
    let headers = [
        format!("Mcp-Session-Id: {session}"),
        format!("MCP-Protocol-Version: {VERSION}"),
        bearer(&good),
    ];
    let call = request("tools/call", &json!({"name": "echo", "arguments": {}}));
    assert_eq!(ask(&gateway, "/mcp", &headers, Some(&call)).status, 200);
    assert_eq!(ask(&gateway, "/mcp", &headers[..2], Some(&call)).status, 401);
    let old = issuer.token(&url, &json!({"sub": "bob", "exp": 1}));
    let forged = Issuer::start().token(&url, &json!({"iss": issuer.url, "sub": "eve"}));
    for token in [old, forged] {
        assert_eq!(ask(&gateway, "/mcp", &[bearer(&token)], Some(&hello)).status, 401);
    }
    gateway.signal(rustix::process::Signal::TERM);
    assert!(gateway.ended().success());
    let text = lines(&state(&setup).join("audit.jsonl"));
    let all: Vec<Value> = text.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let principal = |line: &&Value| line["method"] == "tools/call";
    let made = all.iter().find(principal).unwrap();
    let name = made["principal"].as_str().unwrap();
    assert!(name.contains(&issuer.url) && name.contains("ada"), "{name}");
    let refused: Vec<_> = all.iter().filter(|line| line["status"].is_u64()).collect();
    let count: u64 = refused.iter().map(|line| line["count"].as_u64().unwrap()).sum();
    assert_eq!((count, &refused[0]["status"]), (4, &json!(403)), "{all:?}");
    // Who is known is named, and who only says so is not.
    let names: Vec<_> = refused.iter().filter_map(|line| line["principal"].as_str()).collect();
    assert!(names.len() == 2 && names[0].contains("ada") && names[1].contains("bob"), "{all:?}");
    assert!(refused.iter().all(|line| line["error"] == "mcplex.unauthorized"));
    assert!(!text.join("").contains(good.split('.').nth(1).unwrap()));
}

#[test]
fn a_token_goes_nowhere() {
    let (issuer, receiver) = (Issuer::start(), Receiver::start().unwrap());
    let mut setup = issuer.setup().server("echo", &["--record", "input"]);
    setup.push("[telemetry]\nlog = \"trace\"");
    let setup = setup
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.endpoint())
        .env("OTEL_BSP_SCHEDULE_DELAY", "20");
    let gateway = setup.serve();
    let url = gateway.url();
    let [good, bad] = [&url, "https://other.example"].map(|of| issuer.token(of, &json!({})));
    let hello = request("initialize", &initialize(&json!({})));
    assert_eq!(ask(&gateway, "/mcp", &[bearer(&bad)], Some(&hello)).status, 401);
    let answer = ask(&gateway, "/mcp", &[bearer(&good)], Some(&hello));
    let session = answer.header("mcp-session-id").unwrap();
    let headers = [
        format!("Mcp-Session-Id: {session}"),
        format!("MCP-Protocol-Version: {VERSION}"),
        bearer(&good),
    ];
    gateway.wait_event("echo", "upstream connected");
    let call = json!({"name": "echo", "arguments": {"text": "was here"}});
    let answer = ask(&gateway, "/mcp", &headers, Some(&request("tools/call", &call)));
    assert!(answer.body.contains("was here"), "{}", answer.body);
    gateway.wait_for("a token was refused");
    let spans = receiver
        .wait_for(PATIENCE, |spans| spans.iter().any(|span| span.name.starts_with("tools/call")));
    let input = setup.lines("input").join("\n");
    assert!(input.contains("was here"));
    let told = format!("{spans:?}\n{input}\n{}", gateway.said().join("\n"));
    for token in [&good, &bad] {
        // The header is the same in every token, and says nothing.
        for part in token.split('.').skip(1) {
            assert!(!told.contains(part), "{part}");
        }
    }
}
