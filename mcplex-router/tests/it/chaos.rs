//! Whatever happens in whatever order: every request of a client ends once and reaches one child at
//! most, and every question of a child gets one answer as long as the life that asked is there.
//!
//! The router is futures and short locks without a runtime, so the order in which things happen is
//! all that a scheduler could vary; here a seed does. `PROPTEST_CASES` says how many are told.

use crate::{
    fake::message,
    modern,
    siblings::{Child, Siblings},
    world::{Going, Peer, World},
};
use mcplex_proto::{
    upstream::{Health, UpstreamError, UpstreamName},
    version::Version,
};
use mcplex_router::Isolation;
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

#[derive(Clone, Copy, Debug)]
enum Step {
    Arrive,
    Leave(usize),
    Vanish(usize),
    Call(usize, usize),
    Cancel(usize, usize),
    /// Somebody without a session calls.
    Visit(usize, usize),
    /// Somebody brings answers to what a visitor was asked, perhaps for the second time.
    Return(usize, usize),
    /// A visitor's stream is closed.
    Close(usize),
    Reply(usize, usize),
    Subscribe(usize),
    Unsubscribe(usize),
    /// A stateless request: whose, and for which tool.
    Pass(usize, usize),
    /// A stateless request that lasts.
    Listen(usize),
    /// Whoever came for one request goes.
    Depart(usize),
    Wake,
    Add,
    Configure(usize, Change),
    Act(usize, Act),
}

/// What a changed configuration says of an upstream.
#[derive(Clone, Copy, Debug)]
enum Change {
    Replace,
    Remove,
    Isolate(Isolation),
}

/// What a child does.
#[derive(Clone, Copy, Debug)]
enum Act {
    End,
    Question,
    TakeBack,
    Die,
    Rest,
    Change,
    Retire,
}

/// Of those who come for one request.
const PRINCIPALS: usize = 3;

const TOOLS: [&str; 3] = ["own0", "own1", "a__echo"];

/// Upstreams that are ever added, with those of the beginning.
const MAX_UPSTREAMS: usize = 6;

fn step() -> impl Strategy<Value = Step> {
    let (peer, id, child) = (0..4usize, 1..4usize, 0..12usize);
    prop_oneof![
        2 => Just(Step::Arrive),
        1 => peer.clone().prop_map(Step::Leave),
        1 => peer.clone().prop_map(Step::Vanish),
        6 => (peer.clone(), id.clone()).prop_map(|(peer, id)| Step::Call(peer, id)),
        2 => (peer.clone(), id).prop_map(|(peer, id)| Step::Cancel(peer, id)),
        4 => (peer.clone(), 1..6usize).prop_map(|(peer, id)| Step::Reply(peer, id)),
        4 => (0..2usize, 0..3usize).prop_map(|(who, tool)| Step::Visit(who, tool)),
        4 => (0..8usize, 0..3usize).prop_map(|(visit, who)| Step::Return(visit, who)),
        1 => (0..8usize).prop_map(Step::Close),
        2 => peer.clone().prop_map(Step::Subscribe),
        2 => peer.clone().prop_map(Step::Unsubscribe),
        5 => (peer.clone(), 1..4usize).prop_map(|(who, tool)| Step::Pass(who, tool)),
        2 => peer.clone().prop_map(Step::Listen),
        2 => peer.prop_map(Step::Depart),
        3 => Just(Step::Wake),
        1 => Just(Step::Add),
        4 => (child.clone(), change()).prop_map(|(index, change)| Step::Configure(index, change)),
        15 => (child, act()).prop_map(|(child, act)| Step::Act(child, act)),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        1 => Just(Change::Replace),
        1 => Just(Change::Remove),
        2 => isolation().prop_map(Change::Isolate),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => Just(Act::End),
        6 => Just(Act::Question),
        1 => Just(Act::TakeBack),
        1 => Just(Act::Die),
        1 => Just(Act::Rest),
        1 => Just(Act::Change),
        1 => Just(Act::Retire),
    ]
}

fn isolation() -> impl Strategy<Value = Isolation> {
    prop_oneof![
        Just(Isolation::Shared),
        (1..3usize).prop_map(|limit| Isolation::Session { limit }),
        (1..4usize).prop_map(|size| Isolation::Pool { size }),
    ]
}

/// A child of any upstream, as the test sees it.
struct Role {
    child: Child,
    life: u64,
    /// Its open questions.
    open: BTreeSet<u64>,
    /// Nobody calls it any more; its calls go on until it is retired.
    is_leaving: bool,
    is_over: bool,
}

/// A call of somebody without a session.
struct Visit {
    peer: Peer,
    going: Going,
    who: usize,
    /// Its parameters but for the envelope.
    params: String,
}

