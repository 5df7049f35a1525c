//! What a fault is.

use crate::{ground::Ground, said::Said};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

/// One way a server, or what is around it, can fail; with what must come of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// Its number, such as `F09`.
    pub(crate) id: &'static str,
    /// Its name, such as `exit-at-once`.
    pub(crate) name: &'static str,
    /// What kind of fault it is; the name of its list.
    pub(crate) group: &'static str,
    /// What must come of it, in one sentence.
    pub(crate) expected: &'static str,
    /// Whether it is shown in every run of the gate.
    pub(crate) is_quick: bool,
    /// Whether it is played on the rules, in made-up time, instead of on real processes.
    pub(crate) is_simulated: bool,
    /// Whether nothing may run beside it.
    pub(crate) is_alone: bool,
    /// How long it may take at most.
    pub(crate) limit: Duration,
    pub(crate) show: fn(&Case) -> anyhow::Result<String>,
}

impl Fault {
    /// A fault that takes a few seconds; `show` tells what was seen, or what was wrong.
    pub(crate) const fn new(
        id: &'static str,
        name: &'static str,
        expected: &'static str,
        show: fn(&Case) -> anyhow::Result<String>,
    ) -> Self {
        Self {
            id,
            name,
            group: "",
            expected,
            is_quick: false,
            is_simulated: false,
            is_alone: false,
            limit: Duration::from_secs(60),
            show,
        }
    }

    /// It takes few seconds and little of the machine.
    pub(crate) const fn quick(mut self) -> Self {
        self.is_quick = true;
        self
    }

    /// It has no real process.
    pub(crate) const fn simulated(mut self) -> Self {
        self.is_quick = true;
        self.is_simulated = true;
        self
    }

    /// It disturbs what runs beside it, or is disturbed by it.
    pub(crate) const fn alone(mut self) -> Self {
        self.is_alone = true;
        self
    }

    /// It may take so long.
    pub(crate) const fn within(mut self, secs: u64) -> Self {
        self.limit = Duration::from_secs(secs);
        self
    }

    /// Whether a person who wrote this means it.
    pub(crate) fn fits(&self, filter: &str) -> bool {
        let filter = filter.to_ascii_lowercase();
        let id = self.id.to_ascii_lowercase();
        filter == id || filter == self.group || self.name.contains(&filter)
    }
}

/// What each mcplex of a showing said.
pub(crate) type Logs = Arc<Mutex<Vec<Said>>>;

/// One showing of a fault.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Where everything is.
    pub(crate) ground: Arc<Ground>,
    /// Marks every process of it.
    pub(crate) cookie: String,
    /// What each mcplex of it said, for the words of a failure.
    pub(crate) logs: Logs,
}
