//! Waiting for something to become true, with a bound.

use anyhow::bail;
use std::{
    thread,
    time::{Duration, Instant},
};

/// Hundreds of times what anything here takes on a quiet machine.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// How often one looks.
const LOOK: Duration = Duration::from_millis(10);

/// Looks until there is something, or the time is over.
pub(crate) fn until<T>(
    limit: Duration,
    mut look: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<Option<T>> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look()? {
            return Ok(Some(found));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        thread::sleep(LOOK);
    }
}

/// Waits until something is as it must be; the last thing that was seen is the error.
pub(crate) fn becomes(
    limit: Duration,
    mut look: impl FnMut() -> anyhow::Result<Result<String, String>>,
) -> anyhow::Result<String> {
    let mut seen = String::new();
    let found = until(limit, || match look()? {
        Ok(good) => Ok(Some(good)),
        Err(bad) => {
            seen = bad;
            Ok(None)
        }
    })?;
    match found {
        Some(good) => Ok(good),
        None => bail!("{seen}"),
    }
}

/// Lets time pass, because what is shown is that nothing happens in it.
pub(crate) fn nothing_happens_for(time: Duration) {
    thread::sleep(time);
}
