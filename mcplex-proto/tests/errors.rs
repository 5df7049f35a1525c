//! Writes and checks the page of what clients are told when an upstream does not answer.

use mcplex_proto::upstream::{LastDeath, UNAVAILABLE_META, UpstreamError, UpstreamName};
use serde_json::{Value, json};
use std::time::Duration;

/// One of each, with when it happens.
fn all() -> Vec<(UpstreamError, &'static str)> {
    let upstream = UpstreamName::new("mail").expect("it is a name");
    let reason = || "it exited with code 1".into();
    let wait = Some(Duration::from_millis(800));
    let name = || upstream.clone();
    let died = |is_suspect| UpstreamError::Died {
        upstream: name(),
        reason: reason(),
        safe_to_retry: false,
        is_suspect,
        cause: None,
        from: None,
    };
    vec![
        (
            UpstreamError::Unavailable {
                upstream: name(), reason: reason(), retry_after: wait, cause: None,
            },
            "It is between two lives, and the call waited for the next one as long as it may.",
        ),
        (
            UpstreamError::Tripped {
                upstream: name(),
                reason: "6 deaths in 60 s; the last time it exited with code 1; its last words: API_KEY \
                         is not set; probably the variable API_KEY is not set; set API_KEY in `env` of \
                         the server"
                    .into(),
                retry_after: Some(Duration::from_secs(64)),
                trips: 1,
                last: Some(std::sync::Arc::new(LastDeath {
                    exit: "it exited with code 1".to_owned(),
                    stderr_tail: vec!["API_KEY is not set".to_owned()],
                })),
                cause: None,
            },
            "Its breaker is open.",
        ),
        (
            died(false),
            "It died after the call was sent. The call is never sent again by itself.",
        ),
        (
            died(true),
            "The same, and a call of the same name and arguments was in flight at an earlier death.",
        ),
        (
            UpstreamError::Timeout { upstream: name(), timeout: Duration::from_secs(900), from: None },
            "It did not answer within `supervise.call_timeout`; it was told that nobody waits.",
        ),
        (
            UpstreamError::QueueFull { upstream: name(), limit: 64, retry_after: wait },
            "`supervise.queue_limit` calls wait for its next life already.",
        ),
        (UpstreamError::Stopped { upstream: name(), reason: None }, "Somebody stopped it."),
        (
            UpstreamError::Stopped {
                upstream: name(),
                reason: Some("it exited with code 1".into()),
            },
            "It ended, and `supervise.restart` lets no other life follow.",
        ),
        (
            UpstreamError::SessionsFull { upstream: name(), limit: 16 },
            "With `supervise.isolation = \"session\"` there are `supervise.session_limit` processes, \
             and none of them rests.",
        ),
    ]
}

fn page() -> String {
    let mut page = format!(
        "# Errors\n\n\
         What a client reads when an upstream gives no answer of its own. A `tools/call` gets a \
         result with `isError: true`, one sentence for the model, and the object below (with its \
         `code`) under `_meta[\"{UNAVAILABLE_META}\"]`; everything else, and with \
         `router.down_reply = \"error\"` a tool call too, gets a JSON-RPC error with the object as \
         `data`. `sent: false` means that the call cannot have taken effect.\n"
    );
    let sections = all().into_iter().map(|(error, when)| {
        let told = error.to_client();
        let data = told.data.unwrap_or_default();
        format!("\n## {}\n\n{when}\n\n> {}\n\n```json\n{data}\n```\n", told.code, told.message)
    });
    page.extend(sections);
    page
}

#[test]
fn the_page_of_errors_is_what_clients_are_told() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/errors.md");
    if std::env::var_os("MCPLEX_BLESS").is_some() {
        std::fs::write(path, page()).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap();
    assert_eq!(committed, page(), "run the test with MCPLEX_BLESS=1 to write the page");
}

#[test]
fn a_tool_result_carries_the_same_reason_as_an_error() {
    for (error, _) in all() {
        let told = error.to_client();
        let result: Value = error.to_tool_result().get().unwrap();
        let mut expect = told.data.unwrap();
        expect["code"] = json!(told.code);
        assert_eq!(result["_meta"][UNAVAILABLE_META], expect);
        assert_eq!(result["content"][0]["text"], told.message);
        assert_eq!(expect["sent"] == false, error.was_refused());
    }
}
