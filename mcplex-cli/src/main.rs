//! The `mcplex` command: one MCP endpoint in front of many MCP servers, supervised.

mod args;
mod carry;
mod clock;
mod commands;
mod console;
mod desk;
mod doctor;
mod doorman;
mod exit;
mod family;
mod file_watch;
mod fleet;
mod gateway;
mod host;
mod journals;
mod login;
mod notify;
mod panel;
mod places;
mod port;
mod reach;
mod reload;
mod remembered;
mod service;
mod settings;
mod signals;
mod tokens;
mod top;
mod verdict;
mod wire;

use crate::{
    args::{Args, Command},
    exit::Failure,
};
use clap::Parser as _;
use mcplex_admin::operator::Verb;
use std::process::ExitCode;

fn main() -> ExitCode {
    // A start as a guard is told by its arguments; it knows neither clap nor a runtime.
    if let Some(code) = mcplex_transport_stdio::guard::run_if_guard() {
        return code;
    }
    let args = Args::parse();
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(args: Args) -> Result<(), Failure> {
    match args.command.unwrap_or_default() {
        Command::Serve(options) => commands::serve::run(options),
        Command::Stdio(options) => commands::stdio::run(options),
        Command::Check(options) => commands::check::run(&options),
        Command::Doctor(options) => commands::doctor::run(&options),
        Command::Login(options) => commands::login::log_in(&options),
        Command::Logout(options) => commands::login::log_out(&options),
        Command::Service { command } => commands::service::run(&command),
        Command::Status(options) => commands::status::run(&options),
        Command::Top(options) => commands::top::run(&options),
        Command::Start(options) => commands::act::run(Verb::Start, &options),
        Command::Stop(options) => commands::act::run(Verb::Stop, &options),
        Command::Restart(options) => commands::act::run(Verb::Restart, &options),
        Command::Reset(options) => commands::act::run(Verb::Reset, &options),
        Command::Reload(options) => commands::reload::run(&options),
        Command::Why(options) => commands::why::run(&options),
        Command::Logs(options) => commands::logs::run(&options),
        Command::Crashes(options) => commands::crashes::run(options),
        Command::DemoServer { name } => commands::demo_server::run(name),
        Command::Completions { shell } => commands::pages::completions(shell),
        Command::Man => commands::pages::man(),
    }
}
