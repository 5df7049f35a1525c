//! `mcplex doctor`: looks at everything, and says what is wrong and what to do.

use crate::{
    args::{DoctorOptions, LogOptions},
    commands::serve::runtime,
    console,
    doctor::{
        self, Wanted,
        finding::{Check, Finding, Level, Report},
    },
    exit::{Code, Failure, print},
    settings::{self, Settings},
    signals::{Asked, Signals},
};
use std::{pin::pin, time::Duration};
use tokio::sync::watch;

pub(crate) fn run(options: &DoctorOptions) -> Result<(), Failure> {
    match examine(options) {
        Ok(report) => conclude(options, &report),
        Err(failure) => Err(told(options, failure)),
    }
}

fn examine(options: &DoctorOptions) -> Result<Report, Failure> {
    let settings = load(options)?;
    let wanted = Wanted {
        upstreams: options.upstream.clone(),
        limit: options.timeout.map(Duration::from_secs),
        tries_all: options.trial,
    };
    check_names(&settings, &wanted)?;
    let runtime = runtime()?;
    let report = runtime.block_on(look(&settings, &wanted));
    // A lookup of a name may wait for long, and nobody waits for it any more.
    runtime.shutdown_timeout(Duration::from_millis(100));
    report
}

fn load(options: &DoctorOptions) -> Result<Settings, Failure> {
    let settings = settings::load(&options.config, None, &LogOptions::default())?;
    settings::check_telemetry(&settings)?;
    Ok(settings)
}

/// Whoever reads JSON gets a document, also of why nothing could be looked at.
fn told(options: &DoctorOptions, failure: Failure) -> Failure {
    if !options.json {
        return failure;
    }
    let (about, cause, what) = match failure.code() {
        Code::Configuration => ("configuration", "configuration", failure.sentence()),
        Code::Unknown => ("configuration", "unknown-upstream", failure.sentence()),
        Code::Interrupted | Code::Terminated | Code::Hangup => {
            ("doctor", "interrupted", "somebody ended it before it was done".to_owned())
        }
        Code::Failed
        | Code::Address
        | Code::NotRunning
        | Code::Busy
        | Code::Silent
        | Code::Broken => ("doctor", "failed", failure.sentence()),
    };
    let hint = failure.hint().unwrap_or(match cause {
        "interrupted" => "look again",
        _ => "correct it, and look again",
    });
    let file = options.config.config.clone().or_else(settings::find);
    let mut report = Report::new(file.as_deref());
    report.checks.push(Check::new(about, Finding::broken(cause, what, hint)));
    match print(&json(&report.judged())) {
        Ok(()) => failure,
        Err(unprinted) => unprinted,
    }
}

fn check_names(settings: &Settings, wanted: &Wanted) -> Result<(), Failure> {
    let known: Vec<_> =
        settings.config().servers.iter().map(|server| server.name.clone()).collect();
    match wanted.upstreams.iter().find(|name| !known.contains(name)) {
        Some(name) => Err(console::unknown(name, &known)),
        None => Ok(()),
    }
}

/// Looks, until it is done or somebody wants it to end; then what was started is ended first.
async fn look(settings: &Settings, wanted: &Wanted) -> Result<Report, Failure> {
    let mut signals = Signals::listen()?;
    let (stop, stopping) = watch::channel(false);
    let mut looking = pin!(doctor::examine(settings, wanted, stopping));
    let mut interrupted = None;
    loop {
        tokio::select! {
            report = &mut looking => return match interrupted {
                None => report.map(Report::judged),
                Some(code) => {
                    let what = "interrupted; what was started has ended";
                    Err(Failure::new(code, what))
                }
            },
            asked = signals.next() => if let Asked::Stop(_, code) = asked {
                // A second one does not wait: dropping the trials ends their processes at once.
                if interrupted.replace(code).is_some() {
                    return Err(Failure::new(code, String::new()));
                }
                stop.send_replace(true);
            },
        }
    }
}

fn conclude(options: &DoctorOptions, report: &Report) -> Result<(), Failure> {
    let text =
        if options.json { json(report) } else { doctor::text(report, console::is_colourful()) };
    print(&text)?;
    let code = match report.verdict {
        _ if report.is_silent => Code::Silent,
        Level::Broken => Code::Broken,
        Level::Skipped | Level::Ok | Level::Warning => return Ok(()),
    };
    // The report has said it all.
    Err(Failure::new(code, String::new()))
}

fn json(report: &Report) -> String {
    let value = serde_json::to_value(report).unwrap_or_default();
    format!("{value:#}\n")
}
