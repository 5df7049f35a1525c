//! A client that nobody here wrote: the official Rust SDK, over HTTP and over `mcplex stdio`.

#![expect(deprecated, reason = "the SDK deprecates sampling before the protocol drops it")]

use crate::{
    client,
    gateway::{PATIENCE, Setup},
};
use rmcp::{
    ClientHandler, ErrorData, RoleClient, ServiceExt as _,
    model::{
        CallToolRequestParams, ClientConfig, ClientRequest, CreateMessageRequestParams,
        CreateMessageResult, ElicitRequestParams, ElicitResult, ElicitationAction,
        ProgressNotificationParam, Request, SamplingMessage,
    },
    service::{NotificationContext, PeerRequestOptions, RequestContext, RunningService},
    transport::{StreamableHttpClientTransport, TokioChildProcess},
};
use serde_json::{Value, json};
use std::process::Stdio;
use tokio::{
    sync::{Notify, mpsc},
    time::timeout,
};

/// Answers what it is asked, and hands on what it hears.
#[derive(Debug)]
struct Handler {
    progress: mpsc::Sender<f64>,
    tools_changed: Notify,
}

impl ClientHandler for Handler {
    fn get_info(&self) -> ClientConfig {
        let able = json!({ "sampling": {}, "elicitation": { "form": {} }, "roots": {} });
        serde_json::from_value(client::initialize(&able)).unwrap()
    }

    async fn create_message(
        &self,
        params: CreateMessageRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        let text = format!("at most {} tokens", params.max_tokens);
        Ok(CreateMessageResult::new(SamplingMessage::assistant_text(text), "a model".into()))
    }

    async fn create_elicitation(
        &self,
        _: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        Ok(ElicitResult::new(ElicitationAction::Accept).with_content(json!({ "name": "Ada" })))
    }

    async fn on_progress(
        &self,
        params: ProgressNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        self.progress.send(params.progress).await.unwrap();
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.tools_changed.notify_one();
    }
}

type Sdk = RunningService<RoleClient, Handler>;

/// How many steps of progress fit between two looks.
const STEPS: usize = 16;

fn handler() -> (Handler, mpsc::Receiver<f64>) {
    let (progress, steps) = mpsc::channel(STEPS);
    (Handler { progress, tools_changed: Notify::new() }, steps)
}

fn request(tool: &'static str, arguments: Value) -> CallToolRequestParams {
    let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
    CallToolRequestParams::new(tool).with_arguments(arguments)
}

async fn call(sdk: &Sdk, tool: &'static str, arguments: Value) -> String {
    let result = sdk.call_tool(request(tool, arguments)).await.unwrap();
    result.content[0].as_text().unwrap().text.clone()
}

/// Waits until the server's tools are there.
async fn tools(sdk: &Sdk) -> Vec<String> {
    for _ in 0..10 {
        let tools = sdk.list_all_tools().await.unwrap();
        if !tools.is_empty() {
            return tools.into_iter().map(|tool| tool.name.into_owned()).collect();
        }
        sdk.service().tools_changed.notified().await;
    }
    panic!("no tool is ever listed")
}

/// What both ways must do.
async fn does_everything(sdk: Sdk, mut steps: mpsc::Receiver<f64>, setup: &Setup) {
    assert_eq!(sdk.peer_info().unwrap().server_info.as_ref().unwrap().name, "mcplex");
    assert_eq!(tools(&sdk).await.len(), 13 + 3);
    assert_eq!(call(&sdk, "add", json!({ "a": 1, "b": 2 })).await, "3");

    assert_eq!(call(&sdk, "progress", json!({ "steps": 5 })).await, "5 steps");
    for step in 1..=5_u8 {
        assert_eq!(steps.recv().await, Some(f64::from(step)));
    }

    let sampled: Value = serde_json::from_str(&call(&sdk, "sample", json!({})).await).unwrap();
    assert_eq!(sampled["content"]["text"], "at most 10 tokens");
    let elicited: Value = serde_json::from_str(&call(&sdk, "elicit", json!({})).await).unwrap();
    assert_eq!(elicited, json!({ "action": "accept", "content": { "name": "Ada" } }));

    cancels(&sdk, setup).await;
    sdk.cancel().await.unwrap();
}

async fn cancels(sdk: &Sdk, setup: &Setup) {
    let sleep = request("sleep", json!({ "ms": 60_000 }));
    let sleep = ClientRequest::CallToolRequest(Request::new(sleep));
    let sleeping =
        sdk.send_cancellable_request(sleep, PeerRequestOptions::no_options()).await.unwrap();
    arrives(sdk, setup, r#""name":"sleep""#).await;
    sleeping.cancel(Some("enough of it".to_owned())).await.unwrap();
    arrives(sdk, setup, "notifications/cancelled").await;
}

/// Waits until the server read something; every round is a call that it answered.
async fn arrives(sdk: &Sdk, setup: &Setup, what: &str) {
    for _ in 0..1_000 {
        call(sdk, "pid", json!({})).await;
        if setup.lines("record").iter().any(|line| line.contains(what)) {
            return;
        }
    }
    panic!("{what} does not reach the server");
}

fn setup() -> Setup {
    let setup = Setup::new("");
    let record = setup.path("record");
    setup.server("good", &["--tools", "3", "--pages", "5", "--record", &record])
}

#[tokio::test]
async fn the_official_sdk_does_everything_over_http() {
    let setup = setup();
    let gateway = setup.serve();
    let (handler, steps) = handler();
    let all = async {
        let transport = StreamableHttpClientTransport::from_uri(gateway.url());
        does_everything(handler.serve(transport).await.unwrap(), steps, &setup).await;
    };
    timeout(PATIENCE, all).await.unwrap();
}

#[tokio::test]
async fn the_official_sdk_does_everything_over_stdio() {
    let setup = setup();
    setup.write();
    let (handler, steps) = handler();
    let all = async {
        let command = tokio::process::Command::from(setup.command(&["stdio"]));
        let (transport, _) =
            TokioChildProcess::builder(command).stderr(Stdio::null()).spawn().unwrap();
        does_everything(handler.serve(transport).await.unwrap(), steps, &setup).await;
    };
    timeout(PATIENCE, all).await.unwrap();
}
