//! What upstreams say by themselves, on its way to the clients that should hear it.

use crate::{
    asker::Asker,
    asks,
    attribution::{Addressee, attribute, attribute_to},
    isolation::MemberKey,
    level::Level,
    link::Link,
    listen,
    lists::Kind,
    measure::Watched,
    member::{Flight, Member},
    params::Params,
    router::{Shared, lock},
    session::DownstreamSession,
    spans::{self, Note, To},
    tasks, watch,
};
use mcplex_proto::{
    edit,
    id::Id,
    message::{Message, Notification, Outcome, Request, Response},
    method,
    raw::{self, Raw},
    trace::TraceContext,
    upstream::{Health, Incarnation, Status, UpstreamEvents},
    version::{Era, Version},
};
use mcplex_translate::task;
use std::sync::Arc;
use tracing::Span;

/// The ear for one member of an upstream.
pub(crate) struct Relay {
    shared: Arc<Shared>,
    link: Arc<Link>,
    member: Arc<Member>,
}

impl Relay {
    pub(crate) fn new(shared: Arc<Shared>, link: Arc<Link>, member: Arc<Member>) -> Self {
        Self { shared, link, member }
    }

    /// Who says it, for its span.
    fn asked(&self, request: &Request, call: Option<TraceContext>) -> Watched {
        let peer = self.member.upstream().and_then(|upstream| upstream.peer());
        let from = To { upstream: &self.link.name, peer: peer.as_deref(), version: None };
        spans::asked(from, request, call, self.shared.options().incoming_context)
    }

    fn request(&self, from: Incarnation, request: Request, about: Option<u64>) {
        if self.member.era() == Some(Era::Modern) {
            // Such a server asks in its results, and gets no responses from anybody.
            tracing::debug!(upstream = %self.link.name, method = %request.method,
                "a request was dropped, because a stateless upstream sends none");
            return;
        }
        if request.method == method::PING {
            if let Some(upstream) = self.member.upstream() {
                let span = self.asked(&request, None);
                spans::ended(&span, &Outcome::Result(Raw::empty_object()));
                let pong = Response::result(request.id, Raw::empty_object());
                upstream.send(Some(from), pong.into());
            }
            return;
        }
        let call = match attribute(&self.shared, &self.member, about) {
            Addressee::Call(_, flight) => flight.trace,
            Addressee::Client(_) | Addressee::Task | Addressee::Ambiguous | Addressee::Nobody => {
                None
            }
        };
        let span = self.asked(&request, call);
        asks::ask(&self.shared, &self.link, &self.member, (from, request, about), span);
    }

    fn notification(&self, from: Incarnation, notification: Notification, about: Option<u64>) {
        let params = Params::read(notification.params.as_ref());
        let stream = watch::stream_of(&self.member, &params);
        let how = (self.shared.options().incoming_context, stream);
        let note = spans::from_upstream(&self.link, &self.member, &notification, &params, how);
        let changed = |kinds: &[Kind]| {
            // A member that was replaced no longer speaks for the upstream.
            if self.link.has(&self.member) && watch::is_heard(&self.member, &params) {
                self.link.hear(kinds);
            }
        };
        match &*notification.method {
            method::TASKS_STATUS | method::TASKS_CHANGED => {
                if watch::is_heard(&self.member, &params) {
                    tasks::changed(&self.shared, &self.link, &self.member, &notification);
                }
            }
            method::PROGRESS => self.progress(&notification, &params),
            method::CANCELLED => self.cancelled(from, &params),
            method::TOOLS_CHANGED => changed(&[Kind::Tools]),
            method::PROMPTS_CHANGED => changed(&[Kind::Prompts]),
            method::RESOURCES_CHANGED => changed(&[Kind::Resources, Kind::Templates]),
            method::ACKNOWLEDGED => {
                watch::acknowledged(&self.shared, &self.link, &self.member, &params);
            }
            method::RESOURCE_UPDATED => {
                if watch::is_heard(&self.member, &params) {
                    let of = (&*self.link, &*self.member);
                    listen::updated(&self.shared, of, &notification, &note);
                }
            }
            method::ELICITATION_COMPLETE => {
                let id = params.get("elicitationId").and_then(raw::string);
                let number = id.and_then(|id| self.link.elicited(&id));
                if let Some(session) = number.and_then(|number| self.shared.session(number)) {
                    session.notify(notification, note.context(), (None, None));
                }
            }
            method::LOG_MESSAGE => {
                let level = params.get("level").and_then(raw::string);
                let level = level.and_then(|level| Level::read(&level));
                match level.filter(|_| params.get("data").is_some()) {
                    Some(level) => self.log_line(self.signed(&notification, &params), level, about),
                    // No revision knows such a line, and nobody asked for what has no level.
                    None => self.dropped(&notification),
                }
            }
            _ => self.to_whom_it_concerns(notification, about, &note),
        }
    }

