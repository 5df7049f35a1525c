use super::*;
use proptest::prelude::*;

/// All that came of a stream in chunks.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    events: Vec<(String, String)>,
    last_id: Option<String>,
    retry: Option<Duration>,
    is_too_long: bool,
}

fn decode(chunks: &[&[u8]], max: usize) -> Outcome {
    let mut decoder = EventDecoder::new(max);
    let mut events = Vec::new();
    let mut is_too_long = false;
    'stream: for chunk in chunks {
        decoder.push(chunk);
        loop {
            match decoder.next_event() {
                Ok(Some(event)) => {
                    let data = String::from_utf8_lossy(&event.data).into_owned();
                    events.push((event.name, data));
                }
                Ok(None) => break,
                Err(EventTooLong { .. }) => {
                    is_too_long = true;
                    break 'stream;
                }
            }
        }
    }
    let last_id = decoder.last_id().map(str::to_owned);
    Outcome { events, last_id, retry: decoder.retry(), is_too_long }
}

fn events(text: &str) -> Vec<(String, String)> {
    decode(&[text.as_bytes()], 1000).events
}

fn messages(data: &[&str]) -> Vec<(String, String)> {
    data.iter().map(|data| ("message".to_owned(), (*data).to_owned())).collect()
}

#[test]
fn lines_end_in_all_three_ways() {
    for end in ["\n", "\r", "\r\n"] {
        let text = format!("data: a{end}data:b{end}{end}data:c{end}{end}");
        assert_eq!(events(&text), messages(&["a\nb", "c"]), "{end:?}");
    }
}

#[test]
fn what_carries_no_data_is_no_event() {
    assert_eq!(
        events(": a comment\n\n\n\nid: 1\n\ndata\n\ndata: \n\ndata: x\n\n"),
        messages(&["x"])
    );
    assert_eq!(events("data: the end is missing\n"), []);
    assert_eq!(events("other: x\ndata: y\n\n"), messages(&["y"]));
    assert_eq!(events("\u{feff}data: y\n\n\u{feff}data: z\n\n"), messages(&["y"]));
}

#[test]
fn an_event_has_a_name_of_its_own_or_is_a_message() {
    let named = |name: &str, data: &str| (name.to_owned(), data.to_owned());
    let found = events("event: endpoint\ndata: /m?a=b:c\n\nevent:\ndata:  two blanks\n\n");
    assert_eq!(found, [named("endpoint", "/m?a=b:c"), named("message", " two blanks")]);
}

#[test]
fn an_id_and_a_wait_count_without_data_too() {
    let check = |text: &str, id: Option<&str>, retry: Option<u64>| {
        let found = decode(&[text.as_bytes()], 5000);
        assert_eq!(found.last_id.as_deref(), id, "{text}");
        assert_eq!(found.retry, retry.map(Duration::from_millis), "{text}");
    };
    check("id: 1-0\nretry: 1000\ndata: \n\n", Some("1-0"), Some(1000));
    check("id: a\n\ndata: x\n\n", Some("a"), None);
    check("id: a\n\nid\n\n", None, None);
    // Only a whole event counts.
    check("id: a\n\nid: b\ndata: x\n", Some("a"), None);
    check("id: a\0b\n\nretry: -1\n\nretry: 1.5\n\n", None, None);
    check(&format!("id: {}\n\n", "x".repeat(2000)), None, None);
    check("retry: 99999999999999999999999\n\n", None, Some(u64::MAX));
}

#[test]
fn bounds_are_kept() {
    assert_eq!(decode(&[b"data:12345\n\n"], 10).events, messages(&["12345"]));
    assert!(decode(&[b"data:123456\n\n"], 10).is_too_long);
    assert!(decode(&[b": a long ", b"comment"], 10).is_too_long);
    // Many short lines make a long event.
    assert!(decode(&[&b"data:123\n".repeat(4)], 10).is_too_long);
}

proptest! {
    #[test]
    fn where_the_chunks_end_does_not_matter(
        lines in prop::collection::vec(
            "(data|id|event|retry|:|x|\u{feff}data)(: ?)?[a1 ]{0,6}(\n|\r|\r\n){1,3}", 0..12
        ),
        cuts in prop::collection::vec(0usize..200, 0..12),
        max in 1usize..40,
    ) {
        let text = lines.concat();
        let bytes = text.as_bytes();
        let whole = decode(&[bytes], max);
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let chunks: Vec<_> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert_eq!(decode(&chunks, max), whole);
    }

    #[test]
    fn any_bytes_give_events_or_an_end(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let found = decode(&[&bytes], 64);
        prop_assert!(found.events.iter().all(|(_, data)| !data.is_empty()));
    }

    #[test]
    fn what_was_written_is_read(data in prop::collection::vec("[ -~]{1,20}", 1..5)) {
        let written: String = data.iter().map(|data| format!("data: {data}\n\n")).collect();
        let expect: Vec<_> = data.iter().map(|data| ("message".to_owned(), data.clone())).collect();
        prop_assert_eq!(events(&written), expect);
    }
}
