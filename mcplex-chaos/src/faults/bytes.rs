//! Servers that write what nobody should.

use super::{FAST, death::victim};
use crate::{
    client::{Answer, Client},
    fault::{Case, Fault},
    gateway::Gateway,
    outcome::{Before, says},
    patience::{self, LONG},
    setup::Setup,
};
use anyhow::{bail, ensure};
use mcplex_testkit::census;
use serde_json::json;
use std::time::{Duration, Instant};

pub(super) const FAULTS: &[Fault] = &[
    Fault::new(
        "F53",
        "stderr-flood",
        "1 GiB is always read on, at a bounded cost in memory and log",
        stderr_flood,
    )
    .alone()
    .within(180),
    Fault::new(
        "F54",
        "stdout-no-newline",
        "1 GiB without a line end: one death at 16 MiB, memory stays bounded",
        no_newline,
    ),
    Fault::new(
        "F55",
        "line-100mib",
        "the call that it answers fails at once and nothing else does; what is no answer is a death",
        long_line,
    ),
    Fault::new("F56", "invalid-utf8", "that line is dropped, the connection lives", bad_utf8)
        .quick(),
    Fault::new("F57", "bom-crlf-blank", "accepted", windows_lines).quick(),
    Fault::new(
        "F58",
        "json-garbage-flood",
        "dropped and told rarely; more than 1000 a second for 5 s is a death",
        garbage,
    )
    .within(90),
    Fault::new(
        "F59",
        "unknown-and-double-answers",
        "dropped; every caller gets its one answer",
        answer_twice,
    )
    .quick(),
    Fault::new(
        "F60",
        "deep-json",
        "100 000 levels are one bad line, or one message passed on, and no overflow",
        deep,
    )
    .quick(),
    Fault::new(
        "F61",
        "notification-flood",
        "a client that does not read misses the oldest, counted, and gets the newest",
        notifications,
    )
    .within(90),
];

/// Resident memory of mcplex, in MiB.
fn memory(gateway: &Gateway) -> anyhow::Result<u64> {
    Ok(census::resident(gateway.pid()?)? >> 20)
}

fn works(client: &mut Client, count: usize) -> anyhow::Result<()> {
    for n in 0..count {
        client.call("bad__echo", &json!({ "n": n }))?.good()?;
    }
    Ok(())
}

fn stderr_flood(case: &Case) -> anyhow::Result<String> {
    let bytes = (1_u64 << 30).to_string();
    let began = Instant::now();
    let rules = "handshake_timeout = \"120s\"";
    let gateway = Setup::new(case)?.server("bad", &["--flood-stderr", &bytes], rules).start()?;
    let mut most = 0;
    let deadline = Instant::now() + Duration::from_secs(120);
    while gateway.count("bad", "upstream connected") == 0 {
        most = most.max(memory(&gateway)?);
        ensure!(Instant::now() < deadline, "it is stuck in its own stderr");
        std::thread::sleep(Duration::from_millis(50));
    }
    let took = began.elapsed();
    let mut client = gateway.client_of(&["bad__echo"])?;
    works(&mut client, 10)?;
    drop(client);
    ensure!(most < 100, "mcplex grew to {most} MiB");
    let words = gateway.said.words();
    let all = (1_u64 << 30) / 80;
    ensure!(words < all / 100, "{words} of {all} lines were logged, which is no limit");
    let settled = gateway.settles(2)?;
    Ok(format!(
        "read in {} s, {words} of {all} lines logged, at most {most} MiB; {settled}; {}",
        took.as_secs(),
        gateway.end()?
    ))
}

fn no_newline(case: &Case) -> anyhow::Result<String> {
    let bytes = (1_u64 << 30).to_string();
    let rules = "max_deaths = 0\nbackoff_first = \"100ms\"";
    let gateway =
        Setup::new(case)?.server("bad", &["--no-newline-flood", &bytes], rules).start()?;
    let death = gateway.wait_event("bad", "upstream died")?;
    says(&death, &["longer than 16777216 bytes"])?;
    gateway.wait_event("bad", "upstream tripped")?;
    let settled = gateway.settles(1)?;
    let memory = memory(&gateway)?;
    ensure!(memory < 100, "mcplex has {memory} MiB");
    Ok(format!("1 death, {memory} MiB afterwards; {settled}; {}", gateway.end()?))
}

