//! Starts any command, sees its end, and says what it used: `end [--free] <program> [argument]...`.
//!
//! It runs under a guard where there are guards, unless `--free` is said: then what the command
//! has started and what left its process group stays. Try `end sh -c 'setsid sleep 100 & exit 3'`
//! both ways, and look for the `sleep`; or kill this example with SIGKILL meanwhile.

use mcplex_proto::{
    transport::{Grace, Transport as _},
    upstream::UpstreamName,
};
use mcplex_transport_stdio::{
    Command, StdioTransport,
    guard::{Guard, run_if_guard},
};
use std::{error::Error, process::ExitCode};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    // This program is its own guard, so this comes before everything else.
    if let Some(code) = run_if_guard() {
        return Ok(code);
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run())
}

#[expect(clippy::print_stdout, reason = "an example shows what it finds")]
async fn run() -> Result<ExitCode, Box<dyn Error>> {
    let mut args = std::env::args().skip(1).peekable();
    let is_free = args.next_if_eq("--free").is_some();
    let program = args.next().ok_or("name a program")?;
    let guard = if is_free { None } else { Guard::of_this_program(Grace::default()) };
    let command = Command::new(UpstreamName::new("example")?, program).with_args(args);
    let mut connection = StdioTransport::new(command.with_guard(guard)).connect().await?;
    println!("it is process {:?}", connection.lifeline.pid());

    // Its input stays open until then, and what it writes fills a pipe and no more.
    let ending = connection.lifeline.ended().await;
    for word in connection.lifeline.last_words() {
        println!("it wrote: {}", word.text);
    }
    println!("{ending}; it used {:?}", connection.lifeline.usage());
    drop((connection.outgoing, connection.incoming));
    let closed = connection.lifeline.close(Grace::default()).await;
    println!("nothing of it is left: {}", closed.is_gone);
    Ok(ExitCode::SUCCESS)
}
