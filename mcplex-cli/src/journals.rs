//! The files that mcplex itself writes line by line: its log, and which calls were made.
//!
//! They are opened once for the process, before and after there are logs, and are the last to be
//! closed.

use crate::{
    exit::{Code, Failure},
    settings::Settings,
    wire,
};
use mcplex_admin::audit::Audit;
use mcplex_config::LogFormat;
use mcplex_journal::{Journal, Options, Words};
use mcplex_proto::metric::{self, Metric};
use mcplex_telemetry::Lines;
use serde_json::json;
use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

/// How many lines of the log may wait to be written; a start of a hundred upstreams says fewer.
const ENTRIES: usize = 4096;

/// How much they may weigh together, in bytes.
const WEIGHT: usize = 4 * 1024 * 1024;

/// How long the last lines may take to reach the disk at the end.
const FLUSH: Duration = Duration::from_secs(2);

/// The files of this process, as far as they are open; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journals(Arc<Open>);

#[derive(Debug, Default)]
struct Open {
    log: OnceLock<Journal<Box<[u8]>>>,
    audit: OnceLock<Audit>,
}

impl Journals {
    /// Opens the log file, where one is wanted; why it is not, if another process has it.
    ///
    /// A file that cannot be written just now is tried again with each line.
    pub(crate) fn open_log(&self, settings: &Settings) -> Result<Option<Lines>, Failure> {
        let words = &settings.config().telemetry;
        let Some(file) = &words.log_file else { return Ok(None) };
        let path = place(settings, file, "telemetry.log_file")?;
        let options = Options {
            path,
            limits: wire::log_file_limits(words),
            entries: ENTRIES,
            weight: WEIGHT,
            what: "the log",
            must_open: false,
            lost: Box::new(|lines| {
                metric::add(Metric::LogDropped, i64::try_from(lines).unwrap_or(i64::MAX), &[]);
            }),
        };
        let is_text = words.log_format == LogFormat::Text;
        let opened = Journal::open(options, LogWords { is_text });
        let journal = opened.map_err(|error| refused("telemetry.log_file", &error))?;
        let into = journal.clone();
        let _is_first = self.0.log.set(journal).is_ok();
        Ok(Some(Lines::new(move |line: &[u8]| {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            into.push(line.into(), line.len());
        })))
    }

    /// Opens the audit log, where one is wanted; without it nothing is served.
    pub(crate) fn open_audit(&self, settings: &Settings) -> Result<Option<Audit>, Failure> {
        let words = &settings.config().audit;
        let Some(file) = &words.file else { return Ok(None) };
        let path = place(settings, file, "audit.file")?;
        let policy = wire::audit_policy(words);
        let audit = Audit::open(path, wire::audit_limits(words), policy)
            .map_err(|error| refused("audit.file", &error))?;
        let _is_first = self.0.audit.set(audit.clone()).is_ok();
        Ok(Some(audit))
    }

    /// Lines of the log and of the audit log that were lost.
    pub(crate) fn lost(&self) -> (u64, u64) {
        let log = self.0.log.get().map_or(0, Journal::lost);
        (log, self.0.audit.get().map_or(0, Audit::lost))
    }

    /// Waits a moment for the last lines; call it when nobody says anything any more.
    pub(crate) fn flush(&self) {
        if self.0.audit.get().is_some_and(|audit| !audit.flush()) {
            tracing::warn!(
                "the last lines of the audit log are not written: the disk takes too long"
            );
        }
        if let Some(log) = self.0.log.get() {
            let _in_time = log.flush(FLUSH);
        }
    }
}

/// The files that a configuration wants, with what they are.
pub(crate) fn files(settings: &Settings) -> impl Iterator<Item = (&'static str, PathBuf)> {
    let config = settings.config();
    let wanted = [
        ("log", "telemetry.log_file", &config.telemetry.log_file),
        ("audit log", "audit.file", &config.audit.file),
    ];
    wanted
        .into_iter()
        .filter_map(|(what, key, file)| Some((what, place(settings, file.as_deref()?, key).ok()?)))
}

/// Where a file of the configuration is.
fn place(settings: &Settings, file: &Path, key: &str) -> Result<PathBuf, Failure> {
    let state = settings.places().state(settings.config());
    match state {
        _ if file.is_absolute() => Ok(file.to_owned()),
        Some(state) => Ok(state.join(file)),
        None => Err(Failure::new(
            Code::Configuration,
            format!("`{key}`: there is no folder for {}, because HOME is not set", file.display()),
        )
        .with_hint("write a path that begins with a slash")),
    }
}

fn refused(key: &str, error: &io::Error) -> Failure {
    let what = format!("`{key}` cannot be written");
    if error.kind() == io::ErrorKind::WouldBlock {
        return Failure::new(Code::Configuration, format!("{what}: another mcplex has it"))
            .with_hint("end the other one (`mcplex status`), or name another file");
    }
    let is_no_file =
        matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::IsADirectory);
    let hint = if is_no_file {
        "name a file; what reads lines can follow it (`tail -F`)"
    } else {
        "make the folder one that this user can write, or name another file"
    };
    Failure::from_error(Code::Configuration, what, error).with_hint(hint)
}

/// Lines of the log are ready as they come.
struct LogWords {
    is_text: bool,
}

impl Words for LogWords {
    type Entry = Box<[u8]>;

    fn write(&mut self, entry: Box<[u8]>, line: &mut Vec<u8>) {
        line.extend_from_slice(&entry);
    }

    fn gap(&mut self, missing: u64, line: &mut Vec<u8>) {
        let time = humantime::format_rfc3339_micros(now());
        let what = "lines are missing here, because they could not be kept";
        let text = if self.is_text {
            format!("{time}  WARN mcplex: {what} lines={missing}")
        } else {
            let time = time.to_string();
            json!({ "timestamp": time, "level": "WARN", "message": what, "lines": missing })
                .to_string()
        };
        line.extend_from_slice(text.as_bytes());
    }
}

/// What people call the time.
#[expect(clippy::disallowed_methods, reason = "told to people; nothing is decided by it")]
fn now() -> SystemTime {
    SystemTime::now()
}
