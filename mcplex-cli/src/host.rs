//! What mcplex asks of the machine before it starts a server.

#[cfg(target_os = "linux")]
use mcplex_transport_stdio as stdio;
use tokio::task::JoinSet;

/// Ends what an earlier run has left, takes in what guards may leave, and makes room for pipes.
///
/// None of it is needed to serve, so what the system refuses is said and passed over. The task
/// that is given back waits for adopted processes and never ends.
#[cfg(target_os = "linux")]
pub(crate) fn prepare() -> JoinSet<()> {
    if let Err(error) = stdio::raise_descriptor_limit() {
        tracing::warn!(%error, "the limit on open descriptors stays as it was");
    }
    for left in stdio::sweep_leftovers() {
        tracing::warn!(
            upstream = left.upstream,
            processes = left.processes,
            "ended what an earlier run has left behind",
        );
    }
    orphans()
}

/// The same without a look at what an earlier run has left: who only looks changes nothing.
#[cfg(target_os = "linux")]
pub(crate) fn adopt() -> JoinSet<()> {
    if let Err(error) = stdio::raise_descriptor_limit() {
        tracing::warn!(%error, "the limit on open descriptors stays as it was");
    }
    orphans()
}

#[cfg(target_os = "linux")]
fn orphans() -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    match stdio::Orphans::adopt() {
        Ok(orphans) => {
            tasks.spawn(async move {
                if let Err(error) = orphans.reap().await {
                    tracing::warn!(%error, "adopted processes stay as zombies");
                }
            });
        }
        Err(error) => tracing::warn!(%error, "what a killed guard leaves may be lost"),
    }
    tasks
}

/// Nothing of it is known elsewhere.
#[cfg(not(target_os = "linux"))]
pub(crate) fn prepare() -> JoinSet<()> {
    JoinSet::new()
}

/// Nothing of it is known elsewhere.
#[cfg(not(target_os = "linux"))]
pub(crate) fn adopt() -> JoinSet<()> {
    JoinSet::new()
}
