//! Time that stands still, jumps, or is long.

use super::{FAST, death::victim};
use crate::{
    fault::{Case, Fault},
    outcome::says,
    patience,
    said::Event,
    setup::Setup,
};
use anyhow::ensure;
use rustix::process::Signal;
use serde_json::json;
use std::{
    collections::BTreeSet,
    fs,
    process::{Command, Stdio},
    time::Duration,
};

pub(super) const FAULTS: &[Fault] = &[
    Fault::new(
        "F67",
        "gateway-stopped-30s",
        "no false hang and no death by a deadline that passed meanwhile",
        gateway_stops,
    )
    .within(120),
    Fault::new("F69", "wall-clock-jumps", "a day to and fro changes nothing", wall_clock).quick(),
    Fault::new(
        "F70",
        "busy-not-hung",
        "a call of many probe times on a server with one thread is borne",
        busy,
    )
    .quick(),
    Fault::new("F71", "true-hang", "degraded at the first missed probe, ended at the third", hang)
        .quick(),
];

/// Probes that follow each other faster than by default.
const PROBES: &str = "probe_every = \"1s\"\nprobe_timeout = \"500ms\"\nprobe_misses = 3";

fn gateway_stops(case: &Case) -> anyhow::Result<String> {
    let rules = format!("{FAST}\n{PROBES}\nhandshake_timeout = \"10s\"");
    // One waits to be asked, and one is in its handshake, whose deadline passes meanwhile.
    let mut gateway = Setup::new(case)?
        .server("idle", &[], &rules)
        .server("starting", &["--init-delay", "8000"], &rules)
        .start()?;
    gateway.wait_event("idle", "upstream connected")?;
    let mut client = gateway.client_of(&["idle__echo"])?;
    gateway.twin_was_fine()?;
    gateway.signal(Signal::STOP)?;
    patience::nothing_happens_for(Duration::from_secs(30));
    gateway.signal(Signal::CONT)?;
    client.call("idle__echo", &json!({}))?.good()?;
    gateway.wait_event("starting", "upstream connected")?;
    // Long enough for a probe that was under way to be missed, if it were.
    patience::nothing_happens_for(Duration::from_secs(4));
    client.call("idle__echo", &json!({}))?.good()?;
    let deaths =
        gateway.count("idle", "upstream died") + gateway.count("starting", "upstream died");
    ensure!(deaths == 0, "{deaths} deaths: {}", gateway.said.tail(4, " / "));
    let settled = gateway.settles(3)?;
    drop(client);
    Ok(format!("stopped for 30 s, 0 deaths; {settled}; {}", gateway.end()?))
}

/// Every look at the wall clock is a day off, now to this side and now to that.
const JUMPING: &str = r"
#define _GNU_SOURCE
#include <time.h>
#include <unistd.h>
#include <sys/syscall.h>
int clock_gettime(clockid_t clock, struct timespec *time) {
  static int looks;
  int result = (int)syscall(SYS_clock_gettime, clock, time);
  if (result == 0 && clock == CLOCK_REALTIME) time->tv_sec += looks++ % 2 ? 86400 : -86400;
  return result;
}
";

fn wall_clock(case: &Case) -> anyhow::Result<String> {
    let setup = Setup::new(case)?;
    let (source, library) = (setup.file("jumping.c"), setup.file("jumping.so"));
    fs::write(&source, JUMPING)?;
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !compiled.is_ok_and(|status| status.success()) {
        return Ok("not shown here: there is no C compiler for the jumping clock".to_owned());
    }
    let rules = format!("{FAST}\n{PROBES}");
    let gateway = setup
        .env("LD_PRELOAD", &library.display().to_string())
        .server("good", &[], &rules)
        .server("bad", &["--die-after", "300"], FAST)
        .start()?;
    gateway.wait_event("bad", "upstream tripped")?;
    let mut client = gateway.client_of(&["good__echo"])?;
    patience::nothing_happens_for(Duration::from_secs(3));
    client.call("good__echo", &json!({}))?.good()?;
    let (good, bad) =
        (gateway.count("good", "upstream died"), gateway.count("bad", "upstream died"));
    ensure!((good, bad) == (0, 6), "the good one died {good} times, the bad one {bad} times");
    let days = days(&gateway.said.events(|_| true));
    ensure!(days.len() > 1, "its wall clock did not jump: {days:?}");
    let settled = gateway.settles(2)?;
    drop(client);
    Ok(format!("a log of {days:?}: 6 deaths, 1 trip; {settled}; {}", gateway.end()?))
}

/// The days that a log is of.
fn days(events: &[Event]) -> BTreeSet<String> {
    let day = |event: &Event| Some(event.value["timestamp"].as_str()?.get(..10)?.to_owned());
    events.iter().filter_map(day).collect()
}

fn busy(case: &Case) -> anyhow::Result<String> {
    let rules = format!("{FAST}\n{PROBES}");
    let (gateway, mut client) = victim(case, &["--single"], &rules)?;
    client.call("bad__sleep", &json!({ "ms": 8_000 }))?.good()?;
    client.call("bad__echo", &json!({}))?.good()?;
    let deaths = gateway.count("bad", "upstream died");
    ensure!(deaths == 0, "it was taken for hung");
    let settled = gateway.settles(2)?;
    drop(client);
    Ok(format!("busy for 16 probe times, 0 deaths; {settled}; {}", gateway.end()?))
}

fn hang(case: &Case) -> anyhow::Result<String> {
    let rules = format!("{FAST}\n{PROBES}\nmax_deaths = 0");
    let gateway = Setup::new(case)?.server("bad", &["--deadlock-after", "300"], &rules).start()?;
    let ready = gateway.wait_event("bad", "upstream connected")?;
    let degraded = gateway.wait_event("bad", "upstream is idle and did not answer")?;
    let death = gateway.wait_event("bad", "upstream died")?;
    says(&death, &["answered no"])?;
    let (first, last) = (degraded.at.duration_since(ready.at), death.at.duration_since(ready.at));
    ensure!(first < last, "degraded after {first:?}, dead after {last:?}");
    gateway.wait_event("bad", "upstream tripped")?;
    let settled = gateway.settles(1)?;
    let (first, last) = (first.as_millis(), last.as_millis());
    Ok(format!("degraded after {first} ms, dead after {last} ms; {settled}; {}", gateway.end()?))
}
