//! The task that sends: requests side by side, in a number that has a bound.

use super::{
    answer::{self, Fate},
    events::Events,
    halves::Written,
    listen, older,
    talk::Talk,
    trouble::{Trouble, forgotten, lost},
    wire::{self, Mode, SESSION_ID},
};
use bytes::Bytes;
use futures_channel::mpsc;
use futures_util::{
    StreamExt as _,
    future::{AbortHandle, Aborted, abortable},
    stream::FuturesUnordered,
};
use hyper::StatusCode;
use mcplex_proto::{
    edit,
    id::Id,
    message::{Message, Notification, Request},
    method,
    raw::Raw,
    transport::Received,
};
use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    pin::Pin,
};

/// Requests that are sent and not answered: each has a socket of its own, of which a process has
/// 1024 by default.
const MAX_REQUESTS: usize = 256;

/// Requests that wait for one of those to be answered. Beyond them nothing more is taken.
const MAX_WAITING: usize = 256;

/// Exchanges of any kind that are under way: answers and notifications must not wait for requests,
/// which may be waiting for them.
const MAX_RUNNING: usize = 2 * MAX_REQUESTS;

/// Sends what comes until nothing more will, or the connection is over.
pub(crate) async fn run(talk: Talk, mut outgoing: mpsc::Receiver<Message>, written: Written) {
    let mut pump = Pump::new(talk.clone());
    loop {
        let has_room = pump.waiting.len() < MAX_WAITING && pump.running.len() < MAX_RUNNING;
        tokio::select! {
            biased;
            () = talk.ended() => return,
            Some(done) = pump.running.next(), if !pump.running.is_empty() => pump.finish(done),
            message = outgoing.next(), if has_room => match message {
                Some(message) => pump.take(message, &written),
                None => return,
            },
        }
        pump.start();
    }
}

type Exchange = Pin<Box<dyn Future<Output = Done> + Send>>;

/// What an exchange leaves to do.
enum Done {
    Request(Request, Option<Box<Events>>),
    Initialized,
    Cancelled(Option<Id>),
    Nothing,
}

/// A request that is under way.
struct Flight {
    abort: AbortHandle,
    is_modern: bool,
}

struct Pump {
    talk: Talk,
    running: FuturesUnordered<Exchange>,
    in_flight: BTreeMap<Id, Flight>,
    waiting: VecDeque<Request>,
    /// A session is being opened: requests that belong to it wait.
    is_opening: bool,
}

impl Pump {
    fn new(talk: Talk) -> Self {
        Self {
            talk,
            running: FuturesUnordered::new(),
            in_flight: BTreeMap::new(),
            waiting: VecDeque::new(),
            is_opening: false,
        }
    }

    fn take(&mut self, message: Message, written: &Written) {
        match message {
            Message::Request(request) => {
                written.add(request.params.as_ref().map_or(1, |params| params.bytes().len()));
                self.waiting.push_back(request);
            }
            Message::Notification(notification) if notification.method == method::CANCELLED => {
                written.add(1);
                self.cancel(notification);
            }
            Message::Notification(notification) if notification.method == method::INITIALIZED => {
                written.add(1);
                self.is_opening = true;
                let talk = self.talk.clone();
                self.running.push(Box::pin(async move {
                    tell(&talk, notification.into()).await;
                    Done::Initialized
                }));
            }
            other @ (Message::Notification(_) | Message::Response(_)) => {
                written.add(1);
                let talk = self.talk.clone();
                self.running.push(Box::pin(async move {
                    tell(&talk, other).await;
                    Done::Nothing
                }));
            }
        }
    }

    /// What waits is not sent at all, a modern request loses its stream, a legacy one is told of.
    fn cancel(&mut self, notification: Notification) {
        let id = cancelled(&notification);
        let waits = self.waiting.iter().position(|request| Some(&request.id) == id.as_ref());
        if let Some(at) = waits {
            self.waiting.remove(at);
            return;
        }
        if let Some(flight) = id.as_ref().and_then(|id| self.in_flight.get(id))
            && flight.is_modern
        {
            flight.abort.abort();
            return;
        }
        let talk = self.talk.clone();
        self.running.push(Box::pin(async move {
            tell(&talk, notification.into()).await;
            Done::Cancelled(id)
        }));
    }

