//! The official Rust client, 0.8: a specification on stdin, results as JSON on stdout.

#[path = "../../client.rs"]
mod client;
#[path = "../../face.rs"]
mod face;

use std::error::Error;

/// What this version of the SDK calls the things that both versions have.
mod sdk {
    use crate::client::{Client, Failure, Outcome};
    use crate::face::Face;
    use rmcp::ServiceExt;
    use rmcp::service::ServiceError;
    use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
    use serde_json::{Value, json};
    use std::error::Error;
    use tokio::process::Command;

    pub use rmcp::model::{
        CallToolRequestParam as CallTool, ClientInfo as Info, CompleteRequestParam as Complete,
        CreateElicitationRequestParam as Elicitation, CreateElicitationResult as Elicited,
        CreateMessageRequestParam as Sampling, GetPromptRequestParam as GetPrompt,
        LoggingMessageNotificationParam as Log, PaginatedRequestParam as Page,
        ReadResourceRequestParam as Read,
    };
    use rmcp::model::{SetLevelRequestParam, SubscribeRequestParam, UnsubscribeRequestParam};

    pub async fn begin(_client: &Client, face: &Face) -> Result<(), Box<dyn Error>> {
        if face.is_modern { Err("0.8 has sessions only".into()) } else { Ok(()) }
    }

    pub async fn set_level(
        client: &Client,
        _face: &Face,
        params: SetLevelRequestParam,
    ) -> Result<(), ServiceError> {
        client.set_level(params).await
    }

    pub async fn subscribe(
        client: &Client,
        _face: &Face,
        params: SubscribeRequestParam,
    ) -> Result<(), ServiceError> {
        client.subscribe(params).await
    }

    pub async fn unsubscribe(
        client: &Client,
        _face: &Face,
        params: UnsubscribeRequestParam,
    ) -> Result<(), ServiceError> {
        client.unsubscribe(params).await
    }

    /// Its elicitation ends the connection when a form has what came after it, so it has none.
    pub fn capabilities(_has_tasks: bool) -> Value {
        json!({"sampling": {}, "roots": {"listChanged": true}})
    }

    pub async fn task(_client: &Client, _face: &Face, _step: &Value) -> Outcome {
        Err(Failure::said("0.8 has no tasks"))
    }

    pub async fn over_http(face: Face, url: &str) -> Result<Client, Box<dyn Error>> {
        Ok(face.serve(StreamableHttpClientTransport::from_uri(url)).await?)
    }

    pub async fn over_stdio(face: Face, command: Command) -> Result<Client, Box<dyn Error>> {
        Ok(face.serve(TokioChildProcess::new(command)?).await?)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    client::run().await
}
