//! What a call pays for spans and numbers: for those that nobody wants, and for those that are kept
//! and exported.
//!
//! Off is too little to be seen in the processor time of a call, so what a call does for its spans,
//! and nothing else, is done alone a million times, under the subscriber of a gateway without an
//! endpoint (`mcplex-cli/examples/telemetry_cost.rs`). What is on is the processor time of calls
//! through a real router to an upstream in the same process (`mcplex-cli/examples/call_cost.rs`), less
//! that of the same calls with nothing on: one process of each kind, which take turns in one run. The
//! threads that export count, whoever takes the spans is in another process and does not, every call is
//! sampled, and a round counts only when each of its spans has arrived. A whole gateway would do more
//! that has nothing to do with spans, of which most is the kernel's, and two of them differ by more than
//! all spans cost.

use super::{
    client::PATIENCE,
    report::{Question, Target},
    scenario::Effort,
};
use anyhow::{Context as _, bail};
use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use xshell::{Shell, cmd};

/// Calls of one `calls`, as `call_cost.rs` has it.
const CALLS: u64 = 2048;
/// How often a round has them made.
const TURNS: u64 = 8;
/// Spans of a call: what the client asked, and what the upstream was asked.
const SPANS: u64 = 2;
/// The longest body that the collector takes; 512 spans are some 300 KiB.
const MAX_BODY: usize = 16 << 20;

pub(super) static QUESTIONS: [Question; 4] = [
    Question {
        name: "telemetry-off",
        what: "what a call does for spans that nobody wants",
        target: Target::Under(200.0),
        unit: "ns",
        seed: "",
    },
    Question {
        name: "telemetry-on",
        what: "processor time of spans that are all exported, per call",
        target: Target::Under(8.0),
        unit: "µs",
        seed: "",
    },
    Question {
        name: "telemetry-all",
        what: "the same with numbers, which are kept and exported too",
        target: Target::Under(8.0),
        unit: "µs",
        seed: "",
    },
    Question {
        name: "telemetry-exporting",
        what: "what of it the thread that exports has",
        target: Target::Under(8.0),
        unit: "µs",
        seed: "",
    },
];

pub(super) fn measure(effort: Effort) -> anyhow::Result<Vec<Vec<f64>>> {
    let mut figures = vec![off()?];
    figures.extend(on(effort)?);
    Ok(figures)
}

/// What cargo is told to build or run one of the examples.
fn example(name: &str) -> [&str; 8] {
    ["--release", "--quiet", "--package", "mcplex-cli", "--features", "bench", "--example", name]
}

fn shell() -> anyhow::Result<Shell> {
    let shell = Shell::new()?;
    shell.change_dir(env!("CARGO_MANIFEST_DIR"));
    Ok(shell)
}

fn off() -> anyhow::Result<Vec<f64>> {
    let (shell, example) = (shell()?, example("telemetry-cost"));
    let rounds = cmd!(shell, "cargo run {example...}").quiet().read()?;
    let rounds: Result<Vec<f64>, _> = rounds.lines().map(str::parse).collect();
    rounds.context("the example says something else than numbers")
}

/// With spans, with all, and what of that the exporting thread has: each per call, in microseconds.
fn on(effort: Effort) -> anyhow::Result<Vec<Vec<f64>>> {
    let (shell, example) = (shell()?, example("call-cost"));
    cmd!(shell, "cargo build {example...}").quiet().run()?;
    let collector = Collector::start()?;
    let endpoint = format!("http://{}", collector.address);
    let mut without = Caller::start(&[])?;
    let mut with = Caller::start(&[&endpoint])?;
    let mut all = Caller::start(&[&endpoint, "numbers"])?;
    let mut rounds = vec![Vec::new(); 3];
    for round in 0..=effort.rounds {
        let without = without.round(None)?;
        let with = with.round(Some(&collector))?;
        let all = all.round(Some(&collector))?;
        // The first round warms caches and is not counted.
        if round > 0 {
            eprintln!(
                "  round: {:.2} µs without, {:.2} µs with spans, {:.2} µs with all of it; {:.2} µs of \
                 that on the thread that exports",
                without.all(),
                with.all(),
                all.all(),
                all.others
            );
            let values = [
                with.all() - without.all(),
                all.all() - without.all(),
                all.others - without.others,
            ];
            rounds.iter_mut().zip(values).for_each(|(of, value)| of.push(value));
        }
    }
    Ok(rounds)
}

/// Processor time of a call in microseconds.
#[derive(Clone, Copy, Debug)]
struct Cost {
    /// Of the thread that calls.
    own: f64,
    /// Of all others.
    others: f64,
}

impl Cost {
    fn all(self) -> f64 {
        self.own + self.others
    }
}