fn long_line(case: &Case) -> anyhow::Result<String> {
    // Most servers write the id first, some after the result.
    let mut told = Vec::new();
    for flags in [&[][..], &["--id-last"]] {
        let (gateway, mut client) = victim(case, flags, FAST)?;
        let other = client.begin("bad__sleep", &json!({ "ms": 5_000 }))?;
        let began = Instant::now();
        let answer = client.call("bad__big", &json!({ "bytes": 100 << 20 }))?;
        let took = began.elapsed();
        let Answer::Refused(code, why) = answer else { bail!("100 MiB were passed on") };
        ensure!(why.contains("longer than 16777216 bytes"), "it failed with {code}: {why}");
        ensure!(took < Duration::from_secs(15), "it took {took:?}");
        ensure!(other.answer()?.good()? == "slept", "another call failed");
        works(&mut client, 3)?;
        let deaths = gateway.count("bad", "upstream died");
        ensure!(deaths == 0, "{deaths} deaths");
        let settled = gateway.settles(2)?;
        let memory = memory(&gateway)?;
        ensure!(memory < 100, "mcplex has {memory} MiB");
        drop(client);
        let took = took.as_millis();
        told.push(format!("«{why}» after {took} ms, {memory} MiB; {settled}; {}", gateway.end()?));
    }
    told.push(long_notification(case)?);
    Ok(told.join("; "))
}

/// A line that is too long and answers nothing: nobody knows what it was.
fn long_notification(case: &Case) -> anyhow::Result<String> {
    let bytes = (20_u32 << 20).to_string();
    let (gateway, mut client) = victim(case, &["--long-line", &bytes, "--on-call"], FAST)?;
    let before = Before::of(&gateway, &mut client, "bad")?;
    let code = client.call("bad__add", &json!({ "a": 1, "b": 2 }))?.code();
    ensure!(code == mcplex_proto::error::UPSTREAM_DIED, "the call got {code}");
    let (death, outcome) = before.ends(&gateway, &mut client, 2)?;
    says(&death, &["longer than 16777216 bytes"])?;
    drop(client);
    Ok(format!("20 MiB that answer nothing: {outcome}; {}", gateway.end()?))
}

fn lives(case: &Case, flags: &[&str], told: usize) -> anyhow::Result<String> {
    let (gateway, mut client) = victim(case, flags, FAST)?;
    works(&mut client, 20)?;
    let deaths = gateway.count("bad", "upstream died");
    ensure!(deaths == 0, "it died of it: {}", gateway.said.tail(3, " / "));
    let lines = gateway.count("bad", "upstream writes lines to its output that are no messages");
    ensure!(lines == told, "{lines} warnings, not {told}");
    let settled = gateway.settles(2)?;
    drop(client);
    Ok(format!("0 deaths, 20 calls, {told} warnings; {settled}; {}", gateway.end()?))
}

fn bad_utf8(case: &Case) -> anyhow::Result<String> {
    lives(case, &["--bad-utf8"], 1)
}

fn windows_lines(case: &Case) -> anyhow::Result<String> {
    lives(case, &["--windows-lines"], 0)
}

fn garbage(case: &Case) -> anyhow::Result<String> {
    // So many lines pass in a moment, and are borne.
    let (gateway, mut client) = victim(case, &["--garbage-flood", "20000"], FAST)?;
    works(&mut client, 10)?;
    let deaths = gateway.count("bad", "upstream died");
    ensure!(deaths == 0, "20 000 lines in a moment were a death");
    let told = gateway.count("bad", "upstream writes lines to its output that are no messages");
    ensure!(told <= 21, "{told} warnings");
    let echoes = gateway.lines("in.bad").iter().filter(|line| line.contains("\"error\"")).count();
    ensure!(echoes == 0, "{echoes} bad lines were answered, which would be a storm");
    drop(client);
    gateway.end()?;
    // More of them for ever are not.
    let rules = "max_deaths = 0";
    let gateway =
        Setup::new(case)?.server("bad", &["--garbage-flood", "2000000000"], rules).start()?;
    let ready = gateway.wait_event("bad", "upstream connected")?;
    let death = gateway.wait_event("bad", "upstream died")?;
    says(&death, &["lines that are no messages"])?;
    let after = death.at.duration_since(ready.at);
    ensure!(after > Duration::from_secs(4), "it died after {after:?}");
    let settled = gateway.settles(1)?;
    Ok(format!(
        "20 000 lines: it lives, {told} warnings; for ever: «{}» after {} ms; {settled}; {}",
        death.reason(),
        after.as_millis(),
        gateway.end()?
    ))
}

