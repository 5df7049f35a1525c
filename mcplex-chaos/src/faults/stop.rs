//! Servers that do not leave when they are told to.

use super::death::victim;
use crate::{
    fault::{Case, Fault},
    gateway::Gateway,
    patience,
    setup::Setup,
};
use anyhow::ensure;
use rustix::process::Signal;
use serde_json::json;
use std::time::{Duration, Instant};

pub(super) const FAULTS: &[Fault] = &[
    Fault::new("F47", "ignore-eof", "SIGTERM after 2 s ends it", ignore_eof).quick(),
    Fault::new("F48", "ignore-eof-and-term", "SIGKILL after 4 s, gone within 6 s", ignore_term)
        .quick(),
    Fault::new(
        "F49",
        "stopped-server",
        "SIGCONT follows SIGTERM, so it ends before SIGKILL",
        stopped,
    )
    .quick(),
    Fault::new(
        "F50",
        "flush-on-exit",
        "its last 1 MiB is read, so it leaves by itself within 2 s",
        flush,
    )
    .quick(),
    Fault::new(
        "F51",
        "stop-with-blocked-writer",
        "a write that is stuck delays nothing: gone within 6 s",
        blocked,
    )
    .quick(),
    Fault::new("F52", "stop-all-100", "100 deaf servers end side by side within 6 s", all_100)
        .alone()
        .within(120),
];

/// Ends mcplex, and tells how long its servers took.
fn end(mut gateway: Gateway, at_least: u64, at_most: u64) -> anyhow::Result<String> {
    gateway.twin_was_fine()?;
    let began = Instant::now();
    gateway.signal(Signal::TERM)?;
    let status = gateway.ended(Duration::from_secs(20))?;
    let took = began.elapsed();
    gateway.leaves_nothing(Duration::from_millis(500))?;
    ensure!(status.success(), "mcplex ended with {status}");
    let ms = u64::try_from(took.as_millis())?;
    ensure!((at_least..=at_most).contains(&ms), "it took {ms} ms, not {at_least} to {at_most}");
    Ok(format!("all gone after {ms} ms; {}", gateway.check_ended()?))
}

fn ignore_eof(case: &Case) -> anyhow::Result<String> {
    let (gateway, client) = victim(case, &["--ignore-eof"], "")?;
    drop(client);
    end(gateway, 1_900, 3_900)
}

fn ignore_term(case: &Case) -> anyhow::Result<String> {
    let (gateway, client) = victim(case, &["--ignore-sigterm"], "")?;
    drop(client);
    end(gateway, 3_900, 6_000)
}

fn stopped(case: &Case) -> anyhow::Result<String> {
    let gateway = Setup::new(case)?.server("bad", &["--stop-itself"], "").start()?;
    gateway.wait_event("bad", "upstream connected")?;
    let stops = patience::until(Duration::from_secs(10), || {
        let all = gateway.processes_of("bad")?;
        Ok(all.iter().any(|one| one.state == 'T').then_some(()))
    })?;
    ensure!(stops.is_some(), "the server did not stop itself");
    end(gateway, 1_900, 3_900)
}

fn flush(case: &Case) -> anyhow::Result<String> {
    let (gateway, client) = victim(case, &["--flush-on-eof", "1048576"], "")?;
    drop(client);
    end(gateway, 0, 1_900)
}

fn blocked(case: &Case) -> anyhow::Result<String> {
    let setup = Setup::new(case)?.head("[gateway]\ndrain = \"200ms\"");
    let gateway =
        setup.server("bad", &["--stop-reading", "--on-call", "--ignore-eof"], "").start()?;
    let mut client = gateway.client_of(&["bad__echo"])?;
    let _first = client.begin("bad__echo", &json!({}))?;
    let _stuck = client.begin("bad__echo", &json!({ "long": "x".repeat(300_000) }))?;
    patience::nothing_happens_for(Duration::from_millis(300));
    end(gateway, 1_900, 6_000)
}

fn all_100(case: &Case) -> anyhow::Result<String> {
    const COUNT: usize = 100;
    let mut setup = Setup::new(case)?;
    let names: Vec<_> = (1..=COUNT).map(|n| format!("s{n}")).collect();
    for name in &names {
        setup = setup.server(name, &["--ignore-sigterm"], "");
    }
    let gateway = setup.start()?;
    for name in &names {
        gateway.wait_event(name, "upstream connected")?;
    }
    // ε: a hundred ends on two processors.
    end(gateway, 3_900, 7_500)
}
