//! Clients of revision 2024-11-05: a stream, and POSTs to where it says.

use crate::{
    gateway::{Server, ask, note},
    peer::{Peer, call, result, stateless},
};
use mcplex_transport_http::Options;
use std::time::Duration;

const OLD: &str = "2024-11-05";

/// Opens a stream and says where to post.
async fn open(server: &Server) -> (Peer, String) {
    let mut peer = server.connect().await;
    let head = peer.get_stream("/sse").await;
    assert_eq!((head.get("x-accel-buffering"), head.get("mcp-session-id")), ("no", ""));
    let event = peer.event().await.unwrap();
    assert_eq!((&*event.kind, &*event.id), ("endpoint", ""));
    assert!(event.data.len() >= "/sse?session=".len() + 32, "{}", event.data);
    (peer, event.data)
}

async fn post(peer: &mut Peer, uri: &str, body: &str) -> u16 {
    let (head, text) = peer.post_to(uri, body).await;
    if head.status == 202 {
        assert_eq!(text, "");
    }
    head.status
}

fn initialize() -> String {
    call("0", "initialize", &format!(r#"{{"protocolVersion":"{OLD}"}}"#))
}

#[tokio::test]
async fn everything_said_to_the_client_is_on_its_stream() {
    let mut server = Server::start(Options::default());
    let (mut stream, uri) = open(&server).await;
    let mut peer = server.connect().await;
    assert_eq!(post(&mut peer, &uri, &initialize()).await, 202);
    let event = stream.event().await.unwrap();
    assert_eq!((&*event.kind, &*event.id, &*event.data), ("message", "", &*result("0", "{}")));
    let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    assert_eq!(post(&mut peer, &uri, initialized).await, 202);
    assert_eq!(server.saw().await, "notification notifications/initialized");
    assert_eq!(post(&mut peer, &uri, &call("1", "progress", "{}")).await, 202);
    assert!(stream.data().await.contains("half"));
    assert_eq!(stream.data().await, result("1", "{}"));
    // A question, the answer to it, and what it was asked for.
    assert_eq!(post(&mut peer, &uri, &call("2", "ask", "{}")).await, 202);
    assert!(stream.data().await.contains("roots/list"));
    assert_eq!(post(&mut peer, &uri, &result("77", "{}")).await, 202);
    assert_eq!(server.saw().await, "response 77");
    assert_eq!(stream.data().await, result("2", "{}"));
    let client = server.world.client(0);
    assert!(client.send(note("unasked"), None) && client.send(ask(), None));
    assert!(stream.data().await.contains("unasked") && stream.data().await.contains("roots/list"));
}

#[tokio::test]
async fn the_session_ends_with_its_stream() {
    let mut server = Server::start(Options { max_sessions: 1, ..Options::default() });
    let (stream, uri) = open(&server).await;
    let mut peer = server.connect().await;
    let (head, _) = peer.get("/sse").await;
    assert_eq!((head.status, head.get("retry-after")), (503, "5"));
    assert_eq!(post(&mut peer, &uri, &call("1", "hold", "{}")).await, 202);
    assert_eq!(server.saw().await, "hold 1");
    drop(stream);
    assert_eq!(server.saw().await, "close");
    assert_eq!(post(&mut peer, &uri, &call("2", "echo", "{}")).await, 404);
    open(&server).await;
}

#[tokio::test]
async fn what_is_no_message_of_a_session_is_refused() {
    let server = Server::start(Options { max_calls: 1, ..Options::default() });
    let (mut stream, uri) = open(&server).await;
    let mut peer = server.connect().await;
    assert_eq!(post(&mut peer, &uri, &initialize()).await, 202);
    assert_eq!(stream.data().await, result("0", "{}"));
    let echo = call("1", "echo", "{}");
    assert_eq!(post(&mut peer, "/sse", &echo).await, 400);
    assert_eq!(post(&mut peer, "/sse?session=nobody", &echo).await, 404);
    assert_eq!(post(&mut peer, &uri, "nonsense").await, 400);
    assert_eq!(post(&mut peer, &uri, &format!("[{echo}]")).await, 400);
    // The id is none of the other transport, and the other way round.
    let id = uri.rsplit('=').next().unwrap().to_owned();
    let named = format!("Mcp-Session-Id: {id}");
    assert_eq!(peer.ask("POST", &[&named], &echo).await.0.status, 404);
    assert_eq!(post(&mut peer, &uri, &call("1", "hold", "{}")).await, 202);
    assert_eq!(post(&mut peer, &uri, &call("2", "echo", "{}")).await, 429);
    server.world.release.add_permits(1);
    assert_eq!(stream.data().await, result("1", "{}"));
    assert_eq!(post(&mut peer, &uri, &call("2", "echo", "{}")).await, 202);
    assert_eq!(stream.data().await, result("2", "{}"));
}

#[tokio::test]
async fn a_stateless_request_is_not_let_past_the_check_of_its_headers() {
    let server = Server::start(Options::default());
    let (mut stream, uri) = open(&server).await;
    let mut peer = server.connect().await;
    assert_eq!(post(&mut peer, &uri, &initialize()).await, 202);
    assert_eq!(stream.data().await, result("0", "{}"));
    let (head, text) = peer.post_to(&uri, &stateless("7", "echo", "")).await;
    assert_eq!(head.status, 400);
    assert!(text.contains(r#""id":7,"error":{"code":-32600,"#), "{text}");
    assert!(text.contains("are posted to /mcp"), "{text}");
    // Nothing of it is on the stream.
    assert_eq!(post(&mut peer, &uri, &call("1", "echo", "{}")).await, 202);
    assert_eq!(stream.data().await, result("1", "{}"));
}

#[tokio::test]
async fn who_does_not_read_is_answered_no_more() {
    let server = Server::start(Options { replay_bytes: 100_000, ..Options::default() });
    let (mut stream, uri) = open(&server).await;
    let mut peer = server.connect().await;
    let mut taken = 0_usize;
    // Far more than the buffers of the system hold.
    for id in 0..200 {
        match post(&mut peer, &uri, &call(&id.to_string(), "large", "{}")).await {
            202 => taken += 1,
            status => {
                assert_eq!(status, 429);
                break;
            }
        }
    }
    assert!((1..200).contains(&taken), "{taken}");
    for _ in 0..taken {
        assert!(stream.data().await.len() > 300_000);
    }
    assert_eq!(post(&mut peer, &uri, &call("\"again\"", "echo", "{}")).await, 202);
}

#[tokio::test]
async fn a_stop_lets_calls_finish_and_ends_the_stream() {
    let mut server = Server::start(Options::default());
    let (mut idle, _) = open(&server).await;
    let (mut stream, uri) = open(&server).await;
    let mut peer = server.connect().await;
    assert_eq!(post(&mut peer, &uri, &call("1", "hold", "{}")).await, 202);
    assert_eq!(server.saw().await, "hold 1");
    server.stop();
    assert_eq!(idle.event().await, None);
    server.world.release.add_permits(1);
    assert_eq!(stream.data().await, result("1", "{}"));
    assert_eq!(stream.event().await, None);
    server.stopped().await;
}

#[tokio::test]
async fn a_silent_stream_gets_comments() {
    let options = Options { keepalive: Duration::from_millis(10), ..Options::default() };
    let server = Server::start(options);
    let (mut stream, _) = open(&server).await;
    assert_eq!(stream.event().await.unwrap().comment, "keepalive");
}

#[tokio::test]
async fn it_can_be_left_out() {
    let server = Server::start(Options { sse_path: None, ..Options::default() });
    let mut peer = server.connect().await;
    assert_eq!(peer.get("/sse").await.0.status, 404);
}
