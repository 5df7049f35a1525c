//! Which era of the protocol it belongs to.

use crate::{behavior::Behavior, die, features, peer::Peer};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

const MODERN: &str = "2026-07-28";
const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// What only sessions have.
const LEGACY_ONLY: [&str; 4] =
    ["ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"];

/// What it makes of a request before anything else.
pub(crate) enum First {
    /// It is answered as always.
    GoOn,
    /// It gets no answer.
    Mute,
    /// It is refused.
    Refuse { code: i64, why: String, data: Option<Value> },
}

/// Looks at a request; with `--era both` the first one decides for all that follow.
pub(crate) fn look(peer: &Peer, method: &str, params: &Value) -> First {
    let behavior = &peer.behavior;
    if method == "server/discover" && behavior.exit_on_probe {
        die(behavior.exit_code());
    }
    if method == "server/discover" && behavior.mute_on_probe {
        return First::Mute;
    }
    let version = &params["_meta"][VERSION];
    let is_modern = match behavior.era.as_deref() {
        Some("modern") => true,
        Some("both") => *peer.pinned.lock().expect("no panic").get_or_insert(version.is_string()),
        _ => false,
    };
    if !is_modern {
        return First::GoOn;
    }
    peer.is_modern.store(true, Ordering::Relaxed);
    let unsupported = |requested: &Value| First::Refuse {
        code: -32022,
        why: "this server speaks 2026-07-28".to_owned(),
        data: Some(json!({ "supported": [MODERN], "requested": requested })),
    };
    let refuse = |code, why: &str| First::Refuse { code, why: why.to_owned(), data: None };
    match version.as_str() {
        None if method == "initialize" => unsupported(&params["protocolVersion"]),
        None => refuse(-32602, "Invalid params: the request has no envelope"),
        Some(MODERN) if !params["_meta"][CAPABILITIES].is_object() => {
            refuse(-32602, "Invalid params: the envelope has no capabilities")
        }
        Some(MODERN) if LEGACY_ONLY.contains(&method) || method == "initialize" => {
            refuse(-32601, "Method not found: sessions are over")
        }
        Some(MODERN) => First::GoOn,
        Some(_) => unsupported(version),
    }
}

/// The answer to `server/discover` of a modern server.
pub(crate) fn discovery(behavior: &Behavior) -> Value {
    let mut capabilities = features::capabilities(behavior);
    if let Some(all) = capabilities.as_object_mut() {
        all.remove("logging");
    }
    json!({
        "supportedVersions": [MODERN],
        "capabilities": capabilities,
        "instructions": "It does as its flags say.",
        "ttlMs": 0,
        "cacheScope": "private",
    })
}

/// What a modern server adds to each of its results.
pub(crate) fn finish(result: &Value) -> Value {
    let mut result = result.clone();
    if let Some(members) = result.as_object_mut() {
        members.entry("resultType").or_insert(json!("complete"));
        let who = json!({ "name": "fake-server", "version": env!("CARGO_PKG_VERSION") });
        let meta = members.entry("_meta").or_insert(json!({}));
        meta[SERVER_INFO] = who;
    }
    result
}

/// Takes a `subscriptions/listen`, which it never ends by itself.
pub(crate) fn listen(peer: &Peer, id: &Value, params: &Value) {
    let filter = &params["notifications"];
    let meta = json!({ SUBSCRIPTION: id });
    let acknowledged = json!({ "_meta": meta, "notifications": filter });
    peer.listens.lock().expect("no panic").insert(id.to_string(), (id.clone(), filter.clone()));
    peer.notify("notifications/subscriptions/acknowledged", &acknowledged);
}

/// The parameters of a notification for each listener that wants it; `None` when it is not of the
/// kind that is listened to.
pub(crate) fn listeners(peer: &Peer, method: &str, params: &Value) -> Option<Vec<Value>> {
    let member = match method {
        "notifications/tools/list_changed" => "toolsListChanged",
        "notifications/resources/updated" => "resourceSubscriptions",
        _ => return None,
    };
    if !peer.is_modern.load(Ordering::Relaxed) {
        return None;
    }
    let is_wanted = |filter: &Value| match filter[member].as_array() {
        Some(uris) => uris.contains(&params["uri"]),
        None => filter[member] == true,
    };
    let listens = peer.listens.lock().expect("no panic");
    let wanted = listens.values().filter(|(_, filter)| is_wanted(filter));
    let marked = wanted.map(|(id, _)| {
        let mut params = params.clone();
        params["_meta"] = json!({ SUBSCRIPTION: id });
        params
    });
    Some(marked.collect())
}
