//! `mcplex stdio`: a client's endpoint over stdin and stdout, served here or by another mcplex.

use super::serve::{run_gateway, runtime};
use crate::{
    args::StdioOptions,
    carry::{self, Next},
    exit::Failure,
    gateway::{self, Client, Front},
    port,
    reach::{self, Place},
    settings,
    signals::Signals,
};

pub(crate) fn run(options: StdioOptions) -> Result<(), Failure> {
    let StdioOptions { gateway: options, no_attach } = options;
    let wants_http = options.listen.is_some();
    let settings = settings::load(&options.config, options.listen, &options.log)?;
    let runtime = runtime()?;
    // Who listens by itself has to serve by itself.
    let attaches = !no_attach && !wants_http;
    let own = match runtime.block_on(reach::arrive(&settings, attaches)) {
        Place::Own(own) => own,
        // Without logs and traces, which are those of the other one as long as there is one.
        Place::Attached(stream) => {
            return match runtime.block_on(carry::run(&settings, stream))? {
                Next::Nothing => Ok(()),
                Next::Serve(alone) => {
                    let settings = alone.settings.clone();
                    run_gateway(&settings, runtime, alone.serve())
                }
            };
        }
    };
    run_gateway(&settings, runtime, async {
        let sockets = own.into_sockets();
        let signals = Signals::listen()?;
        let http = wants_http.then(|| port::bind(settings.config().gateway.listen)).transpose()?;
        if let Some(http) = &http {
            let url = format!("http://{}{}", http.local_addr(), settings.config().gateway.path);
            tracing::info!(%url, "serving HTTP clients as well");
        }
        if settings.file.is_none() {
            tracing::warn!("there is no configuration, so these are the demo servers");
        }
        let front = Front { http, stdio: Some(Client::of_this_process()?), sockets };
        gateway::run(&settings, front, signals).await
    })
}
