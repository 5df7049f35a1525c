//! Tokens for one server on behalf of a person who has logged in: what is kept of that login is used,
//! and renewed before it ends.
//!
//! Nothing here asks a person. Somebody else may log in at any time, or out, in another process; the
//! file is the only thing that both know, and is looked at again and again.

mod leave;
pub use leave::Standing;

use crate::{
    challenge::Challenge,
    client::{
        PAUSE, YOUNG,
        ask::Asker,
        error::AuthError,
        kept::{Kept, Known, LoginFile, Stamp},
        login::access,
        options::{Credentials, Grant, Options, Proof},
        server::Server,
        token::Token,
    },
    clock::Clock,
    fetch::Fetch,
    flight::Flight,
    metadata::{self, Issuer, ServerMetadata},
    secret::Secret,
};
use futures_util::FutureExt as _;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use url::Url;

/// How often the file is looked at while tokens are used; 1 s. Whoever has logged out expects that
/// it holds, and a look costs a microsecond.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many scopes that a server wanted are kept for the next login.
const WANTED_MAX: usize = 64;

/// The rules of a [`LoginSource`].
#[derive(Clone, Debug)]
pub struct ByLogin {
    /// The address of the server, as it is configured.
    pub resource: Url,
    /// The only issuer whose logins count, if one is configured.
    pub issuer: Option<Issuer>,
    /// Our name there and how we show that it is ours, if that is configured.
    pub client: Option<(String, Proof)>,
    /// Where the login is kept.
    pub file: LoginFile,
    /// How long before its end a token is replaced.
    pub lead: Duration,
    /// Whether the server is asked without a token while nobody has logged in.
    pub is_optional: bool,
}

/// Tokens of a person who has logged in.
#[derive(Clone, Debug)]
pub struct LoginSource {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: ByLogin,
    asker: Asker,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    flight: Flight<Result<Option<Arc<Token>>, AuthError>>,
}

#[derive(Debug, Default)]
struct State {
    token: Option<Arc<Token>>,
    /// The content of the file that all of this comes from.
    seen: Option<Stamp>,
    /// When it was looked at last.
    looked: Option<Duration>,
    /// Whether it says that nobody has logged in.
    is_nobody: bool,
    /// What could not be written, and is newer than the file.
    unsaved: Option<Kept>,
    /// The token that the server refused last.
    refused: Option<Secret>,
    /// Where the server said that its metadata lies.
    hint: Option<Url>,
    server: Option<Arc<(Server, ServerMetadata)>>,
    /// A failure that passes, which is not repeated at once.
    failed: Option<(Duration, AuthError)>,
}

impl LoginSource {
    /// Uses a login by these rules.
    #[must_use]
    pub fn new(options: ByLogin, fetch: Arc<dyn Fetch>, clock: Arc<dyn Clock>) -> Self {
        let asker = Asker::new(fetch, Arc::clone(&clock));
        let (state, flight) = (Mutex::new(State::default()), Flight::new());
        Self { shared: Arc::new(Shared { options, asker, clock, state, flight }) }
    }

    /// The value of the `Authorization` header for one request; `None` when the request is to go
    /// without.
    ///
    /// # Errors
    /// When a person has to log in, or no token can be had for another reason.
    pub async fn authorization(&self) -> Result<Option<Secret>, AuthError> {
        let shared = &self.shared;
        let token = match shared.known() {
            Some(known) => known?,
            None => shared.flight.join(|| Arc::clone(shared).renew().boxed()).await?,
        };
        Ok(token.map(|token| token.header.clone()))
    }

    /// What to do with a response: whether there is something new to show.
    ///
    /// # Errors
    /// When the server refuses what can be had without a person.
    pub async fn rejected(
        &self,
        used: Option<&str>,
        status: u16,
        www_authenticate: Option<&str>,
    ) -> Result<bool, AuthError> {
        let challenge = www_authenticate.and_then(Challenge::read).unwrap_or_default();
        let is_other = |next: Option<Secret>| {
            next.is_some_and(|next| used.is_none_or(|used| next.expose() != used))
        };
        match status {
            401 => {
                self.shared.refused(used, &challenge)?;
                match self.authorization().await? {
                    None => Err(self.shared.nobody()),
                    next => Ok(is_other(next)),
                }
            }
            403 if challenge.error.as_deref() == Some("insufficient_scope") => {
                self.shared.look_again();
                if is_other(self.authorization().await?) {
                    return Ok(true);
                }
                let needed: Vec<_> = challenge.scopes().map(str::to_owned).collect();
                self.shared.want(&needed).await?;
                Err(AuthError::MoreNeeded { needed })
            }
            _ => Ok(false),
        }
    }
}

