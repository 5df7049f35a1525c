//! What a person at a terminal sees while the doctor works: a line per step.

use mcplex_proto::plain::sentence;
use std::io::{IsTerminal as _, Write as _};

/// Says what is under way, on a terminal only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    is_shown: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { is_shown: std::io::stderr().is_terminal() }
    }

    /// A step is done, or begins.
    pub(crate) fn say(self, who: &str, what: &str) {
        if self.is_shown {
            // Nobody may be there to read it.
            let _is_read = writeln!(std::io::stderr(), "  {who}: {}", sentence(what));
        }
    }
}
