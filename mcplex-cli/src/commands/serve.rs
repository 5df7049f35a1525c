//! `mcplex serve`: the gateway over HTTP.

use crate::{
    args::GatewayOptions,
    exit::{Code, Failure},
    gateway::{self, Front},
    port,
    reach::{self, Place},
    settings::{self, Settings},
    signals::Signals,
};
use std::{future::Future, io::Write as _, net::SocketAddr, time::Duration};
use tokio::runtime::Runtime;

/// How long the last spans may take to leave.
const FLUSH: Duration = Duration::from_secs(3);

/// Threads for files, which a disk that does not answer may hold for long.
const FILE_THREADS: usize = 8;

/// Longer than mcplex runs.
const FOREVER: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

pub(crate) fn run(options: GatewayOptions) -> Result<(), Failure> {
    let settings = settings::load(&options.config, options.listen, &options.log)?;
    run_gateway(&settings, runtime()?, async {
        // Before anybody knows of this process, because a SIGHUP would end it.
        let signals = Signals::listen()?;
        let listener = port::bind(settings.config().gateway.listen)?;
        let sockets = match reach::arrive(&settings, false).await {
            Place::Own(own) => own.into_sockets(),
            Place::Attached(_) => None,
        };
        greet(&settings, listener.local_addr());
        let front = Front { http: Some(listener), stdio: None, sockets };
        gateway::run(&settings, front, signals).await
    })
}

/// Everything of mcplex runs on one thread: it waits for pipes and sockets, and hands almost every
/// message from one to the other; a second thread would only add the cost of waking it.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(FOREVER)
        .max_blocking_threads(FILE_THREADS)
        .build()
        .map_err(|error| {
            Failure::from_error(Code::Failed, "the runtime cannot be started", &error)
        })?;
    // The first thread for files starts now and stays: where the host allows no more threads, the
    // runtime would panic at the first file it reads, and end every upstream with it.
    drop(runtime.spawn_blocking(|| ()));
    Ok(runtime)
}

/// Runs a gateway with logs and traces.
pub(crate) fn run_gateway(
    settings: &Settings,
    runtime: Runtime,
    gateway: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let telemetry = settings::install_telemetry(settings)?;
    let result = runtime.block_on(gateway);
    // A thread that waits for stdin of a terminal may wait for ever.
    runtime.shutdown_timeout(Duration::from_millis(100));
    if let Err(error) = telemetry.shutdown(FLUSH) {
        tracing::warn!(%error, "some of the last spans are lost");
    }
    settings.journals.flush();
    result
}

/// Says where clients connect and what to do next.
fn greet(settings: &Settings, address: SocketAddr) {
    let config = settings.config();
    let url = format!("http://{address}{}", config.gateway.path);
    let enabled = config.servers.iter().filter(|server| server.enabled).count();
    let mut text = format!(
        "mcplex {} serves {enabled} upstreams at\n\n    {url}\n\n",
        env!("CARGO_PKG_VERSION")
    );
    if !address.ip().is_loopback() {
        text.push_str(match config.auth.issuers.is_empty() {
            true => "Other machines can reach this address, and nothing asks who they are.\n\n",
            false => "Other machines can reach this address; clients need a token.\n\n",
        });
        if config.gateway.allowed_hosts.is_empty() {
            text.push_str(
                "All requests are refused as yet: write the names clients use for this machine \
                 into `gateway.allowed_hosts`.\n\n",
            );
        }
    }
    let rest = match &settings.file {
        Some(file) => format!("The configuration is {}.\n", file.display()),
        None => demo(&url),
    };
    text.push_str(&rest);
    // Nobody may be there to read it.
    let _is_read = std::io::stderr().write_all(text.as_bytes());
}

fn demo(url: &str) -> String {
    format!(
        "There is no configuration yet, so these are two demo servers that are mcplex itself.

Add it to your client (Claude Code, Cursor, VS Code and others read this form):

    {{ \"mcpServers\": {{ \"mcplex\": {{ \"type\": \"http\", \"url\": \"{url}\" }} }} }}

or:  claude mcp add --transport http mcplex {url}

Then ask your client to
  - call `add_note`, then `list_notes`
  - call `crash`, and watch below how the server `fragile` is started again
  - call `crash` six times within a minute, and watch its breaker trip

Next: write your own servers into mcplex.toml, then run `mcplex serve -c mcplex.toml`:

    [[servers]]
    name = \"files\"
    command = \"npx\"
    args = [\"-y\", \"@modelcontextprotocol/server-filesystem\", \".\"]

`mcplex check` says what it would run; Ctrl-C ends mcplex and all its servers.

"
    )
}
