//! Servers that are more than one process.

use super::{FAST, runners::has_program};
use crate::{
    client::Client,
    fault::{Case, Fault},
    gateway::Gateway,
    outcome::{Before, GONE},
    patience::{self, LONG},
    setup::Setup,
};
use anyhow::{Context as _, ensure};
use mcplex_proto::error;
use mcplex_testkit::census::{self, Watch};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::json;
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

pub(super) const FAULTS: &[Fault] = &[
    Fault::new("F31", "sh-wrapper", "the shell's death takes its server along", sh_wrapper).quick(),
    Fault::new(
        "F34",
        "helper-keeps-stdout",
        "the death is seen at once, not when the helper closes the pipe",
        keeps_stdout,
    )
    .quick(),
    Fault::new(
        "F35",
        "helper-keeps-stdin",
        "a stuck write ends with the group, the calls fail",
        keeps_stdin,
    )
    .quick(),
    Fault::new("F36", "setsid-child", "0 survivors of a death and of a stop", setsid).quick(),
    Fault::new("F37", "daemonize", "0 survivors of a death and of a stop", daemon).quick(),
    Fault::new("F38", "node-detached", "0 survivors of a death and of a stop", detached).quick(),
    Fault::new("F39", "pid-runner", "it hops no more once its server is dead", runner).quick(),
    Fault::new("F40", "fork-bomb", "400 processes are gone after a death and a stop", bomb)
        .alone()
        .within(120),
    Fault::new(
        "F41",
        "gateway-sigkill",
        "every tree is gone within the grace of the servers",
        gateway_killed,
    )
    .within(120),
    Fault::new(
        "F42",
        "gateway-aborts-or-is-interrupted",
        "as F41 for SIGABRT and two SIGTERM; Ctrl-C in a terminal reaches no server",
        gateway_ends,
    )
    .within(120),
    Fault::new(
        "F43",
        "guard-sigkill",
        "its server and all orphans end, one death is counted",
        guard_killed,
    )
    .quick(),
    Fault::new(
        "F44",
        "gateway-is-pid-1",
        "20 deaths in a container without init leave 0 zombies",
        pid_1,
    )
    .within(90),
    Fault::new(
        "F45",
        "pid-recycle",
        "a group that got the number of a dead server is left alone",
        recycled,
    )
    .within(90),
];

/// A gateway with a tree of processes as `bad`, and a client that sees it.
fn tree(case: &Case, flags: &[&str]) -> anyhow::Result<(Gateway, Client)> {
    super::death::victim(case, flags, FAST)
}

/// Its leader is killed, then it is stopped: both times all of it must be gone.
pub(super) fn dies_and_stops(
    gateway: Gateway,
    mut client: Client,
    members: usize,
) -> anyhow::Result<String> {
    let found =
        patience::until(
            LONG,
            || Ok((gateway.processes_of("bad")?.len() >= members).then_some(())),
        )?;
    ensure!(found.is_some(), "its {members} processes never ran");
    let all = gateway.processes_of("bad")?;
    let before = Watch::of(all.iter().map(|one| one.pid))?;
    let began = Instant::now();
    census::signal(gateway.newest("bad")?, Signal::KILL)?;
    let death = gateway.wait_event("bad", "upstream died")?;
    let noticed = death.at.duration_since(began).as_millis();
    let left = before.left_after(GONE)?;
    ensure!(left.is_empty(), "{} of {} processes survive its death", left.len(), all.len());
    let gone = began.elapsed().as_millis();
    gateway.wait_nth("bad", "upstream connected", 2)?;
    client.call("bad__echo", &json!({}))?.good()?;
    let deaths = gateway.count("bad", "upstream died");
    ensure!(deaths == 1, "{deaths} deaths were counted");
    drop(client);
    // The end looks for survivors once more.
    let end = gateway.end()?;
    Ok(format!("{} processes, seen after {noticed} ms, 0 left after {gone} ms; {end}", all.len()))
}

