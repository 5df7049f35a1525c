//! Servers whose processes try to outlive them, in the nine ways that are known.
//!
//! Every process of a tree holds the same named pipe open, so its hang-up tells the end of the
//! last one: also of one that moves on faster than any list of processes could be read.

use crate::gateway::{PATIENCE, Setup};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::OwnedFd,
    fs::{CWD, FileType, Mode, OFlags, mknodat, open},
};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// A name, and what the server is: a program with its arguments.
struct Kind {
    name: &'static str,
    command: &'static [&'static str],
    /// How many of its processes run away from number to number.
    runners: usize,
}

/// The pipe is number 9 in every shell, and nobody here ends with its stdin.
const HELD: &str = "exec 9> \"$HELD\"; echo $$ >&9; ";

/// Forks and ends in a loop; `$1` says how many do so, `$2` whether each hop is a new session.
const RUNNER: &str = r#"
import os, sys, time
held = os.open(os.environ["HELD"], os.O_WRONLY)
os.set_inheritable(held, True)
count = os.open(os.environ["COUNT"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
for _ in range(int(sys.argv[1])):
    if os.fork() == 0:
        while True:
            if os.fork() != 0:
                os._exit(0)
            if sys.argv[2] == "setsid":
                os.setsid()
            os.write(count, b".")
os.write(held, b"%d\n" % os.getpid())
while True:
    time.sleep(1000)
"#;

const KINDS: [Kind; 9] = [
    Kind {
        name: "ignores-term",
        command: &["sh", "-c", "trap '' TERM; sleep 1000; true"],
        runners: 0,
    },
    Kind { name: "wrapper", command: &["sh", "-c", "sh -c 'sleep 1000; true'; true"], runners: 0 },
    Kind { name: "helper", command: &["sh", "-c", "sleep 1000 & sleep 1000; true"], runners: 0 },
    Kind {
        name: "setsid",
        command: &["sh", "-c", "setsid sh -c 'sleep 1000; true' & sleep 1000; true"],
        runners: 0,
    },
    Kind {
        name: "daemon",
        command: &[
            "sh",
            "-c",
            "(setsid sh -c 'trap \"\" TERM HUP; sleep 1000 & sleep 1000; true' &); sleep 1000; true",
        ],
        runners: 0,
    },
    Kind {
        name: "node",
        command: &[
            "node",
            "-e",
            "const { spawn } = require('child_process');
             const held = require('fs').openSync(process.env.HELD, 'w');
             const stdio = ['ignore', 'ignore', 'ignore', held];
             spawn('sleep', ['1000'], { detached: true, stdio }).unref();
             require('fs').writeSync(held, process.pid + '\\n');
             setInterval(() => {}, 1000);",
        ],
        runners: 0,
    },
    Kind { name: "runner", command: &["python3", "-c", RUNNER, "1", "same"], runners: 1 },
    Kind { name: "runner-setsid", command: &["python3", "-c", RUNNER, "1", "setsid"], runners: 1 },
    Kind { name: "eight-runners", command: &["python3", "-c", RUNNER, "8", "setsid"], runners: 8 },
];

/// How many hops a runner makes before anything is done to it.
const HOPS: u64 = 100;

/// One of them, running.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) name: &'static str,
    held: OwnedFd,
    count: PathBuf,
    runners: usize,
}

/// All nine trees below one gateway, as far as their programs are installed.
#[derive(Debug)]
pub(crate) struct Forest {
    pub(crate) setup: Setup,
    pub(crate) trees: Vec<Tree>,
    cookie: String,
}

impl Forest {
    /// Lists the servers for a gateway with these lines in its `[supervise]`.
    pub(crate) fn new(supervise: &str) -> Self {
        // One death trips, so nothing is started again. None of them answers, so all start at once.
        let setup = Setup::new(&format!(
            "[host]\nmax_starts = 64\n[supervise]\nera = \"legacy\"\nmax_deaths = 0\ngrace_eof = \"100ms\"\ngrace_term = \"100ms\"\n\
             grace_kill = \"10s\"\n{supervise}"
        ));
        let cookie = setup.path("cookie");
        let mut forest = Self { setup, trees: Vec::new(), cookie };
        for kind in &KINDS {
            if is_installed(kind.command[0]) {
                forest.plant(kind);
            } else {
                println!("{} is not installed, so {} is left out", kind.command[0], kind.name);
            }
        }
        forest
    }

    fn plant(&mut self, kind: &Kind) {
        let held = self.setup.file(&format!("{}.held", kind.name));
        let count = self.setup.file(&format!("{}.count", kind.name));
        mknodat(CWD, &held, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let mut args: Vec<_> = kind.command[1..].iter().map(ToString::to_string).collect();
        if kind.command[0] == "sh" {
            args[1].insert_str(0, HELD);
        }
        let env = format!(
            "{{ HELD = {}, COUNT = {}, FOREST = {} }}",
            json!(held.to_str()),
            json!(count.to_str()),
            json!(self.cookie)
        );
        self.setup.push(&format!(
            "[[servers]]\nname = \"{}\"\ncommand = {}\nargs = {}\nenv = {env}",
            kind.name,
            Value::from(kind.command[0]),
            json!(args)
        ));
        let held = open(&held, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty());
        let (name, runners) = (kind.name, kind.runners);
        self.trees.push(Tree { name, held: held.unwrap(), count, runners });
    }

    /// Waits until every tree stands, and gives the numbers of the servers in order.
    pub(crate) fn stands(&self) -> Vec<u32> {
        self.trees.iter().map(Tree::stands).collect()
    }

    /// Waits for the end of every process, and says what took too long.
    pub(crate) fn is_gone_within(&self, time: Duration) {
        let end = now() + time;
        let left: Vec<_> = self
            .trees
            .iter()
            .filter(|tree| !tree.is_gone_at(end))
            .map(|tree| (tree.name, tree.hops()))
            .collect();
        // Guards do not hold the pipes, but they have the variable.
        let mut marked = self.marked();
        while !marked.is_empty() && now() < end {
            marked = self.marked();
        }
        assert!(left.is_empty() && marked.is_empty(), "{left:?} {marked:?} are left");
    }

    /// The processes, dead ones included, that were started with our variable.
    fn marked(&self) -> Vec<String> {
        let wanted = format!("FOREST={}", self.cookie);
        let is_ours = |folder: &Path| {
            let environ = fs::read(folder.join("environ")).unwrap_or_default();
            environ.split(|byte| *byte == 0).any(|one| one == wanted.as_bytes())
        };
        let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        let ours = processes.filter(|folder| is_ours(folder));
        ours.map(|folder| {
            let command = fs::read_to_string(folder.join("cmdline")).unwrap_or_default();
            format!("{} {}", folder.display(), command.replace('\0', " "))
        })
        .collect()
    }
}

impl Tree {
    fn stands(&self) -> u32 {
        let mut said = [0; 32];
        self.wait(PollFlags::IN, PATIENCE);
        let count = rustix::io::read(&self.held, &mut said).unwrap_or(0);
        let pid = std::str::from_utf8(&said[..count]).unwrap().trim().parse();
        let pid = pid.unwrap_or_else(|_| panic!("{} does not start", self.name));
        let end = now() + PATIENCE;
        while self.runners > 0 && self.hops() < HOPS {
            assert!(now() < end, "{} does not run", self.name);
        }
        pid
    }

    fn is_gone_at(&self, end: Instant) -> bool {
        let left = end.saturating_duration_since(now());
        self.wait(PollFlags::empty(), left).contains(PollFlags::HUP)
    }

    /// How far its runners have come.
    fn hops(&self) -> u64 {
        fs::metadata(&self.count).map_or(0, |file| file.len())
    }

    fn wait(&self, what: PollFlags, time: Duration) -> PollFlags {
        let time = Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap(),
            tv_nsec: time.subsec_nanos().into(),
        };
        let mut fds = [PollFd::new(&self.held, what)];
        poll(&mut fds, Some(&time)).unwrap();
        fds[0].revents()
    }
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

#[expect(clippy::disallowed_methods, reason = "it bounds how long a test waits")]
fn now() -> Instant {
    Instant::now()
}
