//! The official Rust client, 0.8: a specification on stdin, results as JSON on stdout.

#[path = "../../client.rs"]
mod client;
#[path = "../../face.rs"]
mod face;

use std::error::Error;

/// What this version of the SDK calls the things that both versions have.
mod sdk {
    use crate::face::Face;
    use rmcp::service::RunningService;
    use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
    use rmcp::{RoleClient, ServiceExt};
    use serde_json::{Value, json};
    use std::error::Error;
    use tokio::process::Command;

    pub use rmcp::model::{
        CallToolRequestParam as CallTool, ClientInfo as Info, CompleteRequestParam as Complete,
        CreateElicitationRequestParam as Elicitation, CreateElicitationResult as Elicited,
        CreateMessageRequestParam as Sampling, GetPromptRequestParam as GetPrompt,
        LoggingMessageNotificationParam as Log, PaginatedRequestParam as Page,
        ReadResourceRequestParam as Read, SetLevelRequestParam as SetLevel,
        SubscribeRequestParam as Subscribe, UnsubscribeRequestParam as Unsubscribe,
    };

    /// Its elicitation ends the connection when a form has what came after it, so it has none.
    pub fn capabilities() -> Value {
        json!({"sampling": {}, "roots": {"listChanged": true}})
    }

    pub async fn over_http(
        face: Face,
        url: &str,
        _mode: &str,
    ) -> Result<RunningService<RoleClient, Face>, Box<dyn Error>> {
        Ok(face.serve(StreamableHttpClientTransport::from_uri(url)).await?)
    }

    pub async fn over_stdio(
        face: Face,
        command: Command,
        _mode: &str,
    ) -> Result<RunningService<RoleClient, Face>, Box<dyn Error>> {
        Ok(face.serve(TokioChildProcess::new(command)?).await?)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    client::run().await
}
