//! The children of one upstream beside its first: the router says when, this starts and ends them.

use crate::desk::{Desk, Seen};
use mcplex_proto::{
    raw::Raw,
    upstream::{Upstream, UpstreamEvents, UpstreamName},
};
use mcplex_router::{MemberKey, Members};
use mcplex_supervisor::{Change, Handle, Spec, Starts, supervise};
use std::{
    collections::BTreeMap,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use tokio::{sync::watch, task::JoinSet};

/// All children of one upstream but the first; cheap to clone, and the last clone takes their tasks
/// with it, and so their processes. Only the fleet has clones; everybody else has a [`View`] or the
/// [`Members`], which hold no task.
#[derive(Clone, Debug)]
pub(crate) struct Family {
    siblings: Arc<Siblings>,
    /// One task per child, and per end that was asked for. Held here and not by the siblings: those
    /// are held by what their tasks report to.
    tasks: Arc<Mutex<JoinSet<()>>>,
}

#[derive(Debug)]
struct Siblings {
    state: Mutex<State>,
    desk: Desk,
    tasks: Weak<Mutex<JoinSet<()>>>,
}

#[derive(Debug)]
struct State {
    /// What the next one is made of.
    spec: Spec,
    open: BTreeMap<MemberKey, (Handle, Seen)>,
    /// No more are made.
    is_ending: bool,
    /// How long calls in flight may go on in one that is no longer needed.
    drain: Duration,
    /// Closed as long as something of an upstream of this name is left; it opens once.
    gate: watch::Receiver<()>,
}

impl Family {
    /// Children like the first, which is made of this; they start once the gate's other end is gone.
    pub(crate) fn new(spec: Spec, drain: Duration, gate: watch::Receiver<()>, desk: Desk) -> Self {
        let tasks = Arc::new(Mutex::new(JoinSet::new()));
        let state = State { spec, open: BTreeMap::new(), is_ending: false, drain, gate };
        let siblings = Siblings { state: Mutex::new(state), desk, tasks: Arc::downgrade(&tasks) };
        Self { siblings: Arc::new(siblings), tasks }
    }

    /// What the router opens and closes them by.
    pub(crate) fn members(&self) -> Arc<dyn Members> {
        self.siblings.clone()
    }

    /// What lets look at them and keeps none of them alive.
    pub(crate) fn view(&self) -> View {
        View(Arc::downgrade(&self.siblings))
    }

    fn handles(&self) -> Vec<Handle> {
        self.siblings.open().into_iter().map(|(_, handle, _)| handle).collect()
    }

    /// Puts another process in the place of each, and makes later ones like that.
    pub(crate) async fn replace(&self, change: Change, drain: Duration) {
        self.take(&change, drain);
        for (member, handle, _) in self.siblings.open() {
            handle.replace(of_member(change.clone(), member, handle.name()), drain).await;
        }
    }

    /// Gives all of them new limits; what runs goes on.
    pub(crate) async fn adjust(&self, change: Change, drain: Duration) {
        self.take(&change, drain);
        for (member, handle, _) in self.siblings.open() {
            handle.adjust(of_member(change.clone(), member, handle.name())).await;
        }
    }

    fn take(&self, change: &Change, drain: Duration) {
        let Change { transport, options, starts, verdicts } = change.clone();
        let mut state = lock(&self.siblings.state);
        state.spec = Spec { transport, options, starts, verdicts, ..state.spec.clone() };
        state.drain = drain;
    }

    /// Makes no more, and has each end once its calls are done or their drain is over.
    pub(crate) async fn retire(&self, drain: Duration) {
        lock(&self.siblings.state).is_ending = true;
        for handle in self.handles() {
            handle.retire(drain).await;
        }
    }

    /// Makes no more, and ends all there are.
    pub(crate) async fn shutdown(&self) {
        lock(&self.siblings.state).is_ending = true;
        for handle in self.handles() {
            handle.shutdown().await;
        }
    }

    /// Resolves when nothing of them is left; only after the end has begun.
    pub(crate) async fn ended(&self) {
        while poll_fn(|cx| lock(&self.tasks).poll_join_next(cx)).await.is_some() {}
    }
}

/// The children of one upstream beside its first, as the desk sees them: the desk is held by what
/// their tasks report to, so it must hold neither them nor their tasks.
#[derive(Clone, Debug)]
pub(crate) struct View(Weak<Siblings>);

impl View {
    /// Those that are open now, with what was seen of each.
    pub(crate) fn open(&self) -> Vec<(MemberKey, Handle, Seen)> {
        self.0.upgrade().map(|siblings| siblings.open()).unwrap_or_default()
    }
}

impl Siblings {
    fn open(&self) -> Vec<(MemberKey, Handle, Seen)> {
        let one = |(key, (handle, seen)): (&MemberKey, &(Handle, Seen))| {
            (*key, handle.clone(), seen.clone())
        };
        lock(&self.state).open.iter().map(one).collect()
    }
}

impl Members for Siblings {
    fn open(
        &self,
        member: MemberKey,
        client: Option<&Raw>,
        events: Arc<dyn UpstreamEvents>,
    ) -> Option<Arc<dyn Upstream>> {
        let tasks = self.tasks.upgrade()?;
        let mut state = lock(&self.state);
        if state.is_ending {
            return None;
        }
        let mut spec = state.next(member);
        if let Some(client) = client {
            spec.capabilities = client.clone();
        }
        tracing::info!(upstream = %spec.name, member = spec.member.as_deref(),
            "an upstream gets one more child");
        let seen = Seen::default();
        let events = self.desk.listen_in(&spec.name, spec.member.as_deref(), &seen, events);
        let (handle, task) = supervise(spec, events);
        let mut tasks = lock(&tasks);
        while tasks.try_join_next().is_some() {}
        let mut gate = state.gate.clone();
        tasks.spawn(async move {
            // Nothing is ever sent: the other end is dropped.
            while gate.changed().await.is_ok() {}
            task.await;
        });
        state.open.insert(member, (handle.clone(), seen));
        Some(Arc::new(handle))
    }

    fn close(&self, member: MemberKey) {
        let (Some((handle, _)), Some(tasks)) =
            ({ lock(&self.state).open.remove(&member) }, self.tasks.upgrade())
        else {
            return;
        };
        let drain = lock(&self.state).drain;
        lock(&tasks).spawn(async move {
            match member {
                // The session took its calls along, and a call itself.
                MemberKey::Session(_) | MemberKey::Call(_) => handle.shutdown().await,
                MemberKey::First | MemberKey::Pool(_) => handle.retire(drain).await,
            }
        });
    }
}

impl State {
    /// What a child is made of: like the first one, but the call of a session that it is made for starts
    /// it, and has the start in its trace. A call that it is made for waits for its start, however long
    /// that may take: the next one would find no child that has meanwhile come up.
    fn next(&mut self, member: MemberKey) -> Spec {
        self.spec.seed = self.spec.seed.wrapping_add(1);
        let mut spec = self.spec.clone();
        let label = member.label(&spec.name);
        if let Some(own) = spec.transport.of_member(&label) {
            spec.transport = own;
        }
        spec.member = Some(label);
        if let MemberKey::Session(_) | MemberKey::Call(_) = member {
            spec.starts = Starts::Lazy;
        }
        if let MemberKey::Call(_) = member {
            let options = &mut spec.options;
            let start = options.first_handshake_timeout.unwrap_or_default();
            let start = start.max(options.handshake_timeout);
            options.queue_wait = options.queue_wait.max(start);
        }
        spec
    }
}

/// What a change means for one of the children: its log lines go on saying which one it is.
fn of_member(mut change: Change, member: MemberKey, name: &UpstreamName) -> Change {
    if let Some(own) = change.transport.of_member(&member.label(name)) {
        change.transport = own;
    }
    change
}

/// Locks for a moment, never over a wait; a panic elsewhere leaves whole tables behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
