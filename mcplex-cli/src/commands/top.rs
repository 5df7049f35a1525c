//! `mcplex top`: everything at once, on a whole terminal.

use crate::{args::TopOptions, console, exit::Failure, top};

pub(crate) fn run(options: &TopOptions) -> Result<(), Failure> {
    console::run(top::run(&options.config))
}
