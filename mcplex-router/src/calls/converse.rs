//! A stateless client's call of a session's server, which may ask something meanwhile.
//!
//! The first question ends the client's request, a moment after it came: questions that are asked
//! side by side become one `input_required`. The call itself goes on, and so do all later requests of
//! the client that bring back its state.

use super::{
    Planned, Way,
    bridged::seal,
    errand::{Answer, Seat, Turned, Waiting},
    retry,
};
use crate::{
    asker::Asker,
    measure::Watched,
    member::Flight,
    params::Params,
    seal::State,
    session::DownstreamSession,
    spans,
    suspend::{Suspended, Ticket},
    talk::Talk,
    target::Local,
};
use futures_channel::oneshot;
use futures_util::future::{BoxFuture, Either, select};
use mcplex_proto::{
    error::{ErrorObject, INTERNAL_ERROR},
    message::{Extra, Outcome, Request},
    raw::Raw,
    upstream::{Reply, UpstreamError},
};
use mcplex_translate::question::{self, Required};
use std::{future::Future, pin::pin, sync::Arc, time::Duration};

/// How long further questions are waited for after one; 50 ms is more than a server takes between
/// two that it asks side by side, and less than a person notices.
const GATHER: Duration = Duration::from_millis(50);

/// The answer of an upstream that is still to come; it holds whatever it needs.
pub(crate) type Coming = BoxFuture<'static, Result<Reply, UpstreamError>>;

/// What happens first.
enum Turn {
    Ended(Result<Reply, UpstreamError>),
    Cancelled,
    Next,
}

async fn first(
    coming: &mut Coming,
    cancelled: &mut oneshot::Receiver<()>,
    next: impl Future<Output = ()>,
) -> Turn {
    match select(coming, select(cancelled, pin!(next))).await {
        Either::Left((answer, _)) => Turn::Ended(answer),
        Either::Right((Either::Left(_), _)) => Turn::Cancelled,
        Either::Right((Either::Right(_), _)) => Turn::Next,
    }
}

/// Waits for the answer or a question, whichever comes first; `before` is the wait it came back from.
pub(super) async fn converse(
    mut waiting: Waiting,
    talk: Arc<Talk>,
    mut coming: Coming,
    mut cancelled: oneshot::Receiver<()>,
    before: Option<Ticket>,
    server: &Watched,
) -> Turned {
    let shared = waiting.seat.session.shared.clone();
    loop {
        let mut turn = first(&mut coming, &mut cancelled, talk.asked()).await;
        if matches!(turn, Turn::Next) {
            turn = first(&mut coming, &mut cancelled, shared.clock.sleep(GATHER)).await;
        }
        match turn {
            Turn::Ended(answer) => return waiting.end(Some(answer), server),
            Turn::Cancelled => return waiting.end(None, server),
            // What was asked may have been taken back.
            Turn::Next if !talk.has_open() => {}
            Turn::Next => match suspend(waiting, &talk, coming, before, server) {
                Ok(answer) => return Ok(answer),
                Err(full) => (waiting, coming) = *full,
            },
        }
    }
}

/// Ends the client's request with the questions; gives the call back when it cannot be suspended.
fn suspend(
    waiting: Waiting,
    talk: &Talk,
    coming: Coming,
    before: Option<Ticket>,
    server: &Watched,
) -> Result<Answer, Box<(Waiting, Coming)>> {
    let Waiting { seat, errand, may_be_rewritten } = waiting;
    let session = seat.session.clone();
    let method = errand.method.clone();
    errand.berth.park();
    let put = session.shared.suspensions.put(&session.shared, &session, before, errand, coming);
    let ticket = match put {
        Ok(ticket) => ticket,
        Err(full) => {
            let (errand, coming) = *full;
            let why = "too many calls wait for answers of stateless clients already";
            talk.refuse(&ErrorObject::new(INTERNAL_ERROR, why));
            errand.berth.aboard(&seat);
            return Err(Box::new((Waiting { seat, errand, may_be_rewritten }, coming)));
        }
    };
    let state = State::Suspended { number: ticket.number, round: ticket.round };
    let state = Some(seal(&seat, &method, &state));
    let required = Required { questions: talk.open(), state };
    let outcome = Outcome::Result(required.write(Some(&seat.identity())));
    spans::ended(server, &outcome);
    Ok(Some((outcome, Extra::default())))
}

/// Goes on with a call that was suspended.
pub(super) fn resume(
    session: &DownstreamSession,
    asker: &Arc<Asker>,
    request: &Request,
    params: &Params<'_>,
    held: Box<Suspended>,
) -> Result<Planned, Local> {
    let begun = held.errand.berth.current().and_then(|id| {
        let berth = &held.errand.berth;
        session.begin(&request.id, (&berth.link, &berth.member), id)
    });
    let Some(cancelled) = begun else {
        // The same may still be asked under another id.
        session.shared.suspensions.put_back(*held);
        return Err(super::id_in_use());
    };
    let Suspended { ticket, errand, coming, .. } = *held;
    let seat = Seat::of(session, asker, request, params, true);
    errand.berth.aboard(&seat);
    let Some(talk) = errand.talk.clone() else { return Err(Err(retry::bad_state())) };
    talk.answer(&question::answers(request.params.as_ref()), errand.version());
    let way = Way::Resumed { talk, coming, cancelled, ticket };
    let waiting = Box::new(Waiting { seat, errand, may_be_rewritten: false });
    Ok(Planned { waiting, way })
}

impl Seat {
    /// Of a request that has begun; `is_kept` when a retry may follow it.
    pub(super) fn of(
        session: &DownstreamSession,
        asker: &Arc<Asker>,
        request: &Request,
        params: &Params<'_>,
        is_kept: bool,
    ) -> Self {
        Self {
            session: session.me(),
            asker: asker.clone(),
            about: request.id.clone(),
            token: params.token().map(Raw::of),
            params: request.params.clone().filter(|_| is_kept),
            subscribes: None,
        }
    }

    /// The flight of its call, under the revision and the token of this request.
    pub(super) fn flight(&self, talk: Option<&Arc<Talk>>) -> Flight {
        Flight {
            session: self.session.clone(),
            asker: self.asker.clone(),
            about: self.about.clone(),
            token: self.token.clone(),
            job: None,
            trace: None,
            progress: f64::MIN,
            is_parked: false,
            talk: talk.cloned(),
        }
    }
}
