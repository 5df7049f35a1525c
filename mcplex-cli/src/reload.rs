//! Applies a changed configuration: one at a time, whoever asks for it.
//!
//! A watch of the file, SIGHUP and operators all lead here, and are joined while they come in a row. What is read is checked as a whole
//! before anything changes; a bad file leaves everything as it runs, and the next good one applies.

use crate::{
    exit::{Code, Failure},
    file_watch::{FileWatch, LATEST, QUIET},
    fleet::Fleet,
    notify::Notify,
    settings::Settings,
};
use mcplex_config::Difference;
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_blocking,
    time::timeout,
};

/// Reloads that may wait for their turn; past it nobody would wait for one more.
const ASKS: usize = 16;

/// What became of a reload: what was applied, or why nothing was.
pub(crate) type Answer = Result<Difference, Failure>;

/// Asks for reloads; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Reloader(mpsc::Sender<Ask>);

/// A wish for a reload, and who waits for its answer.
pub(crate) type Ask = Option<oneshot::Sender<Answer>>;

impl Reloader {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Ask>) {
        let (asks_in, asks) = mpsc::channel(ASKS);
        (Self(asks_in), asks)
    }

    /// Has the configuration read again, for nobody who waits.
    pub(crate) fn poke(&self) {
        // A full queue has reloads that will read what this one would.
        let _is_queued: Result<(), _> = self.0.try_send(None);
    }

    /// Has the configuration read again, and waits for what becomes of it.
    pub(crate) async fn reload(&self) -> Answer {
        let ending = || Failure::new(Code::Failed, "this mcplex is ending");
        let (answer, waits) = oneshot::channel();
        self.0.send(Some(answer)).await.map_err(|_| ending())?;
        waits.await.unwrap_or_else(|_| Err(ending()))
    }
}

/// Owns the fleet, and keeps it as the file says.
#[derive(Debug)]
pub(crate) struct Keeper {
    fleet: Fleet,
    settings: Settings,
    asks: mpsc::Receiver<Ask>,
    watch: Option<FileWatch>,
    manager: Notify,
}

/// Why the configuration is read again.
enum Why {
    /// Somebody asked, and these wait for the answer.
    Asked(Vec<oneshot::Sender<Answer>>),
    /// The file changed.
    Changed,
}

impl Keeper {
    pub(crate) fn new(
        fleet: Fleet,
        settings: Settings,
        asks: mpsc::Receiver<Ask>,
        manager: Notify,
    ) -> Self {
        fleet.desk().describe(&settings.loaded, &[]);
        let mut keeper = Self { fleet, settings, asks, watch: None, manager };
        keeper.set_watch();
        keeper
    }

    /// Reloads until the end is told, and then ends every upstream.
    pub(crate) async fn run(mut self, mut end: oneshot::Receiver<()>) {
        loop {
            let why = tokio::select! {
                biased;
                _ = &mut end => break,
                why = self.wanted() => why,
            };
            self.manager.reloading();
            let answer = tokio::select! {
                biased;
                _ = &mut end => break,
                answer = self.reload() => answer,
            };
            self.manager.ready(&status(&answer));
            tell(&answer, &why);
            if let Why::Asked(waiting) = why {
                for ask in waiting {
                    // Who asked may be gone.
                    let _is_heard: Result<(), _> = ask.send(answer.clone());
                }
            }
        }
        self.fleet.end_all().await;
    }

    /// Waits until the file has changed or somebody asks. Who asks in a row asks once, as a file
    /// that is written in a row changes once.
    async fn wanted(&mut self) -> Why {
        let first = tokio::select! {
            Some(ask) = self.asks.recv() => ask,
            () = settled(&mut self.watch) => return Why::Changed,
        };
        let mut waiting = Vec::from_iter(first);
        let gather = async {
            while let Ok(Some(ask)) = timeout(QUIET, self.asks.recv()).await {
                waiting.extend(ask);
                if waiting.len() >= ASKS {
                    break;
                }
            }
        };
        let _is_quiet = timeout(LATEST, gather).await.is_ok();
        Why::Asked(waiting)
    }

    async fn reload(&mut self) -> Answer {
        let settings = self.settings.clone();
        // A file may be on a disk that does not answer; calls go on meanwhile.
        let read = spawn_blocking(move || settings.read_again()).await;
        let again = read.map_err(|error| {
            Failure::from_error(Code::Failed, "the configuration was not read by a bug", &error)
        })??;
        let config = again.loaded.config.clone();
        let difference = self.fleet.apply(config).await.map_err(|error| {
            Failure::from_error(Code::Configuration, "a server cannot be started", &error)
        })?;
        self.fleet.desk().describe(&again.loaded, &difference.needs_restart);
        if !difference.is_empty() {
            for warning in &again.loaded.warnings {
                tracing::warn!("{warning}");
            }
        }
        self.set_watch();
        Ok(difference)
    }

    /// Begins or ends the watch as the configuration says.
    fn set_watch(&mut self) {
        if !self.fleet.config().gateway.watch {
            self.watch = None;
        } else if self.watch.is_none() {
            self.watch = self.settings.file.clone().map(FileWatch::new);
        }
    }
}

/// Waits for a change of the file; for ever where none is watched.
async fn settled(watch: &mut Option<FileWatch>) {
    match watch {
        Some(watch) => watch.settled().await,
        None => std::future::pending().await,
    }
}

/// What came of it, for a service manager.
fn status(answer: &Answer) -> String {
    match answer {
        Err(failure) => format!("serves as before, for {}", failure.sentence()),
        Ok(difference) if difference.is_empty() => "serves; the configuration is as it was".into(),
        Ok(difference) => format!("serves; the configuration was applied: {difference}"),
    }
}

fn tell(answer: &Answer, why: &Why) {
    match (answer, why) {
        (Err(failure), _) => tracing::error!(
            error = failure.sentence(),
            hint = failure.hint(),
            "the configuration was not applied; everything runs as before"
        ),
        (Ok(difference), Why::Changed) if difference.is_empty() => {
            tracing::debug!("the configuration is as it was");
        }
        (Ok(difference), Why::Asked(_)) if difference.is_empty() => {
            tracing::info!("the configuration is as it was");
        }
        (Ok(difference), _) => {
            tracing::info!(changes = %difference, "the configuration was applied");
            if !difference.needs_restart.is_empty() {
                let settings = difference.needs_restart.join(", ");
                tracing::warn!(settings, "these settings need a restart of mcplex");
            }
        }
    }
}
