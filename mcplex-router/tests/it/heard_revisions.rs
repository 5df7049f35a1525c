//! What is said beside calls and their answers, between peers of any two revisions: subscriptions,
//! changes, progress, cancels, what is asked and taken back, another life, the end.

use crate::{
    modern::{self, SUBSCRIPTION},
    revisions::sent,
    suspend::died,
    world::{Going, Peer, World},
};
use mcplex_proto::{
    upstream::Health,
    version::{Era, Version},
};
use mcplex_schema::{judge::Side, witness::Witness};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const CLIENT: &str = r#"{"roots":{}}"#;

/// One client, one server, and who listens to what mcplex says to either.
struct Story {
    world: World,
    peer: Peer,
    client: Version,
    server: Version,
    to_client: Witness,
    to_server: Witness,
    /// The requests that the server got, by their ids.
    seen: BTreeSet<String>,
    /// What the client was told, by method.
    told: Vec<String>,
    next: u64,
}

fn is_modern(version: Version) -> bool {
    version.era() == Era::Modern
}

impl Story {
    fn begin(client: Version, server: Version) -> Self {
        let capabilities = json!({
            "tools": { "listChanged": true }, "logging": {},
            "resources": { "subscribe": true, "listChanged": true },
        });
        let world = World::new(&["a"]);
        world.upstreams[0].introduces(&capabilities.to_string(), None);
        world.upstreams[0].speaks(server);
        let list = |member: &str, items: Value| {
            let mut page = json!({ member: items });
            if is_modern(server) {
                page["resultType"] = json!("complete");
                page["ttlMs"] = json!(0);
                page["cacheScope"] = json!("public");
            }
            page.to_string()
        };
        let tools = json!([{ "name": "one", "inputSchema": { "type": "object" } }]);
        let resources = json!([{ "name": "one", "uri": "x://1" }]);
        for (method, page) in [
            ("tools/list", list("tools", tools)),
            ("resources/list", list("resources", resources)),
            ("resources/templates/list", list("resourceTemplates", json!([]))),
        ] {
            world.upstreams[0].lists(method, &[&page]);
        }
        let peer = world.stranger();
        let mut story = Self {
            world,
            peer,
            client,
            server,
            to_client: Witness::new(Side::Server),
            to_server: Witness::new(Side::Client),
            seen: BTreeSet::new(),
            told: Vec::new(),
            next: 0,
        };
        story.greet(&capabilities);
        story.world.ready(0, 1);
        story.settle();
        story
    }

