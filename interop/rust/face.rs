//! What a server sees of the client: its answers, and where notifications go.

use crate::sdk;
use rmcp::model::{
    CreateMessageResult, ErrorData, ListRootsResult, ProgressNotificationParam,
    ResourceUpdatedNotificationParam,
};
use rmcp::service::{NotificationContext, RequestContext};
use rmcp::{ClientHandler, RoleClient};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::task::JoinHandle;

/// What has happened so far.
#[derive(Default)]
pub struct Seen {
    /// Kind and parameters of each notification.
    pub events: Vec<(&'static str, String)>,
    /// The latest request of each method.
    pub asked: serde_json::Map<String, Value>,
    pub progress: Vec<ProgressNotificationParam>,
    /// What a stateless client wants to be logged.
    pub level: Option<String>,
    /// The streams that a stateless client has instead of subscriptions.
    pub streams: BTreeMap<String, JoinHandle<()>>,
}

#[derive(Clone)]
pub struct Face {
    answers: Value,
    seen: Arc<Mutex<Seen>>,
    pub is_modern: bool,
    /// Whether calls may become tasks.
    pub has_tasks: bool,
}

impl Face {
    pub fn new(answers: Value, is_modern: bool, has_tasks: bool) -> Self {
        Self { answers, seen: Arc::default(), is_modern, has_tasks }
    }

    /// What is answered to a request of this method.
    pub fn words(&self, method: &str, params: &impl Serialize) -> Value {
        self.seen().asked.insert(method.to_owned(), json!(params));
        self.answers[method].clone()
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn note(&self, event: &'static str, params: &impl Serialize) {
        let text = json!(params).to_string();
        self.seen().events.push((event, text));
    }

    fn answer<T: DeserializeOwned>(
        &self,
        method: &str,
        params: &impl Serialize,
    ) -> Result<T, ErrorData> {
        typed(self.words(method, params))
    }
}

fn typed<T: DeserializeOwned>(answer: Value) -> Result<T, ErrorData> {
    serde_json::from_value(answer)
        .map_err(|error| ErrorData::internal_error(error.to_string(), None))
}

impl ClientHandler for Face {
    fn get_info(&self) -> sdk::Info {
        let info = json!({
            "protocolVersion": rmcp::model::ProtocolVersion::default(),
            "capabilities": sdk::capabilities(self.has_tasks),
            "clientInfo": {"name": "interop-rust", "version": "1"},
        });
        serde_json::from_value(info).expect("both versions read this")
    }

    async fn create_message(
        &self,
        params: sdk::Sampling,
        _context: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        self.answer("sampling/createMessage", &params)
    }

    async fn create_elicitation(
        &self,
        request: sdk::Elicitation,
        _context: RequestContext<RoleClient>,
    ) -> Result<sdk::Elicited, ErrorData> {
        // Who has opened a page has nothing to fill in.
        if json!(request)["mode"] == "url" {
            self.seen().asked.insert("elicitation/create".to_owned(), json!(request));
            return typed(json!({"action": "accept"}));
        }
        self.answer("elicitation/create", &request)
    }

    async fn list_roots(
        &self,
        _context: RequestContext<RoleClient>,
    ) -> Result<ListRootsResult, ErrorData> {
        self.answer("roots/list", &json!({}))
    }

    async fn on_progress(
        &self,
        params: ProgressNotificationParam,
        _context: NotificationContext<RoleClient>,
    ) {
        self.seen().progress.push(params);
    }

    async fn on_logging_message(
        &self,
        params: sdk::Log,
        _context: NotificationContext<RoleClient>,
    ) {
        self.note("log", &params);
    }

    async fn on_resource_updated(
        &self,
        params: ResourceUpdatedNotificationParam,
        _context: NotificationContext<RoleClient>,
    ) {
        self.note("updated", &params);
    }

    async fn on_tool_list_changed(&self, _context: NotificationContext<RoleClient>) {
        self.note("changed", &"notifications/tools/list_changed");
    }

    async fn on_prompt_list_changed(&self, _context: NotificationContext<RoleClient>) {
        self.note("changed", &"notifications/prompts/list_changed");
    }

    async fn on_resource_list_changed(&self, _context: NotificationContext<RoleClient>) {
        self.note("changed", &"notifications/resources/list_changed");
    }
}
