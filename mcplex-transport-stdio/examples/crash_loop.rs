//! A crash loop of any command, given up on the sixth death in a minute, with nothing but this crate.
//!
//! ```text
//! cargo run -p mcplex-transport-stdio --example crash_loop -- sh -c 'echo no license >&2; exit 3'
//! ```
//!
//! Backoff, hangs, trials and calls are the supervisor's; its example of this name has them all.

use mcplex_proto::{
    transport::{Grace, Transport as _},
    upstream::UpstreamName,
};
use mcplex_transport_stdio::{
    Command, StdioTransport,
    guard::{Guard, run_if_guard},
};
use std::{collections::VecDeque, error::Error, process::ExitCode, time::Duration};
use tokio::time::{Instant, sleep};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    // This program is its own guard, so this comes before everything else.
    if let Some(code) = run_if_guard() {
        return Ok(code);
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run())
}

#[expect(clippy::print_stdout, reason = "an example talks to a person")]
#[expect(clippy::disallowed_methods, reason = "this example is its own driver")]
async fn run() -> Result<ExitCode, Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let program = words.next().unwrap_or_else(|| "false".to_owned());
    let command = Command::new(UpstreamName::new("example")?, program).with_args(words);
    let transport =
        StdioTransport::new(command.with_guard(Guard::of_this_program(Grace::default())));
    let mut deaths = VecDeque::new();
    while deaths.len() <= 5 {
        let mut connection = transport.connect().await?;
        let ending = connection.lifeline.ended().await;
        let said = connection.lifeline.last_words().pop().map(|word| word.text);
        drop((connection.outgoing, connection.incoming));
        connection.lifeline.close(Grace::default()).await;
        deaths.push_back(Instant::now());
        deaths.retain(|death| death.elapsed() < Duration::from_secs(60));
        println!("death {} in a minute: {ending}; {}", deaths.len(), said.unwrap_or_default());
        sleep(Duration::from_millis(250)).await;
    }
    println!("tripped: it is not started again");
    Ok(ExitCode::FAILURE)
}
