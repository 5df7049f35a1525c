//! Why an incarnation ended, in words for people, spans and the machine.

#[cfg(test)]
use crate::diagnosis::{Where, diagnose};
use crate::{breaker::TripCause, diagnosis::Diagnosis, event::Failure};
use mcplex_proto::{
    attr,
    handshake::HandshakeError,
    plain,
    transport::{ConnectError, Ending},
    upstream::LastDeath,
    version::Version,
};
use std::{error::Error as _, sync::Arc, time::Duration};

/// Last words that go into a sentence, and how much of each.
const WORDS_SHOWN: usize = 3;
const WORD_CHARS: usize = 200;

/// Why an incarnation ended without being asked to.
#[derive(Debug)]
pub(crate) enum Cause {
    /// The process ended.
    Ended(Ending),
    OutputClosed,
    Broken(Arc<str>),
    WriteFailed(std::io::Error),
    WriteStalled(Duration),
    Hung,
    Connect(ConnectError),
    /// The host let no start begin for so long.
    NotGranted(Duration),
    Handshake(HandshakeError),
    /// It did not answer this in time.
    HandshakeTimeout(Duration, &'static str),
    /// It ended like this when it was asked which era it belongs to.
    EraProbe(String),
}

impl Cause {
    /// One plain sentence without a final stop, with what it wrote to its log at last.
    pub(crate) fn sentence(&self, words: &[&str]) -> String {
        with_words(self.what(), words)
    }

    /// What happened, without its words. The upstream may have made up a part of it.
    fn what(&self) -> String {
        plain::sentence(&self.told()).into_owned()
    }

    fn told(&self) -> String {
        match self {
            Self::Ended(ending) => ending.to_string(),
            Self::OutputClosed => "it closed its output but went on running".to_owned(),
            Self::Broken(why) => format!("its output could not be read on: {why}"),
            Self::WriteFailed(error) => format!("it could not be written to: {error}"),
            Self::WriteStalled(limit) => {
                format!("it read none of its input for {} s", limit.as_secs())
            }
            Self::Hung => "it was idle and answered no ping".to_owned(),
            Self::NotGranted(limit) => {
                format!("the host had no room for its start within {} s", limit.as_secs())
            }
            Self::Connect(error) => match error.source() {
                Some(source) => format!("{error} ({source})"),
                None => error.to_string(),
            },
            Self::Handshake(error) => error.to_string(),
            Self::HandshakeTimeout(limit, asked) => {
                format!("it did not answer {asked} within {} s", limit.as_secs_f64())
            }
            Self::EraProbe(end) => {
                let version = Version::LATEST_MODERN;
                format!("it ended when it was asked whether it speaks {version}: {end}")
            }
        }
    }

    /// The same in parts.
    pub(crate) fn last_death(&self, words: &[&str]) -> LastDeath {
        LastDeath { exit: self.what(), stderr_tail: shown(words) }
    }

    /// What the machine makes of it.
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::Connect(ConnectError::Permanent { .. })
            | Self::Handshake(HandshakeError::Version(_)) => Failure::Permanent,
            Self::Handshake(HandshakeError::Refused(error)) if error.refuses_version() => {
                Failure::Permanent
            }
            Self::Connect(ConnectError::Resource(_)) | Self::NotGranted(_) => Failure::Resource,
            Self::Ended(Ending::Exited(0)) => Failure::CleanExit,
            Self::WriteStalled(_) | Self::Hung | Self::HandshakeTimeout(..) => Failure::Overdue,
            Self::EraProbe(_) => Failure::EraProbe,
            Self::Ended(_)
            | Self::OutputClosed
            | Self::Broken(_)
            | Self::WriteFailed(_)
            | Self::Connect(_)
            | Self::Handshake(_) => Failure::Death,
        }
    }

    /// How much it says; of several signs of one death the weightiest is reported.
    pub(crate) fn weight(&self) -> u8 {
        match self {
            Self::WriteFailed(_) => 0,
            Self::OutputClosed => 1,
            Self::Ended(_) => 2,
            Self::Broken(_)
            | Self::WriteStalled(_)
            | Self::Hung
            | Self::Connect(_)
            | Self::NotGranted(_)
            | Self::Handshake(_)
            | Self::HandshakeTimeout(..)
            | Self::EraProbe(_) => 3,
        }
    }

    /// `mcplex.death.reason`.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Ended(Ending::Signaled(_)) => "signal",
            Self::Ended(Ending::Lost(_)) => "lost",
            Self::Ended(_) => "exit",
            Self::OutputClosed => "stdout_eof",
            Self::Broken(_) | Self::WriteFailed(_) => "protocol_error",
            Self::WriteStalled(_) | Self::Hung => "health_timeout",
            Self::Connect(_)
            | Self::NotGranted(_)
            | Self::Handshake(_)
            | Self::HandshakeTimeout(..)
            | Self::EraProbe(_) => "connect_failed",
        }
    }

    /// `error.type`.
    pub(crate) fn error_type(&self) -> &'static str {
        match self {
            Self::Ended(Ending::Signaled(_)) => attr::ERROR_PROCESS_SIGNAL,
            Self::Ended(Ending::Lost(_)) => attr::ERROR_CONNECTION_LOST,
            Self::Ended(_) => attr::ERROR_PROCESS_EXIT,
            Self::OutputClosed
            | Self::Broken(_)
            | Self::WriteFailed(_)
            | Self::Handshake(_)
            | Self::EraProbe(_) => attr::ERROR_PROTOCOL,
            Self::WriteStalled(_) | Self::Hung | Self::HandshakeTimeout(..) => attr::ERROR_TIMEOUT,
            Self::Connect(error) => error_type_of(error),
            Self::NotGranted(_) => attr::ERROR_SPAWN_TOO_MANY_OPEN_FILES,
        }
    }

    /// The exit code, if the process exited.
    pub(crate) fn exit_code(&self) -> Option<i32> {
        if let Self::Ended(Ending::Exited(code)) = self { Some(*code) } else { None }
    }

    /// The signal, if one ended the process.
    pub(crate) fn signal(&self) -> Option<i32> {
        if let Self::Ended(Ending::Signaled(signal)) = self { Some(*signal) } else { None }
    }
}

