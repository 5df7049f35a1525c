//! `mcplex status`: every upstream in a line.

use crate::{
    args::StatusOptions,
    console,
    exit::{Failure, print},
};
use mcplex_admin::{
    status::{Instance, Snapshot, UpstreamStatus},
    why::{date, long},
};
use mcplex_proto::upstream::Health;
use std::{fmt::Write as _, time::Duration};

/// How often `--watch` looks.
const EVERY: Duration = Duration::from_secs(1);

/// Clears a terminal, and goes to its first line.
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

pub(crate) fn run(options: &StatusOptions) -> Result<(), Failure> {
    console::run(async {
        let mut client = console::connect(&options.config).await?;
        loop {
            let snapshot = console::snapshot(&mut client).await?;
            let text = if options.json {
                let value = serde_json::to_value(&snapshot).unwrap_or_default();
                if options.watch { format!("{value}\n") } else { format!("{value:#}\n") }
            } else {
                let look = Look {
                    width: console::width(),
                    is_colourful: console::is_colourful(),
                    now_ms: console::now_ms(),
                };
                let clear = if options.watch && look.width.is_some() { CLEAR } else { "" };
                let hint = hint(&snapshot.upstreams);
                let hint = hint.map(|hint| console::with_config(&hint, &options.config));
                format!("{clear}{}{}", table(&snapshot, &look), hint.unwrap_or_default())
            };
            print(&text)?;
            if !options.watch {
                return Ok(());
            }
            tokio::time::sleep(EVERY).await;
        }
    })
}

/// How the table is to look.
struct Look {
    width: Option<usize>,
    is_colourful: bool,
    /// Unix time, for how long ago something was.
    now_ms: u64,
}

/// What stands above each column; the last one takes what is left of the line.
const HEAD: [&str; 11] = [
    "UPSTREAM",
    "HEALTH",
    "PID",
    "LIFE",
    "UP",
    "PROTOCOL",
    "DEATHS",
    "NEXT TRY",
    "TOOLS",
    "CALLS",
    "LAST ERROR",
];

/// What stands above the third where some have an address instead.
const PID_OR_URL: &str = "PID OR URL";

/// How much of an address is shown: with it a line still fits into 80 columns nearly always.
const URL_CHARS: usize = 30;

/// With less room than this an error has a line of its own.
const ROOM: usize = 30;

/// Columns that are numbers.
const RIGHT: [usize; 4] = [2, 3, 8, 9];

/// The column that a narrow terminal has no room for.
const PROTOCOL: usize = 5;

/// From this width on it is shown.
const WIDE: usize = 100;

fn table(snapshot: &Snapshot, look: &Look) -> String {
    let rows: Vec<_> = snapshot.upstreams.iter().map(|it| row(it, look.now_ms)).collect();
    let last = HEAD.len() - 1;
    let mut head = HEAD;
    if snapshot.upstreams.iter().any(|upstream| upstream.url.is_some()) {
        head[2] = PID_OR_URL;
    }
    let widths: Vec<usize> = (0..last)
        .map(|at| {
            let own = rows.iter().map(|row| row[at].chars().count());
            own.chain([head[at].len()]).max().unwrap_or_default()
        })
        .collect();
    let mut text = String::new();
    line(&mut text, &head.map(str::to_owned), &widths, look, None);
    for (row, upstream) in rows.iter().zip(&snapshot.upstreams) {
        line(&mut text, row, &widths, look, Some(upstream.health));
    }
    if rows.is_empty() {
        text.push_str("(the configuration names no upstream)\n");
    }
    let instance = &snapshot.instance;
    if instance.attached > 0 {
        let (clients, are) =
            if instance.attached == 1 { ("client", "is") } else { ("clients", "are") };
        writeln!(text, "\n{} {clients} of other processes {are} attached.", instance.attached)
            .expect("a text takes everything");
    }
    for notice in notices(instance) {
        writeln!(text, "\n{notice}").expect("a text takes everything");
    }
    text
}

