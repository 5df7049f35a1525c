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
  mcplex doctor -c mcplex.toml        try every server alone, and say what is wrong
  mcplex stdio -c mcplex.toml         what a desktop client starts by itself
  mcplex reload                       apply a changed configuration, now; or kill -HUP PID
  mcplex status                       how every server of the running mcplex is
  mcplex top                          the same as it changes, on a whole terminal
  mcplex why telegram                 why one is down, and what to do
  mcplex reset telegram               forget its deaths and start it, now
  mcplex login mail                   let mcplex use a server on your behalf

Exit codes:
  0 done   1 failed   2 wrong command line   3 wrong configuration   4 address not available
  5 no mcplex runs   6 no such upstream   7 another command is under way
  8 mcplex runs, and does not answer   9 `mcplex doctor` found something broken
  129, 130, 143 ended at once by a second SIGHUP (of a closed terminal), SIGINT or SIGTERM";

const STATUS: &str = "\
Health:
  ready       calls pass                       idle      started by the next call
  degraded    runs, but does not answer pings  tripped   died too often, and rests
  recovering  between two lives                stopped   by somebody, or disabled

Examples:
  mcplex status
  mcplex status --watch
  mcplex status --json | jq '.upstreams[] | select(.health == \"tripped\")'";

const TOP: &str = "\
Without a terminal it fails with exit code 1; `mcplex status --watch` needs none. NO_COLOR=1 leaves
out colours. Ctrl-Z gives the terminal to the shell, `fg` takes it again. When mcplex is started anew, it is found again.

Examples:
  mcplex top
  mcplex top -c mcplex.toml";

const CRASHES: &str = "\
Examples:
  mcplex crashes                      all that are kept, the newest first
  mcplex crashes show telegram        the newest of one upstream
  mcplex crashes show 'telegram#3'    the third newest
  mcplex crashes show telegram --json";

const SERVICE: &str = "\
Examples:
  mcplex service install --now        write the unit, enable it, start it
  mcplex service install --print      only show the unit
  mcplex service status --json
  mcplex service uninstall";

const LOGIN: &str = "\
Examples:
  mcplex login mail
  mcplex login mail --browser
  mcplex login mail --port 7777       the issuer knows http://127.0.0.1:7777/callback
  mcplex login mail --json | jq -r 'select(.state == \"asked\").url'";