    /// Sends what can be sent.
    fn start(&mut self) {
        while !self.is_opening
            && self.in_flight.len() < MAX_REQUESTS
            && let Some(request) = self.waiting.pop_front()
        {
            self.is_opening = request.method == method::INITIALIZE;
            let talk = self.talk.clone();
            let (id, is_modern) = (request.id.clone(), wire::is_modern(&request));
            let asked = request.clone();
            let (exchange, abort) = abortable(async move { ask(&talk, &asked).await });
            self.in_flight.insert(id, Flight { abort, is_modern });
            self.running.push(Box::pin(async move {
                match exchange.await {
                    Ok(older) => Done::Request(request, older),
                    Err(Aborted) => Done::Request(request, None),
                }
            }));
        }
    }

    fn finish(&mut self, done: Done) {
        match done {
            Done::Request(request, older) => {
                self.in_flight.remove(&request.id);
                if request.method == method::INITIALIZE {
                    self.is_opening = false;
                }
                if let Some(events) = older {
                    let talk = self.talk.clone();
                    self.running.push(Box::pin(async move {
                        older::hear(&talk, *events).await;
                        Done::Nothing
                    }));
                    self.waiting.push_front(request);
                }
            }
            Done::Initialized => {
                self.is_opening = false;
                if let Mode::Session(_) = self.talk.wire.mode() {
                    let talk = self.talk.clone();
                    self.running.push(Box::pin(async move {
                        listen::run(&talk).await;
                        Done::Nothing
                    }));
                }
            }
            // The server knows; its answer, if there is one after all, is for nobody.
            Done::Cancelled(id) => {
                if let Some(flight) = id.as_ref().and_then(|id| self.in_flight.get(id)) {
                    flight.abort.abort();
                }
            }
            Done::Nothing => {}
        }
    }
}

/// Runs one request to its end; gives the stream of an older server, if it is one.
async fn ask(talk: &Talk, request: &Request) -> Option<Box<Events>> {
    match answer::ask(talk, request).await {
        Fate::Answered(response) => talk.say(Received::Message(response.into())).await,
        Fate::Over(end) => talk.end(end).await,
        Fate::Older(events) => return Some(events),
        Fate::Heard => {}
    }
    None
}

/// Sends what wants no answer.
async fn tell(talk: &Talk, message: Message) {
    let wire = &talk.wire;
    if let Mode::Stateless = wire.mode() {
        tracing::debug!(upstream = %wire.target.name, "a stateless server is told nothing but requests");
        return;
    }
    let own = wire.session_headers();
    let has_session = own.contains_key(SESSION_ID);
    let sent = wire.post(message.to_bytes(), own).await;
    match sent {
        Ok(response) if response.status() == StatusCode::NOT_FOUND && has_session => {
            talk.end(forgotten()).await;
        }
        Ok(response) => {
            let status = response.status();
            if !status.is_success() {
                tracing::debug!(upstream = %wire.target.name, %status, "a message was not accepted");
            }
            // Read to its end, so that the connection can be used again.
            let _body: Result<Bytes, _> = super::events::whole(response, MAX_EMPTY).await;
        }
        Err(Trouble::Away(error)) if !super::connector::is_lack(&error) => {
            talk.end(lost(&wire.target, &error)).await;
        }
        Err(trouble) => {
            tracing::debug!(upstream = %wire.target.name, ?trouble, "a message was lost");
        }
    }
}

/// The longest body in answer to what wants none.
const MAX_EMPTY: usize = 64 * 1024;

/// Which request is no longer wanted.
fn cancelled(notification: &Notification) -> Option<Id> {
    let params = notification.params.as_ref().map(Raw::as_str)?;
    edit::member(params, "requestId").and_then(Id::read)
}
