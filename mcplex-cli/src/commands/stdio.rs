//! `mcplex stdio`: the gateway over its own stdin and stdout.

use super::serve::run_gateway;
use crate::{
    args::GatewayOptions,
    exit::Failure,
    gateway::{self, Front},
    port, settings,
    signals::Signals,
};

pub(crate) fn run(options: GatewayOptions) -> Result<(), Failure> {
    let wants_http = options.listen.is_some();
    let settings = settings::load(&options.config, options.listen, &options.log)?;
    run_gateway(&settings, async {
        let signals = Signals::listen()?;
        let http = wants_http.then(|| port::bind(settings.config().gateway.listen)).transpose()?;
        if let Some(http) = &http {
            let url = format!("http://{}{}", http.local_addr(), settings.config().gateway.path);
            tracing::info!(%url, "serving HTTP clients as well");
        }
        if settings.file.is_none() {
            tracing::warn!("there is no configuration, so these are the demo servers");
        }
        gateway::run(&settings, Front { http, stdio: true }, signals).await
    })
}
