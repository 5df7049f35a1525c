//! Gets tokens for servers: mcplex as an OAuth client.

mod options;
pub use options::{Credentials, Grant, Options, Proof};

mod store;
pub use store::{FileStore, TokenStore};

mod error;
pub use error::AuthError;

mod kept;
pub use kept::{Access, Client, Kept, Known, LoginFile};

mod lock;
pub use lock::Lock;

mod login;
pub use login::{Login, LoginOptions, check_issuer};

mod register;

mod person;
pub use person::{ByLogin, LOOK_EVERY, LoginSource, Standing};

mod ask;

mod server;

mod token;

#[cfg(test)]
mod tests;

use crate::{
    challenge::Challenge, clock::Clock, fetch::Fetch, flight::Flight, metadata, secret::Secret,
};
use ask::Asker;
use futures_util::FutureExt as _;
use server::Server;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use token::Token;
use url::Url;

/// How long after a failure nothing is asked; 5 s. Calls come faster than a server recovers.
const PAUSE: Duration = Duration::from_secs(5);

/// A token younger than this that is refused is not replaced; 10 s. The next one would be refused
/// as well, and a server that refuses all of them must not make us ask for ever.
const YOUNG: Duration = Duration::from_secs(10);

/// How many scopes are asked for at most; a server that wants another one each time ends here.
const SCOPES_MAX: usize = 64;

/// Tokens for one server, got when they are needed and replaced before they end.
///
/// ```no_run
/// # async fn send(_: &str) -> (u16, Option<String>) { (200, None) }
/// # async fn run(tokens: mcplex_auth::client::TokenSource) -> Result<(), mcplex_auth::client::AuthError> {
/// let mut authorization = tokens.authorization().await?;
/// loop {
///     let (status, challenge) = send(authorization.header().expose()).await;
///     match tokens.rejected(authorization, status, challenge.as_deref()).await? {
///         Some(next) => authorization = next,
///         None => break,
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TokenSource {
    shared: Arc<Shared>,
}

/// The value of one `Authorization` header, and what was tried before it.
#[derive(Clone, Debug)]
pub struct Authorization {
    header: Secret,
    serial: u64,
    is_renewed: bool,
    is_stepped_up: bool,
}

impl Authorization {
    /// The value of the header.
    #[must_use]
    pub fn header(&self) -> &Secret {
        &self.header
    }
}

#[derive(Debug)]
struct Shared {
    options: Options,
    asker: Asker,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    flight: Flight<Result<Arc<Token>, AuthError>>,
}

#[derive(Debug, Default)]
struct State {
    token: Option<Arc<Token>>,
    /// Counts tokens.
    serial: u64,
    server: Option<Arc<Server>>,
    /// Where the resource said that its metadata lies.
    hint: Option<Url>,
    /// What the resource asked for besides what is configured.
    scopes: BTreeSet<String>,
    /// The newest refresh token, where no store has it.
    refresh: Option<Secret>,
    failed: Option<(Duration, AuthError)>,
}

impl TokenSource {
    /// Gets tokens by these rules.
    #[must_use]
    pub fn new(options: Options, fetch: Arc<dyn Fetch>, clock: Arc<dyn Clock>) -> Self {
        let asker = Asker::new(fetch, Arc::clone(&clock));
        let (state, flight) = (Mutex::new(State::default()), Flight::new());
        Self { shared: Arc::new(Shared { options, asker, clock, state, flight }) }
    }

    /// A token that is good as far as we know, for one request.
    ///
    /// # Errors
    /// When none can be had.
    pub async fn authorization(&self) -> Result<Authorization, AuthError> {
        self.next(false, false).await
    }

