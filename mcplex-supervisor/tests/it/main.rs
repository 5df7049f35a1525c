//! The driver with a scripted transport, in time that jumps from one deadline to the next.

#[cfg(test)]
mod fake;
#[cfg(test)]
mod server;
#[cfg(test)]
mod world;

#[cfg(test)]
mod calls;
#[cfg(test)]
mod changes;
#[cfg(test)]
mod chaos;
#[cfg(test)]
mod crash_loops;
#[cfg(test)]
mod deaths;
#[cfg(test)]
mod eras;
#[cfg(test)]
mod gaps;
#[cfg(test)]
mod hangs;
#[cfg(test)]
mod hosts;
#[cfg(test)]
mod policies;
#[cfg(test)]
mod reports;
#[cfg(test)]
mod stops;
