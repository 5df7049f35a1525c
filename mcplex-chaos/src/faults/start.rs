//! Servers that do not start.

use super::{FAST, death::victim};
use crate::{
    fault::{Case, Fault},
    gateway::Gateway,
    outcome::{GONE, says},
    patience::{self, LONG},
    setup::Setup,
    sim::{Course, World},
};
use anyhow::ensure;
use mcplex_supervisor::Options;
use mcplex_testkit::census::{self, Watch};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    time::{Duration, Instant},
};

pub(super) const FAULTS: &[Fault] = &[
    Fault::new(
        "F01",
        "enoent",
        "one try, then tripped as permanent; the reason names PATH",
        enoent,
    )
    .quick(),
    Fault::new("F02", "eacces", "as F01, for a directory and a file without the x bit", eacces)
        .quick(),
    Fault::new(
        "F03",
        "enoexec-noshebang",
        "one try, then tripped as permanent; the hint is a first line",
        no_shebang,
    )
    .quick(),
    Fault::new(
        "F04",
        "bad-interpreter",
        "one try, then tripped as permanent; the reason says interpreter",
        bad_interpreter,
    )
    .quick(),
    Fault::new(
        "F05",
        "e2big",
        "one try, then tripped as permanent, for an argument, a variable, or all together",
        e2big,
    )
    .quick(),
    Fault::new(
        "F06",
        "nul-in-arg-bad-cwd",
        "a NUL is refused with its line, a bad cwd trips as permanent; no process",
        nul_and_cwd,
    )
    .quick(),
    Fault::new("F09", "exit-at-once", "6 starts and 1 trip, never 2 at a time", exit_at_once)
        .quick(),
    Fault::new("F10", "exit-0-at-once", "as F09", exit_0_at_once).quick(),
    Fault::new("F11", "slow-crash-6s", "never more than one, tripped after about 43 s", slow_crash)
        .within(120),
    Fault::new(
        "F12",
        "handshake-mute",
        "killed at the handshake's deadline, counted; the port is open all the while",
        mute,
    )
    .quick(),
    Fault::new(
        "F13",
        "handshake-slow-ok",
        "ready if it answers just in time; a late answer is ignored",
        slow_handshake,
    )
    .quick(),
    Fault::new(
        "F14",
        "banner-on-stdout",
        "the line is dropped, told once, and it is ready",
        banner,
    )
    .quick(),
    Fault::new(
        "F15",
        "wrong-version",
        "asked once more in a revision that it names; else tripped as permanent, at most 2 starts",
        wrong_version,
    )
    .quick(),
    Fault::new(
        "F16",
        "cold-npx",
        "the first start of an installer has 60 s instead of 30 s and says that it installs; later \
         ones have not",
        installs,
    )
    .quick(),
    Fault::new("F17", "storm", "50 that start together are all ready, none is too late", storm)
        .alone(),
];

/// A server that only a person can repair: one try, and nothing is left.
fn permanent(gateway: Gateway, words: &[&str]) -> anyhow::Result<String> {
    let trip = gateway.wait_event("bad", "upstream tripped")?;
    says(&trip, words)?;
    ensure!(gateway.count("bad", "upstream died") == 1, "it was tried again");
    let settled = gateway.settles(1)?;
    ensure!(gateway.count("bad", "upstream died") == 1, "it was tried again");
    let reason: String = trip.reason().chars().take(110).collect();
    Ok(format!("tripped at once: {reason}; {settled}; {}", gateway.end()?))
}

fn enoent(case: &Case) -> anyhow::Result<String> {
    let bad = |program: &str| -> anyhow::Result<Gateway> {
        Setup::new(case)?.command("bad", program, &[], "", "").start()
    };
    permanent(bad("/nowhere/at-all")?, &["/nowhere/at-all"])?;
    permanent(bad("no-such-program")?, &["no-such-program", "PATH="])
}

/// A file with this content and mode as the command.
fn file(case: &Case, content: &str, mode: u32) -> anyhow::Result<Gateway> {
    let setup = Setup::new(case)?;
    let file = setup.file("program");
    fs::write(&file, content)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(mode))?;
    let program = file.display().to_string();
    setup.command("bad", &program, &[], "", "").start()
}

fn eacces(case: &Case) -> anyhow::Result<String> {
    permanent(file(case, "#!/bin/sh\n", 0o644)?, &["may not be executed"])?;
    permanent(Setup::new(case)?.command("bad", "/tmp", &[], "", "").start()?, &["/tmp"])
}

fn no_shebang(case: &Case) -> anyhow::Result<String> {
    permanent(file(case, "echo hello\n", 0o755)?, &["#!"])
}

fn bad_interpreter(case: &Case) -> anyhow::Result<String> {
    permanent(file(case, "#!/no/such/thing\n", 0o755)?, &["interpreter"])?;
    permanent(file(case, "#!/bin/sh\r\necho\r\n", 0o755)?, &["interpreter", "CRLF"])
}

