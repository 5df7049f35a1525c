//! Tasks of servers that say of them whatever their revision allows: clients are told only what
//! theirs knows, and so are the servers.

use crate::{
    fake::raw,
    modern,
    world::{Going, Peer, World},
};
use mcplex_proto::{
    downstream::{Principal, Stay},
    edit,
    raw::string,
    version::{Era, Version},
};
use mcplex_schema::{generate::Generator, judge::Side, witness::Witness};
use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeSet;

const BOTH: [Version; 2] = [Version::V2025_11_25, Version::V2026_07_28];
const SERVER: &str = r#"{"tools":{},"tasks":{"requests":{"tools":{"call":{}}}},"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;
const CLIENT: &str = r#"{"sampling":{"tools":{},"context":{}},"elicitation":{"form":{},"url":{}},"roots":{},"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;

/// Requests at the upstream that one of the client may need; after so many its task is done.
const STEPS: usize = 12;

fn draws() -> impl Strategy<Value = Vec<u16>> {
    prop::collection::vec(any::<u16>(), 0..1200)
}

proptest! {
    #[test]
    fn tasks_are_of_their_readers_revision(
        draws in draws(), client in prop::sample::select(&BOTH[..]),
        server in prop::sample::select(&BOTH[..]),
    ) {
        tell(client, server, &draws)?;
    }
}

#[test]
fn every_two_revisions_get_along_about_tasks() {
    let draws: Vec<u16> =
        (0..1200_u32).map(|at| u16::try_from(at * at % 65_521).unwrap()).collect();
    for client in BOTH {
        for server in BOTH {
            for draws in [&[][..], &draws[..], &draws[7..]] {
                tell(client, server, draws).unwrap();
            }
        }
    }
}

