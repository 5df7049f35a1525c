//! What happens to upstreams, as it happens: each change once, numbered, for whoever listens.
//!
//! The last events of each upstream are kept, so that an upstream that dies in a loop pushes out
//! its own past and nobody else's. Who listens too slowly misses the oldest, and is told how many.

use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::sync::broadcast::{self, error::RecvError};

/// Events that are kept of each upstream: six lives of about six events each, which is one trip,
/// nearly three times.
const KEPT: usize = 100;

/// How far somebody who listens may fall behind; a hundred upstreams that start together say
/// about two things each.
const BEHIND: usize = 256;

/// How many may listen at once; a person has a handful of windows. Less than there may be
/// connections, so that some are left for questions.
const LISTENERS: usize = 16;

/// One thing that happened to an upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    /// Counts all events of this process, from 1.
    pub number: u64,
    /// When, in milliseconds of Unix time.
    pub at_ms: u64,
    /// `changed`, or `died` for the end of a life that nobody asked for.
    pub kind: Kind,
    /// To which upstream.
    pub upstream: String,
    /// To which of its children, where it has several.
    pub member: Option<String>,
    /// How it is then, in one word; nothing in `died`, which a `changed` follows.
    pub health: Option<String>,
    /// Which life.
    pub incarnation: u64,
    /// The process, while there is one.
    pub pid: Option<u32>,
    /// Deaths in the breaker's window.
    pub deaths: u32,
    /// Times the breaker tripped since the last reset or stable life.
    pub trips: u32,
    /// Why it is not ready, or how it died.
    pub what: Option<String>,
    /// When it will be tried again, in milliseconds after `at_ms`.
    pub retry_after_ms: Option<u64>,
    /// The trace of a death, if it is recorded.
    pub trace_id: Option<String>,
}

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Something in its status is another than before.
    #[default]
    Changed,
    /// A life ended that nobody asked to end.
    Died,
}

impl Kind {
    /// The word as it stands in JSON and in a stream.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Died => "died",
        }
    }
}

impl Event {
    /// Whether another one would say the same.
    fn says_as(&self, other: &Self) -> bool {
        // How long it still waits changes by itself; that it waits is said by the rest.
        let bare = |it: &Self| Self { number: 0, at_ms: 0, retry_after_ms: None, ..it.clone() };
        bare(self) == bare(other)
    }
}

/// Takes events and gives them to whoever listens; cheap to clone.
#[derive(Clone, Debug)]
pub struct Events(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    past: Mutex<Past>,
    out: broadcast::Sender<Arc<Event>>,
    /// Tells this process from the ones before it, which counted from 1 as well.
    run: u64,
}

#[derive(Debug, Default)]
struct Past {
    last: u64,
    of: BTreeMap<String, VecDeque<Arc<Event>>>,
}

impl Default for Events {
    /// Nothing has happened.
    fn default() -> Self {
        let (out, _) = broadcast::channel(BEHIND);
        Self(Arc::new(Shared { past: Mutex::default(), out, run: unix_ms() }))
    }
}

impl Events {
    /// Takes an event, and gives it its number; one that says what the last one of the same child
    /// said is none.
    pub fn tell(&self, event: Event) {
        let mut past = lock(&self.0.past);
        let of = past.of.entry(event.upstream.clone()).or_default();
        let before = of.iter().rev().find(|it| it.member == event.member);
        if event.kind == Kind::Changed && before.is_some_and(|before| before.says_as(&event)) {
            return;
        }
        past.last += 1;
        let event = Arc::new(Event { number: past.last, ..event });
        let of = past.of.entry(event.upstream.clone()).or_default();
        if of.len() >= KEPT {
            of.pop_front();
        }
        of.push_back(Arc::clone(&event));
        // Under the lock, so that all hear the same order. Nobody may be there to hear it.
        let _is_heard = self.0.out.send(event).is_ok();
    }

    /// Forgets upstreams that are none of these.
    pub fn keep<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        let names: Vec<_> = names.into_iter().collect();
        lock(&self.0.past).of.retain(|name, _| names.contains(&&**name));
    }

    /// What is kept of one upstream or of all, oldest first.
    #[must_use]
    pub fn past(&self, upstream: Option<&str>) -> Vec<Arc<Event>> {
        let past = lock(&self.0.past);
        let wanted = |name: &str| upstream.is_none_or(|upstream| upstream == name);
        let of = past.of.iter().filter(|(name, _)| wanted(name));
        let mut events: Vec<_> = of.flat_map(|(_, events)| events.iter().cloned()).collect();
        events.sort_by_key(|event| event.number);
        events
    }

    /// Listens from now on; `None` when as many listen as may.
    #[must_use]
    pub fn listen(&self) -> Option<Listener> {
        // Of two that come at the same time one may be too many, which harms nobody.
        let has_room = self.0.out.receiver_count() < LISTENERS;
        has_room.then(|| Listener {
            run: self.0.run,
            before: VecDeque::new(),
            news: self.0.out.subscribe(),
        })
    }

    /// The same for somebody who was cut off after the event of this id: what is kept of those since
    /// comes first. All that is kept does when it was an event of another process.
    #[must_use]
    pub fn listen_after(&self, id: &str) -> Option<Listener> {
        let past = lock(&self.0.past);
        // Under the lock, so that nothing is heard twice and nothing falls between.
        let mut listener = self.listen()?;
        let (run, number) = id.split_once('-').unwrap_or_default();
        let is_ours = run.parse() == Ok(self.0.run);
        let last = number.parse().ok().filter(|_| is_ours).unwrap_or(0).min(past.last);
        let of = past.of.values().flatten().filter(|event| event.number > last);
        let mut since: Vec<_> = of.cloned().collect();
        since.sort_by_key(|event| event.number);
        let missed = (past.last - last).saturating_sub(since.len() as u64);
        let gap = (missed > 0).then_some(Heard::Missed(missed));
        listener.before = gap.into_iter().chain(since.into_iter().map(Heard::Event)).collect();
        Some(listener)
    }
}

