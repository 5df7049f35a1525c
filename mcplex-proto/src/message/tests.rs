//! What is a message, what is not, and that nothing is lost on the way.

use super::*;
use proptest::prelude::*;

fn parse(text: &str) -> Result<Message, BadMessage> {
    Message::parse(Bytes::copy_from_slice(text.as_bytes()))
}

#[test]
fn messages_survive_the_way_through_byte_for_byte() {
    for text in [
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"b":1.50,"a":[1E5,null],"é":"é"}}"#,
        r#"{"jsonrpc":"2.0","id":"1","method":"vendor/thing"}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{ "progressToken" : 3 }}"#,
        r#"{"jsonrpc":"2.0","id":123456789012345678901234567890,"result":{"x":12345678901234567890.123}}"#,
        r#"{"jsonrpc":"2.0","id":-4,"error":{"code":-1,"message":"no","data":null}}"#,
        r#"{"jsonrpc":"2.0","id":5,"result":null,"vendor":{"z":1,"a":2},"other":"x"}"#,
    ] {
        assert_eq!(parse(text).unwrap().to_bytes(), text.as_bytes(), "{text}");
    }
}

#[test]
fn what_is_no_message_says_why() {
    let check = |text: &str, expect: &str| {
        assert_eq!(parse(text).unwrap_err().to_string(), expect, "{text}");
    };
    check("[]", "a batch, which this peer may not send");
    check("3", "not a JSON-RPC message: it is no object");
    check("{}", "not a JSON-RPC message: `jsonrpc` must be \"2.0\"");
    let rpc = |rest: &str, expect: &str| {
        check(
            &format!(r#"{{"jsonrpc":"2.0"{rest}}}"#),
            &format!("not a JSON-RPC message: {expect}"),
        );
    };
    rpc("", "it has no method, no result and no error");
    rpc(r#","id":1,"result":1,"error":{}"#, "it has both a result and an error");
    rpc(r#","id":null,"method":"ping""#, "`id` must be a string or an integer");
    rpc(r#","id":1.5,"method":"ping""#, "`id` must be a string or an integer");
    rpc(r#","id":1,"method":3"#, "`method` must be a string");
    rpc(r#","id":1,"method":"ping","params":[1]"#, "`params` must be an object");
    rpc(r#","method":"tools/call","params":{}"#, "`id` must be there in a request");
    rpc(
        r#","result":null,"error":{"code":1},"error2":1,"method":"x""#,
        "it has both a method and an outcome",
    );
    assert!(matches!(parse(r#"{"jsonrpc":"2.0","id":1,"id":2}"#), Err(BadMessage::NotJson(_))));
    assert!(matches!(
        parse("{\"jsonrpc\":\"2.0\",\"method\":\"a\nb\"}"),
        Err(BadMessage::NotJson(_))
    ));
    assert!(matches!(parse("{} trailing"), Err(BadMessage::NotJson(_))));
    assert!(matches!(parse(""), Err(BadMessage::NotJson(_))));
}

#[test]
fn only_what_asks_is_answered_under_its_id() {
    let id = |text: &str| parse(text).unwrap_err().to_response().id;
    assert_eq!(id(r#"{"jsonrpc":"2.0","id":7,"method":3}"#), Some(7.into()));
    assert_eq!(id(r#"{"jsonrpc":"2.0","id":7}"#), Some(7.into()));
    assert_eq!(id(r#"{"jsonrpc":"2.0","id":7,"result":{},"error":{}}"#), None);
    assert_eq!(id(r#"{"jsonrpc":"1.0","id":7,"result":{}}"#), None);
}

#[test]
fn an_error_with_a_null_id_is_a_response_without_one() {
    let message = parse(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no"}}"#);
    let Ok(Message::Response(response)) = message else { panic!("{message:?}") };
    assert_eq!(response.id, None);
}

#[test]
fn a_null_that_stands_for_nothing_is_nothing() {
    let check = |text: &str, expect: &str| {
        assert_eq!(parse(text).unwrap().to_bytes(), expect.as_bytes(), "{text}");
    };
    check(
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":null}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#,
    );
    check(
        r#"{"jsonrpc":"2.0","id":1,"result":{},"error":null}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
    );
    check(
        r#"{"jsonrpc":"2.0","id":1,"result":null,"error":{"code":1,"message":"no"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"no"}}"#,
    );
}

#[test]
fn a_batch_is_read_message_by_message() {
    let read = |text: &str, max: usize| {
        let all = Message::parse_batch(&Bytes::copy_from_slice(text.as_bytes()), max)?;
        Some(all.into_iter().map(|one| one.map(|message| message.to_bytes())).collect::<Vec<_>>())
    };
    let note = r#"{"jsonrpc":"2.0","method":"a"}"#;
    let answer = "{\n\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}";
    let all = read(&format!("\u{feff} [{note}, 7,\r\n{answer} ]"), 3).unwrap();
    assert_eq!(all[0].as_deref(), Ok(note.as_bytes()));
    assert!(all[1].is_err());
    assert_eq!(all[2].as_deref(), Ok(&br#"{"jsonrpc":"2.0","id":1,"result":{}}"#[..]));
    assert_eq!(read(&format!("[{note},{note}]"), 1), None);
    assert_eq!(read("[]", 9), None);
    assert_eq!(read(note, 9), None);
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    let text = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    assert_eq!(parse(&format!("\u{feff}{text}")).unwrap().to_bytes(), text.as_bytes());
    assert!(parse(&format!("\u{feff}\u{feff}{text}")).is_err());
}

#[test]
fn a_pretty_printed_message_is_written_on_one_line() {
    let text = "{\n  \"jsonrpc\": \"2.0\",\r\n  \"id\": 1,\n  \"method\": \"x\",\n  \"params\": {\n\"a\": \"b\\nc\"}\n}";
    let bytes = parse(text).unwrap().to_bytes();
    assert_eq!(bytes, &br#"{"jsonrpc":"2.0","id":1,"method":"x","params":{ "a": "b\nc"}}"#[..]);
}

#[test]
fn deep_nesting_is_no_stack_overflow() {
    let depth = 100_000;
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"a":{}{}}}}}"#,
        "[".repeat(depth),
        "]".repeat(depth)
    );
    assert_eq!(parse(&text).unwrap().to_bytes().len(), text.len());
}

proptest! {
    #[test]
    fn parsing_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(Message::parse(bytes.into()));
    }

    #[test]
    fn what_is_written_is_read_back(id in any::<i64>(), name in ".{0,20}", text in ".{0,40}") {
        let params = Raw::of(&std::collections::BTreeMap::from([(name.clone(), text)]));
        let message: Message = Request {
            id: Id::Integer(id.into()),
            method: name.into(),
            params: Some(params),
            extra: Extra::default(),
        }
        .into();
        prop_assert_eq!(Message::parse(message.to_bytes()).unwrap(), message);
    }
}
