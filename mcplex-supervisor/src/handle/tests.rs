//! Every order in which the task and its callers can come to the ledger of calls.
//!
//! The ledger is all that they share while a call is on its way, each step holds its one lock from
//! beginning to end, and so the orders of whole steps are all orders there are: a few thousand,
//! tried one by one.

use super::*;

/// What the task does with its calls, in its own order.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Sends(u64),
    Hears(u64),
    Dies,
}

/// How far a caller is: it asks, goes (the reply's receiver is dropped), and is forgotten.
const CALLER_STEPS: usize = 2;

struct Play {
    shared: Shared,
    /// The task's side of calls it was given and has not sent.
    given: BTreeMap<u64, Answer>,
    receivers: BTreeMap<u64, oneshot::Receiver<Result<Reply, UpstreamError>>>,
    was_answered: BTreeMap<u64, usize>,
    sent: BTreeMap<u64, usize>,
}

impl Play {
    fn new(calls: &[u64]) -> Self {
        let shared = Shared::new(UpstreamName::new("a").unwrap(), Duration::from_secs(1));
        let (mut given, mut receivers) = (BTreeMap::new(), BTreeMap::new());
        for id in calls {
            let (reply, answer) = oneshot::channel();
            given.insert(*id, reply);
            receivers.insert(*id, answer);
        }
        Self { shared, given, receivers, was_answered: BTreeMap::new(), sent: BTreeMap::new() }
    }

    fn task(&mut self, deed: Deed) {
        match deed {
            Deed::Sends(id) => {
                let reply = self.given.remove(&id).unwrap();
                let was_wanted = !reply.is_closed();
                let sent = Sent {
                    reply,
                    trace: None,
                    is_upkeep: id == 9,
                    is_read: false,
                    method: "a".into(),
                    params: None,
                    at: Time(0),
                    until: None,
                };
                let took_off = self.shared.takes_off(id, sent);
                assert_eq!(took_off, was_wanted);
                *self.sent.entry(id).or_default() += usize::from(took_off);
            }
            Deed::Hears(id) => {
                if let Some(sent) = self.shared.lands(id) {
                    self.answer(id, sent);
                }
            }
            Deed::Dies => {
                for (id, sent) in self.shared.take_sent() {
                    self.answer(id, sent);
                }
            }
        }
    }

    fn answer(&mut self, id: u64, sent: Sent) {
        *self.was_answered.entry(id).or_default() += 1;
        drop(sent.reply.send(Err(self.shared.stopped())));
    }

    fn caller(&mut self, id: u64, step: usize) {
        match step {
            0 => drop(self.receivers.remove(&id)),
            _ => drop(self.shared.lands(id)),
        }
    }

    /// The count is what the table holds, at every moment.
    fn check(&self) {
        let ledger = lock(&self.shared.sent);
        let clients = ledger.calls.values().filter(|sent| !sent.is_upkeep).count();
        assert_eq!(ledger.clients, clients);
    }
}

/// Tries every order in which the task's deeds and the callers' steps can be mixed.
fn every_order(deeds: &[Deed], callers: &[u64], check: &dyn Fn(&Play)) -> usize {
    fn go(order: &mut Vec<usize>, left: &mut [usize], all: &mut Vec<Vec<usize>>) {
        if left.iter().all(|left| *left == 0) {
            all.push(order.clone());
            return;
        }
        for actor in 0..left.len() {
            if left[actor] > 0 {
                left[actor] -= 1;
                order.push(actor);
                go(order, left, all);
                order.pop();
                left[actor] += 1;
            }
        }
    }
    let mut left = vec![deeds.len()];
    left.extend(callers.iter().map(|_| CALLER_STEPS));
    let mut all = Vec::new();
    go(&mut Vec::new(), &mut left, &mut all);
    for order in &all {
        let mut play = Play::new(&[1, 2, 9]);
        let mut steps = vec![0; 1 + callers.len()];
        for actor in order {
            let step = steps[*actor];
            steps[*actor] += 1;
            match actor {
                0 => play.task(deeds[step]),
                _ => play.caller(callers[actor - 1], step),
            }
            play.check();
        }
        check(&play);
    }
    all.len()
}

#[test]
fn in_no_order_is_a_call_answered_twice_or_left_in_the_ledger() {
    use Deed::{Dies, Hears, Sends};
    let orders = every_order(&[Sends(1), Sends(2), Hears(1), Dies, Sends(9)], &[1, 2], &|play| {
        assert!(play.was_answered.values().all(|times| *times == 1), "{:?}", play.was_answered);
        assert!(play.sent.values().all(|times| *times <= 1));
        let ledger = lock(&play.shared.sent);
        // Both callers went; only the call whose caller still waits may be left.
        assert!(ledger.calls.keys().all(|id| *id == 9), "{:?}", ledger.calls.keys());
    });
    assert_eq!(orders, 756);
    // A late answer and a death after each other take a call once.
    let orders =
        every_order(&[Sends(1), Sends(2), Sends(9), Hears(2), Hears(2), Dies], &[1], &|play| {
            assert!(lock(&play.shared.sent).calls.is_empty());
            assert_eq!(play.was_answered[&2], 1, "whoever waits gets one answer");
            assert_eq!(play.was_answered[&9], 1);
            assert!(play.was_answered.get(&1).is_none_or(|times| *times == 1));
        });
    assert_eq!(orders, 28);
}