fn e2big(case: &Case) -> anyhow::Result<String> {
    let long = "x".repeat(140 * 1024);
    let one = Setup::new(case)?.command("bad", "sh", &[long], "", "").start()?;
    permanent(one, &["too big"])?;
    let variable = format!("env.LONG = \"{}\"", "z".repeat(140 * 1024));
    let env = Setup::new(case)?.command("bad", "sh", &[], &variable, "").start()?;
    permanent(env, &["too big"])?;
    let many: Vec<String> = vec!["y".repeat(100_000); 42];
    let all = Setup::new(case)?.command("bad", "sh", &many, "", "").start()?;
    permanent(all, &["too big"])
}

fn nul_and_cwd(case: &Case) -> anyhow::Result<String> {
    let nul = ["a\0b".to_owned()];
    let refused = Setup::new(case)?.command("bad", "sh", &nul, "", "").start();
    let why = refused.map(|_| "it was accepted".to_owned()).unwrap_or_else(|e| format!("{e:#}"));
    ensure!(why.contains("NUL"), "a NUL in an argument: {why}");
    let cwd = "cwd = \"/nowhere/at-all\"";
    permanent(Setup::new(case)?.command("bad", "sh", &[], cwd, "").start()?, &["/nowhere/at-all"])
}

/// A crash loop costs six starts, and never two processes at once.
pub(super) fn six_starts(case: &Case, flags: &[&str], rules: &str) -> anyhow::Result<String> {
    let gateway = Setup::new(case)?.server("bad", flags, rules).start()?;
    let mut most = 0;
    let tripped = patience::until(2 * LONG, || {
        let servers = gateway.processes_of("bad")?;
        most = most.max(servers.iter().filter(|one| one.name == "fake-server").count());
        Ok(gateway.events("bad", "upstream tripped").pop())
    })?;
    ensure!(tripped.is_some(), "it never tripped: {}", gateway.said.tail(4, " / "));
    ensure!(most <= 1, "{most} of them ran at once");
    let settled = gateway.settles(1)?;
    let (spawns, deaths) = (gateway.spawns("bad").len(), gateway.count("bad", "upstream died"));
    let trips = gateway.count("bad", "upstream tripped");
    ensure!(
        (spawns, deaths, trips) == (6, 6, 1),
        "{spawns} starts, {deaths} deaths, {trips} trips"
    );
    Ok(format!("6 starts, 6 deaths, 1 trip, {most} at once; {settled}; {}", gateway.end()?))
}

fn exit_at_once(case: &Case) -> anyhow::Result<String> {
    six_starts(case, &["--die-before-handshake", "0"], FAST)
}

fn exit_0_at_once(case: &Case) -> anyhow::Result<String> {
    six_starts(case, &["--die-before-handshake", "0", "--exit", "0"], FAST)
}

fn slow_crash(case: &Case) -> anyhow::Result<String> {
    let began = Instant::now();
    let seen = six_starts(case, &["--die-before-handshake", "6000"], "")?;
    let took = began.elapsed();
    ensure!(took > Duration::from_secs(36), "it tripped too soon: {took:?}");
    Ok(format!("over after {} s: {seen}", took.as_secs()))
}

fn mute(case: &Case) -> anyhow::Result<String> {
    let flags = ["--never-answer-initialize"];
    let rules = format!("handshake_timeout = \"1s\"\n{FAST}");
    let gateway = Setup::new(case)?.server("bad", &flags, &rules).start()?;
    let mut client = gateway.client()?;
    ensure!(!client.tools()?.is_empty(), "nothing is served while it is mute");
    let watch = Watch::of(gateway.processes_of("bad")?.into_iter().map(|one| one.pid))?;
    let death = gateway.wait_event("bad", "upstream died")?;
    says(&death, &["did not answer initialize"])?;
    let left = watch.left_after(GONE)?;
    ensure!(left.is_empty(), "{left:?} live on");
    gateway.wait_nth("bad", "upstream died", 2)?;
    Ok(format!("«{}», gone; {}", death.reason(), gateway.end()?))
}

fn slow_handshake(case: &Case) -> anyhow::Result<String> {
    let (slow, late) = (["--init-delay", "1500"], ["--init-delay", "2500"]);
    let rules = |timeout: &str| format!("handshake_timeout = \"{timeout}\"\n{FAST}");
    let gateway = Setup::new(case)?
        .server("slow", &slow, &rules("2500ms"))
        .server("bad", &late, &rules("1s"))
        .start()?;
    gateway.wait_event("slow", "upstream connected")?;
    gateway.wait_nth("bad", "upstream died", 3)?;
    ensure!(gateway.count("slow", "upstream died") == 0, "it had time and died");
    ensure!(gateway.count("bad", "upstream connected") == 0, "a late answer was taken");
    Ok(format!("1.5 s of 2.5 s: ready; 2.5 s of 1 s: died; {}", gateway.end()?))
}

