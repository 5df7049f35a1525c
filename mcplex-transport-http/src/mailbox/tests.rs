use super::*;
use mcplex_proto::{
    message::{Notification, Request, Response},
    raw::Raw,
};
use proptest::prelude::*;

fn mailbox(events: usize, bytes: usize) -> Mailbox {
    Mailbox::new(&Options {
        replay_events: events,
        replay_bytes: bytes,
        max_calls: 3,
        ..Options::default()
    })
}

fn note(text: &str) -> Message {
    Notification::new("notifications/message", Some(Raw::of(&[text]))).into()
}

fn answer(id: u64) -> Message {
    Response::result(id.into(), Raw::empty_object()).into()
}

fn read(mailbox: &mut Mailbox, place: &mut Place) -> String {
    match mailbox.read(place, Waker::noop()) {
        Next::Event(mut pieces) => {
            let mut text = Vec::new();
            while let Some(piece) = pieces.pop() {
                text.extend_from_slice(&piece);
            }
            String::from_utf8(text).unwrap().lines().next().unwrap().to_owned()
        }
        Next::Pending => "pending".to_owned(),
        Next::End => "end".to_owned(),
    }
}

#[test]
fn calls_are_bounded_and_their_ids_unique() {
    let mut mailbox = mailbox(10, 1000);
    let first = mailbox.begin(&[1.into(), 2.into()], true).unwrap();
    assert_eq!(mailbox.begin(&[3.into(), 4.into()], true), Err(Refused::Full));
    assert_eq!(mailbox.begin(&[2.into()], true), Err(Refused::Duplicate));
    assert!(mailbox.end(first, &[1.into(), 2.into()]));
    assert_eq!(mailbox.begin(&[5.into(), 5.into()], true), Err(Refused::Duplicate));
    assert!(!mailbox.is_busy(), "a refused batch leaves nothing behind");
    mailbox.close();
    assert_eq!(mailbox.begin(&[1.into()], true), Err(Refused::Closed));
}

#[test]
fn a_related_message_turns_the_answer_into_a_stream() {
    let mut mailbox = mailbox(10, 1000);
    let track = mailbox.begin(&[1.into()], true).unwrap();
    assert_eq!(mailbox.watch(track, Waker::noop()), Signal::Wait);
    let (is_taken, waker) = mailbox.send(&note("a"), Some(&1.into()));
    assert!(is_taken && waker.is_some());
    assert_eq!(mailbox.watch(track, Waker::noop()), Signal::Stream);
    assert!(!mailbox.end(track, &[1.into()]));
    let mut place = mailbox.stream(track).unwrap();
    mailbox.answer(&1.into(), Some(&answer(1)));
    mailbox.finish(track);
    assert_eq!(read(&mut mailbox, &mut place), "id: 1-1");
    assert_eq!(read(&mut mailbox, &mut place), "id: 1-2");
    assert_eq!(read(&mut mailbox, &mut place), "end");
    mailbox.detach(place);
    let (mut again, _) = mailbox.attach(track, Some(1)).unwrap();
    assert_eq!(read(&mut mailbox, &mut again), "id: 1-2");
    assert_eq!(read(&mut mailbox, &mut again), "end");
}

#[test]
fn a_client_that_reads_no_stream_gets_related_messages_only_on_an_open_one() {
    let mut mailbox = mailbox(10, 1000);
    mailbox.begin(&[1.into()], false).unwrap();
    assert!(!mailbox.send(&note("a"), Some(&1.into())).0);
    let (mut place, _) = mailbox.attach(STANDALONE, None).unwrap();
    assert!(mailbox.send(&note("b"), Some(&1.into())).0);
    assert_eq!(read(&mut mailbox, &mut place), "id: 0-1");
    assert!(!mailbox.send(&note("c"), Some(&9.into())).0, "nobody asked that");
}

