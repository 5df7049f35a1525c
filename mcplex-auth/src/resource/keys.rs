//! The keys of one issuer: fetched, kept, and fetched again within limits.

use crate::{
    address::Trust,
    clock::Clock,
    discovery::{self, DiscoveryError},
    fetch::{Action, Fetch, Request},
    flight::Flight,
    jose::{Algorithm, KeySet},
    metadata::Issuer,
};
use futures_util::FutureExt as _;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use url::Url;

/// For how many times their age keys are used while no newer ones can be fetched: an hour with
/// the defaults. Longer, and a withdrawn key would live as long as its issuer can be held off.
const STALE_FACTOR: u32 = 6;

/// How often keys are fetched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) age: Duration,
    pub(crate) pause: Duration,
}

/// There are no keys to judge by.
#[derive(Clone, Debug)]
pub(crate) struct NoKeys;

/// The keys of one issuer.
#[derive(Debug)]
pub(crate) struct IssuerKeys {
    shared: Arc<Shared>,
    flight: Flight<Result<Arc<KeySet>, NoKeys>>,
}

#[derive(Debug)]
struct Shared {
    issuer: Issuer,
    limits: Limits,
    fetch: Arc<dyn Fetch>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    known: Option<Known>,
    /// Where they lie, until a fetch from there fails.
    place: Option<Url>,
    /// When they were last asked for.
    asked: Option<Duration>,
}

#[derive(Clone, Debug)]
struct Known {
    set: Arc<KeySet>,
    since: Duration,
}

impl IssuerKeys {
    pub(crate) fn new(
        issuer: Issuer,
        limits: Limits,
        fetch: Arc<dyn Fetch>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let state = Mutex::new(State::default());
        let shared = Arc::new(Shared { issuer, limits, fetch, clock, state });
        Self { shared, flight: Flight::new() }
    }

    pub(crate) fn issuer(&self) -> &Issuer {
        &self.shared.issuer
    }

    /// The keys, newer ones if the known ones do not have what is looked for.
    pub(crate) async fn find(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Arc<KeySet>, NoKeys> {
        let now = self.shared.clock.uptime();
        let limits = self.shared.limits;
        let (known, may_ask) = {
            let state = self.shared.lock();
            let may_ask = state.asked.is_none_or(|asked| now >= asked + limits.pause);
            (state.known.clone(), may_ask)
        };
        let age = |known: &Known| now.saturating_sub(known.since);
        if let Some(known) = &known
            && age(known) < limits.age
            && !known.set.candidates(id, algorithm).is_empty()
        {
            return Ok(Arc::clone(&known.set));
        }
        let asked = match may_ask {
            true => self.flight.join(|| Arc::clone(&self.shared).ask().boxed()).await,
            false => self.under_way().await,
        };
        let usable = known.filter(|known| age(known) < limits.age * STALE_FACTOR);
        asked.or_else(|none| usable.map(|known| known.set).ok_or(none))
    }

    /// What a fetch brings that somebody else has begun.
    async fn under_way(&self) -> Result<Arc<KeySet>, NoKeys> {
        self.flight.join(|| std::future::ready(Err(NoKeys)).boxed()).await
    }
}

impl Shared {
    async fn ask(self: Arc<Self>) -> Result<Arc<KeySet>, NoKeys> {
        let place = {
            let mut state = self.lock();
            state.asked = Some(self.clock.uptime());
            state.place.clone()
        };
        match self.fetch(place).await {
            Ok((place, set)) => {
                tracing::debug!(issuer = %self.issuer, keys = set.len(), "keys fetched");
                let set = Arc::new(set);
                let mut state = self.lock();
                state.place = Some(place);
                state.known = Some(Known { set: Arc::clone(&set), since: self.clock.uptime() });
                Ok(set)
            }
            Err(error) => {
                let because = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(issuer = %self.issuer, %error, because, "no keys fetched");
                self.lock().place = None;
                Err(NoKeys)
            }
        }
    }

    async fn fetch(&self, place: Option<Url>) -> Result<(Url, KeySet), DiscoveryError> {
        let of = self.issuer.to_string();
        let place = match place {
            Some(place) => place,
            None => {
                let server = discovery::server(&*self.fetch, &self.issuer, &Trust::Configured);
                let server = server.await?;
                discovery::member(server.jwks_uri.as_ref(), "jwks_uri", &self.issuer)?
            }
        };
        let trust = Trust::Learned { from: self.issuer.url().clone() };
        let request = Request { url: place.clone(), trust, action: Action::Get };
        let answer = match self.fetch.fetch(request).await {
            Ok(answer) if answer.status == 200 => answer,
            Ok(answer) => return Err(DiscoveryError::Status { of, status: answer.status }),
            Err(error) => return Err(DiscoveryError::Fetch { of, source: Arc::new(error) }),
        };
        match KeySet::read(&answer.body.0) {
            Ok(set) => Ok((place, set)),
            Err(error) => Err(DiscoveryError::Unreadable { of, source: Arc::new(error) }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
