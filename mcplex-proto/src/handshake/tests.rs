//! Every way a conversation opens, message by message.

use super::*;

fn opener(choice: EraChoice, known: Known) -> Opener {
    let capabilities = r#"{"roots":{"listChanged":true},"sampling":{}}"#;
    Opener {
        choice,
        known,
        capabilities: Raw::parse(capabilities).unwrap(),
        client: Raw::parse(r#"{"name":"m","version":"1"}"#).unwrap(),
    }
}

/// Tells the machine one message after the other; what was sent, and what came of it.
fn story(choice: EraChoice, known: Known, said: &[&str]) -> (Vec<String>, String) {
    let (mut it, first) = Handshake::begin([1, 2, 3, 4], opener(choice, known));
    let mut sent = vec![word(&first)];
    for text in said {
        let step = if *text == "silence" {
            match it.handle_silence() {
                Some(next) => Ok(Step::Ask(next)),
                None => continue,
            }
        } else {
            it.handle(Message::parse((*text).to_owned().into()).unwrap())
        };
        match step {
            Ok(Step::Ask(next) | Step::Reply(next)) => sent.push(word(&next)),
            Ok(Step::Other(_)) => {}
            Ok(Step::Done(opened)) => {
                let Opened { server, how, initialized } = *opened;
                assert_eq!(initialized.is_some(), server.version.era() == Era::Legacy);
                return (sent, format!("{} {how}", server.version));
            }
            Err(error) => return (sent, error.to_string()),
        }
    }
    (sent, format!("waits for {}", it.asks()))
}

/// A message in a word.
fn word(message: &Message) -> String {
    match message {
        Message::Request(request) => format!("{} {}", request.method, request.id),
        Message::Response(response) => match &response.outcome {
            Outcome::Result(raw) => raw.as_str().to_owned(),
            Outcome::Error(raw) => ErrorObject::read(raw).code.to_string(),
        },
        Message::Notification(notification) => notification.method.to_string(),
    }
}

fn discovery(id: u64) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"resultType":"complete","supportedVersions":["2025-11-25","2026-07-28"],"capabilities":{{"tools":{{}}}},"instructions":"be kind","ttlMs":0,"cacheScope":"private","_meta":{{"{}":{{"name":"x","version":"2"}}}}}}}}"#,
        modern::SERVER_INFO
    )
}

fn session(id: u64, version: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"protocolVersion":"{version}","capabilities":{{"tools":{{}},"resources":{{"subscribe":true}}}},"serverInfo":{{"name":"x","version":"1"}}}}}}"#
    )
}

fn error(id: u64, code: i64) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"no"}}}}"#)
}

fn unsupported(id: u64, supported: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32022,"message":"no","data":{{"supported":[{supported}],"requested":"2026-07-28"}}}}}}"#
    )
}

#[track_caller]
fn check(choice: EraChoice, known: Known, said: &[&str], sent: &[&str], end: &str) {
    let (all, came) = story(choice, known, said);
    assert_eq!((all.iter().map(String::as_str).collect::<Vec<_>>(), &*came), (sent.to_vec(), end));
}

use EraChoice::{Auto, Legacy, LegacyFirst, Modern};

const NOTHING: Known = Known::Nothing;
const LEGACY: Known = Known::Era(Era::Legacy);
const MODERN: Known = Known::Era(Era::Modern);

#[test]
fn a_modern_server_is_discovered_in_one_round() {
    let both = ["server/discover 1"];
    check(Auto, NOTHING, &[&discovery(1)], &both, "2026-07-28 probed");
    check(Auto, MODERN, &[&discovery(1)], &both, "2026-07-28 remembered");
    check(Modern, NOTHING, &[&discovery(1)], &both, "2026-07-28 configured");
    check(LegacyFirst, MODERN, &[&discovery(1)], &both, "2026-07-28 remembered");
}

#[test]
fn whatever_a_legacy_server_answers_to_the_probe_it_is_initialized_next() {
    for answer in [
        error(1, -32601),
        error(1, -32602),
        error(1, -32600),
        error(1, -32000),
        // Modern codes that say nothing of an era, and one without what belongs to it.
        error(1, -32020),
        error(1, -32022),
        unsupported(1, ""),
        unsupported(1, "\"2025-11-25\", \"2999-01-01\", 7"),
        // Without its id, as some do.
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no"}}"#.to_owned(),
        // Results of servers that answer anything.
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2026-07-28"]}}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2026-07-28"],"capabilities":1}}"#
            .to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"result":{"supportedVersions":"2026-07-28","capabilities":{}}}"#
            .to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2025-06-18"],"capabilities":{}}}"#
            .to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"task","supportedVersions":["2026-07-28"],"capabilities":{}}}"#
            .to_owned(),
    ] {
        let sent = ["server/discover 1", "initialize 2"];
        let said = [&*answer, &session(2, "2025-06-18")];
        check(Auto, NOTHING, &said, &sent, "2025-06-18 probed");
        check(Auto, MODERN, &said, &sent, "2025-06-18 probed");
        check(LegacyFirst, MODERN, &said, &sent, "2025-06-18 probed");
    }
}

