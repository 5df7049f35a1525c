//! What a doctor tells, as data: people get it as text, machines as JSON.

use mcplex_proto::redact::redact;
use serde::Serialize;
use std::path::Path;

/// How bad something is; later ones are worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Level {
    /// It was not looked at, for a reason.
    Skipped,
    /// It is as it should be.
    Ok,
    /// It works, and somebody should look at it.
    Warning,
    /// It does not work.
    Broken,
}

/// One thing that was found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) level: Level,
    /// A word for programs, of a closed set; `None` where nothing is wrong.
    pub(crate) cause: Option<&'static str>,
    /// One plain sentence without a final stop.
    pub(crate) what: String,
    /// The words of others that belong to it, such as the last lines of stderr.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) said: Vec<String>,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

impl Finding {
    pub(crate) fn well(what: impl Into<String>) -> Self {
        Self { level: Level::Ok, cause: None, what: what.into(), said: Vec::new(), hint: None }
    }

    pub(crate) fn skipped(what: impl Into<String>) -> Self {
        Self { level: Level::Skipped, ..Self::well(what) }
    }

    pub(crate) fn warning(
        cause: &'static str,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Warning,
            cause: Some(cause),
            hint: Some(hint.into()),
            ..Self::well(what)
        }
    }

    pub(crate) fn broken(
        cause: &'static str,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { level: Level::Broken, ..Self::warning(cause, what, hint) }
    }

    /// The same with words of others, without what looks like a secret.
    #[must_use]
    pub(crate) fn saying(self, said: impl IntoIterator<Item = String>) -> Self {
        Self { said: said.into_iter().map(|line| redact(&line).into_owned()).collect(), ..self }
    }
}

/// A finding about mcplex itself or the machine.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Check {
    /// In one word.
    pub(crate) about: &'static str,
    #[serde(flatten)]
    pub(crate) finding: Finding,
}

impl Check {
    pub(crate) fn new(about: &'static str, finding: Finding) -> Self {
        Self { about, finding }
    }
}

/// One step of a trial.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Step {
    /// `resolve`, `start`, `handshake`, `list` or `stop`; `reach` of a server elsewhere.
    pub(crate) step: &'static str,
    /// How long it took.
    pub(crate) ms: u64,
    /// What came of it, if it went well.
    pub(crate) what: Option<String>,
}

/// An upstream that was looked at.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Patient {
    pub(crate) upstream: String,
    /// The worst of its findings.
    pub(crate) level: Level,
    /// Of its trial, if there was one.
    pub(crate) steps: Vec<Step>,
    pub(crate) findings: Vec<Finding>,
}

impl Patient {
    pub(crate) fn new(upstream: &str) -> Self {
        let (steps, findings) = (Vec::new(), Vec::new());
        Self { upstream: upstream.to_owned(), level: Level::Ok, steps, findings }
    }

    fn worst(&self) -> Level {
        self.findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok)
    }
}

/// The mcplex that runs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Target {
    pub(crate) pid: u32,
    pub(crate) version: String,
}

/// Everything that was found.
///
/// As JSON: `version` (of this program), `configuration` (the file, or null for the demo), `running`
/// (`pid` and `version`, or null), `verdict` (`ok`, `warning` or `broken`), `checks` (each with
/// `about`, `level`, `cause`, `what`, `hint`, and `said` where there is something), `upstreams` (each
/// with `upstream`, `level`, `steps` of `step`, `ms`, `what`, and `findings` like the checks).
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) version: &'static str,
    pub(crate) configuration: Option<String>,
    pub(crate) running: Option<Target>,
    pub(crate) verdict: Level,
    pub(crate) checks: Vec<Check>,
    pub(crate) upstreams: Vec<Patient>,
    /// Whether an mcplex runs that does not answer, which has an exit code of its own.
    #[serde(skip)]
    pub(crate) is_silent: bool,
    /// Whether somebody answers in its place who may be one of another version.
    #[serde(skip)]
    pub(crate) is_strange: bool,
}

impl Report {
    pub(crate) fn new(file: Option<&Path>) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            configuration: file.map(|file| file.display().to_string()),
            running: None,
            verdict: Level::Ok,
            checks: Vec::new(),
            upstreams: Vec::new(),
            is_silent: false,
            is_strange: false,
        }
    }

    /// The same with its verdicts.
    #[must_use]
    pub(crate) fn judged(mut self) -> Self {
        for patient in &mut self.upstreams {
            patient.level = patient.worst();
        }
        let checks = self.checks.iter().map(|check| check.finding.level);
        let upstreams = self.upstreams.iter().map(|patient| patient.level);
        let worst = checks.chain(upstreams).max();
        self.verdict = worst.unwrap_or(Level::Ok).max(Level::Ok);
        self
    }

    /// How many things are so.
    pub(crate) fn count(&self, level: Level) -> usize {
        let checks = self.checks.iter().filter(|check| check.finding.level == level).count();
        checks + self.upstreams.iter().filter(|patient| patient.level == level).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_is_the_verdict() {
        let mut report = Report::new(None);
        report.checks.push(Check::new("disk", Finding::skipped("nobody can say")));
        assert_eq!(report.clone().judged().verdict, Level::Ok);
        report.checks.push(Check::new("disk", Finding::warning("disk", "a", "b")));
        assert_eq!(report.clone().judged().verdict, Level::Warning);
        let mut patient = Patient::new("mail");
        patient.findings.push(Finding::broken("exited", "a", "b"));
        patient.findings.push(Finding::well("c"));
        report.upstreams.push(patient);
        let report = report.judged();
        assert_eq!((report.verdict, report.upstreams[0].level), (Level::Broken, Level::Broken));
        assert_eq!((report.count(Level::Broken), report.count(Level::Warning)), (1, 1));
    }

    #[test]
    fn a_secret_in_the_words_of_others_is_not_told() {
        let said = Finding::broken("exited", "a", "b")
            .saying(["Authorization: Bearer abcdefghijklmnopqrstuvwxyz".to_owned()]);
        assert!(!said.said[0].contains("abcdefghijklmnop"), "{said:?}");
    }
}