/// A `call-cost` that waits for what to do.
struct Caller {
    child: Child,
    /// It ends when this does.
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Caller {
    fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new("cargo");
        command.arg("run").args(example("call-cost")).arg("--").args(arguments);
        command.current_dir(env!("CARGO_MANIFEST_DIR"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().context("failed to start the example")?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("stdout is a pipe");
        Ok(Self { child, stdin, stdout: BufReader::new(stdout) })
    }

    fn ask(&mut self, word: &str) -> anyhow::Result<String> {
        let stdin = self.stdin.as_mut().expect("it is there until the end");
        writeln!(stdin, "{word}")?;
        let mut answer = String::new();
        self.stdout.read_line(&mut answer)?;
        if answer.is_empty() {
            bail!("the example ended");
        }
        Ok(answer)
    }

    /// Nanoseconds of the thread that calls, and of all others.
    fn time(&mut self) -> anyhow::Result<(f64, f64)> {
        let answer = self.ask("time")?;
        let both = answer.trim().split_once(' ').context("the example says no time")?;
        Ok((both.0.parse()?, both.1.parse()?))
    }

    /// What a call costs; with a collector once all its spans have arrived there.
    fn round(&mut self, collector: Option<&Collector>) -> anyhow::Result<Cost> {
        let before = self.time()?;
        for _ in 0..TURNS {
            let arrived = collector.map_or(0, Collector::spans);
            self.ask("calls")?;
            if let Some(collector) = collector {
                collector.wait_for(arrived + SPANS * CALLS)?;
            }
        }
        let after = self.time()?;
        let per_call = |nanoseconds: f64| nanoseconds / 1e3 / (TURNS * CALLS) as f64;
        Ok(Cost { own: per_call(after.0 - before.0), others: per_call(after.1 - before.1) })
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        drop(self.stdin.take());
        drop(self.child.wait());
    }
}

/// Takes spans by OTLP over HTTP, counts them, and forgets them.
struct Collector {
    address: SocketAddr,
    count: Arc<AtomicU64>,
}

impl Collector {
    /// It ends with this process.
    fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let count = Arc::new(AtomicU64::new(0));
        let counting = Arc::clone(&count);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let count = Arc::clone(&counting);
                // A connection that breaks loses spans, which the wait for them then shows.
                thread::spawn(move || drop(serve(stream, &count)));
            }
        });
        Ok(Self { address, count })
    }

    fn spans(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Waits until so many have arrived in all.
    fn wait_for(&self, spans: u64) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.spans() < spans {
            if Instant::now() >= deadline {
                bail!("{} of {spans} spans arrived; the rest was lost", self.spans());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

fn serve(stream: TcpStream, count: &AtomicU64) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut length, mut line) = (0, String::new());
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        if length > MAX_BODY {
            return Err(io::Error::other("the body is too long"));
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        // An answer without a body is an empty message, which says that all is well.
        reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
        count.fetch_add(spans_in(&body), Ordering::Relaxed);
    }
}

/// How many spans an export holds: `resource_spans` (1), `scope_spans` (2), `spans` (2).
fn spans_in(export: &[u8]) -> u64 {
    let scopes = fields(export, 1).into_iter().flat_map(|resource| fields(resource, 2));
    scopes.map(|scope| fields(scope, 2).len() as u64).sum()
}

/// The values of a field that is a message, in a message of protobuf; nothing after what is broken.
fn fields(message: &[u8], wanted: u64) -> Vec<&[u8]> {
    let (mut found, mut rest) = (Vec::new(), message);
    while let Some((key, after)) = varint(rest) {
        let value = match key & 7 {
            0 => varint(after).map(|(_, after)| (&after[..0], after)),
            1 => after.split_at_checked(8),
            5 => after.split_at_checked(4),
            2 => varint(after)
                .and_then(|(length, after)| after.split_at_checked(usize::try_from(length).ok()?)),
            _ => None,
        };
        let Some((value, after)) = value else { break };
        if key >> 3 == wanted && key & 7 == 2 {
            found.push(value);
        }
        rest = after;
    }
    found
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_counted_through_resources_and_scopes() {
        let nested = |field: u8, inner: &[u8]| {
            [&[field << 3 | 2, u8::try_from(inner.len()).unwrap()], inner].concat()
        };
        let span = nested(2, &[0x08, 0x96, 0x01]);
        // A string before the spans, and a fixed number after them.
        let scope = [nested(1, b"name"), span.clone(), span, vec![0x19; 9]].concat();
        let resource = nested(2, &scope);
        let export = [nested(1, &resource), nested(1, &resource)].concat();
        assert_eq!(spans_in(&export), 4);
        assert_eq!(spans_in(&export[..export.len() - 1]), 2);
        assert_eq!(spans_in(b""), 0);
    }
}
