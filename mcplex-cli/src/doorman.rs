//! Asks clients over HTTP for tokens of OAuth: joins what judges tokens with what listens.

use crate::{
    exit::{Code, Failure},
    wire,
};
use async_trait::async_trait;
use mcplex_auth::{
    Fetch, SystemClock, Web,
    resource::{self, Judged, Refusal, ResourceServer},
};
use mcplex_config::Config;
use mcplex_proto::downstream::{Doorman, Principal, Verdict};
use std::{error::Error, net::SocketAddr, sync::Arc};

/// Lets in whoever shows a good token; the token stays here.
#[derive(Debug)]
pub(crate) struct TokenDoorman {
    server: ResourceServer,
}

impl TokenDoorman {
    /// The doorman of the endpoint at this address; `None` when nobody is asked.
    pub(crate) fn of(config: &Config, bound: SocketAddr) -> Result<Option<Self>, Failure> {
        if config.auth.issuers.is_empty() {
            return Ok(None);
        }
        let wrong = |error: &(dyn Error + 'static)| {
            Failure::from_error(Code::Configuration, "nobody could be asked for a token", error)
                .with_hint("correct `[auth]`")
        };
        let options = wire::auth_options(config, bound).map_err(|error| wrong(&error))?;
        let web: Arc<dyn Fetch> = Arc::new(Web::new(wire::web_options(&config.auth)));
        let server = ResourceServer::new(options, &web, Arc::new(SystemClock::start()))
            .map_err(|error| wrong(&error))?;
        Ok(Some(Self { server }))
    }
}

#[async_trait]
impl Doorman for TokenDoorman {
    async fn admit(&self, authorization: Option<&[u8]>) -> Verdict {
        let Judged { verdict, principal } = self.server.judge_value(authorization).await;
        let known = |principal: &resource::Principal| Principal::Known(principal.as_str().into());
        match self.server.answer(&verdict) {
            Ok(grant) => Verdict::Admitted(known(&grant.principal)),
            Err(Refusal { status, challenge, message }) => Verdict::Refused {
                status,
                why: message,
                www_authenticate: challenge,
                principal: principal.as_ref().map(known),
            },
        }
    }

    fn metadata(&self, path: &str) -> Option<bytes::Bytes> {
        let is_ours = self.server.paths().iter().any(|own| own == path);
        is_ours.then(|| self.server.document().to_owned().into())
    }
}
