//! What stateless upstreams tell of by themselves: one `subscriptions/listen` per member.
//!
//! It asks for the changes of lists that the upstream tells of, and for the resources that somebody
//! subscribed to. There is no way to change it: a new one is opened, and once the upstream has
//! acknowledged that, the old one is ended. One that is lost is opened again after a wait, and then
//! the lists are read again, because a change may have been missed.

use crate::{
    calls,
    hop::Introduction,
    isolation::MemberKey,
    link::Link,
    listen::{self, LISTS},
    lists::Kind,
    measure::Watched,
    member::Member,
    params::Params,
    router::{Shared, lock},
    spans::{self, To, Why},
    tasks::{self, Record},
};
use futures_channel::{mpsc, oneshot};
use futures_util::{
    StreamExt as _,
    future::{Either, select},
    stream::FuturesUnordered,
};
use mcplex_proto::{
    attr, edit,
    error::{ErrorObject, METHOD_NOT_FOUND},
    handshake::ServerInfo,
    id::Id,
    message::{Extra, Outcome},
    method, modern,
    raw::Raw,
    trace::TraceContext,
    upstream::{Call, Incarnation, Reply, Traced, Upstream, UpstreamError},
    version::Era,
};
use std::{borrow::Cow, collections::BTreeSet, pin::pin, sync::Arc, time::Duration};

/// The wait before a lost stream is opened again; it doubles with each that is lost early.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest such wait, and how long a stream has to last for the next wait to be short again.
const LAST_WAIT: Duration = Duration::from_secs(60);
/// Tasks of one member that are heard of; who has made more asks how the others are.
const MAX_TASKS: usize = 1024;
/// How often the wait doubles: until it is the longest.
const DOUBLINGS: u32 = 6;
/// How long one stream may last before another takes its place. No peer waits for that; it only
/// bounds what a supervisor keeps of one call.
const MAX_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// What one member is listened to for.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// The stream that was acknowledged; what comes on any other is not heard.
    current: Option<Stream>,
    /// The one that is to take its place.
    next: Option<Stream>,
    /// Streams in a row that were lost early.
    losses: u32,
    /// A lost stream is waited for.
    is_resting: bool,
    /// The life that has no such method.
    refused: Option<Incarnation>,
    /// Resources of a stream that was lost, until another one takes its place.
    missed: BTreeSet<String>,
}

#[derive(Debug)]
struct Stream {
    /// The id of the request, which marks everything on it.
    id: u64,
    wanted: Wanted,
    /// The lists whose changes it tells of, once it was acknowledged.
    told: Vec<&'static str>,
    /// Ends the wait for its end.
    end: oneshot::Sender<()>,
    /// The span of the request, until it is acknowledged.
    span: Option<Watched>,
    /// Where that stands.
    trace: Option<TraceContext>,
}

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Wanted {
    lists: Vec<&'static str>,
    uris: BTreeSet<String>,
    /// The ids of tasks, as JSON.
    tasks: BTreeSet<String>,
}

impl Wanted {
    fn of(shared: &Shared, link: &Link, member: &Member, info: &ServerInfo) -> Self {
        let tells = |&(name, _): &(&str, &str)| {
            let capability = name.trim_end_matches("ListChanged");
            info.can(capability, Some("listChanged"))
        };
        // Lists are read from the first member as long as it runs.
        let is_reader = member.key == MemberKey::First;
        let lists = LISTS.iter().filter(|list| is_reader && tells(list)).map(|(name, _)| *name);
        let lists = lists.collect();
        let uris = match info.can("resources", Some("subscribe")) {
            true => link.subscriptions(member.key),
            false => BTreeSet::new(),
        };
        let tasks = match tasks::are_made(info) {
            true => followed(shared, link, member),
            false => BTreeSet::new(),
        };
        Self { lists, uris, tasks }
    }

    fn is_empty(&self) -> bool {
        self.lists.is_empty() && self.uris.is_empty() && self.tasks.is_empty()
    }

    fn write(&self) -> Raw {
        let uris = (!self.uris.is_empty()).then(|| Raw::of(&self.uris));
        let uris = uris.as_ref().map(|uris| ("resourceSubscriptions", uris.as_str()));
        let tasks = edit::array(self.tasks.iter().map(String::as_str));
        let tasks = (!self.tasks.is_empty()).then_some(("taskIds", tasks.as_str()));
        edit::object(self.lists.iter().map(|name| (*name, "true")).chain(uris).chain(tasks))
    }
}

/// The tasks of a member that somebody hears of and that have not ended.
fn followed(shared: &Shared, link: &Link, member: &Member) -> BTreeSet<String> {
    let all = shared.ledger.of_member(&link.name, member.key);
    let is_heard = |record: &&Arc<Record>| {
        !record.is_over() && record.kept().is_none() && tasks::is_followed(shared, record)
    };
    let heard = all.iter().filter(is_heard).map(|record| record.key.id().to_owned());
    heard.take(MAX_TASKS).collect()
}

