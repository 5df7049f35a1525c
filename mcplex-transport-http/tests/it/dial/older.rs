//! HTTP+SSE of revision 2024-11-05.

use super::{Dialed, META, header, remote, response, server::Server};
use mcplex_proto::{
    message::Message,
    transport::{ConnectError, Received},
};
use mcplex_transport_http::dial::{Remote, Style};

/// Opens a session with a server that has the older transport, whose stream is given.
async fn opened(server: &mut Server, dialed: &mut Dialed) -> super::server::Stream {
    let asked = server.asked("GET").await;
    assert_eq!(asked.path, "/mcp");
    let mut stream = asked.stream();
    stream.write("event: endpoint\ndata: /messages?session=7\n\n").await;
    let asked = server.asked("POST").await;
    assert_eq!(asked.path, "/messages?session=7");
    assert!(asked.body.contains("initialize"), "{}", asked.body);
    asked.accept();
    stream.say(&response(0, r#"{"protocolVersion":"2024-11-05"}"#)).await;
    dialed.result(0).await;
    dialed.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
    let asked = server.asked("POST").await;
    assert_eq!(asked.path, "/messages?session=7");
    assert_eq!(header(&asked, "mcp-protocol-version"), None);
    asked.accept();
    stream
}

#[tokio::test]
async fn a_server_that_knows_no_post_is_an_older_one() {
    for status in [400, 404, 405] {
        let mut server = Server::start().await;
        let mut dialed = Dialed::to(&server).await;
        dialed.call(9, "server/discover", META).await;
        server.asked("POST").await.status(status);
        assert_eq!(dialed.error(9).await["data"]["status"], status);
        dialed.call(0, "initialize", "").await;
        server.asked("POST").await.status(status);
        let mut stream = opened(&mut server, &mut dialed).await;
        dialed.call(1, "ping", "").await;
        server.asked("POST").await.accept();
        stream.say(r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#).await;
        assert!(matches!(dialed.next().await, Received::Message(Message::Notification(_))));
        stream.say(&response(1, "{}")).await;
        dialed.result(1).await;
        drop(stream);
        assert_eq!(dialed.ended().await, "its event stream ended");
        assert!(server.is_idle(), "no other stream was opened");
    }
}

#[tokio::test]
async fn a_server_that_is_said_to_be_older_is_asked_as_one() {
    let mut server = Server::start().await;
    let mut dialed = Dialed::at(Remote { style: Style::Sse, ..remote(&server.url()) }).await;
    // It can know no such method, so it is not asked.
    dialed.call(9, "server/discover", META).await;
    assert_eq!(dialed.error(9).await["code"], -32601);
    dialed.call(0, "initialize", "").await;
    let _stream = opened(&mut server, &mut dialed).await;
    assert!(dialed.close().await.is_gone);
    assert!(server.is_idle(), "such a session is not ended by name");
}

#[tokio::test]
async fn a_server_that_is_said_to_be_no_older_one_is_not_asked_as_one() {
    let mut server = Server::start().await;
    let mut dialed = Dialed::at(Remote { style: Style::Streamable, ..remote(&server.url()) }).await;
    dialed.call(0, "initialize", "").await;
    server.asked("POST").await.status(404);
    assert_eq!(dialed.error(0).await["data"]["status"], 404);
    assert!(server.is_idle());
}

#[tokio::test]
async fn what_a_modern_server_says_is_no_reason_to_look_for_an_older_one() {
    let mut server = Server::start().await;
    let mut dialed = Dialed::to(&server).await;
    dialed.call(0, "initialize", "").await;
    server.asked("POST").await.reply(400, &[], &super::error(0, -32022));
    assert_eq!(dialed.error(0).await["code"], -32022);
    assert!(server.is_idle());
}

#[tokio::test]
async fn without_such_a_stream_the_refusal_stands() {
    let mut server = Server::start().await;
    let mut dialed = Dialed::to(&server).await;
    dialed.call(0, "initialize", "").await;
    server.asked("POST").await.reply(400, &[], &super::error(0, -32000));
    let mut stream = server.asked("GET").await.stream();
    stream.say("no address").await;
    assert_eq!(dialed.error(0).await["code"], -32000);
}

#[tokio::test]
async fn messages_go_to_no_other_place() {
    let mut server = Server::start().await;
    let mut elsewhere = Server::start().await;
    let mut dialed = Dialed::to(&server).await;
    dialed.call(0, "initialize", "").await;
    server.asked("POST").await.status(405);
    let mut stream = server.asked("GET").await.stream();
    stream.write(&format!("event: endpoint\ndata: {}\n\n", elsewhere.url())).await;
    let error = dialed.refused().await;
    assert!(matches!(error, ConnectError::Permanent { .. }), "{error:?}");
    assert!(error.to_string().contains("wants its messages sent to"), "{error}");
    assert!(elsewhere.is_idle());
}
