//! Whatever a server says, in whatever order: the handshake comes to one end by the rules.

use super::*;
use proptest::prelude::*;

/// What happens to the machine.
#[derive(Clone, Debug)]
enum Event {
    Silence,
    /// An answer to the n-th question, or to none.
    Answer(usize, Said),
    Request(&'static str),
    Notification,
}

#[derive(Clone, Copy, Debug)]
enum Said {
    Discovery(&'static [&'static str]),
    Session(&'static str),
    Junk,
    Error(i64),
    Unsupported(&'static [&'static str]),
}

fn versions() -> impl Strategy<Value = &'static [&'static str]> {
    prop_oneof![
        3 => Just(&["2026-07-28"][..]),
        2 => Just(&["2025-11-25", "2026-07-28"][..]),
        1 => Just(&["2025-11-25"][..]),
        1 => Just(&["2024-11-05", "2025-03-26"][..]),
        1 => Just(&["2999-01-01"][..]),
        1 => Just(&[][..]),
    ]
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![
        versions().prop_map(Said::Discovery),
        prop_oneof![Just("2025-11-25"), Just("2024-11-05"), Just("2026-07-28"), Just("1")]
            .prop_map(Said::Session),
        Just(Said::Junk),
        prop_oneof![Just(-32601_i64), Just(-32602), Just(-32603), Just(-32020), Just(-32022)]
            .prop_map(Said::Error),
        versions().prop_map(Said::Unsupported),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => Just(Event::Silence),
        8 => (0_usize..4, said()).prop_map(|(number, said)| Event::Answer(number, said)),
        1 => prop_oneof![Just("ping"), Just("roots/list")].prop_map(Event::Request),
        1 => Just(Event::Notification),
    ]
}

fn choice() -> impl Strategy<Value = EraChoice> {
    prop_oneof![
        4 => Just(EraChoice::Auto),
        1 => Just(EraChoice::Legacy),
        1 => Just(EraChoice::Modern),
        2 => Just(EraChoice::LegacyFirst),
    ]
}

fn known() -> impl Strategy<Value = Known> {
    prop_oneof![
        Just(Known::Nothing),
        Just(Known::Era(Era::Legacy)),
        Just(Known::Era(Era::Modern)),
        Just(Known::EndedWhenAsked),
    ]
}

fn response(id: u64, said: Said) -> Message {
    let result = |value: serde_json::Value| Response::result(id.into(), Raw::of(&value)).into();
    let error = |code, data| {
        let object = ErrorObject { code, message: "no".to_owned(), data };
        Response::error(Some(id.into()), &object).into()
    };
    match said {
        Said::Discovery(versions) => {
            result(serde_json::json!({ "supportedVersions": versions, "capabilities": {} }))
        }
        Said::Session(version) => result(
            serde_json::json!({ "protocolVersion": version, "capabilities": {}, "serverInfo": {} }),
        ),
        Said::Junk => result(serde_json::json!({ "tools": [] })),
        Said::Error(code) => error(code, None),
        Said::Unsupported(versions) => error(
            if speaks_modern(versions) { -32022 } else { -32602 },
            Some(serde_json::json!({ "supported": versions })),
        ),
    }
}

/// The questions so far: id and method.
type Asked = Vec<(u64, String)>;

fn note(asked: &mut Asked, message: &Message) {
    let Message::Request(request) = message else { panic!("{message:?} is no question") };
    asked.push((request.id.minted().unwrap(), request.method.to_string()));
}

fn speaks_modern(versions: &[&str]) -> bool {
    versions.contains(&"2026-07-28")
}

/// It ends in the era that was chosen, and never in the older one where a modern revision was shown.
fn check_end(opened: &Opened, choice: EraChoice, is_modern: bool) -> Result<(), TestCaseError> {
    let era = opened.server.version.era();
    prop_assert_eq!(opened.initialized.is_some(), era == Era::Legacy);
    match choice {
        EraChoice::Legacy => prop_assert_eq!(era, Era::Legacy),
        EraChoice::Modern => prop_assert_eq!(era, Era::Modern),
        EraChoice::Auto | EraChoice::LegacyFirst => {}
    }
    prop_assert!(!(is_modern && era == Era::Legacy));
    Ok(())
}

/// Questions are few, and of the era that was chosen.
fn check_questions(asked: &Asked, choice: EraChoice) -> Result<(), TestCaseError> {
    prop_assert!(asked.len() <= QUESTIONS);
    let initializes = asked.iter().filter(|(_, method)| method == method::INITIALIZE).count();
    prop_assert!(initializes <= 2, "{asked:?}");
    let only = |method: &str| asked.iter().all(|(_, asked)| asked == method);
    match choice {
        EraChoice::Legacy => prop_assert!(only(method::INITIALIZE)),
        EraChoice::Modern => prop_assert!(only(method::DISCOVER)),
        EraChoice::Auto | EraChoice::LegacyFirst => {}
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_comes_to_one_end_by_the_rules(
        choice in choice(),
        known in known(),
        events in prop::collection::vec(event(), 0..12),
    ) {
        let opener = Opener {
            choice,
            known,
            capabilities: Raw::empty_object(),
            client: Raw::empty_object(),
        };
        let (mut it, first) = Handshake::begin([10, 11, 12, 13], opener);
        let mut asked = Asked::new();
        note(&mut asked, &first);
        // Whether a mutual modern revision was shown in answer to the question that was waited for.
        let mut is_modern = false;
        for event in events {
            let current = asked.last().unwrap().clone();
            let step = match event.clone() {
                Event::Silence => match it.handle_silence() {
                    Some(next) => Ok(Step::Ask(next)),
                    None => continue,
                },
                Event::Answer(number, said) => {
                    let id = asked.get(number).map_or(99, |(id, _)| *id);
                    let shows = match said {
                        Said::Discovery(versions) | Said::Unsupported(versions) => {
                            speaks_modern(versions)
                        }
                        Said::Session(_) | Said::Junk | Said::Error(_) => false,
                    };
                    is_modern |= shows && id == current.0 && current.1 == method::DISCOVER;
                    it.handle(response(id, said))
                }
                Event::Request(method) => {
                    let step = it.handle(Request::new(5, method, None).into());
                    prop_assert!(matches!(step, Ok(Step::Reply(Message::Response(_)))));
                    continue;
                }
                Event::Notification => {
                    let step = it.handle(Notification::new(method::LOG_MESSAGE, None).into());
                    prop_assert!(matches!(step, Ok(Step::Other(_))));
                    continue;
                }
            };
            match step {
                Ok(Step::Ask(next)) => {
                    note(&mut asked, &next);
                    let (_, method) = asked.last().unwrap();
                    prop_assert!(!(is_modern && method == method::INITIALIZE), "{asked:?}");
                    prop_assert_eq!(it.asks(), method);
                }
                Ok(Step::Done(opened)) => {
                    check_end(&opened, choice, is_modern)?;
                    break;
                }
                Err(_) => break,
                Ok(Step::Reply(reply)) => prop_assert!(false, "nobody asked: {reply:?}"),
                Ok(Step::Other(other)) => {
                    // Only what answers no question that is waited for.
                    let Event::Answer(number, _) = event else { panic!("{other:?}") };
                    prop_assert!(asked.get(number).is_none_or(|(id, _)| *id != current.0));
                }
            }
        }
        check_questions(&asked, choice)?;
    }
}
