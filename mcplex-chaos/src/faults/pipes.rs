//! Servers that treat their pipes badly, and clients that leave in the midst of things.

use super::{FAST, death::victim};
use crate::{
    fault::{Case, Fault},
    outcome::{Before, says},
    patience::{self, LONG},
};
use anyhow::ensure;
use serde_json::json;
use std::{io::Write as _, time::Duration};

pub(super) const FAULTS: &[Fault] = &[
    Fault::new(
        "F62",
        "never-reads-stdin",
        "a write that is stuck for 30 s is a death; its calls fail, nobody else's",
        never_reads,
    )
    .within(90),
    Fault::new(
        "F63",
        "slow-reader-client-gone",
        "a client that leaves mid-write cuts no message, and the next one is whole",
        slow_reader,
    )
    .quick(),
    Fault::new("F64", "close-stdout-alive", "one death, its processes are ended", close_stdout)
        .quick(),
    Fault::new("F65", "close-stdin-alive", "one death at the next write", close_stdin).quick(),
    Fault::new("F66", "tiny-pipe", "300 KB go through pipes of 4 KiB", tiny_pipes).quick(),
];

fn never_reads(case: &Case) -> anyhow::Result<String> {
    let (gateway, mut client) = victim(case, &["--stop-reading", "--on-call"], FAST)?;
    let before = Before::of(&gateway, &mut client, "bad")?;
    // The first makes it ill, the second fills the pipe.
    let first = client.begin("bad__echo", &json!({}))?;
    let call = client.begin("bad__echo", &json!({ "long": "x".repeat(300_000) }))?;
    let (death, outcome) = before.ends_within(&gateway, &mut client, 2, Duration::from_secs(60))?;
    says(&death, &["read none of its input for 30 s"])?;
    for call in [first, call] {
        let code = call.answer()?.code();
        ensure!(code == mcplex_proto::error::UPSTREAM_DIED, "a call got {code}");
    }
    drop(client);
    Ok(format!("{outcome}; {}", gateway.end()?))
}

fn slow_reader(case: &Case) -> anyhow::Result<String> {
    // 4 KiB every 5 ms: a message of 1 MiB takes more than a second.
    let (gateway, mut client) = victim(case, &["--read-slowly", "5"], FAST)?;
    let long = "x".repeat(1 << 20);
    for part in [0.3, 0.9, 1.0] {
        // A client that leaves within its own request, or while the server still reads it.
        let (mut socket, request) = client.raw("bad__echo", &json!({ "long": long }))?;
        let length = (request.len() as f64 * part) as usize;
        socket.write_all(&request.as_bytes()[..length.min(request.len())])?;
        patience::nothing_happens_for(Duration::from_millis(200));
        socket.shutdown(std::net::Shutdown::Both)?;
        let text = client.call("bad__echo", &json!({ "next": part }))?;
        ensure!(text.good()?.contains("next"), "{text:?}");
    }
    let gone = client.begin("bad__echo", &json!({ "long": long }))?;
    patience::nothing_happens_for(Duration::from_millis(50));
    gone.vanish();
    client.call("bad__echo", &json!({}))?.good()?;
    let deaths = gateway.count("bad", "upstream died");
    ensure!(deaths == 0, "{deaths} deaths");
    let settled = gateway.settles(2)?;
    drop(client);
    Ok(format!("4 clients left, 4 next calls answered; {settled}; {}", gateway.end()?))
}

/// It is killed once, and the next life is as bad, until the breaker is told to bear no more.
fn close_stdout(case: &Case) -> anyhow::Result<String> {
    let flags = ["--close-stdout", "--ignore-eof"];
    let gateway =
        crate::setup::Setup::new(case)?.server("bad", &flags, "max_deaths = 0").start()?;
    let death = gateway.wait_event("bad", "upstream died")?;
    says(&death, &["closed its output"])?;
    gateway.wait_event("bad", "upstream tripped")?;
    let settled = gateway.settles(1)?;
    Ok(format!("«{}»; {settled}; {}", death.reason(), gateway.end()?))
}

fn close_stdin(case: &Case) -> anyhow::Result<String> {
    let (gateway, mut client) = victim(case, &["--close-stdin", "--on-call"], FAST)?;
    let before = Before::of(&gateway, &mut client, "bad")?;
    // The first makes it ill, the next one finds its input closed.
    let first = client.begin("bad__echo", &json!({}))?;
    let arrived =
        patience::until(LONG, || Ok((!gateway.lines("calls.bad").is_empty()).then_some(())))?;
    ensure!(arrived.is_some(), "the call does not arrive");
    let next = client.begin("bad__echo", &json!({}))?;
    let (death, outcome) = before.ends(&gateway, &mut client, 2)?;
    says(&death, &["could not be written to"])?;
    for call in [first, next] {
        let code = call.answer()?.code();
        ensure!(code == mcplex_proto::error::UPSTREAM_DIED, "a call got {code}");
    }
    drop(client);
    Ok(format!("«{}»; {outcome}; {}", death.reason(), gateway.end()?))
}

fn tiny_pipes(case: &Case) -> anyhow::Result<String> {
    let (gateway, mut client) = victim(case, &["--tiny-pipes"], FAST)?;
    let long = "x".repeat(300_000);
    for _ in 0..5 {
        let answer = client.call("bad__echo", &json!({ "long": long }))?;
        ensure!(answer.good()?.len() > long.len(), "a part is lost");
    }
    let calls: Vec<_> = (0..8)
        .map(|_| client.begin("bad__echo", &json!({ "long": long })))
        .collect::<Result<_, _>>()?;
    for call in &calls {
        call.answer()?.good()?;
    }
    let deaths = gateway.count("bad", "upstream died");
    ensure!(deaths == 0, "{deaths} deaths");
    let settled = gateway.settles(2)?;
    drop((client, calls));
    Ok(format!("13 calls of 300 KB; {settled}; {}", gateway.end()?))
}
