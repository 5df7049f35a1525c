//! The three seams of the router, scripted: an upstream, a client, a clock.

use async_trait::async_trait;
use futures_channel::oneshot;
use mcplex_proto::{
    downstream::Client,
    handshake::ServerInfo,
    id::Id,
    message::{Extra, Message, Outcome, Request},
    raw::Raw,
    upstream::{Call, Health, Incarnation, Reply, Status, Upstream, UpstreamError, UpstreamName},
    version::Version,
};
use mcplex_router::Clock;
use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

/// The first id every upstream mints; far from those of clients.
pub(crate) const FIRST_ID: u64 = 500;

pub(crate) fn raw(text: &str) -> Raw {
    Raw::parse(text.to_owned()).unwrap()
}

pub(crate) fn message(text: &str) -> Message {
    Message::parse(text.to_owned().into()).unwrap()
}

pub(crate) fn text(message: &Message) -> String {
    String::from_utf8(message.to_bytes().to_vec()).unwrap()
}

/// An upstream that answers list methods by its script and leaves all else to the test.
#[derive(Debug)]
pub(crate) struct FakeUpstream {
    health: Mutex<Health>,
    name: UpstreamName,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    next_id: u64,
    /// What it speaks from the next call on, which comes back for that.
    turns: Option<Version>,
    info: Option<Arc<ServerInfo>>,
    incarnation: Incarnation,
    /// The pages of each list method, as whole results or errors.
    pages: BTreeMap<String, Vec<Outcome>>,
    /// Methods in `pages` that are left to the test all the same.
    is_mute: bool,
    reads: Vec<String>,
    open: Vec<Pending>,
    sent: Vec<(Option<u64>, String)>,
    /// Calls whose time began anew, and how long it is at least.
    renewed: Vec<(u64, Duration)>,
    /// Every call that was left to the test, as it stood on the wire.
    taken: Vec<String>,
}

#[derive(Debug)]
struct Pending {
    call: Call,
    reply: oneshot::Sender<Result<Reply, UpstreamError>>,
}

impl FakeUpstream {
    pub(crate) fn new(name: &str) -> Arc<Self> {
        Arc::new(Self {
            health: Mutex::new(Health::Ready),
            name: UpstreamName::new(name).unwrap(),
            state: Mutex::new(State {
                next_id: FIRST_ID,
                turns: None,
                info: None,
                incarnation: Incarnation(0),
                pages: BTreeMap::new(),
                is_mute: false,
                reads: Vec::new(),
                open: Vec::new(),
                sent: Vec::new(),
                renewed: Vec::new(),
                taken: Vec::new(),
            }),
        })
    }

    /// What it says in its next handshake.
    pub(crate) fn introduces(&self, capabilities: &str, instructions: Option<&str>) {
        self.state.lock().unwrap().info = Some(Arc::new(ServerInfo {
            version: Version::LATEST_LEGACY,
            capabilities: raw(capabilities),
            implementation: raw(r#"{"name":"fake","version":"1"}"#),
            instructions: instructions.map(str::to_owned),
        }));
    }

    /// The same of the stateless revision.
    pub(crate) fn introduces_modern(&self, capabilities: &str) {
        self.introduces(capabilities, None);
        let mut state = self.state.lock().unwrap();
        let info = state.info.as_deref().unwrap().clone();
        state.info = Some(Arc::new(ServerInfo { version: Version::LATEST_MODERN, ..info }));
    }

    /// The revision it speaks from now on.
    pub(crate) fn speaks(&self, version: Version) {
        let mut state = self.state.lock().unwrap();
        let info = state.info.as_deref().unwrap().clone();
        state.info = Some(Arc::new(ServerInfo { version, ..info }));
    }

    /// Whether it speaks the stateless revision.
    pub(crate) fn is_modern(&self) -> bool {
        let info = self.state.lock().unwrap().info.clone();
        info.is_some_and(|info| info.version == Version::LATEST_MODERN)
    }

    /// Its next life, which the next call waits for, speaks this revision.
    pub(crate) fn turns_at_next_call(&self, version: Version) {
        self.state.lock().unwrap().turns = Some(version);
    }

    /// Sets the pages of a list method.
    pub(crate) fn lists(&self, method: &str, pages: &[&str]) {
        let pages = pages.iter().map(|page| Outcome::Result(raw(page))).collect();
        self.state.lock().unwrap().pages.insert(method.to_owned(), pages);
    }

    /// Answers a list method with an error.
    pub(crate) fn refuses(&self, method: &str, error: &str) {
        let pages = vec![Outcome::Error(raw(error))];
        self.state.lock().unwrap().pages.insert(method.to_owned(), pages);
    }

    /// Leaves list methods to the test, or no more.
    pub(crate) fn mute(&self, is_mute: bool) {
        self.state.lock().unwrap().is_mute = is_mute;
    }

    pub(crate) fn set_health(&self, health: Health) {
        *self.health.lock().unwrap() = health;
    }

    pub(crate) fn set_incarnation(&self, incarnation: u64) {
        self.state.lock().unwrap().incarnation = Incarnation(incarnation);
    }

    pub(crate) fn incarnation(&self) -> Incarnation {
        self.state.lock().unwrap().incarnation
    }

    /// The list methods it was asked since the last time, with their parameters.
    pub(crate) fn take_reads(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().reads)
    }

