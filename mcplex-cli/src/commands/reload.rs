//! `mcplex reload`: a running mcplex reads its configuration again, now.

use crate::{
    args::ReloadOptions,
    console,
    exit::{Failure, print},
};
use mcplex_admin::{client::ClientError, operator::Reloaded};
use std::time::Duration;

/// How long reading and applying may take; a file may be on a slow disk, and several reloads may be
/// in a row.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run(options: &ReloadOptions) -> Result<(), Failure> {
    console::run(async {
        let mut client = console::connect(&options.config).await?;
        let answer = client.post("/v1/reload", PATIENCE).await;
        let answer = answer.map_err(|error| console::failure(&error))?;
        if options.json {
            return print(&format!("{answer:#}\n"));
        }
        match serde_json::from_value::<Reloaded>(answer) {
            Ok(reloaded) => print(&format!("{}\n", reloaded.text)),
            Err(_) => Err(console::failure(&ClientError::Strange)),
        }
    })
}
