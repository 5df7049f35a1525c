//! A crash loop of any command being tripped: six starts, then none.
//!
//! ```text
//! cargo run -p mcplex-supervisor --example crash_loop -- false
//! cargo run -p mcplex-supervisor --example crash_loop -- sh -c 'echo no license >&2; exit 3'
//! ```

use mcplex_proto::{
    message::Message,
    raw::Raw,
    upstream::{Health, Incarnation, Status, UpstreamEvents, UpstreamName},
};
use mcplex_supervisor::{Host, Options, ProcessMemory, Spec, Starts, supervise};
use mcplex_transport_stdio::{Command, StdioTransport};
use std::{env, error::Error, sync::Arc};
use tokio::sync::Notify;

/// Tells each change, and when it tripped.
#[derive(Default)]
struct Watch {
    has_tripped: Notify,
}

impl UpstreamEvents for Watch {
    fn message(&self, _: Incarnation, _: Message, _: Option<u64>) {}

    #[expect(clippy::print_stdout, reason = "an example talks to a person")]
    fn changed(&self, status: Status) {
        let Status { health, incarnation, deaths, reason, pid, .. } = status;
        if pid.is_none() {
            let reason = reason.unwrap_or_default();
            println!("start {incarnation}, {deaths} deaths: {} {reason}", health.as_str());
        }
        if health == Health::Tripped {
            self.has_tripped.notify_one();
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut words = env::args().skip(1);
    let program = words.next().unwrap_or_else(|| "false".to_owned());
    let name = UpstreamName::new("example")?;
    let command = Command::new(name.clone(), program).with_args(words);
    let spec = Spec {
        name,
        member: None,
        transport: Arc::new(StdioTransport::new(command)),
        options: Options::default(),
        capabilities: Raw::empty_object(),
        client_info: Raw::parse(&br#"{"name": "example", "version": "1"}"#[..])?,
        starts: Starts::Now,
        seed: 1,
        host: Host::default(),
        verdicts: Arc::new(ProcessMemory::default()),
    };
    let watch = Arc::new(Watch::default());
    let (handle, task) = supervise(spec, watch.clone());
    tokio::join!(task, async {
        watch.has_tripped.notified().await;
        handle.shutdown().await;
    });
    Ok(())
}