    /// What was sent to it since the last time, without the calls.
    pub(crate) fn take_sent(&self) -> Vec<String> {
        self.take_sent_to().into_iter().map(|(_, text)| text).collect()
    }

    /// The same with the life that each is for.
    pub(crate) fn take_sent_to(&self) -> Vec<(Option<u64>, String)> {
        std::mem::take(&mut self.state.lock().unwrap().sent)
    }

    /// The open calls as they would stand on the wire; whom nobody waits for is left out.
    pub(crate) fn calls(&self) -> Vec<String> {
        let mut state = self.state.lock().unwrap();
        state.open.retain(|pending| !pending.reply.is_canceled());
        state.open.iter().map(|pending| wire(&pending.call)).collect()
    }

    /// The calls whose time began anew since the last time, and how long it is at least.
    pub(crate) fn take_renewed(&self) -> Vec<(u64, Duration)> {
        std::mem::take(&mut self.state.lock().unwrap().renewed)
    }

    /// All calls that ever came.
    pub(crate) fn taken(&self) -> Vec<String> {
        self.state.lock().unwrap().taken.clone()
    }

    /// Ends the oldest open call.
    pub(crate) fn ends(&self, answer: Result<&str, UpstreamError>) {
        let mut state = self.state.lock().unwrap();
        let pending = state.open.remove(0);
        let from = state.incarnation;
        let reply = answer.map(|text| {
            let Message::Response(response) = message(text) else { panic!("no response: {text}") };
            Reply { outcome: response.outcome, extra: response.extra, from }
        });
        // Refused means that the call was cancelled: a late answer.
        drop(pending.reply.send(reply));
    }

