//! What waits for one client and what it may ask for again, as plain data without a lock.
//!
//! Every POST with calls in it and the standalone stream (number 0) is a [`Track`]. An event is
//! *pending* until a reader took it and *kept* afterwards, for a client that resumes. Both have
//! their own bound; answers to calls are always taken, as the calls themselves are bounded. Where
//! there is no room for more pending events, the oldest notification makes room: what is newest
//! says most, and a client that reads again should not begin with what is long over.

mod drops;
mod track;

use self::track::{Class, Event, Load, Phase, Track};
use crate::{options::Options, sse, sse::EventId, sse::Pieces};
use mcplex_proto::{id::Id, message::Message, peer::Origin};
use std::{
    collections::{BTreeMap, VecDeque},
    task::Waker,
};

/// The stream that belongs to no call.
pub(crate) const STANDALONE: u64 = 0;

/// All streams of one session.
#[derive(Debug)]
pub(crate) struct Mailbox {
    max_calls: usize,
    max_events: usize,
    max_bytes: usize,
    /// Calls in flight and the track each belongs to.
    calls: BTreeMap<Id, u64>,
    tracks: BTreeMap<u64, Track>,
    next_track: u64,
    pending: Load,
    /// Pending notifications, oldest first; some of them were taken meanwhile.
    droppable: VecDeque<(u64, u64)>,
    /// How many notifications were dropped.
    dropped: u64,
    kept: Load,
    /// Kept events, oldest first.
    kept_order: VecDeque<u64>,
    is_closed: bool,
}

/// Why calls were not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The session has ended.
    Closed,
    /// Too many calls are in flight.
    Full,
    /// Another call in flight has the same id.
    Duplicate,
}

/// What a reader of a track finds.
#[derive(Debug)]
pub(crate) enum Next {
    /// An event.
    Event(Pieces),
    /// Nothing yet; the waker will be called.
    Pending,
    /// Nothing ever again.
    End,
}

/// A reader's place in a track.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) stream: u64,
    reader: u64,
    /// The number of the event it saw last.
    pub(crate) number: u64,
}

/// What a POST learns while it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Go on waiting.
    Wait,
    /// A related message needs a stream.
    Stream,
    /// The session has ended.
    Closed,
}

impl Mailbox {
    pub(crate) fn new(options: &Options) -> Self {
        let standalone = Track { phase: Phase::Streaming, ..Track::default() };
        Self {
            max_calls: options.max_calls,
            max_events: options.replay_events,
            max_bytes: options.replay_bytes,
            calls: BTreeMap::new(),
            tracks: BTreeMap::from([(STANDALONE, standalone)]),
            next_track: 1,
            pending: Load::default(),
            droppable: VecDeque::new(),
            dropped: 0,
            kept: Load::default(),
            kept_order: VecDeque::new(),
            is_closed: false,
        }
    }

    /// Whether a call is in flight or a stream is open.
    pub(crate) fn is_busy(&self) -> bool {
        !self.calls.is_empty() || self.tracks.values().any(|track| track.has_reader)
    }

    /// Takes the calls of one POST; `may_stream` says that the client reads streams.
    pub(crate) fn begin(&mut self, ids: &[Id], may_stream: bool) -> Result<u64, Refused> {
        if self.is_closed {
            return Err(Refused::Closed);
        }
        if self.calls.len() + ids.len() > self.max_calls {
            return Err(Refused::Full);
        }
        let number = self.next_track;
        for (at, id) in ids.iter().enumerate() {
            if self.calls.contains_key(id) {
                for taken in &ids[..at] {
                    self.calls.remove(taken);
                }
                return Err(Refused::Duplicate);
            }
            self.calls.insert(id.clone(), number);
        }
        let phase = if may_stream { Phase::Open } else { Phase::Fixed };
        self.tracks.insert(number, Track { phase, ..Track::default() });
        self.next_track += 1;
        Ok(number)
    }

    /// Notes where the calls of a POST came from.
    pub(crate) fn came_from(&mut self, number: u64, origin: Origin) {
        if let Some(track) = self.tracks.get_mut(&number) {
            track.origin = origin;
        }
    }

    /// Where a call in flight came from.
    pub(crate) fn origin(&self, id: &Id) -> Option<Origin> {
        let track = self.tracks.get(self.calls.get(id)?)?;
        Some(track.origin.clone())
    }

