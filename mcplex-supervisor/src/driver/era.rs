//! Which era an upstream belongs to: asked, found out, remembered, doubted.
//!
//! | what a life met | what it means for the next one |
//! | --- | --- |
//! | nothing was known of it, it was asked `server/discover` first, and ended | begins with `initialize`, at once; no death |
//! | … and the next one answered `initialize` | it is remembered as legacy |
//! | … and the next one ended as well | it ends whatever it is asked: once it is open nothing is remembered, and the life after that asks again |
//! | it was remembered to be modern and ended before it was open | that is a death; twice in a row, and it is asked anew |
//! | an answer, or silence and then a session | remembered |
//!
//! One that ended without having read anything did not end of the question: it died.
//!
//! An end or a silence says something only where the transport says so; see
//! [`failure_tells_era`](mcplex_proto::transport::Transport::failure_tells_era).

use super::{Driver, Phase};
use crate::{cause::Cause, time::Time};
use mcplex_proto::{
    handshake::{Handshake, How, Known, Opened, Opener, QUESTIONS},
    message::Message,
    transport::Ending,
    version::Era,
};

/// How many lives of a server known to be modern may end before they are open until it is asked
/// anew: one may be chance, and an older version in its place ends each time.
const MODERN_ENDS: u32 = 2;

/// SIGHUP, SIGINT, SIGKILL and SIGTERM: no process ends itself by them.
const FROM_OUTSIDE: [i32; 4] = [1, 2, 9, 15];

/// What the lives so far say of the era, besides what is remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Findings {
    /// A life ended when it was asked, and none was open since.
    ended_when_asked: bool,
    /// One ended as well that was not asked.
    is_doubtful: bool,
    /// Lives in a row that were remembered to be modern and ended before they were open.
    modern_ends: u32,
}

impl Driver {
    /// Begins the handshake; gives the first message, and until when it has to be answered.
    pub(super) fn opening(&self) -> (Handshake, Message, Option<Time>) {
        let known = match self.spec.verdicts.recall() {
            Some(era) => Known::Era(era),
            None if self.findings.ended_when_asked => Known::EndedWhenAsked,
            None => Known::Nothing,
        };
        let opener = Opener {
            choice: self.spec.options.era,
            known,
            capabilities: self.spec.capabilities.clone(),
            client: self.spec.client_info.clone(),
        };
        let ids: [u64; QUESTIONS] = std::array::from_fn(|_| self.shared.mint());
        let (handshake, hello) = Handshake::begin(ids, opener);
        let can_tell = self.spec.transport.failure_tells_era() && handshake.is_probing();
        // The other half of the handshake's time is for what is asked then.
        let limit = self.spec.options.era_wait.min(self.life.handshake_limit() / 2);
        let answer_by = can_tell.then(|| self.now + limit);
        (handshake, hello, answer_by)
    }

    /// Looks whether the question for the era has been open for too long.
    pub(super) fn look_for_silence(&mut self) {
        let Phase::Open(open) = &mut self.phase else { return };
        if open.answer_by.take_if(|due| *due <= self.now).is_none() {
            return;
        }
        let Some(handshake) = open.handshake.as_mut() else { return };
        if let Some(next) = handshake.handle_silence() {
            self.trace.is_unanswered();
            tracing::info!(upstream = %self.spec.name, member = self.spec.member.as_deref(),
                "upstream does not say whether it speaks 2026-07-28; it is initialized instead");
            self.ask(next);
        }
    }

    /// The end in other words, if it may be the question for the era that brought it about.
    pub(super) fn probed_away(&self, cause: &Cause) -> Option<Cause> {
        let Phase::Open(open) = &self.phase else { return None };
        let is_end = match cause {
            // Sent by somebody else: no question is answered like that.
            Cause::Ended(Ending::Signaled(signal)) => !FROM_OUTSIDE.contains(signal),
            Cause::Ended(_) | Cause::OutputClosed | Cause::WriteFailed(_) => true,
            Cause::Broken(_)
            | Cause::WriteStalled(_)
            | Cause::Hung
            | Cause::Connect(_)
            | Cause::NotGranted(_)
            | Cause::Handshake(_)
            | Cause::HandshakeTimeout(..)
            | Cause::EraProbe(_) => false,
        };
        let may_be = open.handshake.as_ref().is_some_and(Handshake::may_end_by_probe)
            && open.may_have_read();
        let excuses = is_end && may_be && self.spec.transport.failure_tells_era();
        excuses.then(|| Cause::EraProbe(cause.sentence(&[])))
    }

    /// Draws the conclusions from a life that ended before it was open.
    pub(super) fn ended_in_opening(&mut self, cause: &Cause) {
        let is_opening = matches!(&self.phase, Phase::Open(open) if open.handshake.is_some());
        if !is_opening {
            return;
        }
        if let Cause::EraProbe(_) = cause {
            self.findings.ended_when_asked = true;
        } else if self.spec.verdicts.recall() == Some(Era::Modern) {
            self.findings.modern_ends += 1;
            if self.findings.modern_ends >= MODERN_ENDS {
                self.findings.modern_ends = 0;
                self.spec.verdicts.forget();
            }
        } else if self.findings.ended_when_asked {
            self.findings.is_doubtful = true;
        }
    }

    /// Keeps what an open life has shown.
    pub(super) fn learn_era(&mut self, opened: &Opened) {
        let Findings { is_doubtful, .. } = std::mem::take(&mut self.findings);
        let era = opened.server.version.era();
        match opened.how {
            How::Probed | How::Silence => self.spec.verdicts.remember(era),
            How::Ended if !is_doubtful => self.spec.verdicts.remember(era),
            How::Ended | How::Remembered | How::Configured => {}
        }
    }
}
