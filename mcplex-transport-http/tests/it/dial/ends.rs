//! How a connection ends that nobody closes.

use super::{Dialed, META, remote, response, server::Server};
use crate::peer::within;
use mcplex_proto::transport::{ConnectError, Transport as _};
use mcplex_transport_http::dial::HttpTransport;
use std::error::Error as _;

#[tokio::test]
async fn a_server_that_is_not_there_cannot_be_connected_to() {
    let url = {
        let server = Server::start().await;
        let url = server.url();
        server.die().await;
        url
    };
    let error = within(HttpTransport::new(remote(&url)).connect()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("{url} cannot be reached"));
    assert!(error.source().unwrap().to_string().contains("refused"), "{error:?}");
    let wrong = HttpTransport::new(remote("https://"));
    assert!(matches!(within(wrong.connect()).await, Err(ConnectError::Permanent { .. })));
}

#[tokio::test]
async fn a_server_that_is_gone_ends_the_connection_whoever_notices() {
    // A call in flight.
    let mut server = Server::start().await;
    let mut dialed = Dialed::to(&server).await;
    dialed.call(1, "tools/call", META).await;
    let asked = server.asked("POST").await;
    server.die().await;
    drop(asked);
    assert!(dialed.ended().await.contains("can no longer be reached"));

    // A call whose answer has begun.
    let mut server = Server::start().await;
    let mut dialed = Dialed::to(&server).await;
    dialed.call(1, "tools/call", META).await;
    let _stream = server.asked("POST").await.stream();
    server.die().await;
    assert!(dialed.ended().await.contains("can no longer be reached"));

    // The stream for what belongs to no call.
    let mut server = Server::start().await;
    let mut dialed = Dialed::to(&server).await;
    dialed.initialize(&mut server, "2025-11-25").await;
    dialed.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
    server.asked("POST").await.accept();
    let mut stream = server.asked("GET").await.stream();
    stream.write("retry: 5\n\n").await;
    server.die().await;
    assert!(dialed.ended().await.contains("can no longer be reached"));

    // The next call.
    let mut server = Server::start().await;
    let mut dialed = Dialed::session(&mut server, "2025-11-25").await;
    server.die().await;
    dialed.call(2, "ping", "").await;
    assert!(dialed.ended().await.contains("can no longer be reached"));
}

#[tokio::test]
async fn a_session_that_the_server_forgot_ends_the_connection() {
    // As a call is told.
    let mut server = Server::start().await;
    let mut dialed = Dialed::session(&mut server, "2025-11-25").await;
    dialed.call(1, "ping", "").await;
    server.asked("POST").await.reply(404, &[], &super::error(1, -32001));
    assert_eq!(dialed.ended().await, "the session was ended by the server");

    // As a notification is told.
    let mut server = Server::start().await;
    let mut dialed = Dialed::session(&mut server, "2025-11-25").await;
    dialed.send(r#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#).await;
    server.asked("POST").await.status(404);
    assert_eq!(dialed.ended().await, "the session was ended by the server");

    // As the stream is told; a server that was started anew has others.
    let mut server = Server::start().await;
    let mut dialed = Dialed::to(&server).await;
    dialed.initialize(&mut server, "2025-11-25").await;
    dialed.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
    server.asked("POST").await.accept();
    let mut stream = server.asked("GET").await.stream();
    stream.write("retry: 5\n\n").await;
    drop(stream);
    server.asked("GET").await.status(400);
    assert_eq!(dialed.ended().await, "the session was ended by the server");
}

#[tokio::test]
async fn a_method_that_is_not_found_is_no_session_that_is_not_found() {
    let mut server = Server::start().await;
    let mut dialed = Dialed::session(&mut server, "2025-11-25").await;
    for id in 1..3 {
        dialed.call(id, "completion/complete", "").await;
        server.asked("POST").await.reply(404, &[], &super::error(id, -32601));
        assert_eq!(dialed.error(id).await["code"], -32601);
    }
    dialed.call(3, "ping", "").await;
    server.asked("POST").await.answer(&response(3, "{}"));
    dialed.result(3).await;
    // Without its id it may be about anything.
    dialed.call(4, "completion/complete", "").await;
    let stray = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32601,"message":"no"}}"#;
    server.asked("POST").await.reply(404, &[], stray);
    assert_eq!(dialed.ended().await, "the session was ended by the server");
}

#[tokio::test]
async fn a_server_without_get_keeps_its_session() {
    for status in [400, 404, 405, 501] {
        let mut server = Server::start().await;
        let mut dialed = Dialed::to(&server).await;
        dialed.initialize(&mut server, "2025-11-25").await;
        dialed.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
        server.asked("POST").await.accept();
        server.asked("GET").await.status(status);
        dialed.call(1, "ping", "").await;
        server.asked("POST").await.answer(&response(1, "{}"));
        dialed.result(1).await;
    }
}

#[tokio::test]
async fn a_connection_that_is_dropped_leaves_nothing_open() {
    let mut server = Server::start().await;
    let mut dialed = Dialed::to(&server).await;
    dialed.call(1, "subscriptions/listen", META).await;
    let stream = server.asked("POST").await.stream();
    drop(dialed);
    stream.abandoned().await;
}
