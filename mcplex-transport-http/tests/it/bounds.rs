//! Bounds on what a client may ask for, and the end of the listener.

use crate::{
    gateway::{Server, note},
    peer::{LATEST, Peer, call, initialize, result, within},
};
use mcplex_transport_http::Options;
use std::time::Duration;
use tokio::net::TcpStream;

#[tokio::test]
async fn a_body_that_is_said_to_be_too_large_is_refused_before_it_comes() {
    let server = Server::start(Options { max_body: 1000, ..Options::default() });
    let mut peer = server.connect().await;
    peer.request("POST", &["Content-Length: 1001"], "").await;
    let (head, body) = peer.response().await;
    assert_eq!(head.status, 413);
    assert!(body.contains("too large"), "{body}");
}

#[tokio::test]
async fn a_body_that_grows_too_large_is_refused() {
    let server = Server::start(Options { max_body: 1000, ..Options::default() });
    let mut peer = server.connect().await;
    let head = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    peer.write(head.as_bytes()).await;
    for _ in 0..3 {
        peer.write(format!("190\r\n{}\r\n", " ".repeat(400)).as_bytes()).await;
    }
    assert_eq!(peer.response().await.0.status, 413);
}

#[tokio::test]
async fn a_body_in_many_pieces_is_read_whole() {
    let server = Server::start(Options::default());
    let mut peer = server.open(LATEST).await;
    let body = call("1", "echo", r#"{"a":"b"}"#);
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nMcp-Session-Id: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        peer.session
    );
    peer.write(head.as_bytes()).await;
    for byte in body.chars() {
        peer.write(format!("1\r\n{byte}\r\n").as_bytes()).await;
    }
    peer.write(b"0\r\n\r\n").await;
    assert_eq!(peer.response().await.1, result("1", r#"{"a":"b"}"#));
}

#[tokio::test]
async fn a_slow_body_is_not_waited_for() {
    let read_timeout = Duration::from_millis(20);
    let server = Server::start(Options { read_timeout, ..Options::default() });
    let mut peer = server.connect().await;
    peer.request("POST", &["Content-Length: 100"], "{").await;
    assert_eq!(peer.response().await.0.status, 408);
}

#[tokio::test]
async fn calls_of_a_session_are_bounded_and_their_ids_unique() {
    let mut server = Server::start(Options { max_calls: 1, ..Options::default() });
    let mut peer = server.open(LATEST).await;
    let mut other = server.connect().await;
    other.session.clone_from(&peer.session);
    peer.request("POST", &[], &call("1", "hold", "{}")).await;
    assert_eq!(server.saw().await, "hold 1");
    let (head, body) = other.post(&call("2", "echo", "{}")).await;
    assert_eq!((head.status, head.get("retry-after")), (429, "1"));
    assert!(body.contains(r#""id":2"#), "{body}");
    server.world.release.add_permits(1);
    assert_eq!(peer.response().await.0.status, 200);
    assert_eq!(other.post(&call("2", "echo", "{}")).await.0.status, 200);
}

#[tokio::test]
async fn an_id_in_flight_cannot_be_used_twice() {
    let mut server = Server::start(Options::default());
    let mut peer = server.open(LATEST).await;
    let mut other = server.connect().await;
    other.session.clone_from(&peer.session);
    peer.request("POST", &[], &call("1", "hold", "{}")).await;
    assert_eq!(server.saw().await, "hold 1");
    assert_eq!(other.post(&call("1", "echo", "{}")).await.0.status, 400);
    assert_eq!(other.post(&call("\"1\"", "echo", "{}")).await.0.status, 200);
    server.world.release.add_permits(1);
    assert_eq!(peer.response().await.1, result("1", "{}"));
}

#[tokio::test]
async fn what_waits_for_a_stream_is_bounded_and_the_newest_of_it_comes() {
    let server = Server::start(Options { replay_events: 2, ..Options::default() });
    let mut peer = server.open("2025-06-18").await;
    let client = server.world.client(0);
    for text in ["1", "2", "3"] {
        assert!(client.send(note(text), None));
    }
    peer.stream("GET", &[], "").await;
    for expect in ["0-2", "0-3"] {
        assert_eq!(peer.event().await.unwrap().id, expect);
    }
}

#[tokio::test]
async fn one_connection_too_many_waits_its_turn() {
    let server = Server::start(Options { max_connections: 1, ..Options::default() });
    let peer = server.open(LATEST).await;
    let mut other = server.connect().await;
    other.session.clone_from(&peer.session);
    other.request("POST", &[], &call("1", "echo", "{}")).await;
    drop(peer);
    assert_eq!(other.response().await.0.status, 200);
}

#[tokio::test]
async fn a_stop_lets_calls_finish_and_then_closes_sessions() {
    let mut server = Server::start(Options::default());
    let mut peer = server.open(LATEST).await;
    let mut streaming = Peer::connect(server.addr).await;
    streaming.session.clone_from(&peer.session);
    let mut listening = Peer::connect(server.addr).await;
    listening.session.clone_from(&peer.session);
    let mut idle = server.connect().await;
    listening.stream("GET", &[], "").await;
    peer.request("POST", &[], &call("1", "hold", "{}")).await;
    assert_eq!(server.saw().await, "hold 1");
    streaming.stream("POST", &["Accept: text/event-stream"], &call("2", "hold", "{}")).await;
    assert_eq!(server.saw().await, "hold 2");
    server.stop();
    assert_eq!(listening.event().await.unwrap().id, "0-0");
    assert_eq!(listening.event().await, None);
    assert!(idle.is_closed().await);
    within(TcpStream::connect(server.addr)).await.unwrap_err();
    server.world.release.add_permits(2);
    let (head, body) = peer.response().await;
    assert_eq!((head.status, body), (200, result("1", "{}")));
    assert_eq!(streaming.event().await.unwrap().id, "3-0");
    assert_eq!(streaming.data().await, result("2", "{}"));
    assert_eq!([server.saw().await, server.saw().await].len(), 2);
    assert_eq!(server.saw().await, "close");
    server.stopped().await;
}

#[tokio::test]
async fn a_drain_has_an_end() {
    let drain = Duration::from_millis(20);
    let mut server = Server::start(Options { drain, ..Options::default() });
    let mut peer = server.open(LATEST).await;
    peer.request("POST", &[], &call("1", "hold", "{}")).await;
    assert_eq!(server.saw().await, "hold 1");
    server.stop();
    assert_eq!(server.saw().await, "close");
    assert!(peer.is_closed().await);
    server.stopped().await;
}

#[tokio::test]
async fn a_stop_opens_no_more_sessions() {
    let mut server = Server::start(Options::default());
    let mut peer = server.connect().await;
    // The head is there before the stop, the body comes after it.
    let body = initialize(LATEST);
    let length = format!("Content-Length: {}", body.len());
    peer.request("POST", &[&length], "").await;
    let mut witness = server.open(LATEST).await;
    server.stop();
    assert!(witness.is_closed().await);
    peer.write(body.as_bytes()).await;
    let (head, _) = peer.response().await;
    assert_eq!((head.status, head.get("mcp-session-id")), (503, ""));
    assert_eq!(server.saw().await, "close");
    server.stopped().await;
}
