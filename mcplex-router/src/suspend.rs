//! Calls that wait for answers between two requests of a stateless client.
//!
//! The client's request has ended with `input_required`, and the call stays open at the upstream.
//! It goes on with the retry that brings back the sealed state: once, by the same principal, with
//! the same parameters. When none comes in time its questions are closed, and the call is cancelled if
//! that does not end it.

use crate::{
    calls::{Coming, Errand},
    router::{Shared, lock},
    session::{DownstreamSession, SessionNumber},
    signal::Signal,
};
use futures_channel::oneshot;
use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, Either, select},
    stream::FuturesUnordered,
};
use mcplex_proto::{
    downstream::{Principal, Stay},
    raw::Raw,
    upstream::UpstreamError,
};
use std::{collections::BTreeMap, fmt, sync::Mutex, time::Duration};

/// How long an upstream may take to end a call whose questions are closed, before it is cancelled; 5 s,
/// as long as anybody waits for a server that is about to be there.
const FAREWELL: Duration = Duration::from_secs(5);

/// The table of suspended calls.
#[derive(Debug, Default)]
pub(crate) struct Suspensions {
    table: Mutex<Table>,
    /// Raised when a call was suspended.
    added: Signal,
}

#[derive(Debug, Default)]
struct Table {
    last: u64,
    held: BTreeMap<u64, Suspended>,
    /// Those whose time nobody watches yet; it ends with the call's wait.
    unwatched: Vec<(Ticket, oneshot::Receiver<()>)>,
}

/// Which wait of which call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) number: u64,
    pub(crate) round: u32,
}

/// Who may go on with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owner {
    principal: Principal,
    /// The session, where nobody else speaks for the principal: another pipe is another client.
    pipe: Option<SessionNumber>,
}

impl Owner {
    fn of(session: &DownstreamSession) -> Self {
        let principal = session.arrival.principal.clone();
        let is_pipe = principal == Principal::Pipe && session.arrival.stay == Stay::Long;
        Self { principal, pipe: is_pipe.then_some(session.number) }
    }
}

/// A call nobody waits for right now.
pub(crate) struct Suspended {
    pub(crate) ticket: Ticket,
    owner: Owner,
    pub(crate) errand: Errand,
    pub(crate) coming: Coming,
    /// Dropped when the wait is over, so that nobody watches its time any more.
    _wait: oneshot::Sender<()>,
}

impl fmt::Debug for Suspended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suspended").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}

impl Suspended {
    /// Ends the call: its questions are closed, and its upstream hears that nobody waits.
    fn abandon(self, why: &str) {
        tracing::info!(upstream = %self.errand.link().name, method = %self.errand.method(), why,
            "a suspended call was given up");
        self.errand.close_talk(why);
        self.errand.cancel(Some(&Raw::of(why)));
    }

    /// Ends the call as one whose questions are closed unread: most upstreams then answer at once, and
    /// one that is cancelled often never does, so that nobody can say any more when it has ended.
    async fn part(self, shared: &Shared) {
        let why = "nobody brought the answers in time";
        tracing::info!(upstream = %self.errand.link().name, method = %self.errand.method(), why,
            "a suspended call was given up");
        let Self { errand, coming, .. } = self;
        errand.close_talk(why);
        match select(coming, shared.clock.sleep(FAREWELL)).await {
            // It was cancelled for that, and may go on.
            Either::Left((Err(UpstreamError::Timeout { .. }), _)) => {}
            Either::Left((Ok(_) | Err(_), _)) => errand.has_ended(),
            Either::Right(_) => errand.cancel(Some(&Raw::of(why))),
        }
    }
}

impl Suspensions {
    /// Suspends a call that has begun a wait, or gives it back when there are too many; `before` is
    /// its last wait.
    pub(crate) fn put(
        &self,
        shared: &Shared,
        session: &DownstreamSession,
        before: Option<Ticket>,
        errand: Errand,
        coming: Coming,
    ) -> Result<Ticket, Box<(Errand, Coming)>> {
        let options = shared.options();
        let owner = Owner::of(session);
        let mut table = lock(&self.table);
        let of_owner =
            table.held.values().filter(|held| held.owner.principal == owner.principal).count();
        if table.held.len() >= options.suspended || of_owner >= options.suspended_per_client {
            return Err(Box::new((errand, coming)));
        }
        let ticket = if let Some(Ticket { number, round }) = before {
            Ticket { number, round: round + 1 }
        } else {
            table.last += 1;
            Ticket { number: table.last, round: 0 }
        };
        let (wait, over) = oneshot::channel();
        let held = Suspended { ticket, owner, errand, coming, _wait: wait };
        table.held.insert(ticket.number, held);
        table.unwatched.push((ticket, over));
        drop(table);
        self.added.raise();
        Ok(ticket)
    }

    /// Takes a call that waits with this ticket; `None` when there is none, or it is another's.
    pub(crate) fn take(&self, session: &DownstreamSession, ticket: Ticket) -> Option<Suspended> {
        let mut table = lock(&self.table);
        let held = table.held.get(&ticket.number)?;
        let is_meant = held.ticket == ticket && held.owner == Owner::of(session);
        if is_meant { table.held.remove(&ticket.number) } else { None }
    }

    /// Gives back what was taken for nothing.
    pub(crate) fn put_back(&self, held: Suspended) {
        lock(&self.table).held.insert(held.ticket.number, held);
    }

    /// Gives up what only this session could have gone on with.
    pub(crate) fn left(&self, session: SessionNumber) {
        let held: Vec<_> = {
            let mut table = lock(&self.table);
            let is_its = |held: &Suspended| held.owner.pipe == Some(session);
            let numbers: Vec<_> = table
                .held
                .iter()
                .filter(|(_, held)| is_its(held))
                .map(|(&number, _)| number)
                .collect();
            numbers.iter().filter_map(|number| table.held.remove(number)).collect()
        };
        for held in held {
            held.abandon("the client has left");
        }
    }

    /// Takes what still waits with this ticket.
    fn expired(&self, ticket: Ticket) -> Option<Suspended> {
        let mut table = lock(&self.table);
        let is_meant = table.held.get(&ticket.number).is_some_and(|held| held.ticket == ticket);
        if is_meant { table.held.remove(&ticket.number) } else { None }
    }

    fn take_unwatched(&self) -> Vec<(Ticket, oneshot::Receiver<()>)> {
        std::mem::take(&mut lock(&self.table).unwatched)
    }
}

/// What the watch waits for.
enum Over {
    /// The time of a wait, or its client came back.
    Wait(Option<Ticket>),
    /// A call that was given up.
    Call,
}

/// Gives up calls whose time is over, until it is dropped; a second run does nothing.
pub(crate) async fn watch(shared: &Shared) {
    let suspensions = &shared.suspensions;
    let Some(mut added) = suspensions.added.listen() else { return };
    let mut all: FuturesUnordered<BoxFuture<'_, Over>> = FuturesUnordered::new();
    loop {
        for (ticket, over) in suspensions.take_unwatched() {
            let time = shared.clock.sleep(shared.options().input_wait);
            let first = select(over, time).map(move |first| match first {
                // Its client came back.
                Either::Left(_) => Over::Wait(None),
                Either::Right(_) => Over::Wait(Some(ticket)),
            });
            all.push(first.boxed());
        }
        if all.is_empty() {
            added.next().await;
            continue;
        }
        if let Either::Right((Some(Over::Wait(Some(ticket))), _)) =
            select(added.next(), all.next()).await
            && let Some(held) = suspensions.expired(ticket)
        {
            all.push(held.part(shared).map(|()| Over::Call).boxed());
        }
    }
}
