//! What was found in a trial, as a cause with a plain hint.
//!
//! | cause | what it means |
//! | --- | --- |
//! | `not-found`, `not-executable`, `bad-cwd` | there is nothing that could be started |
//! | `missing-variable` | its last words name a variable that is not set |
//! | `exited` | it ended by itself |
//! | `unknown-revision` | it speaks a revision that mcplex does not |
//! | `refused` | it answers the handshake with an error, or with what is none |
//! | `hung` | it says nothing |
//! | `noise` | it writes what is no message to its stdout |
//! | `slow` | it takes long to start |
//! | `list-failed`, `offers-nothing` | it runs, and is of no use |
//! | `stays` | it has to be killed, or cannot be |
//! | `dns`, `tcp`, `tls`, `unauthorized`, `forbidden`, `no-such-path`, `http` | see `remote` |
//! | `host` | the machine lacks something |

use super::finding::Finding;
use mcplex_proto::{report::CrashReport, transport::ConnectError};
use std::time::Duration;

/// Lines of stderr that are shown.
const SHOWN: usize = 10;

/// There is nothing to start.
pub(crate) fn of_start(error: &ConnectError) -> Finding {
    if let ConnectError::Permanent { what, hint, kind, .. } = error {
        let cause = match *kind {
            "not_found" => "not-found",
            "not_executable" => "not-executable",
            "bad_cwd" => "bad-cwd",
            _ => "configuration",
        };
        return Finding::broken(cause, what.clone(), hint.clone());
    }
    let hint = "look whether the machine is short of something";
    Finding::broken("host", error.to_string(), hint)
}

/// It ended, or no session came about.
pub(crate) fn of_death(report: &CrashReport, is_open: bool) -> Finding {
    let said = report.stderr.iter().rev().take(SHOWN).rev().map(|line| line.text.clone());
    let probable = report.probable_cause.as_deref();
    let cause = match probable {
        Some(probable) if names_variable(probable) => "missing-variable",
        _ if report.what.contains("speaks protocol version") => "unknown-revision",
        _ if report.what.starts_with("it did not answer") => "hung",
        _ if report.reason == "connect_failed" => match report.is_counted {
            true => "refused",
            false => "host",
        },
        _ => "exited",
    };
    let during = match &*report.reason {
        "exit" | "signal" | "stdout_eof" if is_open => ", after its session was open",
        "exit" | "signal" | "stdout_eof" => ", during the handshake",
        _ => "",
    };
    // Its last words follow in lines of their own.
    let plain = report.what.split("; its last words: ").next().unwrap_or_default();
    let what = match probable {
        Some(probable) => format!("{plain}{during}, probably because {probable}"),
        None => format!("{plain}{during}"),
    };
    Finding::broken(cause, what, report.advice.clone()).saying(said)
}

/// As the table of last words puts it.
fn names_variable(probable: &str) -> bool {
    probable.contains("variable")
}

/// It was not ready when the time for its trial was over.
pub(crate) fn of_silence(limit: Duration, handshake: Duration) -> Finding {
    let what = format!("it was not ready within {} s, the time for its trial", limit.as_secs());
    let hint = if limit < handshake {
        format!(
            "mcplex itself waits {} s for it: try again with a longer --timeout",
            handshake.as_secs()
        )
    } else {
        "run its command by hand to see what it waits for".to_owned()
    };
    Finding::broken("hung", what, hint)
}

/// Not even its start has begun.
pub(crate) fn of_no_room(limit: Duration) -> Finding {
    let what = format!("the machine had no room for its start within {} s", limit.as_secs());
    Finding::broken(
        "host",
        what,
        "raise the limits of processes and open files, or run fewer servers",
    )
}

/// It was ready, and its lists took too long.
pub(crate) fn of_late_lists(limit: Duration) -> Finding {
    let what =
        format!("its lists were not there within {} s, the time for its trial", limit.as_secs());
    Finding::broken(
        "list-failed",
        what,
        "it answers the handshake and then nothing: look into its log, or try another version of it",
    )
}

pub(crate) fn of_list(why: &str) -> Finding {
    Finding::broken(
        "list-failed",
        why.to_owned(),
        "clients will not see what is in this list; it is a fault of the server: try another version \
         of it, and look into its log",
    )
}

pub(crate) fn of_nothing() -> Finding {
    Finding::warning(
        "offers-nothing",
        "it runs, and offers no tools, prompts or resources",
        "look into its documentation for what it needs before it offers something, such as a login",
    )
}

pub(crate) fn of_noise(lines: u64, first: Option<&str>) -> Finding {
    let s = if lines == 1 { "line" } else { "lines" };
    let first = first.map(|why| format!("; the first: {why}")).unwrap_or_default();
    Finding::warning(
        "noise",
        format!("it wrote {lines} {s} to its stdout that are no messages{first}"),
        "mcplex skips them, other clients may not: have it log to stderr; many servers have a flag \
         such as --quiet, and scripts in front of it must not `echo`",
    )
}

pub(crate) fn of_slowness(took: Duration, limit: Duration) -> Finding {
    let what =
        format!("it took {:.1} s to start; its limit is {} s", took.as_secs_f64(), limit.as_secs());
    let hint = if took * 2 > limit {
        "raise `handshake_timeout` of it, or install it beforehand instead of at each start"
    } else {
        "install it beforehand instead of at each start (npx, uvx), if it does that"
    };
    Finding::warning("slow", what, hint)
}

pub(crate) fn of_no_end() -> Finding {
    Finding::broken(
        "stays",
        "something of it could not be ended",
        "look for processes in uninterruptible sleep (`ps -o pid,stat,comm`), such as on a network \
         disk that is away",
    )
}

pub(crate) fn of_kill() -> Finding {
    Finding::warning(
        "stays",
        "it heeds neither the end of its input nor SIGTERM, and had to be killed",
        "it may lose data at each end; try another version of it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn death(what: &str, reason: &str, probable: Option<&str>) -> CrashReport {
        CrashReport {
            what: what.to_owned(),
            reason: reason.to_owned(),
            probable_cause: probable.map(str::to_owned),
            is_counted: true,
            ..CrashReport::default()
        }
    }

    #[test]
    fn each_death_has_its_cause() {
        let check = |report: &CrashReport, expect: &str| {
            assert_eq!(of_death(report, false).cause, Some(expect), "{report:?}");
        };
        check(&death("it exited with code 1", "exit", None), "exited");
        let variable = Some("the variable API_ID is not set");
        check(&death("it exited with code 1", "exit", variable), "missing-variable");
        let version = "the server speaks protocol version \"1999\", which mcplex does not";
        check(&death(version, "connect_failed", None), "unknown-revision");
        check(&death("it did not answer initialize within 1 s", "connect_failed", None), "hung");
        check(&death("the server refused to initialize", "connect_failed", None), "refused");
    }

    #[test]
    fn a_limit_that_is_too_short_says_so() {
        let secs = Duration::from_secs;
        let hint = |limit, handshake| of_silence(secs(limit), secs(handshake)).hint.unwrap();
        assert!(hint(5, 30).contains("--timeout"));
        assert!(hint(60, 30).contains("by hand"));
    }
}
