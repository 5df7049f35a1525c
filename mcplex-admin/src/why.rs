//! One paragraph for a person: why an upstream is down, since when, what comes next, what to do.

use crate::status::{Breaker, UpstreamStatus};
use mcplex_proto::{report::CrashReport, upstream::Health};
use std::time::{Duration, UNIX_EPOCH};

/// Says why an upstream is as it is; `last` is the report of its last death, if one is kept.
#[must_use]
pub fn why(upstream: &UpstreamStatus, last: Option<&CrashReport>) -> String {
    let mut said = Said(String::new());
    said.push(&now(upstream));
    said.push_some(trouble(upstream));
    match upstream.health {
        Health::Tripped | Health::Recovering => {
            said.push_some(death(upstream, last));
            said.push(&next(upstream));
        }
        Health::Stopped => {
            said.push_some(own_end(upstream, last));
            said.push(&next(upstream));
        }
        Health::Idle => said.push(&next(upstream)),
        Health::Ready | Health::Degraded => {
            said.push(&next(upstream));
            said.push_some(
                last.map(|last| {
                    format!("Its last death was at {}: {}", date(last.at_ms), last.what)
                }),
            );
        }
    }
    let is_down = match upstream.health {
        Health::Tripped | Health::Recovering => true,
        Health::Stopped => last.is_some_and(|last| has_died_last(upstream, last)),
        Health::Ready | Health::Degraded | Health::Idle => false,
    };
    if let (true, Some(last)) = (is_down, last) {
        let cause = last.probable_cause.as_ref();
        said.push_some(cause.map(|cause| format!("The probable cause: {cause}")));
        // What is wrong with a command is told with what to do.
        if !last.what.contains(&last.advice) {
            said.push(&capitalized(&last.advice));
        }
    }
    said.push_some(todo(upstream, last.filter(|_| is_down || upstream.health == Health::Degraded)));
    said.0
}

/// Whether a report is of the very life after which nothing came.
fn has_died_last(upstream: &UpstreamStatus, last: &CrashReport) -> bool {
    upstream.is_enabled && upstream.pid.is_none() && last.incarnation == upstream.incarnation
}

/// How the last life of a stopped one ended, if it was not just stopped.
fn own_end(upstream: &UpstreamStatus, last: Option<&CrashReport>) -> Option<String> {
    match last.filter(|last| has_died_last(upstream, last)) {
        Some(last) => Some(format!("Its last life ended at {}: {}", date(last.at_ms), last.what)),
        // An end that is no death has no report.
        None => Some(capitalized(upstream.reason.as_deref().filter(|_| upstream.has_left)?)),
    }
}

/// How it is, and since when.
fn now(upstream: &UpstreamStatus) -> String {
    let name = upstream.member.as_ref().unwrap_or(&upstream.name);
    let since = date(upstream.since_ms);
    match upstream.health {
        Health::Ready => {
            format!("{name} is ready since {since}, in its life {}", upstream.incarnation)
        }
        Health::Degraded => format!(
            "{name} runs, but since {since} it has not answered when it was asked whether it lives"
        ),
        Health::Idle if upstream.has_left => {
            let how = upstream.reason.as_deref().unwrap_or("it ended");
            format!("{name} has left by itself at {since}: {how}")
        }
        Health::Idle => {
            format!("{name} does not run since {since}, because nobody has used it")
        }
        Health::Recovering if upstream.is_backing_off() => {
            format!("{name} is down since {since} and waits for its next start")
        }
        Health::Recovering if upstream.breaker == Breaker::HalfOpen => {
            format!("{name} is being started on trial since {since}, after its breaker tripped")
        }
        Health::Recovering => format!("{name} is starting or stopping since {since}"),
        Health::Tripped => format!("{name} is given up for now: its breaker tripped at {since}"),
        Health::Stopped if !upstream.is_enabled => {
            format!("{name} is disabled in the configuration")
        }
        Health::Stopped if upstream.pid.is_some() => {
            format!("{name} was stopped at {since}, and its process is still ending")
        }
        Health::Stopped if upstream.has_left => format!(
            "{name} does not run since {since}: it ended, and its setting `restart` lets no other \
             life follow"
        ),
        Health::Stopped => format!("{name} was stopped at {since}"),
    }
}

/// When it all began, where that was before it became what it is: a trip is seldom the beginning.
fn trouble(upstream: &UpstreamStatus) -> Option<String> {
    let since = upstream.trouble_since_ms.filter(|since| since + 1_000 <= upstream.since_ms)?;
    Some(format!("Its trouble began at {}", date(since)))
}

