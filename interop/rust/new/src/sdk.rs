//! What this version of the SDK calls the things that both versions have, and how it goes about
//! what the two eras do in different ways.

use crate::client::{Client, Failure, Outcome, call_of};
use crate::face::Face;
use rmcp::model::{
    CallToolResponse, CancelTaskParams, GetTaskParams, ProtocolVersion, ServerNotification,
    SetLevelRequestParams, SubscribeRequestParams, SubscriptionFilter, TaskPayload,
    UnsubscribeRequestParams, UpdateTaskParams,
};
use rmcp::service::{ClientLifecycleMode, ServiceError, serve_client_with_lifecycle};
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use serde_json::{Value, json};
use std::error::Error;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::sleep;

pub use rmcp::model::{
    CallToolRequestParams as CallTool, ClientConfig as Info, CompleteRequestParams as Complete,
    CreateMessageRequestParams as Sampling, ElicitRequestParams as Elicitation,
    ElicitResult as Elicited, GetPromptRequestParams as GetPrompt,
    LoggingMessageNotificationParam as Log, PaginatedRequestParams as Page,
    ReadResourceRequestParams as Read,
};

pub fn capabilities(has_tasks: bool) -> Value {
    let mut all = json!({
        "sampling": {}, "elicitation": {"form": {}, "url": {}}, "roots": {"listChanged": true},
    });
    if has_tasks {
        all["extensions"] = json!({ "io.modelcontextprotocol/tasks": {} });
    }
    all
}

/// How often a task is asked for, and for how long at most.
const LOOKS: (u32, Duration) = (150, Duration::from_millis(100));

/// Calls a tool that becomes a task, answers what that asks, and waits for its end.
pub async fn task(client: &Client, face: &Face, step: &Value) -> Outcome {
    let id = match client.call_tool_once(call_of(face, step)?).await? {
        CallToolResponse::Task(made) => made.task.task_id,
        other => return Err(Failure::said(format!("it became no task: {other:?}"))),
    };
    if step["cancel"] == true {
        client.cancel_task(CancelTaskParams::new(id.clone())).await?;
    }
    let mut states = vec!["created".to_owned()];
    for _ in 0..LOOKS.0 {
        let task = client.get_task(GetTaskParams::new(id.clone())).await?.task;
        let state = json!(task.status()).as_str().unwrap_or_default().to_owned();
        if states.last() != Some(&state) {
            states.push(state);
        }
        match task.payload {
            TaskPayload::Completed { result } => {
                return Ok(json!({ "states": states, "result": result }));
            }
            TaskPayload::Failed { error } => {
                return Ok(json!({ "states": states, "error": error }));
            }
            TaskPayload::Cancelled => return Ok(json!({ "states": states })),
            TaskPayload::InputRequired { input_requests } => {
                let answers = input_requests.into_iter().map(|(key, asked)| {
                    let asked = json!(asked);
                    let method = asked["method"].as_str().unwrap_or_default().to_owned();
                    (key, face.words(&method, &asked["params"]))
                });
                let answers = json!({ "taskId": id, "inputResponses": answers.collect::<serde_json::Map<_, _>>() });
                let answers: UpdateTaskParams = serde_json::from_value(answers)
                    .map_err(|error| Failure::said(error.to_string()))?;
                client.update_task(answers).await?;
            }
            _ => {}
        }
        sleep(LOOKS.1).await;
    }
    Err(Failure::said(format!("the task did not end: {states:?}")))
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

/// A stateless client listens for the changes that a session hears of by itself; where calls are
/// tasks nothing changes.
pub async fn begin(client: &Client, face: &Face) -> Result<(), ServiceError> {
    let lists = json!({
        "toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true,
    });
    let listens = face.is_modern && !face.has_tasks;
    if listens { listen(client, face, "lists", lists).await } else { Ok(()) }
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