#[test]
fn what_has_no_stream_waits_within_its_bound_and_the_oldest_makes_room() {
    let mut mailbox = mailbox(2, 1000);
    for text in ["a", "b", "c"] {
        assert!(mailbox.send(&note(text), None).0);
    }
    assert_eq!(mailbox.dropped(), 1);
    let (mut place, _) = mailbox.attach(STANDALONE, None).unwrap();
    assert_eq!(read(&mut mailbox, &mut place), "id: 0-2", "the first one is gone");
    assert!(mailbox.send(&note("d"), None).0);
    assert_eq!(mailbox.dropped(), 1, "there was room again");
    mailbox.detach(place);
    let (mut place, _) = mailbox.attach(STANDALONE, None).unwrap();
    assert_eq!(read(&mut mailbox, &mut place), "id: 0-3");
    assert_eq!(read(&mut mailbox, &mut place), "id: 0-4");
    assert_eq!(read(&mut mailbox, &mut place), "pending");
}

#[test]
fn the_oldest_of_all_streams_is_dropped_and_no_request_is() {
    let mut mailbox = mailbox(3, 1000);
    let ask = || Message::from(Request::new(7, "sampling/createMessage", None));
    let track = mailbox.begin(&[1.into()], true).unwrap();
    assert!(mailbox.send(&ask(), None).0);
    assert!(mailbox.send(&note("oldest"), Some(&1.into())).0);
    assert!(mailbox.send(&note("newer"), None).0);
    assert!(mailbox.send(&note("newest"), None).0);
    let mut place = mailbox.stream(track).unwrap();
    assert_eq!(read(&mut mailbox, &mut place), "pending", "the oldest was this stream's");
    // A request pushes out notifications as well, but never another request.
    assert!(mailbox.send(&ask(), None).0 && mailbox.send(&ask(), None).0);
    assert_eq!(mailbox.dropped(), 3);
    assert!(!mailbox.send(&ask(), None).0 && !mailbox.send(&note("late"), None).0);
    let (mut place, _) = mailbox.attach(STANDALONE, None).unwrap();
    for expect in ["id: 0-1", "id: 0-4", "id: 0-5", "pending"] {
        assert_eq!(read(&mut mailbox, &mut place), expect);
    }
}

#[test]
fn a_flood_is_bounded_in_memory_and_ends_with_the_newest() {
    let mut mailbox = mailbox(8, 10_000);
    let (mut place, _) = mailbox.attach(STANDALONE, None).unwrap();
    for n in 1..=10_000 {
        assert!(mailbox.send(&note("x"), None).0);
        // One that reads a little now and then leaves marks behind of what it took.
        if n % 3 == 0 {
            read(&mut mailbox, &mut place);
        }
        assert!(mailbox.droppable.len() <= 2 * 8 + 1);
    }
    let mut last = String::new();
    while let event = read(&mut mailbox, &mut place)
        && event != "pending"
    {
        last = event;
    }
    assert_eq!(last, "id: 0-10000");
}

#[test]
fn the_newest_reader_takes_over() {
    let mut mailbox = mailbox(10, 1000);
    let (mut old, _) = mailbox.attach(STANDALONE, None).unwrap();
    assert_eq!(read(&mut mailbox, &mut old), "pending");
    let (mut new, waker) = mailbox.attach(STANDALONE, None).unwrap();
    assert!(waker.is_some(), "the old one must learn of it");
    assert!(mailbox.send(&note("a"), None).0);
    assert_eq!(read(&mut mailbox, &mut old), "end");
    mailbox.detach(old);
    assert_eq!(read(&mut mailbox, &mut new), "id: 0-1");
}

#[test]
fn kept_events_are_bounded_and_the_oldest_go_first() {
    let mut mailbox = mailbox(2, 1000);
    let (mut place, _) = mailbox.attach(STANDALONE, None).unwrap();
    for _ in 0..5 {
        assert!(mailbox.send(&note("a"), None).0);
        assert_ne!(read(&mut mailbox, &mut place), "pending");
    }
    let (mut again, _) = mailbox.attach(STANDALONE, Some(0)).unwrap();
    assert_eq!(read(&mut mailbox, &mut again), "id: 0-4");
    assert_eq!(read(&mut mailbox, &mut again), "id: 0-5");
    assert_eq!((mailbox.kept.events, mailbox.pending.events), (2, 0));
    assert!(mailbox.attach(STANDALONE, Some(6)).is_none(), "that was never sent");
}