    /// A line of the log with the name of who wrote it, where that may be one of several.
    fn signed(&self, notification: &Notification, params: &Params<'_>) -> Notification {
        if self.shared.catalog().links().len() < 2 {
            return notification.clone();
        }
        let name = &self.link.name;
        let logger = match params.get("logger").and_then(raw::string) {
            Some(own) => format!("{name}/{own}"),
            None => name.to_string(),
        };
        let logger = Raw::of(&logger);
        let params = notification.params.as_ref();
        let params = params.map(|all| edit::with_members(all, &[("logger", logger.as_str())]));
        Notification { params, ..notification.clone() }
    }

    /// A line of the log goes to whom it concerns, if that client wants lines of its level.
    fn log_line(&self, notification: Notification, level: Level, about: Option<u64>) {
        let params = notification.params.as_ref();
        let task = tasks::related(&self.shared, &self.link, &self.member, params);
        let about = tasks::call_of(&self.member, task.as_deref(), params).or(about);
        match attribute_to(&self.shared, &self.member, about, task.as_deref()) {
            Addressee::Call(_, flight) if flight.wants(level) => {
                let line = self.about_known_task(notification, &flight);
                flight.session.tell(line.into(), Some(&flight.about));
            }
            Addressee::Client(session) if session.wants(level) => {
                let line = match session.greeting() {
                    Some(asker) => self.named_by((&session, &asker), notification),
                    None => notification,
                };
                session.tell(line.into(), None);
            }
            Addressee::Call(..) | Addressee::Client(_) => {}
            Addressee::Task | Addressee::Ambiguous | Addressee::Nobody => {
                self.dropped(&notification);
            }
        }
    }

    /// Progress goes to the client whose token it was, under that token.
    fn progress(&self, notification: &Notification, params: &Params<'_>) {
        let id = params.get("progressToken").and_then(Id::read).and_then(|id| id.minted());
        let progress = params.get("progress").and_then(|value| value.get().parse().ok());
        let (Some(id), Some(progress)) = (id, progress) else { return };
        let Some(flight) = self.member.progresses(id, progress) else {
            return self.progress_of_task((id, progress), notification, params);
        };
        let Some(token) = &flight.token else { return };
        if let Some(progress) = params.progress_under(notification, token) {
            let progress = self.about_known_task(progress, &flight);
            flight.session.tell(progress.into(), Some(&flight.about));
        }
    }

    /// Progress of a task goes to the session that made it, also when its call has been answered; on
    /// the stream of its result, where that is waited for.
    fn progress_of_task(
        &self,
        (id, progress): (u64, f64),
        notification: &Notification,
        params: &Params<'_>,
    ) {
        let Some(task) = self.member.task_of(id) else { return };
        let Some(session) = self.shared.session(task.owner.session) else { return };
        let Some(token) = task.progresses(progress) else { return };
        if let Some(progress) = params.progress_under(notification, &token) {
            let reader = task.reader(&self.member).and_then(|id| self.member.flight(id));
            let reader = reader.filter(|flight| Arc::ptr_eq(&flight.session, &session));
            let progress = self.named_by((&session, &task.asker), progress);
            session.tell(progress.into(), reader.as_ref().map(|flight| &flight.about));
        }
    }

    /// What is said in a call, which may be run as a task that its client knows nothing of.
    fn about_known_task(&self, notification: Notification, flight: &Flight) -> Notification {
        if flight.job.is_none() {
            return self.named_by((&flight.session, &flight.asker), notification);
        }
        let params = notification.params.as_ref().map(task::unrelated);
        Notification { params, ..notification }
    }