/// The test's side of the story.
struct Story {
    world: World,
    visits: Vec<Visit>,
    /// Requests that tried to go on with another's call.
    thefts: Vec<Going>,
    peers: Vec<Peer>,
    going: Vec<Going>,
    /// Who came for one request, and what lasts until they go.
    passing: Vec<Peer>,
    lasting: Vec<Going>,
    questions: u64,
    roles: Vec<Role>,
    /// The role of the first child of each upstream that is there, by its index in the world.
    firsts: BTreeMap<usize, usize>,
    siblings: BTreeMap<usize, Arc<Siblings>>,
    added: usize,
}

impl Story {
    fn new() -> Self {
        let world = World::new(&[]);
        let mut story = Self {
            world,
            visits: Vec::new(),
            thefts: Vec::new(),
            peers: Vec::new(),
            going: Vec::new(),
            passing: Vec::new(),
            lasting: Vec::new(),
            questions: 0,
            roles: Vec::new(),
            firsts: BTreeMap::new(),
            siblings: BTreeMap::new(),
            added: 0,
        };
        story.add();
        story.add();
        story
    }

    fn add(&mut self) {
        let name = ["a", "b", "c", "d", "e", "f"][self.added];
        self.added += 1;
        let index = self.world.add(name);
        self.siblings.insert(index, Arc::default());
        self.introduce(index);
    }

