//! A host that lacks something.

use super::{FAST, death::victim};
use crate::{
    client::Client,
    fault::{Case, Fault},
    gateway::Gateway,
    outcome::{Before, says},
    patience::{self, LONG},
    setup::Setup,
    sim::{Course, World},
};
use anyhow::{Context as _, ensure};
use mcplex_supervisor::{Failure, Options};
use mcplex_testkit::census;
use rustix::{
    fs::statvfs,
    process::{Pid, Resource, Rlimit, Signal, prlimit},
};
use serde_json::json;
use std::{
    fs,
    net::TcpListener,
    os::unix::fs::symlink,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

pub(super) const START: &[Fault] = &[
    Fault::new(
        "F07",
        "emfile-spawn",
        "no death: it waits, nothing leaks, the twin answers; then it starts",
        no_descriptors,
    )
    .quick(),
    Fault::new("F08", "eagain-fork", "as F07, when no more processes are allowed", no_processes),
];

pub(super) const FAULTS: &[Fault] = &[
    Fault::new(
        "F72",
        "env-minimal",
        "the reason lists the PATH that was looked through, where the program is, and what to do",
        minimal_path,
    )
    .quick(),
    Fault::new(
        "F73",
        "fd-limit-256",
        "its own soft limit is raised to the hard one, a child has the old one",
        descriptor_limit,
    )
    .quick(),
    Fault::new("F74", "config-reload-x100", "one start per settled change", reload).within(90),
    Fault::new("F75", "disk-full-log", "a full disk delays no supervision", full_disk).quick(),
    Fault::new(
        "F76",
        "otel-collector-down",
        "one that is not there, or never answers, delays nothing",
        no_collector,
    )
    .quick(),
];

/// Its server is killed while the host lacks something; it comes back once that is there again.
fn waits(
    gateway: &Gateway,
    client: &mut Client,
    restore: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<String> {
    let spawns = gateway.spawns("bad").len();
    census::signal(gateway.newest("bad")?, Signal::KILL)?;
    gateway.wait_event("bad", "upstream died")?;
    for n in 0..40 {
        client.call("twin__echo", &json!({ "n": n }))?.good()?;
        patience::nothing_happens_for(Duration::from_millis(50));
    }
    let lacking = gateway.spawns("bad").len() - spawns;
    ensure!(lacking == 0, "it was started {lacking} times although nothing could be");
    let trips = gateway.count("bad", "upstream tripped");
    ensure!(trips == 0, "the host's fault tripped it");
    restore()?;
    gateway.wait_nth("bad", "upstream connected", 2)?;
    client.call("bad__echo", &json!({}))?.good()?;
    let counted = gateway.events("bad", "upstream died");
    let deaths = counted.iter().filter_map(|one| one.value["deaths_in_window"].as_u64()).max();
    ensure!(deaths == Some(1), "{deaths:?} deaths were counted; one was real");
    gateway.settles(2)
}

fn no_descriptors(case: &Case) -> anyhow::Result<String> {
    let (gateway, mut client) = victim(case, &[], FAST)?;
    let raw = i32::try_from(gateway.pid()?)?;
    let pid = Pid::from_raw(raw).context("no pid")?;
    // So few that every number below is in use, also after a death; what it holds it keeps.
    let few = u64::try_from(case.ground.cost.base_fds)?;
    let limits = limits(gateway.pid()?)?;
    let set = |soft: u64| -> anyhow::Result<()> {
        let both = Rlimit { current: Some(soft), maximum: limits[1].parse().ok() };
        prlimit(Some(pid), Resource::Nofile, both).context("its limit cannot be changed")?;
        Ok(())
    };
    set(few)?;
    let restore = || set(limits[0].parse()?);
    let seen = waits(&gateway, &mut client, restore)?;
    drop(client);
    Ok(format!("all {few} descriptors in use: waited, came back; {seen}; {}", gateway.end()?))
}

fn no_processes(case: &Case) -> anyhow::Result<String> {
    let roots = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"];
    let Some(group) = Cgroup::make(&case.cookie, &roots, "pids.max") else {
        return no_processes_simulated();
    };
    let (gateway, mut client) = victim(case, &[], FAST)?;
    group.take(gateway.pid()?)?;
    let now = fs::read_to_string(group.0.join("pids.current"))?;
    let bound = now.trim();
    group.bound(bound)?;
    let seen = waits(&gateway, &mut client, || group.bound("max"))?;
    drop(client);
    Ok(format!("pids.max = {bound}: waited, came back; {seen}; {}", gateway.end()?))
}

fn no_processes_simulated() -> anyhow::Result<String> {
    let lacking = Course {
        handshake: Some(Duration::ZERO),
        end: Some((Duration::ZERO, Failure::Resource)),
        ..Course::GOOD
    };
    let mut world = World::new(Options::default(), lacking)?;
    world.pass(Duration::from_secs(600))?;
    let (starts, deaths, trips) = (world.starts.len(), world.deaths(), world.trips().len());
    ensure!(deaths == 0 && trips == 0, "{deaths} deaths, {trips} trips");
    ensure!((10..60).contains(&starts), "{starts} tries in 10 min");
    Ok(format!("simulated, for no cgroup can be made here: {starts} tries in 10 min, 0 deaths"))
}

/// A cgroup of our own that bounds something.
#[derive(Debug)]
pub(super) struct Cgroup(PathBuf);

impl Cgroup {
    /// The first of some folders in which a group has a file to bound it by.
    pub(super) fn make(name: &str, roots: &[&str], bound: &str) -> Option<Self> {
        roots.iter().find_map(|root| {
            let dir = PathBuf::from(root).join(format!("mcplex-chaos-{name}"));
            fs::create_dir(&dir).ok()?;
            let group = Self(dir);
            // A folder without this file bounds nothing.
            group.0.join(bound).is_file().then_some(group)
        })
    }

    /// What a process writes its number into to be in it.
    pub(super) fn entrance(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }

    pub(super) fn set(&self, file: &str, bound: &str) -> anyhow::Result<()> {
        Ok(fs::write(self.0.join(file), bound)?)
    }

    fn take(&self, pid: u32) -> anyhow::Result<()> {
        Ok(fs::write(self.entrance(), pid.to_string())?)
    }

    fn bound(&self, most: &str) -> anyhow::Result<()> {
        self.set("pids.max", most)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Its processes take a moment to be gone; an empty folder that is left harms nobody.
        let _gone: anyhow::Result<Option<()>> =
            patience::until(Duration::from_secs(5), || Ok(fs::remove_dir(&self.0).ok()));
    }
}

fn minimal_path(case: &Case) -> anyhow::Result<String> {
    let path = "/usr/local/bin:/usr/bin:/bin";
    let setup = Setup::new(case)?;
    // Where a shell would have found it; the folder of the setup is the home of mcplex.
    let versions = setup.file(".nvm/versions/node");
    for version in ["v9.11.2", "v22.1.0"] {
        let bin = versions.join(version).join("bin");
        fs::create_dir_all(&bin)?;
        symlink(&setup.ground.server, bin.join("npx-of-nvm"))?;
    }
    let newest = versions.join("v22.1.0/bin");
    let (found, own) = (newest.join("npx-of-nvm"), format!("{}:{path}", newest.display()));
    let gateway = setup.env("PATH", path).command("bad", "npx-of-nvm", &[], "", "").start()?;
    let trip = gateway.wait_event("bad", "upstream tripped")?;
    says(&trip, &["npx-of-nvm", path, &found.display().to_string(), "env.PATH", &own])?;
    let settled = gateway.settles(1)?;
    Ok(format!("«{}»; {settled}; {}", trip.reason(), gateway.end()?))
}

fn descriptor_limit(case: &Case) -> anyhow::Result<String> {
    let setup = Setup::new(case)?.through(&["prlimit", "--nofile=256:4096", "--"]);
    let gateway = setup.start()?;
    let (own, child) = (limits(gateway.pid()?)?, limits(gateway.newest("twin")?)?);
    ensure!(own[0] == own[1], "its own limits are {own:?}");
    ensure!(child[0] == "256", "the limits of its child are {child:?}");
    Ok(format!("256 became {}, a child has {}; {}", own[0], child[0], gateway.end()?))
}

/// The soft and the hard limit of open files.
fn limits(pid: u32) -> anyhow::Result<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/limits"))?;
    let line = text.lines().find(|line| line.starts_with("Max open files"));
    let words = line.context("no limit")?.split_whitespace().skip(3);
    let both: Vec<_> = words.take(2).map(str::to_owned).collect();
    ensure!(both.len() == 2, "no limit in {both:?}");
    Ok(both)
}

fn reload(case: &Case) -> anyhow::Result<String> {
    let (mut gateway, mut client) = victim(case, &[], FAST)?;
    let file = gateway.setup.file("mcplex.toml");
    let original = fs::read_to_string(&file)?;
    // Everything but the bad one stays as it was.
    let changed = original.replace("in.bad\"", "in.bad\",\"--tools\",\"1\"");
    ensure!(changed != original, "the configuration holds no flag to change");
    for n in 1..=100 {
        gateway.setup.replace(if n % 2 == 0 { &changed } else { &original })?;
        gateway.signal(Signal::HUP)?;
    }
    client.wait_for_tools(&["bad__extra_1"])?;
    client.call("bad__extra_1", &json!({}))?.good()?;
    let spawns = gateway.spawns("bad").len();
    ensure!(spawns <= 4, "100 changes were {spawns} starts");
    let deaths = gateway.count("bad", "upstream died");
    ensure!(deaths == 0, "{deaths} deaths");
    let settled = gateway.settles(2)?;
    let twin = gateway.twin_was_fine()?;
    drop(client);
    Ok(format!("100 changes: {spawns} starts; {settled}; {twin}; {}", gateway.end()?))
}

/// How many bytes a server writes to its stderr at each start: more than the disk has room for.
const WORDS: &str = "200000";

fn full_disk(case: &Case) -> anyhow::Result<String> {
    let (setup, disk) = SmallDisk::under(Setup::new(case)?)?;
    let flags = ["--flood-stderr", WORDS, "--stderr", "last words"];
    let setup = disk.filled_by_journals(setup);
    let mut gateway = setup.server("bad", &flags, FAST).start()?;
    let mut client = gateway.client_of(&["bad__crash"])?;
    // It may lack some of the files that it would hold open.
    gateway.rebase(2)?;
    let began = Instant::now();
    for life in 1..=6 {
        gateway.wait_nth("bad", "upstream connected", life)?;
        client.call("bad__crash", &json!({}))?;
    }
    drop(client);
    gateway.wait_event("bad", "upstream tripped")?;
    let took = began.elapsed();
    ensure!(took < LONG / 2, "it took {took:?}");
    let deaths = gateway.count("bad", "upstream died");
    ensure!(deaths == 6, "{deaths} deaths");
    let how = disk.is_full(&gateway)?;
    if let SmallDisk::Mounted(_) = disk {
        // The twin is called all the time, so its calls have lines that find no room.
        gateway.said.wait_events(LONG, "lines of the audit log are lost", 1, |event| {
            event.value["what"] == "the audit log" && event.value["lost"].as_u64() > Some(0)
        })?;
    }
    let settled = gateway.settles(1)?;
    Ok(format!("{how}: 6 deaths, 1 trip; {settled}; {}", gateway.end()?))
}

/// A disk on which there is room for a few lines, or what comes closest to it here.
#[derive(Debug)]
enum SmallDisk {
    /// In a mount namespace of mcplex, which takes it along.
    Mounted(PathBuf),
    /// The folder would lie in a file, so nothing can be written there.
    NoFolder,
}

impl SmallDisk {
    /// 64 KiB, half of which is in use.
    const MOUNT: &str = "mount -t tmpfs -o size=64k chaos \"$0\" && \
                         head -c 32768 /dev/zero > \"$0/in-use\" && exec \"$@\"";

    /// Has mcplex keep everything on it.
    fn under(setup: Setup) -> anyhow::Result<(Setup, Self)> {
        let at = setup.file("disk");
        fs::create_dir(&at)?;
        let shown = at.display().to_string();
        // A user who is not root is one in a namespace of their own, where that is allowed.
        let both: [&[&str]; 2] =
            [&["unshare", "--mount"], &["unshare", "--mount", "--map-root-user"]];
        for unshare in both {
            let words = [unshare, &["sh", "-c", Self::MOUNT, &shown]].concat();
            let mut probe = Command::new(words[0]);
            probe.args(&words[1..]).arg("true").stdin(Stdio::null()).stderr(Stdio::null());
            if probe.status().is_ok_and(|status| status.success()) {
                return Ok((
                    setup.through(&words).env("XDG_STATE_HOME", &shown),
                    Self::Mounted(at),
                ));
            }
        }
        let file = setup.file("no-folder");
        fs::write(&file, "")?;
        let inside = file.join("state").display().to_string();
        Ok((setup.env("XDG_STATE_HOME", &inside), Self::NoFolder))
    }

    /// Has the log of mcplex and the audit log on it as well, where there is one.
    fn filled_by_journals(&self, setup: Setup) -> Setup {
        match self {
            Self::Mounted(_) => setup.head(
                "[telemetry]\nlog_file = \"mcplex.log\"\n\
                 [audit]\nfile = \"audit.jsonl\"",
            ),
            // mcplex does not start where its audit log cannot be made.
            Self::NoFolder => setup.head("[telemetry]\nlog_file = \"mcplex.log\""),
        }
    }

    /// That nothing more could be written, in words.
    fn is_full(&self, gateway: &Gateway) -> anyhow::Result<String> {
        let Self::Mounted(at) = self else {
            return Ok("imitated, for nothing can be mounted here: no file can be made".to_owned());
        };
        let inside = at.strip_prefix("/").context("it is no absolute path")?;
        let seen = PathBuf::from(format!("/proc/{}/root", gateway.pid()?)).join(inside);
        let disk = statvfs(&seen).context("its disk cannot be looked at")?;
        ensure!(disk.f_bavail == 0, "{} blocks are free, so the disk is not full", disk.f_bavail);
        Ok(format!("a disk of {} KiB is full", (disk.f_blocks * disk.f_frsize) >> 10))
    }
}

fn no_collector(case: &Case) -> anyhow::Result<String> {
    let closed = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mute = TcpListener::bind("127.0.0.1:0")?;
    let mut told = Vec::new();
    for address in [closed, mute.local_addr()?] {
        let mut gateway = Setup::new(case)?
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{address}"))
            .env("OTEL_BSP_SCHEDULE_DELAY", "100")
            .server("bad", &[], FAST)
            .start()?;
        gateway.wait_event("bad", "upstream connected")?;
        let mut client = gateway.client_of(&["bad__echo"])?;
        // The exporter opens what it needs with its first batch.
        patience::nothing_happens_for(Duration::from_millis(1_000));
        gateway.rebase(2)?;
        let before = Before::of(&gateway, &mut client, "bad")?;
        census::signal(gateway.newest("bad")?, Signal::KILL)?;
        let (_, outcome) = before.ends(&gateway, &mut client, 2)?;
        drop(client);
        told.push(format!("{outcome}; {}", gateway.end()?));
    }
    Ok(told.join("; "))
}
