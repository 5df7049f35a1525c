//! What a [`Life`](crate::Life) is told, and what it answers.

use crate::breaker::TripCause;
use mcplex_proto::upstream::Incarnation;
use std::time::Duration;

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody wants the upstream to run.
    Start,
    /// Somebody wants it to run once a caller is there; matters only when it is stopped.
    Lazy,
    /// Somebody wants it to end; wins over everything before it.
    Stop,
    /// Somebody wants it ended, if it runs, and started at once; no death, and the past stays.
    ///
    /// An open breaker stays open: what starts is its trial.
    Restart,
    /// Somebody wants all past forgotten and a start at once.
    Reset,
    /// A caller is there; matters only when an idle upstream or an open breaker waits for one.
    Demand,
    /// Nobody has used it for [`idle_stop`](crate::Options::idle_stop); matters only when it is
    /// ready.
    Rest,
    /// The connect was let through; the handshake's time counts from now.
    ///
    /// Without it the start fails after [`start_wait`](crate::Options::start_wait) for lack of
    /// resources.
    Granted(Incarnation),
    /// A connect with its handshake is done.
    Connected(Incarnation),
    /// It was idle and did not answer a probe in time, so it may hang.
    Degraded(Incarnation),
    /// Something was heard of it; matters only after `Degraded`.
    Heard(Incarnation),
    /// A life failed in whatever way; the first report of a life counts, later ones do not.
    Failed {
        /// The life.
        incarnation: Incarnation,
        /// What kind of failure.
        failure: Failure,
    },
    /// Nothing of a life is left; answers [`Action::Close`].
    Gone {
        /// The life.
        incarnation: Incarnation,
    },
    /// Something of a life is left although everything was tried; answers [`Action::Close`].
    NotGone {
        /// The life.
        incarnation: Incarnation,
    },
    /// The host slept, or this process was halted, for so long; every deadline moves by it.
    ///
    /// Must be told before the next `handle_timeout`.
    ClockJumped(Duration),
}

impl Event {
    /// Of which life it speaks, if of a certain one.
    pub(crate) fn incarnation(self) -> Option<Incarnation> {
        match self {
            Self::Granted(incarnation)
            | Self::Connected(incarnation)
            | Self::Degraded(incarnation)
            | Self::Heard(incarnation)
            | Self::Failed { incarnation, .. }
            | Self::Gone { incarnation }
            | Self::NotGone { incarnation } => Some(incarnation),
            Self::Start
            | Self::Lazy
            | Self::Stop
            | Self::Restart
            | Self::Reset
            | Self::Demand
            | Self::Rest
            | Self::ClockJumped(_) => None,
        }
    }
}

/// What kind of failure ended a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Only a person can repair it, such as a program that is not there.
    Permanent,
    /// The host ran out of something; not the upstream's fault, so not a death.
    Resource,
    /// It ended while it was asked which era of the protocol it speaks.
    ///
    /// No death, and the next life begins at once, but only twice before a life is stable.
    EraProbe,
    /// It exited with code 0 and nobody asked for it.
    ///
    /// What follows is for [`on_exit_0`](crate::Options::on_exit_0) and
    /// [`restart`](crate::Options::restart) to say.
    CleanExit,
    /// It did not do something in time: no handshake, a hang, a stuck write.
    ///
    /// A death, except right after a gap in time.
    Overdue,
    /// Anything else: not started, bad handshake, exit, end of output, broken line.
    Death,
}

/// Something to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Connect and shake hands; answer with [`Event::Connected`] or [`Event::Failed`].
    ///
    /// Nothing of an earlier life is left.
    Connect {
        /// The life that begins.
        incarnation: Incarnation,
        /// Whether it is the trial of an open breaker.
        trial: bool,
    },
    /// End the life, also an unfinished connect; answer with [`Event::Gone`], at once if there is
    /// nothing to end, or with [`Event::NotGone`].
    ///
    /// Comes again every [`close_recheck`](crate::Options::close_recheck) until the answer is
    /// `Gone`; one that comes while the end is still under way needs nothing done.
    Close {
        /// The life that ends.
        incarnation: Incarnation,
    },
}

/// A fact for spans and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// A life failed.
    Died {
        /// The life.
        incarnation: Incarnation,
        /// Deaths in the window, this one included.
        deaths: u32,
        /// Lives in a row that ended before they were stable.
        run: u32,
        /// Whether it is a death; what is not its own fault is none.
        counted: bool,
    },
    /// The breaker opened; follows its death.
    Tripped {
        /// The life whose death it was.
        incarnation: Incarnation,
        /// Which rule.
        cause: TripCause,
        /// Trips since the last stable life or reset.
        trips: u32,
        /// How long until a trial may start, counted from when nothing is left; `None` is never.
        cooldown: Option<Duration>,
    },
    /// A respawn is due after a wait, counted from when nothing is left.
    Waiting {
        /// How long.
        delay: Duration,
        /// Respawns since the last stable life or reset, this one included.
        attempt: u32,
    },
    /// A trial went well; respawn is allowed again.
    BreakerClosed,
    /// A life was ready long enough; its past is forgiven.
    Stable,
    /// A life may hang.
    Degraded {
        /// The life.
        incarnation: Incarnation,
    },
    /// A life that might have hung was heard again.
    Recovered {
        /// The life.
        incarnation: Incarnation,
    },
    /// A life is ended because nobody used it; the next caller starts another.
    Rested {
        /// The life.
        incarnation: Incarnation,
    },
    /// A life ended by itself and none follows by itself; comes after its `Died`.
    Retired {
        /// The life.
        incarnation: Incarnation,
        /// Whether the next caller starts another.
        is_idle: bool,
    },
    /// Somebody made it forget its past.
    WasReset,
    /// Something of a life cannot be ended; nothing starts until it is gone.
    Unkillable {
        /// The life.
        incarnation: Incarnation,
    },
}
