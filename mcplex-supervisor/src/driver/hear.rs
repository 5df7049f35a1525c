//! Messages both ways.

use super::{Driver, Phase};
use crate::{cause::Cause, event::Event, probe::Probe};
use mcplex_proto::{
    error::ErrorObject,
    handshake::{self, Handshake, Opened, Step},
    message::{Message, Outcome, Request, Response},
    method,
    upstream::Reply,
    version::Era,
};

/// Requests an upstream may send before it has answered `initialize`: only pings make sense then, one
/// or two; more would fill memory if it does not read.
const MAX_ASKED: u32 = 1000;

/// The error that an answer is.
fn error_of(message: &Message) -> Option<ErrorObject> {
    match message {
        Message::Response(Response { outcome: Outcome::Error(error), .. }) => {
            Some(ErrorObject::read(error))
        }
        Message::Request(_) | Message::Notification(_) | Message::Response(_) => None,
    }
}

/// Bytes of what is said, without the envelope.
fn length(message: &Message) -> usize {
    let payload = match message {
        Message::Request(request) => request.params.as_ref(),
        Message::Notification(notification) => notification.params.as_ref(),
        Message::Response(response) => match &response.outcome {
            Outcome::Result(payload) | Outcome::Error(payload) => Some(payload),
        },
    };
    payload.map_or(0, |payload| payload.bytes().len())
}

impl Driver {
    pub(super) fn hear(&mut self, message: Message, about: Option<u64>) {
        let Phase::Open(open) = &mut self.phase else { return };
        let from = open.incarnation;
        self.black_box.record(true, &message, self.now);
        let message = match &mut open.handshake {
            None => message,
            Some(handshake) => match (error_of(&message), handshake.handle(message)) {
                (_, Ok(Step::Done(opened))) => return self.begin(*opened),
                (refusal, Ok(Step::Ask(next))) => {
                    open.answer_by = None;
                    self.is_answered(refusal);
                    return self.ask(next);
                }
                (_, Ok(Step::Reply(_))) if open.asked >= MAX_ASKED => {
                    let why = "it asks and asks instead of answering initialize";
                    return self.die(&Cause::Broken(why.into()));
                }
                (_, Ok(Step::Reply(reply))) => {
                    open.asked += 1;
                    return self.send(reply);
                }
                (_, Ok(Step::Other(Message::Response(_)))) => return,
                (_, Ok(Step::Other(message))) => message,
                (refusal, Err(error)) => {
                    self.is_answered(refusal);
                    return self.die(&Cause::Handshake(error));
                }
            },
        };
        let bytes = length(&message);
        match message {
            Message::Response(response) => {
                let id = response.id.as_ref().and_then(mcplex_proto::id::Id::minted);
                let late = if let Some(sent) = id.and_then(|id| self.shared.lands(id)) {
                    if !sent.is_upkeep {
                        self.quiet_since = None;
                    }
                    let Response { id, outcome, extra } = response;
                    let unread = sent.reply.send(Ok(Reply { outcome, extra, from })).err();
                    let unread = unread.and_then(Result::ok);
                    unread.map(|Reply { outcome, extra, .. }| Response { id, outcome, extra })
                } else {
                    open.is_unasked(bytes, self.now);
                    Some(response)
                };
                // Nobody waits for the answers to probes, and for those that were given up; that these
                // have ended is worth knowing.
                if let Some(late) = late {
                    self.events.message(from, late.into(), None);
                }
            }
            Message::Request(request) if open.is_modern => {
                open.is_unasked(bytes, self.now);
                self.refuse_request(request);
            }
            other @ (Message::Request(_) | Message::Notification(_)) => {
                open.is_unasked(bytes, self.now);
                self.events.message(from, other, about);
            }
        }
    }

    /// A question of the handshake was answered; a server may say what nobody is to know.
    fn is_answered(&mut self, refusal: Option<ErrorObject>) {
        let refusal = refusal.map(|error| {
            let message = self.spec.transport.secrets().redact(&error.message).into_owned();
            ErrorObject { message, ..error }
        });
        self.trace.is_answered(refusal);
    }

    /// Answers what a modern server may not ask: its questions belong into its results.
    ///
    /// While it does not read, its questions are only counted: answers would fill memory.
    fn refuse_request(&mut self, request: Request) {
        let Phase::Open(open) = &mut self.phase else { return };
        open.refused += 1;
        if open.refused.is_power_of_two() {
            tracing::warn!(upstream = %self.spec.name, member = self.spec.member.as_deref(),
                method = &*request.method, refused = open.refused,
                "upstream sends requests, which its protocol does not know; they are refused");
        }
        if !open.is_stuck() {
            let error = ErrorObject::method_not_found(&request.method);
            self.send(Response::error(Some(request.id), &error).into());
        }
    }

    /// The session is open.
    fn begin(&mut self, opened: Opened) {
        self.learn_era(&opened);
        let Phase::Open(open) = &mut self.phase else { return };
        let Opened { server, how, initialized } = opened;
        (open.handshake, open.answer_by) = (None, None);
        open.is_modern = server.version.era() == Era::Modern;
        open.probe = self.spec.options.probe.map(|options| Probe::new(options, self.now));
        let (from, since) = (open.incarnation, open.since);
        let session = open.session.as_ref().and_then(|name| name());
        initialized.into_iter().for_each(|message| self.send(message));
        self.connected_at = self.now;
        let took = (self.now.since(self.granted_at), self.now.since(since));
        let connect = self.trace.connected(from, &server, how, took);
        self.shared.set_peer(self.trace.peer(from, &server, session));
        self.shared.set_info(server);
        connect.into_iter().for_each(|span| self.events.connected(from, span));
        self.shared.set_installing(None);
        self.permit.take().into_iter().for_each(crate::host::Permit::borne);
        self.seat.up();
        self.life.handle_event(Event::Connected(from), self.now);
    }

    /// Asks a question of the handshake, and says where it belongs in a trace.
    pub(super) fn ask(&mut self, mut question: Message) {
        if let (Message::Request(request), Phase::Open(open)) = (&mut question, &self.phase) {
            let method = open.handshake.as_ref().map_or("", Handshake::asks);
            let id = request.id.minted().unwrap_or_default();
            let context = self.trace.asks(open.incarnation, method, id);
            if let Some(context) = context.filter(|_| self.spec.options.tells_trace) {
                request.params = request.params.take().map(|params| context.written_into(&params));
            }
        }
        self.send(question);
    }

    /// Sends a message to the open connection.
    pub(super) fn send(&mut self, message: Message) {
        if let Phase::Open(open) = &mut self.phase {
            self.black_box.record(false, &message, self.now);
            open.send(message);
        }
    }

    /// Asks the upstream something that every server of its era answers, also one that has nothing
    /// to offer.
    pub(super) fn send_probe(&mut self) {
        let id = self.shared.mint();
        let version = self.shared.info().map(|info| info.version);
        let request = match version.filter(|version| !version.has_ping()) {
            Some(version) => {
                let (can, who) = (&self.spec.capabilities, &self.spec.client_info);
                handshake::discover(id, version, can, who)
            }
            None => Request::new(id, method::PING, None),
        };
        self.send(request.into());
        if let Phase::Open(open) = &mut self.phase {
            open.is_asked = true;
        }
    }
}