fn sh_wrapper(case: &Case) -> anyhow::Result<String> {
    let gateway = Setup::new(case)?.script("bad", "{server}; true", &[], FAST).start()?;
    gateway.wait_event("bad", "upstream connected")?;
    let mut client = gateway.client_of(&["bad__echo"])?;
    let shell = parent_of(gateway.newest("bad")?)?;
    let before = Before::of(&gateway, &mut client, "bad")?;
    census::signal(shell, Signal::KILL)?;
    // The shell is one process more than a server alone.
    let (_, outcome) = before.ends_with_more(&gateway, &mut client, 2, 1)?;
    drop(client);
    Ok(format!("{outcome}; {}", gateway.end()?))
}

fn parent_of(pid: u32) -> anyhow::Result<u32> {
    Ok(census::one(pid).context("it is gone")?.parent)
}

fn keeps_stdout(case: &Case) -> anyhow::Result<String> {
    let (gateway, client) = tree(case, &["--grandchild"])?;
    dies_and_stops(gateway, client, 2)
}

fn keeps_stdin(case: &Case) -> anyhow::Result<String> {
    let (gateway, mut client) = tree(case, &["--grandchild", "--stop-reading", "--on-call"])?;
    let long = json!({ "long": "x".repeat(300_000) });
    let calls: Vec<_> =
        (0..3).map(|_| client.begin("bad__echo", &long)).collect::<Result<_, _>>()?;
    patience::nothing_happens_for(Duration::from_millis(300));
    let before = Before::of(&gateway, &mut client, "bad")?;
    census::signal(gateway.newest("bad")?, Signal::KILL)?;
    let (_, outcome) = before.ends_with_more(&gateway, &mut client, 2, 1)?;
    // What was not sent went to the next life, which is as bad.
    census::signal(gateway.newest("bad")?, Signal::KILL)?;
    let codes: Vec<_> =
        calls.iter().map(|call| Ok(call.answer()?.code())).collect::<anyhow::Result<_>>()?;
    ensure!(codes.contains(&error::UPSTREAM_DIED), "{codes:?}");
    drop(client);
    Ok(format!("{codes:?}; {outcome}; {}", gateway.end()?))
}

fn setsid(case: &Case) -> anyhow::Result<String> {
    let (gateway, client) = tree(case, &["--setsid-child"])?;
    dies_and_stops(gateway, client, 2)
}

fn daemon(case: &Case) -> anyhow::Result<String> {
    let (gateway, client) = tree(case, &["--daemon"])?;
    dies_and_stops(gateway, client, 2)
}

fn detached(case: &Case) -> anyhow::Result<String> {
    if !has_program("node") {
        let (gateway, client) = tree(case, &["--setsid-child"])?;
        return Ok(format!(
            "imitated, for node is not here: {}",
            dies_and_stops(gateway, client, 2)?
        ));
    }
    let script = "node -e 'require(\"child_process\").spawn(\"sleep\", [\"300\"], \
                  {detached: true, stdio: \"ignore\"}).unref()'; exec {server}";
    let gateway = Setup::new(case)?.script("bad", script, &[], FAST).start()?;
    gateway.wait_event("bad", "upstream connected")?;
    let client = gateway.client_of(&["bad__echo"])?;
    dies_and_stops(gateway, client, 2)
}

fn runner(case: &Case) -> anyhow::Result<String> {
    let setup = Setup::new(case)?;
    let log = setup.file("hops").display().to_string();
    let flags = ["--runner", "3000", "--runner-log", &log];
    let gateway = setup.server("bad", &flags, "max_deaths = 0").start()?;
    gateway.wait_event("bad", "upstream connected")?;
    let hops = || gateway.lines("hops").len();
    let runs = patience::until(LONG, || Ok((hops() > 20).then_some(())))?;
    ensure!(runs.is_some(), "the runner does not run");
    census::signal(gateway.newest("bad")?, Signal::KILL)?;
    gateway.wait_event("bad", "upstream tripped")?;
    let settled = gateway.settles(1)?;
    let stopped_at = hops();
    patience::nothing_happens_for(Duration::from_millis(500));
    let after = hops();
    ensure!(after == stopped_at, "it hopped on: {stopped_at}, then {after}");
    Ok(format!("stopped after {stopped_at} hops; {settled}; {}", gateway.end()?))
}

fn bomb(case: &Case) -> anyhow::Result<String> {
    let (gateway, client) = tree(case, &["--bomb", "400"])?;
    dies_and_stops(gateway, client, 400)
}

