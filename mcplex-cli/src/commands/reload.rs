//! `mcplex reload`: a running mcplex reads its configuration again, now.

use crate::{
    args::ReloadOptions,
    console,
    exit::{Failure, print},
};
use mcplex_admin::{client::ClientError, operator::Reloaded};

pub(crate) fn run(options: &ReloadOptions) -> Result<(), Failure> {
    console::run(async {
        let mut client = console::connect(&options.config).await?;
        let answer = client.post("/v1/reload").await;
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
