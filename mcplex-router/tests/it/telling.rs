//! Whatever comes in whatever order: what a shared upstream asks in a call reaches nobody but the
//! client of that call, or is refused.
//!
//! The upstream says in each question which call it belongs to, which no real one does and the router
//! never reads. It asks in calls that are open, suspended, and given up, for as long as it is not known
//! to be done with them.

use crate::{
    modern,
    world::{Going, Peer, World},
};
use mcplex_proto::upstream::Health;
use mcplex_router::Options;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

const ALL: &str = r#"{"sampling":{},"elicitation":{},"roots":{}}"#;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Somebody calls: two that prove nothing, two that do, and three sessions.
    Call(usize),
    /// The upstream asks in one of its calls, for the second time perhaps.
    Ask(usize),
    /// It answers the oldest of them.
    Answer,
    /// Somebody brings what a suspended call asked for.
    Return(usize),
    /// A client gives up a call.
    GiveUp(usize),
    /// A session's client answers what it was asked.
    Reply(usize),
    /// Questions that are asked side by side were gathered.
    Moment,
    /// Nobody came back for as long as a question may wait.
    Expire,
}

/// Those who have a session, after those who have none.
const SESSIONS: [usize; 3] = [4, 5, 6];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..7usize).prop_map(Step::Call),
        8 => (0..12usize).prop_map(Step::Ask),
        2 => Just(Step::Answer),
        3 => (0..12usize).prop_map(Step::Return),
        2 => (0..12usize).prop_map(Step::GiveUp),
        2 => (0..3usize).prop_map(Step::Reply),
        4 => Just(Step::Moment),
        1 => Just(Step::Expire),
    ]
}

/// A call as its client knows it.
struct Made {
    /// Whose it is: two that prove nothing are never the same.
    whose: String,
    principal: Option<&'static str>,
    peer: Option<Peer>,
    session: Option<usize>,
    going: Going,
    /// What it asked for last, while it is suspended.
    required: Option<Value>,
    is_looked_at: bool,
    /// The upstream has answered it.
    is_answered: bool,
    /// How often questions had expired when its client gave it up.
    given_up: Option<usize>,
}

struct Story {
    world: World,
    sessions: Vec<Peer>,
    /// What each session's client was asked and has not answered.
    asked: [Vec<u64>; 3],
    made: Vec<Made>,
    questions: u64,
    /// How often each question was answered.
    answers: BTreeMap<u64, usize>,
    /// Questions that reached a client.
    told: usize,
    expired: usize,
}

impl Story {
    fn new() -> Self {
        Self::with(Options::default())
    }