impl Shared {
    /// What is known without asking anybody.
    fn known(&self) -> Option<Result<Option<Arc<Token>>, AuthError>> {
        let now = self.clock.uptime();
        let mut state = self.lock();
        if state.looked.is_none_or(|at| now >= at + LOOK_EVERY) {
            state.looked = Some(now);
            let stamp = self.options.file.stamp();
            if stamp != state.seen || (stamp.is_some() && state.is_nobody) {
                let refused = state.refused.take();
                *state = State { looked: Some(now), seen: stamp, refused, ..State::default() };
            }
        }
        if let Some(token) = state.token.as_ref().filter(|token| token.is_good(now)) {
            return Some(Ok(Some(Arc::clone(token))));
        }
        if state.is_nobody && self.options.is_optional {
            return Some(Ok(None));
        }
        match &state.failed {
            Some((at, error)) if now < *at + PAUSE => Some(Err(error.clone())),
            Some(_) | None => None,
        }
    }

    async fn renew(self: Arc<Self>) -> Result<Option<Arc<Token>>, AuthError> {
        let got = self.get().await;
        let mut state = self.lock();
        match got {
            Ok(token) => {
                let token = token.map(Arc::new);
                state.is_nobody = token.is_none();
                state.token.clone_from(&token);
                state.failed = None;
                Ok(token)
            }
            Err(error) => {
                let because = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(resource = metadata::shown(&self.options.resource), %error, because, "no token");
                state.server = None;
                // The other kind asks nobody, so it may be found again at once.
                let passes = error.is_passing().then(|| (self.clock.uptime(), error.clone()));
                state.failed = passes;
                Err(error)
            }
        }
    }

    async fn get(&self) -> Result<Option<Token>, AuthError> {
        let Some(kept) = self.read()? else {
            return if self.options.is_optional { Ok(None) } else { Err(self.nobody()) };
        };
        if let Some(token) = self.token_of(&kept) {
            return Ok(Some(token));
        }
        let _lock = self.options.file.lock().await.map_err(AuthError::store)?;
        // Another process may have been faster, and then the refresh token is void.
        let kept = self.read()?.ok_or_else(|| self.nobody())?;
        if let Some(token) = self.token_of(&kept) {
            return Ok(Some(token));
        }
        let needed = || AuthError::LoginNeeded { issuer: kept.issuer.to_string() };
        let refresh = kept.refresh.clone().ok_or_else(needed)?;
        let credentials = self.credentials(&kept)?;
        let found = self.server(&kept, credentials.clone()).await?;
        let scopes = BTreeSet::new();
        let asked = self.asker.token(&found.0, &credentials, Some(&refresh), &scopes).await;
        let granted = match asked {
            Ok(granted) => granted,
            Err(error) => return Err(self.refused_refresh(kept, error)),
        };
        let access = access(&granted, self.clock.unix());
        let refresh = granted.refresh.or(kept.refresh);
        self.keep(Kept { access: Some(access), refresh, ..kept });
        let life = granted.expires_in;
        Ok(Some(Token::new(granted.access, life, self.options.lead, self.clock.uptime()).renewed()))
    }

    /// A refresh token that is void, or a registration that is, is not tried again.
    fn refused_refresh(&self, kept: Kept, error: AuthError) -> AuthError {
        let registered =
            matches!(&kept.client, Some(client) if matches!(client.known, Known::Registered(_)));
        let is_unknown =
            matches!(&error, AuthError::Refused { error, .. } if error == "invalid_client");
        if is_unknown && registered {
            let issuer = kept.issuer.to_string();
            self.keep(Kept { client: None, refresh: None, access: None, ..kept });
            return AuthError::LoginNeeded { issuer };
        }
        if matches!(error, AuthError::LoginNeeded { .. }) {
            self.keep(Kept { refresh: None, access: None, ..kept });
        }
        error
    }

    /// What is kept at this moment.
    fn read(&self) -> Result<Option<Kept>, AuthError> {
        // The stamp first: what is written in between is then read again.
        let stamp = self.options.file.stamp();
        {
            let mut state = self.lock();
            if state.seen == stamp
                && let Some(kept) = &state.unsaved
            {
                return Ok(Some(kept.clone()));
            }
            state.seen = stamp;
            state.unsaved = None;
        }
        self.options.file.load().map_err(AuthError::store)
    }

    /// Keeps what was handed out, before it is used: what it replaces is void.
    fn keep(&self, kept: Kept) {
        let saved = self.options.file.save(&kept);
        let mut state = self.lock();
        state.seen = self.options.file.stamp();
        state.unsaved = None;
        if let Err(error) = saved {
            tracing::error!(%error, issuer = %kept.issuer, "what came of a login was not kept");
            state.unsaved = Some(kept);
        }
    }