/// A gateway with one tree of each kind behind it.
fn all_trees(case: &Case) -> anyhow::Result<Gateway> {
    let trees: &[(&str, &[&str])] = &[
        ("deaf", &["--ignore-sigterm"]),
        ("helper", &["--grandchild"]),
        ("session", &["--setsid-child", "--ignore-sigterm"]),
        ("daemon", &["--daemon"]),
        ("runner", &["--runner", "3000"]),
        ("stopped", &["--stop-itself"]),
    ];
    let mut setup = Setup::new(case)?.head("[gateway]\ndrain = \"200ms\"");
    for (name, flags) in trees {
        setup = setup.server(name, flags, "");
    }
    let gateway = setup.script("wrapped", "{server}; true", &[], "").start()?;
    for name in gateway.setup.names.clone() {
        gateway.wait_event(&name, "upstream connected")?;
    }
    Ok(gateway)
}

fn gateway_killed(case: &Case) -> anyhow::Result<String> {
    let gateway = all_trees(case)?;
    let count = gateway.processes()?.len();
    let began = Instant::now();
    gateway.signal(Signal::KILL)?;
    gateway.leaves_nothing(GONE + Duration::from_secs(1))?;
    let took = began.elapsed().as_millis();
    Ok(format!("{count} processes, all gone after {took} ms; {}", gateway.check_ended()?))
}

fn gateway_ends(case: &Case) -> anyhow::Result<String> {
    let mut told = Vec::new();
    for signals in [&[Signal::ABORT][..], &[Signal::TERM, Signal::TERM], &[Signal::QUIT]] {
        let mut gateway = all_trees(case)?;
        let began = Instant::now();
        for signal in signals {
            gateway.signal(*signal)?;
            patience::nothing_happens_for(Duration::from_millis(50));
        }
        gateway.ended(GONE)?;
        gateway.leaves_nothing(GONE + Duration::from_secs(1))?;
        told.push(format!("{signals:?} {} ms", began.elapsed().as_millis()));
        gateway.check_ended()?;
    }
    told.push(ctrl_c(case)?);
    Ok(told.join("; "))
}

/// A terminal sends SIGINT to the whole group of mcplex: a call in flight is finished all the same.
fn ctrl_c(case: &Case) -> anyhow::Result<String> {
    let (mut gateway, mut client) = tree(case, &[])?;
    let call = client.begin("bad__sleep", &json!({ "ms": 700 }))?;
    let arrived =
        patience::until(LONG, || Ok((!gateway.lines("calls.bad").is_empty()).then_some(())))?;
    ensure!(arrived.is_some(), "the call does not arrive");
    gateway.twin_was_fine()?;
    let group = i32::try_from(gateway.child.id())?;
    kill_process_group(Pid::from_raw(group).context("no group")?, Signal::INT)?;
    let answer = call.answer()?;
    ensure!(answer.good()? == "slept", "SIGINT reached the server: {answer:?}");
    drop(client);
    let status = gateway.ended(LONG)?;
    ensure!(status.success(), "mcplex ended with {status}");
    gateway.leaves_nothing(Duration::from_secs(1))?;
    Ok("after Ctrl-C a call in flight was finished".to_owned())
}

fn guard_killed(case: &Case) -> anyhow::Result<String> {
    let flags = ["--setsid-child", "--daemon", "--grandchild"];
    let (gateway, mut client) = tree(case, &flags)?;
    let guard = gateway.guard_of("bad")?.context("no process guards it")?;
    let before = Before::of(&gateway, &mut client, "bad")?;
    census::signal(guard, Signal::KILL)?;
    let (_, outcome) = before.ends_with_more(&gateway, &mut client, 2, 3)?;
    drop(client);
    Ok(format!("{outcome}; {}", gateway.end()?))
}