#[test]
fn a_refused_revision_is_asked_again_and_never_initialized() {
    let again = ["server/discover 1", "server/discover 2"];
    let refused = unsupported(1, "\"2025-11-25\", \"2026-07-28\"");
    for choice in [Auto, Modern] {
        let end = |how| format!("2026-07-28 {how}");
        let how = if choice == Auto { "probed" } else { "configured" };
        check(choice, NOTHING, &[&refused, &discovery(2)], &again, &end(how));
        let why = "the server does not speak 2026-07-28: ";
        let said = [&*refused, &unsupported(2, "\"2026-07-28\"")];
        let asks = "it refuses 2026-07-28 and asks for 2026-07-28";
        check(choice, NOTHING, &said, &again, &format!("{why}{asks}"));
        let said = [&*refused, &error(2, -32601)];
        check(choice, NOTHING, &said, &again, &format!("{why}no (code -32601)"));
        check(choice, NOTHING, &[&refused, "silence"], &again, "waits for server/discover");
    }
}

#[test]
fn silence_is_followed_by_initialize_and_a_late_answer_changes_nothing() {
    let sent = ["server/discover 1", "initialize 2"];
    let session = session(2, "2025-11-25");
    check(Auto, NOTHING, &["silence", &session], &sent, "2025-11-25 silence");
    check(Auto, NOTHING, &["silence", "silence"], &sent, "waits for initialize");
    for late in [discovery(1), error(1, -32601), unsupported(1, "\"2026-07-28\"")] {
        check(Auto, NOTHING, &["silence", &late, &session], &sent, "2025-11-25 silence");
    }
    // One that was slow to start and took the first question as it came is a modern server.
    let said = ["silence", &discovery(1), &error(2, -32022)];
    check(Auto, NOTHING, &said, &sent, "2026-07-28 probed");
    let said = ["silence", &error(1, -32601), &error(2, -32603)];
    check(Auto, NOTHING, &said, &sent, "the server refused to initialize: no (code -32603)");
}

