//! What is started.

use crate::guard::Guard;
use mcplex_proto::{frame, redact::Secrets, transport::LogSink, upstream::UpstreamName};
use std::{path::PathBuf, sync::Arc};

/// One upstream's command and the bounds on what it may say.
#[derive(Clone, Debug)]
pub struct Command {
    /// Names the upstream in logs.
    pub name: UpstreamName,
    /// Tells it from other children of the same upstream, in whose log its lines begin with it.
    pub member: Option<Box<str>>,
    /// A path, or a name that is looked for in PATH at each connect.
    pub program: String,
    /// What it is started with.
    pub args: Vec<String>,
    /// Variables on top of the environment of this process, which is passed on whole.
    pub env: Vec<(String, String)>,
    /// Where it is started, if not in the current directory of this process.
    pub cwd: Option<PathBuf>,
    /// The longest line it may write on its stdout.
    pub max_line: usize,
    /// How many of the last lines of its stderr are kept.
    pub stderr_lines: usize,
    /// What holds its processes together; without one they are a process group and no more.
    pub guard: Option<Guard>,
    /// Who else hears each line of its stderr.
    pub log: Option<Arc<dyn LogSink>>,
}

impl Command {
    /// What is kept of stderr unless told otherwise: a stack trace fits.
    pub const STDERR_LINES: usize = 50;

    /// A command without arguments, with the default bounds.
    #[must_use]
    pub fn new(name: UpstreamName, program: impl Into<String>) -> Self {
        Self {
            name,
            member: None,
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            cwd: None,
            max_line: frame::MAX_LINE,
            stderr_lines: Self::STDERR_LINES,
            guard: None,
            log: None,
        }
    }

    /// The same under a guard, if there is one.
    #[must_use]
    pub fn with_guard(self, guard: Option<Guard>) -> Self {
        Self { guard, ..self }
    }

    /// What of it is secret.
    pub(crate) fn secrets(&self) -> Secrets {
        let named = self.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Secrets::of(named, &self.args)
    }

    /// The same with these arguments.
    #[must_use]
    pub fn with_args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args = args.into_iter().map(Into::into).collect();
        self
    }
}
