//! The calls of tools: the last ones, and figures of each tool.
//!
//! It stands between listeners and the gateway and sees what clients see: the name a client used,
//! what it was answered, and how long that took as the client felt it. It reads no payload but the
//! name of the tool and whether the result is a failure. It does so from the start: whoever looks
//! wants to know what happened before.

mod counting;

pub use self::counting::{Counting, Owner};

use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Calls that are kept: what a person reads back over, and some 100 KiB.
const KEPT: usize = 500;

/// Tools that are counted one by one; the rest is one line. Twice what the largest fleet seen had.
const TOOLS: usize = 1024;

/// The name of that line; no tool can have it, because it has a space.
const OTHERS: &str = "other tools";

/// How much of a name is kept; clients may call by any name.
const NAME: usize = 128;

/// Upper ends of the parts of a histogram, in microseconds: three per power of ten from 0.1 ms to
/// a minute, so that a figure read from it is off by half at most.
const ENDS: [u64; 19] = [
    100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000,
    1_000_000, 2_000_000, 5_000_000, 10_000_000, 20_000_000, 40_000_000, 60_000_000,
];

/// A call that has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ended {
    /// Counts all calls, from 1.
    pub number: u64,
    /// When it ended, in milliseconds of Unix time.
    pub at_ms: u64,
    /// The tool, as the client calls it.
    pub tool: String,
    /// Whose tool it is, if anybody has it.
    pub upstream: Option<String>,
    /// `ok`, `error`, `rejected` (it was not sent) or `cancelled`.
    pub outcome: String,
    /// What kind of error, in the words of the spans.
    pub error_type: Option<String>,
    /// How long it took, in microseconds.
    pub duration_us: u64,
    /// The trace that mcplex tells of it in, or else the one that the client named.
    pub trace_id: Option<String>,
}

/// Figures of one tool since mcplex started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    /// The tool, as clients call it.
    pub tool: String,
    /// Whose tool it is, if anybody has it.
    pub upstream: Option<String>,
    /// How often it was called.
    pub calls: u64,
    /// How often that failed; a cancelled call has not.
    pub errors: u64,
    /// When it was called last, in milliseconds of Unix time.
    pub last_ms: u64,
    /// Half of its calls took this or less, in microseconds, as precise as the histogram is.
    pub p50_us: u64,
    /// Of a hundred calls, 95.
    pub p95_us: u64,
    /// Of a hundred calls, 99.
    pub p99_us: u64,
    /// The longest one.
    pub max_us: u64,
}

/// Takes ended calls; cheap to clone.
#[derive(Clone, Debug)]
pub struct Calls(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    kept: Mutex<Kept>,
    /// Since when calls are counted, in milliseconds of Unix time.
    since_ms: u64,
}

#[derive(Debug, Default)]
struct Kept {
    last: VecDeque<Ended>,
    count: u64,
    tools: BTreeMap<String, Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    figures: Figures,
    parts: [u64; ENDS.len() + 1],
}

impl Calls {
    /// Counts from now on.
    #[must_use]
    pub fn begin() -> Self {
        Self(Arc::new(Shared { kept: Mutex::default(), since_ms: unix_ms() }))
    }

    /// Since when calls are counted, in milliseconds of Unix time.
    #[must_use]
    pub fn since_ms(&self) -> u64 {
        self.0.since_ms
    }

    /// Takes a call, and gives it its number.
    pub fn tell(&self, call: Ended) {
        let mut kept = lock(&self.0.kept);
        kept.count += 1;
        let call = Ended { number: kept.count, ..call };
        let is_known = kept.tools.contains_key(&call.tool);
        let name = if is_known || kept.tools.len() < TOOLS { &*call.tool } else { OTHERS };
        kept.tools.entry(name.to_owned()).or_default().take(name, &call);
        if kept.last.len() >= KEPT {
            kept.last.pop_front();
        }
        kept.last.push_back(call);
    }

    /// The last calls, newest first.
    #[must_use]
    pub fn last(&self, upstream: Option<&str>) -> Vec<Ended> {
        let kept = lock(&self.0.kept);
        let wanted = |call: &&Ended| upstream.is_none() || call.upstream.as_deref() == upstream;
        kept.last.iter().rev().filter(wanted).cloned().collect()
    }

    /// The figures of all tools, by name.
    #[must_use]
    pub fn figures(&self) -> Vec<Figures> {
        lock(&self.0.kept).tools.values().map(Counted::figures).collect()
    }

    /// The figures of all upstreams whose tools were called, by name; `tool` is empty in them.
    #[must_use]
    pub fn figures_of_upstreams(&self) -> Vec<Figures> {
        let mut all: BTreeMap<String, Counted> = BTreeMap::new();
        for tool in lock(&self.0.kept).tools.values() {
            if let Some(upstream) = &tool.figures.upstream {
                all.entry(upstream.clone()).or_default().add(tool);
            }
        }
        all.values().map(Counted::figures).collect()
    }
}

impl Counted {
    fn take(&mut self, name: &str, call: &Ended) {
        let part = ENDS.partition_point(|end| *end < call.duration_us);
        self.parts[part] += 1;
        let figures = &mut self.figures;
        if figures.calls == 0 {
            name.clone_into(&mut figures.tool);
        }
        if name != OTHERS {
            figures.upstream.clone_from(&call.upstream);
        }
        figures.calls += 1;
        figures.errors += u64::from(call.error_type.is_some());
        figures.last_ms = call.at_ms;
        figures.max_us = figures.max_us.max(call.duration_us);
    }

    /// Adds what was counted of another tool of the same upstream.
    fn add(&mut self, other: &Self) {
        for (part, more) in self.parts.iter_mut().zip(other.parts) {
            *part += more;
        }
        let (sum, more) = (&mut self.figures, &other.figures);
        sum.upstream.clone_from(&more.upstream);
        sum.calls += more.calls;
        sum.errors += more.errors;
        sum.last_ms = sum.last_ms.max(more.last_ms);
        sum.max_us = sum.max_us.max(more.max_us);
    }

    fn figures(&self) -> Figures {
        Figures {
            p50_us: self.within(50),
            p95_us: self.within(95),
            p99_us: self.within(99),
            ..self.figures.clone()
        }
    }

    /// The end of the part in which this many of a hundred calls were over.
    fn within(&self, percent: u64) -> u64 {
        let wanted = (self.figures.calls * percent).div_ceil(100);
        let mut sum = 0;
        for (part, end) in self.parts.iter().zip(ENDS) {
            sum += part;
            if sum >= wanted {
                return end.min(self.figures.max_us);
            }
        }
        self.figures.max_us
    }
}

/// What people call the time.
#[expect(clippy::disallowed_methods, reason = "told to people; nothing is decided by it")]
fn unix_ms() -> u64 {
    let since: Duration = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Locks for a moment, never over a wait.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
