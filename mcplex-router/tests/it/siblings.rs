//! Children of an upstream beside its first, made as the router asks for them.

use crate::fake::{FakeUpstream, message, status};
use mcplex_proto::{
    raw::Raw,
    upstream::{Health, Upstream, UpstreamEvents},
};
use mcplex_router::{MemberKey, Members};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

/// Makes the siblings of an upstream, and writes down which were closed.
#[derive(Debug, Default)]
pub(crate) struct Siblings {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: BTreeMap<MemberKey, Child>,
    opened: usize,
    closed: Vec<MemberKey>,
    gone: Vec<Child>,
    is_ending: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("open", &self.open.keys()).finish_non_exhaustive()
    }
}

/// One child that was made, ready from the first.
#[derive(Clone)]
pub(crate) struct Child {
    pub(crate) upstream: Arc<FakeUpstream>,
    pub(crate) events: Arc<dyn UpstreamEvents>,
    /// What it was told its one client can do.
    pub(crate) told: Option<String>,
}

impl Siblings {
    /// A child that is there.
    pub(crate) fn get(&self, key: MemberKey) -> Child {
        self.state.lock().unwrap().open[&key].clone()
    }

    pub(crate) fn keys(&self) -> Vec<MemberKey> {
        self.state.lock().unwrap().open.keys().copied().collect()
    }

    pub(crate) fn all(&self) -> Vec<Child> {
        self.state.lock().unwrap().open.values().cloned().collect()
    }

    /// How many were ever made.
    pub(crate) fn opened(&self) -> usize {
        self.state.lock().unwrap().opened
    }

    /// Which were closed since the last time.
    pub(crate) fn take_closed(&self) -> Vec<MemberKey> {
        std::mem::take(&mut self.state.lock().unwrap().closed)
    }

    /// The children that were closed and whose calls nobody has ended yet.
    pub(crate) fn take_gone(&self) -> Vec<Child> {
        std::mem::take(&mut self.state.lock().unwrap().gone)
    }

    /// Makes no more.
    pub(crate) fn end(&self) {
        self.state.lock().unwrap().is_ending = true;
    }
}

impl Child {
    /// Its life is ready; the test lets things happen.
    pub(crate) fn ready(&self, incarnation: u64) {
        self.upstream.set_incarnation(incarnation);
        self.upstream.set_health(Health::Ready);
        self.events.changed(status(Health::Ready, incarnation));
    }

    pub(crate) fn down(&self, health: Health) {
        self.upstream.set_health(health);
        self.events.changed(status(health, self.upstream.incarnation().0));
    }

    /// It says something by itself.
    pub(crate) fn says(&self, text: &str) {
        self.events.message(self.upstream.incarnation(), message(text), None);
    }
}

impl Members for Siblings {
    fn open(
        &self,
        member: MemberKey,
        client: Option<&Raw>,
        events: Arc<dyn UpstreamEvents>,
    ) -> Option<Arc<dyn Upstream>> {
        let mut state = self.state.lock().unwrap();
        if state.is_ending {
            return None;
        }
        let upstream = FakeUpstream::new("a");
        upstream.introduces(r#"{"tools":{},"logging":{},"resources":{"subscribe":true}}"#, None);
        upstream.lists("tools/list", &[r#"{"tools":[{"name":"own"}]}"#]);
        upstream.lists("resources/list", &[r#"{"resources":[{"uri":"x://1"}]}"#]);
        upstream.lists("resources/templates/list", &[r#"{"resourceTemplates":[]}"#]);
        state.opened += 1;
        let told = client.map(|client| client.as_str().to_owned());
        let child = Child { upstream: upstream.clone(), events, told };
        let before = state.open.insert(member, child);
        assert!(before.is_none(), "{member:?} is there already");
        Some(upstream)
    }

    fn close(&self, member: MemberKey) {
        let mut state = self.state.lock().unwrap();
        let gone = state.open.remove(&member).expect("it was opened and not closed");
        state.gone.push(gone);
        state.closed.push(member);
    }
}