/// What is not as it should be with mcplex itself, in sentences.
pub(crate) fn notices(instance: &Instance) -> Vec<String> {
    const DISK: &str = "the disk is too slow or full";
    let mut notices = Vec::new();
    if instance.lost_lines + instance.lost_reports > 0 {
        let Instance { lost_lines: lines, lost_reports: reports, .. } = instance;
        notices.push(format!("Not kept: {lines} lines of logs, {reports} crash reports; {DISK}."));
    }
    if instance.lost_spans + instance.lost_records > 0 {
        notices.push(format!(
            "Not exported: {} spans, {} log records; `mcplex doctor` looks at the collector.",
            instance.lost_spans, instance.lost_records
        ));
    }
    if instance.lost_audit + instance.lost_log > 0 {
        notices.push(format!(
            "Not kept: {} lines of the audit log, {} lines of the log file; {DISK}.",
            instance.lost_audit, instance.lost_log
        ));
    }
    if !instance.needs_restart.is_empty() {
        notices.push(format!(
            "Changed in the file, and only the next start of mcplex applies it: {}.",
            instance.needs_restart.join(", ")
        ));
    }
    notices
}

/// Where it is told what to do, if there is anything to do.
fn hint(upstreams: &[UpstreamStatus]) -> Option<String> {
    let is_ill = |it: &&UpstreamStatus| it.trouble_since_ms.is_some() && !it.is_in_first_start();
    let mut ill: Vec<_> = upstreams.iter().filter(is_ill).map(|it| it.name.as_str()).collect();
    ill.dedup();
    match &ill[..] {
        [] => None,
        [only] => Some(format!("\n`mcplex why {only}` tells what to do.\n")),
        [first, ..] => Some(format!(
            "\n{} have trouble; `mcplex why {first}` tells of one what to do.\n",
            ill.len()
        )),
    }
}

/// What is wrong with it, since when.
fn trouble(upstream: &UpstreamStatus, now_ms: u64) -> String {
    let error = upstream.last_error.as_ref().or(upstream.reason.as_ref());
    let since = upstream
        .trouble_since_ms
        .map(|since| format!("since {} ({})", date(since), short(now_ms.saturating_sub(since))));
    match (since, error) {
        (Some(since), Some(error)) => format!("{since}: {error}"),
        (Some(only), None) => only,
        (None, error) => error.cloned().unwrap_or_default(),
    }
}

fn row(upstream: &UpstreamStatus, now_ms: u64) -> [String; 11] {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let time = |ms: Option<u64>| or_none(ms.map(short));
    let health = if upstream.is_enabled { upstream.health.as_str() } else { "disabled" };
    [
        upstream.member.as_ref().unwrap_or(&upstream.name).clone(),
        health.to_owned(),
        or_none(place(upstream)),
        upstream.incarnation.to_string(),
        time(upstream.uptime_ms),
        or_none(upstream.protocol.clone()),
        deaths(upstream),
        time(upstream.retry_after_ms),
        upstream.tools.to_string(),
        upstream.in_flight.to_string(),
        trouble(upstream, now_ms),
    ]
}

/// The process, or where it is.
fn place(upstream: &UpstreamStatus) -> Option<String> {
    let url = upstream.url.as_deref();
    let bare = url.map(|url| url.split_once("://").map_or(url, |(_, rest)| rest));
    bare.map(|url| cut(url, URL_CHARS)).or_else(|| upstream.pid.map(|pid| pid.to_string()))
}

/// How many deaths its breaker counts; how many it bears matters only to one that has died.
fn deaths(upstream: &UpstreamStatus) -> String {
    match upstream.deaths {
        0 => "0".to_owned(),
        deaths => format!("{deaths} ({} borne)", upstream.max_deaths),
    }
}

fn line(
    text: &mut String,
    row: &[String; 11],
    widths: &[usize],
    look: &Look,
    health: Option<Health>,
) {
    let mut used = 0;
    for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
        if at == PROTOCOL && look.width.is_some_and(|width| width < WIDE) {
            continue;
        }
        let padded =
            if RIGHT.contains(&at) { format!("{cell:>width$}") } else { format!("{cell:<width$}") };
        let colour = health.filter(|_| at == 1 && look.is_colourful).map(colour);
        match colour {
            Some(colour) => write!(text, "{colour}{padded}\x1b[0m  "),
            None => write!(text, "{padded}  "),
        }
        .expect("a text takes everything");
        used += width + 2;
    }
    let last = &row[row.len() - 1];
    let room = look.width.map_or(usize::MAX, |width| width.saturating_sub(used));
    if room >= ROOM {
        text.push_str(&cut(last, room));
    } else if health.is_some() && !last.is_empty() {
        // Under its upstream, where there is more room.
        let width = look.width.unwrap_or(usize::MAX);
        let end = text.trim_end().len();
        text.truncate(end);
        text.push_str("\n  ");
        text.push_str(&cut(last, width.saturating_sub(2)));
    }
    let end = text.trim_end().len();
    text.truncate(end);
    text.push('\n');
}

