//! The closed-loop client: each worker sends a call, awaits its answer, and only then the next.
//!
//! Each worker is a thread that blocks on its own call, as independent callers would. The same
//! workers run over stdio and over HTTP, so that a ratio of two runs compares the paths and not
//! two clients. A client that does all of its work in one loop is of no use here: over one pipe
//! its calls travel in batches, and the direct rate then says how well batches travel.

use anyhow::{Context as _, bail};
use memchr::memmem;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

/// How long an answer may be late before a run is given up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// One worker's way to the server.
pub(crate) trait Caller: Send {
    /// Sends one request and returns the line that answers it, with [`PATIENCE`].
    fn call(&mut self, id: u64, request: &[u8]) -> anyhow::Result<Vec<u8>>;

    /// Sends one notification.
    fn notify(&mut self, notification: &[u8]) -> anyhow::Result<()>;
}

/// Gives every request of a bench an id of its own.
#[derive(Debug, Default)]
pub(crate) struct Ids(AtomicU64);

impl Ids {
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// What the workers ask for.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Ping,
    /// The tool's name and the text that must come back.
    Echo(String, String),
}

impl Ask {
    fn request(&self, id: u64) -> Vec<u8> {
        match self {
            Self::Ping => format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#),
            Self::Echo(tool, text) => format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{{"text":"{text}"}}}}}}"#
            ),
        }
        .into_bytes()
    }

    /// Whether an answer is the one that was asked for.
    fn check(&self, id: u64, answer: &[u8]) -> anyhow::Result<()> {
        let answered: Answer<'_> = serde_json::from_slice(answer)?;
        let right = answered.is(id)
            && match (self, answered.result) {
                (_, None) => false,
                (Self::Ping, Some(_)) => true,
                (Self::Echo(_, text), Some(result)) => {
                    memmem::find(result.get().as_bytes(), text.as_bytes()).is_some()
                }
            };
        if !right {
            let shown = String::from_utf8_lossy(&answer[..answer.len().min(300)]);
            bail!("an answer is not what was asked for: {shown}");
        }
        Ok(())
    }
}

/// As much of an answer as a client has to read.
#[derive(Debug, Deserialize)]
pub(crate) struct Answer<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: Option<&'a str>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
}

impl Answer<'_> {
    pub(crate) fn is(&self, id: u64) -> bool {
        self.id() == Some(id)
    }

    /// The id, when this is an answer to a request of ours.
    pub(crate) fn id(&self) -> Option<u64> {
        if self.method.is_some() { None } else { self.id?.get().parse().ok() }
    }
}

/// What a run of the workers gave.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) elapsed: Duration,
    /// One entry for each call.
    pub(crate) latencies: Vec<Duration>,
}

impl Run {
    pub(crate) fn calls(&self) -> f64 {
        self.latencies.len() as f64
    }

    pub(crate) fn rate(&self) -> f64 {
        self.calls() / self.elapsed.as_secs_f64()
    }
}

/// When a worker stops.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    Elapsed(Duration),
    Calls(usize),
}

/// How long one call takes, whose answer is the right one.
pub(crate) fn one(caller: &mut impl Caller, ids: &Ids, ask: &Ask) -> anyhow::Result<Duration> {
    let id = ids.next();
    let request = ask.request(id);
    let sent = Instant::now();
    let answer = caller.call(id, &request)?;
    let took = sent.elapsed();
    ask.check(id, &answer)?;
    Ok(took)
}

/// Lets every caller loop until the end.
pub(crate) fn run(
    callers: &mut [impl Caller],
    ids: &Ids,
    ask: &Ask,
    until: Until,
) -> anyhow::Result<Run> {
    let began = Instant::now();
    let parts: Vec<_> = thread::scope(|scope| {
        let start = |caller| scope.spawn(move || work(caller, ids, ask, began, until));
        let workers: Vec<_> = callers.iter_mut().map(start).collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker does not panic")).collect()
    });
    let elapsed = began.elapsed();
    let mut latencies = Vec::new();
    for part in parts {
        latencies.extend(part?);
    }
    Ok(Run { elapsed, latencies })
}

