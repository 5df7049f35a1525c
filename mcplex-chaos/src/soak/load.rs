//! A client that calls tools all the time, and sometimes leaves in the midst of it.

use super::{SERVERS, random::Random};
use crate::{client::Client, gateway::Gateway, patience};
use anyhow::Context as _;
use serde_json::{Value, json};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// Between two calls: fast enough to be in every fault, slow enough to leave the machine time.
const PAUSE: Duration = Duration::from_millis(8);

/// One client after another.
#[derive(Debug)]
pub(crate) struct Load<'a> {
    gateway: &'a Gateway,
    client: Client,
    random: Random,
}

impl<'a> Load<'a> {
    pub(crate) fn new(gateway: &'a Gateway, random: Random) -> anyhow::Result<Self> {
        Ok(Self { gateway, client: gateway.client()?, random })
    }

    pub(crate) fn run(mut self, stop: &AtomicBool) -> anyhow::Result<()> {
        while !stop.load(Ordering::Relaxed) {
            self.step().context("a client was harmed")?;
            patience::nothing_happens_for(PAUSE);
        }
        Ok(())
    }

    fn step(&mut self) -> anyhow::Result<()> {
        let (name, _, _) = self.random.one(SERVERS).context("there are servers")?;
        let (tool, arguments) = self.call();
        let tool = format!("{name}__{tool}");
        match self.random.below(40) {
            // It leaves without a word, as a client that was killed.
            0 => {
                let pending = self.client.begin(&tool, &arguments)?;
                patience::nothing_happens_for(Duration::from_millis(self.random.below(30)));
                pending.vanish();
            }
            // It comes again as another session.
            1 => self.client = self.gateway.client()?,
            // Some calls at once.
            2 => {
                let count = 2 + self.random.below(6);
                let calls: Vec<_> = (0..count)
                    .map(|_| self.client.begin(&tool, &arguments))
                    .collect::<Result<_, _>>()?;
                for call in &calls {
                    call.answer()?;
                }
            }
            // It opens the stream for the rest, and does not read it.
            3 => self.client.listen()?.vanish(),
            _ => drop(self.client.call(&tool, &arguments)?),
        }
        Ok(())
    }

    fn call(&mut self) -> (&'static str, Value) {
        match self.random.below(8) {
            0 => ("sleep", json!({ "ms": self.random.below(80) })),
            1 => ("big", json!({ "bytes": self.random.below(200_000) })),
            2 => ("progress", json!({ "steps": self.random.below(300) })),
            3 => {
                let length = usize::try_from(self.random.below(100_000)).unwrap_or_default();
                ("echo", json!({ "long": "x".repeat(length) }))
            }
            4 => ("add", json!({ "a": 1, "b": 2 })),
            5 => ("log", json!({ "text": "something" })),
            _ => ("echo", json!({ "n": self.random.below(1_000_000) })),
        }
    }
}
