//! The probable cause of a death in plain words, and what to do about it.
//!
//! Servers say in their last lines why they give up, in a few dozen phrases that all of them share.
//! A table knows those; where it knows none, the kind of the death still suggests something.

use crate::cause::Cause;
use mcplex_proto::{
    handshake::HandshakeError,
    transport::{ConnectError, Ending},
};
use rows::{Name, ROWS, Row};

mod rows;

/// A name out of a line goes into a sentence only up to this length.
const NAME_CHARS: usize = 80;

/// What probably happened and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Diagnosis {
    /// What its last words give away, as a sentence without a final stop.
    pub(crate) cause: Option<String>,
    /// What a person can do, without a final stop.
    pub(crate) advice: String,
}

impl Diagnosis {
    /// Nothing is known.
    pub(crate) fn none() -> Self {
        Self { cause: None, advice: String::new() }
    }

    /// The kernel says it, which is more than a guess.
    pub(crate) fn out_of_memory() -> Self {
        Self {
            cause: Some("the kernel ended it because memory ran out".to_owned()),
            advice: "give it more memory or less to do".to_owned(),
        }
    }
}

/// Whose process the upstream is: one that somebody else runs has no command and no variables here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    Here,
    Elsewhere,
}

/// What a death was probably caused by, and what to do.
pub(crate) fn diagnose(cause: &Cause, words: &[String], place: Where) -> Diagnosis {
    match by_words(words) {
        Some((cause, advice)) => Diagnosis { cause: Some(cause), advice },
        None => {
            let advice = match place {
                Where::Here => None,
                Where::Elsewhere => elsewhere(cause).map(str::to_owned),
            };
            Diagnosis { cause: None, advice: advice.unwrap_or_else(|| by_kind(cause)) }
        }
    }
}

/// What the last words give away.
fn by_words(words: &[String]) -> Option<(String, String)> {
    ROWS.iter().find_map(|row| words.iter().rev().find_map(|line| row.read(line)))
}

impl Row {
    fn read(&self, line: &str) -> Option<(String, String)> {
        // Letters outside of ASCII keep their length, so places in both are the same.
        let lower = line.to_ascii_lowercase();
        let (at, phrase) =
            self.phrases.iter().find_map(|phrase| Some((lower.find(phrase)?, phrase)))?;
        let name = match self.name {
            Name::No => None,
            Name::Variable => Some(variable(line)?),
            Name::Quoted => quoted(&line[at..]),
            Name::Before => word_before(&line[..at], phrase),
        };
        let Some(name) = name.filter(|name| (1..=NAME_CHARS).contains(&name.chars().count()))
        else {
            let fits = !self.plain.is_empty() && self.name != Name::Before;
            return fits.then(|| (self.plain.to_owned(), self.advice.to_owned()));
        };
        Some((self.cause.replace("{}", name), self.advice.replace("{}", name)))
    }
}

/// The first word in capitals with an underscore: what environments are made of.
fn variable(line: &str) -> Option<&str> {
    let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    line.split(|c: char| !is_part(c)).find(|word| {
        let inner = word.trim_matches('_');
        inner.len() >= 4 && inner.contains('_') && inner.contains(|c: char| c.is_ascii_uppercase())
    })
}

fn quoted(text: &str) -> Option<&str> {
    let from = text.find(['\'', '"', '`'])?;
    let quote = &text[from..=from];
    let rest = &text[from + 1..];
    Some(&rest[..rest.find(quote)?])
}

/// The word before a phrase; for `spawn x ENOENT` it must follow `spawn`.
fn word_before<'a>(before: &'a str, phrase: &str) -> Option<&'a str> {
    let mut words = before.split([' ', ':']).filter(|word| !word.is_empty()).rev();
    let word = words.next()?;
    let is_program = word.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
    let fits = match phrase {
        " enoent" => words.next() == Some("spawn"),
        // A shell says its own name and perhaps a line first.
        ": not found" => words.next_back().is_some_and(|first| first.contains("sh")),
        _ => true,
    };
    (is_program && fits).then_some(word)
}

/// What to do when nothing but the kind of the death is known.
fn by_kind(cause: &Cause) -> String {
    const BY_HAND: &str = "run its command by hand to see what it says";
    let advice = match cause {
        Cause::Ended(Ending::Exited(0)) => {
            "it ended as if it were done; run its command by hand, or set `on_exit_0 = \"idle\"` \
             if it means to"
        }
        Cause::Ended(Ending::Exited(126 | 127)) => {
            "a shell did not find or may not run its program; correct `command` and `args`"
        }
        Cause::Ended(Ending::Signaled(9)) => {
            "somebody killed it, perhaps the kernel for lack of memory; look into the kernel's log"
        }
        Cause::Ended(Ending::Signaled(4 | 6 | 7 | 8 | 11)) => {
            "it crashed by a bug of its own or of a library; try another version of it"
        }
        Cause::Ended(Ending::Signaled(_)) => "somebody ended it; find out who",
        Cause::Ended(Ending::Lost(_)) => "look whether the server runs, and into its log",
        Cause::Ended(_) | Cause::OutputClosed | Cause::WriteFailed(_) => BY_HAND,
        Cause::Broken(_) => "it has a bug, or its answers are longer than `max_line` allows",
        Cause::WriteStalled(_) => {
            "it stopped reading; try another version of it, or raise `write_stall`"
        }
        Cause::Hung => {
            "it hangs; try another version of it, or set `probe = false` if it cannot answer while \
             it is idle"
        }
        Cause::Connect(ConnectError::Permanent { hint, .. }) => return hint.clone(),
        Cause::Connect(ConnectError::Resource(_)) | Cause::NotGranted(_) => {
            "raise the limits of processes and open files, or run fewer servers"
        }
        Cause::Connect(ConnectError::Unreachable { .. }) => "start the server, or correct `url`",
        Cause::Connect(ConnectError::Unfit { .. }) => {
            "look into the log of that server, or correct `url` if another one is meant"
        }
        Cause::Connect(_) => "check `command`, `args` and `cwd`",
        Cause::Handshake(HandshakeError::Version(_)) => {
            "install a version of the server that speaks one of mcplex's protocol versions"
        }
        Cause::Handshake(HandshakeError::NotModern(_)) => {
            "set `era = \"auto\"` for it, or install a version of it that speaks 2026-07-28"
        }
        Cause::Handshake(_) => "run its command by hand, and check what it is given in `env`",
        Cause::EraProbe(_) => BY_HAND,
        Cause::HandshakeTimeout(..) => {
            "raise `handshake_timeout` if it is slow to start, such as at a first download; else \
             run its command by hand"
        }
    };
    advice.to_owned()
}

/// The same where it is another word for a server that somebody else runs.
fn elsewhere(cause: &Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::Handshake(HandshakeError::Refused(_) | HandshakeError::Malformed(_)) => {
            "look into the log of that server; if what answers there is none of MCP, correct `url`"
        }
        Cause::HandshakeTimeout(..) => {
            "it takes the request and does not answer; look into its log, or raise \
             `handshake_timeout` if it is slow"
        }
        Cause::Hung => {
            "look into its log; set `probe = false` if it cannot answer while it is idle"
        }
        Cause::OutputClosed | Cause::WriteFailed(_) | Cause::EraProbe(_) => {
            "look whether the server runs, and into its log"
        }
        Cause::Ended(_)
        | Cause::Broken(_)
        | Cause::WriteStalled(_)
        | Cause::Connect(_)
        | Cause::NotGranted(_)
        | Cause::Handshake(_) => return None,
    })
}

#[cfg(test)]
mod tests;
