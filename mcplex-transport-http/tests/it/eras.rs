//! Both eras on one endpoint: who is who, and what it is told when that is not clear.

use crate::{
    gateway::Server,
    peer::{LATEST, VERSION_HEADER, call, initialize, result, stateless},
};
use mcplex_transport_http::Options;

#[tokio::test]
async fn sessions_and_stateless_requests_live_side_by_side() {
    let mut server = Server::start(Options::default());
    let mut old = server.open(LATEST).await;
    let mut new = server.connect().await;
    old.request("POST", &[], &call("1", "hold", "{}")).await;
    assert_eq!(server.saw().await, "hold 1");
    // The same id, as both have their own.
    new.send_stateless("1", "hold", "").await;
    assert_eq!(server.saw().await, "hold 1");
    server.world.release.add_permits(2);
    assert_eq!(old.response().await.1, result("1", "{}"));
    assert_eq!(new.response().await.1, result("1", "{}"));
    // Also on one connection.
    assert_eq!(old.ask_stateless("2", "echo", "").await.0.status, 200);
    assert_eq!(old.post(&call("2", "echo", "{}")).await.1, result("2", "{}"));
}

#[tokio::test]
async fn a_request_that_is_of_no_era_is_refused_by_name() {
    let mut server = Server::start(Options::default());
    let mut peer = server.connect().await;
    let good = stateless("\"x\"", "tools/call", r#""name":"a""#);
    let future = good.replace("2026-07-28", "2999-01-01");
    let bare = call("\"x\"", "tools/call", r#"{"name":"a"}"#);
    let [method, name] = ["Mcp-Method: tools/call", "Mcp-Name: a"];
    let version = VERSION_HEADER;
    let region = r#""name":"deploy","arguments":{"region":"eu"}"#;
    let deploy = stateless("\"x\"", "tools/call", region);
    for (headers, body, code) in [
        (vec![version, method, name], &bare, "-32602"),
        (vec![method, name], &good, "-32020"),
        (vec!["MCP-Protocol-Version: 2025-11-25", method, name], &good, "-32020"),
        (vec![version, name], &good, "-32020"),
        (vec![version, "Mcp-Method: tools/list", name], &good, "-32020"),
        (vec![version, method], &good, "-32020"),
        (vec![version, method, "Mcp-Name: A"], &good, "-32020"),
        (vec![version, method, name, name], &good, "-32020"),
        (vec![version, method, name], &future, "-32020"),
        (vec!["MCP-Protocol-Version: 2999-01-01", method, name], &future, "-32022"),
        (vec![version, method, "Mcp-Name: deploy"], &deploy, "-32020"),
        (vec![version, method, "Mcp-Name: deploy", "Mcp-Param-Region: us"], &deploy, "-32020"),
    ] {
        let (head, answer) = peer.ask("POST", &headers, body).await;
        assert_eq!((head.status, head.get("content-type")), (400, "application/json"));
        assert!(answer.contains(code) && answer.contains(r#""id":"x""#), "{headers:?}: {answer}");
    }
    let (_, told) =
        peer.ask("POST", &["mcp-protocol-version: 2999-01-01", method, name], &future).await;
    assert!(told.contains(r#""supported":["2026-07-28"]"#), "{told}");
    assert!(told.contains(r#""requested":"2999-01-01""#), "{told}");
    // No session was opened for any of them.
    let headers = [version, method, "MCP-NAME: =?base64?ZGVwbG95?=", "mcp-param-REGION:\teu "];
    assert_eq!(peer.ask("POST", &headers, &deploy).await.0.status, 200);
    assert_eq!(server.saw().await, "close");
}

#[tokio::test]
async fn a_handshake_is_a_handshake_whatever_the_header_says() {
    let server = Server::start(Options::default());
    let mut peer = server.connect().await;
    let (head, _) = peer.ask("POST", &[VERSION_HEADER], &initialize(LATEST)).await;
    assert_eq!((head.status, head.get("mcp-session-id").len()), (200, 32));
}

#[tokio::test]
async fn who_probes_and_falls_back_is_served() {
    let server = Server::start(Options::default());
    let mut peer = server.connect().await;
    assert_eq!(peer.ask_stateless("1", "server/discover", "").await.0.status, 404);
    peer.initialize(LATEST).await;
    assert_eq!(peer.post(&call("2", "echo", "{}")).await.1, result("2", "{}"));
}