    /// Tells a waiting POST whether to go on, and remembers whom to wake when that changes.
    pub(crate) fn watch(&mut self, number: u64, waker: &Waker) -> Signal {
        let Some(track) = self.tracks.get_mut(&number) else { return Signal::Closed };
        if track.phase == Phase::Streaming {
            return Signal::Stream;
        }
        track.wake_with(waker);
        Signal::Wait
    }

    /// Takes a message of the gateway; `false` when the client cannot be reached with it.
    pub(crate) fn send(&mut self, message: &Message, about: Option<&Id>) -> (bool, Option<Waker>) {
        if self.is_closed {
            return (false, None);
        }
        let number = match about {
            None => STANDALONE,
            Some(id) => match self.calls.get(id).map(|number| (*number, self.phase(*number))) {
                None => return (false, None),
                Some((number, Phase::Open | Phase::Streaming)) => number,
                // The POST cannot carry it; an open standalone stream can.
                Some((_, Phase::Fixed)) if self.tracks[&STANDALONE].has_reader => STANDALONE,
                Some((_, Phase::Fixed)) => return (false, None),
            },
        };
        while self.pending.events >= self.max_events || self.pending.bytes >= self.max_bytes {
            if !self.drop_oldest() {
                return (false, None);
            }
        }
        if self.phase(number) == Phase::Open {
            // Its POST is about to read it.
            self.stream(number);
        }
        let class =
            if let Message::Notification(_) = message { Class::Note } else { Class::Request };
        (true, self.push(number, message, class))
    }

    fn phase(&self, number: u64) -> Phase {
        self.tracks.get(&number).map_or(Phase::Fixed, |track| track.phase)
    }

    /// Turns the answer of a POST into a stream and takes the reader's place in it.
    pub(crate) fn stream(&mut self, number: u64) -> Option<Place> {
        let track = self.tracks.get_mut(&number)?;
        track.phase = Phase::Streaming;
        track.has_reader = true;
        Some(Place { stream: number, reader: track.reader, number: 0 })
    }

    /// Ends a call with its answer, which goes into the stream if there is one.
    pub(crate) fn answer(&mut self, id: &Id, answer: Option<&Message>) -> Option<Waker> {
        let number = self.calls.remove(id)?;
        match answer {
            Some(answer) if self.phase(number) == Phase::Streaming => {
                self.push(number, answer, Class::Answer)
            }
            Some(_) | None => None,
        }
    }

    /// Ends a POST that is answered as JSON; `false` when it has become a stream meanwhile.
    pub(crate) fn end(&mut self, number: u64, ids: &[Id]) -> bool {
        if self.phase(number) == Phase::Streaming {
            return false;
        }
        self.tracks.remove(&number);
        for id in ids {
            self.calls.remove(id);
        }
        true
    }

    /// No more events will come in this track.
    pub(crate) fn finish(&mut self, number: u64) -> Option<Waker> {
        let track = self.tracks.get_mut(&number)?;
        track.is_done = true;
        let waker = track.waker.take();
        self.forget_if_over(number);
        waker
    }

    /// The client of a waiting POST has left; it knows no event to resume from.
    pub(crate) fn abandon(&mut self, number: u64) {
        let Some(track) = self.tracks.get_mut(&number) else { return };
        track.phase = Phase::Fixed;
        track.has_reader = false;
        track.waker = None;
        for event in track.events.drain(..).filter(|event| event.class != Class::Answer) {
            self.pending.remove(event.pieces.len());
        }
    }

    /// Makes a new reader of a track, from the event after `after`; an earlier one ends.
    pub(crate) fn attach(
        &mut self,
        number: u64,
        after: Option<u64>,
    ) -> Option<(Place, Option<Waker>)> {
        if self.is_closed {
            return None;
        }
        let track = self.tracks.get_mut(&number)?;
        let after = after.unwrap_or(track.taken);
        // Nobody can have lost what nobody was given.
        if track.phase != Phase::Streaming || after > track.taken {
            return None;
        }
        track.reader += 1;
        track.has_reader = true;
        let place = Place { stream: number, reader: track.reader, number: after };
        Some((place, track.waker.take()))
    }

