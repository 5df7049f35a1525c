//! Events of a stream: whatever comes in whatever pieces, the same events come out, within bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcplex_proto::sse::{Event, EventDecoder};
use std::time::Duration;

const MAX: usize = 64;

/// The events, where a stream would go on, and whether it can be trusted to its end.
type Outcome = (Vec<Event>, Option<String>, Option<Duration>, bool);

fn events<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let mut decoder = EventDecoder::new(MAX);
    let mut events = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next_event() {
                Ok(Some(event)) => {
                    assert!(!event.data.is_empty() && event.data.len() <= MAX);
                    assert!(!event.name.is_empty());
                    events.push(event);
                }
                Ok(None) => break,
                Err(_) => return outcome(&decoder, events, false),
            }
        }
    }
    outcome(&decoder, events, true)
}

fn outcome(decoder: &EventDecoder, events: Vec<Event>, is_whole: bool) -> Outcome {
    (events, decoder.last_id().map(str::to_owned), decoder.retry(), is_whole)
}

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let whole = events(std::iter::once(bytes));
    assert_eq!(whole, events(bytes.chunks(usize::from(size).max(1))));
});
