use super::*;
use crate::{
    calls::Calls,
    control::Kept,
    crashes::{self, Crashes},
    events::{Event, Events},
    logs::{self, Logs},
    operator::{Operator, Refused, Reloaded, Setting, Verb},
    status::{Instance, UpstreamStatus},
};
use async_trait::async_trait;
use mcplex_proto::{report::CrashReport, trace::TraceContext, upstream::Health};
use serde_json::{Value, json};
use std::{sync::Mutex, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::{oneshot, watch},
    task::JoinHandle,
    time::timeout,
};

const TOKEN: &str = "0123456789abcdef";

/// One upstream that is as a test says.
#[derive(Debug)]
struct Still(Arc<Mutex<UpstreamStatus>>, watch::Sender<u64>);

#[async_trait]
impl Operator for Still {
    fn instance(&self) -> Instance {
        Instance::default()
    }

    fn upstreams(&self) -> Vec<UpstreamStatus> {
        vec![self.0.lock().unwrap().clone()]
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.1.subscribe()
    }

    async fn tell(&self, _: &str, _: Verb, _: Option<TraceContext>) {}

    async fn reload(&self) -> Result<Reloaded, Refused> {
        Ok(Reloaded::default())
    }

    fn configuration(&self) -> Vec<Setting> {
        vec![Setting { key: "gateway.listen".to_owned(), ..Setting::default() }]
    }

    fn patience(&self, _: &str) -> Duration {
        Duration::from_secs(1)
    }
}

