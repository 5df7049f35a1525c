//! `mcplex logs`: what an upstream wrote to its stderr.

use crate::{
    args::LogsOptions,
    console,
    exit::{Code, Failure, print},
};
use mcplex_admin::{
    client::{Client, escaped},
    logs::{Follower, read_tail, upstreams},
};
use std::time::Duration;

/// How often a log that another process may write is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub(crate) fn run(options: &LogsOptions) -> Result<(), Failure> {
    console::run(async {
        match console::connect(&options.config).await {
            Ok(client) => ask(client, options).await,
            Err(failure) if failure.code() == Code::NotRunning => read(options, failure).await,
            Err(failure) => Err(failure),
        }
    })
}

/// From the mcplex that runs.
async fn ask(mut client: Client, options: &LogsOptions) -> Result<(), Failure> {
    let LogsOptions { upstream, lines, .. } = options;
    let follow = u8::from(options.follow);
    let path = format!("/v1/upstreams/{}/logs?lines={lines}&follow={follow}", escaped(upstream));
    let mut pieces = client.stream(&path).await.map_err(|error| console::failure(&error))?;
    if options.follow {
        while let Some(piece) = pieces.next().await {
            print(&String::from_utf8_lossy(&piece))?;
        }
        return Err(Failure::new(Code::NotRunning, "mcplex has ended"));
    }
    while let Some(piece) = pieces.next_soon().await.map_err(|error| console::failure(&error))? {
        print(&String::from_utf8_lossy(&piece))?;
    }
    Ok(())
}

/// From the disk, when nobody runs.
async fn read(options: &LogsOptions, not_running: Failure) -> Result<(), Failure> {
    let folder = console::state(&options.config)?.map(|state| state.join("logs"));
    let Some(folder) = folder.filter(|folder| folder.is_dir()) else { return Err(not_running) };
    let name = &options.upstream;
    let known = console::known_names(&options.config, upstreams(&folder));
    // It becomes part of paths.
    if !known.contains(name) {
        return Err(console::unknown(name, &known));
    }
    let unreadable = |error| Failure::from_error(Code::Failed, "the log cannot be read", &error);
    // Its place before the last lines, so that none is missed in between.
    let mut follower = Follower::at_end(&folder, name).map_err(unreadable)?;
    show(&read_tail(&folder, name, options.lines).map_err(unreadable)?)?;
    if !options.follow {
        return Ok(());
    }
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        show(&follower.poll().map_err(unreadable)?)?;
    }
}

fn show(lines: &[String]) -> Result<(), Failure> {
    let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    print(&text)
}
