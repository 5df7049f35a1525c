//! Stateless requests: how they are answered, and how they end.

use crate::{
    gateway::{Server, ask, note},
    peer::{LATEST, VERSION_HEADER, call, result, stateless},
};
use mcplex_transport_http::Options;
use std::time::Duration;

fn quick() -> Options {
    Options { json_wait: Duration::from_millis(20), ..Options::default() }
}

#[tokio::test]
async fn a_request_stands_for_itself() {
    let mut server = Server::start(Options::default());
    let mut peer = server.connect().await;
    for id in ["1", "\"a\"", "1"] {
        let (head, body) = peer.ask_stateless(id, "echo", r#""n":1.50"#).await;
        assert_eq!((head.status, head.get("content-type")), (200, "application/json"));
        assert_eq!(head.get("mcp-session-id"), "");
        assert!(body.contains(&format!(r#""id":{id},"#)) && body.contains("1.50"), "{body}");
        assert_eq!(server.saw().await, "close");
    }
}

#[tokio::test]
async fn what_is_said_before_the_answer_makes_it_a_stream_without_ids() {
    let mut server = Server::start(Options::default());
    let mut peer = server.connect().await;
    let head = peer.stream_stateless("1", "progress", "").await;
    assert_eq!((head.get("x-accel-buffering"), head.get("mcp-session-id")), ("no", ""));
    let event = peer.event().await.unwrap();
    assert!(event.data.contains("half"), "no empty event comes first");
    assert_eq!((&*event.id, &*event.retry, &*event.kind), ("", "", "message"));
    assert_eq!(peer.data().await, result("1", "{}"));
    assert_eq!(peer.event().await, None);
    assert_eq!(server.saw().await, "close");
    assert_eq!(peer.ask_stateless("2", "echo", "").await.0.status, 200);
}

#[tokio::test]
async fn an_answer_that_takes_long_becomes_a_stream_about_it_alone() {
    let mut server = Server::start(quick());
    let mut peer = server.connect().await;
    peer.stream_stateless("1", "hold", "").await;
    assert_eq!(server.saw().await, "hold 1");
    let client = server.world.client(0);
    assert!(client.send(note("late"), Some(&1.into())));
    assert!(!client.send(note("of another"), Some(&2.into())));
    assert!(!client.send(note("of nobody"), None));
    assert!(!client.send(ask(), Some(&1.into())));
    assert!(peer.data().await.contains("late"));
    server.world.release.add_permits(1);
    assert_eq!(peer.data().await, result("1", "{}"));
    assert_eq!(peer.event().await, None);
    assert_eq!([server.saw().await, server.saw().await], ["done 1", "close"]);
    assert!(!client.send(note("too late"), Some(&1.into())));
}

#[tokio::test]
async fn who_leaves_before_the_answer_wants_it_no_longer() {
    let mut server = Server::start(Options::default());
    let mut peer = server.connect().await;
    peer.send_stateless("1", "hold", "").await;
    assert_eq!(server.saw().await, "hold 1");
    drop(peer);
    assert_eq!(server.saw().await, "close");
    server.world.release.add_permits(1);
    let mut other = server.connect().await;
    assert_eq!(other.ask_stateless("1", "echo", "").await.0.status, 200);
    // The call that was left is never done.
    assert_eq!(server.saw().await, "close");
}

#[tokio::test]
async fn who_leaves_a_stream_wants_it_no_longer() {
    let mut server = Server::start(quick());
    let mut peer = server.connect().await;
    peer.stream_stateless("1", "hold", "").await;
    assert_eq!(server.saw().await, "hold 1");
    drop(peer);
    assert_eq!(server.saw().await, "close");
    assert!(!server.world.client(0).send(note("too late"), None));
}

#[tokio::test]
async fn errors_have_the_status_that_the_revision_gives_them() {
    let server = Server::start(Options::default());
    let mut peer = server.connect().await;
    for (code, status) in
        [("-32601", 404), ("-32021", 400), ("-32022", 400), ("-32602", 200), ("-32603", 200)]
    {
        let (head, body) = peer.ask_stateless("7", "error", &format!(r#""code":{code}"#)).await;
        assert_eq!(head.status, status, "{body}");
        assert!(body.contains(code) && body.contains(r#""id":7"#), "{body}");
    }
    assert_eq!(peer.ask_stateless("8", "no/such", "").await.0.status, 404);
    // With an envelope it is no handshake, whatever it is called.
    let mut server = Server::start(Options::default());
    let mut peer = server.connect().await;
    let (head, _) = peer.ask_stateless("9", "error", r#""code":-32601"#).await;
    assert_eq!((head.status, head.get("mcp-session-id")), (404, ""));
    assert_eq!(server.saw().await, "close");
}

#[tokio::test]
async fn an_error_keeps_its_status_for_who_reads_only_streams() {
    let server = Server::start(Options::default());
    let mut peer = server.connect().await;
    let sse = [VERSION_HEADER, "Mcp-Method: error", "Accept: text/event-stream"];
    let (head, _) = peer.ask("POST", &sse, &stateless("1", "error", r#""code":-32601"#)).await;
    assert_eq!((head.status, head.get("content-type")), (404, "application/json"));
    let sse = [VERSION_HEADER, "Mcp-Method: echo", "Accept: text/event-stream"];
    peer.stream("POST", &sse, &stateless("2", "echo", "")).await;
    assert!(peer.data().await.contains(r#""id":2"#));
    assert_eq!(peer.event().await, None);
}

#[tokio::test]
async fn who_reads_only_json_gets_the_answer_and_nothing_else() {
    let mut server = Server::start(quick());
    let mut peer = server.connect().await;
    let json = [VERSION_HEADER, "Mcp-Method: try-progress", "Accept: application/json"];
    let (_, body) = peer.ask("POST", &json, &stateless("1", "try-progress", "")).await;
    assert_eq!(body, result("1", "false"));
    assert_eq!(server.saw().await, "close");
    let listen = [VERSION_HEADER, "Mcp-Method: subscriptions/listen", "Accept: application/json"];
    let body = stateless("2", "subscriptions/listen", "");
    assert_eq!(peer.ask("POST", &listen, &body).await.0.status, 406);
}

#[tokio::test]
async fn subscriptions_are_streams_at_once_and_stay_apart() {
    let mut server = Server::start(Options::default());
    let (mut one, mut other) = (server.connect().await, server.connect().await);
    one.stream_stateless("1", "subscriptions/listen", "").await;
    other.stream_stateless("1", "subscriptions/listen", "").await;
    assert!(one.data().await.contains("acknowledged"));
    assert!(other.data().await.contains("acknowledged"));
    assert_eq!([server.saw().await, server.saw().await], ["listen 1", "listen 1"]);
    assert!(server.world.client(1).send(note("for the second"), Some(&1.into())));
    assert!(server.world.client(0).send(note("for the first"), Some(&1.into())));
    assert!(one.data().await.contains("for the first"));
    assert!(other.data().await.contains("for the second"));
    drop(one);
    assert_eq!(server.saw().await, "close");
}

#[tokio::test]
async fn a_silent_subscription_gets_comments() {
    let options = Options { keepalive: Duration::from_millis(10), ..Options::default() };
    let server = Server::start(options);
    let mut peer = server.connect().await;
    peer.stream_stateless("1", "subscriptions/listen", "").await;
    assert!(peer.data().await.contains("acknowledged"));
    for _ in 0..3 {
        assert_eq!(peer.event().await.unwrap().comment, "keepalive");
    }
}

#[tokio::test]
async fn a_stop_ends_each_subscription_with_its_answer() {
    let mut server = Server::start(Options::default());
    let mut peers = Vec::new();
    for id in ["1", "2", "3"] {
        let mut peer = server.connect().await;
        peer.stream_stateless(id, "subscriptions/listen", "").await;
        assert!(peer.data().await.contains("acknowledged"));
        assert_eq!(server.saw().await, format!("listen {id}"));
        peers.push((id, peer));
    }
    server.stop();
    for (id, mut peer) in peers {
        assert_eq!(peer.data().await, result(id, "{}"));
        assert_eq!(peer.event().await, None);
        assert!(peer.is_closed().await);
        assert_eq!(server.saw().await, "close");
    }
    server.stopped().await;
}

#[tokio::test]
async fn one_subscription_too_many_is_told_to_come_back() {
    let mut server = Server::start(Options { max_listens: 1, ..Options::default() });
    let (mut one, mut other) = (server.connect().await, server.connect().await);
    one.stream_stateless("1", "subscriptions/listen", "").await;
    assert_eq!(server.saw().await, "listen 1");
    let (head, body) = other.ask_stateless("5", "subscriptions/listen", "").await;
    assert_eq!((head.status, head.get("retry-after")), (503, "5"));
    assert!(body.contains(r#""id":5"#), "{body}");
    // The session that was opened for it is closed.
    assert_eq!(server.saw().await, "close");
    drop(one);
    assert_eq!(server.saw().await, "close");
    other.stream_stateless("6", "subscriptions/listen", "").await;
}

#[tokio::test]
async fn what_waits_for_a_reader_is_bounded() {
    let mut server = Server::start(Options { replay_events: 2, ..Options::default() });
    let mut peer = server.connect().await;
    peer.stream_stateless("1", "subscriptions/listen", "").await;
    assert!(peer.data().await.contains("acknowledged"));
    assert_eq!(server.saw().await, "listen 1");
    // The test runs on the thread of the listener, which reads nothing meanwhile.
    let client = server.world.client(0);
    let told = (0..5).filter(|_| client.send(note("x"), Some(&1.into()))).count();
    assert_eq!(told, 2);
    assert!(peer.data().await.contains('x') && peer.data().await.contains('x'));
}

#[tokio::test]
async fn a_session_id_and_an_event_id_mean_nothing() {
    let mut server = Server::start(Options::default());
    let mut peer = server.open(LATEST).await;
    let session = format!("Mcp-Session-Id: {}", peer.session);
    for id in [&*session, "Mcp-Session-Id: unknown"] {
        let headers = [VERSION_HEADER, "Mcp-Method: echo", id, "Last-Event-ID: 0-1"];
        let (head, _) = peer.ask("POST", &headers, &stateless("1", "echo", "")).await;
        assert_eq!((head.status, head.get("mcp-session-id")), (200, ""));
        assert_eq!(server.saw().await, "close");
    }
    assert_eq!(peer.post(&call("1", "echo", "{}")).await.0.status, 200);
    for method in ["GET", "DELETE"] {
        let (head, _) = peer.ask(method, &[VERSION_HEADER], "").await;
        assert_eq!((head.status, head.get("allow")), (405, "POST"), "{method}");
    }
    assert_eq!(peer.post(&call("2", "echo", "{}")).await.0.status, 200);
}

#[tokio::test]
async fn notifications_are_taken_and_nothing_else_is() {
    let mut server = Server::start(Options::default());
    let mut peer = server.connect().await;
    let note = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    let (head, body) = peer.ask("POST", &[VERSION_HEADER], note).await;
    assert_eq!((head.status, &*body), (202, ""));
    let (head, body) = peer.ask("POST", &[VERSION_HEADER], &result("1", "{}")).await;
    assert_eq!(head.status, 400);
    assert!(body.contains("-32600"), "{body}");
    let batch = format!("[{}]", stateless("1", "echo", ""));
    for headers in [&[VERSION_HEADER][..], &[]] {
        let (head, body) = peer.ask("POST", headers, &batch).await;
        assert_eq!(head.status, 400);
        assert!(body.contains("-32600"), "{body}");
    }
    // Nobody at the gateway has heard of any of it.
    assert_eq!(peer.ask_stateless("1", "echo", "").await.0.status, 200);
    assert_eq!(server.saw().await, "close");
}

#[tokio::test]
async fn a_call_in_flight_is_finished_at_a_stop() {
    let mut server = Server::start(Options::default());
    let mut peer = server.connect().await;
    peer.send_stateless("1", "hold", "").await;
    assert_eq!(server.saw().await, "hold 1");
    server.stop();
    server.world.release.add_permits(1);
    assert_eq!(peer.response().await.1, result("1", "{}"));
    assert_eq!([server.saw().await, server.saw().await], ["done 1", "close"]);
    server.stopped().await;
}