    /// What says which task it is about, under the id that its client knows the task by; a client
    /// whose revision has no such word reads none.
    fn named_by(
        &self,
        (session, asker): (&DownstreamSession, &Asker),
        notification: Notification,
    ) -> Notification {
        let id = notification.params.as_ref().and_then(task::related_to);
        let (Some(id), Some(params)) = (id, &notification.params) else { return notification };
        let params = if asker.version == Version::V2025_11_25 {
            let key = tasks::Key::new(self.link.name.clone(), self.member.key, &id);
            task::related(params, &tasks::seal(session, &key))
        } else {
            task::unrelated(params)
        };
        Notification { params: Some(params), ..notification }
    }

    /// The upstream no longer wants what it asked a client.
    fn cancelled(&self, from: Incarnation, params: &Params<'_>) {
        let Some(id) = params.get("requestId").and_then(Id::read) else { return };
        let reason = params.get("reason").and_then(raw::string).unwrap_or_default();
        for session in self.shared.sessions() {
            session.withdraw(&reason, |asked| asked.is(&self.member, from, &id));
        }
        let of_tasks = self.shared.ledger.talks(&self.link.name, self.member.key);
        for talk in self.member.talks().into_iter().chain(of_tasks) {
            talk.withdraw(|posed| posed.from == from && posed.id == id);
        }
    }

    /// What we do not know goes to whom it concerns, unless that client is of another era, to which
    /// it would mean nothing.
    fn to_whom_it_concerns(&self, notification: Notification, about: Option<u64>, note: &Note) {
        let parent = note.context();
        let era = self.member.era();
        match attribute(&self.shared, &self.member, about) {
            Addressee::Call(_, flight) if era.is_none_or(|era| era == flight.asker.era()) => {
                flight.session.notify(notification, parent, (Some(&flight.about), None));
            }
            Addressee::Client(session) if era != Some(Era::Modern) => {
                session.notify(notification, parent, (None, None));
            }
            Addressee::Call(..)
            | Addressee::Client(_)
            | Addressee::Task
            | Addressee::Ambiguous
            | Addressee::Nobody => self.dropped(&notification),
        }
    }

    fn dropped(&self, notification: &Notification) {
        tracing::debug!(
            upstream = %self.link.name,
            method = %notification.method,
            params = ?notification.params,
            "a notification was dropped, because nobody can tell for whom it is"
        );
    }
}

impl UpstreamEvents for Relay {
    fn message(&self, from: Incarnation, message: Message, about: Option<u64>) {
        match message {
            Message::Request(request) => self.request(from, request, about),
            Message::Notification(notification) => self.notification(from, notification, about),
            // Nobody waits for it any more; what it tells is that its call has ended.
            Message::Response(response) => {
                if let Some(id) = response.id.as_ref().and_then(Id::minted) {
                    self.member.answers_late(id);
                }
            }
        }
    }

    fn connected(&self, _: Incarnation, connect: Span) {
        let is_reader = self.member.key == MemberKey::First || !self.link.first().is_live();
        if is_reader && self.link.has(&self.member) {
            self.link.connects(self.member.key, connect);
        }
    }

    fn changed(&self, status: Status) {
        let is_here = self.link.has(&self.member);
        let is_first = self.member.key == MemberKey::First;
        let is_up = matches!(status.health, Health::Ready | Health::Degraded);
        self.member.set_up(is_up);
        if is_up {
            if self.member.sees(status.incarnation) && is_here {
                self.member.freshen();
                // The lists are the first one's; the others' are as good while it does not run.
                let is_reader = is_first || !self.link.first().is_live();
                self.link.mark(|stale| *stale = stale.map(|is_stale| is_stale || is_reader));
            }
        } else {
            lock(&self.member.ghosts).clear();
            // Nobody reads the lists of a life that is over.
            drop(self.link.take_connect(self.member.key));
            // Only a death or a stop has a reason; before the first one it is starting. One that
            // rests is started by nothing but a call.
            let may_be_long = status.reason.is_some() || status.health == Health::Idle;
            if may_be_long && is_first && is_here {
                self.shared.arrivals.arrived(self.link.key);
            }
            asks::withdraw_all(&self.shared, &self.link, &self.member, status.incarnation);
        }
    }
}

impl DownstreamSession {
    /// Whether the client wants log lines of this level; until it says so it gets what comes.
    pub(crate) fn wants(&self, level: Level) -> bool {
        lock(&self.state).level.is_none_or(|least| level >= least)
    }
}
