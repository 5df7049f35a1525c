//! Event streams: when an answer becomes one, and what travels on which.

use crate::{
    gateway::{Server, ask, note},
    peer::{LATEST, call, initialize, result},
};
use mcplex_transport_http::Options;
use std::time::Duration;

fn quick() -> Options {
    Options { json_wait: Duration::from_millis(20), ..Options::default() }
}

#[tokio::test]
async fn a_message_before_the_answer_makes_it_a_stream() {
    let server = Server::start(Options::default());
    let mut peer = server.open(LATEST).await;
    let head = peer.stream("POST", &[], &call("1", "progress", "{}")).await;
    assert_eq!(head.get("x-accel-buffering"), "no");
    let first = peer.event().await.unwrap();
    assert_eq!((&*first.id, &*first.data, &*first.retry), ("2-0", "", "1000"));
    let event = peer.event().await.unwrap();
    assert_eq!(event.id, "2-1");
    assert!(event.data.contains("half"));
    let event = peer.event().await.unwrap();
    assert_eq!((event.id, event.data), ("2-2".to_owned(), result("1", "{}")));
    assert_eq!(peer.event().await, None);
    assert_eq!(peer.post(&call("2", "echo", "{}")).await.0.status, 200);
}

#[tokio::test]
async fn an_answer_that_takes_long_becomes_a_stream() {
    let mut server = Server::start(quick());
    let mut peer = server.open(LATEST).await;
    peer.stream("POST", &[], &call("1", "hold", "{}")).await;
    assert_eq!(server.saw().await, "hold 1");
    assert_eq!(peer.event().await.unwrap().id, "2-0");
    assert!(server.world.client(0).send(note("late"), Some(&1.into())));
    assert!(peer.data().await.contains("late"));
    server.world.release.add_permits(1);
    assert_eq!(peer.data().await, result("1", "{}"));
    assert_eq!(peer.event().await, None);
    assert!(!server.world.client(0).send(note("too late"), Some(&1.into())));
}

#[tokio::test]
async fn a_client_that_reads_only_json_waits_for_it() {
    let mut server = Server::start(quick());
    let mut peer = server.open(LATEST).await;
    let json = ["Accept: application/json"];
    let (_, body) = peer.ask("POST", &json, &call("1", "try-progress", "{}")).await;
    assert_eq!(body, result("1", "false"));
    peer.request("POST", &json, &call("2", "hold", "{}")).await;
    assert_eq!(server.saw().await, "hold 2");
    // Later than the wait for JSON, which does not count for this client.
    tokio::time::timeout(Duration::from_millis(60), server.saw()).await.unwrap_err();
    server.world.release.add_permits(1);
    let (head, body) = peer.response().await;
    assert_eq!((head.get("content-type"), body), ("application/json", result("2", "{}")));
}

#[tokio::test]
async fn a_client_that_reads_only_streams_gets_one() {
    let server = Server::start(Options::default());
    let mut peer = server.connect().await;
    let sse = ["Accept: text/event-stream"];
    let head = peer.stream("POST", &sse, &initialize("2025-06-18")).await;
    peer.session = head.get("mcp-session-id").to_owned();
    assert_eq!(peer.data().await, result("0", "{}"), "no empty event before revision 2025-11-25");
    assert_eq!(peer.event().await, None);
    peer.stream("POST", &sse, &call("1", "echo", "{}")).await;
    assert_eq!(peer.data().await, result("1", "{}"));
    assert_eq!(peer.event().await, None);
}

#[tokio::test]
async fn a_request_of_the_gateway_travels_on_the_stream_of_its_cause() {
    let mut server = Server::start(Options::default());
    let mut peer = server.open("2025-06-18").await;
    let mut other = server.connect().await;
    other.session.clone_from(&peer.session);
    peer.stream("POST", &[], &call("1", "ask", "{}")).await;
    assert!(peer.data().await.contains("roots/list"));
    assert_eq!(other.post(&result("77", r#"{"roots":[]}"#)).await.0.status, 202);
    assert_eq!(server.saw().await, "response 77");
    assert_eq!(peer.data().await, result("1", "{}"));
    assert_eq!(peer.event().await, None);
}

#[tokio::test]
async fn streams_of_several_calls_stay_apart() {
    let mut server = Server::start(quick());
    let first = server.open("2025-06-18").await;
    let mut peers = Vec::new();
    for id in 1..=3_u64 {
        let mut peer = server.connect().await;
        peer.session.clone_from(&first.session);
        peer.stream("POST", &[], &call(&id.to_string(), "hold", "{}")).await;
        assert_eq!(server.saw().await, format!("hold {id}"));
        peers.push(peer);
    }
    for id in (1..=3_u64).rev() {
        assert!(server.world.client(0).send(note(&format!("for {id}")), Some(&id.into())));
    }
    server.world.release.add_permits(3);
    for (at, peer) in peers.iter_mut().enumerate() {
        assert!(peer.data().await.contains(&format!("for {}", at + 1)));
        assert_eq!(peer.data().await, result(&(at + 1).to_string(), "{}"));
        assert_eq!(peer.event().await, None);
    }
}

#[tokio::test]
async fn unrelated_messages_wait_for_the_standalone_stream() {
    let server = Server::start(Options::default());
    let mut peer = server.open(LATEST).await;
    let client = server.world.client(0);
    assert!(client.send(note("early"), None));
    assert!(client.send(ask(), None));
    peer.stream("GET", &[], "").await;
    let first = peer.event().await.unwrap();
    assert_eq!((&*first.id, &*first.data, &*first.retry), ("0-0", "", "1000"));
    assert!(peer.data().await.contains("early"));
    assert!(peer.data().await.contains("roots/list"));
    assert!(client.send(note("now"), None));
    assert!(peer.data().await.contains("now"));
}

#[tokio::test]
async fn a_message_goes_to_one_standalone_stream_the_newest() {
    let server = Server::start(Options::default());
    let mut old = server.open("2025-06-18").await;
    let mut new = server.connect().await;
    new.session.clone_from(&old.session);
    old.stream("GET", &[], "").await;
    new.stream("GET", &[], "").await;
    assert_eq!(old.event().await, None);
    assert!(server.world.client(0).send(note("once"), None));
    assert!(new.data().await.contains("once"));
}

#[tokio::test]
async fn a_silent_stream_gets_comments() {
    let keepalive = Duration::from_millis(10);
    let server = Server::start(Options { keepalive, ..quick() });
    let mut peer = server.open("2025-06-18").await;
    let session = peer.session.clone();
    peer.stream("GET", &[], "").await;
    assert_eq!(peer.event().await.unwrap().comment, "keepalive");
    assert_eq!(peer.event().await.unwrap().comment, "keepalive");
    let mut caller = server.connect().await;
    caller.session = session;
    caller.stream("POST", &[], &call("1", "hold", "{}")).await;
    assert_eq!(caller.event().await.unwrap().comment, "keepalive");
}
