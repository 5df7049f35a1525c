//! Deaths: told to the life, to spans, to those who wait, and to the black box.

use super::{Driver, Phase};
use crate::{
    blackbox,
    cause::{Cause, trip_rule, trip_sentence},
    diagnosis::{Diagnosis, Where, diagnose},
    event::{Event, Failure, Note},
    handle::Sent,
    time::Time,
    trace::{DeathFacts, TripFacts},
};
use mcplex_proto::{
    redact::Secrets,
    transport::{Usage, Word},
    upstream::{Incarnation, LastDeath},
};
use std::{cmp::Reverse, collections::BTreeMap, sync::Arc, time::Duration};

/// How much of what it wrote last stands in the span of its death, in bytes: a stack trace, and
/// less than any collector refuses.
const STDERR_TAIL: usize = 2048;

/// Everything known of the end of one incarnation.
pub(super) struct Death<'a> {
    pub(super) incarnation: Incarnation,
    pub(super) cause: &'a Cause,
    pub(super) sentence: Arc<str>,
    /// What of its configuration nobody may see.
    pub(super) secrets: Secrets,
    pub(super) diagnosis: Diagnosis,
    pub(super) pid: Option<u32>,
    pub(super) since: Time,
    pub(super) words: Vec<Word>,
    pub(super) usage: Option<Usage>,
    pub(super) sent: BTreeMap<u64, Sent>,
    /// Of each that was sent, whether it was there at an earlier death.
    pub(super) suspects: Vec<bool>,
    pub(super) deaths: u32,
    pub(super) run: u32,
    pub(super) is_counted: bool,
    pub(super) trip: Option<String>,
    pub(super) retry_after: Option<Duration>,
}

impl Driver {
    /// The current incarnation ended and nobody asked for it.
    pub(super) fn die(&mut self, cause: &Cause) {
        let of_probe = self.probed_away(cause);
        let cause = of_probe.as_ref().unwrap_or(cause);
        self.ended_in_opening(cause);
        let incarnation = self.life.incarnation();
        let mut death = self.examine(incarnation, cause);
        let was_trial = self.life.tripped_by().is_some();
        let failure = cause.failure();
        let permit = self.permit.take();
        match failure {
            Failure::Resource => permit.into_iter().for_each(crate::host::Permit::lacked),
            Failure::Permanent
            | Failure::EraProbe
            | Failure::CleanExit
            | Failure::Overdue
            | Failure::Death => permit.into_iter().for_each(crate::host::Permit::borne),
        }
        let LastDeath { exit, stderr_tail } = cause.last_death(&texts(&death.words));
        let exit = death.secrets.redact(&exit).into_owned();
        self.last = Some(Arc::new(LastDeath { exit, stderr_tail }));
        self.reason = Some(Arc::clone(&death.sentence));
        self.life.handle_event(Event::Failed { incarnation, failure }, self.now);
        while let Some(note) = self.life.poll_note() {
            self.take_part(&mut death, note, was_trial);
        }
        if death.is_counted {
            self.last_death = Some(Arc::clone(&death.sentence));
            if self.seat.died() {
                tracing::error!(upstream = %self.spec.name, member = self.spec.member.as_deref(),
                    "most upstreams died within seconds; all of them are started again as one wave");
            }
        } else {
            self.seat.down();
        }
        if death.is_counted || matches!(failure, Failure::Resource | Failure::Overdue) {
            self.events.died(Arc::new(self.report(&death)));
        }
        let trace = self.trace.last_death.clone().filter(|_| death.is_counted);
        let Death { sent, suspects, sentence, .. } = death;
        for ((_, sent), is_suspect) in sent.into_iter().zip(suspects) {
            self.lose(sent, &sentence, is_suspect, trace.clone());
        }
    }