    /// What to do with a response: nothing, or send the request again with another token.
    ///
    /// It is sent again at most twice: once with a new token after a 401, and once with one that
    /// allows more after a 403 that says what is missing.
    ///
    /// # Errors
    /// When the server refuses what can be had.
    pub async fn rejected(
        &self,
        used: Authorization,
        status: u16,
        www_authenticate: Option<&str>,
    ) -> Result<Option<Authorization>, AuthError> {
        let challenge = www_authenticate.and_then(Challenge::read).unwrap_or_default();
        match status {
            401 if used.is_renewed => Err(AuthError::Rejected),
            401 => {
                self.shared.drop_token(&used, &challenge)?;
                self.next(true, used.is_stepped_up).await.map(Some)
            }
            403 if challenge.error.as_deref() == Some("insufficient_scope") => {
                let needed = || challenge.scopes().map(str::to_owned).collect::<Vec<_>>();
                if used.is_stepped_up || !self.shared.widen(&used, &challenge) {
                    return Err(AuthError::InsufficientScope { needed: needed() });
                }
                self.next(used.is_renewed, true).await.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The same for a caller that kept nothing but the value of the header, and sends a request
    /// again once at most: whether there is something new to show.
    ///
    /// # Errors
    /// When the server refuses what can be had.
    pub async fn rejected_header(
        &self,
        header: &str,
        status: u16,
        www_authenticate: Option<&str>,
    ) -> Result<bool, AuthError> {
        let serial = self.shared.serial_of(header);
        let header = Secret::new(header);
        let used = Authorization { header, serial, is_renewed: false, is_stepped_up: false };
        Ok(self.rejected(used, status, www_authenticate).await?.is_some())
    }

    async fn next(
        &self,
        is_renewed: bool,
        is_stepped_up: bool,
    ) -> Result<Authorization, AuthError> {
        let shared = &self.shared;
        let token = match shared.known()? {
            Some(token) => token,
            None => shared.flight.join(|| Arc::clone(shared).renew().boxed()).await?,
        };
        let (header, serial) = (token.header.clone(), token.serial);
        Ok(Authorization { header, serial, is_renewed, is_stepped_up })
    }
}

impl Shared {
    /// The token we have, or the failure that is still fresh.
    fn known(&self) -> Result<Option<Arc<Token>>, AuthError> {
        let now = self.clock.uptime();
        let state = self.lock();
        if let Some(token) = state.token.as_ref().filter(|token| token.is_good(now)) {
            return Ok(Some(Arc::clone(token)));
        }
        match &state.failed {
            Some((at, error)) if now < *at + PAUSE => Err(error.clone()),
            Some(_) | None => Ok(None),
        }
    }

    async fn renew(self: Arc<Self>) -> Result<Arc<Token>, AuthError> {
        let got = self.get().await;
        let mut state = self.lock();
        match got {
            Ok(mut token) => {
                state.serial += 1;
                token.serial = state.serial;
                let token = Arc::new(token);
                state.token = Some(Arc::clone(&token));
                state.failed = None;
                Ok(token)
            }
            Err(error) => {
                let because = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(resource = metadata::shown(&self.options.resource), %error, because, "no token");
                if matches!(error, AuthError::LoginNeeded { .. }) {
                    state.refresh = None;
                }
                // Where it was may have changed.
                state.server = None;
                state.failed = Some((self.clock.uptime(), error.clone()));
                Err(error)
            }
        }
    }

    async fn get(&self) -> Result<Token, AuthError> {
        let (known, hint, more) = {
            let state = self.lock();
            (state.server.clone(), state.hint.clone(), state.scopes.clone())
        };
        let server = match known {
            Some(server) => server,
            None => {
                let server = self.asker.find(&self.options, hint.as_ref()).await?;
                let server = Arc::new(server);
                self.lock().server = Some(Arc::clone(&server));
                server
            }
        };
        let credentials = server.credentials(&self.options);
        let scopes: BTreeSet<_> = self.options.scopes.iter().cloned().chain(more).collect();
        let (_lock, refresh) = match &credentials.grant {
            Grant::ClientCredentials => (None, None),
            Grant::Refresh(first) => {
                // Another process may use the same token, which is void from then on: what it kept
                // is read after it is done.
                let lock = self.lock_store(&server).await?;
                (lock, Some(self.refresh_token(&server, first.as_ref())?))
            }
        };
        let granted = self.asker.token(&server, credentials, refresh.as_ref(), &scopes).await?;
        if let Some(refresh) = granted.refresh {
            self.keep(&server, refresh);
        }
        let lead = self.options.lead;
        Ok(Token::new(granted.access, granted.expires_in, lead, self.clock.uptime()))
    }

    /// Waits until no other process uses what the store has.
    async fn lock_store(&self, server: &Server) -> Result<Option<Lock>, AuthError> {
        match &self.options.store {
            Some(store) => {
                store.lock(&server.issuer, &server.resource).await.map_err(AuthError::store)
            }
            None => Ok(None),
        }
    }

    /// The newest refresh token: one that could not be kept, the one that was kept last by whoever,
    /// or the configured one.
    fn refresh_token(&self, server: &Server, first: Option<&Secret>) -> Result<Secret, AuthError> {
        if let Some(newest) = &self.lock().refresh {
            return Ok(newest.clone());
        }
        let stored = match &self.options.store {
            Some(store) => {
                store.load(&server.issuer, &server.resource).map_err(AuthError::store)?
            }
            None => None,
        };
        stored
            .or_else(|| first.cloned())
            .ok_or_else(|| AuthError::LoginNeeded { issuer: server.issuer.to_string() })
    }

    /// Keeps a refresh token that replaces the one before, which is void from now on.
    fn keep(&self, server: &Server, refresh: Secret) {
        let saved = match &self.options.store {
            Some(store) => store.save(&server.issuer, &server.resource, &refresh).map(|()| true),
            None => Ok(false),
        };
        let is_kept = saved.unwrap_or_else(|error| {
            tracing::error!(%error, issuer = %server.issuer, "a refresh token was not kept");
            false
        });
        self.lock().refresh = (!is_kept).then_some(refresh);
    }

    /// The number of the token in use, if this is it; 0 is one of an earlier one.
    fn serial_of(&self, header: &str) -> u64 {
        let state = self.lock();
        let current = state.token.as_ref().filter(|token| token.header.expose() == header);
        current.map_or(0, |token| token.serial)
    }

    /// Drops a token that was refused, unless it was replaced meanwhile.
    fn drop_token(&self, used: &Authorization, challenge: &Challenge) -> Result<(), AuthError> {
        let now = self.clock.uptime();
        let hint = challenge.resource_metadata.as_deref().and_then(|url| Url::parse(url).ok());
        let mut state = self.lock();
        if state.token.as_ref().is_none_or(|token| token.serial != used.serial) {
            return Ok(());
        }
        let is_news = hint.is_some() && hint != state.hint;
        if is_news {
            state.hint = hint;
            state.server = None;
        }
        let is_young = state.token.as_ref().is_some_and(|token| now < token.since + YOUNG);
        if is_young && !is_news {
            return Err(AuthError::Rejected);
        }
        state.token = None;
        Ok(())
    }

    /// Asks for more from now on; `false` when that brings nothing new.
    fn widen(&self, used: &Authorization, challenge: &Challenge) -> bool {
        let mut state = self.lock();
        let before = state.scopes.len();
        let configured = &self.options.scopes;
        for scope in challenge.scopes() {
            if state.scopes.len() < SCOPES_MAX && !configured.iter().any(|own| own == scope) {
                state.scopes.insert(scope.to_owned());
            }
        }
        let is_current = state.token.as_ref().is_some_and(|token| token.serial == used.serial);
        if state.scopes.len() == before && is_current {
            return false;
        }
        if is_current {
            state.token = None;
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
