//! `mcplex crashes`: the deaths of upstreams, as a list and one by one.

use crate::{
    args::{ConfigOptions, CrashesCommand, CrashesOptions},
    console,
    exit::{Code, Failure, print},
};
use mcplex_admin::{
    client::{Client, ClientError, escaped},
    control::Problem,
    crashes::{Summary, read_all, summaries},
    why::{date, long},
};
use mcplex_proto::{plain::plain, report::CrashReport};
use serde::de::DeserializeOwned;
use std::{fmt::Write as _, sync::Arc, time::Duration};

pub(crate) fn run(options: CrashesOptions) -> Result<(), Failure> {
    let CrashesOptions { command, upstream, json, config } = options;
    console::run(async {
        match command {
            None => list(upstream.as_deref(), json, &config).await,
            Some(CrashesCommand::Show { which, json, config }) => show(&which, json, &config).await,
        }
    })
}

async fn list(upstream: Option<&str>, json: bool, config: &ConfigOptions) -> Result<(), Failure> {
    let found: Vec<Summary> = match console::connect(config).await {
        Ok(mut client) => {
            let query =
                upstream.map(|name| format!("?upstream={}", escaped(name))).unwrap_or_default();
            ask(&mut client, &format!("/v1/crashes{query}")).await?
        }
        Err(failure) => summaries(&on_disk(upstream, config, failure)?),
    };
    if json {
        return print(&format!("{:#}\n", serde_json::to_value(&found).unwrap_or_default()));
    }
    if found.is_empty() {
        return print("no deaths are known\n");
    }
    let width = found.iter().map(|one| which(one).len()).max().unwrap_or_default();
    let mut text = String::new();
    for one in &found {
        let cause = one.probable_cause.as_ref().map(|cause| format!(" ({cause})"));
        let (trip, cause) = (if one.tripped { "; tripped" } else { "" }, cause.unwrap_or_default());
        let life = life(one.member.as_deref(), one.incarnation);
        writeln!(
            text,
            "{:<width$}  {}  {life}: {}{cause}{trip}",
            which(one),
            date(one.at_ms),
            one.what
        )
        .expect("a text takes everything");
    }
    print(&text)
}

/// How a report is asked for.
fn which(one: &Summary) -> String {
    format!("{}#{}", one.upstream, one.number)
}

/// Which life ended, and of which child where an upstream has several.
fn life(member: Option<&str>, incarnation: u64) -> String {
    let of = member.map(|member| format!(" of {member}")).unwrap_or_default();
    format!("life {incarnation}{of}")
}

async fn show(which: &str, json: bool, config: &ConfigOptions) -> Result<(), Failure> {
    let (name, number) = match which.split_once('#') {
        None => (which, Some(1)),
        Some((name, number)) => (name, number.parse().ok().filter(|number| *number > 0)),
    };
    let Some(number) = number else {
        return Err(Failure::new(Code::Failed, format!("{which:?} names no report"))
            .with_hint(format!("{name}#1 is the newest, {name}#2 the one before")));
    };
    let report: CrashReport = match console::connect(config).await {
        Ok(mut client) => {
            ask(&mut client, &format!("/v1/crashes/{}/{number}", escaped(name))).await?
        }
        Err(failure) => {
            let found = on_disk(Some(name), config, failure)?;
            let Some(report) = found.get(number - 1) else {
                return Err(console::refused(&Problem::no_report(name, found.len())));
            };
            CrashReport::clone(report)
        }
    };
    if json {
        return print(&format!("{:#}\n", serde_json::to_value(&report).unwrap_or_default()));
    }
    print(&document(&report))
}

async fn ask<T: DeserializeOwned>(client: &mut Client, path: &str) -> Result<T, Failure> {
    let value = client.get(path).await.map_err(|error| console::failure(&error))?;
    serde_json::from_value(value).map_err(|_| console::failure(&ClientError::Strange))
}

/// From the disk, when nobody runs.
fn on_disk(
    upstream: Option<&str>,
    config: &ConfigOptions,
    not_running: Failure,
) -> Result<Vec<Arc<CrashReport>>, Failure> {
    if not_running.code() != Code::NotRunning {
        return Err(not_running);
    }
    let folder = console::state(config)?.map(|state| state.join("crashes"));
    let Some(folder) = folder.filter(|folder| folder.is_dir()) else { return Err(not_running) };
    let all = read_all(&folder, None);
    let Some(name) = upstream else { return Ok(all) };
    let on_disk = all.iter().map(|report| report.upstream.clone()).collect();
    let known = console::known_names(config, on_disk);
    if known.iter().all(|one| one != name) {
        return Err(console::unknown(name, &known));
    }
    Ok(all.into_iter().filter(|report| report.upstream == name).collect())
}