    fn with(options: Options) -> Self {
        let mut world = World::with(options, &["a"]);
        world.upstreams[0].introduces(r#"{"tools":{}}"#, None);
        world.upstreams[0].lists("tools/list", &[r#"{"tools":[{"name":"one"}]}"#]);
        world.ready(0, 1);
        let sessions = vec![world.client(ALL), world.client(ALL), world.known("x", ALL)];
        Self {
            world,
            sessions,
            asked: Default::default(),
            made: Vec::new(),
            questions: 0,
            answers: BTreeMap::new(),
            told: 0,
            expired: 0,
        }
    }

    fn act(&mut self, step: Step) {
        match step {
            Step::Call(client) => self.calls(client),
            Step::Ask(call) => self.asks(call),
            Step::Answer => self.ends(),
            Step::Return(call) => self.comes_back(call),
            Step::GiveUp(call) => self.gives_up(call),
            Step::Reply(session) => {
                if let Some(id) = self.asked[session].pop() {
                    let answer = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#);
                    self.world.tell(&self.sessions[session], &answer);
                }
            }
            Step::Moment => {
                self.world.clock.wake_after(Duration::from_millis(50));
                self.world.run();
            }
            Step::Expire => self.expires(),
        }
        self.look();
    }

    fn calls(&mut self, client: usize) {
        let number = self.made.len();
        let arguments = format!(r#""name":"one","arguments":{{"n":{number}}}"#);
        let mut made = Made {
            whose: String::new(),
            principal: None,
            peer: None,
            session: SESSIONS.iter().position(|session| *session == client),
            going: Going::default(),
            required: None,
            is_looked_at: false,
            is_answered: false,
            given_up: None,
        };
        if let Some(session) = made.session {
            let text = format!(
                r#"{{"jsonrpc":"2.0","id":{number},"method":"tools/call","params":{{{arguments}}}}}"#
            );
            made.going = self.world.ask(&self.sessions[session], &text);
            made.whose = ["one session", "another session", "x"][session].to_owned();
        } else {
            made.principal = [None, None, Some("x"), Some("y")][client];
            let nobody = || format!("whoever made call {number}");
            made.whose = made.principal.map_or_else(nobody, str::to_owned);
            let peer = self.world.passer_by(made.principal);
            made.going = self.asks_without_session(&peer, number, "");
            made.peer = Some(peer);
        }
        self.made.push(made);
    }

    fn asks_without_session(&mut self, peer: &Peer, number: usize, more: &str) -> Going {
        let meta = modern::meta(ALL, "");
        self.world.ask(peer, &format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"one","arguments":{{"n":{number}}},{meta}{more}}}}}"#
        ))
    }

    fn asks(&mut self, call: usize) {
        let Some(made) = self.made.get(call) else { return };
        let is_forgotten = made.given_up.is_some_and(|when| when < self.expired);
        if made.is_answered || is_forgotten {
            return;
        }
        self.questions += 1;
        let id = 7000 + self.questions;
        self.answers.insert(id, 0);
        self.world.says(0, &format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"elicitation/create","params":{{"message":"?","of":{call}}}}}"#
        ));
    }

    fn ends(&mut self) {
        let open = self.world.upstreams[0].calls();
        let Some(oldest) = open.first() else { return };
        let oldest: Value = serde_json::from_str(oldest).unwrap();
        let number = oldest["params"]["arguments"]["n"].as_u64().unwrap();
        self.made[usize::try_from(number).unwrap()].is_answered = true;
        self.world.upstreams[0].answers(r#"{"content":[]}"#);
        self.world.run();
    }

    fn comes_back(&mut self, call: usize) {
        let Some(required) = self.made.get_mut(call).and_then(|made| made.required.take()) else {
            return;
        };
        let keys = required["inputRequests"].as_object().unwrap().keys();
        let given: BTreeMap<_, _> = keys.map(|key| (key, json!({"action": "decline"}))).collect();
        let given = serde_json::to_string(&given).unwrap();
        let state = &required["requestState"];
        let more = format!(r#","requestState":{state},"inputResponses":{given}"#);
        let peer = self.world.passer_by(self.made[call].principal);
        let going = self.asks_without_session(&peer, call, &more);
        let made = &mut self.made[call];
        (made.going, made.peer, made.is_looked_at) = (going, Some(peer), false);
    }

    fn gives_up(&mut self, call: usize) {
        let Some(made) = self.made.get_mut(call).filter(|made| !made.going.is_done()) else {
            return;
        };
        made.given_up = Some(self.expired);
        match (made.session, &made.peer) {
            (Some(session), _) => {
                let text = format!(
                    r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{call}}}}}"#
                );
                self.world.tell(&self.sessions[session], &text);
            }
            (None, Some(peer)) => peer.session.close(),
            (None, None) => {}
        }
        self.world.run();
    }

    fn expires(&mut self) {
        self.world.clock.wake_after(Duration::from_secs(600));
        self.world.run();
        self.expired += 1;
        for made in &mut self.made {
            if made.required.take().is_some() {
                made.given_up = Some(self.expired);
            }
        }
    }

    /// Everything that reached anybody is that client's.
    fn look(&mut self) {
        for (session, peer) in self.sessions.iter().enumerate() {
            for text in peer.client.take() {
                let message: Value = serde_json::from_str(&text).unwrap();
                if message["method"] == "elicitation/create" {
                    let whose = ["one session", "another session", "x"][session];
                    self.made.told(whose, &message["params"]);
                    self.told += 1;
                    self.asked[session].push(message["id"].as_u64().unwrap());
                }
            }
        }
        for number in 0..self.made.len() {
            let made = &self.made[number];
            if made.is_looked_at || !made.going.is_done() {
                continue;
            }
            let answer = made.going.answer();
            let answer: Value =
                answer.map_or(Value::Null, |text| serde_json::from_str(&text).unwrap());
            let result = &answer["result"];
            let asked = result["inputRequests"].as_object();
            for question in asked.iter().flat_map(|asked| asked.values()) {
                self.made.told(&made.whose, &question["params"]);
                self.told += 1;
            }
            let required = asked.map(|_| result.clone());
            let made = &mut self.made[number];
            (made.required, made.is_looked_at) = (required, true);
        }
        for text in self.world.upstreams[0].take_sent() {
            let message: Value = serde_json::from_str(&text).unwrap();
            if message.get("method").is_none() {
                let answers = self.answers.get_mut(&message["id"].as_u64().unwrap()).unwrap();
                *answers += 1;
                assert_eq!(*answers, 1, "a question is answered once: {text}");
            }
        }
    }
}

