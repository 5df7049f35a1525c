//! The official Rust client, 3.x: a specification on stdin, results as JSON on stdout.

#[path = "../../client.rs"]
mod client;
#[path = "../../face.rs"]
mod face;

use std::error::Error;

/// What this version of the SDK calls the things that both versions have.
mod sdk {
    use crate::face::Face;
    use rmcp::RoleClient;
    use rmcp::service::{ClientLifecycleMode, RunningService, serve_client_with_lifecycle};
    use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
    use serde_json::{Value, json};
    use std::error::Error;
    use tokio::process::Command;

    pub use rmcp::model::{
        CallToolRequestParams as CallTool, ClientConfig as Info, CompleteRequestParams as Complete,
        CreateMessageRequestParams as Sampling, ElicitRequestParams as Elicitation,
        ElicitResult as Elicited, GetPromptRequestParams as GetPrompt,
        LoggingMessageNotificationParam as Log, PaginatedRequestParams as Page,
        ReadResourceRequestParams as Read, SetLevelRequestParams as SetLevel,
        SubscribeRequestParams as Subscribe, UnsubscribeRequestParams as Unsubscribe,
    };

    pub fn capabilities() -> Value {
        json!({"sampling": {}, "elicitation": {"form": {}, "url": {}}, "roots": {"listChanged": true}})
    }

    pub async fn over_http(
        face: Face,
        url: &str,
        mode: &str,
    ) -> Result<RunningService<RoleClient, Face>, Box<dyn Error>> {
        let transport = StreamableHttpClientTransport::from_uri(url);
        Ok(serve_client_with_lifecycle(face, transport, lifecycle(mode)).await?)
    }

    pub async fn over_stdio(
        face: Face,
        command: Command,
        mode: &str,
    ) -> Result<RunningService<RoleClient, Face>, Box<dyn Error>> {
        let transport = TokioChildProcess::new(command)?;
        Ok(serve_client_with_lifecycle(face, transport, lifecycle(mode)).await?)
    }

    /// A client of this SDK says itself whether it starts with `initialize` or `server/discover`.
    fn lifecycle(mode: &str) -> ClientLifecycleMode {
        match mode {
            "modern" => ClientLifecycleMode::Discover { preferred_versions: Vec::new() },
            _ => ClientLifecycleMode::Initialize,
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    client::run().await
}
