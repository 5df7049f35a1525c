//! Where operators come in over a network: the address, and the token they show.

use crate::{
    exit::{Code, Failure},
    port,
};
use mcplex_admin::{
    control::Control,
    store::Store,
    token::Token,
    web::{Door, Web},
};
use mcplex_config::Config;
use std::{future::Future, sync::Arc};

/// An address for operators that is bound and not yet served.
#[derive(Debug)]
pub(crate) struct Panel {
    door: Door,
    token: Token,
    hosts: Vec<String>,
}

impl Panel {
    /// Binds the address of the configuration, if it has one. A token that is made is kept in the
    /// folder; without one it lasts as long as this process.
    pub(crate) fn open(config: &Config, folder: Option<&Store>) -> Result<Option<Self>, Failure> {
        let words = &config.admin;
        let Some(address) = words.listen else { return Ok(None) };
        let door = Door::bind(address)
            .map_err(|error| port::refused(address, "set another `admin.listen`", &error))?;
        let token = match (&words.token, folder) {
            (Some(token), _) => Ok(Token::new(token)),
            (None, Some(folder)) => Token::kept_in(folder.path()),
            (None, None) => Token::random(),
        };
        let token = token.map_err(|error| {
            Failure::from_error(Code::Failed, "no token for operators can be kept", &error)
        })?;
        Ok(Some(Self { door, token, hosts: words.allowed_hosts.clone() }))
    }

    /// Its address as a URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.door.address())
    }

    /// The same with the token, where a browser keeps it to itself.
    pub(crate) fn link(&self) -> String {
        format!("{}#token={}", self.url(), self.token.as_str())
    }

    /// Serves until `stop` resolves.
    pub(crate) fn serve(
        self,
        control: Arc<Control>,
        stop: impl Future<Output = ()> + Send,
    ) -> impl Future<Output = ()> + Send {
        let Self { door, token, hosts } = self;
        tracing::info!(address = %door.address(), "operators can connect");
        Web::new(control, token, hosts, &door).serve(door, stop)
    }
}