/// The life of a task, from its call to its end.
fn tell(client: Version, server: Version, draws: &[u16]) -> Result<(), TestCaseError> {
    let mut story = Story::begin(client, server, draws)?;
    let call = match client.era() {
        Era::Legacy => r#","name":"echo","task":{"ttl":7}"#,
        Era::Modern => r#","name":"echo""#,
    };
    let made = story.asks("tools/call", call)?;
    let id = match client.era() {
        Era::Legacy => made["result"]["task"]["taskId"].clone(),
        Era::Modern => made["result"]["taskId"].clone(),
    };
    prop_assert!(id.is_string(), "{made}");
    let named = format!(r#","taskId":{id}"#);
    let answers = format!(r#"{named},"inputResponses":{{"k":{{"action":"cancel"}}}}"#);
    let methods: &[&str] = match client.era() {
        Era::Legacy => &["tasks/get", "tasks/list", "tasks/result", "tasks/cancel", "tasks/get"],
        Era::Modern => &["tasks/get", "tasks/update", "tasks/get", "tasks/cancel"],
    };
    if client.era() == Era::Modern {
        let filter = format!(r#","notifications":{{"taskIds":[{id}]}}"#);
        story.begins("subscriptions/listen", &filter);
    }
    for method in methods {
        story.news()?;
        let members = if *method == "tasks/update" { &answers } else { &named };
        story.asks(method, members)?;
    }
    Ok(())
}

struct Story<'a> {
    world: World,
    peer: Peer,
    client: Version,
    server: Version,
    make: Generator<'a>,
    /// What the client answers.
    reply: Generator<'a>,
    to_client: Witness,
    to_server: Witness,
    /// Calls that the upstream has looked at.
    seen: BTreeSet<String>,
    last: u32,
}

impl<'a> Story<'a> {
    fn begin(client: Version, server: Version, draws: &'a [u16]) -> Result<Self, TestCaseError> {
        let mut world = World::new(&["a"]);
        world.upstreams[0].introduces(SERVER, None);
        world.upstreams[0].speaks(server);
        let tools = r#"{"tools":[{"name":"echo","inputSchema":{"type":"object"},"execution":{"taskSupport":"optional"}}],"resultType":"complete","ttlMs":7,"cacheScope":"public"}"#;
        world.upstreams[0].lists("tools/list", &[tools]);
        world.ready(0, 1);
        let peer = world.opens(Principal::Known("ann".into()), Stay::Long);
        let (make, reply) = (Generator::new(server, draws), Generator::new(client, draws));
        let (to_client, to_server) = (Witness::new(Side::Server), Witness::new(Side::Client));
        let (seen, last) = (BTreeSet::new(), 0);
        let mut story =
            Self { world, peer, client, server, make, reply, to_client, to_server, seen, last };
        let hello = |version: Version, id: &str| {
            format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"initialize","params":{{"protocolVersion":"{version}","capabilities":{CLIENT},"clientInfo":{{"name":"t","version":"1"}}}}}}"#
            )
        };
        if server.era() == Era::Legacy {
            story.to_server.hear(Side::Client, hello(server, "0").as_bytes());
            let greeting = format!(
                r#"{{"jsonrpc":"2.0","id":0,"result":{{"protocolVersion":"{server}","capabilities":{SERVER},"serverInfo":{{"name":"s","version":"1"}}}}}}"#
            );
            story.to_server.hear(Side::Server, greeting.as_bytes());
        }
        if client.era() == Era::Legacy {
            let hello = hello(client, "0");
            story.to_client.hear(Side::Client, hello.as_bytes());
            let going = story.world.ask(&story.peer, &hello);
            story.client_hears(&going.text())?;
            let ready = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
            story.world.tell(&story.peer, ready);
        }
        Ok(story)
    }

    fn begins(&mut self, method: &str, members: &str) -> Going {
        self.last += 1;
        let meta = match self.client.era() {
            Era::Modern => modern::meta(CLIENT, r#","progressToken":"t""#),
            Era::Legacy => r#""_meta":{"progressToken":"t"}"#.to_owned(),
        };
        let request = format!(
            r#"{{"jsonrpc":"2.0","id":{},"method":"{method}","params":{{{meta}{members}}}}}"#,
            self.last
        );
        self.to_client.hear(Side::Client, request.as_bytes());
        self.world.ask(&self.peer, &request)
    }

    /// Asks, and has the upstream say what it needs for the answer.
    fn asks(&mut self, method: &str, members: &str) -> Result<Value, TestCaseError> {
        let going = self.begins(method, members);
        for step in 0..STEPS * 3 {
            self.overheard()?;
            if going.is_done() {
                let text = going.text();
                self.client_hears(&text)?;
                return Ok(serde_json::from_str(&tame(&text)).unwrap());
            }
            self.serve(step > STEPS)?;
            self.overheard()?;
            self.world.clock.wake();
            self.world.run();
        }
        let open = self.world.upstreams[0].calls();
        prop_assert!(false, "{method} was never answered: {open:?}");
        Ok(Value::Null)
    }

    /// The upstream answers one open call.
    fn serve(&mut self, is_done: bool) -> Result<(), TestCaseError> {
        let calls = self.world.upstreams[0].calls();
        for call in &calls {
            if self.seen.insert(call.clone()) {
                self.upstream_hears(call)?;
            }
        }
        let method =
            |call: &String| edit::member(call, "method").and_then(string).unwrap().into_owned();
        let open = calls.iter().find(|call| method(call) != "subscriptions/listen");
        let Some(call) = open else { return Ok(()) };
        let id = edit::member(call, "id").unwrap().get().to_owned();
        let method = method(call);
        let result = self.result(&method, is_done);
        let answer = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
        self.to_server.hear(Side::Server, tame(&answer).as_bytes());
        self.world.upstreams[0].responds_to(&method, &answer);
        self.world.run();
        Ok(())
    }

    fn result(&mut self, method: &str, is_done: bool) -> String {
        let is_modern = self.server.era() == Era::Modern;
        let own = ("taskId", "\"t-1\"");
        let named = |text: String| edit::with_members(&raw(&text), &[own]).to_string();
        match method {
            "tools/call" if is_modern => named(self.make.value("CreateTaskResult")),
            "tools/call" => {
                let made = raw(&self.make.value("CreateTaskResult"));
                let task = named(edit::member(made.as_str(), "task").unwrap().get().to_owned());
                edit::with_members(&made, &[("task", &task)]).to_string()
            }
            "tasks/result" => self.make.value("CallToolResult"),
            "tasks/get" => {
                let got = raw(&named(self.make.value("GetTaskResult")));
                let result = self.make.value("CallToolResult");
                let is_over = got.as_str().contains(r#""status":"completed""#);
                let mut more = Vec::new();
                if is_done {
                    more.push(("status", "\"completed\""));
                }
                if is_modern && (is_done || is_over) {
                    more.push(("result", &*result));
                }
                edit::with_members(&got, &more).to_string()
            }
            "tasks/cancel" if !is_modern => named(self.make.value("CancelTaskResult")),
            _ => r#"{"resultType":"complete"}"#.to_owned(),
        }
    }

    /// The upstream tells how its task is.
    fn news(&mut self) -> Result<(), TestCaseError> {
        let note = raw(&self.make.value("TaskStatusNotification"));
        let params = edit::member(note.as_str(), "params").unwrap().get().to_owned();
        // It came on the stream that is listened to, or on none.
        let params = edit::with_members(&raw(&params), &[("taskId", "\"t-1\""), ("_meta", "{}")]);
        self.world.says(0, edit::with_members(&note, &[("params", params.as_str())]).as_str());
        self.overheard()
    }

    /// Whatever mcplex said by itself, to either; what it asks is answered.
    fn overheard(&mut self) -> Result<(), TestCaseError> {
        for text in self.peer.client.take() {
            self.client_hears(&text)?;
            let asked = edit::member(&text, "id").map(|id| id.get().to_owned());
            let method = edit::member(&text, "method").and_then(string).unwrap_or_default();
            let definition = match &*method {
                "elicitation/create" => "ElicitResult",
                "sampling/createMessage" => "CreateMessageResult",
                "roots/list" => "ListRootsResult",
                _ => continue,
            };
            let Some(id) = asked else { continue };
            let result = self.reply.value(definition);
            let answer = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
            self.to_client.hear(Side::Client, tame(&answer).as_bytes());
            self.world.tell(&self.peer, &answer);
        }
        for text in self.world.upstreams[0].take_sent() {
            self.upstream_hears(&text)?;
        }
        Ok(())
    }

    fn client_hears(&mut self, text: &str) -> Result<(), TestCaseError> {
        let complaints = self.to_client.hear(Side::Server, tame(text).as_bytes());
        prop_assert!(complaints.is_empty(), "a client was told {text}: {complaints:?}");
        Ok(())
    }

    fn upstream_hears(&mut self, text: &str) -> Result<(), TestCaseError> {
        let complaints = self.to_server.hear(Side::Client, tame(text).as_bytes());
        prop_assert!(complaints.is_empty(), "a server was told {text}: {complaints:?}");
        Ok(())
    }
}

/// No parser of ours holds numbers as large as that one.
fn tame(text: &str) -> String {
    text.replace("1e400", "1e300")
}