fn work(
    caller: &mut impl Caller,
    ids: &Ids,
    ask: &Ask,
    began: Instant,
    until: Until,
) -> anyhow::Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    let mut sent = began;
    loop {
        let id = ids.next();
        let answer = caller.call(id, &ask.request(id))?;
        ask.check(id, &answer)?;
        let now = Instant::now();
        latencies.push(now - sent);
        sent = now;
        let over = match until {
            Until::Elapsed(length) => now - began >= length,
            Until::Calls(most) => latencies.len() >= most,
        };
        if over {
            return Ok(latencies);
        }
    }
}

/// Opens an MCP session.
pub(crate) fn initialize(caller: &mut impl Caller, ids: &Ids) -> anyhow::Result<()> {
    let params = json!({
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "bench", "version": "1"},
    });
    ask(caller, ids, "initialize", &params)?;
    let done = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    caller.notify(done.to_string().as_bytes())
}

/// Awaits that so many tools are listed; returns their names.
pub(crate) fn tools(
    caller: &mut impl Caller,
    ids: &Ids,
    count: usize,
) -> anyhow::Result<Vec<String>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let names = list(caller, ids)?;
        if names.len() >= count {
            return Ok(names);
        }
        if Instant::now() >= deadline {
            bail!("{} of {count} tools are listed after {} s", names.len(), PATIENCE.as_secs());
        }
        // Often enough to see the moment, seldom enough not to be what the gateway is busy with.
        thread::sleep(Duration::from_millis(5));
    }
}

/// The names of all echo tools, all pages followed.
fn list(caller: &mut impl Caller, ids: &Ids) -> anyhow::Result<Vec<String>> {
    /// A list of the benches has 50 tools; more pages than that never end.
    const PAGES_MAX: usize = 100;
    let mut names = Vec::new();
    let mut params = json!({});
    for _ in 0..PAGES_MAX {
        let result = ask(caller, ids, "tools/list", &params)?;
        let tools = result["tools"].as_array().into_iter().flatten();
        let found = tools.filter_map(|tool| tool["name"].as_str());
        names.extend(found.filter(|name| name.contains("echo")).map(str::to_owned));
        let Some(next) = result["nextCursor"].as_str() else { return Ok(names) };
        params = json!({"cursor": next});
    }
    bail!("a list has more than {PAGES_MAX} pages")
}

fn ask(caller: &mut impl Caller, ids: &Ids, method: &str, params: &Value) -> anyhow::Result<Value> {
    let id = ids.next();
    let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
    let answer = caller
        .call(id, request.to_string().as_bytes())
        .with_context(|| format!("{method} got no answer"))?;
    let mut answer: Value = serde_json::from_slice(&answer)?;
    match answer.get_mut("result") {
        Some(result) => Ok(result.take()),
        None => bail!("{method} failed: {answer}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_must_be_the_one_asked_for() {
        let ask = Ask::Echo("echo".into(), "abc".into());
        let check = |answer: &str| ask.check(4, answer.as_bytes()).is_ok();
        assert!(check(r#"{"id":4,"result":{"content":[{"type":"text","text":"abc"}]}}"#));
        assert!(!check(r#"{"id":5,"result":{"content":[{"type":"text","text":"abc"}]}}"#));
        assert!(!check(r#"{"id":4,"result":{"isError":true}}"#));
        assert!(!check(r#"{"id":4,"error":{"message":"abc"}}"#));
        assert!(Ask::Ping.check(4, br#"{"id":4,"result":{}}"#).is_ok());
    }

    #[test]
    fn a_request_is_json() {
        let request = Ask::Echo("echo".into(), "abc".into()).request(3);
        let value: Value = serde_json::from_slice(&request).unwrap();
        assert_eq!(value["params"]["arguments"]["text"], "abc");
    }
}
