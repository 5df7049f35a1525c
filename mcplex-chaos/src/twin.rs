//! A good server beside the bad one, which must never notice.

use crate::{client::Client, gateway::Gateway};
use anyhow::{Context as _, bail, ensure};
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// What it is called.
pub(crate) const TWIN: &str = "twin";

/// Between two calls, so that some gateways at once leave the machine some time.
const PAUSE: Duration = Duration::from_millis(5);

/// Calls a good server all the time.
#[derive(Debug)]
pub(crate) struct Twin {
    stop: Arc<AtomicBool>,
    calls: JoinHandle<anyhow::Result<Vec<Duration>>>,
}

/// How the twin fared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fared {
    pub(crate) calls: usize,
    pub(crate) p99: Duration,
}

impl Twin {
    pub(crate) fn start(gateway: &Gateway) -> anyhow::Result<Self> {
        let mut client = gateway.client()?;
        client.wait_for_tools(&["twin__echo"])?;
        // Once before anything can happen, however short the story is.
        client.call("twin__echo", &json!({}))?.good()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let calls = thread::spawn(move || call(client, &stopping));
        Ok(Self { stop, calls })
    }

    /// Stops calling, and tells how it was.
    pub(crate) fn end(self) -> anyhow::Result<Fared> {
        self.stop.store(true, Ordering::Relaxed);
        let Ok(calls) = self.calls.join() else { bail!("the twin's client panicked") };
        let mut times = calls.context("the good twin was harmed")?;
        times.sort_unstable();
        let p99 = times.get(times.len() * 99 / 100).copied().unwrap_or_default();
        Ok(Fared { calls: times.len(), p99 })
    }
}

fn call(mut client: Client, stop: &AtomicBool) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let answer = client.call("twin__echo", &json!({ "n": times.len() }))?;
        let text = answer.good()?;
        ensure!(text.contains(&format!("\"n\":{}", times.len())), "it was answered {text}");
        times.push(began.elapsed());
        thread::sleep(PAUSE);
    }
    Ok(times)
}
