//! One stream of a mailbox: its events and its reader.

use crate::sse::Pieces;
use mcplex_proto::peer::Origin;
use std::{collections::VecDeque, task::Waker};

/// The events of one POST, or of the standalone stream.
#[derive(Debug, Default)]
pub(super) struct Track {
    pub(super) phase: Phase,
    pub(super) events: VecDeque<Event>,
    /// The number of the latest event.
    pub(super) latest: u64,
    /// The number of the latest event a reader took.
    pub(super) taken: u64,
    pub(super) has_reader: bool,
    /// Tells a reader from the one that took over.
    pub(super) reader: u64,
    pub(super) waker: Option<Waker>,
    pub(super) is_done: bool,
    /// Where its POST came from.
    pub(super) origin: Origin,
}

/// How the answer of a POST travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// As JSON; may become a stream.
    #[default]
    Open,
    /// As JSON, whatever comes.
    Fixed,
    /// As events.
    Streaming,
}

/// One event, and whether a reader took it.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) number: u64,
    pub(super) pieces: Pieces,
    pub(super) is_kept: bool,
    pub(super) class: Class,
}

/// What an event carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Does not count while it is pending: calls are bounded.
    Answer,
    /// Somebody waits for what the client says to it, so it is not dropped.
    Request,
    /// May be dropped for newer ones.
    Note,
}

/// How much of a bound is used.
#[derive(Debug, Default)]
pub(super) struct Load {
    pub(super) events: usize,
    pub(super) bytes: usize,
}

impl Load {
    pub(super) fn add(&mut self, bytes: usize) {
        self.events += 1;
        self.bytes += bytes;
    }

    pub(super) fn remove(&mut self, bytes: usize) {
        self.events -= 1;
        self.bytes -= bytes;
    }
}

impl Track {
    /// Where the event of this number is, if nobody took it.
    pub(super) fn pending(&self, number: u64) -> Option<usize> {
        let at = self.events.binary_search_by_key(&number, |event| event.number).ok()?;
        (!self.events[at].is_kept).then_some(at)
    }

    /// Remembers whom to wake when something changes.
    pub(super) fn wake_with(&mut self, waker: &Waker) {
        match &mut self.waker {
            Some(known) => known.clone_from(waker),
            None => self.waker = Some(waker.clone()),
        }
    }
}