fn banner(case: &Case) -> anyhow::Result<String> {
    let gateway = Setup::new(case)?.server("bad", &["--banner", "Welcome to 3.1"], "").start()?;
    gateway.wait_event("bad", "upstream connected")?;
    let mut client = gateway.client_of(&["bad__echo"])?;
    client.call("bad__echo", &serde_json::json!({}))?.good()?;
    let told = gateway.count("bad", "upstream writes lines to its output that are no messages");
    ensure!(told == 1, "it was told {told} times");
    ensure!(gateway.count("bad", "upstream died") == 0, "it died of it");
    drop(client);
    Ok(format!("ready, told once; {}; {}", gateway.settles(2)?, gateway.end()?))
}

fn wrong_version(case: &Case) -> anyhow::Result<String> {
    let mut told = Vec::new();
    // One claims to speak something else, one refuses with an error.
    let ways = [("--protocol", "1999-01-01"), ("--refuse-version", "refused")];
    for (flag, word) in ways {
        let flags = [flag, "1999-01-01"];
        let gateway = Setup::new(case)?.server("bad", &flags, FAST).start()?;
        let trip = gateway.wait_event("bad", "upstream tripped")?;
        says(&trip, &[word])?;
        let spawns = gateway.spawns("bad").len();
        ensure!(spawns <= 2, "{spawns} starts");
        let settled = gateway.settles(1)?;
        let spawns = gateway.spawns("bad").len();
        ensure!(spawns <= 2, "{spawns} starts");
        told.push(format!("{spawns} starts, «{}»; {settled}; {}", trip.reason(), gateway.end()?));
    }
    // One that names a revision that mcplex speaks is asked in it.
    let (gateway, mut client) = victim(case, &["--refuse-version", "2025-03-26"], FAST)?;
    client.call("bad__echo", &json!({}))?.good()?;
    let spawns = gateway.spawns("bad").len();
    ensure!(spawns == 1, "{spawns} starts of one that names another revision");
    drop(client);
    told.push(format!("asked in what it names: ready; {}", gateway.end()?));
    Ok(told.join("; "))
}

/// The download takes 40 s in made-up time, and is cut to seconds where it is real.
fn installs(case: &Case) -> anyhow::Result<String> {
    let options =
        Options { first_handshake_timeout: Some(Duration::from_secs(60)), ..Options::default() };
    let download = Course { handshake: Some(Duration::from_secs(40)), ..Course::GOOD };
    let mut world = World::new(options, download)?;
    world.pass(Duration::from_secs(50))?;
    let deaths = world.deaths();
    ensure!(deaths == 0, "a download of 40 s was {deaths} deaths");

    let mut setup = Setup::new(case)?;
    for name in ["npx", "other"] {
        let file = setup.file(name);
        let server = setup.ground.server.display();
        fs::write(&file, format!("#!/bin/sh\necho downloading >&2\nexec {server} \"$@\"\n"))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
        let args = setup.with_logs(name, &["--init-delay", "3000"]);
        let rules = format!("handshake_timeout = \"1s\"\n{FAST}");
        setup = setup.command(name, &file.display().to_string(), &args, "", &rules);
    }
    let gateway = setup.start()?;
    let says_so = |reason: &Value| reason.as_str().is_some_and(|it| it.contains("installing"));
    let told = patience::until(LONG, || {
        let reason = gateway.status("npx")?["reason"].take();
        Ok((says_so(&reason) || gateway.count("npx", "upstream connected") > 0).then_some(reason))
    })?;
    ensure!(told.as_ref().is_some_and(says_so), "it installs and says {told:?}");
    gateway.wait_event("npx", "upstream connected")?;
    let (npx, other) =
        (gateway.count("npx", "upstream died"), gateway.count("other", "upstream died"));
    ensure!(npx == 0, "its download was {npx} deaths");
    ensure!(other > 0, "every program has the time of an installer");
    census::signal(gateway.newest("npx")?, Signal::KILL)?;
    gateway.wait_nth("npx", "upstream died", 2)?;
    let connected = gateway.count("npx", "upstream connected");
    ensure!(connected == 1, "its second start had as long as the first");
    Ok(format!(
        "40 s simulated: ready; 3 s of 1 s: npx says that it installs and is ready, another is dead; {}",
        gateway.end()?
    ))
}

fn storm(case: &Case) -> anyhow::Result<String> {
    const COUNT: usize = 50;
    let mut setup = Setup::new(case)?;
    let names: Vec<_> = (1..=COUNT).map(|n| format!("s{n}")).collect();
    for name in &names {
        setup = setup.server(name, &["--init-delay", "200"], "");
    }
    let began = Instant::now();
    let gateway = setup.start()?;
    for name in &names {
        gateway.wait_event(name, "upstream connected")?;
    }
    let took = began.elapsed().as_millis();
    let died = gateway.said.events(|event| event.value["message"] == "upstream died").len();
    ensure!(died == 0, "{died} deaths");
    let settled = gateway.settles(COUNT + 1)?;
    Ok(format!("all ready after {took} ms, no death; {settled}; {}", gateway.end()?))
}
