//! Whatever happens in whatever order: every call ends once, none is sent twice, never two servers
//! run, and a shutdown ends all of it.

use crate::{
    fake::Script,
    server::Server,
    world::{World, answer, end, now, pass},
};
use mcplex_proto::upstream::UpstreamError;
use proptest::prelude::*;
use std::{collections::BTreeMap, time::Duration};

#[derive(Clone, Copy, Debug)]
enum Step {
    Call,
    CallInAHurry,
    GiveUp,
    Answer,
    Exit,
    LeaveAHelper,
    Silence,
    Break,
    FailWrites,
    Read(bool),
    Killable(bool),
    Script(Script),
    Stop,
    Start,
    Reset,
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let script = prop_oneof![
        4 => Just(Script::Works),
        1 => Just(Script::Fails),
        1 => Just(Script::LacksResources),
        1 => Just(Script::FailsForGood),
        1 => Just(Script::Hangs),
        1 => Just(Script::Mute),
        1 => Just(Script::DiesInHandshake),
        1 => Just(Script::DiesWhenReady),
    ];
    prop_oneof![
        8 => Just(Step::Call),
        1 => Just(Step::CallInAHurry),
        2 => Just(Step::GiveUp),
        6 => Just(Step::Answer),
        2 => Just(Step::Exit),
        1 => Just(Step::LeaveAHelper),
        1 => Just(Step::Silence),
        1 => Just(Step::Break),
        1 => Just(Step::FailWrites),
        1 => any::<bool>().prop_map(Step::Read),
        1 => any::<bool>().prop_map(Step::Killable),
        2 => script.prop_map(Step::Script),
        1 => Just(Step::Stop),
        1 => Just(Step::Start),
        1 => Just(Step::Reset),
        6 => prop_oneof![Just(0), Just(1), Just(250), Just(5_000), Just(40_000)]
            .prop_map(Step::Pass),
    ]
}

/// The test's side of the story.
struct Story {
    world: World,
    calls: Vec<tokio::task::JoinHandle<Result<mcplex_proto::upstream::Reply, UpstreamError>>>,
    /// How often each id was sent as a call.
    sent: BTreeMap<u64, usize>,
    unanswered: Vec<u64>,
}

impl Story {
    async fn act(&mut self, step: Step) {
        let server = self.world.transport.newest();
        let with = |act: fn(&Server)| server.iter().for_each(act);
        match step {
            Step::Call => self.calls.push(self.world.call("call")),
            Step::CallInAHurry => {
                let limit = Some(Duration::from_millis(300));
                self.calls.push(self.world.call_within("call", limit));
            }
            Step::GiveUp => self.calls.pop().iter().for_each(|call| call.abort()),
            Step::Answer => {
                self.look();
                if let (Some(id), Some(server)) = (self.unanswered.pop(), &server) {
                    server.says(&answer(id, "{}"));
                }
            }
            Step::Exit => with(|server| server.exits(1)),
            Step::LeaveAHelper => with(|server| server.exits_leaving_a_helper(1)),
            Step::Silence => with(Server::falls_silent),
            Step::Break => with(Server::breaks),
            Step::FailWrites => with(Server::fails_writes),
            Step::Read(true) => with(|server| server.reads(true)),
            Step::Read(false) => with(|server| server.reads(false)),
            Step::Killable(true) => with(|server| server.set_killable(true)),
            Step::Killable(false) => with(|server| server.set_killable(false)),
            Step::Script(script) => self.world.transport.set(script),
            Step::Stop => self.world.handle.stop().await,
            Step::Start => self.world.handle.start().await,
            Step::Reset => self.world.handle.reset().await,
            Step::Pass(ms) => pass(Duration::from_millis(ms)).await,
        }
        assert!(self.world.transport.running() <= 1);
    }

    /// Counts what was sent since the last look.
    fn look(&mut self) {
        for text in self.world.transport.take_all() {
            if text.contains(r#""method":"call""#) {
                let (_, id) = text.split_once(r#""id":"#).unwrap();
                let id: u64 = id.split(',').next().unwrap().parse().unwrap();
                *self.sent.entry(id).or_default() += 1;
                self.unanswered.push(id);
            }
        }
    }

    async fn ends(mut self) {
        self.look();
        if let Some(server) = self.world.transport.newest() {
            server.set_killable(true);
        }
        self.world.handle.shutdown().await;
        self.world.ended().await;
        self.look();
        assert_eq!(self.world.transport.running(), 0);
        assert!(self.sent.values().all(|&times| times == 1), "{:?}", self.sent);
        let ended = now();
        for call in std::mem::take(&mut self.calls) {
            // It ends; how is told by the other tests.
            drop(end(call).await);
        }
        assert_eq!(ended.elapsed(), Duration::ZERO, "nobody waits for what is over");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]
    #[test]
    fn every_call_ends_once_and_is_sent_once(
        steps in prop::collection::vec(step(), 1..80)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let world = World::new(&[Script::Works]);
            let mut story =
                Story { world, calls: Vec::new(), sent: BTreeMap::new(), unanswered: Vec::new() };
            for step in steps {
                story.act(step).await;
            }
            story.ends().await;
        });
    }
}
