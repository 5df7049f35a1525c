//! Who was answered what, against what the servers ran.

use anyhow::{bail, ensure};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The argument that makes every call its own.
pub(crate) const MARK: &str = "mark";

/// All calls that were begun.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<BTreeMap<String, Entry>>);

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    answers: u32,
    is_good: bool,
    /// The client left before an answer could come.
    is_abandoned: bool,
}

/// The sum of a ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) calls: usize,
    pub(crate) good: usize,
    pub(crate) lost: usize,
    pub(crate) doubled: usize,
}

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn begin(&self, mark: &str) {
        self.lock().insert(mark.to_owned(), Entry::default());
    }

    pub(crate) fn answer(&self, mark: &str, is_good: bool) {
        let mut entries = self.lock();
        let entry = entries.entry(mark.to_owned()).or_default();
        entry.answers += 1;
        entry.is_good |= is_good;
    }

    pub(crate) fn abandon(&self, mark: &str) {
        self.lock().entry(mark.to_owned()).or_default().is_abandoned = true;
    }

    pub(crate) fn sum(&self) -> Sum {
        let entries = self.lock();
        let count = |is_it: fn(&Entry) -> bool| entries.values().filter(|one| is_it(one)).count();
        Sum {
            calls: entries.len(),
            good: count(|one| one.is_good),
            lost: count(|one| one.answers == 0 && !one.is_abandoned),
            doubled: count(|one| one.answers > 1),
        }
    }

    /// Every call has one answer (I6), ran at most once (I14), and ran if the answer says so.
    pub(crate) fn check(&self, ran: &BTreeMap<String, usize>) -> anyhow::Result<Sum> {
        let sum = self.sum();
        ensure!(sum.lost == 0, "{} calls were never answered", sum.lost);
        ensure!(sum.doubled == 0, "{} calls were answered twice", sum.doubled);
        for (mark, entry) in self.lock().iter() {
            let times = ran.get(mark).copied().unwrap_or_default();
            ensure!(times <= 1, "call {mark} ran {times} times");
            if entry.is_good && times == 0 {
                bail!("call {mark} was answered and never ran");
            }
        }
        Ok(sum)
    }
}

/// How often each marked call of a call log ran.
pub(crate) fn ran(lines: &[String]) -> BTreeMap<String, usize> {
    let mut ran = BTreeMap::new();
    for line in lines {
        let arguments = line.split_once(' ').map(|(_, json)| json).unwrap_or_default();
        if let Ok(arguments) = serde_json::from_str::<Value>(arguments)
            && let Some(mark) = arguments[MARK].as_str()
        {
            *ran.entry(mark.to_owned()).or_default() += 1;
        }
    }
    ran
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_doubled_or_run_twice_is_told() {
        let of = |answers: &[(&str, bool)], lines: &[&str]| {
            let ledger = Ledger::default();
            ["a", "b"].iter().for_each(|mark| ledger.begin(mark));
            answers.iter().for_each(|(mark, is_good)| ledger.answer(mark, *is_good));
            let lines: Vec<_> =
                lines.iter().map(|mark| format!("echo {{\"mark\":\"{mark}\"}}")).collect();
            ledger.check(&ran(&lines)).map_err(|error| error.to_string())
        };
        let sum = Sum { calls: 2, good: 1, lost: 0, doubled: 0 };
        assert_eq!(of(&[("a", true), ("b", false)], &["a"]), Ok(sum));
        let wrong = |answers: &[(&str, bool)], lines: &[&str]| of(answers, lines).unwrap_err();
        assert!(wrong(&[("a", true)], &["a"]).contains("never answered"));
        assert!(wrong(&[("a", true), ("a", true), ("b", false)], &["a"]).contains("twice"));
        assert!(wrong(&[("a", true), ("b", false)], &["a", "a"]).contains("ran 2 times"));
        assert!(wrong(&[("a", true), ("b", true)], &["a"]).contains("never ran"));
    }
}
