//! What is no answer of the protocol.

use super::{Dialed, META, header, remote, response, server::Server};
use async_trait::async_trait;
use hyper::{StatusCode, header::HeaderValue};
use mcplex_proto::transport::{ConnectError, Received};
use mcplex_transport_http::dial::{Authorize, Remote, Retry};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

#[tokio::test]
async fn a_status_fails_one_call_and_says_which_it_was() {
    let mut server = Server::start().await;
    let mut dialed = Dialed::session(&mut server, "2025-11-25").await;
    for (id, status) in (1..).zip([500, 502, 503, 400, 403, 409, 413, 429]) {
        dialed.call(id, "tools/call", "").await;
        server.asked("POST").await.reply(status, &[("retry-after", "2")], "<html>");
        let error = dialed.error(id).await;
        assert_eq!((&error["code"], &error["data"]["status"]), (&(-32603).into(), &status.into()));
        assert_eq!(error["data"]["retryAfterMs"], 2000);
    }
    // What a server says in the protocol's own words is its answer, whatever the status and id.
    dialed.call(20, "tools/call", "").await;
    let said = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"busy"}}"#;
    server.asked("POST").await.reply(500, &[], said);
    assert_eq!(dialed.error(20).await["message"], "busy");
    dialed.call(21, "ping", "").await;
    server.asked("POST").await.answer(&response(21, "{}"));
    dialed.result(21).await;
}

#[tokio::test]
async fn what_says_nothing_of_the_protocol_opens_nothing() {
    for opening in ["initialize", "server/discover"] {
        for status in [500, 502, 503, 504, 429, 408] {
            let mut server = Server::start().await;
            let mut dialed = Dialed::to(&server).await;
            dialed.call(1, opening, META).await;
            // Not even in the protocol's words.
            server.asked("POST").await.reply(status, &[], &super::error(1, -32603));
            let error = dialed.refused().await;
            assert!(matches!(error, ConnectError::Unfit { .. }), "{status}: {error:?}");
            let what = format!("{} answers, but opens no session", server.url());
            assert_eq!(error.to_string(), what);
            assert!(server.is_idle());
        }
    }
}

#[tokio::test]
async fn a_probe_of_a_server_that_is_there_is_a_request_like_any_other() {
    let mut server = Server::start().await;
    let mut dialed = Dialed::to(&server).await;
    dialed.call(1, "server/discover", META).await;
    server.asked("POST").await.answer(&response(1, "{}"));
    dialed.result(1).await;
    for (id, status) in (2..).zip([500, 503, 429, 403]) {
        dialed.call(id, "server/discover", META).await;
        server.asked("POST").await.status(status);
        assert_eq!(dialed.error(id).await["data"]["status"], status);
    }
}

#[tokio::test]
async fn any_other_refusal_is_an_answer_to_a_probe() {
    let mut server = Server::start().await;
    let mut dialed = Dialed::to(&server).await;
    for (id, status) in (1..).zip([400, 404, 405, 406, 415, 422]) {
        dialed.call(id, "server/discover", META).await;
        server.asked("POST").await.status(status);
        assert_eq!(dialed.error(id).await["data"]["status"], status);
    }
    dialed.call(10, "server/discover", META).await;
    server.asked("POST").await.reply(404, &[], &super::error(10, -32601));
    assert_eq!(dialed.error(10).await["code"], -32601);
}

#[tokio::test]
async fn who_is_not_accepted_is_told_where_and_what_to_do() {
    let headers = BTreeMap::from([("Authorization".to_owned(), "Bearer old".to_owned())]);
    for (headers, advice) in [(BTreeMap::new(), "give it credentials"), (headers, "renew it")] {
        for status in [401, 403] {
            let mut server = Server::start().await;
            let remote = Remote { headers: headers.clone(), ..remote(&server.url()) };
            let mut dialed = Dialed::at(remote).await;
            dialed.call(1, "initialize", "").await;
            server.asked("POST").await.reply(status, &[("www-authenticate", "Bearer")], "");
            let error = dialed.refused().await;
            let ConnectError::Permanent { what, hint, kind, .. } = error else {
                panic!("{error:?}")
            };
            assert!(what.starts_with(&format!("{} answered with HTTP status", server.url())));
            assert!(hint.contains(advice) && !hint.contains("old"), "{hint}");
            assert_eq!(kind, "unauthorized");
        }
    }
}

