//! Interprets the steps of a scenario on a client of the Rust SDK, of whichever version.

use crate::face::Face;
use crate::sdk;
use regex_lite::Regex;
use rmcp::RoleClient;
use rmcp::model::{ClientRequest, ErrorCode};
use rmcp::service::{PeerRequestOptions, RequestHandle, RunningService, ServiceError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::error::Error;
use std::io;
use std::time::{Duration, Instant};
use tokio::process::Command;
use tokio::time::{sleep, timeout};

const TIMEOUT: Duration = Duration::from_secs(35);
const READY: Duration = Duration::from_secs(30);
const EVENT: Duration = Duration::from_secs(10);
const PAGES: usize = 100;

pub type Client = RunningService<RoleClient, Face>;
pub type Outcome = Result<Value, Failure>;

/// Why a step failed: an error of the protocol has a code.
pub struct Failure {
    code: Option<ErrorCode>,
    message: String,
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::McpError(error) => {
                Self { code: Some(error.code), message: error.message.into_owned() }
            }
            other => Self::said(other.to_string()),
        }
    }
}

impl Failure {
    pub fn said(message: impl Into<String>) -> Self {
        Self { code: None, message: message.into() }
    }
}

/// Connects to the target, runs all steps, prints their results.
pub async fn run() -> Result<(), Box<dyn Error>> {
    let specification: Value = serde_json::from_reader(io::stdin())?;
    let is_modern = specification["mode"] == "modern";
    let steps = specification["steps"].as_array().into_iter().flatten();
    let has_tasks = steps.clone().any(|step| step["verb"] == "task");
    let face = Face::new(specification["answers"].clone(), is_modern, has_tasks);
    let client = connect(face.clone(), &specification).await?;
    sdk::begin(&client, &face).await?;
    let mut results = Vec::new();
    for step in steps {
        results.push(result_of(&client, &face, step).await);
    }
    for stream in face.seen().streams.values() {
        stream.abort();
    }
    client.cancel().await?;
    println!("{}", json!({ "results": results }));
    Ok(())
}

async fn connect(face: Face, specification: &Value) -> Result<Client, Box<dyn Error>> {
    let target = &specification["target"];
    if let Some(url) = target["url"].as_str() {
        return sdk::over_http(face, url).await;
    }
    let mut command = Command::new(target["command"].as_str().ok_or("a target has a command")?);
    command.args(target["args"].as_array().into_iter().flatten().filter_map(Value::as_str));
    for (name, value) in target["env"].as_object().into_iter().flatten() {
        command.env(name, value.as_str().unwrap_or_default());
    }
    sdk::over_stdio(face, command).await
}

async fn result_of(client: &Client, face: &Face, step: &Value) -> Value {
    let begin = Instant::now();
    let outcome = match timeout(TIMEOUT, outcome_of(client, face, step)).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => Err(Failure::said("this step took too long")),
    };
    let took = begin.elapsed().as_millis();
    match outcome {
        Ok(ok) => json!({ "ok": ok, "ms": took }),
        Err(Failure { code, message }) => {
            json!({ "error": {"code": code, "message": message}, "ms": took })
        }
    }
}

async fn outcome_of(client: &Client, face: &Face, step: &Value) -> Outcome {
    match step["verb"].as_str().unwrap_or_default() {
        "ping" => shown(client.send_request(typed(&json!({"method": "ping"}))?).await?),
        "call" => shown(client.call_tool(call_of(face, step)?).await?),
        "read" => shown(client.read_resource(typed::<sdk::Read>(step)?).await?),
        "prompt" => shown(client.get_prompt(typed::<sdk::GetPrompt>(step)?).await?),
        "complete" => shown(client.complete(typed::<sdk::Complete>(step)?).await?),
        "level" => shown(sdk::set_level(client, face, typed(step)?).await?),
        "subscribe" => shown(sdk::subscribe(client, face, typed(step)?).await?),
        "unsubscribe" => shown(sdk::unsubscribe(client, face, typed(step)?).await?),
        "list" => list(client, text(step, "what")).await.map(Value::from),
        "ready" => ready(client, &step["tools"]).await,
        "asked" => {
            let asked = face.seen().asked.get(text(step, "method")).cloned();
            Ok(asked.unwrap_or_else(|| json!("nothing")))
        }
        "await" => seen(face, text(step, "event"), text(step, "pattern")).await,
        "progress" => progress(client, face, step).await,
        "cancel" => cancel(client, face, step).await,
        "task" => sdk::task(client, face, step).await,
        verb => Err(Failure::said(format!("this client has no verb {verb}"))),
    }
}

