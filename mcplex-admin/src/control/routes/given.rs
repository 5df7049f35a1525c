//! What a request has brought for the parameters of its line.

use super::{Wrong, nothing_at, plain};
use crate::{control::Problem, operator::Verb};
use hyper::StatusCode;
use std::num::IntErrorKind;

/// What may stand behind a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::control) enum Parameter {
    /// The name of an upstream.
    Name,
    /// A whole number from 0.
    Number,
    /// 0 or 1.
    Flag,
    /// This word.
    Word(&'static str),
}

/// What a request has brought for the parameters of its line.
pub(in crate::control) struct Given<'a> {
    /// What stands in the path for what is in braces, in that order.
    pub(super) parts: Vec<String>,
    pub(super) query: &'a str,
}

impl Given<'_> {
    pub(super) fn part(&self, at: usize) -> String {
        self.parts.get(at).cloned().unwrap_or_default()
    }

    pub(super) fn number(&self, text: &str) -> Result<usize, Wrong> {
        match text.parse() {
            Ok(number) => Ok(number),
            // There are not so many of anything.
            Err(error) if *error.kind() == IntErrorKind::PosOverflow => Ok(usize::MAX),
            Err(_) => Err(bad(format!("{text:?} is no number"))),
        }
    }

    pub(super) fn verb(&self, at: usize) -> Result<Verb, Wrong> {
        let word = self.part(at);
        let found = Verb::ALL.into_iter().find(|verb| verb.as_str() == word);
        found.ok_or_else(|| nothing_at(&word))
    }

    pub(super) fn word(&self, wanted: &str) -> Option<String> {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(key, _)| *key == wanted).map(|(_, value)| plain(value))
    }

    pub(super) fn flag(&self, key: &str, default: bool) -> Result<bool, Wrong> {
        match self.word(key).as_deref() {
            None => Ok(default),
            Some("1" | "true") => Ok(true),
            Some("0" | "false") => Ok(false),
            Some(other) => Err(bad(format!("`{key}` is 0 or 1, and not {other:?}"))),
        }
    }

    /// Whether a parameter is there that may only be this word.
    pub(super) fn is_word(&self, key: &str, only: &str) -> Result<bool, Wrong> {
        match self.word(key) {
            None => Ok(false),
            Some(word) if word == only => Ok(true),
            Some(other) => Err(bad(format!("`{key}` is {only:?}, and not {other:?}"))),
        }
    }
}

fn bad(message: String) -> Wrong {
    (StatusCode::BAD_REQUEST, Problem::new("bad-request", message))
}