/// What ended its last life, and what that means for the breaker.
fn death(upstream: &UpstreamStatus, last: Option<&CrashReport>) -> Option<String> {
    // The reason of a moment speaks of the same death, and is there without a report.
    let what = last.map(|last| last.what.as_str()).or(upstream.last_error.as_deref());
    if what.is_none() && upstream.health == Health::Recovering {
        // It has not died; there may be something else to say.
        return upstream.reason.as_deref().map(capitalized);
    }
    let what = what.or(upstream.reason.as_deref())?;
    let trip = last.and_then(|last| last.trip.as_deref());
    Some(match trip.filter(|_| upstream.health == Health::Tripped) {
        Some(trip) => format!("The last time, {what}, and that tripped it: {trip}"),
        None if upstream.max_deaths == 0 => format!("The last time, {what}"),
        None => {
            let window = long(Duration::from_millis(upstream.window_ms));
            let (deaths, max) = (upstream.deaths, upstream.max_deaths);
            format!(
                "The last time, {what}; that is death {deaths} within {window}, and {max} are borne"
            )
        }
    })
}

/// What happens next by itself, and when.
fn next(upstream: &UpstreamStatus) -> String {
    let wait = upstream.retry_after_ms.map(|ms| long(Duration::from_millis(ms)));
    match (upstream.health, wait) {
        (Health::Ready, _) => "Calls pass".to_owned(),
        (Health::Degraded, _) => {
            "Calls still pass; if it stays silent it is ended and started again".to_owned()
        }
        (Health::Idle, _) => "The next call starts it".to_owned(),
        (Health::Recovering, Some(wait)) => format!(
            "It is started again by itself in {wait}; calls wait for that a little, then fail"
        ),
        (Health::Recovering, None) => {
            "Calls wait a little for it to become ready, then fail".to_owned()
        }
        (Health::Tripped, Some(wait)) => format!(
            "Calls fail at once; in {wait} one trial start is allowed, and if that stays up it is back"
        ),
        (Health::Tripped, None) => {
            "Calls fail at once, and nothing is started until somebody resets it".to_owned()
        }
        (Health::Stopped, _) => "Calls fail at once, and nothing starts it by itself".to_owned(),
    }
}

/// What a person can type.
fn todo(upstream: &UpstreamStatus, last: Option<&CrashReport>) -> Option<String> {
    let name = &upstream.name;
    let look = if let Some(last) = last {
        let crashes = format!("`mcplex crashes show {name}`");
        if last.pid.is_none() && upstream.url.is_none() {
            // It never ran, so it has said nothing.
            format!("{crashes} shows all that is known of it")
        } else {
            format!("{crashes} and `mcplex logs {name}` show what it said")
        }
    } else {
        format!("`mcplex logs {name}` shows what it said")
    };
    match upstream.health {
        Health::Ready => None,
        Health::Degraded => Some(format!("`mcplex restart {name}` does so at once; {look}")),
        Health::Idle => Some(format!("`mcplex start {name}` starts it without a call")),
        Health::Recovering => Some(look),
        Health::Tripped => {
            Some(format!("{look}; once it is repaired, `mcplex reset {name}` starts it at once"))
        }
        Health::Stopped if !upstream.is_enabled => {
            Some("Set `enabled = true` in the configuration to use it".to_owned())
        }
        Health::Stopped if last.is_some() => {
            Some(format!("{look}; `mcplex start {name}` starts it"))
        }
        Health::Stopped => Some(format!("`mcplex start {name}` starts it")),
    }
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Sentences, each with its end.
struct Said(String);

impl Said {
    fn push(&mut self, sentence: &str) {
        let sentence = sentence.trim().trim_end_matches('.');
        if sentence.is_empty() {
            return;
        }
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        self.0.push_str(sentence);
        self.0.push('.');
    }

    fn push_some(&mut self, sentence: Option<String>) {
        self.push(&sentence.unwrap_or_default());
    }
}

/// A moment as people write it, in universal time.
#[must_use]
pub fn date(unix_ms: u64) -> String {
    // The last moment that has four digits for its year.
    const LAST: u64 = 253_402_300_799;
    let text = humantime::format_rfc3339_seconds(
        UNIX_EPOCH + Duration::from_secs((unix_ms / 1000).min(LAST)),
    );
    text.to_string().replace('T', " ").replace('Z', " UTC")
}

/// A duration as people say it: two units at most, and nothing below what matters.
#[must_use]
pub fn long(time: Duration) -> String {
    let seconds = time.as_secs();
    let (large, small) = match seconds {
        0..60 => {
            let ms = time.subsec_millis();
            return if seconds == 0 { format!("{ms} ms") } else { format!("{seconds} s") };
        }
        60..3600 => ((seconds / 60, "min"), (seconds % 60, "s")),
        3600..86_400 => ((seconds / 3600, "h"), (seconds / 60 % 60, "min")),
        _ => ((seconds / 86_400, "d"), (seconds / 3600 % 24, "h")),
    };
    match small.0 {
        0 => format!("{} {}", large.0, large.1),
        rest => format!("{} {} {rest} {}", large.0, large.1, small.1),
    }
}

#[cfg(test)]
mod tests;
