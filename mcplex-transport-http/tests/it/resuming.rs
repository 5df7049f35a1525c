//! Clients that leave, and come back.

use crate::{
    gateway::{Server, note},
    peer::{LATEST, Peer, call, result},
};
use mcplex_transport_http::Options;
use std::time::Duration;

fn quick() -> Options {
    Options { json_wait: Duration::from_millis(10), ..Options::default() }
}

/// The same session on a new connection.
async fn again(server: &Server, peer: Peer) -> Peer {
    let mut next = server.connect().await;
    next.session.clone_from(&peer.session);
    drop(peer);
    next
}

#[tokio::test]
async fn a_call_goes_on_without_its_stream_and_is_continued_live() {
    let mut server = Server::start(quick());
    let mut peer = server.open(LATEST).await;
    peer.stream("POST", &[], &call("1", "hold", "{}")).await;
    assert_eq!(server.saw().await, "hold 1");
    assert_eq!(peer.event().await.unwrap().id, "2-0");
    let client = server.world.client(0);
    assert!(client.send(note("seen"), Some(&1.into())));
    assert_eq!(peer.event().await.unwrap().id, "2-1");
    let mut peer = again(&server, peer).await;
    assert!(client.send(note("missed"), Some(&1.into())));
    peer.stream("GET", &["Last-Event-ID: 2-1"], "").await;
    assert!(peer.data().await.contains("missed"));
    server.world.release.add_permits(1);
    assert_eq!(server.saw().await, "done 1");
    assert_eq!(peer.data().await, result("1", "{}"));
    assert_eq!(peer.event().await, None);
}

#[tokio::test]
async fn an_answer_that_came_meanwhile_is_replayed() {
    let mut server = Server::start(quick());
    let mut peer = server.open(LATEST).await;
    peer.stream("POST", &[], &call("1", "hold", "{}")).await;
    assert_eq!(server.saw().await, "hold 1");
    assert_eq!(peer.event().await.unwrap().id, "2-0");
    let mut peer = again(&server, peer).await;
    server.world.release.add_permits(1);
    assert_eq!(server.saw().await, "done 1");
    // As often as the client asks: it may lose the connection again.
    for _ in 0..2 {
        peer.stream("GET", &["Last-Event-ID: 2-0"], "").await;
        assert_eq!(peer.data().await, result("1", "{}"));
        assert_eq!(peer.event().await, None);
    }
    peer.stream("GET", &["Last-Event-ID: 2-1"], "").await;
    assert_eq!(peer.event().await, None);
}

#[tokio::test]
async fn only_the_lost_stream_is_replayed() {
    let server = Server::start(Options::default());
    let mut peer = server.open(LATEST).await;
    let client = server.world.client(0);
    assert!(client.send(note("one"), None));
    assert!(client.send(note("two"), None));
    peer.stream("GET", &[], "").await;
    for id in ["0-0", "0-1", "0-2"] {
        assert_eq!(peer.event().await.unwrap().id, id);
    }
    let mut peer = again(&server, peer).await;
    peer.stream("POST", &[], &call("1", "progress", "{}")).await;
    for id in ["2-0", "2-1", "2-2"] {
        assert_eq!(peer.event().await.unwrap().id, id);
    }
    assert_eq!(peer.event().await, None);
    peer.stream("GET", &["Last-Event-ID: 0-1"], "").await;
    let event = peer.event().await.unwrap();
    assert!(event.id == "0-2" && event.data.contains("two"), "{event:?}");
    assert!(client.send(note("three"), None));
    assert_eq!(peer.event().await.unwrap().id, "0-3");
}

#[tokio::test]
async fn an_id_we_never_gave_is_refused() {
    let server = Server::start(Options::default());
    let mut peer = server.open(LATEST).await;
    // Its answer is plain JSON, which is not kept.
    assert_eq!(peer.post(&call("1", "echo", "{}")).await.0.status, 200);
    for id in ["nonsense", "0-9", "1-0", "2-0", "3-1", "-", "7"] {
        let header = format!("Last-Event-ID: {id}");
        assert_eq!(peer.ask("GET", &[&header], "").await.0.status, 400, "{id}");
    }
}

#[tokio::test]
async fn another_session_cannot_replay_a_stream() {
    let server = Server::start(Options::default());
    let mut peer = server.open(LATEST).await;
    peer.stream("POST", &[], &call("1", "progress", "{}")).await;
    let mut other = server.open(LATEST).await;
    assert_eq!(other.ask("GET", &["Last-Event-ID: 2-0"], "").await.0.status, 400);
}

#[tokio::test]
async fn leaving_does_not_cancel_a_call_that_would_be_answered_as_json() {
    let mut server = Server::start(Options::default());
    let mut peer = server.open(LATEST).await;
    peer.request("POST", &[], &call("1", "hold", "{}")).await;
    assert_eq!(server.saw().await, "hold 1");
    let mut peer = again(&server, peer).await;
    assert_eq!(peer.post(&call("2", "echo", "{}")).await.0.status, 200);
    server.world.release.add_permits(1);
    assert_eq!(server.saw().await, "done 1");
    assert_eq!(peer.post(&call("3", "echo", "{}")).await.0.status, 200);
}

#[tokio::test]
async fn a_large_answer_is_streamed_whole_but_not_kept() {
    let server = Server::start(Options { replay_bytes: 1000, ..Options::default() });
    let mut peer = server.open(LATEST).await;
    peer.stream("POST", &["Accept: text/event-stream"], &call("1", "large", "{}")).await;
    assert_eq!(peer.event().await.unwrap().id, "2-0");
    assert_eq!(peer.data().await.len(), 300_000 + result("1", "\"\"").len());
    assert_eq!(peer.event().await, None);
    assert_eq!(peer.ask("GET", &["Last-Event-ID: 2-0"], "").await.0.status, 400);
}