trait Told {
    /// A client is asked this.
    fn told(&self, whose: &str, params: &Value);
}

impl Told for Vec<Made> {
    fn told(&self, whose: &str, params: &Value) {
        let of = usize::try_from(params["of"].as_u64().unwrap()).unwrap();
        assert_eq!(whose, self[of].whose, "a question of call {of} reached somebody else");
    }
}

proptest! {
    #[test]
    fn a_question_reaches_the_client_of_its_call_or_nobody(
        steps in prop::collection::vec(step(), 1..80)
    ) {
        let mut story = Story::new();
        for step in steps {
            story.act(step);
        }
    }
}

/// Plays the two calls of two clients that prove nothing, of which the first one has asked already.
fn suspended_and_another() -> Story {
    let mut story = Story::new();
    for step in [Step::Call(0), Step::Ask(0), Step::Moment, Step::Call(1)] {
        story.act(step);
    }
    assert!(story.told == 1 && story.made[0].required.is_some());
    story
}

#[test]
fn a_second_question_of_a_suspended_call_is_not_put_to_another() {
    let mut story = suspended_and_another();
    story.act(Step::Ask(0));
    story.act(Step::Moment);
    assert_eq!(story.told, 1);
    assert_eq!(story.answers[&7002], 1, "it is refused at once");
    // Nor is one of the other call, because nobody can tell the two apart.
    story.act(Step::Ask(1));
    assert_eq!((story.told, story.answers[&7003]), (1, 1));
    // Once the first one has ended, there is no doubt any more.
    story.act(Step::Return(0));
    story.act(Step::Answer);
    story.act(Step::Ask(1));
    story.act(Step::Moment);
    assert_eq!(story.told, 2);
}

#[test]
fn a_question_of_a_call_that_was_given_up_is_not_put_to_another() {
    let mut story = Story::new();
    for step in [Step::Call(0), Step::GiveUp(0), Step::Call(1), Step::Ask(0), Step::Moment] {
        story.act(step);
    }
    assert_eq!((story.told, story.answers[&7001]), (0, 1));
    // Nor to the one client that has a session, when nobody calls.
    story.act(Step::Answer);
    let only = story.sessions.remove(1);
    only.session.close();
    story.sessions.remove(1).session.close();
    story.act(Step::Ask(0));
    assert_eq!((story.told, story.answers[&7002]), (0, 1));
    // Nobody would have waited as long as this.
    story.act(Step::Expire);
    story.act(Step::Expire);
    story.act(Step::Call(1));
    story.act(Step::Ask(2));
    story.act(Step::Moment);
    assert_eq!(story.told, 1);
}

#[test]
fn what_a_client_gave_up_keeps_nobody_from_being_asked_after_the_end_of_the_life() {
    let mut story = Story::new();
    for step in [Step::Call(0), Step::GiveUp(0)] {
        story.act(step);
    }
    story.world.down(0, Health::Recovering);
    story.world.ready(0, 2);
    story.world.upstreams[0].take_sent();
    for step in [Step::Call(1), Step::Ask(1), Step::Moment] {
        story.act(step);
    }
    assert_eq!(story.told, 1);
}

#[test]
fn one_client_may_give_up_and_call_again() {
    for client in [2, 4] {
        let mut story = Story::new();
        for step in [Step::Call(client), Step::GiveUp(0), Step::Call(client), Step::Ask(1)] {
            story.act(step);
        }
        story.act(Step::Moment);
        assert_eq!(story.told, 1, "client {client}");
    }
}

#[test]
fn where_all_are_one_person_nobody_keeps_another_from_being_asked() {
    let single = || Story::with(Options { single_user: true, ..Options::default() });
    // One that was suspended, one that was given up, and one of a session beside it.
    for before in [
        &[Step::Call(0), Step::Ask(0), Step::Moment][..],
        &[Step::Call(0), Step::GiveUp(0)],
        &[Step::Call(4)],
    ] {
        let mut story = single();
        before.iter().for_each(|step| story.act(*step));
        let told = story.told;
        for step in [Step::Call(1), Step::Ask(1), Step::Moment] {
            story.act(step);
        }
        assert_eq!(story.told, told + 1, "{before:?}");
    }
    // Who was proven is somebody else.
    let mut story = single();
    for step in [Step::Call(2), Step::Call(1), Step::Ask(1), Step::Moment] {
        story.act(step);
    }
    assert_eq!(story.told, 0);
}
