//! Calls that were given up, and at which their upstream may still be at work.
//!
//! Who cancels a call is not told whether it ends: servers may go on, ask for it, and never answer it.
//! So its client stays among those that a question may be meant for, until the life has ended or so
//! much time has gone by that nobody would have waited for the answer.

use crate::{
    router::{Shared, lock},
    session::{DownstreamSession, SessionNumber},
};
use futures_util::StreamExt as _;
use mcplex_proto::downstream::{Principal, Stay};
use std::{collections::BTreeSet, sync::Arc};

/// Clients that are told apart here per member: as many as may have a call suspended. More count as
/// some client that is none of those who call.
const MAX_CLIENTS: usize = 1024;

/// Who made a call, as far as two calls can be told to be of one client: of one proven principal, or
/// else of one session.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    Principal(Arc<str>),
    /// Everybody who proves nothing, where that is one person.
    Single,
    /// Who holds another pipe, or proves nothing, may be anybody.
    Session(SessionNumber),
    /// Somebody who came for one request and proved nothing, and so never comes again.
    Gone,
}

impl Who {
    pub(crate) fn of(session: &DownstreamSession) -> Self {
        match &session.arrival.principal {
            Principal::Known(name) => Self::Principal(name.clone()),
            Principal::Pipe | Principal::Anybody if session.is_single => Self::Single,
            Principal::Pipe | Principal::Anybody => Self::Session(session.number),
        }
    }

    /// The same for when the call is no longer there.
    fn of_past(session: &DownstreamSession) -> Self {
        match (Self::of(session), session.arrival.stay) {
            (Self::Session(_), Stay::Request) => Self::Gone,
            (who, _) => who,
        }
    }
}

/// Whose calls were given up, in two ages: what is of the older one is forgotten next.
#[derive(Debug, Default)]
pub(crate) struct Ghosts {
    young: BTreeSet<Who>,
    old: BTreeSet<Who>,
}

impl Ghosts {
    /// One more call of this session was given up.
    pub(crate) fn add(&mut self, session: &DownstreamSession) {
        let who = Who::of_past(session);
        let is_full = self.young.len() >= MAX_CLIENTS;
        self.young.insert(if is_full { Who::Gone } else { who });
    }

    /// Whether all are of this client.
    pub(crate) fn are_of(&self, who: &Who) -> bool {
        self.young.iter().chain(&self.old).all(|ghost| ghost == who)
    }

    pub(crate) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }

    /// Forgets what is old; `true` when something is left.
    fn age(&mut self) -> bool {
        self.old = std::mem::take(&mut self.young);
        !self.old.is_empty()
    }
}

/// Forgets calls that were given up long ago, until it is dropped; a second run does nothing.
pub(crate) async fn watch(shared: &Shared) {
    let Some(mut given_up) = shared.given_up.listen() else { return };
    while given_up.next().await.is_some() {
        let mut is_any = true;
        while is_any {
            shared.clock.sleep(shared.options().input_wait).await;
            is_any = false;
            for link in shared.catalog().links() {
                for member in link.members() {
                    is_any |= lock(&member.ghosts).age();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ghost_is_forgotten_at_the_second_age() {
        let mut ghosts = Ghosts::default();
        let (one, two) = (Who::Session(SessionNumber(1)), Who::Session(SessionNumber(2)));
        ghosts.young.insert(one.clone());
        assert!(ghosts.are_of(&one) && !ghosts.are_of(&two));
        assert!(ghosts.age());
        assert!(!ghosts.are_of(&two));
        assert!(!ghosts.age());
        assert!(ghosts.are_of(&two));
    }
}