    /// The token that is kept, if it can be used: not the one that was just refused, and not one
    /// that ends while a better one can be had.
    fn token_of(&self, kept: &Kept) -> Option<Token> {
        let access = kept.access.as_ref()?;
        let state = self.lock();
        if state.refused.as_ref().is_some_and(|no| no.expose() == access.header.expose()) {
            return None;
        }
        let now = self.clock.unix();
        let life = access.until.map(|until| Duration::from_secs(until.saturating_sub(now)));
        let least = if kept.refresh.is_some() { self.options.lead } else { Duration::ZERO };
        let is_ours = self.credentials(kept).is_ok();
        let lives = life.is_none_or(|life| life > least);
        let (header, lead) = (access.header.clone(), self.options.lead);
        (is_ours && lives).then(|| Token::new(header, life, lead, self.clock.uptime()))
    }

    /// Who we are to the issuer of a login, unless the configuration now says something else.
    fn credentials(&self, kept: &Kept) -> Result<Credentials, AuthError> {
        let needed = || AuthError::LoginNeeded { issuer: kept.issuer.to_string() };
        let configured = self.options.issuer.as_ref();
        if configured.is_some_and(|issuer| *issuer != kept.issuer) {
            return Err(AuthError::LoginNeeded {
                issuer: configured.expect("it is some").to_string(),
            });
        }
        let client = kept.client.as_ref().ok_or_else(needed)?;
        let proof = match (&client.known, &self.options.client) {
            (Known::Configured, Some((id, proof))) if *id == client.id => proof.clone(),
            (Known::Document, None) => Proof::Nothing,
            (Known::Registered(proof), None) => proof.clone(),
            (Known::Configured | Known::Document | Known::Registered(_), _) => return Err(needed()),
        };
        Ok(Credentials {
            issuer: kept.issuer.clone(),
            client_id: client.id.clone(),
            proof,
            grant: Grant::Refresh(None),
        })
    }

    /// Where tokens are to be had; the server must still take those of this issuer.
    async fn server(
        &self,
        kept: &Kept,
        credentials: Credentials,
    ) -> Result<Arc<(Server, ServerMetadata)>, AuthError> {
        let (known, hint) = {
            let state = self.lock();
            (state.server.clone(), state.hint.clone().or_else(|| kept.about.clone()))
        };
        if let Some(known) = known.filter(|known| known.0.issuer == kept.issuer) {
            return Ok(known);
        }
        let mut options = Options::new(self.options.resource.clone());
        options.credentials = vec![credentials];
        options.is_learned = self.options.issuer.is_none();
        let found = self.asker.find_all(&options, hint.as_ref()).await;
        let found = found.map_err(|error| {
            if matches!(error, AuthError::NoCredentials { .. }) {
                return AuthError::IssuerChanged { issuer: kept.issuer.to_string() };
            }
            error
        })?;
        let found = Arc::new(found);
        self.lock().server = Some(Arc::clone(&found));
        Ok(found)
    }

    /// The server refused a token, or that there was none.
    fn refused(&self, used: Option<&str>, challenge: &Challenge) -> Result<(), AuthError> {
        let now = self.clock.uptime();
        let hint = challenge.resource_metadata.as_deref().and_then(|url| Url::parse(url).ok());
        let mut state = self.lock();
        state.looked = None;
        let Some(used) = used else { return Ok(()) };
        let is_current = state.token.as_ref().is_some_and(|token| token.header.expose() == used);
        if !is_current {
            // Another request was refused before, and has got a new one.
            return Ok(());
        }
        let is_young = state.token.as_ref().is_some_and(|token| token.is_young(now, YOUNG));
        if is_young {
            return Err(AuthError::Rejected);
        }
        state.hint = hint.or_else(|| state.hint.take());
        state.server = None;
        state.refused = Some(Secret::new(used));
        state.token = None;
        Ok(())
    }

    fn look_again(&self) {
        self.lock().looked = None;
    }

    /// Keeps what the server wants, for the next login.
    async fn want(&self, needed: &[String]) -> Result<(), AuthError> {
        let _lock = self.options.file.lock().await.map_err(AuthError::store)?;
        let Some(mut kept) = self.read()? else { return Ok(()) };
        let before = kept.wanted.len();
        for scope in needed {
            let is_new = !kept.wanted.contains(scope) && kept.wanted.len() < WANTED_MAX;
            kept.wanted.extend(is_new.then(|| scope.clone()));
        }
        if kept.wanted.len() > before {
            self.keep(kept);
        }
        Ok(())
    }

    fn nobody(&self) -> AuthError {
        AuthError::NobodyLoggedIn { resource: metadata::shown(&self.options.resource) }
    }

    /// Locks for a moment, never over a wait.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
