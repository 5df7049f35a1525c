//! The end of a child: seen, or brought about.

use crate::{child::Child, group::Group, words::Words};
use async_trait::async_trait;
use mcplex_proto::transport::{CloseStep, Closed, Ending, Grace, LastWords, Lifeline, Usage, Word};
use rustix::process::Signal;
use std::{os::unix::process::ExitStatusExt as _, process::ExitStatus, time::Duration};
use tokio::time;

/// How often an empty group is looked for, first and at last; no system tells when it is.
const LOOK: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));

/// The look, a few milliseconds after the first, at which it is asked whether only zombies are
/// left.
const FIRST_COSTLY_LOOK: u32 = 4;

/// A child without a guard, and all that it started and that stayed in its group.
///
/// Dropping it without [`Lifeline::close`] kills the group at once.
#[derive(Debug)]
pub(crate) struct Life {
    child: Child,
    group: Group,
    ending: Option<Ending>,
    words: Words,
}

impl Life {
    pub(crate) fn new(child: Child, words: Words) -> Self {
        let group = Group::led_by(child.pid());
        Self { child, group, ending: None, words }
    }

    /// Waits for the end of the leader; cancel safe.
    async fn leader_ended(&mut self) -> Ending {
        if let Some(ending) = &self.ending {
            return ending.clone();
        }
        let ending = ending_of(self.child.wait().await);
        self.ending = Some(ending.clone());
        // Looked at right now: an empty group must never be signaled again.
        let _is_gone = self.group.is_gone();
        ending
    }

    /// Waits until nothing is left, or time is up.
    async fn gone_within(&mut self, limit: Duration) -> bool {
        let all_gone = async {
            self.leader_ended().await;
            let mut pause = LOOK.0;
            for look in 1_u32.. {
                self.group.reap_adopted();
                // The costly question is asked ever more seldom.
                let is_gone = if look >= FIRST_COSTLY_LOOK && look.is_power_of_two() {
                    self.group.is_dead()
                } else {
                    self.group.is_gone()
                };
                if is_gone {
                    break;
                }
                time::sleep(pause).await;
                pause = (pause * 2).min(LOOK.1);
            }
        };
        time::timeout(limit, all_gone).await.is_ok()
            || (self.ending.is_some() && self.group.is_dead())
    }

    async fn descend(&mut self, grace: Grace) -> (CloseStep, bool) {
        if self.ending.is_none() {
            self.ending = self.child.try_wait().map(ending_of);
        }
        if self.ending.is_some() {
            self.group.reap_adopted();
            if self.group.is_gone() {
                return (CloseStep::Ended, true);
            }
        } else if self.gone_within(grace.eof).await {
            return (CloseStep::Eof, true);
        }
        self.group.signal(Signal::TERM);
        // A stopped process cannot follow the request until it may continue.
        self.group.signal(Signal::CONT);
        if self.gone_within(grace.term).await {
            return (CloseStep::Term, true);
        }
        self.group.signal(Signal::KILL);
        (CloseStep::Kill, self.gone_within(grace.kill).await)
    }
}

#[async_trait]
impl Lifeline for Life {
    async fn ended(&mut self) -> Ending {
        let ending = self.leader_ended().await;
        self.words.hear_out().await;
        ending
    }

    async fn close(&mut self, grace: Grace) -> Closed {
        let (step, is_gone) = self.descend(grace).await;
        self.words.hear_out().await;
        let ending = self.ending.clone().unwrap_or(Ending::Unknown);
        Closed { ending, step, is_gone }
    }

    fn last_words(&self) -> Vec<Word> {
        self.words.last()
    }

    fn listener(&self) -> Option<LastWords> {
        Some(self.words.listener())
    }

    fn pid(&self) -> Option<u32> {
        Some(self.child.pid())
    }

    fn usage(&self) -> Option<Usage> {
        self.child.usage()
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if !self.group.is_gone() {
            self.group.signal(Signal::KILL);
        }
    }
}

pub(crate) fn ending_of(status: ExitStatus) -> Ending {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ending::Exited(code),
        (None, Some(signal)) => Ending::Signaled(signal),
        (None, None) => Ending::Unknown,
    }
}
