//! The crash report of a death.

use super::{Driver, deaths::Death};
use crate::{blackbox, time::Time};
use mcplex_proto::{
    report::{CallInFlight, CrashReport, StderrLine},
    trace::TraceContext,
    transport::signal_name,
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Calls that a report names; a longer list would only bury the suspect.
const CALLS: usize = 64;
/// How much of one line of stderr is told.
const LINE_CHARS: usize = 1000;

impl Driver {
    /// What is known of a death, without secrets and bounded.
    pub(super) fn report(&self, death: &Death<'_>) -> CrashReport {
        let at_ms = wall_ms(wall_clock());
        let wall_of = |time: Time| at_ms.saturating_sub(ms(self.now.since(time)));
        let options = &self.spec.options;
        let trace = self.trace.last_death.as_ref().filter(|_| death.is_counted);
        CrashReport {
            upstream: self.spec.name.to_string(),
            member: self.spec.member.clone(),
            incarnation: death.incarnation.0,
            at_ms,
            what: death.sentence.to_string(),
            reason: death.cause.reason().to_owned(),
            exit_code: death.cause.exit_code(),
            signal: death.cause.signal().map(signal_name),
            out_of_memory: death.usage.is_some_and(|usage| usage.out_of_memory),
            pid: death.pid,
            uptime_ms: ms(self.now.since(death.since)),
            peak_memory: death.usage.map(|usage| usage.peak_memory),
            cpu_ms: death.usage.map(|usage| ms(usage.cpu)),
            is_counted: death.is_counted,
            deaths: death.deaths,
            max_deaths: options.max_deaths,
            window_ms: ms(options.window),
            run: death.run,
            trip: death.trip.clone(),
            retry_after_ms: death.retry_after.map(ms),
            probable_cause: death.diagnosis.cause.clone(),
            advice: death.diagnosis.advice.clone(),
            in_flight: self.in_flight(death),
            messages: self.black_box.seen(&death.secrets, wall_of),
            stderr: stderr(death),
            trace_id: trace.map(TraceContext::trace_id_hex),
        }
    }

    fn in_flight(&self, death: &Death<'_>) -> Vec<CallInFlight> {
        let calls = death.sent.iter().zip(&death.suspects);
        let mut calls: Vec<_> = calls.collect();
        // The suspect is named in any case.
        calls.sort_by_key(|((id, _), is_suspect)| (!**is_suspect, **id));
        let hide = |text: &str| death.secrets.redact(text).into_owned();
        let call = |((id, sent), is_suspect): ((&u64, &crate::handle::Sent), &bool)| CallInFlight {
            id: *id,
            method: hide(&sent.method.chars().take(200).collect::<String>()),
            name: blackbox::target(&death.secrets, sent.params.as_ref()),
            age_ms: ms(self.now.since(sent.at)),
            is_suspect: *is_suspect,
        };
        calls.into_iter().take(CALLS).map(call).collect()
    }
}

fn stderr(death: &Death<'_>) -> Vec<StderrLine> {
    let line = |word: &mcplex_proto::transport::Word| StderrLine {
        at_ms: wall_ms(word.at),
        text: word.text.chars().take(LINE_CHARS).collect(),
    };
    death.words.iter().map(line).collect()
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn wall_ms(time: SystemTime) -> u64 {
    ms(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// What people call the time.
#[expect(clippy::disallowed_methods, reason = "a report is dated; nothing is decided by it")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}
