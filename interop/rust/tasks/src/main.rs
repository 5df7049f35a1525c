//! A stateless server that makes tasks of calls, by the task manager of the official Rust SDK, 3.x.

use rmcp::model::*;
use rmcp::service::{RequestContext, RoleServer};
use rmcp::task_manager::{TaskContext, TaskExit, TaskFuture, TaskManager, TaskOptions};
use rmcp::{ErrorData, ServerHandler, ServiceExt};
use serde_json::{Value, json};
use std::error::Error;
use std::time::Duration;
use tokio::time::sleep;

/// How often a client should ask, in milliseconds.
const POLL: u64 = 100;
/// How long a tool works.
const WORK: Duration = Duration::from_millis(300);

#[derive(Clone, Default)]
struct Server {
    tasks: TaskManager,
}

fn said(text: impl Into<String>) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(text)])
}

fn strange(error: impl std::fmt::Display) -> ErrorData {
    ErrorData::internal_error(error.to_string(), None)
}

/// What each tool does; those that are not `sum` need a task.
async fn work(name: String, arguments: Value, task: TaskContext) -> Result<CallToolResult, TaskExit> {
    match name.as_str() {
        "sum" => sleep(WORK).await,
        "ask" => {
            let form = json!({ "method": "elicitation/create", "params": {
                "mode": "form", "message": "Who are you?",
                "requestedSchema": { "type": "object", "properties": { "name": { "type": "string" } } },
            } });
            let form = serde_json::from_value(form).map_err(strange)?;
            let answer = task.request_input("who", form).await?;
            return Ok(said(format!("Hello, {}!", answer["content"]["name"])));
        }
        "wait" => {
            task.cancelled().await;
            return Err(TaskExit::Cancelled);
        }
        _ => {
            sleep(WORK).await;
            return Err(TaskExit::Error(ErrorData::internal_error("it broke", None)));
        }
    }
    Ok(said(sum(&arguments)))
}

fn sum(arguments: &Value) -> String {
    let number = |name: &str| arguments[name].as_i64().unwrap_or_default();
    (number("a") + number("b")).to_string()
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().enable_tasks().build())
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let schema = json!({ "type": "object" });
        let tools = ["sum", "ask", "wait", "broken"].map(|name| {
            json!({ "name": name, "description": "Works as a task", "inputSchema": schema })
        });
        let list = json!({ "tools": tools, "ttlMs": 0, "cacheScope": "public" });
        serde_json::from_value(list).map_err(strange)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let knows_tasks = context.client_capabilities().is_some_and(|all| all.supports_tasks());
        let (name, arguments) = (request.name.to_string(), json!(request.arguments));
        if !knows_tasks && name == "sum" {
            return Ok(CallToolResponse::Complete(said(sum(&arguments))));
        }
        if !knows_tasks {
            let required = ClientCapabilities::builder().enable_tasks().build();
            return Err(ErrorData::missing_required_client_capability(required));
        }
        let options = TaskOptions::new().with_poll_interval_ms(POLL);
        let run = |task| Box::pin(work(name, arguments, task)) as TaskFuture;
        Ok(CallToolResponse::Task(CreateTaskResult::new(self.tasks.spawn(options, run))))
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        Ok(GetTaskResult::new(self.tasks.get_task(&request.task_id)?))
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.tasks.update_task(&request.task_id, request.input_responses)
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.tasks.cancel_task(&request.task_id)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let running = Server::default().serve(rmcp::transport::stdio()).await?;
    running.waiting().await?;
    Ok(())
}
