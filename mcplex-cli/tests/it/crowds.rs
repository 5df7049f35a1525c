//! Very many clients: what they cost, and where it ends.

use crate::{
    client::{connect, initialize, text},
    gateway::{Gateway, Setup},
    stateless::Stateless,
};
use serde_json::json;
use std::fs;

/// How much memory the gateway has in use, in KiB.
fn memory(gateway: &Gateway) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn ten_thousand_idle_sessions_take_little_and_the_next_one_is_refused() {
    const SESSIONS: u64 = 10_000;
    let setup = Setup::new(&format!("[gateway]\nmax_sessions = {SESSIONS}")).server("good", &[]);
    let gateway = setup.serve();
    let url = gateway.url();
    let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": initialize(&json!({})) });
    let body = body.to_string();
    let request = format!(
        "POST /{path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut wire = connect(address);
    let mut open = || wire.exchange(request.as_bytes(), |_| {}, |_| {}).unwrap();
    // What the first ones cost is paid once.
    for _ in 0..100 {
        assert_eq!(open().status, 200);
    }
    let before = memory(&gateway);
    for _ in 100..SESSIONS {
        assert_eq!(open().status, 200);
    }
    let each = (memory(&gateway) - before) * 1024 / (SESSIONS - 100);
    println!("an idle session takes {each} bytes");
    assert!(each < 8 * 1024, "an idle session takes {each} bytes");
    let refused = open();
    assert_eq!((refused.status, refused.session), (503, None));
    let mut stateless = Stateless::new(&url);
    assert_eq!(text(&stateless.call("add", &json!({ "a": 1, "b": 2 }))), "3");
}

#[test]
fn hundreds_of_open_subscriptions_take_little_and_the_next_one_is_refused() {
    const LISTENS: usize = 400;
    let limits = format!("[gateway]\nmax_listens = {LISTENS}");
    let setup = Setup::new(&limits).server("good", &[]);
    let gateway = setup.serve();
    let mut stateless = Stateless::new(&gateway.url());
    assert_eq!(text(&stateless.call("add", &json!({ "a": 1, "b": 2 }))), "3");
    let wanted = json!({ "notifications": { "toolsListChanged": true } });
    let mut open = |count: usize| -> Vec<_> {
        let begin = |_| {
            let listen = stateless.begin("subscriptions/listen", &wanted);
            assert_eq!(listen.head().status, 200);
            listen.next();
            listen
        };
        (0..count).map(begin).collect()
    };
    let first = open(50);
    let before = memory(&gateway);
    let rest = open(LISTENS - 50);
    let each = (memory(&gateway) - before) * 1024 / (LISTENS as u64 - 50);
    println!("an open subscription takes {each} bytes");
    assert!(each < 64 * 1024, "an open subscription takes {each} bytes");
    assert_eq!(stateless.begin("subscriptions/listen", &wanted).head().status, 503);
    // All of them hear of it, and nobody is held up.
    stateless.call("grow", &json!({}));
    for listen in first.iter().chain(&rest) {
        assert_eq!(listen.next()["method"], "notifications/tools/list_changed");
    }
}
