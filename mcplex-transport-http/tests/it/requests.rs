//! Requests that are served, and those that are not.

use crate::{
    gateway::Server,
    peer::{LATEST, call, initialize, result},
};
use mcplex_transport_http::Options;

#[tokio::test]
async fn notifications_and_responses_are_accepted_without_a_body() {
    let mut server = Server::start(Options::default());
    let mut peer = server.open(LATEST).await;
    let (head, body) = peer.post(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
    assert_eq!((head.status, head.get("content-length"), &*body), (202, "0", ""));
    assert_eq!(server.saw().await, "notification notifications/initialized");
    let (head, body) = peer.post(&result("3", "{}")).await;
    assert_eq!((head.status, &*body), (202, ""));
    assert_eq!(server.saw().await, "response 3");
}

#[tokio::test]
async fn bytes_that_are_no_message_are_refused() {
    let server = Server::start(Options::default());
    let mut peer = server.open(LATEST).await;
    for (body, code) in [
        ("nonsense", "-32700"),
        ("", "-32700"),
        ("[1,", "-32700"),
        ("[]", "-32600"),
        ("{}", "-32600"),
        (r#"{"jsonrpc":"2.0","id":null,"method":"echo"}"#, "-32600"),
        (r#"{"jsonrpc":"2.0","id":1.5,"method":"echo"}"#, "-32600"),
        (r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"a"}}"#, "-32600"),
    ] {
        let (head, answer) = peer.post(body).await;
        assert_eq!((head.status, head.get("content-type")), (400, "application/json"), "{body}");
        assert!(answer.contains(code) && !answer.contains(r#""id""#), "{body}: {answer}");
    }
}

#[tokio::test]
async fn a_mark_before_a_body_is_no_part_of_it() {
    let server = Server::start(Options::default());
    let mut peer = server.open(LATEST).await;
    let (head, answer) = peer.post(&format!("\u{feff}{}", call("1", "echo", "{}"))).await;
    assert_eq!((head.status, answer), (200, result("1", "{}")));
}

#[tokio::test]
async fn other_paths_are_not_found() {
    let server = Server::start(Options::default());
    let mut peer = server.connect().await;
    peer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(peer.response().await.0.status, 404);
}

#[tokio::test]
async fn other_methods_are_told_which_there_are() {
    let server = Server::start(Options::default());
    let mut peer = server.open(LATEST).await;
    for method in ["PUT", "PATCH", "OPTIONS"] {
        let (head, _) = peer.ask(method, &[], "").await;
        assert_eq!((head.status, head.get("allow")), (405, "GET, POST, DELETE"), "{method}");
    }
}

#[tokio::test]
async fn a_client_must_read_what_we_write() {
    let server = Server::start(Options::default());
    let mut peer = server.open(LATEST).await;
    let body = call("1", "echo", "{}");
    assert_eq!(peer.ask("POST", &["Accept: text/html"], &body).await.0.status, 406);
    assert_eq!(peer.ask("GET", &["Accept: application/json"], "").await.0.status, 406);
    assert_eq!(peer.ask("POST", &["Accept: */*"], &body).await.0.status, 200);
}

#[tokio::test]
async fn a_client_must_write_json() {
    let server = Server::start(Options::default());
    let mut peer = server.open(LATEST).await;
    let body = call("1", "echo", "{}");
    assert_eq!(peer.ask("POST", &["Content-Type: text/plain"], &body).await.0.status, 415);
    for charset in ["utf-8", "\"UTF-8\"", "us-ascii"] {
        let charset = format!("Content-Type: application/json; charset={charset}");
        assert_eq!(peer.ask("POST", &[&charset], &body).await.0.status, 200, "{charset}");
    }
    let charset = ["Content-Type: application/json; charset=utf-16"];
    let (head, why) = peer.ask("POST", &charset, &body).await;
    assert!(head.status == 415 && why.contains("utf-16"), "{why}");
}

#[tokio::test]
async fn a_body_that_was_compressed_is_refused_by_name() {
    let server = Server::start(Options::default());
    let mut peer = server.open(LATEST).await;
    let body = call("1", "echo", "{}");
    assert_eq!(peer.ask("POST", &["Content-Encoding: identity"], &body).await.0.status, 200);
    let (head, why) = peer.ask("POST", &["Content-Encoding: gzip"], &body).await;
    assert_eq!((head.status, head.get("accept-encoding")), (415, "identity"));
    assert!(why.contains("gzip"), "{why}");
}

#[tokio::test]
async fn a_page_of_an_origin_that_was_named_may_use_the_endpoint() {
    let server = Server::start(Options {
        allowed_origins: vec!["https://app.example".to_owned()],
        ..Options::default()
    });
    let mut peer = server.connect().await;
    // The browser asks before the page may, and shows no credentials with it.
    let asks = [
        "Access-Control-Request-Method: POST",
        "Access-Control-Request-Headers: content-type,mcp-method,mcp-param-x,authorization",
    ];
    let of = |origin: &str| format!("Origin: {origin}");
    let app = of("https://app.example");
    let (head, body) = peer.ask("OPTIONS", &[&app, asks[0], asks[1]], "").await;
    assert_eq!((head.status, &*body), (204, ""));
    assert_eq!(head.get("access-control-allow-origin"), "https://app.example");
    assert_eq!(head.get("access-control-allow-methods"), "GET, POST, DELETE");
    assert_eq!(
        head.get("access-control-allow-headers"),
        "content-type,mcp-method,mcp-param-x,authorization"
    );
    assert_eq!(head.get("vary"), "origin");
    // What comes then may be read, and so may a refusal.
    let (head, _) = peer.ask("POST", &[&app], &initialize(LATEST)).await;
    assert_eq!(
        (head.status, head.get("access-control-allow-origin")),
        (200, "https://app.example")
    );
    assert!(head.get("access-control-expose-headers").contains("Mcp-Session-Id"));
    let (head, _) = peer.ask("POST", &[&app], "nonsense").await;
    assert_eq!(
        (head.status, head.get("access-control-allow-origin")),
        (400, "https://app.example")
    );
    // Nobody else is told anything, also none of this machine.
    for (origin, status) in [("https://evil.example", 403), ("http://localhost:6274", 405)] {
        let (head, _) = peer.ask("OPTIONS", &[&of(origin), asks[0], asks[1]], "").await;
        assert_eq!((head.status, head.get("access-control-allow-origin")), (status, ""));
    }
    let (head, _) = peer.ask("POST", &[&of("http://localhost:6274")], &initialize(LATEST)).await;
    assert_eq!((head.status, head.get("access-control-allow-origin")), (200, ""));
    // An OPTIONS that asks for nothing is one method too many.
    assert_eq!(peer.ask("OPTIONS", &[&app], "").await.0.status, 405);
    // A name that was rebound gets nothing, whoever asks.
    let (head, _) = peer.ask("OPTIONS", &["Host: evil.example", &app, asks[0]], "").await;
    assert_eq!(head.status, 403);
}

#[tokio::test]
async fn foreign_pages_and_rebound_names_are_refused_before_anything_else() {
    let server = Server::start(Options {
        allowed_origins: vec!["https://app.example".to_owned()],
        allowed_hosts: vec!["box.lan".to_owned()],
        ..Options::default()
    });
    let mut peer = server.connect().await;
    for (header, status) in [
        ("Origin: https://evil.example", 403),
        ("Origin: null", 403),
        ("Host: evil.example", 403),
        ("Host: evil.example:80", 403),
        ("Origin: https://app.example", 200),
        ("Origin: http://localhost:6274", 200),
        ("Host: box.lan:8080", 200),
        ("Host: 127.0.0.1:1", 200),
    ] {
        let (head, body) = peer.ask("POST", &[header], &initialize(LATEST)).await;
        assert_eq!(head.status, status, "{header}: {body}");
    }
    let (head, _) = peer.ask("GET", &["Origin: https://evil.example"], "").await;
    assert_eq!(head.status, 403);
}

#[tokio::test]
async fn a_cancelled_call_has_no_answer() {
    let server = Server::start(Options::default());
    let mut peer = server.open(LATEST).await;
    let (head, body) = peer.post(&call("1", "cancelled", "{}")).await;
    assert_eq!((head.status, &*body), (202, ""));
    peer.stream("POST", &["Accept: text/event-stream"], &call("1", "cancelled", "{}")).await;
    assert_eq!(peer.event().await.unwrap().id, "3-0");
    assert_eq!(peer.event().await, None);
}

#[tokio::test]
async fn a_bug_behind_us_ends_one_connection_and_nothing_else() {
    let server = Server::start(Options::default());
    let mut peer = server.open(LATEST).await;
    peer.request("POST", &[], &call("1", "bug", "{}")).await;
    assert!(peer.is_closed().await);
    let mut other = server.connect().await;
    other.session.clone_from(&peer.session);
    assert_eq!(other.post(&call("2", "echo", "{}")).await.0.status, 200);
}

#[tokio::test]
async fn a_large_answer_arrives_whole() {
    let server = Server::start(Options::default());
    let mut peer = server.open(LATEST).await;
    let (head, body) = peer.post(&call("1", "large", "{}")).await;
    assert_eq!((head.status, body.len()), (200, 300_000 + result("1", "\"\"").len()));
    let params = format!(r#"{{"text":"{}"}}"#, "y".repeat(2_000_000));
    let (head, body) = peer.post(&call("2", "echo", &params)).await;
    assert_eq!(head.status, 200);
    assert!(body == result("2", &params));
}
