//! What is known of a death: the black box of one incarnation.

use serde::{Deserialize, Serialize};

/// Everything that was known when an incarnation ended without being asked to.
///
/// Bounded when it is made, so it may be kept: texts are cut, and secrets were removed from them.
/// Moments are milliseconds of Unix time, for people and not for decisions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CrashReport {
    /// Whose death it was.
    pub upstream: String,
    /// Which of its children, where it has several, as `mail/2` or `mail/s17`.
    pub member: Option<String>,
    /// Which life.
    pub incarnation: u64,
    /// When it ended.
    pub at_ms: u64,
    /// What happened, in one plain sentence without a final stop.
    pub what: String,
    /// The same as a word of `mcplex.death.reason`.
    pub reason: String,
    /// The exit code, if the process exited.
    pub exit_code: Option<i32>,
    /// The name of the signal, if one ended it.
    pub signal: Option<String>,
    /// Whether the kernel says that memory ran out.
    pub out_of_memory: bool,
    /// The process.
    pub pid: Option<u32>,
    /// How long it ran, in milliseconds.
    pub uptime_ms: u64,
    /// The most memory that one of its processes held, in bytes.
    pub peak_memory: Option<u64>,
    /// Processor time of its processes, in milliseconds.
    pub cpu_ms: Option<u64>,
    /// Whether it counts as a death; a failure of the host does not.
    pub is_counted: bool,
    /// Deaths in the breaker's window, this one included.
    pub deaths: u32,
    /// How many the breaker bears within that window.
    pub max_deaths: u32,
    /// How long that window is, in milliseconds.
    pub window_ms: u64,
    /// Lives in a row that ended before they were stable.
    pub run: u32,
    /// Which rule opened the breaker, if this death did, in a few words: `6 deaths in 60 s`.
    pub trip: Option<String>,
    /// When it will be tried again, in milliseconds after `at_ms`; `None` without a known moment.
    pub retry_after_ms: Option<u64>,
    /// The probable cause, if its last words give one away.
    pub probable_cause: Option<String>,
    /// What a person can do about it.
    pub advice: String,
    /// Calls that were sent and not answered.
    pub in_flight: Vec<CallInFlight>,
    /// The last messages both ways, oldest first.
    pub messages: Vec<Seen>,
    /// The last lines of its stderr, oldest first.
    pub stderr: Vec<StderrLine>,
    /// The trace of the death, if it is recorded.
    pub trace_id: Option<String>,
}

/// A call that was sent and not answered when its upstream died.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallInFlight {
    /// The id it had at the upstream.
    pub id: u64,
    /// Its method.
    pub method: String,
    /// The tool, prompt or resource it was for.
    pub name: Option<String>,
    /// How long it had been waiting, in milliseconds.
    pub age_ms: u64,
    /// Whether the same call was in flight at an earlier death too.
    pub is_suspect: bool,
}

/// One message on its way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Seen {
    /// When.
    pub at_ms: u64,
    /// Whether the upstream said it; else it was told.
    pub is_from_upstream: bool,
    /// How long it was, in bytes.
    pub bytes: u64,
    /// Its beginning, without secrets.
    pub text: String,
}

/// One line of stderr.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StderrLine {
    /// When it was read.
    pub at_ms: u64,
    /// The line.
    pub text: String,
}