/// The error of a call that did not run, because of who asks.
async fn did_not_run(dialed: &mut Dialed, id: u64, advice: &str) {
    let error = dialed.error(id).await;
    assert_eq!((&error["code"], &error["data"]["safeToRetry"]), (&(-32603).into(), &true.into()));
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with("the call did not run: http://"), "{message}");
    assert!(message.contains(advice), "{message}");
}

#[tokio::test]
async fn a_call_that_is_refused_for_who_asks_did_not_run_and_harms_no_other() {
    for meta in ["", META] {
        let mut server = Server::start().await;
        let mut dialed = Dialed::session(&mut server, "2025-11-25").await;
        dialed.call(1, "tools/call", meta).await;
        let first = server.asked("POST").await;
        dialed.call(2, "tools/call", meta).await;
        server.asked("POST").await.status(401);
        // It may be this call alone, so the server is asked whether it is there.
        let probe = server.asked("POST").await;
        let method = if meta.is_empty() { "\"ping\"" } else { "\"server/discover\"" };
        assert!(probe.body.contains(method), "{}", probe.body);
        assert_eq!(header(&probe, "mcp-session-id").is_some(), meta.is_empty());
        probe.answer(r#"{"jsonrpc":"2.0","id":"mcplex/probe","result":{}}"#);
        did_not_run(&mut dialed, 2, "give it credentials").await;
        first.answer(&response(1, "{}"));
        dialed.result(1).await;
        // What it may not do it is not asked about.
        dialed.call(3, "tools/call", meta).await;
        server.asked("POST").await.status(403);
        did_not_run(&mut dialed, 3, "permission from who runs it").await;
        assert!(server.is_idle());
    }
}

#[tokio::test]
async fn a_server_that_accepts_nothing_any_more_ends_the_connection() {
    let mut server = Server::start().await;
    let mut dialed = Dialed::session(&mut server, "2025-11-25").await;
    dialed.call(1, "tools/call", "").await;
    for _ in 0..2 {
        server.asked("POST").await.status(401);
    }
    did_not_run(&mut dialed, 1, "give it credentials").await;
    let why = dialed.ended().await;
    assert!(why.contains("answered with HTTP status 401"), "{why}");
    // A probe needs no second one.
    let mut server = Server::start().await;
    let mut dialed = Dialed::session(&mut server, "2025-11-25").await;
    dialed.call(1, "ping", "").await;
    server.asked("POST").await.status(401);
    assert!(dialed.ended().await.contains("401"));
    assert!(server.is_idle());
}

#[tokio::test]
async fn what_is_no_message_is_told_apart() {
    let mut server = Server::start().await;
    let remote = Remote { max_message: 1000, ..remote(&server.url()) };
    let mut dialed = Dialed::at(remote).await;
    dialed.call(1, "tools/list", META).await;
    server.asked("POST").await.answer("<html>");
    assert!(matches!(dialed.next().await, Received::Garbage(_)));
    assert_eq!(dialed.error(1).await["data"]["reason"], "unreadable answer");
    dialed.call(2, "tools/list", META).await;
    server.asked("POST").await.accept();
    assert_eq!(dialed.error(2).await["data"]["reason"], "unreadable answer");
    // Too long, in one piece and on a stream.
    let long = response(3, &format!("\"{}\"", "x".repeat(1000)));
    dialed.call(3, "tools/list", META).await;
    server.asked("POST").await.answer(&long);
    let error = dialed.error(3).await;
    assert!(error["message"].as_str().unwrap().contains("longer than 1000 bytes"), "{error}");
    dialed.call(3, "tools/list", META).await;
    server.asked("POST").await.stream().say(&long).await;
    let error = dialed.error(3).await;
    assert!(error["message"].as_str().unwrap().contains("longer than 1000 bytes"), "{error}");
}

#[tokio::test]
async fn a_redirect_is_followed_where_the_headers_may_go() {
    let mut server = Server::start().await;
    let mut elsewhere = Server::start().await;
    let mut dialed = Dialed::to(&server).await;
    dialed.call(1, "tools/list", META).await;
    server.asked("POST").await.reply(307, &[("location", "/mcp/")], "");
    let asked = server.asked("POST").await;
    assert_eq!(asked.path, "/mcp/");
    assert!(asked.body.contains("tools/list"), "the message goes along");
    asked.answer(&response(1, "{}"));
    dialed.result(1).await;
    // Three in a row, and no more.
    dialed.call(2, "tools/list", META).await;
    for _ in 0..4 {
        server.asked("POST").await.reply(308, &[("location", "/mcp")], "");
    }
    assert_eq!(dialed.error(2).await["data"]["status"], 308);
    // Nowhere else, and not as another method.
    for (status, location) in [(307, elsewhere.url()), (302, "/mcp".to_owned())] {
        dialed.call(3, "tools/list", META).await;
        server.asked("POST").await.reply(status, &[("location", &location)], "");
        assert_eq!(dialed.error(3).await["data"]["status"], status);
    }
    dialed.call(4, "initialize", "").await;
    server.asked("POST").await.reply(301, &[("location", &elsewhere.url())], "");
    let error = dialed.refused().await.to_string();
    assert!(error.contains(&format!("sends us to {}", elsewhere.url())), "{error}");
    assert!(server.is_idle() && elsewhere.is_idle());
}

/// Has one token after another.
#[derive(Debug, Default)]
struct Tokens(AtomicUsize);

#[async_trait]
impl Authorize for Tokens {
    async fn authorization(&self) -> Result<Option<HeaderValue>, ConnectError> {
        let number = self.0.load(Ordering::Relaxed);
        Ok(Some(HeaderValue::from_str(&format!("Bearer {number}")).unwrap()))
    }

    async fn refused(
        &self,
        used: Option<&HeaderValue>,
        status: StatusCode,
        challenge: Option<&HeaderValue>,
    ) -> Retry {
        assert!(used.unwrap().to_str().unwrap().starts_with("Bearer "));
        assert_eq!((status, challenge.unwrap().to_str().unwrap()), (StatusCode::UNAUTHORIZED, "x"));
        self.0.fetch_add(1, Ordering::Relaxed);
        Retry::Again
    }
}

#[tokio::test]
async fn a_token_that_is_refused_is_renewed_once_for_each_request() {
    let mut server = Server::start().await;
    let headers = BTreeMap::from([("authorization".to_owned(), "of the file".to_owned())]);
    let authorize: Option<Arc<dyn Authorize>> = Some(Arc::new(Tokens::default()));
    let mut dialed = Dialed::at(Remote { headers, authorize, ..remote(&server.url()) }).await;
    dialed.call(1, "tools/list", META).await;
    let asked = server.asked("POST").await;
    assert_eq!(header(&asked, "authorization"), Some("Bearer 0"));
    asked.reply(401, &[("www-authenticate", "x")], "");
    let asked = server.asked("POST").await;
    assert_eq!(header(&asked, "authorization"), Some("Bearer 1"));
    asked.answer(&response(1, "{}"));
    dialed.result(1).await;
    dialed.call(2, "tools/list", META).await;
    // The call and the question whether the server is there, each with two tokens.
    for _ in 0..4 {
        server.asked("POST").await.reply(401, &[("www-authenticate", "x")], "");
    }
    did_not_run(&mut dialed, 2, "renew it").await;
    assert!(dialed.ended().await.contains("401"));
    assert!(server.is_idle());
}

/// What nobody but a person can get.
#[derive(Debug)]
struct Nothing;

#[async_trait]
impl Authorize for Nothing {
    async fn authorization(&self) -> Result<Option<HeaderValue>, ConnectError> {
        Ok(None)
    }

    async fn refused(
        &self,
        used: Option<&HeaderValue>,
        _status: StatusCode,
        _challenge: Option<&HeaderValue>,
    ) -> Retry {
        assert!(used.is_none());
        Retry::Never { advice: Some("ask Ada".to_owned()) }
    }
}

#[tokio::test]
async fn who_gets_no_token_says_what_to_do_about_it() {
    let authorize = || Some(Arc::new(Nothing) as Arc<dyn Authorize>);
    for status in [401, 403] {
        let mut server = Server::start().await;
        let remote = Remote { authorize: authorize(), ..remote(&server.url()) };
        let mut dialed = Dialed::at(remote).await;
        dialed.call(1, "initialize", "").await;
        let asked = server.asked("POST").await;
        assert_eq!(header(&asked, "authorization"), None);
        asked.reply(status, &[], "");
        let error = dialed.refused().await;
        assert!(matches!(&error, ConnectError::Permanent { hint, .. } if hint == "ask Ada"));
    }
    // In mid-life it is the call that says so, whatever words came with the refusal.
    let mut server = Server::start().await;
    let remote = Remote { authorize: authorize(), ..remote(&server.url()) };
    let mut dialed = Dialed::at(remote).await;
    dialed.call(1, "tools/list", META).await;
    server.asked("POST").await.reply(403, &[], &super::error(1, -32603));
    did_not_run(&mut dialed, 1, "ask Ada").await;
}