/// Keeps a stream open for every stateless member of an upstream, until the upstream is removed.
pub(crate) async fn follow(shared: &Shared, link: Arc<Link>, mut signals: mpsc::Receiver<()>) {
    let mut streams = FuturesUnordered::new();
    loop {
        for member in link.members() {
            streams.extend(open(shared, &link, &member));
        }
        let is_over = if streams.is_empty() {
            signals.next().await.is_none()
        } else {
            matches!(select(signals.next(), streams.next()).await, Either::Left((None, _)))
        };
        if is_over {
            return;
        }
    }
}

/// Opens a stream where one is missing or another one is wanted.
fn open<'a>(
    shared: &'a Shared,
    link: &'a Link,
    member: &Arc<Member>,
) -> Option<impl Future<Output = ()> + use<'a>> {
    let upstream = member.upstream().filter(|_| member.is_live())?.clone();
    let info = upstream.server_info().filter(|info| info.version.era() == Era::Modern)?;
    let life = upstream.status().incarnation;
    let wanted = Wanted::of(shared, link, member, &info);
    let mut watch = lock(&member.watch);
    if watch.is_resting || watch.next.is_some() || watch.refused == Some(life) {
        return None;
    }
    match &watch.current {
        Some(now) if now.wanted == wanted => return None,
        Some(_) | None if wanted.is_empty() => {
            watch.current = None;
            return None;
        }
        Some(_) | None => {}
    }
    let id = upstream.mint();
    let (end, ended) = oneshot::channel();
    let filter = wanted.write();
    let own = Introduction::own(&shared.options());
    let own = if wanted.tasks.is_empty() { own } else { own.with_tasks() };
    let peer = upstream.peer();
    let version = Some(info.version);
    let to = To { upstream: &link.name, peer: peer.as_deref(), version };
    let span = spans::own(method::LISTEN, id, to, Why::Upkeep);
    span.span.record(attr::SUBSCRIPTION_ID, tracing::field::display(id));
    let trace = span.context().cloned();
    watch.next =
        Some(Stream { id, wanted, told: Vec::new(), end, span: Some(span), trace: trace.clone() });
    drop(watch);
    let params = own.params(&[("notifications", filter.as_str())]);
    let told = trace.as_ref().filter(|_| link.propagate().trace);
    let params = told.map_or_else(|| params.clone(), |context| context.written_into(&params));
    let call = Call {
        id,
        method: Cow::Borrowed(method::LISTEN),
        params: Some(params),
        extra: Extra::default(),
        timeout: Some(MAX_LIFE),
        trace: trace.map(|sent| Traced { sent, asked: None }),
        is_upkeep: true,
        era: Era::Modern,
    };
    let listening = Listening { shared, link, member: member.clone(), upstream, id, life };
    Some(listening.run(call, ended))
}

/// One stream on its way.
struct Listening<'a> {
    shared: &'a Shared,
    link: &'a Link,
    member: Arc<Member>,
    upstream: Arc<dyn Upstream>,
    id: u64,
    life: Incarnation,
}

/// How a stream ended.
enum End {
    /// It is no longer wanted: the upstream is told.
    Unwanted,
    /// With its life, or with the longest time one may last: there is nothing to wait for.
    Natural,
    /// The upstream ended it, or never acknowledged it.
    Lost,
    /// The upstream knows no such method.
    Refused,
}

impl Listening<'_> {
    async fn run(self, call: Call, ended: oneshot::Receiver<()>) {
        let trace = call.trace.as_ref().map(|trace| trace.sent.clone());
        let end = self.last(call, ended).await;
        let wait = self.settle(&end);
        if matches!(end, End::Unwanted) {
            self.cancel(trace.as_ref());
        }
        if let Some(wait) = wait {
            tracing::debug!(upstream = %self.link.name, ?wait,
                "a stream of changes was lost; it is opened again");
            self.shared.clock.sleep(wait).await;
            lock(&self.member.watch).is_resting = false;
        }
    }

    /// Waits for its end.
    async fn last(&self, call: Call, ended: oneshot::Receiver<()>) -> End {
        let limit = self.shared.options().list_timeout;
        let clock = &self.shared.clock;
        let mut over = pin!(select(self.upstream.call(call), ended));
        let ended = match select(over.as_mut(), clock.sleep(limit)).await {
            Either::Left((ended, _)) => ended,
            Either::Right(_) if !self.is_acknowledged() => {
                self.cancel(None);
                return End::Lost;
            }
            Either::Right(_) => match select(over.as_mut(), clock.sleep(LAST_WAIT)).await {
                Either::Left((ended, _)) => ended,
                Either::Right(_) => {
                    lock(&self.member.watch).losses = 0;
                    over.await
                }
            },
        };
        match ended {
            Either::Left((answer, _)) => how(&answer),
            Either::Right(_) => End::Unwanted,
        }
    }

    fn cancel(&self, parent: Option<&TraceContext>) {
        calls::cancel(self.link, &*self.upstream, (self.id, parent), None);
    }

    fn is_acknowledged(&self) -> bool {
        let watch = lock(&self.member.watch);
        watch.current.as_ref().is_some_and(|stream| stream.id == self.id)
    }

    /// Forgets the stream; gives how long to wait before the next one.
    fn settle(&self, end: &End) -> Option<Duration> {
        let mut watch = lock(&self.member.watch);
        let is_this = |stream: &Stream| stream.id == self.id;
        if let Some(lost) = watch.current.take_if(|stream| is_this(stream))
            && !matches!(end, End::Unwanted)
        {
            watch.missed.extend(lost.wanted.uris);
        }
        let next = watch.next.take_if(|stream| is_this(stream));
        // It was never acknowledged.
        if let Some(span) = next.and_then(|stream| stream.span) {
            spans::not_heard(&span, matches!(end, End::Unwanted));
        }
        match end {
            End::Unwanted => None,
            End::Natural => {
                watch.losses = 0;
                None
            }
            End::Refused => {
                watch.refused = Some(self.life);
                None
            }
            End::Lost => {
                let doublings = watch.losses.min(DOUBLINGS);
                watch.losses = doublings + 1;
                watch.is_resting = true;
                Some((FIRST_WAIT * 2_u32.pow(doublings)).min(LAST_WAIT))
            }
        }
    }
}

