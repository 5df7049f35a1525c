//! Batches, which only revision 2025-03-26 has.

use crate::{
    gateway::Server,
    peer::{LATEST, call, initialize, result},
};
use mcplex_transport_http::Options;

const OLD: &str = "2025-03-26";

#[tokio::test]
async fn a_batch_yields_all_answers() {
    let mut server = Server::start(Options::default());
    let mut peer = server.open(OLD).await;
    let note = r#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#;
    let batch = format!("[{},{note},{}]", call("1", "echo", "{}"), call("\"b\"", "echo", "{}"));
    let (head, body) = peer.post(&batch).await;
    assert_eq!((head.status, head.get("content-type")), (200, "application/json"));
    assert!(body.starts_with('[') && body.ends_with(']'), "{body}");
    assert!(body.contains(&result("1", "{}")) && body.contains(&result("\"b\"", "{}")), "{body}");
    assert_eq!(server.saw().await, "notification notifications/roots/list_changed");
    let (_, body) = peer.post(&format!("[{}]", call("3", "echo", "{}"))).await;
    assert_eq!(body, format!("[{}]", result("3", "{}")));
    let (head, body) = peer.post(&format!("[{note}]")).await;
    assert_eq!((head.status, &*body), (202, ""));
}

#[tokio::test]
async fn a_batch_can_become_a_stream() {
    let server = Server::start(Options::default());
    let mut peer = server.open(OLD).await;
    let batch = format!("[{},{}]", call("1", "hold", "{}"), call("2", "progress", "{}"));
    peer.stream("POST", &[], &batch).await;
    assert!(peer.data().await.contains("half"));
    assert_eq!(peer.data().await, result("2", "{}"));
    server.world.release.add_permits(1);
    assert_eq!(peer.data().await, result("1", "{}"));
    assert_eq!(peer.event().await, None);
}

#[tokio::test]
async fn what_is_not_allowed_in_batches_is_refused() {
    let server = Server::start(Options { max_batch: 2, ..Options::default() });
    let mut peer = server.open(OLD).await;
    let one = call("1", "echo", "{}");
    for batch in [
        format!("[{}]", initialize(OLD)),
        format!("[{one},{}]", call("1", "echo", "{}")),
        format!("[{one},3]"),
        format!("[{one},{one},{one}]"),
        "[]".to_owned(),
    ] {
        let (head, body) = peer.post(&batch).await;
        assert_eq!(head.status, 400, "{batch}");
        assert!(body.contains("-32600"), "{body}");
    }
    assert_eq!(peer.post(&one).await.0.status, 200);
}

#[tokio::test]
async fn later_revisions_have_no_batches() {
    let server = Server::start(Options::default());
    for version in ["2025-06-18", LATEST] {
        let mut peer = server.open(version).await;
        let (head, body) = peer.post(&format!("[{}]", call("1", "echo", "{}"))).await;
        assert_eq!(head.status, 400, "{version}");
        assert!(body.contains("-32600"), "{body}");
    }
}