/// A call says how much its server may log, if a stateless client has said so.
pub fn call_of(face: &Face, step: &Value) -> Result<sdk::CallTool, Failure> {
    let mut call = json!({"name": step["name"], "arguments": step["arguments"]});
    if let Some(level) = &face.seen().level {
        call["_meta"] = json!({ "io.modelcontextprotocol/logLevel": level });
    }
    typed(&call)
}

fn text<'a>(step: &'a Value, key: &str) -> &'a str {
    step[key].as_str().unwrap_or_default()
}

/// A step carries the parameters of its request under the names of the wire.
fn typed<T: DeserializeOwned>(step: &Value) -> Result<T, Failure> {
    serde_json::from_value(step.clone()).map_err(|error| Failure::said(error.to_string()))
}

fn shown(value: impl Serialize) -> Outcome {
    serde_json::to_value(value).map_err(|error| Failure::said(error.to_string()))
}

/// Follows all pages; a server without prompts or resources has an empty list of them.
async fn list(client: &Client, what: &str) -> Result<Vec<Value>, Failure> {
    let mut items = Vec::new();
    let mut cursor = Value::Null;
    for _page in 0..PAGES {
        let page: sdk::Page = typed(&json!({ "cursor": cursor }))?;
        let page = match page_of(client, what, page).await {
            Err(Failure { code: Some(ErrorCode::METHOD_NOT_FOUND), .. }) => return Ok(items),
            other => other?,
        };
        let key = if what == "templates" { "resourceTemplates" } else { what };
        items.extend(page[key].as_array().cloned().unwrap_or_default());
        cursor = page["nextCursor"].clone();
        if cursor.is_null() {
            return Ok(items);
        }
    }
    Err(Failure::said("more than 100 pages"))
}

async fn page_of(client: &Client, what: &str, page: sdk::Page) -> Outcome {
    match what {
        "tools" => shown(client.list_tools(Some(page)).await?),
        "prompts" => shown(client.list_prompts(Some(page)).await?),
        "resources" => shown(client.list_resources(Some(page)).await?),
        _ => shown(client.list_resource_templates(Some(page)).await?),
    }
}

/// Waits until every named tool is listed.
async fn ready(client: &Client, tools: &Value) -> Outcome {
    let wanted: BTreeSet<&str> =
        tools.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let begin = Instant::now();
    loop {
        let listed = list(client, "tools").await?;
        let names: BTreeSet<&str> =
            listed.iter().filter_map(|tool| tool["name"].as_str()).collect();
        let missing: Vec<_> = wanted.difference(&names).collect();
        if missing.is_empty() {
            return Ok(json!("ready"));
        }
        if begin.elapsed() > READY {
            return Err(Failure::said(format!("tools still missing: {missing:?}")));
        }
        sleep(Duration::from_millis(200)).await;
    }
}

async fn seen(face: &Face, event: &str, pattern: &str) -> Outcome {
    let regex = Regex::new(pattern).map_err(|error| Failure::said(error.to_string()))?;
    let begin = Instant::now();
    while begin.elapsed() < EVENT {
        if face.seen().events.iter().any(|(kind, text)| *kind == event && regex.is_match(text)) {
            return Ok(json!("seen"));
        }
        sleep(Duration::from_millis(20)).await;
    }
    Err(Failure::said(format!("no {event} with {pattern} among {:?}", face.seen().events)))
}

async fn called(
    client: &Client,
    face: &Face,
    step: &Value,
) -> Result<RequestHandle<RoleClient>, Failure> {
    let params = call_of(face, step)?;
    let request: ClientRequest = typed(&json!({"method": "tools/call", "params": params}))?;
    Ok(client.send_cancellable_request(request, PeerRequestOptions::no_options()).await?)
}

async fn progress(client: &Client, face: &Face, step: &Value) -> Outcome {
    let call = called(client, face, step).await?;
    let token = call.progress_token.clone();
    let result = shown(call.await_response().await?)?;
    let seen = face.seen();
    let notes: Vec<_> = seen.progress.iter().filter(|note| note.progress_token == token).collect();
    Ok(json!({ "result": result, "progress": notes }))
}

/// Cancels a call at its first progress.
async fn cancel(client: &Client, face: &Face, step: &Value) -> Outcome {
    let call = called(client, face, step).await?;
    let token = call.progress_token.clone();
    while !face.seen().progress.iter().any(|note| note.progress_token == token) {
        sleep(Duration::from_millis(20)).await;
    }
    call.cancel(Some("enough".to_owned())).await?;
    Ok(json!("cancelled"))
}