#[test]
fn an_answer_is_delivered_even_when_it_is_too_large_to_keep() {
    let mut mailbox = mailbox(10, 100);
    let track = mailbox.begin(&[1.into()], true).unwrap();
    let mut place = mailbox.stream(track).unwrap();
    let large = Response::result(1.into(), Raw::of(&"x".repeat(20_000))).into();
    mailbox.answer(&1.into(), Some(&large));
    mailbox.finish(track);
    assert_eq!(read(&mut mailbox, &mut place), "id: 1-1");
    assert_eq!(read(&mut mailbox, &mut place), "end");
    mailbox.detach(place);
    assert!(mailbox.attach(track, Some(0)).is_none(), "nothing of it is left");
    assert_eq!((mailbox.kept.bytes, mailbox.pending.bytes, mailbox.tracks.len()), (0, 0, 1));
}

#[test]
fn a_reader_that_leaves_keeps_its_events_for_the_next_one() {
    let mut mailbox = mailbox(2, 1000);
    let track = mailbox.begin(&[1.into()], true).unwrap();
    let place = mailbox.stream(track).unwrap();
    mailbox.detach(place);
    for text in ["a", "b"] {
        assert!(mailbox.send(&note(text), Some(&1.into())).0);
    }
    mailbox.answer(&1.into(), Some(&answer(1)));
    mailbox.finish(track);
    let (mut place, _) = mailbox.attach(track, Some(0)).unwrap();
    assert_eq!(read(&mut mailbox, &mut place), "id: 1-2", "only two are kept");
    assert_eq!(read(&mut mailbox, &mut place), "id: 1-3");
    assert_eq!(read(&mut mailbox, &mut place), "end");
}

#[test]
fn an_abandoned_post_leaves_nothing_behind() {
    let mut mailbox = mailbox(10, 1000);
    let track = mailbox.begin(&[1.into()], true).unwrap();
    assert!(mailbox.send(&note("a"), Some(&1.into())).0);
    mailbox.abandon(track);
    assert!(!mailbox.send(&note("b"), Some(&1.into())).0);
    mailbox.answer(&1.into(), Some(&answer(1)));
    mailbox.finish(track);
    assert!(!mailbox.is_busy());
    assert_eq!((mailbox.kept.events, mailbox.pending.events, mailbox.tracks.len()), (0, 0, 1));
}

#[test]
fn everything_ends_with_the_session() {
    let mut mailbox = mailbox(10, 1000);
    let track = mailbox.begin(&[1.into()], true).unwrap();
    mailbox.watch(track, Waker::noop());
    let (mut place, _) = mailbox.attach(STANDALONE, None).unwrap();
    assert_eq!(read(&mut mailbox, &mut place), "pending");
    assert_eq!(mailbox.close().len(), 2);
    assert_eq!(mailbox.watch(track, Waker::noop()), Signal::Closed);
    assert_eq!(read(&mut mailbox, &mut place), "end");
    assert!(!mailbox.send(&note("a"), None).0);
    assert!(mailbox.attach(STANDALONE, None).is_none());
}

#[test]
fn a_large_answer_that_is_being_read_does_not_hold_up_messages() {
    let mut mailbox = mailbox(10, 100);
    let track = mailbox.begin(&[1.into()], true).unwrap();
    let place = mailbox.stream(track).unwrap();
    let large = Response::result(1.into(), Raw::of(&"x".repeat(20_000))).into();
    mailbox.answer(&1.into(), Some(&large));
    assert!(mailbox.send(&note("a"), None).0);
    mailbox.detach(place);
    assert_eq!(mailbox.pending.events, 1);
}