    /// Opens the sessions that there are.
    fn greet(&mut self, capabilities: &Value) {
        if !is_modern(self.server) {
            let params = json!({
                "protocolVersion": self.server.as_str(), "capabilities": {},
                "clientInfo": { "name": "t", "version": "1" },
            });
            let hello =
                json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
            self.to_server.hear(Side::Client, hello.to_string().as_bytes());
            let result = json!({
                "protocolVersion": self.server.as_str(), "capabilities": capabilities,
                "serverInfo": { "name": "s", "version": "1" },
            });
            let answer = json!({ "jsonrpc": "2.0", "id": 0, "result": result });
            self.to_server.hear(Side::Server, answer.to_string().as_bytes());
        }
        if !is_modern(self.client) {
            let going = self.asks(
                "initialize",
                &json!({
                    "protocolVersion": self.client.as_str(), "capabilities": { "roots": {} },
                    "clientInfo": { "name": "t", "version": "1" },
                }),
            );
            self.client_hears(&going.text());
            self.says(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        }
    }

    fn asks(&mut self, method: &str, params: &Value) -> Going {
        self.next += 1;
        let id = self.next;
        let mut request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        if is_modern(self.client) {
            let meta: Value =
                serde_json::from_str(&format!("{{{}}}", modern::meta(CLIENT, ""))).unwrap();
            for (name, value) in meta["_meta"].as_object().unwrap() {
                request["params"]["_meta"][name] = value.clone();
            }
        }
        let text = request.to_string();
        self.to_client.hear(Side::Client, text.as_bytes());
        self.world.ask(&self.peer, &text)
    }

    /// The client says something that is no request.
    fn says(&mut self, message: &Value) {
        let text = message.to_string();
        self.to_client.hear(Side::Client, text.as_bytes());
        self.world.tell(&self.peer, &text);
    }

    /// The server says something by itself, on its streams if it has some.
    fn server_says(&mut self, method: &str, params: &Value) {
        let mut message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        if is_modern(self.server) && method != "notifications/progress" {
            let calls = self.world.upstreams[0].calls();
            let calls = calls.iter().map(|call| serde_json::from_str::<Value>(call).unwrap());
            let mut listens = calls.filter(|call| call["method"] == "subscriptions/listen");
            let Some(listen) = listens.next_back() else { panic!("{method} has no stream") };
            message["params"]["_meta"][SUBSCRIPTION] = listen["id"].clone();
        }
        self.world_says(&message);
    }

    fn world_says(&mut self, message: &Value) {
        let text = message.to_string();
        self.to_server.hear(Side::Server, text.as_bytes());
        self.world.says(0, &text);
    }

    /// Lets time go by, and judges what was said meanwhile; streams are acknowledged.
    fn settle(&mut self) {
        for _ in 0..4 {
            self.world.run();
            for text in self.peer.client.take() {
                self.client_hears(&text);
            }
            for text in sent(&self.world) {
                self.upstream_hears(&text);
            }
            for text in self.world.upstreams[0].calls() {
                let call: Value = serde_json::from_str(&text).unwrap();
                if !self.seen.insert(call["id"].to_string()) {
                    continue;
                }
                self.upstream_hears(&text);
                if call["method"] == "subscriptions/listen" {
                    let wanted = call["params"]["notifications"].clone();
                    let params = json!({ "notifications": wanted });
                    self.server_says("notifications/subscriptions/acknowledged", &params);
                }
            }
            self.world.clock.wake_after(std::time::Duration::from_secs(1));
        }
    }

    /// The open call of a client, as the server has it.
    fn open(&self, method: &str) -> Value {
        let calls = self.world.upstreams[0].calls();
        let mut calls = calls.iter().map(|call| serde_json::from_str::<Value>(call).unwrap());
        calls.find(|call| call["method"] == method).unwrap_or_else(|| panic!("no {method}"))
    }

    /// The server answers the oldest open call of a method with nothing.
    fn answers(&mut self, method: &str, result: &Value) {
        let id = self.open(method)["id"].clone();
        let answer = json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string();
        self.to_server.hear(Side::Server, answer.as_bytes());
        self.world.upstreams[0].responds_to(method, &answer);
        self.settle();
    }

    /// How often the client was told something.
    fn times(&self, method: &str) -> usize {
        self.told.iter().filter(|told| *told == method).count()
    }

    fn client_hears(&mut self, text: &str) {
        let complaints = self.to_client.hear(Side::Server, text.as_bytes());
        assert!(
            complaints.is_empty(),
            "{} to {}: {text}: {complaints:?}",
            self.server,
            self.client
        );
        let message: Value = serde_json::from_str(text).unwrap();
        self.told.extend(message["method"].as_str().map(str::to_owned));
    }

    fn upstream_hears(&mut self, text: &str) {
        let complaints = self.to_server.hear(Side::Client, text.as_bytes());
        assert!(
            complaints.is_empty(),
            "{} to {}: {text}: {complaints:?}",
            self.client,
            self.server
        );
    }

    /// The client wants to hear of a resource and of tools; the answer of who listens comes at the end.
    fn subscribes(&mut self) -> Option<Going> {
        if is_modern(self.client) {
            let filter = json!({ "toolsListChanged": true, "resourceSubscriptions": ["x://1"] });
            let going = self.asks("subscriptions/listen", &json!({ "notifications": filter }));
            self.settle();
            assert_eq!(self.times("notifications/subscriptions/acknowledged"), 1);
            return Some(going);
        }
        let going = self.asks("resources/subscribe", &json!({ "uri": "x://1" }));
        self.settle();
        if !is_modern(self.server) {
            self.answers("resources/subscribe", &json!({}));
        }
        self.client_hears(&going.text());
        None
    }

    /// A call that has progress, and that its client then no longer wants.
    fn cancels(&mut self) {
        let mut params = json!({ "name": "one", "arguments": {} });
        params["_meta"]["progressToken"] = json!("t");
        let going = self.asks("tools/call", &params);
        self.settle();
        let id = self.open("tools/call")["id"].clone();
        let progress = json!({ "progressToken": id, "progress": 1 });
        self.server_says("notifications/progress", &progress);
        self.settle();
        assert_eq!(self.times("notifications/progress"), 1);
        let params = json!({ "requestId": self.next, "reason": "enough" });
        self.says(
            &json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params }),
        );
        self.settle();
        assert_eq!(going.answer(), None);
        // Late, and all the same a message of its revision.
        let complete = json!({ "content": [], "resultType": "complete" });
        self.world_says(&json!({ "jsonrpc": "2.0", "id": id, "result": complete }));
    }

    /// A session's server asks, and takes it back.
    fn takes_back(&mut self) {
        let going = self.asks("tools/call", &json!({ "name": "one", "arguments": {} }));
        self.settle();
        self.world_says(&json!({ "jsonrpc": "2.0", "id": "q", "method": "roots/list" }));
        let params = json!({ "requestId": "q", "reason": "never mind" });
        self.world_says(
            &json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params }),
        );
        self.settle();
        let is_asked = usize::from(!is_modern(self.client));
        assert_eq!(self.times("roots/list"), is_asked);
        assert_eq!(self.times("notifications/cancelled"), is_asked);
        self.answers("tools/call", &json!({ "content": [] }));
        self.client_hears(&going.text());
    }
}

#[test]
fn whatever_is_said_unasked_is_of_its_readers_revision() {
    for client in Version::ALL {
        for server in Version::ALL {
            let mut story = Story::begin(client, server);
            let listening = story.subscribes();
            story.server_says("notifications/resources/updated", &json!({ "uri": "x://1/part" }));
            story.server_says("notifications/tools/list_changed", &json!({}));
            story.settle();
            assert_eq!(story.times("notifications/resources/updated"), 1, "{client} {server}");
            assert_ne!(story.times("notifications/tools/list_changed"), 0, "{client} {server}");
            story.cancels();
            if !is_modern(server) {
                story.takes_back();
            }
            // Another life is told what is wanted, and who subscribed that it may have changed.
            story.world.down(0, Health::Recovering);
            while !story.world.upstreams[0].calls().is_empty() {
                story.world.upstreams[0].ends(Err(died()));
            }
            story.world.ready(0, 2);
            story.settle();
            assert_eq!(story.times("notifications/resources/updated"), 2, "{client} {server}");
            if listening.is_none() {
                let going = story.asks("resources/unsubscribe", &json!({ "uri": "x://1" }));
                story.settle();
                if !is_modern(server) {
                    story.answers("resources/unsubscribe", &json!({}));
                }
                story.client_hears(&going.text());
            }
            story.peer.session.drain();
            story.settle();
            if let Some(going) = listening {
                story.client_hears(&going.text());
            }
        }
    }
}
