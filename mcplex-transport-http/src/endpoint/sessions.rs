//! What is open: sessions, and streams that last until they are ended.

use super::{Endpoint, unavailable};
use crate::{
    duplex::Duplex,
    envelope::PROTOCOL_VERSION,
    line::Line,
    outlet::Outlet,
    post,
    reply::{Refusal, SESSION_ID},
    session,
    session::Live,
};
use hyper::{HeaderMap, StatusCode, header::HeaderValue};
use mcplex_proto::{
    downstream::{Arrival, Client, Gateway, Principal, Session, Stay},
    peer::Origin,
    version::{Era, Version},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, MutexGuard},
    time::Duration,
};

#[derive(Default)]
pub(super) struct Sessions {
    by_id: BTreeMap<Box<str>, Arc<Live>>,
    /// Those whose stream is the session.
    duplexes: BTreeMap<Box<str>, Arc<Duplex>>,
    /// Stateless requests that last until they are ended.
    listens: BTreeMap<u64, Arc<dyn Session>>,
    next_listen: u64,
    pub(super) is_draining: bool,
}

impl Endpoint {
    /// Opens a session that only this principal can use.
    pub(crate) fn open(&self, principal: Principal) -> Result<Arc<Live>, Refusal> {
        let id = self.vacancy()?;
        let outlet = Arc::new(Outlet::new(&id, &self.options));
        let client: Arc<dyn Client> = Arc::<Outlet>::clone(&outlet);
        // Outside of the lock: this is foreign code.
        let arrival = Arrival { principal: principal.clone(), stay: Stay::Long };
        let session = self.gateway.open(client, arrival);
        let now = self.clock.millis();
        let live = Arc::new(Live::new(id.clone(), principal, session, outlet, now));
        let mut sessions = self.lock();
        if let Err(refusal) = self.check_room(&sessions) {
            drop(sessions);
            live.close();
            return Err(refusal);
        }
        sessions.by_id.insert(id, Arc::clone(&live));
        tracing::debug!(sessions = sessions.by_id.len(), "session opened");
        Ok(live)
    }

    /// Opens a session that lasts as long as its stream.
    pub(crate) fn open_duplex(
        &self,
        principal: Principal,
        origin: Origin,
    ) -> Result<Arc<Duplex>, Refusal> {
        let id = self.vacancy()?;
        // What its headers say of a trace is said of the stream, and of no request.
        let origin = Origin { session: Some(Arc::from(&*id)), trace: None, ..origin };
        let line = Arc::new(Line::of_session(&self.options).from(origin));
        let client: Arc<dyn Client> = Arc::<Line>::clone(&line);
        let arrival = Arrival { principal: principal.clone(), stay: Stay::Long };
        let session = self.gateway.open(client, arrival);
        let duplex = Arc::new(Duplex::new(id.clone(), principal, session, line));
        let mut sessions = self.lock();
        if let Err(refusal) = self.check_room(&sessions) {
            drop(sessions);
            duplex.close();
            return Err(refusal);
        }
        sessions.duplexes.insert(id, Arc::clone(&duplex));
        Ok(duplex)
    }

    /// The session of this id; that of another principal is none.
    pub(crate) fn find_duplex(
        &self,
        id: &str,
        principal: &Principal,
    ) -> Result<Arc<Duplex>, Refusal> {
        let duplex = self.lock().duplexes.get(id).cloned();
        duplex.filter(|duplex| duplex.principal == *principal).ok_or_else(post::gone)
    }

    /// The stream of such a session has ended.
    pub(crate) fn forget_duplex(&self, duplex: &Duplex) {
        let known = self.lock().duplexes.remove(&duplex.id);
        if let Some(duplex) = known {
            duplex.close();
        }
    }

    /// An id for a new session, if there is room for one.
    fn vacancy(&self) -> Result<Box<str>, Refusal> {
        self.check_room(&self.lock())?;
        session::mint_id().map_err(|error| {
            tracing::error!(%error, "no random bytes for a session id");
            unavailable("no session id can be made")
        })
    }

    fn check_room(&self, sessions: &Sessions) -> Result<(), Refusal> {
        if sessions.is_draining {
            return Err(unavailable("no new sessions: the listener stops"));
        }
        if sessions.by_id.len() + sessions.duplexes.len() >= self.options.max_sessions {
            return Err(unavailable("too many sessions are open"));
        }
        Ok(())
    }

