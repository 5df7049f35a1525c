//! One table of everything that was shown.

use crate::fault::Fault;
use serde_json::{Value, json};
use std::{fmt::Write as _, io::Write as _, time::Duration};

/// What came of showing a fault.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) fault: Fault,
    pub(crate) outcome: Result<String, String>,
    pub(crate) took: Duration,
}

impl Shown {
    fn seen(&self) -> String {
        let text = match &self.outcome {
            Ok(seen) => seen,
            Err(wrong) => wrong,
        };
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if self.fault.is_simulated { format!("simulated: {text}") } else { text }
    }

    fn mark(&self) -> &'static str {
        if self.outcome.is_ok() { "ok" } else { "FAILED" }
    }

    /// One line of progress.
    pub(crate) fn line(&self) -> String {
        let Fault { id, name, .. } = self.fault;
        format!(
            "{id} {name:<24} {:>6.1} s  {:<6} {}",
            self.took.as_secs_f64(),
            self.mark(),
            self.seen()
        )
    }
}

/// How wide a cell of words is.
const WIDTH: usize = 56;

/// Prints everything in the order of the faults, and the sum as the last line.
pub(crate) fn print(all: &[Shown], took: Duration) {
    let mut text = row("fault", "expected", "seen", "took", "ok");
    text += &row(&"-".repeat(24), &"-".repeat(WIDTH), &"-".repeat(WIDTH), "------", "------");
    for one in all {
        let fault = format!("{} {}", one.fault.id, one.fault.name);
        let took = format!("{:.1}", one.took.as_secs_f64());
        text += &row(&fault, one.fault.expected, &one.seen(), &took, one.mark());
    }
    let failed = all.iter().filter(|one| one.outcome.is_err()).count();
    let (passed, took) = (all.len() - failed, took.as_secs_f64());
    let sum = write!(text, "\ntook {took:.0} s\n{passed} passed, {failed} failed\n");
    sum.expect("a string takes all that is written to it");
    // Nobody may be there to read it.
    let _is_read = std::io::stdout().write_all(text.as_bytes());
}

/// Prints everything as one JSON document.
pub(crate) fn print_json(all: &[Shown], took: Duration) {
    let faults: Vec<Value> = all
        .iter()
        .map(|one| {
            json!({
                "id": one.fault.id, "name": one.fault.name, "group": one.fault.group,
                "expected": one.fault.expected, "simulated": one.fault.is_simulated,
                "ok": one.outcome.is_ok(), "seen": one.seen(), "seconds": one.took.as_secs_f64(),
            })
        })
        .collect();
    let failed = all.iter().filter(|one| one.outcome.is_err()).count();
    let (passed, seconds) = (all.len() - failed, took.as_secs_f64());
    println!(
        "{}",
        json!({ "faults": faults, "passed": passed, "failed": failed, "seconds": seconds })
    );
}

/// One row; cells of words go on below.
fn row(fault: &str, expected: &str, seen: &str, took: &str, mark: &str) -> String {
    let (expected, seen) = (wrapped(expected), wrapped(seen));
    let mut text = String::new();
    for n in 0..expected.len().max(seen.len()) {
        let cell = |lines: &Vec<String>| lines.get(n).cloned().unwrap_or_default();
        let only = |cell: &str| if n == 0 { cell.to_owned() } else { String::new() };
        let line = format!(
            "{:<24} | {:<WIDTH$} | {:<WIDTH$} | {:>6} | {}",
            only(fault),
            cell(&expected),
            cell(&seen),
            only(took),
            only(mark)
        );
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// Words in lines of at most the width; a longer word is cut.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let word: String = word.chars().take(WIDTH).collect();
        let last = lines.last_mut().expect("there is always a line");
        if last.is_empty() {
            *last = word;
        } else if last.chars().count() + 1 + word.chars().count() <= WIDTH {
            last.push(' ');
            last.push_str(&word);
        } else {
            lines.push(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_go_on_in_the_next_line() {
        let lines = wrapped(&"word ".repeat(20));
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line.len() <= WIDTH));
        assert_eq!(wrapped(""), [""]);
    }

    #[test]
    fn a_row_has_as_many_lines_as_its_longest_cell() {
        let text = row("F01 a", &"word ".repeat(20), "seen", "1.0", "ok");
        assert_eq!(text.lines().count(), 2);
        assert!(text.lines().nth(1).is_some_and(|line| line.trim_start().starts_with('|')));
    }
}
