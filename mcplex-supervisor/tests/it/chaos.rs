//! Whatever happens in whatever order: every call ends once, none is sent twice, never two servers
//! run, and a shutdown ends all of it.

use crate::{
    fake::{FakeHost, Script},
    server::Server,
    world::{World, answer, end, now, pass},
};
use mcplex_proto::upstream::{Upstream as _, UpstreamError};
use mcplex_supervisor::{Host, HostOptions, OnExitZero, Options, Restart, Starts};
use proptest::prelude::*;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

#[derive(Clone, Copy, Debug)]
enum Step {
    Call,
    CallInAHurry,
    GiveUp,
    Answer,
    Exit(i32),
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
    Restart,
    /// The gateway asks for itself.
    Upkeep,
    /// The process is halted for so long.
    Halt(u64),
    /// The host runs out of descriptors, or has some again.
    Free(usize),
    Pass(u64),
}

/// What the upstream is like.
#[derive(Clone, Copy, Debug)]
struct Nature {
    is_lazy: bool,
    rests: bool,
    restart: Restart,
    on_exit_0: OnExitZero,
    max_concurrency: usize,
    /// Others that only crash, on the same host.
    others: u64,
}

fn nature() -> impl Strategy<Value = Nature> {
    let restart =
        prop_oneof![Just(Restart::Always), Just(Restart::OnFailure), Just(Restart::Never)];
    let on_exit_0 = prop_oneof![Just(OnExitZero::Restart), Just(OnExitZero::Idle)];
    (any::<bool>(), any::<bool>(), restart, on_exit_0, 0..3_usize, 0..4_u64).prop_map(
        |(is_lazy, rests, restart, on_exit_0, max_concurrency, others)| Nature {
            is_lazy,
            rests,
            restart,
            on_exit_0,
            max_concurrency,
            others,
        },
    )
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
        2 => prop_oneof![Just(Step::Exit(1)), Just(Step::Exit(0))],
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
        1 => Just(Step::Restart),
        1 => Just(Step::Upkeep),
        1 => prop_oneof![Just(4_000), Just(20_000), Just(700_000)].prop_map(Step::Halt),
        1 => prop_oneof![Just(10), Just(10_000)].prop_map(Step::Free),
        6 => prop_oneof![Just(0), Just(1), Just(250), Just(5_000), Just(40_000)]
            .prop_map(Step::Pass),
    ]
}

/// The test's side of the story.
struct Story {
    world: World,
    facts: Arc<FakeHost>,
    nature: Nature,
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
            Step::Exit(0) => with(|server| server.exits(0)),
            Step::Exit(_) => with(|server| server.exits(1)),
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
            Step::Restart => self.world.handle.restart().await,
            Step::Upkeep => self.calls.push(self.world.upkeep("list")),
            Step::Halt(ms) => tokio::time::advance(Duration::from_millis(ms)).await,
            Step::Free(free) => *self.facts.free.lock().unwrap() = Some(free),
            Step::Pass(ms) => pass(Duration::from_millis(ms)).await,
        }
        assert!(self.world.transport.running() <= 1);
        let most = self.nature.max_concurrency;
        assert!(most == 0 || self.world.handle.status().in_flight <= most);
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
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]
    #[test]
    fn every_call_ends_once_and_is_sent_once(
        nature in nature(),
        steps in prop::collection::vec(step(), 1..80)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let facts = Arc::new(FakeHost::default());
            let host = Host::new(HostOptions::default(), facts.clone(), 3);
            let crashes = |seed| {
                let scripts = [Script::DiesWhenReady];
                World::of(host.clone(), Options::default(), Starts::Now, seed, &scripts)
            };
            let others: Vec<_> = (0..nature.others).map(crashes).collect();
            let options = Options {
                restart: nature.restart,
                on_exit_0: nature.on_exit_0,
                idle_stop: nature.rests.then_some(Duration::from_secs(30)),
                max_concurrency: nature.max_concurrency,
                ..Options::default()
            };
            let starts = if nature.is_lazy { Starts::Lazy } else { Starts::Now };
            let world = World::of(host.clone(), options, starts, 7, &[Script::Works]);
            let mut story = Story {
                world,
                facts,
                nature,
                calls: Vec::new(),
                sent: BTreeMap::new(),
                unanswered: Vec::new(),
            };
            for step in steps {
                story.act(step).await;
            }
            story.ends().await;
            for other in others {
                assert!(other.transport.running() <= 1);
            }
        });
    }
}
