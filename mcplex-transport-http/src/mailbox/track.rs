//! One stream of a mailbox: its events and its reader.

use crate::sse::Pieces;
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
    /// Answers do not count while they are pending: their calls are bounded.
    pub(super) is_answer: bool,
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
    /// Remembers whom to wake when something changes.
    pub(super) fn wake_with(&mut self, waker: &Waker) {
        match &mut self.waker {
            Some(known) => known.clone_from(waker),
            None => self.waker = Some(waker.clone()),
        }
    }
}
