//! The probable cause of a death in plain words, and what to do about it.
//!
//! Servers say in their last lines why they give up, in a few dozen phrases that all of them share.
//! A table knows those; where it knows none, the kind of the death still suggests something.

use crate::cause::Cause;
use mcplex_proto::{
    handshake::HandshakeError,
    transport::{ConnectError, Ending},
};

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

/// Where in a line the name stands that makes a cause more exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    /// Nowhere.
    No,
    /// It is a variable in capitals; without one the row does not fit.
    Variable,
    /// In quotes, after the phrase.
    Quoted,
    /// The word before the phrase.
    Before,
}

/// One kind of cause.
struct Row {
    /// Any of these, in lower case, gives it away.
    phrases: &'static [&'static str],
    name: Name,
    /// With `{}` for the name.
    cause: &'static str,
    /// Without a name.
    plain: &'static str,
    advice: &'static str,
}

/// The more exact rows stand first.
const ROWS: &[Row] = &[
    Row {
        phrases: &["cannot connect to the docker daemon", "docker daemon running"],
        name: Name::No,
        cause: "",
        plain: "Docker does not run",
        advice: "start Docker, or let mcplex's user reach its socket",
    },
    Row {
        phrases: &[
            "heap out of memory",
            "out of memory",
            "memoryerror",
            "cannot allocate memory",
            "bad_alloc",
            "oom-kill",
        ],
        name: Name::No,
        cause: "",
        plain: "it ran out of memory",
        advice: "give it more memory or less to do",
    },
    Row {
        phrases: &["cannot find module ", "no module named ", "cannot find package "],
        name: Name::Quoted,
        cause: "the module {} is not installed",
        plain: "a module it needs is not installed",
        advice: "install it for the interpreter that runs the server, or correct the path in `args`",
    },
    Row {
        phrases: &["module_not_found", "modulenotfounderror", "importerror"],
        name: Name::No,
        cause: "",
        plain: "a module it needs is not installed",
        advice: "install it for the interpreter that runs the server, or correct the path in `args`",
    },
    Row {
        phrases: &["e404", "not found in the package registry", "no matching distribution"],
        name: Name::Quoted,
        cause: "the package {} does not exist in its registry",
        plain: "its package does not exist in its registry",
        advice: "correct the package's name or version in `args`",
    },
    Row {
        phrases: &[": command not found", ": not found", " enoent"],
        name: Name::Before,
        cause: "the program {} is not installed, or not in PATH",
        plain: "a program it needs is not installed, or not in PATH",
        advice: "install it, or give its whole path",
    },
    Row {
        phrases: &["eaddrinuse", "address already in use", "address in use"],
        name: Name::No,
        cause: "",
        plain: "the port it listens at is taken",
        advice: "end the process that has it (perhaps an earlier copy), or give it another port",
    },
    Row {
        phrases: &[
            "ebadengine",
            "unsupported engine",
            "requires node",
            "requires python",
            "requires-python",
            "requires a different python",
            "unsupported python version",
            "unsupported node",
            "node.js version",
            "glibc_",
        ],
        name: Name::No,
        cause: "",
        plain: "its interpreter or system has a version that it does not support",
        advice: "install the version its last words ask for, and name that program in `command`",
    },
    Row {
        phrases: &["no space left", "enospc"],
        name: Name::No,
        cause: "",
        plain: "the disk is full",
        advice: "make room",
    },
    Row {
        phrases: &["emfile", "too many open files"],
        name: Name::No,
        cause: "",
        plain: "it ran out of file descriptors",
        advice: "raise the limit of open files, or let it open fewer",
    },
    Row {
        phrases: &[
            "unauthorized",
            "status code 401",
            "status 401",
            "http 401",
            "error 401",
            "403 forbidden",
            "status code 403",
            "invalid api key",
            "invalid token",
            "invalid credentials",
            "invalid_grant",
            "bad credentials",
            "authentication failed",
            "invalid license",
            "license expired",
            "license has expired",
            "license key",
        ],
        name: Name::No,
        cause: "",
        plain: "its credentials or its license were refused",
        advice: "renew the key or token and set it in `env` of the server",
    },
    Row {
        phrases: &[
            "not set",
            "must be set",
            "required",
            "missing",
            "environment variable",
            "env var",
            "not provided",
            "not defined",
            "not found",
            "undefined",
            "keyerror",
            "please set",
            "need to set",
            "please provide",
        ],
        name: Name::Variable,
        cause: "the variable {} is not set",
        plain: "",
        advice: "set {} in `env` of the server",
    },
    Row {
        phrases: &[
            "no token",
            "no api key",
            "missing api key",
            "missing token",
            "missing credentials",
            "api key is required",
            "api key required",
            "api key not",
            "api key is missing",
            "api key must",
            "token is required",
            "token is missing",
            "token not",
            "credentials not",
            "no credentials",
            "not logged in",
            "please log in",
        ],
        name: Name::No,
        cause: "",
        plain: "it misses a key, a token or other credentials",
        advice: "set what its documentation asks for in `env` of the server",
    },
    Row {
        phrases: &[
            "enotfound",
            "eai_again",
            "getaddrinfo",
            "name or service not known",
            "name resolution",
            "could not resolve host",
            "nodename nor servname",
        ],
        name: Name::No,
        cause: "",
        plain: "a name it looks for on the network cannot be resolved",
        advice: "check the network and the address it was given",
    },
    Row {
        phrases: &["econnrefused", "connection refused"],
        name: Name::No,
        cause: "",
        plain: "a service it needs does not accept connections",
        advice: "start that service, or correct the address it was given",
    },
    Row {
        phrases: &[
            "certificate verify failed",
            "certificate has expired",
            "self signed certificate",
            "self-signed certificate",
            "unable to verify the first certificate",
        ],
        name: Name::No,
        cause: "",
        plain: "it does not trust a certificate it was shown",
        advice: "install the certificate of the authority, or check the host's clock",
    },
    Row {
        phrases: &[
            "etimedout",
            "connection timed out",
            "network is unreachable",
            "enetunreach",
            "econnreset",
            "fetch failed",
        ],
        name: Name::No,
        cause: "",
        plain: "a service it needs cannot be reached",
        advice: "check the network and the address it was given",
    },
    Row {
        phrases: &["permission denied", "permissionerror", "eacces", "eperm", "not permitted"],
        name: Name::Quoted,
        cause: "it may not use {}",
        plain: "it may not read, write or run something it needs",
        advice: "check the owner and the mode of what its last words name",
    },
    Row {
        phrases: &["enoent", "no such file or directory", "filenotfounderror", "file not found"],
        name: Name::Quoted,
        cause: "{} is not there",
        plain: "a file or directory it needs is not there",
        advice: "correct the path in `args`, or set `cwd`",
    },
    Row {
        phrases: &[
            "unrecognized argument",
            "unrecognized option",
            "unknown option",
            "unknown argument",
            "unexpected argument",
            "unknown command",
            "invalid option",
            "usage:",
        ],
        name: Name::No,
        cause: "",
        plain: "it does not understand an argument it was given",
        advice: "compare `args` with its documentation",
    },
    Row {
        phrases: &[
            "syntaxerror",
            "jsondecodeerror",
            "unexpected token",
            "unexpected end of json",
            "parse error",
            "failed to parse",
            "invalid json",
            "invalid yaml",
            "invalid toml",
            "invalid configuration",
            "invalid config",
        ],
        name: Name::No,
        cause: "",
        plain: "a file or argument it reads is not written as it expects",
        advice: "correct what its last words name",
    },
    Row {
        phrases: &[
            "panicked at",
            "segmentation fault",
            "traceback (most recent call last)",
            "uncaught",
            "unhandled",
            "assertion failed",
            "core dumped",
        ],
        name: Name::No,
        cause: "",
        plain: "it met an error that it does not handle",
        advice: "report its last words to whoever makes the server, or try another version of it",
    },
];

/// What a death was probably caused by, and what to do.
pub(crate) fn diagnose(cause: &Cause, words: &[String]) -> Diagnosis {
    match by_words(words) {
        Some((cause, advice)) => Diagnosis { cause: Some(cause), advice },
        None => Diagnosis { cause: None, advice: by_kind(cause) },
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
        ": not found" => words.last().is_some_and(|first| first.contains("sh")),
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
        Cause::Connect(_) => "check `command`, `args` and `cwd`",
        Cause::Handshake(HandshakeError::Version(_)) => {
            "install a version of the server that speaks one of mcplex's protocol versions"
        }
        Cause::Handshake(_) => "run its command by hand, and check what it is given in `env`",
        Cause::HandshakeTimeout(_) => {
            "raise `handshake_timeout` if it is slow to start, such as at a first download; else \
             run its command by hand"
        }
    };
    advice.to_owned()
}

#[cfg(test)]
mod tests;
