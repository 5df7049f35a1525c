//! What each exit code means, and how a failure is told.

use std::{error::Error, io::Write as _, process::ExitCode};

/// Why mcplex ends without success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// Something went wrong while it ran.
    Failed = 1,
    /// The configuration cannot be used.
    Configuration = 3,
    /// The address is not available.
    Address = 4,
    /// There is no running mcplex to ask.
    NotRunning = 5,
    /// No upstream has the name.
    Unknown = 6,
    /// Another command for the same upstream has not finished.
    Busy = 7,
    /// A running mcplex does not answer.
    Silent = 8,
    /// `mcplex doctor` found something that does not work.
    Broken = 9,
    /// A second SIGHUP of a closed terminal ended it at once.
    Hangup = 129,
    /// A second SIGINT ended it at once.
    Interrupted = 130,
    /// A second SIGTERM ended it at once.
    Terminated = 143,
}

/// Every code with its meaning, for the reference page; 2 is the command line parser's own.
#[cfg(test)]
pub(crate) const TABLE: &[(u8, &str)] = &[
    (
        0,
        "Done. Also after one SIGTERM or SIGINT, when its terminal closed, and when the client closed \
         stdin.",
    ),
    (Code::Failed as u8, "Something went wrong while it ran; stderr says what."),
    (2, "The command line is wrong."),
    (
        Code::Configuration as u8,
        "The configuration is wrong, or names a program that is not there.",
    ),
    (Code::Address as u8, "The address to listen at is not available."),
    (Code::NotRunning as u8, "No mcplex runs with this configuration, so there is none to ask."),
    (Code::Unknown as u8, "There is no upstream of that name."),
    (Code::Busy as u8, "Another command for the same upstream has not finished; nothing was done."),
    (
        Code::Silent as u8,
        "The mcplex that runs does not answer: it is stopped or overloaded. What it was told may \
         still be done.",
    ),
    (
        Code::Broken as u8,
        "`mcplex doctor` has looked, and something is broken; warnings alone are 0. When it could not \
         look, the code is 1, 3, 6 or 8.",
    ),
    (Code::Hangup as u8, "Ended at once by a second SIGHUP after its terminal closed."),
    (
        Code::Interrupted as u8,
        "Ended at once by a second SIGINT; `mcplex doctor` by the first, once what it started has ended.",
    ),
    (
        Code::Terminated as u8,
        "Ended at once by a second SIGTERM; `mcplex doctor` like with SIGINT.",
    ),
];

/// A failure as a person is told of it.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    code: Code,
    what: String,
    because: Vec<String>,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: Code, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), because: Vec::new(), hint: None }
    }

    /// A failure with the causes of an error below it.
    pub(crate) fn from_error(
        code: Code,
        what: impl Into<String>,
        error: &(dyn Error + 'static),
    ) -> Self {
        let causes = std::iter::successors(Some(error), |&error| error.source());
        Self { because: causes.map(ToString::to_string).collect(), ..Self::new(code, what) }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What went wrong and why, in one line.
    pub(crate) fn sentence(&self) -> String {
        let causes = self.because.iter().map(String::as_str);
        let parts: Vec<_> = std::iter::once(self.what.as_str()).chain(causes).collect();
        parts.join(": ")
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// What an exit says of it.
    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// Writes the failure to stderr.
    pub(crate) fn report(&self) -> ExitCode {
        let mut text = String::new();
        if !self.what.is_empty() {
            text = format!("error: {}\n", self.what);
        }
        for cause in &self.because {
            text.push_str("  because: ");
            text.push_str(cause);
            text.push('\n');
        }
        if let Some(hint) = &self.hint {
            text.push_str("\nhint: ");
            text.push_str(hint);
            text.push('\n');
        }
        // Nobody may be there to read it.
        let _is_read = std::io::stderr().write_all(text.as_bytes());
        ExitCode::from(self.code as u8)
    }
}

/// Writes to stdout; a reader that has gone is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::from_error(Code::Failed, "stdout cannot be written", &error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_exit_codes_is_the_table() {
        let mut page = "# Exit codes\n\nOf every command of `mcplex`.\n\n\
                        | code | meaning |\n| ---: | --- |\n"
            .to_owned();
        page.extend(TABLE.iter().map(|(code, meaning)| format!("| {code} | {meaning} |\n")));
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/exit-codes.md");
        if std::env::var_os("MCPLEX_BLESS").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap();
        assert_eq!(committed, page, "run the test with MCPLEX_BLESS=1 to write the page");
    }
}
