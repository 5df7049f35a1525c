//! A router with everything around it, and short words for what happens.

use crate::{
    fake::{FakeClient, FakeClock, FakeUpstream, message, status, text},
    siblings::{Child, Siblings},
};
use futures_executor::LocalPool;
use futures_util::task::LocalSpawnExt as _;
use mcplex_proto::{
    downstream::{Arrival, Gateway as _, Principal, Session, Stay},
    message::Message,
    upstream::{Health, Upstream as _, UpstreamEvents},
};
use mcplex_router::{Isolation, Options, Router, UpstreamKey};
use std::{cell::RefCell, rc::Rc, sync::Arc};

pub(crate) struct World {
    pub(crate) router: Router,
    pub(crate) upstreams: Vec<Arc<FakeUpstream>>,
    pub(crate) clock: Arc<FakeClock>,
    pub(crate) keys: Vec<UpstreamKey>,
    events: Vec<Arc<dyn UpstreamEvents>>,
    pool: LocalPool,
}

/// A client with its session.
pub(crate) struct Peer {
    pub(crate) client: Arc<FakeClient>,
    pub(crate) session: Arc<dyn Session>,
}

/// A request on its way: `None` as long as it runs, then the answer if there is one.
#[derive(Clone, Default)]
pub(crate) struct Going(Rc<RefCell<Option<Option<String>>>>);

impl Going {
    pub(crate) fn is_done(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// The answer; fails while there is no decision.
    pub(crate) fn answer(&self) -> Option<String> {
        self.0.borrow().clone().expect("the request has ended")
    }

    pub(crate) fn text(&self) -> String {
        self.answer().expect("the request was answered")
    }
}

impl World {
    /// A router with these upstreams, attached and not yet connected.
    pub(crate) fn new(names: &[&str]) -> Self {
        Self::with(Options::default(), names)
    }

    pub(crate) fn with(options: Options, names: &[&str]) -> Self {
        let world = Self::detached(options, names);
        for (index, upstream) in world.upstreams.iter().enumerate() {
            world.router.attach(world.keys[index], upstream.clone());
        }
        world
    }

    /// A router that knows no more of its upstreams than their names.
    pub(crate) fn detached(options: Options, names: &[&str]) -> Self {
        let upstreams: Vec<_> = names.iter().map(|name| FakeUpstream::new(name)).collect();
        let clock = Arc::new(FakeClock::default());
        let router = Router::new(options, clock.clone());
        let keys: Vec<_> =
            upstreams.iter().map(|upstream| router.add(upstream.name().clone())).collect();
        let events = keys.iter().map(|key| router.events(*key)).collect();
        let pool = LocalPool::new();
        let running = router.clone();
        pool.spawner().spawn_local(async move { running.run().await }).unwrap();
        Self { router, upstreams, clock, keys, events, pool }
    }

    /// Adds an upstream that is attached and not yet connected; gives its index.
    pub(crate) fn add(&mut self, name: &str) -> usize {
        let upstream = FakeUpstream::new(name);
        let key = self.router.add(upstream.name().clone());
        self.events.push(self.router.events(key));
        self.router.attach(key, upstream.clone());
        self.upstreams.push(upstream);
        self.keys.push(key);
        self.run();
        self.upstreams.len() - 1
    }

    /// Gives an upstream a new configuration: another upstream in its place, not yet connected.
    ///
    /// What was there before is under the index that is given back.
    pub(crate) fn replace(&mut self, index: usize) -> usize {
        let upstream = FakeUpstream::new(self.upstreams[index].name().as_str());
        let key = self.keys[index];
        let events = self.router.events(key);
        self.router.attach(key, upstream.clone());
        let before = self.upstreams.len();
        self.upstreams.push(upstream);
        self.upstreams.swap(index, before);
        self.events.push(events);
        self.events.swap(index, before);
        self.keys.push(key);
        self.run();
        before
    }

    /// Takes an upstream away.
    pub(crate) fn remove(&mut self, index: usize) {
        self.router.remove(self.keys[index]);
        self.run();
    }

    /// A world with one upstream `a` that has these capabilities and is ready.
    pub(crate) fn one(capabilities: &str) -> Self {
        let mut world = Self::new(&["a"]);
        world.upstreams[0].introduces(capabilities, None);
        world.ready(0, 1);
        world
    }

