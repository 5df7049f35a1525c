//! What upstreams say by themselves, on its way to the clients that should hear it.

use crate::{
    asks,
    attribution::{Addressee, attribute},
    level::Level,
    link::Link,
    lists::Kind,
    params::Params,
    router::{Shared, lock},
    session::{DownstreamSession, uri_of},
};
use mcplex_proto::{
    id::Id,
    message::{Message, Notification, Request, Response},
    method,
    raw::{self, Raw},
    upstream::{Health, Incarnation, Status, UpstreamEvents},
};
use std::sync::{Arc, Mutex};

/// The ear for one upstream.
pub(crate) struct Relay {
    shared: Arc<Shared>,
    index: usize,
    /// The last life that was seen ready.
    seen: Mutex<Incarnation>,
}

impl Relay {
    pub(crate) fn new(shared: Arc<Shared>, index: usize) -> Self {
        Self { shared, index, seen: Mutex::default() }
    }

    fn link(&self) -> &Link {
        &self.shared.links[self.index]
    }

    fn request(&self, from: Incarnation, request: Request) {
        if request.method == method::PING {
            if let Some(upstream) = self.link().upstream() {
                let pong = Response::result(request.id, Raw::empty_object());
                upstream.send(Some(from), pong.into());
            }
            return;
        }
        asks::ask(&self.shared, self.index, from, request);
    }

    fn notification(&self, from: Incarnation, notification: Notification) {
        let params = Params::read(notification.params.as_ref());
        let changed = |kinds: &[Kind]| {
            self.link().mark(|stale| {
                for &kind in kinds {
                    stale.lists[kind as usize] = true;
                }
            });
        };
        match &*notification.method {
            method::PROGRESS => self.progress(&notification, &params),
            method::CANCELLED => self.cancelled(from, &params),
            method::TOOLS_CHANGED => changed(&[Kind::Tools]),
            method::PROMPTS_CHANGED => changed(&[Kind::Prompts]),
            method::RESOURCES_CHANGED => changed(&[Kind::Resources, Kind::Templates]),
            method::RESOURCE_UPDATED => {
                let uri = uri_of(&params).unwrap_or_default();
                for number in self.link().subscribers(&uri) {
                    if let Some(session) = self.shared.session(number) {
                        session.tell(notification.clone().into(), None);
                    }
                }
            }
            method::ELICITATION_COMPLETE => {
                let id = params.get("elicitationId").and_then(raw::string);
                let number = id.and_then(|id| self.link().elicited(&id));
                if let Some(session) = number.and_then(|number| self.shared.session(number)) {
                    session.tell(notification.into(), None);
                }
            }
            method::LOG_MESSAGE => {
                let level = params.get("level").and_then(raw::string);
                let level = level.and_then(|level| Level::read(&level));
                self.to_whom_it_concerns(notification, |session| session.wants(level));
            }
            _ => self.to_whom_it_concerns(notification, |_| true),
        }
    }

    /// Progress goes to the client whose token it was, under that token.
    fn progress(&self, notification: &Notification, params: &Params<'_>) {
        let id = params.get("progressToken").and_then(Id::read).and_then(|id| id.minted());
        let progress = params.get("progress").and_then(|value| value.get().parse().ok());
        let (Some(id), Some(progress)) = (id, progress) else { return };
        let Some(flight) = self.link().progresses(id, progress) else { return };
        let Some(token) = &flight.token else { return };
        if let Some(progress) = params.progress_under(notification, token) {
            flight.session.tell(progress.into(), Some(&flight.about));
        }
    }

    /// The upstream no longer wants what it asked a client.
    fn cancelled(&self, from: Incarnation, params: &Params<'_>) {
        let Some(id) = params.get("requestId").and_then(Id::read) else { return };
        let reason = params.get("reason").and_then(raw::string).unwrap_or_default();
        for session in self.shared.sessions() {
            session.withdraw(&reason, |asked| {
                asked.link == self.index && asked.from == from && asked.id == id
            });
        }
    }

    fn to_whom_it_concerns(
        &self,
        notification: Notification,
        wants: impl Fn(&DownstreamSession) -> bool,
    ) {
        match attribute(&self.shared, self.link()) {
            Addressee::One(session, about) if wants(&session) => {
                session.tell(notification.into(), about.as_ref());
            }
            Addressee::One(..) => {}
            Addressee::Ambiguous | Addressee::Nobody => tracing::debug!(
                upstream = %self.link().name,
                method = %notification.method,
                params = ?notification.params,
                "a notification was dropped, because nobody can tell for whom it is"
            ),
        }
    }
}

impl UpstreamEvents for Relay {
    fn message(&self, from: Incarnation, message: Message) {
        match message {
            Message::Request(request) => self.request(from, request),
            Message::Notification(notification) => self.notification(from, notification),
            Message::Response(_) => {
                tracing::debug!(upstream = %self.link().name, "an answer to nothing was dropped");
            }
        }
    }

    fn changed(&self, status: Status) {
        if status.health == Health::Ready {
            let before = std::mem::replace(&mut *lock(&self.seen), status.incarnation);
            if before != status.incarnation {
                self.link().mark(|stale| {
                    stale.lists = [true; 4];
                    stale.incarnation = Some(status.incarnation);
                });
            }
        } else {
            // Only a death or a stop has a reason; before the first one it is starting.
            if status.reason.is_some() {
                self.shared.arrivals.arrived(self.index);
            }
            asks::withdraw_all(&self.shared, self.link(), self.index, status.incarnation);
        }
    }
}

impl DownstreamSession {
    /// Whether the client wants log lines of this level; until it says so it gets what comes.
    fn wants(&self, level: Option<Level>) -> bool {
        let least = lock(&self.state).level;
        level.is_none() || least.is_none() || level >= least
    }
}