/// `error.type` of a connection that could not be had.
pub(crate) fn error_type_of(error: &ConnectError) -> &'static str {
    match error {
        ConnectError::Permanent { kind: "not_found", .. } => attr::ERROR_SPAWN_NOT_FOUND,
        ConnectError::Permanent { kind: "not_executable", .. } => {
            attr::ERROR_SPAWN_PERMISSION_DENIED
        }
        ConnectError::Permanent { kind: "unauthorized", .. } => attr::ERROR_UNAUTHORIZED,
        ConnectError::Unreachable { .. } => attr::ERROR_UNREACHABLE,
        ConnectError::Unfit { .. } => attr::ERROR_PROTOCOL,
        ConnectError::Resource(_) => attr::ERROR_SPAWN_TOO_MANY_OPEN_FILES,
        ConnectError::Permanent { .. } | ConnectError::Other(_) | _ => attr::ERROR_OTHER,
    }
}

/// Adds what the upstream said last: nearly always that is the real reason.
fn with_words(sentence: String, words: &[&str]) -> String {
    let shown = shown(words);
    if shown.is_empty() {
        return sentence;
    }
    format!("{sentence}; its last words: {}", shown.join(" | "))
}

/// The last lines that say something.
fn shown<'a>(words: &[&'a str]) -> Vec<String> {
    // Many tools draw boxes around their errors.
    let plain = |line: &&'a str| line.trim_matches(|c: char| c.is_whitespace() || is_frame(c));
    let mut said: Vec<&str> = words.iter().map(plain).collect();
    said.retain(|line| line.contains(char::is_alphanumeric));
    // The way to an error is in the report, and says little to whoever reads a sentence.
    if said.iter().any(|line| !is_of_a_trace(line)) {
        said.retain(|line| !is_of_a_trace(line));
    }
    let last = said.split_off(said.len().saturating_sub(WORDS_SHOWN));
    last.into_iter().map(|line| line.chars().take(WORD_CHARS).collect()).collect()
}

/// Whether a line is a frame of a stack trace of Node or Rust, or what stands around them; Python
/// writes its error last.
fn is_of_a_trace(line: &str) -> bool {
    const AROUND: [&str; 3] = ["stack backtrace:", "Node.js v", "note: Some details are omitted"];
    let is_number = |text: &str| text.parse::<u32>().is_ok();
    let has_line = |place: &str| {
        let mut parts = place.rsplitn(3, ':');
        parts.by_ref().take(2).all(is_number) && parts.next().is_some()
    };
    let is_place = |place: &str| place.ends_with(')') || has_line(place);
    let number = line.split_once(": ").filter(|(number, _)| is_number(number));
    AROUND.iter().any(|begin| line.starts_with(begin))
        || line.strip_prefix("at ").is_some_and(is_place)
        || number.is_some_and(|(_, name)| name.contains("::"))
}

/// Whether the character draws lines and boxes.
fn is_frame(c: char) -> bool {
    matches!(c, '\u{2500}'..='\u{257f}' | '|')
}

