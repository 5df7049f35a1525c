//! What a call pays for its line in the audit log.
//!
//! Two gateways take turns in one run, one call at a time: one as it is by default, and one with an audit
//! log. What smaller things cost, such as that calls are counted, is less than such gateways differ by,
//! so it is no figure here. The processor time is that of the whole process, the thread
//! that writes included; every line is in the file before the next round begins. Spans and numbers are
//! kept by none.

use super::{
    client::{self, Ask, Ids, PATIENCE, Until},
    gateway::{Config, Gateway, Programs},
    process,
    report::{Question, Target},
    scenario::Effort,
};
use anyhow::bail;
use std::{
    env, fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// Bytes of text in a call.
const SMALL: usize = 16;

/// What a line may cost: as much as the whole of a call may, which is the target of that row. It is
/// opt-in, and most of it is one write to a file.
const LINE: f64 = 40.0;

pub(super) static QUESTIONS: [Question; 1] = [Question {
    name: "audit",
    what: "processor time of a call's line in the audit log",
    target: Target::Under(LINE),
    unit: "µs",
    seed: "",
}];

pub(super) fn measure(programs: &Programs, effort: Effort) -> anyhow::Result<Vec<Vec<f64>>> {
    let log = Log::new();
    let quiet = "\n[telemetry]\nprometheus = false\n";
    let text = Config::text(&programs.echo, 1, &[])? + quiet;
    let audited = format!("{text}\n[audit]\nfile = {:?}\n", log.path());
    let start = |label: &str, text: &str| Gateway::start(programs, &Config::of(label, text)?);
    let gateways = [start("plain", &text)?, start("audited", &audited)?];
    let ids = Ids::default();
    let mut sides = Vec::new();
    for gateway in &gateways {
        let mut workers = gateway.connect(&ids, 1)?;
        let tool = client::tools(&mut workers[0], &ids, 1)?.swap_remove(0);
        sides.push((gateway, workers, Ask::Echo(tool, "x".repeat(SMALL))));
    }
    let (mut auditing, mut lines) = (Vec::new(), 0);
    for round in 0..=effort.rounds {
        let mut costs = [0.0; 2];
        for (at, (gateway, workers, ask)) in sides.iter_mut().enumerate() {
            let before = process::cpu(gateway.pid)?;
            let calls = client::run(workers, &ids, ask, Until::Elapsed(effort.length))?.calls();
            if at == 1 {
                lines += calls as u64;
                log.wait_for(lines)?;
            }
            let cpu = process::cpu(gateway.pid)? - before;
            costs[at] = cpu.as_secs_f64() * 1e6 / calls;
        }
        // The first round warms caches and is not counted.
        if round > 0 {
            let [plain, audited] = costs;
            eprintln!("  round: {plain:.1} µs, {audited:.1} µs audited");
            auditing.push(audited - plain);
        }
    }
    drop(sides);
    for gateway in gateways {
        gateway.stop()?;
    }
    Ok(vec![auditing])
}

/// The folder of the audit log, which goes away with its owner.
struct Log(PathBuf);

impl Log {
    fn new() -> Self {
        Self(env::temp_dir().join(format!("mcplex-bench-{}-audit", std::process::id())))
    }

    fn path(&self) -> PathBuf {
        self.0.join("audit.jsonl")
    }

    /// Waits until so many lines are there, in the file and those that were moved aside.
    fn wait_for(&self, lines: u64) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.lines()? < lines {
            if Instant::now() >= deadline {
                bail!("{} of {lines} lines are in the audit log", self.lines()?);
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn lines(&self) -> anyhow::Result<u64> {
        let mut count = 0;
        for entry in fs::read_dir(&self.0)? {
            count += lines_of(&entry?.path())?;
        }
        Ok(count)
    }
}

/// How many lines a file has; the lock beside the log has none.
fn lines_of(path: &Path) -> anyhow::Result<u64> {
    let bytes = fs::read(path)?;
    Ok(bytes.iter().filter(|byte| **byte == b'\n').count() as u64)
}

impl Drop for Log {
    fn drop(&mut self) {
        // It lies in the folder for such files; nothing depends on its end.
        drop(fs::remove_dir_all(&self.0));
    }
}
