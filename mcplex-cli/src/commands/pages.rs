//! `mcplex completions` and `mcplex man`: pages made from the command line's own description.

use crate::{
    args::Args,
    exit::{Code, Failure, print},
};
use clap::CommandFactory as _;

pub(crate) fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "mcplex", &mut script);
    print(&String::from_utf8_lossy(&script))
}

pub(crate) fn man() -> Result<(), Failure> {
    let mut page = Vec::new();
    let written = clap_mangen::Man::new(Args::command()).render(&mut page);
    written
        .map_err(|error| Failure::from_error(Code::Failed, "the page cannot be made", &error))?;
    print(&String::from_utf8_lossy(&page))
}