/// Which rule opened the breaker, without what ended the last life.
pub(crate) fn trip_rule(cause: TripCause) -> String {
    match cause {
        TripCause::TooManyDeaths { deaths, window } => {
            format!("{deaths} deaths in {} s", window.as_secs())
        }
        TripCause::NeverStable { run } => {
            format!("{run} lives in a row ended before they were stable")
        }
        TripCause::TrialFailed => "it was tried again and died".to_owned(),
        TripCause::Permanent => "no second try would help".to_owned(),
    }
}

/// Why the breaker opened, what probably caused it and what to do, in one plain sentence without a
/// final stop.
pub(crate) fn trip_sentence(cause: TripCause, death: &str, diagnosis: &Diagnosis) -> String {
    let mut sentence = match cause {
        TripCause::TooManyDeaths { .. } | TripCause::NeverStable { .. } => {
            format!("{}; the last time {death}", trip_rule(cause))
        }
        TripCause::TrialFailed => format!("it was tried again and {death}"),
        TripCause::Permanent => death.to_owned(),
    };
    if let Some(cause) = &diagnosis.cause {
        sentence = sentence + "; probably " + cause;
    }
    if !diagnosis.advice.is_empty() && !sentence.contains(&diagnosis.advice) {
        sentence = sentence + "; " + &diagnosis.advice;
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_ends_with_the_last_words() {
        let words = ["one", "", " two ", "│ three  │", "four", "╰────╯"];
        let cause = Cause::Ended(Ending::Exited(1));
        let sentence = cause.sentence(&words);
        assert_eq!(sentence, "it exited with code 1; its last words: two | three | four");
        assert_eq!(Cause::Hung.sentence(&[]), "it was idle and answered no ping");
    }

    #[test]
    fn what_a_server_says_moves_no_cursor_and_fills_no_screen() {
        let refused = |message: &str| {
            let error = mcplex_proto::error::ErrorObject::new(-32000, message);
            Cause::Handshake(HandshakeError::Refused(error)).sentence(&[])
        };
        assert_eq!(
            refused("no\x1b[2J\x1b]0;title\x07 key\nof \u{202e}mine"),
            "the server refused to initialize: no key of mine (code -32000)"
        );
        assert!(refused(&"é".repeat(1 << 20)).ends_with("é…"));
    }

    #[test]
    fn a_version_that_is_refused_is_not_asked_for_again() {
        let refused = |code| {
            let error = mcplex_proto::error::ErrorObject::new(code, "no");
            Cause::Handshake(HandshakeError::Refused(error)).failure()
        };
        assert_eq!(refused(-32022), Failure::Permanent);
        assert_eq!(refused(-32603), Failure::Death);
    }

    #[test]
    fn of_a_stack_trace_the_error_is_told_and_not_the_frames() {
        let check = |words: &[&str], expect: &[&str]| assert_eq!(shown(words), expect);
        check(
            &[
                "/srv/x.js:1",
                "function f() { throw new Error(\"no key\"); }",
                "               ^",
                "Error: no key",
                "    at f (/srv/x.js:1:22)",
                "    at node:internal/main/run_main_module:28:49",
                "",
                "Node.js v20.20.2",
            ],
            &["/srv/x.js:1", "function f() { throw new Error(\"no key\"); }", "Error: no key"],
        );
        check(
            &[
                "thread 'main' (7) panicked at src/main.rs:1:1:",
                "no key",
                "stack backtrace:",
                "   0: std::panicking::begin_panic",
                "             at /rustc/5980/library/std/src/panicking.rs:1:1",
                "   1: server::main",
                "note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.",
            ],
            &["thread 'main' (7) panicked at src/main.rs:1:1:", "no key"],
        );
        // Frames alone are better than nothing.
        check(&["    at f (/srv/x.js:1:22)"], &["at f (/srv/x.js:1:22)"]);
        check(&["at last it works", "5: five"], &["at last it works", "5: five"]);
    }

    #[test]
    fn a_trip_says_what_happened_why_and_what_to_do() {
        let cause = TripCause::TooManyDeaths { deaths: 6, window: Duration::from_secs(60) };
        let words = ["Error: API_ID is required".to_owned()];
        let death = Cause::Ended(Ending::Exited(1));
        let diagnosis = diagnose(&death, &words, Where::Here);
        assert_eq!(
            trip_sentence(cause, &death.sentence(&["Error: API_ID is required"]), &diagnosis),
            "6 deaths in 60 s; the last time it exited with code 1; its last words: Error: API_ID \
             is required; probably the variable API_ID is not set; set API_ID in `env` of the server"
        );
        let hint = Diagnosis { cause: None, advice: "install it".to_owned() };
        let permanent = trip_sentence(TripCause::Permanent, "it is not there; install it", &hint);
        assert_eq!(permanent, "it is not there; install it", "said once");
    }
}
