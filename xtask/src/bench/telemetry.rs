//! What a call pays for spans: for those that nobody wants, and for those that are exported.
//!
//! Off is too little to be seen in the processor time of a gateway, so what a call does for its spans,
//! and nothing else, is done alone a million times, under the subscriber of a gateway without an
//! endpoint (`mcplex-cli/examples/telemetry_cost.rs`). On is the processor time of the whole gateway,
//! the threads that export included, with a collector less without one: two gateways take turns in one
//! run, one call at a time, every call sampled, and a round counts only when each of its spans has
//! arrived. Numbers are kept by neither.

use super::{
    client::{self, Ask, Ids, PATIENCE, Until},
    gateway::{Config, Gateway, Programs},
    process,
    report::{Question, Target},
    scenario::Effort,
};
use anyhow::{Context as _, bail};
use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use xshell::{Shell, cmd};

/// Bytes of text in a call.
const SMALL: usize = 16;
/// Spans of a call: what the client asked, and what the upstream was asked.
const SPANS: u64 = 2;
/// The longest body that the collector takes; 512 spans are some 300 KiB.
const MAX_BODY: usize = 16 << 20;

pub(super) static QUESTIONS: [Question; 2] = [
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
];

pub(super) fn measure(programs: &Programs, effort: Effort) -> anyhow::Result<Vec<Vec<f64>>> {
    Ok(vec![off()?, on(programs, effort)?])
}

fn off() -> anyhow::Result<Vec<f64>> {
    let shell = Shell::new()?;
    shell.change_dir(env!("CARGO_MANIFEST_DIR"));
    let example = ["--package", "mcplex-cli", "--features", "bench", "--example", "telemetry-cost"];
    let rounds = cmd!(shell, "cargo run --release --quiet {example...}").quiet().read()?;
    let rounds: Result<Vec<f64>, _> = rounds.lines().map(str::parse).collect();
    rounds.context("the example says something else than numbers")
}

fn on(programs: &Programs, effort: Effort) -> anyhow::Result<Vec<f64>> {
    let collector = Collector::start()?;
    let quiet = "\n[telemetry]\nprometheus = false\n";
    let told = |label: &str, more: &str| {
        let text = Config::text(&programs.echo, 1, &[])? + quiet + more;
        Gateway::start(programs, &Config::of(label, &text)?)
    };
    let without = told("spans-off", "")?;
    let with = told("spans-on", &format!("endpoint = \"http://{}\"\n", collector.address))?;
    let ids = Ids::default();
    let echo = |tool: &str| Ask::Echo(tool.to_owned(), "x".repeat(SMALL));
    let mut sides = Vec::new();
    for gateway in [&without, &with] {
        let mut workers = gateway.connect(&ids, 1)?;
        let tool = client::tools(&mut workers[0], &ids, 1)?.swap_remove(0);
        sides.push((gateway, workers, echo(&tool)));
    }
    let mut rounds = Vec::new();
    for round in 0..=effort.rounds {
        let mut costs = [0.0; 2];
        for (cost, (gateway, workers, ask)) in costs.iter_mut().zip(&mut sides) {
            let arrived = collector.spans();
            let before = process::cpu(gateway.pid)?;
            let calls = client::run(workers, &ids, ask, Until::Elapsed(effort.length))?.calls();
            if gateway.pid == with.pid {
                collector.wait_for(arrived + SPANS * calls as u64)?;
            }
            let cpu = process::cpu(gateway.pid)? - before;
            *cost = cpu.as_secs_f64() * 1e6 / calls;
        }
        // The first round warms caches and is not counted.
        if round > 0 {
            eprintln!("  round: {:.1} µs without spans, {:.1} µs with them", costs[0], costs[1]);
            rounds.push(costs[1] - costs[0]);
        }
    }
    drop(sides);
    without.stop()?;
    with.stop()?;
    Ok(rounds)
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
