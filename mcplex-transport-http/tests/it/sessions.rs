//! Sessions: how they open, how they are named, how they end.

use crate::{
    gateway::Server,
    peer::{LATEST, call, initialize, result},
};
use mcplex_transport_http::Options;
use std::time::Duration;

#[tokio::test]
async fn initialize_opens_a_session_and_later_requests_name_it() {
    let server = Server::start(Options::default());
    let mut peer = server.connect().await;
    let (head, body) = peer.post(&initialize(LATEST)).await;
    assert_eq!((head.status, head.get("content-type")), (200, "application/json"));
    assert_eq!(body, result("0", "{}"));
    peer.session = head.get("mcp-session-id").to_owned();
    assert_eq!(peer.session.len(), 32);
    let (head, body) = peer.post(&call("1", "echo", r#"{"n":1.50}"#)).await;
    assert_eq!((head.status, body), (200, result("1", r#"{"n":1.50}"#)));
    assert_eq!(server.world.client(0).network(), "tcp");
}

#[tokio::test]
async fn a_refused_initialize_leaves_no_session() {
    let mut server = Server::start(Options { max_sessions: 1, ..Options::default() });
    let mut peer = server.connect().await;
    let (head, body) = peer.post(&initialize("refuse")).await;
    assert_eq!((head.status, head.get("mcp-session-id")), (200, ""));
    assert!(body.contains("-32603"), "{body}");
    assert_eq!(server.saw().await, "close");
    peer.initialize(LATEST).await;
}

#[tokio::test]
async fn a_request_without_a_session_is_refused_by_name() {
    let server = Server::start(Options::default());
    let mut peer = server.connect().await;
    let (head, body) = peer.post(&call("\"a\"", "echo", "{}")).await;
    assert_eq!(head.status, 400);
    assert!(body.contains(r#""id":"a""#) && body.contains("-32600"), "{body}");
    assert_eq!(peer.ask("GET", &[], "").await.0.status, 400);
    assert_eq!(peer.ask("DELETE", &[], "").await.0.status, 400);
}

#[tokio::test]
async fn a_request_that_names_two_sessions_is_of_none() {
    let server = Server::start(Options::default());
    let mut peer = server.open(LATEST).await;
    let (head, body) =
        peer.ask("POST", &["mcp-session-id: another"], &call("1", "echo", "{}")).await;
    assert_eq!(head.status, 400);
    assert!(body.contains("twice"), "{body}");
}

#[tokio::test]
async fn an_unknown_session_is_not_found() {
    let server = Server::start(Options::default());
    let mut peer = server.connect().await;
    peer.session = "0123456789abcdef0123456789abcdef".to_owned();
    for method in ["POST", "GET", "DELETE"] {
        let message = if method == "POST" { call("5", "echo", "{}") } else { String::new() };
        let (head, body) = peer.ask(method, &[], &message).await;
        assert_eq!(head.status, 404, "{method}");
        assert!(body.contains("no such session"), "{body}");
    }
    let note = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    assert_eq!(peer.post(note).await.0.status, 404);
}

#[tokio::test]
async fn a_client_with_a_forgotten_session_can_open_a_new_one_but_not_a_second() {
    let server = Server::start(Options::default());
    let mut peer = server.connect().await;
    peer.session = "gone".to_owned();
    peer.initialize(LATEST).await;
    let (head, body) = peer.post(&initialize(LATEST)).await;
    assert_eq!(head.status, 400, "{body}");
}

#[tokio::test]
async fn delete_ends_the_session() {
    let mut server = Server::start(Options::default());
    let mut peer = server.open(LATEST).await;
    let (head, _) = peer.ask("DELETE", &[], "").await;
    assert_eq!(head.status, 204);
    assert_eq!(server.saw().await, "close");
    assert_eq!(peer.post(&call("1", "echo", "{}")).await.0.status, 404);
}

#[tokio::test]
async fn delete_ends_streams_and_calls() {
    let mut server = Server::start(Options::default());
    let mut peer = server.open(LATEST).await;
    let (mut waiting, mut stream) = (server.connect().await, server.connect().await);
    waiting.session.clone_from(&peer.session);
    stream.session.clone_from(&peer.session);
    stream.stream("GET", &[], "").await;
    assert_eq!(stream.event().await.unwrap().id, "0-0");
    waiting.request("POST", &[], &call("1", "hold", "{}")).await;
    assert_eq!(server.saw().await, "hold 1");
    assert_eq!(peer.ask("DELETE", &[], "").await.0.status, 204);
    assert_eq!(server.saw().await, "close");
    assert_eq!(stream.event().await, None);
    assert_eq!(waiting.response().await.0.status, 404);
}

#[tokio::test]
async fn the_version_header_must_name_a_revision_with_sessions_if_it_is_there() {
    let server = Server::start(Options::default());
    let mut peer = server.open("2025-06-18").await;
    for (header, status) in [
        ("Mcp-Protocol-Version: 2025-06-18", 200),
        ("Mcp-Protocol-Version: 2025-11-25", 200),
        ("Mcp-Protocol-Version: 2026-07-28", 400),
        ("Mcp-Protocol-Version: nonsense", 400),
        ("X-Other: 1", 200),
    ] {
        let (head, _) = peer.ask("POST", &[header], &call("1", "echo", "{}")).await;
        assert_eq!(head.status, status, "{header}");
    }
    let two = ["Mcp-Protocol-Version: 2025-06-18", "Mcp-Protocol-Version: 1999-01-01"];
    assert_eq!(peer.ask("POST", &two, &call("1", "echo", "{}")).await.0.status, 400);
    let wrong = ["Mcp-Protocol-Version: 1999-01-01"];
    assert_eq!(peer.ask("GET", &wrong, "").await.0.status, 400);
    assert_eq!(peer.ask("DELETE", &wrong, "").await.0.status, 400);
}

#[tokio::test]
async fn sessions_do_not_see_each_other() {
    let server = Server::start(Options::default());
    let (mut one, mut other) = (server.open(LATEST).await, server.open(LATEST).await);
    assert_ne!(one.session, other.session);
    one.stream("GET", &[], "").await;
    other.stream("GET", &[], "").await;
    assert!(server.world.client(1).send(crate::gateway::note("for you"), None));
    assert_eq!(other.data().await, "");
    assert!(other.data().await.contains("for you"));
    assert!(server.world.client(0).send(crate::gateway::note("for me"), None));
    assert_eq!(one.data().await, "");
    assert!(one.data().await.contains("for me"));
}

#[tokio::test]
async fn an_idle_session_is_closed() {
    let idle = Duration::from_millis(40);
    let mut server = Server::start(Options { session_idle: idle, ..Options::default() });
    let mut peer = server.open(LATEST).await;
    assert_eq!(server.saw().await, "close");
    assert_eq!(peer.post(&call("1", "echo", "{}")).await.0.status, 404);
}

#[tokio::test]
async fn a_session_with_a_stream_is_not_idle() {
    let options = Options {
        session_idle: Duration::from_millis(20),
        keepalive: Duration::from_millis(50),
        ..Options::default()
    };
    let mut server = Server::start(options);
    let mut peer = server.open(LATEST).await;
    let session = peer.session.clone();
    peer.stream("GET", &[], "").await;
    peer.event().await;
    for _ in 0..3 {
        assert_eq!(peer.event().await.unwrap().comment, "keepalive");
    }
    let mut other = server.connect().await;
    other.session = session;
    assert_eq!(other.post(&call("1", "echo", "{}")).await.0.status, 200);
    drop(peer);
    assert_eq!(server.saw().await, "close");
}

#[tokio::test]
async fn one_session_too_many_is_told_to_come_back() {
    let server = Server::start(Options { max_sessions: 1, ..Options::default() });
    let mut peer = server.open(LATEST).await;
    let mut other = server.connect().await;
    let (head, _) = other.post(&initialize(LATEST)).await;
    assert_eq!((head.status, head.get("retry-after")), (503, "5"));
    assert_eq!(peer.ask("DELETE", &[], "").await.0.status, 204);
    other.initialize(LATEST).await;
}
