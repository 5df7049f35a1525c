//! What a person writes and what comes of it.

mod difference;
mod errors;
mod files;
mod layers;
mod reference;

use mcplex_config::{
    Config, ConfigError, Document, Format, Loaded, Process, Reach, Server, Sources,
};

/// A TOML file called `mcplex.toml`.
fn toml(text: &str) -> Sources {
    document("mcplex.toml", text, Format::Toml)
}

/// A JSON file called `mcp.json`.
fn json(text: &str) -> Sources {
    document("mcp.json", text, Format::Json)
}

fn document(name: &str, text: &str, format: Format) -> Sources {
    let document = Document::Text { name: name.to_owned(), text: text.to_owned(), format };
    Sources { document: Some(document), ..Sources::default() }
}

fn with_env<const N: usize>(sources: Sources, env: [(&str, &str); N]) -> Sources {
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    Sources { env, ..sources }
}

#[expect(clippy::panic, reason = "a test that cannot go on fails here")]
fn load(sources: Sources) -> Loaded {
    Config::load(sources).unwrap_or_else(|error| panic!("{}", show(&error)))
}

/// An error as the command line would show it.
fn show(error: &ConfigError) -> String {
    format!("{error}\nhint: {}", error.hint)
}

/// The program of a server that has one.
#[expect(clippy::panic, reason = "a test that cannot go on fails here")]
fn process(server: &Server) -> &Process {
    match &server.reach {
        Reach::Process(process) => process,
        Reach::Http(_) => panic!("it is a program"),
    }
}