#[test]
fn a_legacy_server_is_initialized_in_one_round() {
    let sent = ["initialize 1"];
    for version in ["2024-11-05", "2025-11-25"] {
        let session = [&*session(1, version)];
        check(Legacy, NOTHING, &session, &sent, &format!("{version} configured"));
        check(LegacyFirst, NOTHING, &session, &sent, &format!("{version} configured"));
        check(Auto, LEGACY, &session, &sent, &format!("{version} remembered"));
        check(Auto, Known::EndedWhenAsked, &session, &sent, &format!("{version} ended"));
    }
    let refused = [&*error(1, -32603)];
    let why = "the server refused to initialize: no (code -32603)";
    check(Legacy, NOTHING, &refused, &sent, why);
    for session in [session(1, "2026-07-28"), session(1, "1999-01-01")] {
        let (_, why) = story(Legacy, NOTHING, &[&session]);
        assert!(why.starts_with("the server speaks protocol version"), "{why}");
    }
    let (_, why) = story(Legacy, NOTHING, &[r#"{"jsonrpc":"2.0","id":1,"result":{}}"#]);
    assert!(why.starts_with("the answer to initialize cannot be read"), "{why}");
}

#[test]
fn a_refused_initialize_is_followed_by_the_probe() {
    let sent = ["initialize 1", "server/discover 2"];
    let refused = error(1, -32022);
    for (choice, known) in [(LegacyFirst, NOTHING), (Auto, LEGACY), (Auto, Known::EndedWhenAsked)] {
        check(choice, known, &[&refused, &discovery(2)], &sent, "2026-07-28 probed");
        let why = "the server refused to initialize: no (code -32022)";
        check(choice, known, &[&refused, &error(2, -32601)], &sent, why);
        // So is one that agrees on a revision that has no sessions, or that nobody knows.
        let agreed = session(1, "2026-07-28");
        check(choice, known, &[&agreed, &discovery(2)], &sent, "2026-07-28 probed");
        let why = "the server speaks protocol version \"1999-01-01\", which mcplex does not";
        check(choice, known, &[&session(1, "1999-01-01"), &error(2, -32601)], &sent, why);
    }
}

#[test]
fn a_session_is_asked_for_once_more_in_a_revision_that_the_server_names() {
    let refused = |id, code, named: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"no","data":{{"supported":[{named}]}}}}}}"#
        )
    };
    let named = refused(1, -32602, r#""2024-11-05","2025-03-26","1999-01-01""#);
    let twice = ["initialize 1", "initialize 2"];
    check(Legacy, NOTHING, &[&named, &session(2, "2025-03-26")], &twice, "2025-03-26 configured");
    // It sticks to its refusal.
    let again = refused(2, -32602, r#""2024-11-05""#);
    let why = "the server refused to initialize: no (code -32602)";
    check(Legacy, NOTHING, &[&named, &again], &twice, why);
    // Nothing that could be asked for is named.
    for (code, named) in
        [(-32602, r#""1999-01-01""#), (-32602, r#""2025-11-25""#), (-32603, r#""2024-11-05""#)]
    {
        let (sent, _) = story(Legacy, NOTHING, &[&refused(1, code, named)]);
        assert_eq!(sent, ["initialize 1"], "{code} {named}");
    }
    // With all that may be tried, there is a number for each question.
    let modern = unsupported(3, "\"2026-07-28\"");
    let sent = ["initialize 1", "initialize 2", "server/discover 3", "server/discover 4"];
    check(
        LegacyFirst,
        NOTHING,
        &[&named, &again, &modern, &discovery(4)],
        &sent,
        "2026-07-28 probed",
    );
}

#[test]
fn only_an_unanswered_first_probe_may_be_what_a_server_ends_of() {
    let begin = |choice, known| Handshake::begin([1, 2, 3, 4], opener(choice, known)).0;
    let tell = |it: &mut Handshake, text: &str| {
        it.handle(Message::parse(text.to_owned().into()).unwrap()).unwrap();
    };
    let mut it = begin(Auto, NOTHING);
    assert!(it.may_end_by_probe() && it.is_probing());
    it.handle_silence().unwrap();
    assert!(it.may_end_by_probe() && !it.is_probing());
    tell(&mut it, &error(1, -32601));
    assert!(!it.may_end_by_probe(), "it has answered and lives");
    let mut it = begin(Auto, NOTHING);
    tell(&mut it, &error(1, -32601));
    assert!(!it.may_end_by_probe());
    for (choice, known) in [(Auto, MODERN), (Auto, LEGACY), (Modern, NOTHING), (Legacy, NOTHING)] {
        assert!(!begin(choice, known).may_end_by_probe(), "{choice:?} {known:?}");
    }
    let mut it = begin(LegacyFirst, NOTHING);
    tell(&mut it, &error(1, -32601));
    assert_eq!(it.asks(), method::DISCOVER);
    assert!(!it.may_end_by_probe() && !it.is_probing());
}

#[test]
fn what_a_server_says_of_itself_is_kept() {
    let (mut it, _) = Handshake::begin([1, 2, 3, 4], opener(Auto, NOTHING));
    let Ok(Step::Done(opened)) = it.handle(Message::parse(discovery(1).into()).unwrap()) else {
        panic!("it is a discovery")
    };
    let server = opened.server;
    assert_eq!(title(server.implementation.as_str()), "x 2");
    assert_eq!(server.instructions.as_deref(), Some("be kind"));
    assert!(server.can("tools", None));
    // One that does not tell its name has none.
    let (mut it, _) = Handshake::begin([1, 2, 3, 4], opener(Auto, NOTHING));
    let bare = r#"{"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2026-07-28"],"capabilities":{}}}"#;
    let Ok(Step::Done(opened)) = it.handle(Message::parse(bare.into()).unwrap()) else {
        panic!("it is a discovery")
    };
    assert_eq!(opened.server.implementation.as_str(), "{}");
    let (mut it, _) = Handshake::begin([1, 2, 3, 4], opener(Legacy, NOTHING));
    let answer = Message::parse(session(1, "2025-06-18").into()).unwrap();
    let Ok(Step::Done(opened)) = it.handle(answer) else { panic!("it is a session") };
    let server = opened.server;
    assert!(server.can("tools", None) && server.can("resources", Some("subscribe")));
    assert!(!server.can("prompts", None) && !server.can("resources", Some("listChanged")));
    let initialized = opened.initialized.unwrap().to_bytes();
    assert_eq!(initialized, &br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#[..]);
}

#[test]
fn the_probe_carries_its_envelope() {
    let (_, probe) = Handshake::begin([7, 8, 9, 10], opener(Auto, NOTHING));
    let Message::Request(request) = probe else { panic!("a probe is a request") };
    let Ok(modern::Class::Modern(envelope)) = modern::classify(request.params.as_ref()) else {
        panic!("{request:?}")
    };
    assert_eq!(envelope.version, Version::V2026_07_28);
    // What stateless revisions do not know is not said.
    assert_eq!(envelope.capabilities.as_str(), r#"{"roots":{},"sampling":{}}"#);
    assert_eq!(envelope.client_info.unwrap().as_str(), r#"{"name":"m","version":"1"}"#);
}

#[test]
fn a_title_is_what_can_be_read_of_it() {
    let check = |text: &str, expect: &str| assert_eq!(title(text), expect);
    check(r#"{"name":"a\u001b[31mb\nc","version":"\u0007"}"#, "ab c ");
    let long = format!(r#"{{"name":"{}"}}"#, "n".repeat(5_000));
    assert_eq!(title(&long).len(), 100);
    check(r#"{"name":"a","version":"1","title":"A"}"#, "a 1");
    check(r#"{"name":"a","version":1}"#, "a");
    check("{}", "without a name");
}

#[test]
fn a_ping_is_answered_other_requests_are_refused_and_the_rest_is_handed_on() {
    let ping = r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#;
    let roots = r#"{"jsonrpc":"2.0","id":"r","method":"roots/list"}"#;
    let log = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#;
    let stray = error(77, -1);
    for choice in [Auto, Legacy] {
        let (sent, _) = story(choice, NOTHING, &[ping, roots, log, &stray]);
        assert_eq!(sent[1..], ["{}", "-32601"]);
    }
}