fn how(answer: &Result<Reply, UpstreamError>) -> End {
    match answer {
        Ok(Reply { outcome: Outcome::Error(error), .. })
            if ErrorObject::read(error).code == METHOD_NOT_FOUND =>
        {
            End::Refused
        }
        Ok(_) => End::Lost,
        // It was not sent though the upstream runs: not at once again.
        Err(error) if error.was_refused() => End::Lost,
        // The life is over, or it goes on with another stream.
        Err(_) => End::Natural,
    }
}

/// The upstream says what it will tell of: whatever was listened to before is no longer needed.
pub(crate) fn acknowledged(shared: &Shared, link: &Link, member: &Member, params: &Params<'_>) {
    let id = mark_of(params);
    let mut watch = lock(&member.watch);
    let Some(mut next) = watch.next.take_if(|next| Some(next.id) == id) else { return };
    // The request is answered only when it is over, which may be in days.
    next.span.take().iter().for_each(Watched::is_done);
    let honoured = honoured(params);
    let (told, untold) = next.wanted.lists.iter().partition(|name| honoured.contains(**name));
    next.told = told;
    let untold: Vec<&str> = untold;
    if !untold.is_empty() {
        tracing::info!(upstream = %link.name, ?untold,
            "an upstream does not tell of all lists whose changes it says it tells of");
    }
    let is_gap = watch.current.is_none();
    let before = watch.current.replace(next);
    let missed = std::mem::take(&mut watch.missed);
    drop(watch);
    listen::missed(shared, link, member, &missed);
    // Its end is told to the upstream by who waits for it.
    if let Some(before) = before {
        let _waits: Result<(), ()> = before.end.send(());
    }
    if is_gap && link.first().key == member.key {
        link.mark(|stale| *stale = [true; Kind::ALL.len()]);
    }
    // What is wanted may have changed since it was asked for.
    link.watch.raise();
}

/// Where the span of the stream stands that a notification came on.
pub(crate) fn stream_of(member: &Member, params: &Params<'_>) -> Option<TraceContext> {
    let id = params.meta(modern::SUBSCRIPTION_ID).and_then(Id::read)?.minted()?;
    let watch = lock(&member.watch);
    let stream = watch.current.iter().chain(&watch.next).find(|stream| stream.id == id)?;
    stream.trace.clone()
}

/// The kinds of changes that an upstream says it will tell of.
fn honoured(params: &Params<'_>) -> BTreeSet<String> {
    let all = params.get("notifications").and_then(|value| edit::members(value.get()));
    let is_told = |(_, value): &edit::Member<'_>| !matches!(value.get(), "false" | "null");
    let told = all.into_iter().flatten().filter(is_told);
    told.map(|(name, _)| name.into_owned()).collect()
}

/// Whether a member tells of changes of a list.
pub(crate) fn tells(member: &Member, kind: Kind) -> bool {
    let name = match kind {
        Kind::Tools => "toolsListChanged",
        Kind::Prompts => "promptsListChanged",
        Kind::Resources | Kind::Templates => "resourcesListChanged",
    };
    lock(&member.watch).current.as_ref().is_some_and(|stream| stream.told.contains(&name))
}

/// Whether a notification came on the stream that is listened to; a legacy upstream has none, and what
/// looks like a mark of one means nothing.
pub(crate) fn is_heard(member: &Member, params: &Params<'_>) -> bool {
    if member.era() == Some(Era::Legacy) {
        return true;
    }
    let Some(mark) = params.meta(modern::SUBSCRIPTION_ID) else { return true };
    let id = Id::read(mark).and_then(|id| id.minted());
    lock(&member.watch).current.as_ref().is_some_and(|stream| Some(stream.id) == id)
}

fn mark_of(params: &Params<'_>) -> Option<u64> {
    params.meta(modern::SUBSCRIPTION_ID).and_then(Id::read)?.minted()
}