/// Somebody who listens.
#[derive(Debug)]
pub struct Listener {
    run: u64,
    /// What happened before it listened, and is wanted.
    before: VecDeque<Heard>,
    news: broadcast::Receiver<Arc<Event>>,
}

/// What somebody who listens hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// This happened.
    Event(Arc<Event>),
    /// So many events were dropped, because they came faster than they were taken.
    Missed(u64),
}

impl Listener {
    /// Waits for the next event; `None` when there will be none.
    pub async fn next(&mut self) -> Option<Heard> {
        if let Some(heard) = self.before.pop_front() {
            return Some(heard);
        }
        match self.news.recv().await {
            Ok(event) => Some(Heard::Event(event)),
            Err(RecvError::Lagged(missed)) => Some(Heard::Missed(missed)),
            Err(RecvError::Closed) => None,
        }
    }
}

impl Listener {
    /// What somebody who hears this event can go on after.
    #[must_use]
    pub fn id_of(&self, event: &Event) -> String {
        format!("{}-{}", self.run, event.number)
    }
}

/// When this process began, as people call it.
#[expect(clippy::disallowed_methods, reason = "only tells two processes apart")]
fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Locks for a moment, never over a wait.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(upstream: &str, incarnation: u64) -> Event {
        Event { upstream: upstream.to_owned(), incarnation, ..Event::default() }
    }

    #[tokio::test]
    async fn each_change_is_heard_once_and_in_order() {
        let events = Events::default();
        let mut listener = events.listen().unwrap();
        for one in [event("a", 1), Event { retry_after_ms: Some(5), ..event("a", 1) }] {
            events.tell(one);
        }
        events.tell(Event { member: Some("a/2".to_owned()), ..event("a", 1) });
        events.tell(event("b", 1));
        events.tell(event("a", 2));
        let mut numbers = Vec::new();
        for _ in 0..4 {
            let Some(Heard::Event(event)) = listener.next().await else { panic!("no event") };
            numbers.push((event.number, event.upstream.clone()));
        }
        let expect = [(1, "a"), (2, "a"), (3, "b"), (4, "a")];
        assert_eq!(numbers, expect.map(|(number, name)| (number, name.to_owned())));
        let past: Vec<_> = events.past(Some("a")).iter().map(|event| event.number).collect();
        assert_eq!(past, [1, 2, 4]);
    }

    #[tokio::test]
    async fn who_is_too_slow_is_told_how_much_is_missing() {
        let events = Events::default();
        let mut listener = events.listen().unwrap();
        let more = 10;
        for incarnation in 0..(BEHIND as u64 + more) {
            events.tell(event("a", incarnation));
        }
        assert_eq!(listener.next().await, Some(Heard::Missed(more)));
        let Some(Heard::Event(next)) = listener.next().await else { panic!("no event") };
        assert_eq!(next.number, more + 1);
    }

    #[tokio::test]
    async fn who_was_cut_off_goes_on_where_it_was() {
        let events = Events::default();
        for incarnation in 1..=3 {
            events.tell(event("a", incarnation));
        }
        let id = |number| {
            let listener = events.listen().unwrap();
            listener.id_of(&Event { number, ..Event::default() })
        };
        let heard = async |id: &str| {
            let mut listener = events.listen_after(id).unwrap();
            let mut heard = Vec::new();
            while !listener.before.is_empty() {
                heard.push(match listener.next().await.unwrap() {
                    Heard::Event(event) => event.number,
                    Heard::Missed(count) => count * 1000,
                });
            }
            heard
        };
        assert_eq!(heard(&id(1)).await, [2, 3]);
        assert_eq!(heard(&id(3)).await, Vec::<u64>::new());
        // Of another process, or of nobody.
        assert_eq!(heard("7-2").await, [1, 2, 3]);
        assert_eq!(heard("nonsense").await, [1, 2, 3]);
        // More than is kept has happened since.
        for incarnation in 0..2 * KEPT as u64 {
            events.tell(event("a", 10 + incarnation));
        }
        let since = heard(&id(3)).await;
        assert_eq!((since.len(), since[0]), (KEPT + 1, KEPT as u64 * 1000));
        // Then whatever is new.
        let mut listener = events.listen_after(&id(u64::MAX)).unwrap();
        events.tell(event("b", 1));
        assert!(
            matches!(listener.next().await, Some(Heard::Event(event)) if event.upstream == "b")
        );
    }

    #[test]
    fn a_loop_pushes_out_only_its_own_past() {
        let events = Events::default();
        events.tell(event("calm", 1));
        for incarnation in 0..10 * KEPT as u64 {
            events.tell(event("loop", incarnation));
        }
        assert_eq!(events.past(Some("calm")).len(), 1);
        assert_eq!(events.past(None).len(), KEPT + 1);
        events.keep(["calm"]);
        assert_eq!(events.past(None).len(), 1);
    }

    #[test]
    fn only_so_many_may_listen() {
        let events = Events::default();
        let listeners: Vec<_> = (0..LISTENERS).map(|_| events.listen().unwrap()).collect();
        assert!(events.listen().is_none());
        drop(listeners);
        assert!(events.listen().is_some());
    }
}
