//! A fake process host in made-up time: the rules of a life, played for hours in a moment.
//!
//! It stands where the driver and the system stand: it does what the [`Life`] wants, answers when
//! the story says so, and fails the story when the `Life` wants what it must never want.

use anyhow::ensure;
use mcplex_proto::upstream::Incarnation;
use mcplex_supervisor::{Action, Event, Failure, Life, Note, Options, State, Time};
use std::{collections::BTreeMap, time::Duration};

/// What a process does once it was started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Course {
    /// How long its handshake takes; `None` is for ever.
    pub(crate) handshake: Option<Duration>,
    /// How long after that it ends, and how; `None` is never.
    pub(crate) end: Option<(Duration, Failure)>,
    /// How long it takes to be gone once it is to be ended; `None` is for ever.
    pub(crate) gone: Option<Duration>,
}

impl Course {
    /// Ready at once, and good.
    pub(crate) const GOOD: Self = Self {
        handshake: Some(Duration::from_millis(50)),
        end: None,
        gone: Some(Duration::from_millis(5)),
    };

    /// Ready at once, and dead after so long.
    pub(crate) fn dies_after(secs: u64) -> Self {
        Self { end: Some((Duration::from_secs(secs), Failure::Death)), ..Self::GOOD }
    }
}

/// How long an end that does not succeed is tried: 2 s for each step.
const TRIED: Duration = Duration::from_secs(6);

/// One upstream with a fake host under it.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) life: Life,
    pub(crate) now: Time,
    course: Course,
    /// What will happen, in order.
    due: BTreeMap<(Time, u64), Event>,
    events: u64,
    /// The life whose process is there.
    process: Option<Incarnation>,
    pub(crate) starts: Vec<Time>,
    pub(crate) notes: Vec<(Time, Note)>,
}

impl World {
    /// Starts an upstream whose processes take this course.
    pub(crate) fn new(options: Options, course: Course) -> anyhow::Result<Self> {
        let mut world = Self {
            life: Life::new(options, 7),
            now: Time(0),
            course,
            due: BTreeMap::new(),
            events: 0,
            process: None,
            starts: Vec::new(),
            notes: Vec::new(),
        };
        world.tell(Event::Start)?;
        Ok(world)
    }

    /// All later processes take this course; one that is there is ended by it.
    pub(crate) fn set(&mut self, course: Course) {
        self.course = course;
    }

    /// Tells the life something now.
    pub(crate) fn tell(&mut self, event: Event) -> anyhow::Result<()> {
        self.life.handle_event(event, self.now);
        self.act()
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, time: Duration) -> anyhow::Result<()> {
        let end = self.now + time;
        // A life does a few things a second at most.
        for _ in 0..1_000_000 {
            let event = self.due.first_key_value().map(|(&(time, _), _)| time);
            let timeout = self.life.poll_timeout().map(|(time, _)| time);
            let next = event.into_iter().chain(timeout).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return Ok(());
            };
            self.now = self.now.max(next);
            if event == Some(next) {
                self.happen();
            } else {
                self.life.handle_timeout(self.now);
            }
            self.act()?;
        }
        anyhow::bail!("it does things without end")
    }

    /// Tells what is due first.
    fn happen(&mut self) {
        let Some((_, event)) = self.due.pop_first() else { return };
        if let Event::Gone { incarnation } = event
            && self.process == Some(incarnation)
        {
            self.process = None;
        }
        self.life.handle_event(event, self.now);
    }

    fn after(&mut self, wait: Duration, event: Event) {
        self.events += 1;
        self.due.insert((self.now + wait, self.events), event);
    }

    fn act(&mut self) -> anyhow::Result<()> {
        while let Some(action) = self.life.poll_action() {
            match action {
                Action::Connect { incarnation, .. } => {
                    ensure!(self.process.is_none(), "a start over a process that is there");
                    self.process = Some(incarnation);
                    self.starts.push(self.now);
                    self.start(incarnation);
                }
                Action::Close { incarnation } => self.close(incarnation),
            }
        }
        while let Some(note) = self.life.poll_note() {
            self.notes.push((self.now, note));
        }
        let needs_none = matches!(
            self.life.state(),
            State::Stopped | State::Idle | State::Backoff { .. } | State::Open { .. }
        );
        ensure!(!needs_none || self.process.is_none(), "a process in {:?}", self.life.state());
        Ok(())
    }

    fn start(&mut self, incarnation: Incarnation) {
        self.after(Duration::ZERO, Event::Granted(incarnation));
        let Some(handshake) = self.course.handshake else { return };
        self.after(handshake, Event::Connected(incarnation));
        if let Some((after, failure)) = self.course.end {
            self.after(handshake + after, Event::Failed { incarnation, failure });
        }
    }

    fn close(&mut self, incarnation: Incarnation) {
        match self.course.gone {
            Some(time) => self.after(time, Event::Gone { incarnation }),
            None => self.after(TRIED, Event::NotGone { incarnation }),
        }
    }

    /// When the breaker opened, each time.
    pub(crate) fn trips(&self) -> Vec<Time> {
        let is_trip = |note: &Note| matches!(note, Note::Tripped { .. });
        self.notes.iter().filter(|(_, note)| is_trip(note)).map(|(time, _)| *time).collect()
    }

    /// How many deaths were counted.
    pub(crate) fn deaths(&self) -> usize {
        let is_death = |note: &Note| matches!(note, Note::Died { counted: true, .. });
        self.notes.iter().filter(|(_, note)| is_death(note)).count()
    }
}