fn pid_1(case: &Case) -> anyhow::Result<String> {
    let Some(unshare) = namespaces() else {
        return Ok("not shown here: no pid namespace can be made".to_owned());
    };
    let rules = "backoff_first = \"20ms\"\nbackoff_factor = 1\nmax_deaths = 100\nmax_run = 100";
    let flags = ["--die-after", "50", "--daemon", "--grandchild"];
    let gateway = Setup::new(case)?.through(unshare).server("bad", &flags, rules).start()?;
    gateway.wait_events("bad", "upstream died", 20, 2 * LONG)?;
    let pid = gateway.pid()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let inside = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    ensure!(inside.split_whitespace().next_back() == Some("1"), "it is not pid 1: {inside}");
    let count = || -> anyhow::Result<usize> {
        Ok(census::descendants(pid)?.iter().filter(|one| one.is_zombie()).count())
    };
    // One may be between its end and its reaping at the moment of a look.
    let least = patience::until(Duration::from_secs(5), || Ok((count()? == 0).then_some(())))?;
    ensure!(least.is_some(), "{} zombies", count()?);
    let most_left = gateway.processes_of("bad")?.len();
    ensure!(most_left <= 2 * 5, "{most_left} processes of one server");
    let deaths = gateway.count("bad", "upstream died");
    Ok(format!("{deaths} deaths as pid 1, 0 zombies; {}", gateway.end()?))
}

/// Gives the number of every dead server to a group that has nothing to do with it, at once.
///
/// It stands in the namespace of mcplex, where it may say which number comes next; it forks for
/// nothing else, so the next number is the one it asked for.
const RECYCLER: &str = r#"
looks=0
done=
while [ $looks -lt 200000 ] && ! [ -e stop ]; do
  looks=$((looks + 1))
  while read -r line; do pid=$line; done < spawns.bad
  [ "$pid" = "$done" ] && continue
  kill -0 "$pid" 2>/dev/null && continue
  echo $((pid - 1)) 2>/dev/null > /proc/sys/kernel/ns_last_pid || exit 1
  setsid sh -c 'sleep 1; echo $$ >> survived' &
  [ $! = "$pid" ] && echo "$pid" >> recycled
  done=$pid
done
wait
"#;

fn recycled(case: &Case) -> anyhow::Result<String> {
    let Some(unshare) = namespaces() else {
        return Ok("not shown here: no pid namespace can be made".to_owned());
    };
    let rules = "backoff_first = \"100ms\"\nbackoff_factor = 1\nmax_deaths = 100\nmax_run = 100";
    let gateway =
        Setup::new(case)?.through(unshare).server("bad", &["--die-after", "30"], rules).start()?;
    gateway.wait_event("bad", "upstream died")?;
    let mut recycler = std::process::Command::new("nsenter");
    recycler.args(["--pid", "--target", &gateway.pid()?.to_string()]);
    recycler.args(["sh", "-c", RECYCLER]).current_dir(gateway.setup.dir.path());
    // It ends with the namespace, if not before.
    let mut recycler = recycler.stdin(std::process::Stdio::null()).spawn()?;
    let died = gateway.wait_events("bad", "upstream died", 25, 2 * LONG).map(|all| all.len());
    fs::write(gateway.setup.file("stop"), "")?;
    let ended = patience::until(LONG, || Ok(recycler.try_wait()?))?;
    drop(recycler.kill());
    drop(recycler.wait());
    let (died, recycled) = (died?, gateway.lines("recycled"));
    ensure!(ended.is_some(), "the recycler does not end");
    if recycled.is_empty() {
        gateway.end()?;
        return Ok("not shown here: nobody may say which pid comes next".to_owned());
    }
    let survived = gateway.lines("survived");
    let killed: Vec<_> = recycled.iter().filter(|pid| !survived.contains(pid)).collect();
    ensure!(
        killed.is_empty(),
        "{} innocent groups of {} were killed",
        killed.len(),
        recycled.len()
    );
    let count = recycled.len();
    Ok(format!("{died} deaths, {count} numbers used again, all survived; {}", gateway.end()?))
}

/// What starts a program as pid 1 of a namespace of its own, where that is allowed.
pub(super) fn namespaces() -> Option<&'static [&'static str]> {
    const UNSHARE: &[&str] = &["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let mut probe = std::process::Command::new(UNSHARE[0]);
    probe.args(&UNSHARE[1..]).arg("true").stderr(std::process::Stdio::null());
    let is_allowed = probe.status().is_ok_and(|status| status.success());
    (is_allowed && Path::new("/proc/self/ns/pid").exists()).then_some(UNSHARE)
}