/// Something served on a free port.
struct Served {
    address: SocketAddr,
    events: Events,
    status: Arc<Mutex<UpstreamStatus>>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Served {
    #[expect(clippy::disallowed_methods, reason = "the test waits for it at its end")]
    fn new(health: Health) -> Self {
        let limits = logs::Limits { size: 1 << 20, files: 1, total: 1 << 20 };
        let logs = Logs::open(None, limits).unwrap();
        let crashes = Crashes::open(None, crashes::Limits { reports: 5, total: 1 << 20 }).unwrap();
        let upstream = "files".to_owned();
        crashes.take(Arc::new(CrashReport { upstream, ..CrashReport::default() }));
        let events = Events::default();
        let status = UpstreamStatus {
            name: "files".to_owned(),
            health,
            incarnation: 1,
            ..UpstreamStatus::default()
        };
        let kept = Kept { crashes, logs, events: events.clone(), calls: Calls::begin() };
        let status = Arc::new(Mutex::new(status));
        let still = Still(Arc::clone(&status), watch::channel(0).0);
        let control = Control::new(Arc::new(still), kept)
            .with_metrics(Some(|| "mcplex_up 1\n".to_owned()))
            .with_dashboard(Some("a link with the token".to_owned()));
        let door = Door::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let hosts = vec!["panel.example".to_owned()];
        let web = Web::new(Arc::new(control), Token::new(TOKEN), hosts, &door);
        let (stop, stopped) = oneshot::channel();
        let address = door.address();
        let serving = tokio::spawn(web.serve(door, async {
            let _is_told = stopped.await.is_ok();
        }));
        Self { address, events, status, stop, serving }
    }

    async fn end(self) {
        self.stop.send(()).unwrap();
        self.serving.await.unwrap();
    }

    /// Sends a request with these headers, and gives what is open then.
    async fn send(&self, line: &str, headers: &[&str]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let mut text = format!("{line} HTTP/1.1\r\nConnection: close\r\n");
        for header in headers {
            text.push_str(header);
            text.push_str("\r\n");
        }
        text.push_str("\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    async fn ask(&self, line: &str, headers: &[&str]) -> (u16, String) {
        let mut stream = self.send(line, headers).await;
        let mut all = String::new();
        timeout(Duration::from_secs(20), stream.read_to_string(&mut all)).await.unwrap().unwrap();
        let status = all.split(' ').nth(1).unwrap().parse().unwrap();
        (status, all)
    }

    async fn told(&self, line: &str) -> (u16, String) {
        self.ask(line, &["Host: localhost", "Authorization: Bearer 0123456789abcdef"]).await
    }
}

/// Reads until a text has come.
async fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut all = String::new();
    let reading = async {
        let mut buffer = [0; 4096];
        while !all.contains(text) {
            let count = stream.read(&mut buffer).await.unwrap();
            assert!(count > 0, "the end came before {text:?}: {all}");
            all.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
    };
    timeout(Duration::from_secs(20), reading).await.unwrap();
    all
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

#[tokio::test]
async fn a_token_is_needed_but_for_monitors() {
    let served = Served::new(Health::Ready);
    let check = async |line: &str, headers: &[&str], expect: u16| {
        let (code, text) = served.ask(line, headers).await;
        assert_eq!(code, expect, "{line} {headers:?}: {text}");
        text
    };
    let host = "Host: 127.0.0.1";
    let good = "Authorization: Bearer 0123456789abcdef";
    check("GET /healthz", &[host], 200).await;
    check("GET /readyz", &[host], 200).await;
    let page = check("GET /", &[host], 200).await;
    let policy = "content-security-policy: default-src 'none'; script-src 'nonce-";
    assert!(page.contains(policy) && !page.contains(TOKEN), "{page}");
    let refused = check("GET /api/v1/status", &[host], 401).await;
    assert!(refused.contains("www-authenticate: Bearer"), "{refused}");
    check("GET /metrics", &[host], 401).await;
    // Nobody learns what there is.
    check("GET /nothing", &[host], 401).await;
    check("POST /api/v1/upstreams/files/stop", &[host], 401).await;
    check("GET /api/v1/status", &[host, "Authorization: Bearer 0123456789abcdeX"], 401).await;
    check("GET /api/v1/status", &[host, good, good], 401).await;
    let answer = check("GET /api/v1/status", &[host, good], 200).await;
    assert!(answer.contains("cache-control: no-store"), "{answer}");
    assert!(!answer.contains("a link with the token"), "{answer}");
    assert!(!answer.to_ascii_lowercase().contains("access-control"), "{answer}");
    served.end().await;
}

#[tokio::test]
async fn other_names_and_other_pages_get_nothing() {
    let served = Served::new(Health::Ready);
    let good = "Authorization: Bearer 0123456789abcdef";
    for (headers, expect) in [
        (vec!["Host: localhost:1", good], 200),
        (vec!["Host: [::1]:3101", good], 200),
        (vec!["Host: panel.example", good], 200),
        (vec!["Host: evil.example", good], 403),
        (vec!["Host: localhost.evil.example", good], 403),
        (vec!["Host: localhost", "Host: localhost", good], 403),
        (vec![good], 403),
        (vec!["Host: localhost:3101", "Origin: http://localhost:3101", good], 200),
        (vec!["Host: localhost:3101", "Origin: http://localhost:3000", good], 403),
        (vec!["Host: localhost:3101", "Origin: https://evil.example", good], 403),
        (vec!["Host: localhost:3101", "Origin: null", good], 403),
    ] {
        let (code, text) = served.ask("GET /api/v1/status", &headers).await;
        assert_eq!(code, expect, "{headers:?}: {text}");
    }
    let line = "GET http://evil.example/healthz";
    assert_eq!(served.ask(line, &["Host: localhost"]).await.0, 403);
    // What a browser asks before it lets a page of somebody else post.
    let asked = served
        .ask("OPTIONS /api/v1/reload", &["Host: localhost", "Origin: https://evil.example"])
        .await;
    assert_eq!(asked.0, 403);
    served.end().await;
}

/// Whether an answer has the kind and the members that are described, and no others.
#[track_caller]
fn assert_as_described(answer: &str, content: &Value, line: &str) {
    let (kind, media) = content.as_object().unwrap().iter().next().unwrap();
    let head = answer.split_once("\r\n\r\n").unwrap().0;
    assert!(head.contains(&format!("content-type: {kind}")), "{line}: {head}");
    if kind == "application/json" {
        let value: Value = serde_json::from_str(body(answer)).unwrap();
        fits(&value, &media["schema"], line);
    }
}

#[track_caller]
fn fits(value: &Value, schema: &Value, place: &str) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    // What may be null is described as anything.
    assert!(schema["type"].is_null() || schema["type"] == kind, "{place}: {value} is no {schema}");
    for item in value.as_array().into_iter().flatten() {
        fits(item, &schema["items"], place);
    }
    let Some(members) = value.as_object().filter(|_| schema["type"] == "object") else { return };
    for name in schema["required"].as_array().unwrap() {
        assert!(members.contains_key(name.as_str().unwrap()), "{place}: no {name} in {value}");
    }
    // The description itself is described by others.
    for (name, member) in members.iter().filter(|_| !place.ends_with("openapi.json")) {
        let known = &schema["properties"][name];
        assert!(!known.is_null(), "{place}: {name} is not described");
        fits(member, known, &format!("{place}/{name}"));
    }
}

#[tokio::test]
async fn methods_are_as_monitors_and_browsers_have_them() {
    let served = Served::new(Health::Ready);
    let (code, text) = served.told("HEAD /healthz").await;
    assert_eq!((code, body(&text)), (200, ""));
    assert!(text.contains("content-length: 3"), "{text}");
    for (line, methods) in [
        ("DELETE /api/v1/status", "GET, HEAD"),
        ("OPTIONS /api/v1/upstreams/files/logs", "GET, HEAD"),
        ("GET /api/v1/reload", "POST"),
        ("HEAD /api/v1/upstreams/files/stop?wait=perhaps", "POST"),
    ] {
        let (code, text) = served.told(line).await;
        assert_eq!(code, 405, "{line}: {text}");
        assert!(text.contains(&format!("allow: {methods}\r\n")), "{line}: {text}");
    }
    served.end().await;
}

#[tokio::test]
async fn all_that_is_described_answers() {
    let served = Served::new(Health::Ready);
    let (code, text) = served.told("GET /api/v1/openapi.json").await;
    assert_eq!(code, 200);
    let described: Value = serde_json::from_str(body(&text)).unwrap();
    let mut count = 0;
    for (path, at) in described["paths"].as_object().unwrap() {
        // To stop what runs would have to wait for its effect, which this one never shows.
        let path = path.replace("{upstream}", "files").replace("{number}", "1");
        let path = path.replace("{verb}", "start");
        for method in at.as_object().unwrap().keys() {
            let line = format!("{} {path}", method.to_ascii_uppercase());
            count += 1;
            if path.ends_with("/events") {
                let headers = ["Host: localhost", "Authorization: Bearer 0123456789abcdef"];
                let mut stream = served.send(&line, &headers).await;
                let answer = read_until(&mut stream, ": listening").await;
                assert!(answer.starts_with("HTTP/1.1 200"), "{line}: {answer}");
                continue;
            }
            let (code, text) = served.told(&line).await;
            assert_eq!(code, 200, "{line}: {text}");
            let said = &at[method]["responses"]["200"]["content"];
            assert_as_described(&text, said, &line);
        }
    }
    // What goes wrong is described as well.
    for (line, expect) in [
        ("GET /api/v1/upstreams/nobody", 404),
        ("GET /api/v1/crashes/files/99", 404),
        ("GET /api/v1/upstreams/files/logs?lines=-1", 400),
        ("GET /api/v1/upstreams/files/logs?follow=perhaps", 400),
        ("GET /api/v1/tools?by=day", 400),
        ("POST /api/v1/upstreams/files/start?wait=perhaps", 400),
        ("PUT /api/v1/reload", 405),
        ("GET /api/v1/nothing", 404),
    ] {
        let (code, text) = served.told(line).await;
        assert_eq!(code, expect, "{line}: {text}");
        let error = json!({ "application/json": { "schema": described["components"]["schemas"]["Error"] } });
        assert_as_described(&text, &error, line);
    }
    assert!(count > 15, "{count}");
    served.end().await;
}

#[tokio::test]
async fn events_are_heard_as_they_happen() {
    let served = Served::new(Health::Ready);
    let headers = ["Host: localhost", "Authorization: Bearer 0123456789abcdef"];
    let mut stream = served.send("GET /api/v1/events", &headers).await;
    let head = read_until(&mut stream, ": listening").await;
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    let upstream = "files".to_owned();
    served.events.tell(Event { upstream, incarnation: 7, ..Event::default() });
    let event = read_until(&mut stream, "\n\n").await;
    assert!(event.contains("-1\nevent: changed\ndata: {"), "{event}");
    assert!(event.contains(r#""incarnation":7"#), "{event}");
    // Whoever was cut off says which one was the last.
    let id = event.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
    let upstream = "files".to_owned();
    served.events.tell(Event { upstream, incarnation: 8, ..Event::default() });
    let last = format!("Last-Event-ID: {id}");
    let mut again = served.send("GET /api/v1/events", &[&headers[..], &[&last]].concat()).await;
    let event = read_until(&mut again, "}\n\n").await;
    assert!(
        event.contains("-2\nevent: changed") && event.contains(r#""incarnation":8"#),
        "{event}"
    );
    let (_, past) = served.told("GET /api/v1/timeline?upstream=files").await;
    assert!(past.contains(r#""incarnation":7"#), "{past}");
    served.end().await;
}

#[tokio::test]
async fn it_is_ready_once_the_first_starts_are_over() {
    let served = Served::new(Health::Recovering);
    let (code, text) = served.ask("GET /readyz", &["Host: localhost"]).await;
    assert_eq!((code, body(&text)), (503, r#"{"ready":false,"starting":1}"#));
    let ready = async || served.ask("GET /readyz", &["Host: localhost"]).await.0;
    // A child that was made for a client is none of the first.
    served.status.lock().unwrap().member = Some("files/s1".to_owned());
    assert_eq!(ready().await, 200);
    // Nor is one that a reload has added later.
    served.status.lock().unwrap().member = None;
    assert_eq!(ready().await, 200);
    assert_eq!(served.ask("GET /healthz", &["Host: localhost"]).await.0, 200);
    served.end().await;
}
