//! A host in virtual time: starts what a [`Life`] asks for, and fails as its script says.

use super::{replay, *};
use crate::breaker::TripCause;
use std::collections::BTreeMap;

/// How one incarnation behaves; all times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Script {
    /// When the handshake is done, counted from the start; `None` is never.
    pub(super) ready: Option<u64>,
    /// When it fails, counted from the handshake, or from the start if there is none.
    pub(super) dies: Option<(u64, Failure)>,
    /// How long its remains take to be ended; `None` is for ever.
    pub(super) ends: Option<u64>,
}

impl Script {
    /// It never answers the handshake and dies after a while.
    pub(super) fn dies_in_handshake(after: u64) -> Self {
        Self { ready: None, dies: Some((after, Failure::Death)), ends: Some(3) }
    }

    /// It answers the handshake within 200 ms and dies a while after.
    pub(super) fn dies_when_ready(after: u64) -> Self {
        Self { ready: Some(200), dies: Some((after, Failure::Death)), ends: Some(3) }
    }

    /// It lives for ever.
    pub(super) const HEALTHY: Self = Self { ready: Some(200), dies: None, ends: Some(3) };
}

/// The host, its clock and what was seen.
pub(super) struct World {
    pub(super) life: Life,
    pub(super) now: Time,
    /// When each life was started, and whether as a trial.
    pub(super) spawns: Vec<(Time, bool)>,
    pub(super) notes: Vec<(Time, Note)>,
    /// Everything that went in and came out, as golden logs have it.
    pub(super) log: String,
    script: Box<dyn FnMut(u64) -> Script>,
    child: Option<(Incarnation, Script)>,
    /// Every failure is reported twice, as real ones are: by the exit and by the end of output.
    coming: BTreeMap<(Time, usize), Event>,
}

impl World {
    /// Starts an upstream whose incarnations follow the script.
    pub(super) fn start(
        options: Options,
        seed: u64,
        script: impl FnMut(u64) -> Script + 'static,
    ) -> Self {
        let mut world = Self::new(options, seed, script);
        world.tell(Event::Start);
        world
    }

    /// Takes up an upstream that nobody starts yet.
    pub(super) fn new(
        options: Options,
        seed: u64,
        script: impl FnMut(u64) -> Script + 'static,
    ) -> Self {
        Self {
            life: Life::new(options, seed),
            now: Time(0),
            spawns: Vec::new(),
            notes: Vec::new(),
            log: String::new(),
            script: Box::new(script),
            child: None,
            coming: BTreeMap::new(),
        }
    }

    /// Says something now.
    pub(super) fn tell(&mut self, event: Event) {
        if let Event::Gone { incarnation } = event
            && self.child.is_some_and(|(alive, _)| alive == incarnation)
        {
            self.child = None;
        }
        replay::write_event(&mut self.log, self.now, event);
        self.life.handle_event(event, self.now);
        self.obey();
    }

    /// Lets time stand still for everybody but the clock.
    pub(super) fn sleep(&mut self, gap: Duration) {
        self.now = self.now + gap;
        let coming = std::mem::take(&mut self.coming);
        self.coming = coming.into_iter().map(|((at, n), event)| ((at + gap, n), event)).collect();
        self.tell(Event::ClockJumped(gap));
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, for_ms: u64) {
        let end = self.now + Duration::from_millis(for_ms);
        let mut steps_now = 0;
        // A day with a step per second.
        for _ in 0..86_400 {
            let event = self.coming.first_key_value().map(|(key, _)| *key);
            let timer = self.life.poll_timeout().map(|(due, _)| due);
            let next = event.map(|(at, _)| at).into_iter().chain(timer).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            steps_now = if next > self.now { 0 } else { steps_now + 1 };
            assert!(steps_now < 100, "time stands still at {:?}: {:?}", self.now, self.life);
            self.now = self.now.max(next);
            match event {
                Some(key) if key.0 <= next => {
                    let event = self.coming.remove(&key).unwrap();
                    self.tell(event);
                }
                _ => {
                    replay::write_timeout(&mut self.log, self.now);
                    self.life.handle_timeout(self.now);
                    self.obey();
                }
            }
        }
        panic!("too much happens until {:?}: {:?}", self.now, self.life);
    }

    /// Runs until the breaker opens for the first time, an hour at most.
    pub(super) fn run_to_trip(&mut self) -> TripCause {
        for _ in 0..36_000 {
            if let Some(cause) = self.trips().first() {
                return *cause;
            }
            self.run(100);
        }
        panic!("it never tripped: {:?}", self.life);
    }

    pub(super) fn trips(&self) -> Vec<TripCause> {
        let cause = |(_, note): &(Time, Note)| {
            if let Note::Tripped { cause, .. } = note { Some(*cause) } else { None }
        };
        self.notes.iter().filter_map(cause).collect()
    }

    /// The most lives that began within any window.
    pub(super) fn worst_window(&self) -> usize {
        let window = self.life.options.window;
        let within = |from: Time| {
            self.spawns.iter().filter(|(at, _)| *at >= from && at.since(from) < window).count()
        };
        self.spawns.iter().map(|(at, _)| within(*at)).max().unwrap_or(0)
    }

    fn obey(&mut self) {
        while let Some(note) = self.life.poll_note() {
            replay::write_note(&mut self.log, note);
            self.notes.push((self.now, note));
        }
        while let Some(action) = self.life.poll_action() {
            replay::write_action(&mut self.log, action);
            match action {
                Action::Connect { incarnation, trial } => self.connect(incarnation, trial),
                Action::Close { incarnation } => self.close(incarnation),
            }
        }
    }

    fn connect(&mut self, incarnation: Incarnation, trial: bool) {
        assert_eq!(self.child, None, "a second child at {:?}", self.now);
        let script = (self.script)(incarnation.0);
        self.spawns.push((self.now, trial));
        self.child = Some((incarnation, script));
        replay::write_event(&mut self.log, self.now, Event::Granted(incarnation));
        self.life.handle_event(Event::Granted(incarnation), self.now);
        if let Some(ready) = script.ready {
            self.later(ready, Event::Connected(incarnation));
        }
        if let Some((after, failure)) = script.dies {
            for _ in 0..2 {
                let after = script.ready.unwrap_or(0) + after;
                self.later(after, Event::Failed { incarnation, failure });
            }
        }
    }

    fn close(&mut self, incarnation: Incarnation) {
        match self.child {
            Some((alive, script)) if alive == incarnation => match script.ends {
                Some(after) => self.later(after, Event::Gone { incarnation }),
                None => self.later(6000, Event::NotGone { incarnation }),
            },
            child => panic!("{incarnation} is to be closed, {child:?} is there"),
        }
    }

    fn later(&mut self, after: u64, event: Event) {
        let at = self.now + Duration::from_millis(after);
        let order = (0..).find(|n| !self.coming.contains_key(&(at, *n))).unwrap();
        self.coming.insert((at, order), event);
    }
}