    /// Answers the oldest open call of this method with a result.
    pub(crate) fn answers_to(&self, method: &str, result: &str) {
        self.responds_to(method, &format!(r#"{{"jsonrpc":"2.0","id":0,"result":{result}}}"#));
    }

    /// Ends the oldest open call of this method with a whole response.
    pub(crate) fn responds_to(&self, method: &str, response: &str) {
        {
            let mut state = self.state.lock().unwrap();
            state.open.retain(|pending| !pending.reply.is_canceled());
            let at = state.open.iter().position(|pending| pending.call.method == method);
            let found = state.open.remove(at.unwrap_or_else(|| panic!("no {method} is open")));
            state.open.insert(0, found);
        }
        self.ends(Ok(response));
    }

    /// Answers the oldest open call with a result.
    pub(crate) fn answers(&self, result: &str) {
        self.ends(Ok(&format!(r#"{{"jsonrpc":"2.0","id":0,"result":{result}}}"#)));
    }
}

fn wire(call: &Call) -> String {
    let request = Request {
        id: call.id.into(),
        method: call.method.clone(),
        params: call.params.clone(),
        extra: call.extra.clone(),
    };
    text(&request.into())
}

impl State {
    fn page(&self, call: &Call) -> Option<Outcome> {
        let pages = self.pages.get(&*call.method)?;
        let cursor = call.params.as_ref().and_then(|params| {
            let params: serde_json::Value = params.get()?;
            params["cursor"].as_str().map(str::to_owned)
        });
        // Cursors are the page's number, the first next page having the empty one.
        let index = match cursor.as_deref() {
            None => 0,
            Some("") => 1,
            Some(number) => number.parse().unwrap(),
        };
        Some(pages[index].clone())
    }
}

#[async_trait]
impl Upstream for FakeUpstream {
    fn name(&self) -> &UpstreamName {
        &self.name
    }

    fn mint(&self) -> u64 {
        let mut state = self.state.lock().unwrap();
        state.next_id += 1;
        state.next_id - 1
    }

    fn status(&self) -> Status {
        status(*self.health.lock().unwrap(), self.incarnation().0)
    }

    fn server_info(&self) -> Option<Arc<ServerInfo>> {
        self.state.lock().unwrap().info.clone()
    }

    async fn call(&self, call: Call) -> Result<Reply, UpstreamError> {
        let answer = {
            let mut state = self.state.lock().unwrap();
            let page = state.page(&call);
            if page.is_some() {
                let params = call.params.as_ref().map_or("", Raw::as_str);
                let read = format!("{}{params}", call.method);
                state.reads.push(read);
            }
            if let (Some(outcome), false) = (page, state.is_mute) {
                return Ok(Reply { outcome, extra: Extra::default(), from: state.incarnation });
            }
            if let (Some(version), Some(info)) = (state.turns.take(), &state.info) {
                state.info = Some(Arc::new(ServerInfo { version, ..(**info).clone() }));
            }
            let now = state.info.as_ref().map(|info| info.version.era());
            if let Some(now) = now.filter(|now| *now != call.era) {
                return Err(UpstreamError::OtherEra { upstream: self.name.clone(), now });
            }
            let (reply, answer) = oneshot::channel();
            state.taken.push(wire(&call));
            state.open.push(Pending { call, reply });
            answer
        };
        answer.await.expect("the test ends every call it takes")
    }

    fn renew(&self, id: u64, at_least: Duration) {
        self.state.lock().unwrap().renewed.push((id, at_least));
    }

    fn send(&self, to: Option<Incarnation>, message: Message) {
        let to = to.map(|incarnation| incarnation.0);
        self.state.lock().unwrap().sent.push((to, text(&message)));
    }
}

pub(crate) fn status(health: Health, incarnation: u64) -> Status {
    let reason = (health != Health::Ready).then(|| "it exited".into());
    Status { reason, ..Status::new(health, Incarnation(incarnation)) }
}

/// A client that writes down what it gets.
#[derive(Debug, Default)]
pub(crate) struct FakeClient {
    got: Mutex<Vec<(String, Option<Id>)>>,
    is_gone: Mutex<bool>,
}

impl FakeClient {
    pub(crate) fn take(&self) -> Vec<String> {
        self.take_about().into_iter().map(|(text, _)| text).collect()
    }

    /// What it got, with the request each message is about.
    pub(crate) fn take_about(&self) -> Vec<(String, Option<Id>)> {
        std::mem::take(&mut self.got.lock().unwrap())
    }

    pub(crate) fn goes(&self) {
        *self.is_gone.lock().unwrap() = true;
    }
}

impl Client for FakeClient {
    fn send(&self, message: Message, about: Option<&Id>) -> bool {
        let is_gone = *self.is_gone.lock().unwrap();
        if !is_gone {
            self.got.lock().unwrap().push((text(&message), about.cloned()));
        }
        !is_gone
    }

    fn network(&self) -> &'static str {
        "pipe"
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug, Default)]
pub(crate) struct FakeClock {
    sleepers: Mutex<Vec<(Duration, oneshot::Sender<()>)>>,
}

impl FakeClock {
    /// Wakes all sleepers; gives how long each wanted to sleep.
    pub(crate) fn wake(&self) -> Vec<Duration> {
        let sleepers = std::mem::take(&mut *self.sleepers.lock().unwrap());
        // Some no longer wait: what they waited for came first.
        let wake = |(time, sleeper): (Duration, oneshot::Sender<()>)| {
            sleeper.send(()).is_ok().then_some(time)
        };
        sleepers.into_iter().filter_map(wake).collect()
    }
}

impl FakeClock {
    /// Wakes those who wanted to sleep this long; `false` when nobody did.
    pub(crate) fn wake_after(&self, time: Duration) -> bool {
        let mut sleepers = self.sleepers.lock().unwrap();
        let (awake, asleep) =
            std::mem::take(&mut *sleepers).into_iter().partition(|(wanted, _)| *wanted == time);
        *sleepers = asleep;
        drop(sleepers);
        let awake: Vec<(Duration, oneshot::Sender<()>)> = awake;
        awake.into_iter().filter_map(|(_, sleeper)| sleeper.send(()).ok()).count() > 0
    }
}

impl Clock for FakeClock {
    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let (sleeper, awake) = oneshot::channel();
        self.sleepers.lock().unwrap().push((time, sleeper));
        Box::pin(async move { awake.await.expect("the clock outlives its sleepers") })
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)
    }
}
