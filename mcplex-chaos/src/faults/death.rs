//! Servers that die.

use super::{FAST, host::Cgroup, start::six_starts};
use crate::{
    client::Client,
    fault::{Case, Fault},
    gateway::Gateway,
    outcome::{Before, says},
    patience::{self, LONG},
    setup::Setup,
};
use anyhow::{Context as _, ensure};
use mcplex_proto::{attr, error};
use mcplex_testkit::{census, otlp};
use rustix::process::Signal;
use serde_json::json;
use std::time::Duration;

pub(super) const FAULTS: &[Fault] = &[
    Fault::new("F18", "crash-after-ready", "6 starts and 1 trip, as F09", crash_after_ready)
        .quick(),
    Fault::new(
        "F22",
        "killed-from-outside",
        "one death that names the signal, also in its span; it comes back; a lack of memory is told",
        killed,
    )
    .quick(),
    Fault::new(
        "F23",
        "die-in-flight",
        "10 calls fail with -31003, none ran twice, none is sent again",
        in_flight,
    )
    .quick(),
    Fault::new(
        "F24",
        "poison-call",
        "each such call runs once and is never sent again; after 2 deaths it is the suspect",
        poison,
    )
    .quick(),
    Fault::new(
        "F25",
        "die-during-trial",
        "tripped again, one start per trial, each cool-down twice the one before",
        trial,
    )
    .within(90),
    Fault::new(
        "F26",
        "recover",
        "ready at the 3rd trial, the breaker closes, at most one list_changed",
        recover,
    )
    .quick(),
    Fault::new("F27", "flap-list", "10 lives with the same tools, no list_changed", flap).quick(),
    Fault::new(
        "F29",
        "double-signal",
        "exit, end of output and write error together are one death",
        together,
    )
    .quick(),
];

fn crash_after_ready(case: &Case) -> anyhow::Result<String> {
    six_starts(case, &["--die-after", "500"], FAST)
}

/// A gateway with a good server `bad`, and a client that sees it.
pub(super) fn victim(
    case: &Case,
    flags: &[&str],
    rules: &str,
) -> anyhow::Result<(Gateway, Client)> {
    let gateway = Setup::new(case)?.server("bad", flags, rules).start()?;
    gateway.wait_event("bad", "upstream connected")?;
    let client = gateway.client_of(&["bad__echo"])?;
    Ok((gateway, client))
}

fn killed(case: &Case) -> anyhow::Result<String> {
    let collector = otlp::Receiver::start()?;
    let setup = Setup::new(case)?
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())
        .env("OTEL_BSP_SCHEDULE_DELAY", "100")
        .server("bad", &[], FAST);
    let mut gateway = setup.start()?;
    gateway.wait_event("bad", "upstream connected")?;
    let mut client = gateway.client_of(&["bad__echo"])?;
    // The exporter has opened what it needs once a span has arrived.
    let came = patience::until(LONG, || Ok((!collector.spans().is_empty()).then_some(())))?;
    ensure!(came.is_some(), "no span arrives");
    gateway.rebase(2)?;
    let mut seen = String::new();
    for (signal, name) in
        [(Signal::KILL, "SIGKILL"), (Signal::SEGV, "SIGSEGV"), (Signal::ABORT, "SIGABRT")]
    {
        let before = Before::of(&gateway, &mut client, "bad")?;
        let pid = gateway.newest("bad")?;
        census::signal(pid, signal)?;
        if signal == Signal::SEGV {
            // Rust takes the first one for a look at its own stack, and the next as it comes.
            patience::nothing_happens_for(Duration::from_millis(50));
            census::signal(pid, signal)?;
        }
        let (death, outcome) = before.ends(&gateway, &mut client, 2)?;
        says(&death, &[name])?;
        seen = outcome;
        let told = patience::until(LONG, || {
            let signals = collector.spans().into_iter();
            Ok(signals
                .filter_map(|span| Some(span.attribute(attr::PROCESS_EXIT_SIGNAL)?.to_owned()))
                .find(|told| told == name))
        })?;
        ensure!(told.is_some(), "no span names {name}");
    }
    drop(client);
    let end = gateway.end()?;
    Ok(format!("3 signals, each in a span; {seen}; {end}; {}", out_of_memory(case)?))
}

