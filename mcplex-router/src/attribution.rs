//! Whom an upstream means when it speaks by itself.
//!
//! What says which task it is about is for whoever made that, what came with the answer to a call is
//! about that call, and what comes from a member that serves
//! one session is for it and nobody else. For all others the rules below hold.
//!
//! A request of a shared upstream carries no reference to the client's request that caused it.
//! A wrong guess would show one client's prompts, roots or model output to another, so the rule
//! is to refuse rather than to guess:
//!
//! 1. one call in flight: that call's client;
//! 2. several, all of one client: that client, on its newest call;
//! 3. none, and only one client is there at all: that client;
//! 4. anything else: nobody.
//!
//! Calls are of one client when they are of one session, or when one principal was proven for both.
//! Of stateless requests by whoever can reach the listener, each may be somebody else's.
//!
//! In flight is also what is suspended, as its server may ask a second thing before the first one is
//! answered, and for a while what was given up, see [`ghosts`](crate::ghosts). So one question that
//! is left open keeps others from being asked for minutes where nobody proves who asks; members of
//! their own keep them apart, and nothing else does.

use crate::{
    isolation::MemberKey,
    member::{Flight, Member},
    router::Shared,
    session::{DownstreamSession, SessionNumber},
    tasks::Record,
};
use mcplex_proto::version::Era;
use std::sync::Arc;

/// Whom a message is for.
pub(crate) enum Addressee {
    /// Whoever made this call, which has this id at the upstream.
    Call(u64, Flight),
    /// This client, which has no call in flight.
    Client(Arc<DownstreamSession>),
    /// Whoever made the task it is about, which is asked in the task itself.
    Task,
    /// It could be several clients.
    Ambiguous,
    /// No client is there.
    Nobody,
}

/// The same of what may say which task it is about, where no request of its client is open.
pub(crate) fn attribute_to(
    shared: &Shared,
    member: &Member,
    about: Option<u64>,
    task: Option<&Record>,
) -> Addressee {
    let Some(task) = task.filter(|task| task.reader(member).is_none()) else {
        return attribute(shared, member, about);
    };
    if task.asker.era() == Era::Modern {
        return Addressee::Task;
    }
    let session = shared.session(task.owner.session).filter(|session| session.is_ready());
    session.map_or(Addressee::Nobody, Addressee::Client)
}

/// Finds out; `about` is the call that the message came with, if that is certain.
pub(crate) fn attribute(shared: &Shared, member: &Member, about: Option<u64>) -> Addressee {
    if let Some(id) = about {
        // Whoever asked has its answer by now, or wants none.
        return member.flight(id).map_or(Addressee::Nobody, |flight| Addressee::Call(id, flight));
    }
    match member.newest_flight() {
        Some((id, newest, true)) => return Addressee::Call(id, newest),
        Some((_, _, false)) => return Addressee::Ambiguous,
        None => {}
    }
    match member.key {
        MemberKey::Session(number) => {
            let session = shared.session(SessionNumber(number));
            let session = session.filter(|session| session.is_ready());
            return session.map_or(Addressee::Nobody, Addressee::Client);
        }
        // Its call is over.
        MemberKey::Call(_) => return Addressee::Nobody,
        MemberKey::First | MemberKey::Pool(_) => {}
    }
    let mut ready = shared.sessions().into_iter().filter(|session| session.is_ready());
    match (ready.next(), ready.next()) {
        (Some(only), None) if member.is_only(&only) => Addressee::Client(only),
        (Some(_), _) => Addressee::Ambiguous,
        (None, _) => Addressee::Nobody,
    }
}