/// A duration in as few characters as can be read.
pub(crate) fn short(ms: u64) -> String {
    long(Duration::from_millis(ms)).replace(" min", "m").replace(' ', "")
}

/// The beginning of a text that is too long.
pub(crate) fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let beginning: String = text.chars().take(room.saturating_sub(1)).collect();
    format!("{beginning}…")
}

fn colour(health: Health) -> &'static str {
    match health {
        Health::Ready => "\x1b[32m",
        Health::Degraded | Health::Recovering => "\x1b[33m",
        Health::Tripped => "\x1b[31m",
        Health::Idle | Health::Stopped => "\x1b[2m",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(width: Option<usize>) -> Look {
        Look { width, is_colourful: false, now_ms: 1_767_225_693_000 }
    }

    fn snapshot() -> Snapshot {
        let files = UpstreamStatus {
            name: "files".to_owned(),
            health: Health::Ready,
            pid: Some(41_234),
            incarnation: 1,
            uptime_ms: Some(7_325_000),
            protocol: Some("2026-07-28".to_owned()),
            max_deaths: 5,
            tools: 12,
            in_flight: 1,
            ..UpstreamStatus::default()
        };
        let telegram = UpstreamStatus {
            name: "telegram".to_owned(),
            health: Health::Tripped,
            incarnation: 6,
            deaths: 6,
            max_deaths: 5,
            trips: 1,
            retry_after_ms: Some(61_000),
            trouble_since_ms: Some(1_767_225_600_000),
            last_error: Some("it exited with code 1: no API_ID".to_owned()),
            ..UpstreamStatus::default()
        };
        Snapshot { upstreams: vec![files, telegram], ..Snapshot::default() }
    }

    #[test]
    fn the_table_fits_into_80_columns() {
        let text = table(&snapshot(), &look(Some(80)));
        let expect = "\
UPSTREAM  HEALTH     PID  LIFE  UP    DEATHS       NEXT TRY  TOOLS  CALLS
files     ready    41234     1  2h2m  0            -            12      1
telegram  tripped      -     6  -     6 (5 borne)  1m1s          0      0
  since 2026-01-01 00:00:00 UTC (1m33s): it exited with code 1: no API_ID
";
        assert_eq!(text, expect);
        let hint = hint(&snapshot().upstreams).unwrap();
        assert_eq!(hint, "\n`mcplex why telegram` tells what to do.\n");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn a_server_elsewhere_is_shown_by_where_it_is() {
        let mut snapshot = snapshot();
        let url = Some("https://mcp.example/a/very/long/path/mcp".to_owned());
        snapshot.upstreams[0] = UpstreamStatus { pid: None, url, ..snapshot.upstreams[0].clone() };
        let text = table(&snapshot, &look(None));
        assert!(text.contains("PID OR URL"), "{text}");
        assert!(text.contains("  mcp.example/a/very/long/path/…  "), "{text}");
    }

    #[test]
    fn a_member_has_a_line_of_its_own() {
        let mut snapshot = snapshot();
        let member = Some("files/2".to_owned());
        snapshot.upstreams.push(UpstreamStatus { member, ..snapshot.upstreams[0].clone() });
        let text = table(&snapshot, &look(None));
        assert!(text.contains("\nfiles/2   ready"), "{text}");
    }

    #[test]
    fn a_wide_one_says_all_and_colours_only_the_health() {
        let text = table(&snapshot(), &Look { is_colourful: true, ..look(None) });
        assert!(text.contains("\x1b[31mtripped\x1b[0m"), "{text}");
        let error = "0  since 2026-01-01 00:00:00 UTC (1m33s): it exited with code 1: no API_ID";
        assert!(text.contains(error), "{text}");
        let plain = table(&snapshot(), &look(None));
        assert!(!plain.contains('\x1b'));
        assert!(plain.contains("2h2m  2026-07-28  0 "), "{plain}");
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(cut("äbcdef", 4), "äbc…");
        assert_eq!(cut("abcd", 4), "abcd");
    }
}
