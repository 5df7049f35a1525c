//! Who is let in, and what belongs to whom.

use crate::{
    gateway::Server,
    peer::{LATEST, Peer, call, initialize, result},
};
use async_trait::async_trait;
use bytes::Bytes;
use mcplex_proto::downstream::{Doorman, Principal, Verdict};
use mcplex_transport_http::Options;
use std::sync::Arc;

const WHERE: &str = "/.well-known/oauth-protected-resource/mcp";

/// Lets in whoever says a name.
#[derive(Debug)]
struct ByName;

#[async_trait]
impl Doorman for ByName {
    async fn admit(&self, authorization: Option<&[u8]>) -> Verdict {
        match authorization.and_then(|told| std::str::from_utf8(told).ok()) {
            Some(name) => Verdict::Admitted(Principal::Known(name.into())),
            None => Verdict::Refused {
                status: 401,
                why: "say who you are",
                www_authenticate: Some("Bearer realm=\"x\"".to_owned()),
                principal: None,
            },
        }
    }

    fn metadata(&self, path: &str) -> Option<Bytes> {
        (path == WHERE).then(|| Bytes::from_static(b"{\"resource\":\"x\"}"))
    }
}

#[tokio::test]
async fn who_is_not_let_in_is_told_where_to_go() {
    let server = Server::guarded(Options::default(), Arc::new(ByName));
    let mut peer = server.connect().await;
    for method in ["POST", "GET", "DELETE"] {
        let (head, body) = peer.ask(method, &[], "").await;
        assert_eq!((head.status, head.get("www-authenticate")), (401, "Bearer realm=\"x\""));
        assert!(body.contains("say who you are"), "{body}");
    }
    let twice = ["Authorization: ann", "Authorization: bob"];
    assert_eq!(peer.ask("POST", &twice, &initialize(LATEST)).await.0.status, 400);
    // A web page is refused before anybody asks who it is.
    let origin = ["Origin: https://evil.example", "Authorization: ann"];
    assert_eq!(peer.ask("POST", &origin, &initialize(LATEST)).await.0.status, 403);
    // Where tokens are to be had is told to everybody.
    peer.write(format!("GET {WHERE} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await;
    let (head, body) = peer.response().await;
    assert_eq!((head.status, head.get("content-type")), (200, "application/json"));
    assert_eq!(body, "{\"resource\":\"x\"}");
    peer.write(format!("GET {WHERE}2 HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await;
    assert_eq!(peer.response().await.0.status, 404);
}

#[tokio::test]
async fn a_session_belongs_to_who_opened_it() {
    let server = Server::guarded(Options::default(), Arc::new(ByName));
    let mut peer = server.connect().await;
    let (head, _) = peer.ask("POST", &["Authorization: ann"], &initialize(LATEST)).await;
    head.get("mcp-session-id").clone_into(&mut peer.session);
    let echo = call("1", "echo", "{}");
    let ask = async |peer: &mut Peer, method: &str, who: &str| {
        let body = if method == "POST" { &*echo } else { "" };
        peer.ask(method, &[&format!("Authorization: {who}")], body).await
    };
    assert_eq!(ask(&mut peer, "POST", "ann").await.1, result("1", "{}"));
    assert_eq!(ask(&mut peer, "POST", "bob").await.0.status, 404);
    assert_eq!(ask(&mut peer, "GET", "bob").await.0.status, 404);
    assert_eq!(ask(&mut peer, "DELETE", "bob").await.0.status, 404);
    assert_eq!(ask(&mut peer, "POST", "ann").await.0.status, 200);
    assert_eq!(ask(&mut peer, "DELETE", "ann").await.0.status, 204);
    assert_eq!(ask(&mut peer, "POST", "ann").await.0.status, 404);
}