    /// The reader's next event.
    pub(crate) fn read(&mut self, place: &mut Place, waker: &Waker) -> Next {
        let Some(track) = self.tracks.get_mut(&place.stream) else { return Next::End };
        if track.reader != place.reader || !track.has_reader {
            return Next::End;
        }
        let at = track.events.partition_point(|event| event.number <= place.number);
        let Some(event) = track.events.get(at) else {
            if track.is_done {
                return Next::End;
            }
            track.wake_with(waker);
            return Next::Pending;
        };
        let pieces = event.pieces.clone();
        place.number = event.number;
        track.taken = track.taken.max(event.number);
        self.keep(place.stream, at);
        Next::Event(pieces)
    }

    /// The reader has left; what it did not take is kept, or waits in the standalone track.
    pub(crate) fn detach(&mut self, place: Place) {
        let Some(track) = self.tracks.get_mut(&place.stream) else { return };
        if track.reader != place.reader {
            return;
        }
        track.has_reader = false;
        track.waker = None;
        if place.stream != STANDALONE {
            while let Some(at) = self.first_pending(place.stream) {
                self.keep(place.stream, at);
            }
            self.forget_if_over(place.stream);
        }
    }

    /// Ends the open standalone stream, if any.
    pub(crate) fn end_standalone(&mut self) -> Option<Waker> {
        let track = self.tracks.get_mut(&STANDALONE)?;
        track.has_reader = false;
        track.waker.take()
    }

    /// Ends everything.
    pub(crate) fn close(&mut self) -> Vec<Waker> {
        self.is_closed = true;
        self.calls.clear();
        self.kept_order.clear();
        self.droppable.clear();
        (self.pending, self.kept) = (Load::default(), Load::default());
        let tracks = std::mem::take(&mut self.tracks);
        tracks.into_values().filter_map(|track| track.waker).collect()
    }

    fn push(&mut self, number: u64, message: &Message, class: Class) -> Option<Waker> {
        let track = self.tracks.get_mut(&number)?;
        track.latest += 1;
        let id = EventId { stream: number, number: track.latest };
        let pieces = sse::event(Some(id), message);
        if class != Class::Answer {
            self.pending.add(pieces.len());
        }
        track.events.push_back(Event { number: track.latest, pieces, is_kept: false, class });
        let waker = track.waker.take();
        if !track.has_reader && number != STANDALONE {
            let at = track.events.len() - 1;
            self.keep(number, at);
        } else if class == Class::Note {
            self.may_drop(id);
        }
        waker
    }

    /// Where the events begin that nobody took; they are read, and so kept, in order.
    fn first_pending(&self, number: u64) -> Option<usize> {
        let events = &self.tracks.get(&number)?.events;
        let at = events.partition_point(|event| event.is_kept);
        (at < events.len()).then_some(at)
    }

    /// Turns a pending event into a kept one, and lets the oldest go.
    fn keep(&mut self, number: u64, at: usize) {
        let Some(track) = self.tracks.get_mut(&number) else { return };
        let Some(event) = track.events.get_mut(at).filter(|event| !event.is_kept) else { return };
        let bytes = event.pieces.len();
        if event.class != Class::Answer {
            self.pending.remove(bytes);
        }
        // One that is too large for the whole bound must not push out all others.
        if bytes > self.max_bytes || self.max_events == 0 {
            track.events.remove(at);
            return;
        }
        event.is_kept = true;
        self.kept.add(bytes);
        self.kept_order.push_back(number);
        while self.kept.events > self.max_events || self.kept.bytes > self.max_bytes {
            self.evict();
        }
    }

    fn evict(&mut self) {
        let oldest = self.kept_order.pop_front().expect("what is counted stands in the order");
        let track = self.tracks.get_mut(&oldest).expect("a track with events is not forgotten");
        // Events are kept in the order of their numbers, so the oldest of a track is its first.
        let event = track.events.pop_front().expect("what stands in the order is in its track");
        self.kept.remove(event.pieces.len());
        self.forget_if_over(oldest);
    }

    /// Forgets a track of which nothing can be read any more.
    fn forget_if_over(&mut self, number: u64) {
        let is_over = self
            .tracks
            .get(&number)
            .is_some_and(|track| track.is_done && !track.has_reader && track.events.is_empty());
        if is_over {
            self.tracks.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests;