const DOCTOR: &str = "\
Examples:
  mcplex doctor
  mcplex doctor --upstream mail --upstream files
  mcplex doctor --json | jq '.upstreams[] | select(.level == \"broken\")'";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serves clients over Streamable HTTP (the default).
    Serve(GatewayOptions),
    /// Serves the one client that started mcplex, over stdin and stdout.
    ///
    /// When an mcplex of the same configuration runs already, it attaches to that one, so that all
    /// clients share one set of servers. Otherwise it runs the servers itself, serves those who
    /// attach as well, and ends with all servers when stdin has closed and the others have left.
    /// When the one it is attached to ends or is killed, it attaches to the next or becomes it, and
    /// its client goes on: calls in flight fail once, all lists are announced as changed, and a log
    /// level or subscriptions have to be set anew.
    /// With --listen it always runs its own and serves HTTP clients too.
    Stdio(StdioOptions),
    /// Shows every upstream of the running mcplex.
    #[command(after_help = STATUS)]
    Status(StatusOptions),
    /// Shows the running mcplex on a whole terminal, as it changes.
    ///
    /// Every upstream with its health, process, deaths, calls and last error; one of them with its
    /// lives, last words and the figures of its tools; events as they come. `r` resets what is
    /// selected, `s` stops or starts it, `?` lists all keys, `q` leaves. Leaving ends nothing.
    #[command(after_help = TOP)]
    Top(TopOptions),
    /// Starts upstreams that are stopped.
    ///
    /// Waits until they are ready, or says why they are not.
    #[command(after_help = "Example:\n  mcplex start files")]
    Start(ActOptions),
    /// Ends upstreams; they stay stopped until they are started.
    ///
    /// Waits until nothing of them is left. Their calls fail at once.
    #[command(after_help = "Examples:\n  mcplex stop files\n  mcplex stop --all")]
    Stop(ActOptions),
    /// Ends upstreams and starts them again at once.
    ///
    /// Their deaths stay remembered; `mcplex reset` forgets them.
    #[command(after_help = "Example:\n  mcplex restart files git")]
    Restart(ActOptions),
    /// Forgets the deaths of upstreams, closes their breakers, and starts them at once.
    ///
    /// With --all: every one that is not stopped.
    #[command(after_help = "Examples:\n  mcplex reset telegram\n  mcplex reset --all")]
    Reset(ActOptions),
    /// Has the running mcplex read its configuration again, and says what it applied.
    ///
    /// Without it a change is applied as well, once the file was left alone for a moment. A bad file
    /// changes nothing, and the exit code is 3. Settings that need a restart of mcplex are named, and
    /// everything else is applied: the exit code stays 0. Scripts find them with --json under
    /// `needs_restart`.
    #[command(after_help = "Example:\n  mcplex reload -c mcplex.toml")]
    Reload(ReloadOptions),
    /// Says in one paragraph why an upstream is down, what happens next, and what to do.
    #[command(after_help = "Example:\n  mcplex why telegram")]
    Why(WhyOptions),
    /// Shows what an upstream wrote to its stderr, also when mcplex does not run.
    #[command(
        after_help = "Examples:\n  mcplex logs telegram\n  mcplex logs telegram -n 500\n  mcplex logs telegram -f"
    )]
    Logs(LogsOptions),
    /// Lists the deaths of upstreams, also when mcplex does not run.
    #[command(after_help = CRASHES)]
    Crashes(CrashesOptions),
    /// Lets mcplex use a server on your behalf: you agree in a browser, once.
    ///
    /// Prints an address to open, waits for the answer on this machine, and keeps what comes of it
    /// in the state directory, where only you can read it. An mcplex that runs uses it at once. No
    /// `[servers.auth]` is needed where the server says all that has to be known.
    #[command(after_help = LOGIN)]
    Login(LoginOptions),
    /// Forgets what a login has brought, here and at who handed it out.
    #[command(after_help = "Example:\n  mcplex logout mail")]
    Logout(LogoutOptions),
    /// Checks the configuration and says what would run.
    Check(CheckOptions),
    /// Looks at everything a gateway needs, and says what is wrong and what to do about it.
    ///
    /// Without a running mcplex of this configuration each server is started alone, asked for its
    /// lists, and ended. With one, it looks at that one, and tries only servers that are given up.
    /// Warnings alone are no failure: the exit code is 0 then, and 9 when something is broken.
    #[command(after_help = DOCTOR)]
    Doctor(DoctorOptions),
    /// Runs mcplex in the background of your own session, by systemd or launchd.
    #[command(after_help = SERVICE)]
    Service {
        #[command(subcommand)]
        command: ServiceCommand,
    },
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
pub(crate) struct StdioOptions {
    #[command(flatten)]
    pub(crate) gateway: GatewayOptions,
    /// Runs its own servers, whoever else runs.
    #[arg(long)]
    pub(crate) no_attach: bool,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct StatusOptions {
    #[command(flatten)]
    pub(crate) config: ConfigOptions,
    /// Writes JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Shows it again every second, until Ctrl-C.
    #[arg(short, long)]
    pub(crate) watch: bool,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct TopOptions {
    #[command(flatten)]
    pub(crate) config: ConfigOptions,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct ActOptions {
    /// Which ones.
    #[arg(value_name = "UPSTREAM", required_unless_present = "all", conflicts_with = "all")]
    pub(crate) upstreams: Vec<String>,
    /// All it makes sense for.
    #[arg(long)]
    pub(crate) all: bool,
    /// Does not wait for the effect.
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Writes JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) config: ConfigOptions,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct ReloadOptions {
    #[command(flatten)]
    pub(crate) config: ConfigOptions,
    /// Writes JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct WhyOptions {
    /// Which one; also one of its children by its label, such as `mail/2`.
    pub(crate) upstream: String,
    /// Writes JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) config: ConfigOptions,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct LogsOptions {
    /// Whose.
    pub(crate) upstream: String,
    /// How many of the last lines.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 50)]
    pub(crate) lines: usize,
    /// Goes on with what comes, until Ctrl-C.
    #[arg(short, long)]
    pub(crate) follow: bool,
    #[command(flatten)]
    pub(crate) config: ConfigOptions,
}

#[derive(Clone, Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct CrashesOptions {
    #[command(subcommand)]
    pub(crate) command: Option<CrashesCommand>,
    /// Only those of this upstream.
    pub(crate) upstream: Option<String>,
    /// Writes JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) config: ConfigOptions,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum CrashesCommand {
    /// Shows everything that is known of one death.
    Show {
        /// Whose: NAME is its newest, NAME#2 the one before.
        #[arg(value_name = "UPSTREAM[#N]")]
        which: String,
        /// Writes the whole report as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigOptions,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ServiceCommand {
    /// Writes the unit of the user's own session, and enables it.
    ///
    /// It keeps the PATH of this shell, so that npx, uvx and the like are found. Run it again after
    /// PATH or the place of mcplex has changed.
    Install(InstallOptions),
    /// Ends the service, and removes its unit.
    Uninstall(ServiceNameOptions),
    /// Says whether it is installed, enabled, active, and answers.
    ///
    /// The exit code is 0 when it answers, 5 when it does not run, 8 when it runs and is silent.
    Status(ServiceStatusOptions),
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct ServiceNameOptions {
    /// Tells several services of one user apart.
    #[arg(long, default_value = "mcplex", value_parser = service_name)]
    pub(crate) name: String,
}

/// It becomes the name of a file and of a unit.
fn service_name(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if (1..=64).contains(&text.len()) && text.chars().all(is_plain) {
        return Ok(text.to_owned());
    }
    Err("expected 1 to 64 letters, digits, `-` or `_`".to_owned())
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct InstallOptions {
    #[command(flatten)]
    pub(crate) config: ConfigOptions,
    #[command(flatten)]
    pub(crate) name: ServiceNameOptions,
    /// Starts it at once.
    #[arg(long)]
    pub(crate) now: bool,
    /// Prints what would be written, and does nothing.
    #[arg(long, conflicts_with = "now")]
    pub(crate) print: bool,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct ServiceStatusOptions {
    #[command(flatten)]
    pub(crate) name: ServiceNameOptions,
    /// Writes JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct DoctorOptions {
    #[command(flatten)]
    pub(crate) config: ConfigOptions,
    /// Only this upstream; may be given several times.
    #[arg(short, long, value_name = "NAME")]
    pub(crate) upstream: Vec<String>,
    /// How long the trial of one server may take, instead of what its own limits allow.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) timeout: Option<u64>,
    /// Tries servers that run as well, which starts a second copy of each for a moment.
    #[arg(long)]
    pub(crate) trial: bool,
    /// Writes JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct LoginOptions {
    /// Which one; it has a `url`.
    pub(crate) upstream: String,
    /// Opens the address in a browser: what BROWSER names, or the system's own.
    #[arg(long)]
    pub(crate) browser: bool,
    /// Where the answer is awaited, for issuers that were told an exact address; else a free port.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
    /// How long to wait for the answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) timeout: u64,
    /// Writes JSON, an object in each line: first the address to open, then what came of it.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) config: ConfigOptions,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct LogoutOptions {
    /// Which one.
    pub(crate) upstream: String,
    /// Writes JSON, an object in each line.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) config: ConfigOptions,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct CheckOptions {
    #[command(flatten)]
    pub(crate) config: ConfigOptions,
    /// Writes JSON, with every setting and where it came from.
    #[arg(long)]
    pub(crate) json: bool,
}