/// The kernel ends what needs more memory than there is, and mcplex says so.
fn out_of_memory(case: &Case) -> anyhow::Result<String> {
    // Groups of the second version count such ends apart from those of the host.
    let name = format!("{}-memory", case.cookie);
    let bound = "memory.limit_in_bytes";
    let Some(group) = Cgroup::make(&name, &["/sys/fs/cgroup/memory"], bound) else {
        return Ok("a lack of memory is not shown here: no cgroup can bound it".to_owned());
    };
    group.set("memory.swappiness", "0")?;
    group.set(bound, "60M")?;
    let script = format!("echo $$ > '{}'; exec {{server}}", group.entrance().display());
    let setup = Setup::new(case)?.script("bad", &script, &["--memory", "300"], "max_deaths = 0");
    let gateway = setup.start()?;
    let trip = gateway.wait_event("bad", "upstream tripped")?;
    says(&trip, &["SIGKILL", "memory ran out"])?;
    let settled = gateway.settles(1)?;
    Ok(format!("300 MiB in 60: «{}»; {settled}; {}", trip.reason(), gateway.end()?))
}

fn in_flight(case: &Case) -> anyhow::Result<String> {
    let (gateway, mut client) = victim(case, &[], FAST)?;
    let begun = |n: u64| json!({ "ms": 60_000, "n": n });
    let calls: Vec<_> =
        (0..10).map(|n| client.begin("bad__sleep", &begun(n))).collect::<Result<_, _>>()?;
    let arrived =
        patience::until(LONG, || Ok((gateway.lines("calls.bad").len() >= 10).then_some(())))?;
    ensure!(arrived.is_some(), "the calls do not arrive");
    let before = Before::of(&gateway, &mut client, "bad")?;
    census::signal(gateway.newest("bad")?, Signal::KILL)?;
    for call in &calls {
        let answer = call.answer()?;
        ensure!(answer.code() == error::UPSTREAM_DIED, "a call got {answer:?}");
    }
    let (_, outcome) = before.ends(&gateway, &mut client, 2)?;
    client.call("bad__echo", &json!({}))?.good()?;
    let ran = gateway.lines("calls.bad").iter().filter(|line| line.starts_with("sleep")).count();
    ensure!(ran == 10, "10 calls were run {ran} times");
    drop(client);
    Ok(format!("10 x -31003, 10 runs; {outcome}; {}", gateway.end()?))
}

fn poison(case: &Case) -> anyhow::Result<String> {
    let collector = otlp::Receiver::start()?;
    let gateway = Setup::new(case)?
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())
        .env("OTEL_BSP_SCHEDULE_DELAY", "100")
        .server("bad", &["--poison", "arsenic"], FAST)
        .start()?;
    let mut client = gateway.client_of(&["bad__echo"])?;
    for life in 1..=3 {
        gateway.wait_nth("bad", "upstream connected", life)?;
        let answer = client.call_as_is("bad__echo", &json!({ "drink": "arsenic" }))?;
        ensure!(answer.code() == error::UPSTREAM_DIED, "the poison got {answer:?}");
        gateway.wait_nth("bad", "upstream connected", life + 1)?;
        client.call("bad__echo", &json!({ "drink": "water" }))?.good()?;
    }
    let ran = gateway.lines("calls.bad").iter().filter(|line| line.contains("arsenic")).count();
    ensure!(ran == 3, "3 calls were run {ran} times");
    let suspects = patience::until(LONG, || {
        let spans = collector.spans();
        let named = spans.iter().filter_map(|span| span.attribute(attr::SUSPECT_NAME));
        let named: Vec<_> = named.map(str::to_owned).collect();
        Ok((!named.is_empty()).then_some(named))
    })?;
    let suspects = suspects.context("no span names a suspect")?;
    ensure!(suspects.iter().all(|name| name == "echo"), "the suspects are {suspects:?}");
    drop(client);
    Ok(format!("3 calls, 3 deaths, 3 runs; suspects {suspects:?}; {}", gateway.end()?))
}

/// One death is borne, then trials follow soon.
const TRIALS: &str = "max_deaths = 1\nwindow = \"500ms\"\ncooldown_first = \"1s\"\n\
                      cooldown_factor = 2\ncooldown_jitter = 0.0\nprobation = \"100ms\"";