    /// The upstream with this index has a new first child.
    fn introduce(&mut self, index: usize) {
        let upstream = &self.world.upstreams[index];
        let capabilities =
            r#"{"tools":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true}}"#;
        upstream.introduces(capabilities, None);
        // Every other one belongs to the stateless era, and a new configuration to the other one.
        if self.roles.len() % 2 == 1 {
            upstream.speaks(Version::LATEST_MODERN);
        }
        let tools = format!(r#"{{"tools":[{{"name":"echo"}},{{"name":"own{index}"}}]}}"#);
        upstream.lists("tools/list", &[&tools]);
        let resources = format!(r#"{{"resources":[{{"uri":"x://{index}"}}]}}"#);
        upstream.lists("resources/list", &[&resources]);
        upstream.lists("resources/templates/list", &[r#"{"resourceTemplates":[]}"#]);
        self.firsts.insert(index, self.roles.len());
        let child = self.world.child(index);
        self.enter(child);
    }

    fn enter(&mut self, child: Child) {
        child.ready(1);
        let role =
            Role { child, life: 1, open: BTreeSet::new(), is_leaving: false, is_over: false };
        self.roles.push(role);
        self.world.run();
    }

    /// Brings in the children that the router had made, and ends those it had closed.
    fn follow(&mut self) {
        let siblings: Vec<_> = self.siblings.values().cloned().collect();
        for siblings in siblings {
            for child in siblings.all() {
                if self.role_of(&child).is_none() {
                    self.enter(child);
                }
            }
            for child in siblings.take_gone() {
                match self.role_of(&child) {
                    Some(role) => self.retire(role),
                    // It came and went within one step.
                    None => end_all(&child),
                }
            }
        }
        self.world.run();
    }

    fn role_of(&self, child: &Child) -> Option<usize> {
        self.roles.iter().position(|role| Arc::ptr_eq(&role.child.upstream, &child.upstream))
    }

    /// Its supervisor ends it: whoever waits is told.
    fn retire(&mut self, role: usize) {
        self.look();
        let role = &mut self.roles[role];
        role.is_over = true;
        role.open.clear();
        end_all(&role.child);
        role.child.down(Health::Stopped);
        self.world.run();
    }

    /// Somebody who comes for one request: one of two that were proven, or anybody.
    fn passes(&self, who: usize) -> Peer {
        self.world.passer_by([None, Some("x"), Some("y"), None][who])
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
                self.peers.push(self.world.arrives(r#"{"sampling":{}}"#));
            }
            Step::Arrive => {}
            Step::Leave(peer) if peer < self.peers.len() => {
                self.peers.remove(peer).session.close();
                self.world.run();
            }
            Step::Leave(_) => {}
            Step::Vanish(peer) => self.peers.get(peer).iter().for_each(|peer| peer.client.goes()),
            Step::Call(peer, id) => {
                let name = TOOLS[id - 1];
                let number = self.going.len();
                self.ask(peer, &format!(
                    r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{name}","arguments":{{"n":{number}}}}}}}"#
                ));
            }
            Step::Cancel(peer, id) => self.tell(peer, &format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#
            )),
            Step::Reply(peer, id) => {
                self.tell(peer, &format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#));
            }
            Step::Pass(who, tool) => {
                let (name, number) = (TOOLS[tool - 1], self.going.len());
                let peer = self.passes(who);
                let members = format!(r#","name":"{name}","arguments":{{"n":{number}}}"#);
                let going = self.world.ask(&peer, &modern::request("1", "tools/call", &members));
                self.going.push(going);
                self.passing.push(peer);
            }
            Step::Listen(who) => {
                let peer = self.passes(who);
                let filter = r#","notifications":{"toolsListChanged":true,"resourceSubscriptions":["x://1","x://2"]}"#;
                let text = modern::request("1", "subscriptions/listen", filter);
                self.lasting.push(self.world.ask(&peer, &text));
                self.passing.push(peer);
            }
            Step::Depart(index) if index < self.passing.len() => {
                self.passing.remove(index).session.close();
                self.world.run();
            }
            Step::Depart(_) => {}
            Step::Visit(who, tool) => {
                let name = ["own0", "own1", "a__echo"][tool];
                let number = self.going.len();
                self.visit(who, format!(r#""name":"{name}","arguments":{{"n":{number}}}"#), "");
            }
            Step::Return(visit, who) => self.comes_back(visit, who),
            Step::Close(visit) => {
                self.visits.get(visit).iter().for_each(|visit| visit.peer.session.close());
                self.world.run();
            }
            Step::Subscribe(peer) => self.subscription(peer, "subscribe"),
            Step::Unsubscribe(peer) => self.subscription(peer, "unsubscribe"),
            Step::Wake => {
                self.world.clock.wake();
                self.world.run();
            }
            Step::Add if self.added < MAX_UPSTREAMS => self.add(),
            Step::Add => {}
            Step::Configure(index, change) => self.configure(index % self.added, change),
            Step::Act(child, act) => self.play(child % self.roles.len(), act),
        }
        self.look();
        self.follow();
        self.look();
    }

    /// Somebody without a session calls.
    fn visit(&mut self, who: usize, params: String, more: &str) {
        let peer = self.world.passer_by(["ann", "bob"].get(who).copied());
        let meta = modern::meta(r#"{"sampling":{}}"#, "");
        let going = self.world.ask(&peer, &format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{{params},{meta}{more}}}}}"#
        ));
        self.going.push(going.clone());
        self.visits.push(Visit { peer, going, who, params });
    }

    /// Somebody answers what a visitor was asked; nobody but that visitor may.
    fn comes_back(&mut self, visit: usize, who: usize) {
        let Some(visit) = self.visits.get(visit).filter(|visit| visit.going.is_done()) else {
            return;
        };
        let (by, params) = (visit.who, visit.params.clone());
        let Some(text) = visit.going.answer() else { return };
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
        let Some(asked) = answer["result"]["inputRequests"].as_object() else { return };
        let given: BTreeMap<_, _> =
            asked.keys().map(|key| (key, serde_json::json!({"a": 1}))).collect();
        let more = format!(
            r#","requestState":{},"inputResponses":{}"#,
            answer["result"]["requestState"],
            serde_json::to_string(&given).unwrap()
        );
        self.visit(who, params, &more);
        // It may wait first for an upstream that is still starting.
        if who != by {
            self.thefts.extend(self.going.last().cloned());
        }
    }

    fn subscription(&mut self, peer: usize, verb: &str) {
        self.ask(peer, &format!(
            r#"{{"jsonrpc":"2.0","id":"{verb}","method":"resources/{verb}","params":{{"uri":"x://1"}}}}"#
        ));
    }

    /// The configuration changes.
    fn configure(&mut self, index: usize, change: Change) {
        let Some(&first) = self.firsts.get(&index) else { return };
        match change {
            Change::Replace if self.world.upstreams.len() < 2 * MAX_UPSTREAMS => {
                self.world.replace(index);
                self.roles[first].is_leaving = true;
                self.introduce(index);
            }
            Change::Replace => {}
            Change::Remove => {
                self.world.remove(index);
                self.roles[first].is_leaving = true;
                self.firsts.remove(&index);
            }
            Change::Isolate(isolation) => {
                let siblings = self.siblings[&index].clone();
                self.world.isolate(index, isolation, &siblings);
            }
        }
    }

    /// A child does something.
    fn play(&mut self, index: usize, act: Act) {
        let role = &mut self.roles[index];
        if role.is_over {
            return;
        }
        let says = |text: &str| {
            role.child.events.message(role.child.upstream.incarnation(), message(text), None);
        };
        match act {
            Act::End if role.child.upstream.calls().is_empty() => {}
            Act::End => role.child.upstream.answers("{}"),
            Act::Question => {
                self.questions += 1;
                let id = self.questions;
                // A stateless one gets no answer to what it may not ask.
                if !role.child.upstream.is_modern() {
                    role.open.insert(id);
                }
                says(&format!(
                    r#"{{"jsonrpc":"2.0","id":{id},"method":"sampling/createMessage","params":{{}}}}"#
                ));
            }
            Act::TakeBack => {
                if let Some(id) = role.open.pop_first() {
                    says(&format!(
                        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#
                    ));
                }
            }
            Act::Change => {
                says(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#);
            }
            Act::Die => self.ends_life(index, Health::Recovering),
            Act::Rest => self.ends_life(index, Health::Idle),
            Act::Retire if role.is_leaving => self.retire(index),
            Act::Retire => {}
        }
        self.world.run();
    }

    fn ends_life(&mut self, index: usize, health: Health) {
        self.roles[index].child.down(health);
        self.world.run();
        self.look();
        let role = &mut self.roles[index];
        role.open.clear();
        role.life += 1;
        if health != Health::Idle {
            role.child.ready(role.life);
        }
    }

    /// Every answer to a child is one to an open question of its life.
    fn look(&mut self) {
        for role in &mut self.roles {
            for (to, text) in role.child.upstream.take_sent_to() {
                if text.contains(r#""method""#) {
                    continue;
                }
                let (_, id) = text.split_once(r#""id":"#).unwrap();
                let id = id.split(',').next().unwrap().parse().unwrap();
                assert!(role.open.remove(&id), "nobody asked: {text}");
                assert_eq!(to, Some(role.child.upstream.incarnation().0), "{text}");
            }
        }
    }

    fn ends(mut self) {
        for role in 0..self.roles.len() {
            let child = self.roles[role].child.clone();
            while !child.upstream.calls().is_empty() {
                child.upstream.answers("{}");
                self.world.run();
            }
        }
        // Who waits for an upstream that is still starting waits no longer than it may, and no call
        // stays suspended.
        for _ in 0..3 {
            self.world.clock.wake();
            self.world.run();
            self.look();
        }
        self.follow();
        assert!(self.going.iter().all(Going::is_done));
        for theft in &self.thefts {
            // One that was closed wants no answer.
            if let Some(answer) = theft.answer() {
                assert!(answer.contains(r#""error":"#), "another's call went on: {answer}");
            }
        }
        self.nothing_ran_twice();
        for peer in std::mem::take(&mut self.passing) {
            peer.session.close();
        }
        self.world.run();
        assert!(self.lasting.iter().all(Going::is_done));
        for peer in std::mem::take(&mut self.peers) {
            peer.session.close();
        }
        self.look();
        self.follow();
        for role in &self.roles {
            assert!(role.open.is_empty(), "questions without an answer: {:?}", role.open);
        }
        self.nothing_is_left();
    }

    fn nothing_ran_twice(&self) {
        let mut ran = BTreeSet::new();
        for taken in self.roles.iter().flat_map(|role| role.child.upstream.taken()) {
            if let Some((_, number)) = taken.split_once(r#""n":"#) {
                let number = number.split('}').next().unwrap().to_owned();
                assert!(ran.insert(number), "it ran twice: {taken}");
            }
        }
    }

    /// A new client alone is whom every first child means, and no client has a child left.
    fn nothing_is_left(&mut self) {
        let peer = self.world.client(r#"{"sampling":{}}"#);
        for (index, siblings) in &self.siblings {
            let keys = siblings.keys();
            let of_clients = |key| matches!(key, &mcplex_router::MemberKey::Session(_));
            // What was made for somebody without a session stays: nobody says that it has gone.
            assert!(keys.iter().filter(|key| of_clients(key)).count() <= PRINCIPALS);
            assert!(keys.is_empty() || self.firsts.contains_key(index), "of none that is there");
        }
        for (&index, &first) in &self.firsts {
            if self.roles[first].is_over || self.roles[first].child.upstream.is_modern() {
                continue;
            }
            let question =
                r#"{"jsonrpc":"2.0","id":9999,"method":"sampling/createMessage","params":{}}"#;
            self.world.says(index, question);
            let mut got = peer.client.take_about();
            got.retain(|(text, _)| text.contains("sampling"));
            assert!(got.len() == 1 && got[0].1.is_none(), "{got:?}");
        }
    }
}

fn end_all(child: &Child) {
    while !child.upstream.calls().is_empty() {
        let upstream = UpstreamName::new("a").unwrap();
        child.upstream.ends(Err(UpstreamError::Stopped { upstream, reason: None }));
    }
}

proptest! {
    #[test]
    fn nothing_is_answered_twice_and_nothing_is_left(
        steps in prop::collection::vec(step(), 1..120)
    ) {
        let mut story = Story::new();
        for step in steps {
            story.act(step);
        }
        story.ends();
    }
}
