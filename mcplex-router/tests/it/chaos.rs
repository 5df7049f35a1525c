//! Whatever happens in whatever order: every request of a client ends once, and every question of
//! an upstream gets one answer as long as the life that asked is there.

use crate::world::{Going, Peer, World};
use mcplex_proto::upstream::Health;
use proptest::prelude::*;
use std::collections::BTreeSet;

#[derive(Clone, Copy, Debug)]
enum Step {
    Arrive,
    Leave(usize),
    Vanish(usize),
    Call(usize, usize),
    Cancel(usize, usize),
    End(usize),
    Question(usize),
    TakeBack(usize),
    Reply(usize, usize),
    Subscribe(usize),
    Unsubscribe(usize),
    Die(usize),
    Change(usize),
    Wake,
}

fn step() -> impl Strategy<Value = Step> {
    let (peer, id, upstream) = (0..4usize, 1..4usize, 0..2usize);
    prop_oneof![
        2 => Just(Step::Arrive),
        1 => peer.clone().prop_map(Step::Leave),
        1 => peer.clone().prop_map(Step::Vanish),
        6 => (peer.clone(), id.clone()).prop_map(|(peer, id)| Step::Call(peer, id)),
        2 => (peer.clone(), id).prop_map(|(peer, id)| Step::Cancel(peer, id)),
        4 => upstream.clone().prop_map(Step::End),
        6 => upstream.clone().prop_map(Step::Question),
        1 => upstream.clone().prop_map(Step::TakeBack),
        4 => (peer.clone(), 1..6usize).prop_map(|(peer, id)| Step::Reply(peer, id)),
        2 => peer.clone().prop_map(Step::Subscribe),
        2 => peer.prop_map(Step::Unsubscribe),
        1 => upstream.clone().prop_map(Step::Die),
        1 => upstream.prop_map(Step::Change),
        1 => Just(Step::Wake),
    ]
}

/// The test's side of the story.
struct Story {
    world: World,
    peers: Vec<Peer>,
    going: Vec<Going>,
    lives: [u64; 2],
    questions: u64,
    /// Open questions per upstream, by its id.
    open: [BTreeSet<u64>; 2],
}

impl Story {
    fn new() -> Self {
        let mut world = World::new(&["a", "b"]);
        for index in 0..2 {
            let upstream = &world.upstreams[index];
            let all = r#"{"tools":{},"resources":{"subscribe":true}}"#;
            upstream.introduces(all, None);
            let tools = format!(r#"{{"tools":[{{"name":"echo"}},{{"name":"own{index}"}}]}}"#);
            upstream.lists("tools/list", &[&tools]);
            let resources = format!(r#"{{"resources":[{{"uri":"x://{index}"}}]}}"#);
            upstream.lists("resources/list", &[&resources]);
            upstream.lists("resources/templates/list", &[r#"{"resourceTemplates":[]}"#]);
            world.ready(index, 1);
        }
        let (peers, going) = (Vec::new(), Vec::new());
        Self { world, peers, going, lives: [1; 2], questions: 0, open: Default::default() }
    }

    fn ask(&mut self, peer: usize, request: &str) {
        if let Some(peer) = self.peers.get(peer) {
            self.going.push(self.world.ask(peer, request));
        }
    }

    fn tell(&mut self, peer: usize, text: &str) {
        if let Some(peer) = self.peers.get(peer) {
            self.world.tell(peer, text);
        }
    }

    fn act(&mut self, step: Step) {
        match step {
            Step::Arrive if self.peers.len() < 4 => {
                let peer = self.world.arrives(r#"{"sampling":{}}"#);
                self.peers.push(peer);
            }
            Step::Arrive => {}
            Step::Leave(peer) if peer < self.peers.len() => {
                self.peers.remove(peer).session.close();
                self.world.run();
            }
            Step::Leave(_) => {}
            Step::Vanish(peer) => self.peers.get(peer).iter().for_each(|peer| peer.client.goes()),
            Step::Call(peer, id) => {
                let name = ["own0", "own1", "a__echo"][id - 1];
                self.ask(peer, &format!(
                    r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{name}"}}}}"#
                ));
            }
            Step::Cancel(peer, id) => self.tell(peer, &format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#
            )),
            Step::End(index) => self.end(index),
            Step::Question(index) => {
                self.questions += 1;
                let id = self.questions;
                self.open[index].insert(id);
                self.world.says(index, &format!(
                    r#"{{"jsonrpc":"2.0","id":{id},"method":"sampling/createMessage","params":{{}}}}"#
                ));
            }
            Step::TakeBack(index) => {
                if let Some(id) = self.open[index].pop_first() {
                    self.world.says(index, &format!(
                        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#
                    ));
                }
            }
            Step::Reply(peer, id) => {
                self.tell(peer, &format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#));
            }
            Step::Subscribe(peer) => self.subscription(peer, "subscribe"),
            Step::Unsubscribe(peer) => self.subscription(peer, "unsubscribe"),
            Step::Die(index) => {
                self.world.down(index, Health::Recovering);
                self.look();
                self.open[index].clear();
                self.lives[index] += 1;
                self.world.ready(index, self.lives[index]);
            }
            Step::Change(index) => self.world.says(
                index,
                r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#,
            ),
            Step::Wake => {
                self.world.clock.wake();
                self.world.run();
            }
        }
        self.look();
    }

    fn subscription(&mut self, peer: usize, verb: &str) {
        self.ask(peer, &format!(
            r#"{{"jsonrpc":"2.0","id":"{verb}","method":"resources/{verb}","params":{{"uri":"x://1"}}}}"#
        ));
    }

    fn end(&mut self, index: usize) {
        if !self.world.upstreams[index].calls().is_empty() {
            self.world.upstreams[index].answers("{}");
            self.world.run();
        }
    }

    /// Every answer to an upstream is one to an open question.
    fn look(&mut self) {
        for (index, open) in self.open.iter_mut().enumerate() {
            for (to, text) in self.world.upstreams[index].take_sent_to() {
                if text.contains(r#""method""#) {
                    continue;
                }
                assert_eq!(to, Some(self.lives[index]), "{text}");
                let (_, id) = text.split_once(r#""id":"#).unwrap();
                let id = id.split(',').next().unwrap().parse().unwrap();
                assert!(open.remove(&id), "nobody asked: {text}");
            }
        }
    }

    fn ends(mut self) {
        for index in [0, 1] {
            while !self.world.upstreams[index].calls().is_empty() {
                self.end(index);
            }
        }
        assert!(self.going.iter().all(Going::is_done));
        for peer in std::mem::take(&mut self.peers) {
            peer.session.close();
        }
        self.look();
        assert_eq!(self.open, [BTreeSet::new(), BTreeSet::new()], "questions without an answer");
        // Nothing is left of anybody: a new client alone is whom everybody means.
        let peer = self.world.client(r#"{"sampling":{}}"#);
        self.world.says(
            0,
            r#"{"jsonrpc":"2.0","id":9999,"method":"sampling/createMessage","params":{}}"#,
        );
        let got = peer.client.take_about();
        assert!(got.len() == 1 && got[0].1.is_none(), "{got:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]
    #[test]
    fn nothing_is_answered_twice_and_nothing_is_left(
        steps in prop::collection::vec(step(), 1..80)
    ) {
        let mut story = Story::new();
        for step in steps {
            story.act(step);
        }
        story.ends();
    }
}
