//! What this version of the SDK calls the things that both versions have, and how it goes about
//! what the two eras do in different ways.

use crate::client::Client;
use crate::face::Face;
use rmcp::model::{
    ProtocolVersion, ServerNotification, SetLevelRequestParams, SubscribeRequestParams,
    SubscriptionFilter, UnsubscribeRequestParams,
};
use rmcp::service::{ClientLifecycleMode, ServiceError, serve_client_with_lifecycle};
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use serde_json::{Value, json};
use std::error::Error;
use tokio::process::Command;

pub use rmcp::model::{
    CallToolRequestParams as CallTool, ClientConfig as Info, CompleteRequestParams as Complete,
    CreateMessageRequestParams as Sampling, ElicitRequestParams as Elicitation,
    ElicitResult as Elicited, GetPromptRequestParams as GetPrompt,
    LoggingMessageNotificationParam as Log, PaginatedRequestParams as Page,
    ReadResourceRequestParams as Read,
};

pub fn capabilities() -> Value {
    json!({"sampling": {}, "elicitation": {"form": {}, "url": {}}, "roots": {"listChanged": true}})
}

pub async fn over_http(face: Face, url: &str) -> Result<Client, Box<dyn Error>> {
    let lifecycle = lifecycle(&face);
    let transport = StreamableHttpClientTransport::from_uri(url);
    Ok(serve_client_with_lifecycle(face, transport, lifecycle).await?)
}

pub async fn over_stdio(face: Face, command: Command) -> Result<Client, Box<dyn Error>> {
    let lifecycle = lifecycle(&face);
    let transport = TokioChildProcess::new(command)?;
    Ok(serve_client_with_lifecycle(face, transport, lifecycle).await?)
}

/// A client of this SDK says itself whether it starts with `initialize` or `server/discover`.
fn lifecycle(face: &Face) -> ClientLifecycleMode {
    match face.is_modern {
        true => ClientLifecycleMode::Discover {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        },
        false => ClientLifecycleMode::Initialize,
    }
}

/// A stateless client listens for the changes that a session hears of by itself.
pub async fn begin(client: &Client, face: &Face) -> Result<(), ServiceError> {
    let lists = json!({
        "toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true,
    });
    if face.is_modern { listen(client, face, "lists", lists).await } else { Ok(()) }
}

/// A stateless client says with every request what it wants to be logged.
pub async fn set_level(
    client: &Client,
    face: &Face,
    params: SetLevelRequestParams,
) -> Result<(), ServiceError> {
    if !face.is_modern {
        return client.set_level(params).await;
    }
    face.seen().level = json!(params.level).as_str().map(str::to_owned);
    Ok(())
}

pub async fn subscribe(
    client: &Client,
    face: &Face,
    params: SubscribeRequestParams,
) -> Result<(), ServiceError> {
    if !face.is_modern {
        return client.subscribe(params).await;
    }
    listen(client, face, &params.uri, json!({ "resourceSubscriptions": [params.uri] })).await
}

pub async fn unsubscribe(
    client: &Client,
    face: &Face,
    params: UnsubscribeRequestParams,
) -> Result<(), ServiceError> {
    if !face.is_modern {
        return client.unsubscribe(params).await;
    }
    if let Some(stream) = face.seen().streams.remove(&params.uri) {
        stream.abort();
    }
    Ok(())
}

/// Opens a stream; what comes on it is noted like any notification.
async fn listen(
    client: &Client,
    face: &Face,
    name: &str,
    wanted: Value,
) -> Result<(), ServiceError> {
    let wanted: SubscriptionFilter =
        serde_json::from_value(wanted).expect("a filter is made of this");
    let mut stream = client.listen(wanted).await?;
    let listener = face.clone();
    let task = tokio::spawn(async move {
        while let Ok(Some(notification)) = stream.next().await {
            let event = match &notification {
                ServerNotification::ResourceUpdatedNotification(_) => "updated",
                _ => "changed",
            };
            listener.note(event, &notification);
        }
    });
    face.seen().streams.insert(name.to_owned(), task);
    Ok(())
}
