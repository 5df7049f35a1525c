//! The listener against clients that speak HTTP by hand, with a scripted gateway behind it; and the
//! way to servers, against one that answers as a test says.

#[cfg(test)]
mod gateway;
#[cfg(test)]
mod peer;

#[cfg(test)]
mod batches;
#[cfg(test)]
mod bounds;
#[cfg(test)]
mod dial;
#[cfg(test)]
mod doorman;
#[cfg(test)]
mod duplex;
#[cfg(test)]
mod eras;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod resuming;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod stateless;
#[cfg(test)]
mod streams;
