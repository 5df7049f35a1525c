//! Sessions that `initialize` opens.

use super::{Dialed, call, header, response, server::Server};
use mcplex_proto::{
    message::{Message, Outcome},
    transport::Received,
};

const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

#[tokio::test]
async fn a_session_is_named_in_every_request_until_it_is_ended() {
    for (version, named) in [
        ("2025-11-25", Some("2025-11-25")),
        ("2025-06-18", Some("2025-06-18")),
        ("2025-03-26", None),
    ] {
        let mut server = Server::start().await;
        let mut dialed = Dialed::to(&server).await;
        dialed.call(0, "initialize", "").await;
        let asked = server.asked("POST").await;
        assert_eq!(header(&asked, "mcp-session-id"), None);
        assert_eq!(header(&asked, "mcp-protocol-version"), None);
        let result = format!(r#"{{"protocolVersion":"{version}"}}"#);
        asked.answer_with(&[("Mcp-Session-Id", "s1")], &response(0, &result));
        dialed.result(0).await;
        // A call that comes at once waits until the server knows that the session is open.
        dialed.send(INITIALIZED).await;
        dialed.call(1, "ping", "").await;
        let asked = server.asked("POST").await;
        assert_eq!(asked.body, INITIALIZED);
        assert!(server.is_idle());
        let check = |asked: &super::Asked| {
            assert_eq!(header(asked, "mcp-session-id"), Some("s1"));
            assert_eq!(header(asked, "mcp-protocol-version"), named);
        };
        check(&asked);
        asked.accept();
        let mut ping = None;
        for _ in 0..2 {
            let asked = server.next().await;
            check(&asked);
            if asked.method == "GET" {
                assert_eq!(header(&asked, "accept"), Some("text/event-stream"));
                asked.status(405);
            } else {
                ping = Some(asked);
            }
        }
        ping.unwrap().answer(&response(1, "{}"));
        dialed.result(1).await;
        // An answer of ours is a message like any other.
        dialed.send(r#"{"jsonrpc":"2.0","id":"q","result":{}}"#).await;
        let asked = server.asked("POST").await;
        check(&asked);
        asked.accept();
        #[expect(clippy::disallowed_methods, reason = "ends with the test")]
        let closing = tokio::spawn(dialed.close());
        let asked = server.asked("DELETE").await;
        check(&asked);
        asked.status(405);
        assert!(closing.await.unwrap().is_gone);
    }
}

#[tokio::test]
async fn a_session_id_that_comes_with_anything_else_is_none() {
    let mut server = Server::start().await;
    let mut dialed = Dialed::to(&server).await;
    let stray = [("mcp-session-id", "stray"), ("content-type", "application/json")];
    dialed.call(1, "server/discover", super::META).await;
    let error = r#"{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Bad Request: Missing session ID"}}"#;
    server.asked("POST").await.reply(400, &stray, error);
    let error = dialed.error(1).await;
    assert_eq!(error["message"], "Bad Request: Missing session ID", "under our own id");
    dialed.open(&mut server, "2025-11-25").await;
    dialed.call(2, "ping", "").await;
    let asked = server.asked("POST").await;
    assert_eq!(header(&asked, "mcp-session-id"), Some("s1"));
    asked.answer(&response(2, "{}"));
    dialed.result(2).await;
}

#[tokio::test]
async fn a_session_may_have_no_name_and_come_on_a_stream() {
    let mut server = Server::start().await;
    let mut dialed = Dialed::to(&server).await;
    dialed.call(0, "initialize", "").await;
    let mut stream = server.asked("POST").await.stream();
    stream.say(&response(0, r#"{"protocolVersion":"2025-06-18"}"#)).await;
    drop(stream);
    dialed.result(0).await;
    dialed.send(INITIALIZED).await;
    let asked = server.asked("POST").await;
    assert_eq!(header(&asked, "mcp-session-id"), None);
    assert_eq!(header(&asked, "mcp-protocol-version"), Some("2025-06-18"));
    asked.accept();
    server.asked("GET").await.status(405);
    assert!(dialed.close().await.is_gone);
    assert!(server.is_idle(), "nothing has a name to be ended by");
}

#[tokio::test]
async fn a_call_is_cancelled_by_a_notification() {
    let mut server = Server::start().await;
    let mut dialed = Dialed::session(&mut server, "2025-11-25").await;
    dialed.call(1, "tools/call", "").await;
    let stream = server.asked("POST").await.stream();
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
    dialed.send(cancel).await;
    let asked = server.asked("POST").await;
    assert_eq!(asked.body, cancel);
    asked.accept();
    stream.abandoned().await;
}

#[tokio::test]
async fn the_stream_of_a_call_goes_on_where_it_was_cut() {
    let mut server = Server::start().await;
    let mut dialed = Dialed::session(&mut server, "2025-11-25").await;
    dialed.call(4, "tools/call", "").await;
    let mut stream = server.asked("POST").await.stream();
    // No data, but where to go on from, and after how long.
    stream.write("id: a-0\nretry: 5\ndata: \n\n").await;
    drop(stream);
    let asked = server.asked("GET").await;
    assert_eq!(header(&asked, "last-event-id"), Some("a-0"));
    assert_eq!(header(&asked, "mcp-session-id"), Some("s1"));
    let mut stream = asked.stream();
    stream
        .write("id: a-1\ndata: {\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"roots/list\"}\n\n")
        .await;
    let Received::About(Message::Request(question), id) = dialed.next().await else {
        panic!("it is about the call")
    };
    assert_eq!((question.method.as_ref(), id), ("roots/list", 4.into()));
    stream.cut();
    // A server that has no time now is asked again.
    server.asked("GET").await.status(503);
    let asked = server.asked("GET").await;
    assert_eq!(header(&asked, "last-event-id"), Some("a-1"));
    let mut stream = asked.stream();
    stream.write(&format!("id: a-2\ndata: {}\n\n", response(4, "{}"))).await;
    dialed.result(4).await;
}

#[tokio::test]
async fn a_call_whose_stream_cannot_go_on_fails() {
    let mut server = Server::start().await;
    let mut dialed = Dialed::session(&mut server, "2025-11-25").await;
    dialed.call(1, "tools/call", "").await;
    drop(server.asked("POST").await.stream());
    assert_eq!(dialed.error(1).await["data"]["reason"], "stream lost", "it had no id");
    dialed.call(2, "tools/call", "").await;
    let mut stream = server.asked("POST").await.stream();
    stream.write("id: a\nretry: 1\ndata:\n\n").await;
    drop(stream);
    server.asked("GET").await.status(405);
    assert_eq!(dialed.error(2).await["data"]["reason"], "stream lost");
}

#[tokio::test]
async fn what_belongs_to_no_call_comes_on_a_stream_of_its_own() {
    let mut server = Server::start().await;
    let mut dialed = Dialed::to(&server).await;
    dialed.initialize(&mut server, "2025-11-25").await;
    dialed.send(INITIALIZED).await;
    server.asked("POST").await.accept();
    let mut stream = server.asked("GET").await.stream();
    let changed = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    stream.write(&format!("id: g-1\nretry: 5\nevent: message\ndata: {changed}\n\n")).await;
    stream.write("event: ping\ndata: 2026\n\n").await;
    assert!(matches!(dialed.next().await, Received::Message(Message::Notification(_))));
    drop(stream);
    let asked = server.asked("GET").await;
    assert_eq!(header(&asked, "last-event-id"), Some("g-1"));
    let mut stream = asked.stream();
    // An answer may come there after all.
    stream.say(&response(3, "{}")).await;
    dialed.result(3).await;
    // Calls do not wait for it.
    dialed.call(4, "ping", "").await;
    server.asked("POST").await.answer(&response(4, "{}"));
    dialed.result(4).await;
}

#[tokio::test]
async fn questions_are_answered_while_the_call_is_open() {
    let mut server = Server::start().await;
    let mut dialed = Dialed::session(&mut server, "2025-11-25").await;
    dialed.send(&call(1, "tools/call", r#""name":"ask""#)).await;
    let mut stream = server.asked("POST").await.stream();
    stream.say(r#"{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{}}"#).await;
    let Received::About(Message::Request(question), _) = dialed.next().await else {
        panic!("it is a question")
    };
    dialed.send(&format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, question.id)).await;
    server.asked("POST").await.accept();
    stream.say(&response(1, "{}")).await;
    dialed.result(1).await;
}

#[tokio::test]
async fn a_batch_answers_the_call_it_came_for() {
    let mut server = Server::start().await;
    let mut dialed = Dialed::session(&mut server, "2025-03-26").await;
    let note = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#;
    for (id, is_stream) in [(1, false), (2, true)] {
        dialed.call(id, "tools/call", "").await;
        let asked = server.asked("POST").await;
        let batch = format!("[{note},{}]", response(id, "{}"));
        if is_stream {
            asked.stream().say(&batch).await;
        } else {
            // A mark before it is no part of it.
            asked.answer(&format!("\u{feff}{batch}"));
        }
        let heard = dialed.next().await;
        assert!(matches!(&heard, Received::About(_, about) if *about == id.into()), "{heard:?}");
        dialed.result(id).await;
    }
    dialed.call(3, "tools/call", "").await;
    server.asked("POST").await.answer(&format!("[{note}]"));
    assert!(matches!(dialed.next().await, Received::About(..)));
    let error = dialed.error(3).await;
    assert!(error["message"].as_str().unwrap().contains("a batch without it"), "{error}");
}

#[tokio::test]
async fn a_number_that_comes_back_as_a_string_is_the_same() {
    let mut server = Server::start().await;
    let mut dialed = Dialed::session(&mut server, "2025-11-25").await;
    let answer = |id: u64| format!(r#"{{"jsonrpc":"2.0","id":"{id}","result":{{}}}}"#);
    dialed.call(1, "tools/call", "").await;
    server.asked("POST").await.answer(&answer(1));
    dialed.call(2, "tools/call", "").await;
    server.asked("POST").await.stream().say(&answer(2)).await;
    for id in [1, 2] {
        let next = dialed.next().await;
        let Received::Message(Message::Response(response)) = next else { panic!("{next:?}") };
        assert_eq!(response.id.and_then(|id| id.minted()), Some(id));
        assert!(matches!(response.outcome, Outcome::Result(_)));
    }
}

#[tokio::test]
async fn an_answer_on_a_stream_that_cannot_be_read_fails_its_call() {
    let mut server = Server::start().await;
    let mut dialed = Dialed::session(&mut server, "2025-11-25").await;
    dialed.call(1, "tools/call", "").await;
    let mut stream = server.asked("POST").await.stream();
    // Neither its end nor the same stream once more is waited for.
    stream.write("id: e-1\ndata: half a line\n\n").await;
    assert!(matches!(dialed.next().await, Received::Garbage(_)));
    stream.say(r#"{"jsonrpc":"2.0","id":1,"result":{"text":"\x"}}"#).await;
    let error = dialed.error(1).await;
    assert!(error["message"].as_str().unwrap().contains("cannot be read"), "{error}");
}
