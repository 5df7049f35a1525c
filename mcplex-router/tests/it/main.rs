//! The router with scripted upstreams and recording clients, polled step by step: nothing here
//! waits, so whatever has not happened after a step never will.

#[cfg(test)]
mod fake;
#[cfg(test)]
mod world;

#[cfg(test)]
mod calls;
#[cfg(test)]
mod handshake;
#[cfg(test)]
mod lists;
