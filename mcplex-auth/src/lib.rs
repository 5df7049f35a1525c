//! OAuth for MCP: judges the tokens of clients, and gets tokens for servers.
//!
//! It never serves a request and never passes a token on: what a client sent is judged and
//! dropped, what a server gets was made for that server. Of MCP it knows nothing but addresses.
//!
//! Read it in this order: [`resource`] (whose request is this?) with `claims` and `keys` under it,
//! [`client`] (what do I show to this server?) with `ask` and `login` under it, then what both stand
//! on: `metadata` and `discovery` (who guards what), `challenge` (how a refusal looks), `jose`
//! (signatures), `address` (what may be fetched), [`Fetch`] and [`Web`] (how).
//!
//! ```no_run
//! use mcplex_auth::{Issuer, SystemClock, Web, WebOptions, resource::{Options, ResourceServer}};
//! use std::sync::Arc;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let mut options = Options::new("https://mcp.example/mcp");
//! options.issuers = vec![Issuer::new("https://login.example")?];
//! let web: Arc<dyn mcplex_auth::Fetch> = Arc::new(Web::new(WebOptions::default()));
//! let server = ResourceServer::new(options, &web, Arc::new(SystemClock::start()))?;
//!
//! let mut headers = hyper::HeaderMap::new();
//! headers.insert("authorization", "Bearer eyJhbGciOi...".parse()?);
//! let verdict = server.judge(&headers).await;
//! match server.answer(&verdict) {
//!     Ok(grant) => println!("{} may {:?}", grant.principal, grant.scopes),
//!     Err(refusal) => println!("{} {:?}", refusal.status, refusal.challenge),
//! }
//! # Ok(())
//! # }
//! ```

pub mod resource;

pub mod client;

mod metadata;
pub use metadata::{Issuer, ResourceMetadata, ServerMetadata};

mod discovery;
pub use discovery::DiscoveryError;

mod challenge;
pub use challenge::Challenge;

mod jose;
pub use jose::{Algorithm, KeyFault, SigningKey};

mod address;
pub use address::{Trust, UrlFault, read as read_url};

mod fetch;
pub use fetch::{Action, Answer, Body, Fetch, FetchError, Request};

mod web;
pub use web::{Roots, Web, WebOptions};

mod secret;
pub use secret::Secret;

mod clock;
pub use clock::{Clock, SystemClock};

mod flight;

#[cfg(test)]
mod testing;
