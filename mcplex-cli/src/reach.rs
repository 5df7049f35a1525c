//! How operators and clients of other processes reach this mcplex, or this process another one.

use crate::{desk::Desk, settings::Settings, wire};
use mcplex_admin::{
    attach::{self, Attached},
    control::Control,
    socket::{self, Claim, Listener, Sockets, Stream},
};
use mcplex_config::Config;
use mcplex_proto::downstream::Gateway;
use mcplex_transport_stdio::serve_stdio;
use std::{error::Error as _, future::Future, path::Path, pin::pin, sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinSet};

/// How often is tried to attach to one that ends just then.
const TRIES: u32 = 3;

/// How long to wait when the system has no descriptor for a new connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who serves the clients of this process.
#[derive(Debug)]
pub(crate) enum Place {
    /// This process itself.
    Own(Own),
    /// Another one, through this stream.
    Attached(Stream),
}

/// What a process that serves by itself has to know.
#[derive(Debug, Default)]
pub(crate) struct Own {
    pub(crate) sockets: Option<Box<Sockets>>,
    /// What a person should hear, once there is a log.
    pub(crate) warnings: Vec<String>,
}

impl Own {
    /// Says what is to be said, and gives the sockets.
    pub(crate) fn into_sockets(self) -> Option<Box<Sockets>> {
        for warning in &self.warnings {
            tracing::warn!("{warning}");
        }
        self.sockets
    }

    fn with(warning: String) -> Self {
        Self { sockets: None, warnings: vec![warning] }
    }
}

/// Takes the sockets of the configuration, or finds who has them; attaches there if that is wanted.
pub(crate) async fn arrive(settings: &Settings, attaches: bool) -> Place {
    if !settings.config().gateway.control {
        return Place::Own(Own::default());
    }
    let places = settings.places();
    let fingerprint = settings.config().fingerprint().to_string();
    let mut last = String::new();
    for _ in 0..TRIES {
        let theirs = match socket::claim(&places.folders(), &places.name) {
            Ok(Claim::Ours(sockets)) => {
                return Place::Own(Own { sockets: Some(sockets), warnings: Vec::new() });
            }
            Ok(Claim::Theirs(path)) => path,
            Err(error) => {
                let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
                return Place::Own(Own::with(format!(
                    "commands cannot reach this mcplex: {error}{cause}"
                )));
            }
        };
        if !attaches {
            return Place::Own(Own::with(taken(&theirs)));
        }
        match attach::attach(&socket::clients_path(&theirs), &fingerprint).await {
            Ok(Attached::Yes(stream)) => return Place::Attached(stream),
            Ok(Attached::Differs) => {
                return Place::Own(Own::with(format!(
                    "not attaching to the mcplex that runs this configuration, because its settings \
                     or variables differ; {}",
                    taken(&theirs)
                )));
            }
            // It has just ended, or is about to.
            Err(error) => last = error.to_string(),
        }
    }
    Place::Own(Own::with(format!(
        "attaching to the mcplex that runs this configuration failed: {last}"
    )))
}

fn taken(path: &Path) -> String {
    format!(
        "another mcplex runs this configuration, and commands such as `mcplex status` reach that \
         one ({})",
        path.display()
    )
}

/// What is served through the sockets.
pub(crate) struct Reach {
    control: Arc<Control>,
    clients: Clients,
}

struct Clients {
    gateway: Arc<dyn Gateway>,
    options: mcplex_transport_stdio::Options,
    max: usize,
    desk: Desk,
}

impl Reach {
    pub(crate) fn new(
        config: &Config,
        desk: Desk,
        control: Arc<Control>,
        gateway: Arc<dyn Gateway>,
    ) -> Self {
        Self {
            control,
            clients: Clients {
                gateway,
                options: wire::stdio_options(config),
                max: config.gateway.max_sessions,
                desk,
            },
        }
    }

    /// Serves until `stop` says so; attached clients are drained, and the files go at once.
    pub(crate) async fn serve<S>(self, sockets: Sockets, stop: impl Fn() -> S)
    where
        S: Future<Output = ()> + Send + 'static,
    {
        let (control, clients, files) = sockets.into_parts();
        let mut serving = JoinSet::new();
        serving.spawn(self.control.serve(control, stop()));
        self.clients.serve(clients, &stop, files).await;
        while serving.join_next().await.is_some() {}
    }
}

impl Clients {
    async fn serve<S, F>(self, listener: Listener, stop: &impl Fn() -> S, files: F)
    where
        S: Future<Output = ()> + Send + 'static,
    {
        let mut sessions = JoinSet::new();
        let mut stopped = pin!(stop());
        loop {
            tokio::select! {
                () = &mut stopped => break,
                accepted = listener.accept(), if sessions.len() < self.max => match accepted {
                    Ok(stream) => drop(sessions.spawn(self.session(stream, stop()))),
                    Err(error) => {
                        tracing::warn!(%error, "no client's connection accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = sessions.join_next() => {}
            }
        }
        // Whoever starts now finds nobody, and starts servers of its own.
        drop((listener, files));
        while sessions.join_next().await.is_some() {}
    }

    /// One client of another process; counted from now on, so that nobody leaves under it.
    fn session(
        &self,
        stream: Stream,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let counted = Counted::new(self.desk.attached());
        let (gateway, options) = (Arc::clone(&self.gateway), self.options);
        let fingerprint = self.desk.fingerprint();
        async move {
            let _counted = counted;
            match attach::welcome(stream, &fingerprint).await {
                Ok(Some(stream)) => {
                    let (input, output) = stream.into_split();
                    tracing::info!("a client of another process is attached");
                    let left = serve_stdio(gateway, input, output, options, stop).await;
                    tracing::info!(?left, "an attached client has left");
                }
                Ok(None) => tracing::info!("a process with other settings did not attach"),
                Err(error) => tracing::debug!(%error, "a process did not attach"),
            }
        }
    }
}

/// One of the clients that are attached.
struct Counted(watch::Sender<usize>);

impl Counted {
    fn new(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
