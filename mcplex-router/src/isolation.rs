//! How the children of an upstream are shared out among clients.

use mcplex_proto::{
    raw::Raw,
    upstream::{Upstream, UpstreamEvents, UpstreamName},
};
use std::{fmt, sync::Arc};

/// Who shares a child of an upstream with whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// All clients have one child.
    #[default]
    Shared,
    /// Every client has its own, made by its first call; for upstreams that remember something of
    /// whoever calls, such as a login or an open page. Who proves nothing and has no session is
    /// another client with each call, and gets one for its time.
    ///
    /// The first child stays beside them: the lists are read from it, and no client's call reaches
    /// it as long as it is well.
    Session {
        /// How many children there may be beside the first.
        limit: usize,
    },
    /// All clients have several; for upstreams that do one thing at a time.
    Pool {
        /// How many, with the first.
        size: usize,
    },
}

/// Tells the children of one upstream apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MemberKey {
    /// The one that every upstream has.
    #[default]
    First,
    /// One of a pool, counted from 2.
    Pool(usize),
    /// The one of this session, or of the principal that asks without one.
    Session(u64),
    /// One that serves one call and ends with it.
    Call(u64),
}

/// Who has a member in common where every client has its own.
///
/// Of a session it is the session's number. Stateless requests have no session, and nothing says
/// that two of them belong together but who asks: each proven principal has one place for all its
/// requests. Who proves nothing has one for each call in which it may be asked something, and shares
/// one with everybody who proves nothing for the rest, such as what it listens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(pub(crate) u64);

/// Makes and ends the children of one upstream beside its first.
///
/// Both methods must return at once and must not call the router: it waits for them, and with it
/// the calls to this upstream, but to no other.
pub trait Members: fmt::Debug + Send + Sync + 'static {
    /// Starts a child that reports here; `None` when the upstream is about to end.
    ///
    /// `client` is what the one client that it is for can do, as `initialize` tells it; without it
    /// the child is told all that any client may be asked.
    fn open(
        &self,
        member: MemberKey,
        client: Option<&Raw>,
        events: Arc<dyn UpstreamEvents>,
    ) -> Option<Arc<dyn Upstream>>;

    /// Begins the end of a child that was opened: nothing more is sent there.
    fn close(&self, member: MemberKey);
}

impl Isolation {
    /// Where what a client has set up stays, such as its subscriptions.
    pub(crate) fn home(self, place: Place) -> MemberKey {
        match self {
            Self::Shared => MemberKey::First,
            Self::Session { .. } => MemberKey::Session(place.0),
            Self::Pool { size } => {
                let size = u64::try_from(size.max(1)).unwrap_or(u64::MAX);
                match usize::try_from(place.0 % size) {
                    Ok(0) | Err(_) => MemberKey::First,
                    Ok(number) => MemberKey::Pool(number + 1),
                }
            }
        }
    }

    /// Whether a member has a place in it.
    pub(crate) fn has(self, member: MemberKey) -> bool {
        match (self, member) {
            (_, MemberKey::First)
            | (Self::Session { .. }, MemberKey::Session(_) | MemberKey::Call(_)) => true,
            (Self::Pool { size }, MemberKey::Pool(number)) => number <= size,
            (Self::Shared, _)
            | (Self::Session { .. }, MemberKey::Pool(_))
            | (Self::Pool { .. }, MemberKey::Session(_) | MemberKey::Call(_)) => false,
        }
    }

    /// The members there are whoever calls, beside the first.
    pub(crate) fn standing(self) -> impl Iterator<Item = MemberKey> {
        let size = match self {
            Self::Pool { size } => size,
            Self::Shared | Self::Session { .. } => 1,
        };
        (2..=size).map(MemberKey::Pool)
    }
}

impl MemberKey {
    /// What it is called in a status and in logs: `mail`, `mail/2`, `mail/s17`, `mail/c18`.
    #[must_use]
    pub fn label(self, upstream: &UpstreamName) -> String {
        match self {
            Self::First => upstream.to_string(),
            Self::Pool(number) => format!("{upstream}/{number}"),
            Self::Session(number) => format!("{upstream}/s{number}"),
            Self::Call(number) => format!("{upstream}/c{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_at_home_in_one_member_that_is_there() {
        for size in 0..5 {
            let pool = Isolation::Pool { size };
            for session in 1..20 {
                let home = pool.home(Place(session));
                assert!(home == MemberKey::First || pool.standing().any(|key| key == home));
                assert!(pool.has(home));
            }
        }
        let own = Isolation::Session { limit: 1 };
        assert_eq!(own.home(Place(7)), MemberKey::Session(7));
        assert!(own.has(MemberKey::Session(7)) && !own.has(MemberKey::Pool(2)));
    }

    #[test]
    fn people_see_whose_child_it_is() {
        let name = UpstreamName::new("mail").unwrap();
        let keys =
            [MemberKey::First, MemberKey::Pool(2), MemberKey::Session(17), MemberKey::Call(18)];
        assert_eq!(keys.map(|key| key.label(&name)), ["mail", "mail/2", "mail/s17", "mail/c18"]);
    }
}