#[derive(Clone, Debug)]
enum Step {
    Begin(u64, bool),
    Send(Option<u64>, usize),
    Stream(u64),
    Answer(u64, usize),
    Finish(u64),
    Abandon(u64),
    End(u64),
    Attach(u64, Option<u64>),
    Read(u8),
    Detach(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let small = 0_u64..4;
    prop_oneof![
        (small.clone(), any::<bool>()).prop_map(|(id, may)| Step::Begin(id, may)),
        (prop::option::of(small.clone()), 0_usize..80).prop_map(|(id, len)| Step::Send(id, len)),
        small.clone().prop_map(Step::Stream),
        (small.clone(), 0_usize..400).prop_map(|(id, len)| Step::Answer(id, len)),
        (1_u64..4).prop_map(Step::Finish),
        (1_u64..4).prop_map(Step::Abandon),
        (1_u64..4).prop_map(Step::End),
        (small, prop::option::of(0_u64..5)).prop_map(|(track, after)| Step::Attach(track, after)),
        any::<u8>().prop_map(Step::Read),
        (0_usize..4).prop_map(Step::Detach),
    ]
}

fn apply(mailbox: &mut Mailbox, readers: &mut Vec<Place>, step: Step) {
    let text = |len: usize| Raw::of(&"x".repeat(len));
    match step {
        Step::Begin(id, may_stream) => drop(mailbox.begin(&[id.into()], may_stream)),
        Step::Send(about, len) => {
            let message = Notification::new("n", Some(text(len))).into();
            mailbox.send(&message, about.map(Into::into).as_ref());
        }
        Step::Stream(track) => readers.extend(mailbox.stream(track)),
        Step::Answer(id, len) => {
            let answer = Response::result(id.into(), text(len)).into();
            mailbox.answer(&id.into(), Some(&answer));
        }
        Step::Finish(track) => drop(mailbox.finish(track)),
        // Only a POST that still waits, and has given its reader to nobody, can be abandoned.
        Step::Abandon(track) if mailbox.tracks.get(&track).is_some_and(is_unread) => {
            mailbox.abandon(track);
        }
        Step::Abandon(_) => {}
        Step::End(track) => drop(mailbox.end(track, &[])),
        Step::Attach(track, after) => {
            readers.extend(mailbox.attach(track, after).map(|(place, _)| place));
        }
        Step::Read(at) => {
            let count = readers.len();
            if let Some(place) = readers.get_mut(usize::from(at) % count.max(1)) {
                let before = place.number;
                let next = mailbox.read(place, Waker::noop());
                assert_eq!(matches!(next, Next::Event(_)), place.number > before);
            }
        }
        Step::Detach(at) if at < readers.len() => mailbox.detach(readers.swap_remove(at)),
        Step::Detach(_) => {}
    }
}

fn is_unread(track: &Track) -> bool {
    track.events.iter().all(|event| !event.is_kept)
}

proptest! {
    #[test]
    fn the_bounds_hold_and_the_books_are_right(steps in prop::collection::vec(step(), 0..60)) {
        let mut mailbox = mailbox(5, 300);
        let mut readers = Vec::new();
        for step in steps {
            apply(&mut mailbox, &mut readers, step);
            let events = || mailbox.tracks.values().flat_map(|track| &track.events);
            let load = |events: Vec<&Event>| {
                (events.len(), events.iter().map(|event| event.pieces.len()).sum::<usize>())
            };
            let kept = load(events().filter(|event| event.is_kept).collect());
            let pending =
                load(events().filter(|event| !event.is_kept && event.class != Class::Answer).collect());
            prop_assert_eq!((mailbox.kept.events, mailbox.kept.bytes), kept);
            prop_assert_eq!((mailbox.pending.events, mailbox.pending.bytes), pending);
            prop_assert!(kept.0 <= 5 && kept.1 <= 300 && pending.0 <= 5);
            prop_assert_eq!(mailbox.kept_order.len(), kept.0);
            prop_assert!(mailbox.droppable.len() <= 2 * 5 + 1);
            for track in mailbox.tracks.values() {
                prop_assert!(track.events.iter().is_sorted_by_key(|event| event.number));
                prop_assert!(track.events.iter().is_sorted_by_key(|event| !event.is_kept));
            }
        }
    }
}
