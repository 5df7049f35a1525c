//! A small server on the Rust SDK 0.8, over stdio: tools, a resource, a prompt, and a question back.

use rmcp::model::{
    CallToolRequestParam, CallToolResult, Content, CreateMessageRequestParam, ErrorData,
    GetPromptRequestParam, GetPromptResult, ListPromptsResult, ListResourcesResult,
    ListToolsResult, PaginatedRequestParam, ProgressNotificationParam, ReadResourceRequestParam,
    ReadResourceResult, ServerInfo,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler, ServiceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::error::Error;
use std::time::Duration;
use tokio::time::sleep;

const NOTE: &str = "rust08://note";

/// Reads what this version of the SDK cannot build as shortly.
fn typed<T: DeserializeOwned>(value: Value) -> Result<T, ErrorData> {
    serde_json::from_value(value).map_err(lost)
}

fn lost(error: impl std::fmt::Display) -> ErrorData {
    ErrorData::internal_error(error.to_string(), None)
}

struct Old;

impl Old {
    async fn count(&self, context: RequestContext<RoleServer>) -> Result<String, ErrorData> {
        if let Some(progress_token) = context.meta.get_progress_token() {
            for progress in [1.0, 2.0, 3.0, 4.0] {
                let progress_token = progress_token.clone();
                let (total, message) = (Some(4.0), None);
                let note = ProgressNotificationParam { progress_token, progress, total, message };
                context.peer.notify_progress(note).await.map_err(lost)?;
                // Some clients drop what comes together with the result.
                sleep(Duration::from_millis(30)).await;
            }
        }
        Ok("counted to four".to_owned())
    }

    async fn think(&self, context: RequestContext<RoleServer>) -> Result<String, ErrorData> {
        let content = json!({"type": "text", "text": "what do you think?"});
        let messages = json!([{"role": "user", "content": content}]);
        let question = json!({"messages": messages, "maxTokens": 20});
        let question: CreateMessageRequestParam = typed(question)?;
        let answer = context.peer.create_message(question).await.map_err(lost)?;
        Ok(json!(answer).to_string())
    }
}

impl ServerHandler for Old {
    fn get_info(&self) -> ServerInfo {
        let info = json!({
            "protocolVersion": rmcp::model::ProtocolVersion::default(),
            "capabilities": {"tools": {}, "prompts": {}, "resources": {}},
            "serverInfo": {"name": "rust08", "version": "1"},
        });
        serde_json::from_value(info).expect("this version reads it")
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParam>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tool = |name: &str, description: &str, properties: Value| {
            let schema = json!({"type": "object", "properties": properties});
            json!({"name": name, "description": description, "inputSchema": schema})
        };
        typed(json!({"tools": [
            tool("rust08_say", "Says it again", json!({"text": {"type": "string"}})),
            tool("rust08_count", "Reports progress", json!({})),
            tool("rust08_think", "Asks the client's model", json!({})),
        ]}))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParam,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        let arguments = request.arguments.unwrap_or_default();
        let text = match request.name.as_ref() {
            "rust08_say" => arguments
                .get("text")
                .and_then(Value::as_str)
                .ok_or_else(|| ErrorData::invalid_params("there is no text", None))?
                .to_owned(),
            "rust08_count" => self.count(context).await?,
            "rust08_think" => self.think(context).await?,
            _ => return Err(ErrorData::invalid_params("there is no such tool", None)),
        };
        Ok(CallToolResult::success(vec![Content::text(text)]))
    }

    async fn list_resources(
        &self,
        _request: Option<PaginatedRequestParam>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        typed(json!({"resources": [{"uri": NOTE, "name": "note", "mimeType": "text/plain"}]}))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParam,
        _context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResult, ErrorData> {
        if request.uri != NOTE {
            return Err(ErrorData::resource_not_found("there is no such resource", None));
        }
        typed(
            json!({"contents": [{"uri": NOTE, "mimeType": "text/plain", "text": "a note in Rust"}]}),
        )
    }

    async fn list_prompts(
        &self,
        _request: Option<PaginatedRequestParam>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let arguments = json!([{"name": "name", "required": true}]);
        typed(json!({"prompts": [{"name": "rust08_greet", "arguments": arguments}]}))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParam,
        _context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResult, ErrorData> {
        let arguments = request.arguments.unwrap_or_default();
        let name = arguments.get("name").and_then(Value::as_str).unwrap_or("nobody");
        let content = json!({"type": "text", "text": format!("Greet {name}.")});
        typed(json!({"messages": [{"role": "user", "content": content}]}))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    Old.serve(rmcp::transport::stdio()).await?.waiting().await?;
    Ok(())
}
