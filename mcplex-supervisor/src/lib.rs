//! Keeps one upstream alive, or gives up on it.
//!
//! It never knows what carries the bytes, never routes, and never starts a second process while
//! anything of the first is left.
//!
//! [`Life`] decides and does nothing: it is told what happened and at what [`Time`], and answers
//! what to do next, so that an hour of crashes is a test of a millisecond. Read [`Life`] first; its
//! module says all rules. [`Options`] holds every limit with its reason, [`Probe`] tells a hung
//! upstream from a busy one.
//!
//! ```
//! use mcplex_supervisor::{Action, Event, Failure, Life, Options, Time};
//!
//! let mut life = Life::new(Options::default(), 1);
//! life.handle_event(Event::Start, Time(0));
//! let Some(Action::Connect { incarnation, .. }) = life.poll_action() else { unreachable!() };
//! life.handle_event(Event::Failed { incarnation, failure: Failure::Death }, Time(10));
//! assert_eq!(life.poll_action(), Some(Action::Close { incarnation }));
//! life.handle_event(Event::Gone { incarnation }, Time(20));
//! assert!(life.poll_timeout().is_some(), "it waits before the next life");
//! ```

// The words, then what decides.
mod time;

mod options;

mod event;

mod state;

mod backoff;

mod breaker;

mod life;

mod probe;

// What all upstreams of a process share.
mod host;

mod era;

// What does: the task, what it holds, what others hold of it, its spans and its numbers.
mod driver;

mod open;

mod garbage;

mod pace;

mod warden;

mod parked;

mod cause;

mod diagnosis;

mod blackbox;

mod handle;

mod trace;

mod measure;

pub use breaker::TripCause;
pub use driver::{Spec, Starts, supervise};
pub use era::{EraMemory, ProcessMemory};
pub use event::{Action, Event, Failure, Note};
pub use handle::{Change, Handle};
pub use host::{
    Host, HostOptions,
    facts::{HostFacts, ThisHost},
};
pub use life::Life;
pub use options::{OnExitZero, Options, ProbeOptions, Restart};
pub use probe::{Probe, Verdict};
pub use state::{Next, NextTrial, Standing, State, Why};
pub use time::Time;
