//! The router with scripted upstreams and recording clients, polled step by step: nothing here
//! waits, so whatever has not happened after a step never will.

#[cfg(test)]
mod fake;
#[cfg(test)]
mod modern;
#[cfg(test)]
mod siblings;
#[cfg(test)]
mod world;

#[cfg(test)]
mod arrival;
#[cfg(test)]
mod asks;
#[cfg(test)]
mod attribution;
#[cfg(test)]
mod calls;
#[cfg(test)]
mod changes;
#[cfg(test)]
mod chaos;
#[cfg(test)]
mod eras;
#[cfg(test)]
mod fleet;
#[cfg(test)]
mod given_up;
#[cfg(test)]
mod handshake;
#[cfg(test)]
mod heard_revisions;
#[cfg(test)]
mod listens;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod logging;
#[cfg(test)]
mod members;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod revisions;
#[cfg(test)]
mod rounds;
#[cfg(test)]
mod subscriptions;
#[cfg(test)]
mod suspend;
#[cfg(test)]
mod task_revisions;
#[cfg(test)]
mod tasks;
#[cfg(test)]
mod tasks_across;
#[cfg(test)]
mod tasks_awaited;
#[cfg(test)]
mod tasks_progress;
#[cfg(test)]
mod tasks_told;
#[cfg(test)]
mod telling;
#[cfg(test)]
mod time;
#[cfg(test)]
mod traces;
#[cfg(test)]
mod watches;
