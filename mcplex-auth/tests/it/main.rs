//! [`Web`](mcplex_auth::Web) against real sockets, and both sides against a real authorization
//! server where there is one.

mod browser;

mod peer;

mod provider;

mod web;
