//! Every call with a line of JSON: who made it, what it was for, and what came of it.
//!
//! A call hands over what it was when it has ended, and never waits. A thread of its own reads
//! arguments, leaves out what is not allowed to be seen, and writes; see [`mcplex_journal`] for what is
//! lost when.

mod arguments;
mod door;
mod line;

pub use self::{
    arguments::{Allowed, Policy},
    door::AuditedDoorman,
    line::{FIELDS, GAP_FIELDS, REFUSAL_FIELDS},
};

use self::line::Pen;
use mcplex_journal::{Journal, Limits, Options};
use mcplex_proto::{
    audit::{Arguments, Audited, Auditor},
    downstream::Principal,
    metric::{self, Metric},
};
use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

/// How many calls may wait to be written: a second of a busy gateway.
const ENTRIES: usize = 8192;

/// How much they may weigh together, in bytes; with arguments of 16 KiB each it is a thousand.
const WEIGHT: usize = 16 * 1024 * 1024;

/// What a call weighs without its arguments, more or less.
const CALL: usize = 1024;

/// How long the last lines may take to reach the disk at the end.
const FLUSH: Duration = Duration::from_secs(2);

/// How often refusals at the door get a line, at most: anybody can knock, and nobody should be able
/// to push out of the file what was written there.
const KNOCKS: Duration = Duration::from_secs(1);

/// The audit log; cheap to clone.
#[derive(Clone, Debug)]
pub struct Audit(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    journal: Journal<Entry>,
    begun: Instant,
    knocks: Mutex<Knocks>,
}

/// What gets a line.
#[derive(Debug)]
enum Entry {
    Call { at: SystemTime, call: Box<Audited> },
    Refusal { at: SystemTime, refusal: Refusal },
}

/// Somebody was not let in, before anything of the request was read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Refusal {
    status: u16,
    why: &'static str,
    /// Whose token it was, where that is proven.
    principal: Option<Principal>,
    /// How many were refused since the line before, this one included.
    count: u64,
}

#[derive(Debug, Default)]
struct Knocks {
    told_at: Option<Instant>,
    untold: Option<Refusal>,
}

impl Audit {
    /// Opens the log, and starts its thread.
    ///
    /// # Errors
    /// When the file cannot be opened, or another process has it.
    pub fn open(path: PathBuf, limits: Limits, policy: Policy) -> io::Result<Self> {
        let journal = Journal::open(
            Options {
                path,
                limits,
                entries: ENTRIES,
                weight: WEIGHT,
                what: "the audit log",
                must_open: true,
                lost: Box::new(|lines| {
                    let lines = i64::try_from(lines).unwrap_or(i64::MAX);
                    metric::add(Metric::AuditDropped, lines, &[]);
                }),
            },
            Pen::new(policy),
        )?;
        Ok(Self(Arc::new(Shared { journal, begun: clock(), knocks: Mutex::default() })))
    }

    /// How many lines were lost.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.0.journal.lost()
    }

    /// Waits a moment for the last lines to be written; `false` when they were not.
    pub fn flush(&self) -> bool {
        if let Some(refusal) = lock(&self.0.knocks).untold.take() {
            self.tell(refusal);
        }
        self.0.journal.flush(FLUSH)
    }

    /// Somebody was not let in.
    fn refused(&self, status: u16, why: &'static str, principal: Option<&Principal>) {
        let now = clock();
        let mut knocks = lock(&self.0.knocks);
        let new = Refusal { status, why, principal: principal.cloned(), count: 1 };
        let refusal = match knocks.untold.take() {
            None => new,
            // Anybody can knock without a name, which must not hide who has one.
            Some(known) if known.principal.is_some() && new.principal.is_none() => {
                Refusal { count: known.count + 1, ..known }
            }
            Some(known) => Refusal { count: known.count + 1, ..new },
        };
        if knocks.told_at.is_some_and(|told| now.duration_since(told) < KNOCKS) {
            knocks.untold = Some(refusal);
        } else {
            knocks.told_at = Some(now);
            drop(knocks);
            self.tell(refusal);
        }
    }

    fn tell(&self, refusal: Refusal) {
        self.0.journal.push(Entry::Refusal { at: wall_clock(), refusal }, CALL);
    }
}

impl Auditor for Audit {
    fn now(&self) -> Duration {
        self.0.begun.elapsed()
    }

    fn ended(&self, call: Audited) {
        let weight = CALL + call.arguments.as_ref().map_or(0, Arguments::weight);
        self.0.journal.push(Entry::Call { at: wall_clock(), call: Box::new(call) }, weight);
    }
}

/// For how long something took.
#[expect(clippy::disallowed_methods, reason = "measured for people; no rule is decided by it")]
fn clock() -> Instant {
    Instant::now()
}

/// What people call the time.
#[expect(clippy::disallowed_methods, reason = "told to people; nothing is decided by it")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// Locks for a moment, never over a wait.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
