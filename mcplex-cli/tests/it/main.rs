//! The real `mcplex`, from outside: its command line, its endpoint, its children and its spans.
//!
//! Every test starts a gateway of its own on a free port, in front of servers that misbehave on
//! purpose. They wait for what happens (a log line, a message, the end of a process) with a limit,
//! and never for time to pass.

// What a test starts and watches.
#[cfg(test)]
mod gateway;

#[cfg(test)]
mod census;

#[cfg(test)]
mod client;

#[cfg(test)]
mod stdio;

#[cfg(test)]
mod stateless;

// What must be true.
#[cfg(test)]
mod crash_loop;

#[cfg(test)]
mod spans;

#[cfg(test)]
mod graph;

#[cfg(test)]
mod jaeger;

#[cfg(test)]
mod contexts;

#[cfg(test)]
mod catalogue;

#[cfg(test)]
mod ends;

#[cfg(test)]
mod eras;

#[cfg(test)]
mod matrix;

#[cfg(test)]
mod metrics;

#[cfg(test)]
mod export;

#[cfg(test)]
mod collector;

#[cfg(test)]
mod reload;

#[cfg(test)]
mod trees;

#[cfg(test)]
mod guard;

#[cfg(test)]
mod guarded;

#[cfg(test)]
mod down;
#[cfg(test)]
mod policies;

#[cfg(test)]
mod calls;

#[cfg(test)]
mod asks;

#[cfg(test)]
mod both;

#[cfg(test)]
mod clients;

#[cfg(test)]
mod crowds;

#[cfg(test)]
mod sdk;

#[cfg(test)]
mod isolation;

#[cfg(test)]
mod remembered;

#[cfg(test)]
mod verbs;

#[cfg(test)]
mod silent;

#[cfg(test)]
mod logs;

#[cfg(test)]
mod audit;

#[cfg(test)]
mod panel;

#[cfg(test)]
mod attach;

#[cfg(test)]
mod crashes;

#[cfg(test)]
mod auth;

#[cfg(test)]
mod login;

#[cfg(test)]
mod doctor;

#[cfg(test)]
mod service;

#[cfg(test)]
mod manager;

#[cfg(test)]
mod guides;

#[cfg(test)]
mod far;

#[cfg(test)]
mod terminal;

#[cfg(test)]
mod top;

#[cfg(test)]
mod unusual;
