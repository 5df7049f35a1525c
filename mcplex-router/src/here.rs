//! What is answered without any upstream: the handshake, discovery, lists, log levels.

use crate::{
    asker::Asker, level::Level, lists::Kind, params::Params, router::lock,
    session::DownstreamSession, target::Local,
};
use mcplex_proto::{
    error::ErrorObject,
    handshake::title,
    message::Request,
    method, metric,
    raw::Raw,
    version::{Era, Version},
};
use std::sync::Arc;

/// What a legacy request gets before its session was opened.
pub(crate) fn not_greeted() -> ErrorObject {
    ErrorObject::invalid_request(&"the first request of a session must be `initialize`")
}

impl DownstreamSession {
    /// Whatever can be answered here and now; the rest goes to an upstream.
    pub(crate) fn here(
        &self,
        asker: Option<&Arc<Asker>>,
        request: &Request,
        params: &Params<'_>,
    ) -> Option<Local> {
        match asker.map(|asker| (asker.era(), asker.version)) {
            Some((Era::Modern, version)) => self.modern_here(version, request, params),
            Some((Era::Legacy, version)) => self.legacy_here(version, request, params),
            None => Some(match &*request.method {
                method::INITIALIZE => self.initialize(params),
                method::PING => Ok(Raw::empty_object()),
                _ => Err(not_greeted()),
            }),
        }
    }

    fn legacy_here(
        &self,
        version: Version,
        request: &Request,
        params: &Params<'_>,
    ) -> Option<Local> {
        if let Some(kind) = Kind::of(&request.method) {
            return Some(self.list(params, kind, version));
        }
        match &*request.method {
            method::INITIALIZE => Some(self.initialize(params)),
            method::PING => Some(Ok(Raw::empty_object())),
            method::SET_LEVEL => Some(self.set_level(params)),
            // Where there are any they were listed before this.
            other @ method::TASKS_LIST => Some(Err(ErrorObject::method_not_found(other))),
            other if method::is_of_other_era(other, Era::Legacy) => {
                Some(Err(ErrorObject::method_not_found(other)))
            }
            _ => None,
        }
    }

    fn modern_here(
        &self,
        version: Version,
        request: &Request,
        params: &Params<'_>,
    ) -> Option<Local> {
        let catalog = self.shared.catalog();
        if request.method == method::DISCOVER {
            return Some(Ok(catalog.offer.discovery.clone()));
        }
        if !catalog.offer.serves(&request.method) {
            return Some(Err(ErrorObject::method_not_found(&request.method)));
        }
        Kind::of(&request.method).map(|kind| self.list(params, kind, version))
    }

    fn initialize(&self, params: &Params<'_>) -> Local {
        let (_, wanted) = params.string("protocolVersion")?;
        let version = Version::answer(&wanted);
        let object = |name| params.get(name).map_or("{}", |value| value.get());
        let capabilities = Raw::parse(object("capabilities").to_owned()).map_err(|error| {
            ErrorObject::invalid_params(format_args!("`capabilities`: {error}"))
        })?;
        tracing::info!(session = self.number.0, %version, client = title(object("clientInfo")),
            network = self.client.network(), principal = %self.arrival.principal, "a client arrived");
        let mut state = lock(&self.state);
        if state.greeting.is_some() {
            return Err(ErrorObject::invalid_request(&"the session is initialized already"));
        }
        state.greeted_at = metric::now();
        let info = params.get("clientInfo").map(Raw::of);
        state.greeting = Some(Arc::new(Asker::of_session(version, info, capabilities)));
        drop(state);
        Ok(self.shared.catalog().offer.greet(version))
    }

    fn list(&self, params: &Params<'_>, kind: Kind, version: Version) -> Local {
        // Every list is one page, so no cursor was ever given out.
        match params.get("cursor") {
            Some(cursor) if cursor.get() != "null" => {
                Err(ErrorObject::invalid_params("`cursor` is not one that was given out"))
            }
            _ => {
                let catalog = self.shared.catalog();
                catalog.links().iter().for_each(|link| link.asked_for(kind));
                Ok(catalog.result(kind, version))
            }
        }
    }

    fn set_level(&self, params: &Params<'_>) -> Local {
        let (_, name) = params.string("level")?;
        let level = Level::read(&name)
            .ok_or_else(|| ErrorObject::invalid_params("`level` is not a level of syslog"))?;
        lock(&self.state).level = Some(level);
        self.shared.level_changed();
        Ok(Raw::empty_object())
    }
}
