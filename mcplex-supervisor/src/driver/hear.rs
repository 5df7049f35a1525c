//! Messages both ways.

use super::{Driver, Phase};
use crate::{cause::Cause, event::Event, probe::Probe};
use mcplex_proto::{
    handshake::{ServerInfo, Step},
    message::{Message, Request},
    method,
    upstream::Reply,
};

/// Requests an upstream may send before it has answered `initialize`: only pings make sense then, one
/// or two; more would fill memory if it does not read.
const MAX_ASKED: u32 = 1000;

impl Driver {
    pub(super) fn hear(&mut self, message: Message, about: Option<u64>) {
        let Phase::Open(open) = &mut self.phase else { return };
        let from = open.incarnation;
        self.black_box.record(true, &message, self.now);
        let message = match &open.handshake {
            None => message,
            Some(handshake) => match handshake.handle(message) {
                Ok(Step::Done(info, initialized)) => return self.begin(*info, initialized),
                Ok(Step::Reply(_)) if open.asked >= MAX_ASKED => {
                    let why = "it asks and asks instead of answering initialize";
                    return self.die(&Cause::Broken(why.into()));
                }
                Ok(Step::Reply(reply)) => {
                    open.asked += 1;
                    return self.send(reply);
                }
                Ok(Step::Other(Message::Response(_))) => return,
                Ok(Step::Other(message)) => message,
                Err(error) => return self.die(&Cause::Handshake(error)),
            },
        };
        match message {
            Message::Response(response) => {
                let id = response.id.as_ref().and_then(mcplex_proto::id::Id::minted);
                // Nobody waits for the answers to probes, and for those that were given up.
                if let Some(sent) = id.and_then(|id| self.shared.lands(id)) {
                    if !sent.is_upkeep {
                        self.quiet_since = None;
                    }
                    let reply = Reply { outcome: response.outcome, extra: response.extra, from };
                    drop(sent.reply.send(Ok(reply)));
                } else {
                    open.is_unasked(self.now);
                }
            }
            other @ (Message::Request(_) | Message::Notification(_)) => {
                open.is_unasked(self.now);
                self.events.message(from, other, about);
            }
        }
    }

    /// The session is open.
    fn begin(&mut self, info: ServerInfo, initialized: Message) {
        let Phase::Open(open) = &mut self.phase else { return };
        open.handshake = None;
        open.probe = self.spec.options.probe.map(|options| Probe::new(options, self.now));
        let (from, opened) = (open.incarnation, open.since);
        self.send(initialized);
        self.connected_at = self.now;
        let took = self.now.since(self.granted_at);
        self.trace.connected(from, &info, took, self.now.since(opened));
        self.shared.set_info(info);
        self.shared.set_installing(None);
        self.permit.take().into_iter().for_each(crate::host::Permit::borne);
        self.seat.up();
        self.life.handle_event(Event::Connected(from), self.now);
    }

    /// Sends a message to the open connection.
    pub(super) fn send(&mut self, message: Message) {
        if let Phase::Open(open) = &mut self.phase {
            self.black_box.record(false, &message, self.now);
            open.send(message);
        }
    }

    /// Asks the upstream something that every server answers.
    pub(super) fn send_probe(&mut self) {
        let method = self.shared.info().map_or(method::PING, |info| probe_method(&info));
        let id = self.shared.mint();
        self.send(Request::new(id, method, None).into());
        if let Phase::Open(open) = &mut self.phase {
            open.is_asked = true;
        }
    }
}

/// What every server of that version answers, also one that has nothing to offer.
fn probe_method(info: &ServerInfo) -> &'static str {
    if info.version.has_ping() { method::PING } else { method::DISCOVER }
}
