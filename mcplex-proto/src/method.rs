//! The method names a gateway must know; everything else passes through.

use crate::version::Era;
use std::borrow::Cow;

/// Whether a request only reads, so that sending it twice does no harm.
#[must_use]
pub fn is_read(method: &str) -> bool {
    matches!(
        method,
        TOOLS_LIST
            | PROMPTS_LIST
            | RESOURCES_LIST
            | TEMPLATES_LIST
            | RESOURCES_READ
            | PROMPTS_GET
            | COMPLETE
    )
}

/// Whether a method is known, and wants an answer.
#[must_use]
pub fn is_request(method: &str) -> bool {
    matches!(
        method,
        INITIALIZE
            | PING
            | DISCOVER
            | SET_LEVEL
            | COMPLETE
            | TOOLS_LIST
            | TOOLS_CALL
            | PROMPTS_LIST
            | PROMPTS_GET
            | RESOURCES_LIST
            | TEMPLATES_LIST
            | RESOURCES_READ
            | SUBSCRIBE
            | UNSUBSCRIBE
            | ROOTS_LIST
            | SAMPLING
            | ELICITATION
            | LISTEN
            | TASKS_GET
            | TASKS_UPDATE
            | TASKS_RESULT
            | TASKS_LIST
            | TASKS_CANCEL
    )
}

/// Whether a method is known, and only to revisions of the other era.
#[must_use]
pub fn is_of_other_era(method: &str, era: Era) -> bool {
    match era {
        Era::Legacy => {
            matches!(method, DISCOVER | LISTEN | TASKS_UPDATE)
        }
        Era::Modern => matches!(
            method,
            INITIALIZE
                | PING
                | SET_LEVEL
                | SUBSCRIBE
                | UNSUBSCRIBE
                | TASKS_RESULT
                | TASKS_LIST
                // What an upstream asks, a client never asks it.
                | ROOTS_LIST
                | SAMPLING
                | ELICITATION
        ),
    }
}

macro_rules! methods {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal;)*) => {
        $($(#[doc = $doc])* pub const $name: &str = $text;)*

        /// The name as a `'static` string when it is a known one, else a copy of it.
        #[must_use]
        pub fn intern(name: &str) -> Cow<'static, str> {
            match name {
                $($text => Cow::Borrowed($text),)*
                other => Cow::Owned(other.to_owned()),
            }
        }
    };
}

methods! {
    /// Opens a session (revisions up to 2025-11-25).
    INITIALIZE = "initialize";
    /// The client has seen the answer to `initialize`.
    INITIALIZED = "notifications/initialized";
    /// Is anybody there? Answered on each hop, never forwarded.
    PING = "ping";
    /// What a server is and can do (revisions from 2026-07-28, which know no `ping`).
    DISCOVER = "server/discover";
    /// A request is no longer wanted.
    CANCELLED = "notifications/cancelled";
    /// How far a request has come.
    PROGRESS = "notifications/progress";
    /// A log line of the server.
    LOG_MESSAGE = "notifications/message";
    /// How much the client wants to read of the server's log.
    SET_LEVEL = "logging/setLevel";
    /// Values that could complete an argument.
    COMPLETE = "completion/complete";
    /// Which tools there are.
    TOOLS_LIST = "tools/list";
    /// Runs a tool.
    TOOLS_CALL = "tools/call";
    /// The tools are others now.
    TOOLS_CHANGED = "notifications/tools/list_changed";
    /// Which prompts there are.
    PROMPTS_LIST = "prompts/list";
    /// One prompt, filled in.
    PROMPTS_GET = "prompts/get";
    /// The prompts are others now.
    PROMPTS_CHANGED = "notifications/prompts/list_changed";
    /// Which resources there are.
    RESOURCES_LIST = "resources/list";
    /// Which families of resources there are.
    TEMPLATES_LIST = "resources/templates/list";
    /// What a resource holds.
    RESOURCES_READ = "resources/read";
    /// Tell me when this resource changes.
    SUBSCRIBE = "resources/subscribe";
    /// No longer tell me.
    UNSUBSCRIBE = "resources/unsubscribe";
    /// The resources are others now.
    RESOURCES_CHANGED = "notifications/resources/list_changed";
    /// A subscribed resource changed.
    RESOURCE_UPDATED = "notifications/resources/updated";
    /// The server asks for the client's directories.
    ROOTS_LIST = "roots/list";
    /// The client's directories are others now.
    ROOTS_CHANGED = "notifications/roots/list_changed";
    /// The server asks the client's model.
    SAMPLING = "sampling/createMessage";
    /// The server asks the person in front of the client.
    ELICITATION = "elicitation/create";
    /// An elicitation by URL has ended.
    ELICITATION_COMPLETE = "notifications/elicitation/complete";
    /// Tell me what changes, for as long as this request lasts (from revision 2026-07-28).
    LISTEN = "subscriptions/listen";
    /// What a `subscriptions/listen` will be told of.
    ACKNOWLEDGED = "notifications/subscriptions/acknowledged";
    /// How a task is.
    TASKS_GET = "tasks/get";
    /// What came of a task (revision 2025-11-25).
    TASKS_RESULT = "tasks/result";
    /// Which tasks there are (revision 2025-11-25).
    TASKS_LIST = "tasks/list";
    /// A task is no longer wanted.
    TASKS_CANCEL = "tasks/cancel";
    /// Answers what a task asked (from revision 2026-07-28).
    TASKS_UPDATE = "tasks/update";
    /// A task has come further (revision 2025-11-25).
    TASKS_STATUS = "notifications/tasks/status";
    /// A task has come further (from revision 2026-07-28).
    TASKS_CHANGED = "notifications/tasks";
}
