use super::*;
use crate::{desk::Desk, journals::Journals, reload::Reloader};
use async_trait::async_trait;
use mcplex_admin::{
    crashes::{self, Crashes},
    logs::{self, Logs},
    status::Instance,
};
use mcplex_proto::{
    message::Message,
    raw::Raw,
    transport::{ConnectError, Connection, Transport},
    upstream::{Incarnation, Status, UpstreamName},
};
use mcplex_supervisor::{Host, Options, ProcessMemory};
use tokio::sync::mpsc;

/// Connects for ever, and is heard to end: the sender is gone with it.
#[derive(Debug)]
struct Waits(mpsc::Sender<()>);

#[async_trait]
impl Transport for Waits {
    async fn connect(&self) -> Result<Connection, ConnectError> {
        let lives = self.0.clone();
        // Whoever waits for this sees that it runs.
        let _is_awaited = lives.send(()).await.is_ok();
        std::future::pending().await
    }

    fn network(&self) -> &'static str {
        "pipe"
    }
}

/// Holds the members as the router does, and so what their tasks report to.
struct Reports {
    _members: Arc<dyn Members>,
}

impl UpstreamEvents for Reports {
    fn message(&self, _: Incarnation, _: Message, _: Option<u64>) {}

    fn changed(&self, _: Status) {}
}

#[tokio::test]
async fn the_last_of_a_family_takes_its_tasks_along_whoever_looks_at_it() {
    let crash_limits = crashes::Limits { reports: 1, total: 1 };
    let log_limits = logs::Limits { size: 1, files: 1, total: 1 };
    let desk = Desk::new(
        Instance::default(),
        Crashes::open(None, crash_limits).unwrap(),
        Logs::open(None, log_limits).unwrap(),
        Journals::default(),
        None,
        Reloader::new().0,
    );
    let (alive, mut lives) = mpsc::channel(1);
    let spec = Spec {
        name: UpstreamName::new("mail").unwrap(),
        member: None,
        transport: Arc::new(Waits(alive)),
        options: Options::default(),
        capabilities: Raw::empty_object(),
        client_info: Raw::empty_object(),
        starts: Starts::Now,
        seed: 1,
        host: Host::default(),
        verdicts: Arc::new(ProcessMemory::default()),
    };
    let (opens, gate) = watch::channel(());
    drop(opens);
    let family = Family::new(spec, Duration::ZERO, gate, desk);
    let (members, view) = (family.members(), family.view());
    let events = Arc::new(Reports { _members: family.members() });
    let upstream = members.open(MemberKey::Pool(2), None, events).unwrap();
    lives.recv().await.unwrap();
    let labels: Vec<_> =
        view.open().iter().map(|(key, handle, _)| key.label(handle.name())).collect();
    assert_eq!(labels, ["mail/2"]);
    // Clones of it are as good as the first; the members and the view are not.
    let clone = family.clone();
    drop(family);
    assert_eq!(lives.try_recv(), Err(mpsc::error::TryRecvError::Empty));
    drop(clone);
    assert!(members.open(MemberKey::Pool(3), None, Arc::new(Silent)).is_none());
    drop((members, upstream));
    // Nothing holds the transport any more, and so nothing of the members, their tasks or handles.
    assert_eq!(lives.recv().await, None);
    assert!(view.open().is_empty());
}

struct Silent;

impl UpstreamEvents for Silent {
    fn message(&self, _: Incarnation, _: Message, _: Option<u64>) {}

    fn changed(&self, _: Status) {}
}