    /// A world with `a` and `b`, of which both have the tools `echo` and one of their own.
    pub(crate) fn two() -> Self {
        let mut world = Self::new(&["a", "b"]);
        for (index, own) in ["one", "two"].into_iter().enumerate() {
            let upstream = &world.upstreams[index];
            upstream.introduces(r#"{"tools":{},"logging":{}}"#, None);
            let page = format!(r#"{{"tools":[{{"name":"echo"}},{{"name":"{own}"}}]}}"#);
            upstream.lists("tools/list", &[&page]);
            world.ready(index, 1);
        }
        world
    }

    /// Lets everything happen that can.
    pub(crate) fn run(&mut self) {
        self.pool.run_until_stalled();
    }

    /// An upstream with where it reports.
    pub(crate) fn child(&self, index: usize) -> Child {
        let (upstream, events) = (self.upstreams[index].clone(), self.events[index].clone());
        Child { upstream, events, told: None }
    }

    /// An upstream's life is ready.
    pub(crate) fn ready(&mut self, index: usize, incarnation: u64) {
        self.upstreams[index].set_incarnation(incarnation);
        self.upstreams[index].set_health(Health::Ready);
        self.events[index].changed(status(Health::Ready, incarnation));
        self.run();
    }

    /// An upstream's life has ended.
    pub(crate) fn down(&mut self, index: usize, health: Health) {
        let incarnation = self.upstreams[index].incarnation();
        self.upstreams[index].set_health(health);
        self.events[index].changed(status(health, incarnation.0));
        self.run();
    }

    /// An upstream says something by itself.
    pub(crate) fn says(&mut self, index: usize, text: &str) {
        let incarnation = self.upstreams[index].incarnation();
        self.events[index].message(incarnation, message(text), None);
        self.run();
    }

    /// Shares the children of an upstream out in another way.
    pub(crate) fn isolate(&mut self, index: usize, isolation: Isolation, siblings: &Arc<Siblings>) {
        self.router.isolate(self.keys[index], isolation, siblings.clone());
        self.run();
    }

    /// A client that has not said anything yet.
    pub(crate) fn stranger(&self) -> Peer {
        self.opens(Principal::Anybody, Stay::Long)
    }

    /// Somebody who came for one stateless request.
    pub(crate) fn passer_by(&self, principal: Option<&str>) -> Peer {
        let principal = principal.map_or(Principal::Anybody, |name| Principal::Known(name.into()));
        self.opens(principal, Stay::Request)
    }

    /// Opens a session.
    pub(crate) fn opens(&self, principal: Principal, stay: Stay) -> Peer {
        let client = Arc::new(FakeClient::default());
        let session = self.router.open(client.clone(), Arrival { principal, stay });
        Peer { client, session }
    }

    /// An upstream says something that came with the answer to one of its calls.
    pub(crate) fn says_about(&mut self, index: usize, text: &str, about: u64) {
        let incarnation = self.upstreams[index].incarnation();
        self.events[index].message(incarnation, message(text), Some(about));
        self.run();
    }

    /// A client that is ready; what upstreams heard until then is thrown away.
    pub(crate) fn client(&mut self, capabilities: &str) -> Peer {
        let peer = self.arrives(capabilities);
        for upstream in &self.upstreams {
            upstream.take_sent();
        }
        peer
    }

    /// A client that is ready and was proven to be somebody.
    pub(crate) fn known(&mut self, name: &str, capabilities: &str) -> Peer {
        let peer = self.opens(Principal::Known(name.into()), Stay::Long);
        self.greets(peer, capabilities)
    }

    /// A client that is ready.
    pub(crate) fn arrives(&mut self, capabilities: &str) -> Peer {
        let peer = self.stranger();
        self.greets(peer, capabilities)
    }

    fn greets(&mut self, peer: Peer, capabilities: &str) -> Peer {
        let hello = format!(
            r#"{{"jsonrpc":"2.0","id":"hello","method":"initialize","params":{{"protocolVersion":"2025-11-25","capabilities":{capabilities},"clientInfo":{{"name":"t","version":"1"}}}}}}"#
        );
        assert!(self.ask(&peer, &hello).text().contains(r#""result":"#));
        self.tell(&peer, r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        peer
    }

    /// A client asks.
    pub(crate) fn ask(&mut self, peer: &Peer, request: &str) -> Going {
        let Message::Request(request) = message(request) else { panic!("no request: {request}") };
        let going = Going(Rc::default());
        let (slot, session) = (going.clone(), peer.session.clone());
        let task = async move {
            let response = session.request(request).await;
            *slot.0.borrow_mut() = Some(response.map(|response| text(&response.into())));
        };
        self.pool.spawner().spawn_local(task).unwrap();
        self.run();
        going
    }

    /// A client asks for something that takes only a name and an id.
    pub(crate) fn call(&mut self, peer: &Peer, id: &str, tool: &str) -> Going {
        self.ask(
            peer,
            &format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}"}}}}"#
            ),
        )
    }

    /// A client notifies or answers.
    pub(crate) fn tell(&mut self, peer: &Peer, text: &str) {
        match message(text) {
            Message::Notification(notification) => peer.session.notification(notification),
            Message::Response(response) => peer.session.response(response),
            Message::Request(_) => panic!("a request wants an answer: {text}"),
        }
        self.run();
    }
}
