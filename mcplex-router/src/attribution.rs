//! Whom an upstream means when it speaks by itself.
//!
//! A member that serves one session speaks of nobody else. For all others the rules below hold.
//!
//! A request of a shared upstream carries no reference to the client's request that caused it.
//! A wrong guess would show one client's prompts, roots or model output to another, so the rule
//! is to refuse rather than to guess:
//!
//! 1. one call in flight: that call's client;
//! 2. several, all of one client: that client, on its newest call;
//! 3. none, and only one client is there at all: that client;
//! 4. anything else: nobody.

use crate::{
    isolation::MemberKey,
    member::Member,
    router::Shared,
    session::{DownstreamSession, SessionNumber},
};
use mcplex_proto::id::Id;
use std::sync::Arc;

/// Whom a message is for.
pub(crate) enum Addressee {
    /// This client, on this request of it if there is one.
    One(Arc<DownstreamSession>, Option<Id>),
    /// It could be several clients.
    Ambiguous,
    /// No client is there.
    Nobody,
}

pub(crate) fn attribute(shared: &Shared, member: &Member) -> Addressee {
    if let MemberKey::Session(number) = member.key {
        let about = member.newest_flight().map(|(newest, _)| newest.about);
        let session = shared.session(SessionNumber(number));
        let session = session.filter(|session| about.is_some() || session.is_ready());
        return session.map_or(Addressee::Nobody, |session| Addressee::One(session, about));
    }
    match member.newest_flight() {
        Some((newest, true)) => return Addressee::One(newest.session, Some(newest.about)),
        Some((_, false)) => return Addressee::Ambiguous,
        None => {}
    }
    let mut ready = shared.sessions().into_iter().filter(|session| session.is_ready());
    match (ready.next(), ready.next()) {
        (Some(only), None) => Addressee::One(only, None),
        (Some(_), Some(_)) => Addressee::Ambiguous,
        (None, _) => Addressee::Nobody,
    }
}