    /// Collects what is left of it.
    fn examine<'a>(&mut self, incarnation: Incarnation, cause: &'a Cause) -> Death<'a> {
        let (pid, since, words, usage) = match &mut self.phase {
            Phase::Open(open) => {
                let listen = || open.listener.as_ref().map(|listen| listen()).unwrap_or_default();
                // Without evidence it is mcplex that brings about the end, and it still runs.
                let so_far = || open.pid.and_then(|pid| self.spec.host.facts().usage_of(pid));
                let (words, usage) = open.evidence.take().unwrap_or_else(|| (listen(), so_far()));
                (open.pid, open.since, words, usage)
            }
            Phase::Idle | Phase::Waiting(_) | Phase::Connecting(_) | Phase::Closing { .. } => {
                (None, self.now, Vec::new(), None)
            }
        };
        let sent = self.shared.take_sent();
        let signatures: Vec<_> = sent.values().map(signature).collect();
        let suspects = self.black_box.suspect(&signatures);
        // Understood before the secrets are taken out, which may be what it complains of.
        let plain: Vec<String> = words.iter().map(|word| word.text.clone()).collect();
        let place = match self.spec.transport.place().host {
            Some(_) => Where::Elsewhere,
            None => Where::Here,
        };
        let mut diagnosis = diagnose(cause, &plain, place);
        if usage.is_some_and(|usage| usage.out_of_memory) {
            diagnosis = Diagnosis::out_of_memory();
        }
        let secrets = self.spec.transport.secrets();
        diagnosis.cause = diagnosis.cause.map(|cause| secrets.redact(&cause).into_owned());
        let hide = |word: Word| Word { text: secrets.redact(&word.text).into_owned(), ..word };
        let words: Vec<Word> = words.into_iter().map(hide).collect();
        Death {
            incarnation,
            cause,
            // The upstream itself may have said it in an answer.
            sentence: secrets.redact(&cause.sentence(&texts(&words))).into(),
            secrets,
            diagnosis,
            pid,
            since,
            words,
            usage,
            sent,
            suspects,
            deaths: 0,
            run: 0,
            is_counted: false,
            trip: None,
            retry_after: None,
        }
    }

    /// Takes a note that belongs to a death.
    fn take_part(&mut self, death: &mut Death<'_>, note: Note, was_trial: bool) {
        match note {
            Note::Died { deaths, run, counted, .. } => {
                (death.deaths, death.run, death.is_counted) = (deaths, run, counted);
                self.note_death(death);
            }
            Note::Tripped { incarnation, cause, cooldown, .. } => {
                let sentence = trip_sentence(cause, &death.sentence, &death.diagnosis);
                self.trip(incarnation, &sentence, was_trial, cooldown);
                (death.trip, death.retry_after) = (Some(trip_rule(cause)), cooldown);
            }
            Note::Waiting { delay, .. } => {
                death.retry_after = Some(delay);
                self.take_note(note, was_trial);
            }
            Note::BreakerClosed
            | Note::Stable
            | Note::Degraded { .. }
            | Note::Recovered { .. }
            | Note::Rested { .. }
            | Note::Retired { .. }
            | Note::WasReset
            | Note::Unkillable { .. } => self.take_note(note, was_trial),
        }
    }

    fn note_death(&mut self, death: &Death<'_>) {
        let of = death.sent.values().zip(&death.suspects);
        let suspect = of.clone().find(|(_, is_suspect)| **is_suspect).map(|(sent, _)| {
            (sent.method.to_string(), blackbox::target(&death.secrets, sent.params.as_ref()))
        });
        // Not all of them are linked to: what clients have lost matters most, and of that what may have
        // brought it about, which is one that was there before or one that came last.
        let mut calls: Vec<_> = death.sent.iter().zip(&death.suspects).collect();
        calls
            .sort_by_key(|((id, sent), is_suspect)| (sent.is_upkeep, !**is_suspect, Reverse(**id)));
        let facts = DeathFacts {
            incarnation: death.incarnation,
            cause: death.cause,
            sentence: &death.sentence,
            probable_cause: death.diagnosis.cause.as_deref(),
            pid: death.pid,
            uptime: self.now.since(death.since),
            usage: death.usage,
            in_flight: calls.iter().filter_map(|((_, sent), _)| sent.trace.clone()).collect(),
            calls: death.sent.len(),
            suspect,
            deaths: death.deaths,
            stderr: self.spec.options.stderr_tail.then(|| tail(&death.words)).flatten(),
        };
        if death.is_counted {
            self.trace.died(&facts, &self.spec.options, self.now);
        } else if let Cause::EraProbe(_) = death.cause {
            self.trace.ended_when_asked(&facts);
        } else {
            self.trace.spared(&facts);
        }
    }

    fn trip(
        &mut self,
        incarnation: Incarnation,
        sentence: &str,
        was_trial: bool,
        cooldown: Option<Duration>,
    ) {
        let deaths = self.life.deaths(self.now);
        let facts = TripFacts { incarnation, sentence, was_trial, deaths, cooldown };
        self.trace.tripped(&facts, &self.spec.options, self.now);
        self.reason = Some(sentence.into());
    }

    pub(super) fn take_note(&mut self, note: Note, was_trial: bool) {
        let (upstream, member) = (&self.spec.name, self.spec.member.as_deref());
        match note {
            Note::Tripped { incarnation, cause, cooldown, .. } => {
                let last = self.last_death.clone().unwrap_or_else(|| "it ended".into());
                let sentence = trip_sentence(cause, &last, &Diagnosis::none());
                self.trip(incarnation, &sentence, was_trial, cooldown);
            }
            Note::Waiting { delay, attempt } => {
                self.trace.waiting(self.life.incarnation(), delay, attempt);
            }
            Note::BreakerClosed => self.trace.reset(self.life.incarnation(), "half_open"),
            Note::WasReset => {
                self.clear_past();
                self.trace.reset(self.life.incarnation(), "manual");
            }
            Note::Unkillable { incarnation } => {
                tracing::error!(%upstream, member, incarnation = incarnation.0,
                    "a process of the upstream cannot be killed; nothing is started over it");
            }
            Note::Stable => tracing::debug!(%upstream, member, "upstream is stable"),
            Note::Degraded { incarnation } => tracing::warn!(%upstream, member,
                incarnation = incarnation.0, "upstream is idle and did not answer: it may hang"),
            Note::Recovered { incarnation } => tracing::info!(%upstream, member,
                incarnation = incarnation.0, "upstream is heard again"),
            Note::Rested { incarnation } => tracing::info!(%upstream, member,
                incarnation = incarnation.0, "upstream is not used and ends until the next call"),
            Note::Retired { incarnation, is_idle } => {
                self.has_left = true;
                tracing::info!(%upstream, member, incarnation = incarnation.0, is_idle,
                    "upstream ended and is not started again by itself");
            }
            Note::Died { .. } => {}
        }
    }
}

/// The last lines, as many as fit; none is cut, unless it alone is longer.
fn tail(words: &[Word]) -> Option<String> {
    let mut rest = STDERR_TAIL;
    let fits = |word: &&Word| {
        let left = rest.checked_sub(word.text.len() + 1);
        rest = left.unwrap_or_default();
        left.is_some()
    };
    let mut lines: Vec<&str> =
        words.iter().rev().take_while(fits).map(|word| &*word.text).collect();
    if let (true, Some(last)) = (lines.is_empty(), words.last()) {
        let least = last.text.len().saturating_sub(STDERR_TAIL);
        let start = (least..).find(|at| last.text.is_char_boundary(*at));
        lines.push(&last.text[start.unwrap_or(0)..]);
    }
    lines.reverse();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn texts(words: &[Word]) -> Vec<&str> {
    words.iter().map(|word| word.text.as_str()).collect()
}

/// What tells one call from another; what the gateway asks for itself is nobody's poison.
fn signature(sent: &Sent) -> Option<u64> {
    if sent.is_upkeep {
        return None;
    }
    blackbox::signature(&sent.method, sent.params.as_ref())
}