fn answer_twice(case: &Case) -> anyhow::Result<String> {
    let (gateway, mut client) = victim(case, &["--answer-twice"], FAST)?;
    let calls: Vec<_> = (0..20)
        .map(|n| client.begin("bad__sleep", &json!({ "ms": n * 5 })))
        .collect::<Result<_, _>>()?;
    works(&mut client, 50)?;
    for call in &calls {
        call.answer()?.good()?;
        ensure!(call.rest().is_empty(), "a caller was answered twice");
    }
    ensure!(gateway.count("bad", "upstream died") == 0, "it died of it");
    let settled = gateway.settles(2)?;
    drop(client);
    Ok(format!("70 calls, 70 answers; {settled}; {}", gateway.end()?))
}

fn deep(case: &Case) -> anyhow::Result<String> {
    let (gateway, mut client) = victim(case, &["--deep", "100000"], FAST)?;
    works(&mut client, 20)?;
    let deaths = gateway.count("bad", "upstream died");
    ensure!(deaths == 0, "it died of it: {}", gateway.said.tail(3, " / "));
    let settled = gateway.settles(2)?;
    drop(client);
    Ok(format!("0 deaths, 20 calls; {settled}; {}", gateway.end()?))
}

fn notifications(case: &Case) -> anyhow::Result<String> {
    let gateway = Setup::new(case)?
        .server("bad", &["--notify-flood", "100000"], FAST)
        .server("steps", &["--single"], FAST)
        .start()?;
    let mut client = gateway.client_of(&["steps__echo", "bad__echo"])?;
    works(&mut client, 20)?;
    let steps = 100_000;
    let unread = client.begin_unread("steps__progress", &json!({ "steps": steps }))?;
    let has_begun = || gateway.lines("calls.steps").iter().any(|it| it.starts_with("progress"));
    let begun = patience::until(LONG, || Ok(has_begun().then_some(())))?;
    ensure!(begun.is_some(), "the call never arrives");
    // It does one thing at a time, so all steps have come once it answers this.
    client.call("steps__echo", &json!({}))?.good()?;
    let memory = memory(&gateway)?;
    ensure!(memory < 150, "mcplex has {memory} MiB");
    let (came, answer) = unread.read()?;
    answer.good()?;
    ensure!(came.is_sorted(), "they came out of order");
    let newest: Vec<_> = (steps - 999..=steps).collect();
    ensure!(came.ends_with(&newest), "of {} that came the last are {:?}", came.len(), came.last());
    let missed = steps - u64::try_from(came.len())?;
    ensure!(missed > steps / 2, "{missed} were dropped, so they waited somewhere");
    let deaths = gateway.count("bad", "upstream died") + gateway.count("steps", "upstream died");
    ensure!(deaths == 0, "{deaths} deaths");
    drop(client);
    let settled = gateway.settles(3)?;
    let said = gateway.said.clone();
    let end = gateway.end()?;
    let counted = said.events(|event| event.value["dropped"].is_u64());
    let counted = counted.iter().filter_map(|event| event.value["dropped"].as_u64()).max();
    // What its list of tools came to while servers started made room first.
    let is_right = counted.is_some_and(|counted| (missed..=missed + 8).contains(&counted));
    ensure!(is_right, "{missed} are missing, {counted:?} were counted");
    Ok(format!(
        "10^5 steps unread: {} came, the last 1000 among them, {missed} older ones were dropped and counted, \
         {memory} MiB; {settled}; {end}",
        came.len()
    ))
}
