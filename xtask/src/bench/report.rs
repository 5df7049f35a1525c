//! The figures beside their targets, as a table for people, as JSON, and as a page.

use super::stats;
use serde_json::{Value, json};
use std::{env, fmt::Write as _, thread};

/// What follows this line in the page is written by hand and kept.
const NOTES: &str = "<!-- Written by hand from here on; `--write` keeps it. -->";

/// On which side of a target it is met.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
    Under(f64),
}

impl Target {
    fn met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
            Self::Under(bound) => value < bound,
        }
    }

    fn show(self, unit: &str) -> String {
        match self {
            Self::AtLeast(bound) => format!("≥ {bound} {unit}"),
            Self::AtMost(bound) => format!("≤ {bound} {unit}"),
            Self::Under(bound) => format!("< {bound} {unit}"),
        }
    }
}

/// One thing that is measured, and what it should be.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) target: Target,
    pub(crate) unit: &'static str,
    /// What the predecessor of mcplex gave in runs like these.
    pub(crate) seed: &'static str,
}

/// A question with the values of all rounds, or why there is none.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) question: &'static Question,
    pub(crate) rounds: Result<Vec<f64>, String>,
}

impl Figure {
    fn value(&self) -> Option<f64> {
        stats::median(self.rounds.as_ref().ok()?)
    }

    pub(crate) fn met(&self) -> bool {
        self.value().is_some_and(|value| self.question.target.met(value))
    }

    fn verdict(&self) -> &'static str {
        if self.met() { "met" } else { "MISSED" }
    }

    fn shown(&self) -> String {
        let unit = self.question.unit;
        match (&self.rounds, self.value()) {
            (Err(reason), _) => format!("not measured: {reason}"),
            (Ok(_), None) => "not measured".to_owned(),
            (Ok(_), Some(value)) => format!("{} {unit}", round(value)),
        }
    }

    fn spread(&self) -> String {
        let range = self.rounds.as_ref().ok().and_then(|rounds| stats::range(rounds));
        range.map_or_else(String::new, |(low, high)| format!("{}–{}", round(low), round(high)))
    }
}

/// Three figures tell enough, and the noise of a run hides the rest.
fn round(value: f64) -> String {
    match value.abs() {
        small if small < 10.0 => format!("{value:.2}"),
        middle if middle < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// The table for a terminal.
pub(crate) fn table(figures: &[Figure]) -> String {
    let mut text = String::new();
    for figure in figures {
        let Question { what, target, unit, .. } = figure.question;
        let (value, target, spread) = (figure.shown(), target.show(unit), figure.spread());
        let verdict = figure.verdict();
        writeln!(text, "{verdict:<7} {what:<52} {value:>12}   target {target:<9} rounds {spread}")
            .expect("a string takes every line");
    }
    text
}

/// The same as JSON.
pub(crate) fn to_json(figures: &[Figure], quick: bool) -> Value {
    let figure = |figure: &Figure| {
        json!({
            "name": figure.question.name,
            "what": figure.question.what,
            "unit": figure.question.unit,
            "target": figure.question.target.show(figure.question.unit),
            "value": figure.value(),
            "rounds": figure.rounds.as_ref().ok(),
            "error": figure.rounds.as_ref().err(),
            "met": figure.met(),
        })
    };
    json!({
        "machine": machine(),
        "quick": quick,
        "figures": figures.iter().map(figure).collect::<Vec<_>>(),
    })
}

/// The page: a figure that was not measured now stays as it was in the old one, and so do the notes.
pub(crate) fn page(
    figures: &[Figure],
    all: &[&'static Question],
    parts: &str,
    machine: &str,
    old: &str,
) -> String {
    let mut text = format!(
        "# Benchmarks\n\n\
         Written by `cargo xtask bench --write`; how each figure is taken is told in\n\
         `xtask/src/bench/scenario.rs`. The figures of a group are of one run on {machine}, the\n\
         client, the gateway and the servers sharing the processors. Rates are ratios of rounds that\n\
         take turns, because absolute ones say more about the machine than about mcplex.\n\n\
         | figure | target | median | rounds | | seed system |\n\
         | --- | --- | --- | --- | --- | --- |\n"
    );
    for question in all {
        let Question { what, target, unit, seed, .. } = question;
        let first = format!("| {what} |");
        match figures.iter().find(|figure| figure.question.name == question.name) {
            Some(figure) => {
                let target = target.show(unit);
                let (value, spread, verdict) = (figure.shown(), figure.spread(), figure.verdict());
                writeln!(text, "{first} {target} | {value} | {spread} | {verdict} | {seed} |")
                    .expect("a string takes every line");
            }
            None => {
                for line in old.lines().filter(|line| line.starts_with(&first)) {
                    writeln!(text, "{line}").expect("a string takes every line");
                }
            }
        }
    }
    let notes = old.split_once(NOTES).map_or("\n", |(_, notes)| notes);
    format!("{text}\n{parts}\n{NOTES}{notes}")
}

/// The machine in words that fit any of its kind.
pub(crate) fn machine() -> String {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let system = match env::consts::OS {
        "linux" => "Linux",
        "macos" => "macOS",
        other => other,
    };
    format!("{cores} cores, {system}, {}", env::consts::ARCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    static QUESTION: Question = Question {
        name: "rate",
        what: "calls of all",
        target: Target::AtLeast(30.0),
        unit: "%",
        seed: "16–29 %",
    };

    fn figure(rounds: Result<Vec<f64>, String>) -> Figure {
        Figure { question: &QUESTION, rounds }
    }

    #[test]
    fn the_median_round_decides() {
        assert!(figure(Ok(vec![10.0, 31.0, 40.0])).met());
        assert!(!figure(Ok(vec![10.0, 29.9, 40.0])).met());
        assert!(!figure(Err("no".into())).met());
        assert!(!figure(Ok(vec![])).met());
    }

    #[test]
    fn a_bound_of_under_is_not_met_by_itself() {
        assert!(!Target::Under(14.0).met(14.0));
        assert!(Target::AtMost(40.0).met(40.0));
    }

    #[test]
    fn the_page_keeps_what_was_written_by_hand_and_what_was_not_measured() {
        let page =
            |rounds, old: &str| page(&[figure(rounds)], &[&QUESTION], "P.\n", "2 cores", old);
        let first = page(Ok(vec![31.25]), "");
        assert!(
            first.contains("| calls of all | ≥ 30 % | 31.2 % | 31.2–31.2 | met | 16–29 % |"),
            "{first}"
        );
        let noted = format!("{first}\n## Why\n\nBecause.\n");
        let second = page(Err("no".into()), &noted);
        assert!(second.contains("not measured: no") && second.ends_with("\n## Why\n\nBecause.\n"));
        assert_eq!(page(Err("no".into()), &second), second);
        let third = super::page(&[], &[&QUESTION], "P.\n", "2 cores", &noted);
        assert_eq!(third, noted);
        assert!(!super::page(&[], &[], "P.\n", "2 cores", &noted).contains("calls of all"));
    }
}
