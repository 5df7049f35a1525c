//! [`Web`](mcplex_auth::Web) against real sockets.

mod peer;

mod web;
