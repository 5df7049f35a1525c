//! Requests that stand for themselves.

use super::{Dialed, META, call, error, header, remote, response, server::Server};
use mcplex_proto::transport::Received;
use mcplex_transport_http::dial::{HttpTransport, Remote};
use std::collections::BTreeMap;

#[tokio::test]
async fn a_request_says_in_its_headers_what_it_is() {
    let mut server = Server::start().await;
    let headers = BTreeMap::from([("X-Key".to_owned(), "k".to_owned())]);
    let mut dialed = Dialed::at(Remote { headers, ..remote(&server.url()) }).await;
    let text = call(1, "tools/call", &format!(r#"{META},"name":"grüß","arguments":{{}}"#));
    dialed.send(&text).await;
    let asked = server.asked("POST").await;
    assert_eq!((asked.path.as_str(), asked.body.as_str()), ("/mcp", text.as_str()));
    for (name, value) in [
        ("content-type", Some("application/json")),
        ("accept", Some("application/json, text/event-stream")),
        ("accept-encoding", Some("identity")),
        ("mcp-protocol-version", Some("2026-07-28")),
        ("mcp-method", Some("tools/call")),
        ("mcp-name", Some("=?base64?Z3LDvMOf?=")),
        ("x-key", Some("k")),
        ("mcp-session-id", None),
        ("authorization", None),
    ] {
        assert_eq!(header(&asked, name), value, "{name}");
    }
    // A session id that comes along means nothing.
    asked.answer_with(&[("mcp-session-id", "stray")], &response(1, r#"{"n":1.50}"#));
    assert_eq!(dialed.result(1).await, r#"{"n":1.50}"#);
    dialed.call(2, "resources/read", &format!(r#"{META},"uri":"a://b c""#)).await;
    let asked = server.asked("POST").await;
    assert_eq!(header(&asked, "mcp-name"), Some("a://b c"));
    assert_eq!(header(&asked, "mcp-session-id"), None);
    assert_eq!(asked.connection, 1, "one connection is enough");
    asked.answer(&response(2, "{}"));
    dialed.result(2).await;
    // There is nothing to end by name.
    assert!(dialed.close().await.is_gone);
    assert!(server.is_idle());
}

#[tokio::test]
async fn what_comes_before_the_answer_is_about_the_call() {
    let mut server = Server::start().await;
    let mut dialed = Dialed::to(&server).await;
    dialed.call(7, "tools/call", &format!(r#"{META},"name":"t""#)).await;
    let mut stream = server.asked("POST").await.stream();
    stream.write(": a comment\r\n\r\nid: x\ndata:\n\n").await;
    stream.say(r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{}}"#).await;
    let Received::About(message, id) = dialed.next().await else { panic!("it is about a call") };
    assert_eq!(id, 7.into());
    assert!(String::from_utf8_lossy(&message.to_bytes()).contains("progress"));
    // Cut anywhere.
    let text = format!("data: {}\n\n", response(7, r#"{"a":"b"}"#));
    let (first, second) = text.split_at(20);
    stream.write(first).await;
    stream.write(second).await;
    assert_eq!(dialed.result(7).await, r#"{"a":"b"}"#);
}

#[tokio::test]
async fn a_stream_that_ends_without_an_answer_fails_its_call_alone() {
    let mut server = Server::start().await;
    let mut dialed = Dialed::to(&server).await;
    dialed.call(1, "tools/call", &format!(r#"{META},"name":"t""#)).await;
    let mut stream = server.asked("POST").await.stream();
    // No id brings it back: modern servers do not resume.
    stream.write("id: 1\nretry: 1\ndata: \n\n").await;
    stream.cut();
    let error = dialed.error(1).await;
    assert_eq!(
        (&error["code"], &error["data"]["reason"]),
        (&(-32603).into(), &"stream lost".into())
    );
    dialed.call(2, "tools/list", META).await;
    server.asked("POST").await.answer(&response(2, r#"{"tools":[]}"#));
    dialed.result(2).await;
}

#[tokio::test]
async fn a_call_is_cancelled_by_closing_its_stream() {
    let mut server = Server::start().await;
    let mut dialed = Dialed::to(&server).await;
    dialed.call(1, "tools/call", &format!(r#"{META},"name":"t""#)).await;
    let stream = server.asked("POST").await.stream();
    dialed
        .send(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#)
        .await;
    stream.abandoned().await;
    // Neither a response nor a notification is ever told to such a server.
    dialed.send(r#"{"jsonrpc":"2.0","id":5,"result":{}}"#).await;
    dialed.call(2, "tools/list", META).await;
    let asked = server.asked("POST").await;
    assert!(asked.body.contains("tools/list"), "{}", asked.body);
    asked.answer(&response(2, r#"{"tools":[]}"#));
    dialed.result(2).await;
}

const TOOLS: &str = r#"{"tools":[{"name":"good","inputSchema":{"properties":{"r":{"type":"string","x-mcp-header":"Region"}}}}, {"name":"bad","inputSchema":{"properties":{"r":{"type":"number","x-mcp-header":"R"}}}}],"ttlMs":1}"#;

#[tokio::test]
async fn arguments_go_into_headers_as_the_list_says() {
    let mut server = Server::start().await;
    let transport = HttpTransport::new(remote(&server.url()));
    let mut dialed = Dialed::by(&transport).await;
    dialed.call(1, "tools/list", META).await;
    server.asked("POST").await.answer(&response(1, TOOLS));
    let listed = dialed.result(1).await;
    assert!(listed.contains("\"good\"") && !listed.contains("\"bad\""), "{listed}");
    assert!(listed.ends_with(r#"],"ttlMs":1}"#), "the rest stays: {listed}");
    drop(dialed);
    // It is known in the next life too, whose first calls may come before a list.
    let mut dialed = Dialed::by(&transport).await;
    let params = format!(r#"{META},"name":"good","arguments":{{"r":"eu"}}"#);
    dialed.call(2, "tools/call", &params).await;
    let asked = server.asked("POST").await;
    assert_eq!(header(&asked, "mcp-param-region"), Some("eu"));
    asked.answer(&response(2, "{}"));
    dialed.result(2).await;
    let bad = format!(r#"{META},"name":"good","arguments":{{"r":1}}"#);
    dialed.call(3, "tools/call", &bad).await;
    assert_eq!(dialed.error(3).await["code"], -32602);
}

#[tokio::test]
async fn headers_that_are_out_of_date_are_learned_and_sent_once_more() {
    let mut server = Server::start().await;
    let mut dialed = Dialed::to(&server).await;
    let params = format!(r#"{META},"name":"good","arguments":{{"r":"eu"}}"#);
    dialed.call(1, "tools/call", &params).await;
    server.asked("POST").await.reply(
        400,
        &[("content-type", "application/json")],
        &error(1, -32020),
    );
    let asked = server.asked("POST").await;
    assert_eq!(header(&asked, "mcp-method"), Some("tools/list"));
    assert!(asked.body.contains("clientCapabilities"), "{}", asked.body);
    asked.answer(&format!(r#"{{"jsonrpc":"2.0","id":"mcplex/tools","result":{TOOLS}}}"#));
    let asked = server.asked("POST").await;
    assert_eq!(header(&asked, "mcp-param-region"), Some("eu"));
    asked.answer(&response(1, r#"{"ok":true}"#));
    assert_eq!(dialed.result(1).await, r#"{"ok":true}"#);

    // Where nothing new is learned, nothing is sent again.
    dialed.call(2, "tools/call", &params).await;
    server.asked("POST").await.reply(400, &[], &error(2, -32020));
    server
        .asked("POST")
        .await
        .answer(&format!(r#"{{"jsonrpc":"2.0","id":"mcplex/tools","result":{TOOLS}}}"#));
    assert_eq!(dialed.error(2).await["code"], -32020);
    assert!(server.is_idle());
}

#[tokio::test]
async fn requests_run_side_by_side_up_to_a_bound() {
    let mut server = Server::start().await;
    let mut dialed = Dialed::to(&server).await;
    for id in 0..300 {
        dialed.call(id, "tools/call", &format!(r#"{META},"name":"t""#)).await;
    }
    let mut waiting = Vec::new();
    for _ in 0..256 {
        waiting.push(server.asked("POST").await);
    }
    for id in 0..300 {
        assert!(id > 0 || server.is_idle(), "no more at once");
        let asked = if waiting.is_empty() { server.asked("POST").await } else { waiting.remove(0) };
        let body: serde_json::Value = serde_json::from_str(&asked.body).unwrap();
        let id = body["id"].as_u64().unwrap();
        asked.answer(&response(id, "{}"));
        dialed.result(id).await;
    }
}

#[tokio::test]
async fn a_server_that_became_an_older_one_ends_the_connection() {
    // As servers of the older revisions refuse what they do not know.
    for (status, said) in [
        (400, r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"not initialized"}}"#),
        (400, r#"{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"no"}}"#),
        (404, ""),
    ] {
        let mut server = Server::start().await;
        let mut dialed = discovered(&mut server).await;
        let params = format!(r#""name":"t",{META}"#);
        dialed.call(1, "tools/call", &params).await;
        server.asked("POST").await.reply(status, &[], said);
        let asked = server.asked("POST").await;
        assert_eq!(header(&asked, "mcp-method"), Some("server/discover"));
        asked.reply(status, &[], said);
        // The call has its answer first.
        dialed.error(1).await;
        let why = dialed.ended().await;
        assert!(why.contains("no longer answers as a server of 2026-07-28"), "{why}");
    }
}

#[tokio::test]
async fn a_probe_that_only_an_older_server_refuses_ends_the_connection() {
    for said in [error(1, -32601), error(1, -32022), error(1, -32000)] {
        for way in ["status", "body", "stream"] {
            let mut server = Server::start().await;
            let mut dialed = discovered(&mut server).await;
            dialed.call(1, "server/discover", META).await;
            let asked = server.asked("POST").await;
            match way {
                "status" => asked.reply(404, &[], &said),
                "body" => asked.answer(&said),
                _ => asked.stream().say(&said).await,
            }
            dialed.error(1).await;
            dialed.ended().await;
        }
    }
    // One that fails inside may be what it was.
    let mut server = Server::start().await;
    let mut dialed = discovered(&mut server).await;
    for id in 1..3 {
        dialed.call(id, "server/discover", META).await;
        server.asked("POST").await.answer(&error(id, -32603));
        dialed.error(id).await;
    }
}

#[tokio::test]
async fn what_a_modern_server_refuses_is_no_reason_to_doubt_it() {
    let mut server = Server::start().await;
    let mut dialed = discovered(&mut server).await;
    let params = format!(r#""name":"t",{META}"#);
    for (id, status, code) in [(1, 400, -32602), (2, 404, -32601), (3, 400, -32021)] {
        dialed.call(id, "prompts/get", &params).await;
        server.asked("POST").await.reply(status, &[], &error(id, code));
        assert_eq!(dialed.error(id).await["code"], code);
    }
    // Whatever else it says, it is asked what it is.
    dialed.call(4, "tools/call", &params).await;
    server.asked("POST").await.reply(400, &[], &error(4, -32600));
    server.asked("POST").await.answer(&response(0, "{}"));
    assert_eq!(dialed.error(4).await["code"], -32600);
    dialed.call(5, "tools/call", &params).await;
    server.asked("POST").await.reply(400, &[], "");
    server.asked("POST").await.status(503);
    assert_eq!(dialed.error(5).await["data"]["status"], 400);
    assert!(server.is_idle());
}

/// A connection to a server that has said that it is a modern one.
async fn discovered(server: &mut Server) -> Dialed {
    let mut dialed = Dialed::to(server).await;
    dialed.call(0, "server/discover", META).await;
    server.asked("POST").await.answer(&response(0, "{}"));
    dialed.result(0).await;
    dialed
}