    /// The session a request belongs to; that of another principal is none.
    ///
    /// The header may name another revision than the one that `initialize` agreed on: there are
    /// clients that always send the same, and servers need only refuse what they do not speak.
    pub(crate) fn find(
        &self,
        headers: &HeaderMap,
        principal: &Principal,
    ) -> Result<Arc<Live>, Refusal> {
        let mut ids = headers.get_all(SESSION_ID).iter();
        let Some(id) = ids.next() else {
            return Err(Refusal::new(StatusCode::BAD_REQUEST, &"Mcp-Session-Id is missing"));
        };
        if ids.next().is_some() {
            return Err(Refusal::new(StatusCode::BAD_REQUEST, &"Mcp-Session-Id is there twice"));
        }
        let live = id.to_str().ok().and_then(|id| self.lock().by_id.get(id).cloned());
        let live = live.filter(|live| live.principal == *principal).ok_or_else(post::gone)?;
        let has_session = |wanted: &HeaderValue| {
            let wanted = wanted.to_str().ok().and_then(|text| text.parse::<Version>().ok());
            wanted.is_some_and(|wanted| wanted.era() == Era::Legacy)
        };
        if !headers.get_all(PROTOCOL_VERSION).iter().all(has_session) {
            let why = "MCP-Protocol-Version names no revision that has sessions";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, &why));
        }
        live.touch(self.clock.millis());
        Ok(live)
    }

    /// Whether the request names a session of this principal that is open.
    pub(crate) fn knows(&self, headers: &HeaderMap, principal: &Principal) -> bool {
        let id = headers.get(SESSION_ID).and_then(|id| id.to_str().ok());
        let is_own = |live: &Arc<Live>| live.principal == *principal;
        id.is_some_and(|id| self.lock().by_id.get(id).is_some_and(is_own))
    }

    /// Ends a session, once.
    pub(crate) fn forget(&self, live: &Live) {
        let known = self.lock().by_id.remove(&live.id);
        if let Some(live) = known {
            live.close();
        }
    }

    /// How often [`Self::sweep`] is due: late by a quarter of the idle time, a minute at most.
    pub(crate) fn sweep_every(&self) -> Duration {
        let most = Duration::from_secs(60);
        (self.options.session_idle / 4).clamp(Duration::from_millis(1), most)
    }

    /// Ends the sessions nobody used for too long.
    pub(crate) fn sweep(&self) {
        let now = self.clock.millis();
        let bound = u64::try_from(self.options.session_idle.as_millis()).unwrap_or(u64::MAX);
        let mut ended = Vec::new();
        self.lock().by_id.retain(|_, live| {
            if live.outlet.lock().is_busy() {
                live.touch(now);
            }
            let is_over = live.idle(now) >= bound;
            if is_over {
                ended.push(Arc::clone(live));
            }
            !is_over
        });
        for live in ended {
            live.close();
        }
    }

    /// Where sessions are opened.
    pub(crate) fn gateway(&self) -> &dyn Gateway {
        &*self.gateway
    }

    /// Remembers a request that lasts until it is ended, to end it when the listener stops.
    pub(crate) fn list(&self, session: &Arc<dyn Session>) -> Result<u64, Refusal> {
        let mut sessions = self.lock();
        if sessions.is_draining {
            return Err(unavailable("no new streams: the listener stops"));
        }
        if sessions.listens.len() >= self.options.max_listens {
            return Err(unavailable("too many subscriptions are open"));
        }
        let number = sessions.next_listen;
        sessions.next_listen += 1;
        sessions.listens.insert(number, Arc::clone(session));
        Ok(number)
    }

    /// Such a request has ended.
    pub(crate) fn unlist(&self, number: u64) {
        let session = self.lock().listens.remove(&number);
        // Outside of the lock: its end is foreign code.
        drop(session);
    }

    /// From now on no session and no stream is opened; streams that last until they are ended do.
    pub(crate) fn drain(&self) {
        let (live, duplexes, listens): (Vec<_>, Vec<_>, Vec<_>) = {
            let mut sessions = self.lock();
            sessions.is_draining = true;
            let live = sessions.by_id.values().cloned().collect();
            let duplexes = sessions.duplexes.values().cloned().collect();
            (live, duplexes, sessions.listens.values().cloned().collect())
        };
        for live in live {
            live.outlet.end_standalone();
            live.session.drain();
        }
        for duplex in duplexes {
            duplex.drain();
        }
        for session in listens {
            session.drain();
        }
    }

    /// Ends all sessions.
    pub(crate) fn close(&self) {
        let (live, duplexes) = {
            let mut sessions = self.lock();
            (std::mem::take(&mut sessions.by_id), std::mem::take(&mut sessions.duplexes))
        };
        for live in live.into_values() {
            live.close();
        }
        for duplex in duplexes.into_values() {
            duplex.close();
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().expect("nothing panics while it holds the sessions")
    }
}