fn trial(case: &Case) -> anyhow::Result<String> {
    let flags = ["--die-before-handshake", "0"];
    let gateway = Setup::new(case)?.server("bad", &flags, &format!("{FAST}\n{TRIALS}")).start()?;
    let trips = gateway.wait_events("bad", "upstream tripped", 4, 2 * LONG)?;
    let told: Vec<_> = trips.iter().map(|trip| trip.value["retry_after_s"].clone()).collect();
    ensure!(told[..4] == [json!(1), json!(2), json!(4), json!(8)], "cool-downs of {told:?} s");
    let gaps: Vec<_> =
        trips.windows(2).map(|pair| pair[1].at.duration_since(pair[0].at).as_millis()).collect();
    let least = [1_000, 2_000, 4_000];
    let is_kept = gaps.iter().zip(least).all(|(gap, least)| *gap >= least);
    ensure!(is_kept, "the cool-downs were {gaps:?} ms");
    let spawns = gateway.spawns("bad").len();
    ensure!(spawns == 5, "{spawns} starts: 2 deaths and 3 trials are 5");
    let settled = gateway.settles(1)?;
    Ok(format!("3 trials, 3 starts, {gaps:?} ms apart; {settled}; {}", gateway.end()?))
}

fn recover(case: &Case) -> anyhow::Result<String> {
    let flags = ["--sick-for", "4"];
    let rules = format!(
        "{FAST}\n{}",
        TRIALS.replace("cooldown_first = \"1s\"", "cooldown_first = \"500ms\"")
    );
    let gateway = Setup::new(case)?.server("bad", &flags, &rules).start()?;
    let mut client = gateway.client()?;
    let stream = client.listen()?;
    let reset = gateway.wait_event("bad", "upstream reset")?;
    ensure!(reset.value["reason"] == "half_open", "{:?}", reset.value);
    client.wait_for_tools(&["bad__echo"])?;
    client.call("bad__echo", &json!({}))?.good()?;
    let trips = gateway.count("bad", "upstream tripped");
    ensure!(trips == 3, "{trips} trips");
    let settled = gateway.settles(2)?;
    let told = changes(&stream.rest());
    ensure!(told <= 1, "{told} list_changed");
    drop(client);
    Ok(format!("5 starts, 3 trips, then ready; {told} list_changed; {settled}; {}", gateway.end()?))
}

fn changes(messages: &[serde_json::Value]) -> usize {
    let is_change =
        |message: &&serde_json::Value| message["method"] == "notifications/tools/list_changed";
    messages.iter().filter(is_change).count()
}

fn flap(case: &Case) -> anyhow::Result<String> {
    let rules = format!("{FAST}\nmax_deaths = 100\nmax_run = 100");
    let (gateway, mut client) = victim(case, &[], &rules)?;
    let tools = client.tools()?;
    let stream = client.listen()?;
    // The change of the start may be told late.
    client.call("twin__grow", &json!({}))?.good()?;
    client.wait_for_tools(&["twin__grown_1"])?;
    let told = patience::until(LONG, || Ok((changes(&stream.rest()) > 0).then_some(())))?;
    ensure!(told.is_some(), "a real change is not told");
    for life in 2..=11 {
        let answer = client.call("bad__crash", &json!({}))?;
        ensure!(answer.code() == error::UPSTREAM_DIED, "{answer:?}");
        gateway.wait_nth("bad", "upstream connected", life)?;
        client.call("bad__echo", &json!({}))?.good()?;
        ensure!(client.tools()?.len() == tools.len() + 1, "the tools changed in life {life}");
    }
    patience::nothing_happens_for(Duration::from_millis(500));
    let told = changes(&stream.rest());
    ensure!(told == 0, "{told} list_changed");
    let settled = gateway.settles(2)?;
    drop(client);
    Ok(format!("10 deaths, 0 list_changed; {settled}; {}", gateway.end()?))
}

fn together(case: &Case) -> anyhow::Result<String> {
    let (gateway, mut client) = victim(case, &["--stop-reading", "--on-call"], FAST)?;
    // They fill the pipe, so that its death is also an error of the write under way.
    let long = "x".repeat(200_000);
    let calls: Vec<_> = (0..5)
        .map(|n| client.begin("bad__echo", &json!({ "n": n, "long": long })))
        .collect::<Result<_, _>>()?;
    patience::nothing_happens_for(Duration::from_millis(300));
    let before = Before::of(&gateway, &mut client, "bad")?;
    census::signal(gateway.newest("bad")?, Signal::KILL)?;
    let (_, outcome) = before.ends(&gateway, &mut client, 2)?;
    // Those that were never sent go to the next life, which reads nothing either.
    census::signal(gateway.newest("bad")?, Signal::KILL)?;
    let codes: Vec<_> =
        calls.iter().map(|call| Ok(call.answer()?.code())).collect::<anyhow::Result<_>>()?;
    ensure!(codes.iter().all(|code| (-31_006..=-31_001).contains(code)), "{codes:?}");
    drop(client);
    Ok(format!("{outcome}; {}", gateway.end()?))
}
