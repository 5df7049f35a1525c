//! The command line.

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// One MCP endpoint in front of many MCP servers, supervised.
///
/// mcplex starts your MCP servers as child processes, watches them, starts them again when they
/// die, and gives up on those that keep dying, so that one broken server cannot take the machine
/// with it. Clients see a single server that has the tools, resources and prompts of all.
#[derive(Debug, Parser)]
#[command(name = "mcplex", version, after_long_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  mcplex                              try it: two demo servers on http://127.0.0.1:3100/mcp
  mcplex serve -c mcplex.toml         serve what the file lists
  mcplex check -c mcplex.toml         say what would run, without running it
  mcplex stdio -c mcplex.toml         what a desktop client starts by itself
  kill -HUP PID                       apply a changed configuration, now
  kill -USR1 PID                      start every tripped server again, now

Exit codes:
  0 done   1 failed   2 wrong command line   3 wrong configuration   4 address not available
  129, 130, 143 ended at once by a second SIGHUP (of a closed terminal), SIGINT or SIGTERM";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serves clients over Streamable HTTP (the default).
    Serve(GatewayOptions),
    /// Serves the one client that started mcplex, over stdin and stdout.
    ///
    /// Ends with all its servers when stdin closes. With --listen it serves HTTP clients as well.
    Stdio(GatewayOptions),
    /// Checks the configuration and says what would run.
    Check(CheckOptions),
    /// Is one of the servers of the built-in demo.
    #[command(hide = true)]
    DemoServer {
        /// Which one.
        name: Demo,
    },
    /// Prints a completion script.
    Completions {
        /// For which shell.
        shell: clap_complete::Shell,
    },
    /// Prints the manual page.
    #[command(hide = true)]
    Man,
}

impl Default for Command {
    fn default() -> Self {
        Self::Serve(GatewayOptions::default())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Demo {
    Notes,
    Fragile,
}

#[derive(Clone, Debug, Default, ClapArgs)]
pub(crate) struct ConfigOptions {
    /// The configuration: TOML, or JSON with `mcpServers` as desktop clients have it.
    ///
    /// Without it: mcplex.toml here, then in the mcplex folder of the configuration directory
    /// (~/.config), then the built-in demo.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, ClapArgs)]
pub(crate) struct LogOptions {
    /// What is logged to stderr, such as `info` or `warn,mcplex_router=debug`.
    #[arg(long, value_name = "FILTER")]
    pub(crate) log: Option<String>,
    /// `text`, `json`, or `auto` (text on a terminal).
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
    /// Where traces go over OTLP, such as http://127.0.0.1:4318.
    #[arg(long, value_name = "URL")]
    pub(crate) otlp_endpoint: Option<String>,
}

#[derive(Clone, Debug, Default, ClapArgs)]
pub(crate) struct GatewayOptions {
    #[command(flatten)]
    pub(crate) config: ConfigOptions,
    /// Where HTTP clients connect; port 0 takes a free one.
    #[arg(short, long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<String>,
    #[command(flatten)]
    pub(crate) log: LogOptions,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct CheckOptions {
    #[command(flatten)]
    pub(crate) config: ConfigOptions,
    /// Writes JSON, with every setting and where it came from.
    #[arg(long)]
    pub(crate) json: bool,
}
