//! Clients that mean harm, or were written by nobody who cared: each meets an error or a limit.

use crate::{
    gateway::Server,
    peer::{LATEST, Peer, call, result, stateless},
};
use mcplex_transport_http::Options;
use std::{fmt::Write as _, time::Duration};

/// A value in a value in a value.
fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

#[tokio::test]
async fn deep_nesting_has_a_limit_and_no_stack_overflows() {
    let server = Server::start(Options::default());
    let mut peer = server.open(LATEST).await;
    let fits = format!(r#"{{"a":{}}}"#, nested(500));
    assert_eq!(peer.post(&call("1", "echo", &fits)).await.1, result("1", &fits));
    let (head, body) = peer.ask_stateless("2", "echo", &format!(r#""a":{}"#, nested(500))).await;
    assert_eq!(head.status, 200, "{body}");
    for depth in [600, 1_000_000] {
        let (head, body) =
            peer.post(&call("3", "echo", &format!(r#"{{"a":{}}}"#, nested(depth)))).await;
        assert_eq!(head.status, 400);
        assert!(body.contains("too deep") && body.contains(r#""id":3"#), "{body}");
        let rest = format!(r#""a":{}"#, nested(depth));
        let (head, body) = peer.ask_stateless("4", "echo", &rest).await;
        assert_eq!(head.status, 400);
        assert!(body.contains("too deep") && body.contains(r#""id":4"#), "{body}");
        // Never closed, and nothing but brackets.
        assert_eq!(peer.post(&"[".repeat(depth)).await.0.status, 400);
        assert_eq!(peer.post(&nested(depth)).await.0.status, 400);
        assert_eq!(peer.post(&"{\"a\":".repeat(depth)).await.0.status, 400);
    }
    assert_eq!(peer.post(&call("5", "echo", "{}")).await.0.status, 200);
}

#[tokio::test]
async fn numbers_pass_unread_and_ids_have_a_size() {
    let server = Server::start(Options::default());
    let mut peer = server.open(LATEST).await;
    let numbers =
        format!(r#"{{"a":1e999,"b":-0.0,"c":{},"d":0.1{}}}"#, "9".repeat(5000), "0".repeat(500));
    assert_eq!(peer.post(&call("1", "echo", &numbers)).await.1, result("1", &numbers));
    for id in [&*"9".repeat(50), "1e400", "1.0", "-", "0x1", "NaN"] {
        let (head, body) = peer.post(&call(id, "echo", "{}")).await;
        assert_eq!(head.status, 400, "{id}");
        assert!(!body.contains(r#""result""#), "{body}");
    }
    let id = "-170141183460469231731687303715884105728";
    assert_eq!(peer.post(&call(id, "echo", "{}")).await.1, result(id, "{}"));
}

#[tokio::test]
async fn what_could_be_read_in_two_ways_is_refused() {
    let server = Server::start(Options::default());
    let mut peer = server.open(LATEST).await;
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"echo"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"echo","method":"hold"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"echo","meth\u006fd":"hold"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"echo","params":{},"params":{"a":1}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"echo","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"echo"} {}"#,
    ] {
        let (head, answer) = peer.post(body).await;
        assert_eq!(head.status, 400, "{body}");
        assert!(answer.contains("-32700") || answer.contains("-32600"), "{answer}");
    }
    let twice = stateless("1", "tools/call", r#""name":"a","name":"b""#);
    let headers = ["MCP-Protocol-Version: 2026-07-28", "Mcp-Method: tools/call", "Mcp-Name: a"];
    assert_eq!(peer.ask("POST", &headers, &twice).await.0.status, 400);
}

#[tokio::test]
async fn bytes_that_are_no_text_are_refused() {
    let server = Server::start(Options::default());
    let mut peer = server.open(LATEST).await;
    let places: [&[u8]; 4] = [
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"echo\",\"params\":{\"a\":\"\xff\"}}",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xc0\x80\"}",
        b"{\"jsonrpc\":\"2.0\",\"id\":\"\xed\xa0\x80\",\"method\":\"echo\"}",
        b"\xfe\xff\x00{\x00}",
    ];
    for body in places {
        let head = format!(
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nMcp-Session-Id: {}\r\nContent-Length: {}\r\n\r\n",
            peer.session,
            body.len()
        );
        peer.write(&[head.as_bytes(), body].concat()).await;
        let (head, answer) = peer.response().await;
        assert_eq!(head.status, 400);
        assert!(answer.contains("-32700"), "{answer}");
    }
    // A half of a character is text to JSON; as a method it is the name of nothing.
    let (head, _) = peer.post(r#"{"jsonrpc":"2.0","id":1,"method":"\ud800"}"#).await;
    assert_eq!(head.status, 400);
    assert_eq!(peer.post(&call("2", "echo", "{}")).await.0.status, 200);
}

#[tokio::test]
async fn a_head_has_a_size() {
    let server = Server::start(Options { max_head: 8 * 1024, ..Options::default() });
    let mut peer = server.connect().await;
    let long = format!("X-Long: {}", "x".repeat(20_000));
    peer.request("POST", &[&long], "").await;
    assert_eq!(peer.head().await.status, 431);
    assert!(peer.is_closed().await);
    let server = Server::start(Options::default());
    let mut peer = server.connect().await;
    let mut many = String::new();
    for at in 0..200 {
        write!(many, "X-{at}: 1\r\n").unwrap();
    }
    peer.request("POST", &[many.trim_end()], "").await;
    assert_eq!(peer.head().await.status, 431);
    let mut peer = server.open(LATEST).await;
    let long = format!("X-Long: {}", "x".repeat(100_000));
    assert_eq!(peer.ask("POST", &[&long], &call("1", "echo", "{}")).await.0.status, 200);
}

#[tokio::test]
async fn a_head_that_comes_slowly_is_not_waited_for() {
    let head_timeout = Duration::from_millis(50);
    let server = Server::start(Options { head_timeout, ..Options::default() });
    let mut silent = server.connect().await;
    let mut slow = server.connect().await;
    slow.write(b"POST /mcp HTTP/1.1\r\nHost: loc").await;
    assert!(silent.is_closed().await && slow.is_closed().await);
}

#[tokio::test]
async fn heads_that_never_come_hold_up_others_no_longer_than_that() {
    let head_timeout = Duration::from_millis(50);
    let server = Server::start(Options { head_timeout, max_connections: 4, ..Options::default() });
    let mut slow = Vec::new();
    for _ in 0..4 {
        let mut peer = server.connect().await;
        peer.write(b"POST /mcp HTTP/1.1\r\n").await;
        slow.push(peer);
    }
    let mut honest = server.open(LATEST).await;
    assert_eq!(honest.post(&call("1", "echo", "{}")).await.0.status, 200);
}

#[tokio::test]
async fn bodies_that_never_come_hold_up_nobody_for_long() {
    let options = Options {
        read_timeout: Duration::from_millis(50),
        max_connections: 4,
        ..Options::default()
    };
    let server = Server::start(options);
    let mut slow = Vec::new();
    for _ in 0..4 {
        let mut peer = server.connect().await;
        peer.request("POST", &["Content-Length: 1000000"], "{").await;
        slow.push(peer);
    }
    for peer in &mut slow {
        assert_eq!(peer.response().await.0.status, 408);
        assert!(peer.is_closed().await);
    }
    server.open(LATEST).await;
}

#[tokio::test]
async fn bodies_on_their_way_share_a_bound() {
    let server =
        Server::start(Options { max_body: 1_000_000, max_bodies: 1_500_000, ..Options::default() });
    let length = ["Content-Length: 1000000"];
    let most = " ".repeat(900_000);
    let mut first = server.connect().await;
    first.request("POST", &length, &most).await;
    let mut second = server.connect().await;
    second.request("POST", &length, &most).await;
    // Either of them is the one too many; who was first in, the system knows.
    let refused = tokio::select! {
        head = first.head() => { drop(first); (head, second) }
        head = second.head() => { drop(second); (head, first) }
    };
    let ((head, mut other), rest) = (refused, " ".repeat(100_000));
    assert_eq!((head.status, head.get("retry-after")), (503, "1"));
    // The other one is read to its end.
    other.write(rest.as_bytes()).await;
    assert_eq!(other.response().await.0.status, 400);
    let mut third = server.connect().await;
    let whole = format!("{most}{rest}");
    assert_eq!(third.ask("POST", &length, &whole).await.0.status, 400);
}

#[tokio::test]
async fn a_batch_that_is_far_too_long_takes_no_memory() {
    let server = Server::start(Options::default());
    let mut peer = server.open("2025-03-26").await;
    let many = format!("[{}1]", "1,".repeat(5_000_000));
    let (head, body) = peer.post(&many).await;
    assert_eq!(head.status, 400);
    assert!(body.contains("too many messages"), "{body}");
}

#[tokio::test]
async fn an_object_of_very_many_members_is_not_looked_into() {
    let mut server = Server::start(Options::default());
    let mut peer = server.connect().await;
    let many = "\"a\":0,".repeat(200_000);
    let rest = format!("{many}\"protocolVersion\":0");
    // What names it cannot be found, so it is no stateless request, whatever the header says.
    let (head, body) = peer.ask_stateless("1", "echo", &rest).await;
    assert_eq!(head.status, 400);
    assert!(body.contains("-32602"), "{body}");
    peer.initialize(LATEST).await;
    let params = format!("{{{many}\"b\":0}}");
    assert_eq!(peer.post(&call("2", "echo", &params)).await.0.status, 200);
    peer.ask("DELETE", &[], "").await;
    assert_eq!(server.saw().await, "close");
}

#[tokio::test]
async fn who_takes_nothing_of_an_answer_is_cut_off() {
    let write_timeout = Duration::from_millis(100);
    let mut server = Server::start(Options { write_timeout, ..Options::default() });
    let mut peer = server.connect().await;
    // More than the buffers of the system hold, and nobody reads it.
    for id in 0..100 {
        peer.send_stateless(&id.to_string(), "large", "").await;
    }
    let mut closed = 0;
    while closed < 100 {
        let next = tokio::time::timeout(Duration::from_secs(1), server.saw()).await;
        match next {
            Ok(event) => assert_eq!(event, "close"),
            Err(_) => break,
        }
        closed += 1;
    }
    assert!((1..100).contains(&closed), "{closed}");
    // The place of the connection is free again: it has been reset.
    let mut read = 0;
    while read < 100 && peer.try_response().await.is_some() {
        read += 1;
    }
    assert!(read < 100, "{read}");
}

#[tokio::test]
async fn a_flood_of_requests_in_one_write_is_answered_in_order() {
    let server = Server::start(Options::default());
    let mut peer = server.connect().await;
    let mut flood = String::new();
    for id in 0..500 {
        let body = stateless(&id.to_string(), "echo", "");
        write!(
            flood,
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nMCP-Protocol-Version: 2026-07-28\r\nMcp-Method: echo\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
    }
    peer.write(flood.as_bytes()).await;
    for id in 0..500 {
        let (head, body) = peer.response().await;
        assert_eq!(head.status, 200);
        assert!(body.contains(&format!(r#""id":{id},"#)), "{body}");
    }
}

#[tokio::test]
async fn sessions_in_a_loop_meet_their_bound_and_nobody_else_does() {
    let server = Server::start(Options { max_sessions: 8, ..Options::default() });
    let mut peers: Vec<Peer> = Vec::new();
    for _ in 0..8 {
        peers.push(server.open(LATEST).await);
    }
    let mut greedy = server.connect().await;
    for _ in 0..200 {
        let (head, _) = greedy.post(&crate::peer::initialize(LATEST)).await;
        assert_eq!((head.status, head.get("mcp-session-id")), (503, ""));
    }
    for peer in &mut peers {
        assert_eq!(peer.post(&call("1", "echo", "{}")).await.0.status, 200);
    }
    assert_eq!(greedy.ask_stateless("1", "echo", "").await.0.status, 200);
}