/// Everything that is known of a death, the most telling first.
fn document(report: &CrashReport) -> String {
    let mut text = String::new();
    let mut say = |head: &str, what: &str| {
        if !what.is_empty() {
            writeln!(text, "{head:<10}{what}").expect("a text takes everything");
        }
    };
    let CrashReport { upstream, what, .. } = report;
    let life = life(report.member.as_deref(), report.incarnation);
    say("upstream", &format!("{upstream}, {life}"));
    say("died", &format!("{}, after {}", date(report.at_ms), span(report.uptime_ms)));
    say("how", what);
    say("cause", report.probable_cause.as_deref().unwrap_or_default());
    say("to do", &report.advice);
    let window = span(report.window_ms);
    let counted = if report.is_counted { "" } else { "; this one does not count" };
    let (deaths, max) = (report.deaths, report.max_deaths);
    say("deaths", &format!("{deaths} within {window}, and {max} are borne{counted}"));
    say("tripped", report.trip.as_deref().unwrap_or_default());
    say(
        "next try",
        &report.retry_after_ms.map(|ms| format!("{} later", span(ms))).unwrap_or_default(),
    );
    say("used", &usage(report));
    say("trace", report.trace_id.as_deref().unwrap_or_default());
    let calls = report.in_flight.iter().map(|call| {
        let name = call.name.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
        let suspect =
            if call.is_suspect { "; it was in flight at an earlier death too" } else { "" };
        format!("{}{name}, since {}{suspect}", call.method, span(call.age_ms))
    });
    list_under(&mut text, "in flight", calls);
    let words = report.stderr.iter().map(|line| format!("{}  {}", clock(line.at_ms), line.text));
    list_under(&mut text, "last words on stderr", words);
    let messages = report.messages.iter().map(|seen| {
        let way = if seen.is_from_upstream { '<' } else { '>' };
        format!("{}  {way} {}", clock(seen.at_ms), seen.text)
    });
    list_under(&mut text, "last messages (> to it, < from it)", messages);
    text
}

/// A head with a line for each item, if there are any.
fn list_under(text: &mut String, head: &str, items: impl Iterator<Item = String>) {
    let mut items = items.peekable();
    if items.peek().is_some() {
        writeln!(text, "\n{head}").expect("a text takes everything");
    }
    for item in items {
        // Names of tools and messages are as others wrote them.
        writeln!(text, "  {}", plain(&item)).expect("a text takes everything");
    }
}

fn span(ms: u64) -> String {
    long(Duration::from_millis(ms))
}

/// The time of day, to the millisecond.
fn clock(unix_ms: u64) -> String {
    let date = date(unix_ms);
    let time = date.split(' ').nth(1).unwrap_or_default();
    format!("{time}.{:03}", unix_ms % 1000)
}

fn usage(report: &CrashReport) -> String {
    let memory = report.peak_memory.map(|bytes| format!("{} MiB at most", bytes / (1 << 20)));
    let cpu = report.cpu_ms.map(|ms| format!("{} of processor time", span(ms)));
    memory.into_iter().chain(cpu).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcplex_proto::report::{CallInFlight, Seen, StderrLine};

    #[test]
    fn a_report_is_readable_at_a_glance() {
        let report = CrashReport {
            upstream: "telegram".to_owned(),
            incarnation: 6,
            at_ms: 1_767_225_600_250,
            what: "it exited with code 1".to_owned(),
            uptime_ms: 6_100,
            peak_memory: Some(90 << 20),
            cpu_ms: Some(900),
            is_counted: true,
            deaths: 6,
            max_deaths: 5,
            window_ms: 60_000,
            trip: Some("6 deaths in 60 s".to_owned()),
            retry_after_ms: Some(61_000),
            probable_cause: Some("the variable API_ID is missing".to_owned()),
            advice: "set API_ID in `env`".to_owned(),
            in_flight: vec![CallInFlight {
                method: "tools/call".to_owned(),
                name: Some("send".to_owned()),
                age_ms: 80,
                is_suspect: true,
                ..CallInFlight::default()
            }],
            messages: vec![Seen {
                at_ms: 1_767_225_600_240,
                text: "{\"jsonrpc\":\"2.0\"}".to_owned(),
                ..Seen::default()
            }],
            stderr: vec![StderrLine { at_ms: 1_767_225_600_249, text: "no API_ID".to_owned() }],
            ..CrashReport::default()
        };
        let expect = "\
upstream  telegram, life 6
died      2026-01-01 00:00:00 UTC, after 6 s
how       it exited with code 1
cause     the variable API_ID is missing
to do     set API_ID in `env`
deaths    6 within 1 min, and 5 are borne
tripped   6 deaths in 60 s
next try  1 min 1 s later
used      90 MiB at most, 900 ms of processor time

in flight
  tools/call send, since 80 ms; it was in flight at an earlier death too

last words on stderr
  00:00:00.249  no API_ID

last messages (> to it, < from it)
  00:00:00.240  > {\"jsonrpc\":\"2.0\"}
";
        assert_eq!(document(&report), expect);
        let odd = CallInFlight { name: Some("a\x1b[2J\nb".to_owned()), ..CallInFlight::default() };
        let odd = CrashReport { in_flight: vec![odd], ..report.clone() };
        assert!(document(&odd).contains(" a b, since") && !document(&odd).contains('\x1b'));
        let member = CrashReport { member: Some("telegram/s17".to_owned()), ..report };
        assert!(document(&member).starts_with("upstream  telegram, life 6 of telegram/s17\n"));
    }
}
