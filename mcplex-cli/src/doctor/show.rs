//! The report as people read it.

use super::finding::{Finding, Level, Patient, Report};
use mcplex_proto::plain::sentence as sentence_of;
use std::fmt::Write as _;

/// How wide the first column is; longer names push the rest.
const NAME: usize = 14;

/// The report as text.
pub(crate) fn text(report: &Report, is_colourful: bool) -> String {
    let mut text = String::new();
    for check in &report.checks {
        line(&mut text, check.about, &check.finding, is_colourful);
    }
    for patient in &report.upstreams {
        text.push('\n');
        upstream(&mut text, patient, is_colourful);
    }
    text.push('\n');
    text.push_str(&verdict(report));
    text
}

fn upstream(text: &mut String, patient: &Patient, is_colourful: bool) {
    let mut name = &*patient.upstream;
    let opened = patient.steps.iter().find(|step| step.step == "handshake");
    let opened = opened.and_then(|step| step.what.as_deref());
    let listed = patient.steps.iter().find(|step| step.step == "list");
    let listed = listed.and_then(|step| step.what.as_deref());
    if patient.level == Level::Ok
        && let (Some(opened), Some(listed)) = (opened, listed)
    {
        let what = format!("{opened}; {listed}");
        line(text, name, &Finding::well(what), is_colourful);
        name = "";
    }
    for finding in &patient.findings {
        line(text, name, finding, is_colourful);
        name = "";
    }
    if !patient.steps.is_empty() {
        let steps: Vec<_> =
            patient.steps.iter().map(|step| format!("{} {} ms", step.step, step.ms)).collect();
        put(text, &format!("{:NAME$}           ({})\n", "", steps.join(", ")));
    }
}

fn line(text: &mut String, name: &str, finding: &Finding, is_colourful: bool) {
    let (word, colour) = match finding.level {
        Level::Ok => ("ok", "\x1b[32m"),
        Level::Skipped => ("-", ""),
        Level::Warning => ("warning", "\x1b[33m"),
        Level::Broken => ("BROKEN", "\x1b[31m"),
    };
    let word = format!("{word:<8}");
    let word = match is_colourful && !colour.is_empty() {
        true => format!("{colour}{word}\x1b[0m"),
        false => word,
    };
    // Much of it was said by others, and this goes to a terminal.
    let what = sentence_of(&finding.what);
    put(text, &format!("{name:<NAME$}  {word} {what}\n"));
    for said in &finding.said {
        put(text, &format!("{:NAME$}           | {}\n", "", sentence_of(said)));
    }
    if let Some(hint) = &finding.hint {
        put(text, &format!("{:NAME$}           hint: {}\n", "", sentence_of(hint)));
    }
}

fn put(text: &mut String, more: &str) {
    text.write_str(more).expect("a text takes everything");
}

/// All of it in one line.
pub(crate) fn sentence(report: &Report) -> String {
    let things = |count: usize, what: &str| match count {
        1 => format!("1 thing is {what}"),
        _ => format!("{count} things are {what}"),
    };
    match (report.count(Level::Broken), report.count(Level::Warning)) {
        (0, 0) => "all is well".to_owned(),
        (0, warnings) => things(warnings, "to be looked at"),
        (broken, 0) => things(broken, "broken"),
        (broken, warnings) => {
            format!("{}, and {}", things(broken, "broken"), things(warnings, "to be looked at"))
        }
    }
}

fn verdict(report: &Report) -> String {
    let sentence = sentence(report);
    let mut letters = sentence.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.\n", letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::{Check, Step};

    #[test]
    fn what_others_say_cannot_write_lines_of_ours() {
        let mut report = Report::new(None);
        let what = "tools/list was refused: \x1b[2Jno\nmail  ok  all is well";
        report.checks.push(Check::new("mcplex", Finding::broken("a", what, "\x1b[31mb")));
        let shown = text(&report.judged(), false);
        assert!(!shown.contains('\x1b') && shown.contains("refused: no mail  ok"), "{shown}");
        let long = Finding::well("x".repeat(100_000));
        let mut report = Report::new(None);
        report.checks.push(Check::new("mcplex", long));
        assert!(text(&report.judged(), false).len() < 3_000);
    }

    #[test]
    fn a_report_is_read_from_top_to_bottom() {
        let mut report = Report::new(None);
        report.checks.push(Check::new("port", Finding::well("127.0.0.1:1 is free")));
        let step = |step, what: Option<&str>| Step { step, ms: 7, what: what.map(str::to_owned) };
        let mut good = Patient::new("files");
        good.steps = vec![step("handshake", Some("legacy, a 1")), step("list", Some("2 tools"))];
        let mut bad = Patient::new("mail");
        let finding = Finding::broken("exited", "it exited with code 1", "set API_ID");
        bad.findings.push(finding.saying(["no API_ID".to_owned()]));
        report.upstreams = vec![good, bad];
        let shown = text(&report.judged(), false);
        let expect = "\
port            ok       127.0.0.1:1 is free

files           ok       legacy, a 1; 2 tools
                         (handshake 7 ms, list 7 ms)

mail            BROKEN   it exited with code 1
                         | no API_ID
                         hint: set API_ID

1 thing is broken.
";
        assert_eq!(shown, expect);
        assert!(!shown.contains('\x1b'));
    }
}
