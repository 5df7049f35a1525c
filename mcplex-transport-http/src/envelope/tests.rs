use super::*;
use mcplex_proto::{
    downstream::{Arrival, Client, Session},
    header::HeaderParams,
};
use std::sync::Arc;

/// Has one tool, `deploy`, whose argument `region` is repeated in a header.
struct OneTool;

impl Gateway for OneTool {
    fn open(&self, _: Arc<dyn Client>, _: Arrival) -> Arc<dyn Session> {
        unreachable!("a message is judged before a session is opened for it")
    }

    fn header_params(&self, tool: &str) -> Option<Arc<HeaderParams>> {
        let schema = r#"{"properties":{"region":{"type":"string","x-mcp-header":"Region"}}}"#;
        (tool == "deploy").then(|| Arc::new(HeaderParams::read(schema).unwrap().unwrap()))
    }
}

const VERSION: &str = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28""#;
const CAN: &str = r#""io.modelcontextprotocol/clientCapabilities":{}"#;

fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in list {
        headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

fn judge(list: &[(&'static str, &str)], method: &str, params: &str) -> Result<Era, i64> {
    let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
    let Message::Request(request) = Message::parse(text.into()).unwrap() else { unreachable!() };
    of_request(&headers(list), &request, &OneTool).map_err(|error| error.code)
}

const MODERN: (&str, &str) = (PROTOCOL_VERSION, "2026-07-28");

#[test]
fn the_body_decides_on_the_era_and_the_header_must_agree() {
    let with = |header: &str, meta: &str| {
        let list = [(PROTOCOL_VERSION, header), (METHOD, "tools/list")];
        let list = if header.is_empty() { &list[1..] } else { &list[..] };
        judge(list, "tools/list", &format!(r#"{{"_meta":{{{meta}}}}}"#))
    };
    let good = format!("{VERSION},{CAN}");
    assert_eq!(with("2026-07-28", &good), Ok(Era::Modern));
    assert_eq!(with(" 2026-07-28\t", &good), Ok(Era::Modern));
    assert_eq!(with("", ""), Ok(Era::Legacy));
    assert_eq!(with("2025-11-25", ""), Ok(Era::Legacy));
    assert_eq!(with("1999-01-01", ""), Ok(Era::Legacy));
    // The header alone is not enough, and neither is the body.
    assert_eq!(with("2026-07-28", ""), Err(-32602));
    assert_eq!(with("2026-07-28", CAN), Err(-32602));
    assert_eq!(with("", &good), Err(-32020));
    assert_eq!(with("2025-11-25", &good), Err(-32020));
    assert_eq!(with("2026-07-28", VERSION), Err(-32602));
    // What differs is told before what is not known.
    let future = good.replace("2026-07-28", "2999-01-01");
    assert_eq!(with("2026-07-28", &future), Err(-32020));
    assert_eq!(with("2999-01-01", &future), Err(-32022));
    let past = good.replace("2026-07-28", "2025-11-25");
    assert_eq!(with("2025-11-25", &past), Err(-32022));
    let number = good.replace(r#""2026-07-28""#, "20260728");
    assert_eq!(with("2026-07-28", &number), Err(-32602));
}

#[test]
fn initialize_without_an_envelope_is_always_legacy() {
    assert_eq!(judge(&[MODERN], "initialize", "{}"), Ok(Era::Legacy));
    let list = [MODERN, (METHOD, "initialize")];
    let params = format!(r#"{{"_meta":{{{VERSION},{CAN}}}}}"#);
    assert_eq!(judge(&list, "initialize", &params), Ok(Era::Modern));
}

fn call(list: &[(&'static str, &str)], method: &str, rest: &str) -> Result<Era, i64> {
    judge(list, method, &format!(r#"{{"_meta":{{{VERSION},{CAN}}},{rest}}}"#))
}

#[test]
fn method_and_name_are_repeated_exactly() {
    let check = |list: &[(&'static str, &str)], expect| {
        let list = [&[MODERN], list].concat();
        assert_eq!(call(&list, "tools/call", r#""name":"Weiß""#), expect, "{list:?}");
    };
    let name = "=?base64?V2Vpw58=?=";
    check(&[(METHOD, "tools/call"), (NAME, name)], Ok(Era::Modern));
    check(&[(METHOD, " tools/call "), (NAME, " =?base64?V2Vpw58=?= ")], Ok(Era::Modern));
    check(&[(METHOD, "tools/call"), (NAME, "Weiß")], Ok(Era::Modern));
    check(&[(METHOD, "Tools/call"), (NAME, name)], Err(-32020));
    // Names have a form in Base64, and methods none.
    check(&[(METHOD, "=?base64?dG9vbHMvY2FsbA==?="), (NAME, name)], Err(-32020));
    check(&[(NAME, name)], Err(-32020));
    check(&[(METHOD, "tools/call")], Err(-32020));
    check(&[(METHOD, "tools/call"), (NAME, "weiß")], Err(-32020));
    check(&[(METHOD, "tools/call"), (NAME, "=?base64?!?=")], Err(-32020));
    check(&[(METHOD, "tools/call"), (NAME, name), (NAME, name)], Err(-32020));
    check(&[(METHOD, "tools/call"), (METHOD, "tools/call"), (NAME, name)], Err(-32020));
    check(&[(METHOD, "tools/call"), (NAME, name), ("mcp-session-id", "x")], Ok(Era::Modern));
}

#[test]
fn what_is_named_depends_on_the_method() {
    let check = |method: &str, rest: &str, name: Option<&str>, expect| {
        let mut list = vec![MODERN, (METHOD, method)];
        list.extend(name.map(|name| (NAME, name)));
        assert_eq!(call(&list, method, rest), expect, "{method} {rest} {name:?}");
    };
    check("resources/read", r#""uri":"file:///a b""#, Some("file:///a b"), Ok(Era::Modern));
    check("prompts/get", r#""name":"p""#, Some("p"), Ok(Era::Modern));
    check("tasks/get", r#""taskId":"t""#, Some("t"), Ok(Era::Modern));
    check("tasks/get", r#""taskId":"t""#, None, Err(-32020));
    check("tools/list", r#""name":"a""#, None, Ok(Era::Modern));
    // Whoever serves the request says what it lacks; a header must not say more than the body.
    check("tools/call", r#""arguments":{}"#, None, Ok(Era::Modern));
    check("tools/call", r#""arguments":{}"#, Some("a"), Err(-32020));
    // One of them would be compared, and perhaps the other one called.
    check("tools/call", r#""name":"a","name":"b""#, Some("a"), Err(-32602));
    check("tools/call", r#""name":"a","_meta":{}"#, Some("a"), Err(-32602));
}

#[test]
fn arguments_are_repeated_where_the_schema_says_so() {
    let check = |rest: &str, region: &[&str], expect| {
        let mut list = vec![MODERN, (METHOD, "tools/call"), (NAME, "deploy")];
        list.extend(region.iter().map(|region| ("mcp-param-region", *region)));
        let rest = format!(r#""name":"deploy",{rest}"#);
        assert_eq!(call(&list, "tools/call", &rest), expect, "{rest} {region:?}");
    };
    check(r#""arguments":{"region":"eu"}"#, &["eu"], Ok(Era::Modern));
    check(r#""arguments":{"region":"eu"}"#, &["us"], Err(-32020));
    check(r#""arguments":{"region":"eu"}"#, &[], Err(-32020));
    check(r#""arguments":{}"#, &["eu"], Err(-32020));
    check(r#""arguments":{}"#, &["eu", "us"], Err(-32020));
    check(r#""arguments":{}"#, &[], Ok(Era::Modern));
    check(r#""arguments":{"region":"eu"},"arguments":{}"#, &["eu"], Err(-32602));
}

#[test]
fn a_batch_with_a_stateless_message_is_known() {
    let parse = |text: &str| Message::parse(text.to_owned().into()).unwrap();
    let old = parse(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    let new = parse(&format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"_meta":{{{VERSION}}}}}}}"#
    ));
    assert!(!has_modern(&headers(&[]), std::slice::from_ref(&old)));
    assert!(has_modern(&headers(&[]), &[old.clone(), new]));
    assert!(has_modern(&headers(&[MODERN]), &[old]));
}
