//! What only Linux has: guards seen from their gateway, and processes known after their parents.

mod cookie;

mod guarded;

mod leftovers;

mod limit;

mod orphans;

pub(crate) mod sys;

pub(crate) mod trees;

pub(crate) mod usage;

pub(crate) use cookie::VARIABLE;
pub(crate) use guarded::{GuardedLife, spawn_guarded};
pub(crate) use limit::{Lowered, lower_limit};

pub use leftovers::{LeftBehind, sweep_leftovers};
pub use limit::raise_descriptor_limit;
pub use orphans::Orphans;
