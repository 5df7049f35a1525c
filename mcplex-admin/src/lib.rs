//! How people ask a running mcplex, and what it remembers for them: the control socket, what
//! commands use to reach it, the crash reports, the upstreams' logs and the audit log.
//!
//! It never decides how an upstream lives and changes no message of a client: it asks an
//! [`Operator`], which is implemented above, and hands on bytes.
//!
//! Read it in this order: [`status`] (what is told), [`operator`] (who is asked), [`act`] (one verb
//! at a time, until it has had its effect), [`control`] (requests in, answers out, over any
//! stream), [`socket`] (the files through which it is reached, and who may), [`web`] and [`token`]
//! (the same over a network), [`client`] (the other end), [`attach`] (clients of other processes),
//! then what is kept: [`crashes`], [`events`], [`calls`], [`audit`] and [`logs`], all within bounds and off the
//! way of supervision; at last [`why`], one paragraph for a person.

pub mod status;

pub mod operator;

pub mod act;

pub mod control;

pub mod socket;

pub mod client;

pub mod web;

pub mod token;

pub mod attach;

pub mod store;

pub mod calls;

pub mod audit;

pub mod crashes;

pub mod events;

pub mod logs;

pub mod why;

mod nearest;

pub use operator::Operator;
