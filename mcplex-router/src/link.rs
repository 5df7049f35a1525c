//! One upstream as the router sees it: its lists, its members, its subscribers.

use crate::{
    crew::Crew,
    isolation::MemberKey,
    lists::{Kind, Lists},
    memory::{self, Memory},
    options::Propagate,
    router::{UpstreamKey, lock},
    session::SessionNumber,
    signal::Signal,
    subscribers::Subscribers,
};
use mcplex_proto::upstream::UpstreamName;
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
};
use tracing::Span;

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) key: UpstreamKey,
    pub(crate) name: UpstreamName,
    pub(crate) crew: Mutex<Crew>,
    lists: Mutex<Arc<Lists>>,
    /// Where the lists are remembered, if anywhere.
    memory: Mutex<Option<Arc<dyn Memory>>>,
    /// The memory does not have the lists yet.
    is_unwritten: AtomicBool,
    pub(crate) subscribers: Mutex<Subscribers>,
    /// Sessions that were asked to open a URL, to tell them when that is done.
    elicitations: Mutex<VecDeque<(String, SessionNumber)>>,
    stale: Mutex<Stale>,
    /// Lists that the upstream itself says have changed.
    said: Mutex<Stale>,
    /// Lists that may have changed since, without anybody being told, as bits by kind; the next
    /// client that asks for one has it read again.
    expired: AtomicU8,
    /// The life whose lists belong to its connect, with the span of that.
    connecting: Mutex<Option<(MemberKey, Span)>>,
    /// What of a caller's context it does not get: bits for the trace and for the baggage.
    withheld: AtomicU8,
    /// Raised when something went stale.
    pub(crate) signal: Signal,
    /// Raised when stateless members may have to be listened to in another way.
    pub(crate) watch: Signal,
}

/// Elicitations by URL that are remembered per upstream, many more than people open at a time; the
/// oldest goes first.
const MAX_ELICITATIONS: usize = 256;

/// The bit for the trace that a caller names.
const TRACE: u8 = 1;
/// The bit for what a caller says of itself.
const BAGGAGE: u8 = 2;

/// Lists that are to be read again.
pub(crate) type Stale = [bool; 4];

impl Link {
    pub(crate) fn new(key: UpstreamKey, name: UpstreamName) -> Self {
        Self {
            key,
            name,
            crew: Mutex::default(),
            lists: Mutex::default(),
            memory: Mutex::default(),
            is_unwritten: AtomicBool::default(),
            subscribers: Mutex::default(),
            elicitations: Mutex::default(),
            stale: Mutex::default(),
            said: Mutex::default(),
            expired: AtomicU8::default(),
            connecting: Mutex::default(),
            withheld: AtomicU8::new(BAGGAGE),
            signal: Signal::default(),
            watch: Signal::default(),
        }
    }

    /// What of a caller's context it gets.
    pub(crate) fn propagate(&self) -> Propagate {
        let withheld = self.withheld.load(Ordering::Relaxed);
        Propagate { trace: withheld & TRACE == 0, baggage: withheld & BAGGAGE == 0 }
    }

    pub(crate) fn set_propagate(&self, propagate: Propagate) {
        let bit = |is_told: bool, bit: u8| if is_told { 0 } else { bit };
        let withheld = bit(propagate.trace, TRACE) | bit(propagate.baggage, BAGGAGE);
        self.withheld.store(withheld, Ordering::Relaxed);
    }

    /// A member has connected whose lists will be read for that.
    pub(crate) fn connects(&self, member: MemberKey, span: Span) {
        *lock(&self.connecting) = Some((member, span));
    }

    /// The span of the connect that the lists of a member belong to; once.
    pub(crate) fn take_connect(&self, member: MemberKey) -> Option<Span> {
        let connecting = lock(&self.connecting).take_if(|(of, _)| *of == member);
        connecting.map(|(_, span)| span)
    }

    pub(crate) fn lists(&self) -> Arc<Lists> {
        lock(&self.lists).clone()
    }

    pub(crate) fn set_lists(&self, lists: Lists) {
        *lock(&self.lists) = Arc::new(lists);
    }

    /// Has the lists remembered from now on; `true` when there were none and it knows some.
    pub(crate) fn set_memory(&self, memory: Arc<dyn Memory>) -> bool {
        *lock(&self.memory) = Some(memory.clone());
        self.is_unwritten.store(true, Ordering::Release);
        if self.lists().info.is_some() {
            return false;
        }
        let Some(document) = memory.recall() else { return false };
        match memory::read(document) {
            Ok(lists) => {
                self.set_lists(lists);
                self.is_unwritten.store(false, Ordering::Release);
                true
            }
            Err(error) => {
                tracing::info!(upstream = %self.name, %error,
                    "what is remembered of an upstream cannot be used; it is asked again");
                false
            }
        }
    }

    /// Has the lists remembered as they are now, if they are others or nothing is remembered.
    pub(crate) fn remember(&self, is_new: bool) {
        let is_unwritten = self.is_unwritten.swap(false, Ordering::AcqRel);
        if !is_new && !is_unwritten {
            return;
        }
        let memory = lock(&self.memory).clone();
        if let (Some(memory), Some(document)) = (memory, memory::write(&self.lists())) {
            memory.remember(document);
        }
    }

    /// Notes that something must be read again, and wakes whoever does it.
    pub(crate) fn mark(&self, change: impl FnOnce(&mut Stale)) {
        change(&mut lock(&self.stale));
        self.signal.raise();
    }

    pub(crate) fn take_stale(&self) -> Stale {
        std::mem::take(&mut lock(&self.stale))
    }

    /// Notes that these lists were read longer ago than their upstream vouches for.
    pub(crate) fn expire(&self, kinds: &[Kind]) {
        let bits = kinds.iter().fold(0, |bits, &kind| bits | 1 << kind as u8);
        self.expired.fetch_or(bits, Ordering::Relaxed);
    }

    /// Has a list read again that somebody asks for and that has expired.
    pub(crate) fn asked_for(&self, kind: Kind) {
        let bit = 1 << kind as u8;
        if self.expired.load(Ordering::Relaxed) & bit != 0
            && self.expired.fetch_and(!bit, Ordering::Relaxed) & bit != 0
        {
            self.mark(|stale| stale[kind as usize] = true);
        }
    }

    /// Notes that the upstream itself says that these lists have changed.
    pub(crate) fn hear(&self, kinds: &[Kind]) {
        let note = |lists: &mut Stale| kinds.iter().for_each(|&kind| lists[kind as usize] = true);
        note(&mut lock(&self.said));
        self.mark(note);
    }

    /// The lists that the upstream says have changed, once each.
    pub(crate) fn take_said(&self) -> Stale {
        std::mem::take(&mut lock(&self.said))
    }

    pub(crate) fn elicits(&self, elicitation: String, session: SessionNumber) {
        let mut elicitations = lock(&self.elicitations);
        if elicitations.len() >= MAX_ELICITATIONS {
            elicitations.pop_front();
        }
        elicitations.push_back((elicitation, session));
    }

    pub(crate) fn elicited(&self, elicitation: &str) -> Option<SessionNumber> {
        let mut elicitations = lock(&self.elicitations);
        let at = elicitations.iter().position(|(name, _)| name == elicitation)?;
        elicitations.remove(at).map(|(_, session)| session)
    }
}
