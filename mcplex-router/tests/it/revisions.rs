//! Peers of any two revisions that say whatever theirs allows: each is told only what its own one
//! knows, and what nobody knows comes through as it was written.

use crate::{
    fake::raw,
    modern,
    world::{Going, Peer, World},
};
use mcplex_proto::{
    edit,
    raw::string,
    version::{Era, Version},
};
use mcplex_schema::{generate::Generator, judge::Side, revision::Revision, witness::Witness};
use proptest::prelude::*;
use std::time::Duration;

const SERVER: &str = r#"{"tools":{},"prompts":{},"resources":{},"completions":{},"logging":{}}"#;
const CLIENT: &str =
    r#"{"sampling":{"tools":{},"context":{}},"elicitation":{"form":{},"url":{}},"roots":{}}"#;

/// The lists of a server: the method, the member, the definition of an item, and what it is known by.
const LISTS: [(&str, &str, &str, (&str, &str)); 4] = [
    ("tools/list", "tools", "Tool", ("name", "\"echo\"")),
    ("prompts/list", "prompts", "Prompt", ("name", "\"ask\"")),
    ("resources/list", "resources", "Resource", ("uri", "\"x://1\"")),
    (
        "resources/templates/list",
        "resourceTemplates",
        "ResourceTemplate",
        ("uriTemplate", "\"t://{a}\""),
    ),
];

/// The calls of a client: the method, its parameters, and the definition of the result.
const CALLS: [(&str, &str, &str); 4] = [
    ("tools/call", r#","name":"echo","arguments":ODD"#, "CallToolResult"),
    ("prompts/get", r#","name":"ask","y":ODD"#, "GetPromptResult"),
    ("resources/read", r#","uri":"x://1","y":ODD"#, "ReadResourceResult"),
    (
        "completion/complete",
        r#","ref":{"type":"ref/prompt","name":"ask"},"argument":{"name":"a","value":"b","y":ODD}"#,
        "CompleteResult",
    ),
];

/// What a server asks.
const QUESTIONS: [&str; 3] = ["elicitation/create", "sampling/createMessage", "roots/list"];

/// How often a call may go back and forth before it is answered.
const ROUNDS: usize = 4;

/// What the arguments of a call may be, and what else may stand in its parameters.
const ODD: &str =
    r#"{"b":1.50,"a":1e400,"n":null,"m":12345678901234567890123,"\u00fc":{ "z":[ ] }}"#;

fn draws() -> impl Strategy<Value = Vec<u16>> {
    prop::collection::vec(any::<u16>(), 0..1200)
}

fn version() -> impl Strategy<Value = Version> {
    prop::sample::select(Version::ALL.to_vec())
}

proptest! {
    #[test]
    fn every_message_is_one_of_its_readers_revision(
        draws in draws(), client in version(), server in version(),
    ) {
        Story::begin(client, server, &draws)?.tell()?;
    }
}

proptest! {
    #[test]
    fn questions_and_answers_are_of_their_readers_revision(
        draws in draws(), client in version(), server in version(), which in 0..3_usize,
    ) {
        Story::begin(client, server, &draws)?.ask(QUESTIONS[which], &draws)?;
    }
}

/// Every two revisions at least once, however chance would have it.
#[test]
fn every_two_revisions_get_along() {
    let draws: Vec<u16> =
        (0..1200_u32).map(|at| u16::try_from(at * at % 65_521).unwrap()).collect();
    for client in Version::ALL {
        for server in Version::ALL {
            for simple in [&[][..], &draws[..]] {
                Story::begin(client, server, simple).and_then(Story::tell).unwrap();
                for method in QUESTIONS {
                    let story = Story::begin(client, server, simple);
                    let was_asked = story.and_then(|story| story.ask(method, simple)).unwrap();
                    // All of them know roots.
                    assert!(was_asked || method != "roots/list", "{client} {server}");
                }
            }
        }
    }
}

/// One client, one server, and who listens to what mcplex says to either.
struct Story<'a> {
    world: World,
    peer: Peer,
    client: Version,
    server: Version,
    make: Generator<'a>,
    to_client: Witness,
    to_server: Witness,
}

impl<'a> Story<'a> {
    fn begin(client: Version, server: Version, draws: &'a [u16]) -> Result<Self, TestCaseError> {
        let mut make = Generator::new(server, draws);
        let mut world = World::new(&["a"]);
        world.upstreams[0].introduces(SERVER, None);
        world.upstreams[0].speaks(server);
        for (method, member, definition, key) in LISTS {
            let item = edit::with_members(&raw(&make.value(definition)), &[key]);
            let hints = match server.era() {
                Era::Legacy => "",
                Era::Modern => r#","resultType":"complete","ttlMs":7,"cacheScope":"public""#,
            };
            world.upstreams[0].lists(method, &[&format!(r#"{{"{member}":[{item}]{hints}}}"#)]);
        }
        world.ready(0, 1);
        let peer = world.stranger();
        let to_client = Witness::new(Side::Server);
        let to_server = Witness::new(Side::Client);
        let mut story = Self { world, peer, client, server, make, to_client, to_server };
        story.greet()?;
        Ok(story)
    }

    /// Opens the sessions that there are.
    fn greet(&mut self) -> Result<(), TestCaseError> {
        let hello = |version: Version| {
            format!(
                r#"{{"jsonrpc":"2.0","id":"hello","method":"initialize","params":{{"protocolVersion":"{version}","capabilities":{CLIENT},"clientInfo":{{"name":"t","version":"1"}}}}}}"#
            )
        };
        if self.server.era() == Era::Legacy {
            self.upstream_hears(&hello(self.server))?;
            let answer = format!(
                r#"{{"jsonrpc":"2.0","id":"hello","result":{{"protocolVersion":"{}","capabilities":{SERVER},"serverInfo":{{"name":"s","version":"1"}}}}}}"#,
                self.server
            );
            self.to_server.hear(Side::Server, answer.as_bytes());
        }
        if self.client.era() == Era::Legacy {
            let going = self.asks(&hello(self.client));
            self.client_hears(&going.text())?;
            self.world
                .tell(&self.peer, r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        }
        self.overheard()
    }

    fn tell(mut self) -> Result<(), TestCaseError> {
        for (method, ..) in LISTS {
            let request = self.request(method, "");
            let going = self.asks(&request);
            self.overheard()?;
            self.client_hears(&going.text())?;
        }
        for call in CALLS {
            self.call(call)?;
        }
        self.refusals()?;
        if self.client.era() == Era::Legacy {
            let level = r#"{"jsonrpc":"2.0","id":"level","method":"logging/setLevel","params":{"level":"info"}}"#;
            let going = self.asks(level);
            self.overheard()?;
            self.client_hears(&going.text())?;
        }
        Ok(())
    }

    fn call(&mut self, call: (&str, &str, &str)) -> Result<(), TestCaseError> {
        let (method, members, definition) = call;
        let members = members.replace("ODD", ODD);
        // Revisions differ in what completions are about; the rest of the members is the same.
        let request = self.request(method, &members);
        let going = self.asks(&request);
        let id = self.taken(&request)?;
        let notes = ["LoggingMessageNotification", "ProgressNotification"];
        for note in notes.map(|definition| self.make.value(definition)) {
            let note = match self.server < Version::V2025_11_25 {
                true => edit::with_members(&raw(&note), &[("jsonrpc", "\"2.0\"")]).to_string(),
                false => note,
            };
            self.world.says(
                0,
                &note.replace(r#""progressToken":7"#, &format!(r#""progressToken":{id}"#)),
            );
        }
        self.overheard()?;
        let result = self.make.value(definition);
        let answer = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
        self.to_server.hear(Side::Server, tame(&answer).as_bytes());
        self.world.upstreams[0].ends(Ok(&answer));
        self.world.run();
        self.overheard()?;
        let told = going.text();
        self.client_hears(&told)?;
        if self.client == self.server {
            prop_assert!(
                told.contains(&format!(r#""result":{result}}}"#)),
                "{result} became {told}"
            );
        }
        Ok(())
    }

    /// A call during which the server asks something, as its revision does that; whether the client
    /// was asked.
    fn ask(mut self, method: &str, draws: &[u16]) -> Result<bool, TestCaseError> {
        let Some(definition) = Revision::of(self.server).of_method(method) else {
            return Ok(false);
        };
        let request = self.request("tools/call", r#","name":"echo""#);
        let mut going = self.asks(&request);
        let mut open = self.open_call()?;
        let question = raw(&self.make.value(definition));
        match self.server.era() {
            Era::Modern => {
                let required = format!(
                    r#"{{"resultType":"input_required","inputRequests":{{"q":{question}}},"requestState":"s"}}"#
                );
                self.answers(&open.take().expect("the call came"), &required)?;
            }
            Era::Legacy => {
                let new = [("jsonrpc", "\"2.0\""), ("id", "77")];
                let question = edit::with_members(&question, &new);
                self.to_server.hear(Side::Server, tame(question.as_str()).as_bytes());
                self.world.says(0, question.as_str());
            }
        }
        let mut make = Generator::new(self.client, draws);
        let mut was_asked = false;
        for _ in 0..ROUNDS {
            // The moment in which questions are gathered.
            self.world.clock.wake_after(Duration::from_millis(50));
            self.world.run();
            for text in self.peer.client.take() {
                self.client_hears(&text)?;
                was_asked |= self.replies(&text, &mut make);
            }
            self.overheard()?;
            open = self.open_call()?.or(open);
            if !going.is_done() {
                continue;
            }
            let told = going.text();
            self.client_hears(&told)?;
            let Some(more) = retry(&told, &mut make) else { return Ok(was_asked) };
            was_asked = true;
            let request = self.request("tools/call", &format!(r#","name":"echo"{more}"#));
            going = self.asks(&request);
        }
        let result = self.make.value("CallToolResult");
        self.answers(&open.expect("the call is open until it is answered"), &result)?;
        self.overheard()?;
        self.client_hears(&going.text())?;
        Ok(was_asked)
    }

    /// The client's answer, if it was asked something.
    fn replies(&mut self, text: &str, make: &mut Generator<'_>) -> bool {
        let Some(id) = edit::member(text, "id").map(|id| id.get()) else { return false };
        let method = edit::member(text, "method").and_then(string).unwrap_or_default();
        let result = make.value(answer_of(&method));
        let answer = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
        self.to_client.hear(Side::Client, tame(&answer).as_bytes());
        self.world.tell(&self.peer, &answer);
        true
    }

    /// The server answers its oldest open call, which has this id.
    fn answers(&mut self, id: &str, result: &str) -> Result<(), TestCaseError> {
        let answer = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
        self.to_server.hear(Side::Server, tame(&answer).as_bytes());
        self.world.upstreams[0].ends(Ok(&answer));
        self.world.run();
        Ok(())
    }

    /// The id of a call that has come to the server and was not looked at.
    fn open_call(&mut self) -> Result<Option<String>, TestCaseError> {
        let calls = self.world.upstreams[0].calls();
        prop_assert!(calls.len() < 2, "{calls:?}");
        let Some(call) = calls.first() else { return Ok(None) };
        self.upstream_hears(call)?;
        Ok(edit::member(call, "id").map(|id| id.get().to_owned()))
    }

    /// The call that stands open at the upstream; its id there.
    fn taken(&mut self, request: &str) -> Result<String, TestCaseError> {
        let calls = self.world.upstreams[0].calls();
        prop_assert_eq!(calls.len(), 1, "{}", request);
        self.upstream_hears(&calls[0])?;
        prop_assert!(calls[0].contains(ODD), "{request} became {}", calls[0]);
        let id = edit::member(&calls[0], "id").unwrap().get().to_owned();
        Ok(id)
    }

    /// The server refuses a call with each code that means something somewhere.
    fn refusals(&mut self) -> Result<(), TestCaseError> {
        for code in [-32002, -32042, -32020, -32021, -32022, -32050, -32602, -32000, 7] {
            let request = self.request("resources/read", &format!(r#","uri":"x://1","y":{ODD}"#));
            let going = self.asks(&request);
            let id = self.taken(&request)?;
            let answer = format!(
                r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"no","data":{{"x":1.50}}}}}}"#
            );
            self.to_server.hear(Side::Server, answer.as_bytes());
            self.world.upstreams[0].ends(Ok(&answer));
            self.world.run();
            // A legacy server may mean anything by a code, and a legacy client is told what it said.
            if self.client.era() == Era::Modern || self.server.era() == Era::Modern {
                self.client_hears(&going.text())?;
            }
        }
        Ok(())
    }

    fn request(&self, method: &str, members: &str) -> String {
        let more = r#","v/x":{"b":1.50,"a":null}"#;
        let meta = match self.client.era() {
            Era::Modern => modern::meta(CLIENT, &format!(r#","progressToken":"t"{more}"#)),
            Era::Legacy => format!(r#""_meta":{{"progressToken":"t"{more}}}"#),
        };
        format!(r#"{{"jsonrpc":"2.0","id":"1","method":"{method}","params":{{{meta}{members}}}}}"#)
    }

    fn asks(&mut self, request: &str) -> Going {
        self.to_client.hear(Side::Client, tame(request).as_bytes());
        self.world.ask(&self.peer, request)
    }

    /// Whatever mcplex said by itself, to either.
    fn overheard(&mut self) -> Result<(), TestCaseError> {
        for text in self.peer.client.take() {
            self.client_hears(&text)?;
        }
        for text in sent(&self.world) {
            self.upstream_hears(&text)?;
        }
        Ok(())
    }

    fn client_hears(&mut self, text: &str) -> Result<(), TestCaseError> {
        let complaints = self.to_client.hear(Side::Server, tame(text).as_bytes());
        prop_assert!(
            complaints.is_empty(),
            "{} told a client: {text}: {complaints:?}",
            self.server
        );
        Ok(())
    }

    fn upstream_hears(&mut self, text: &str) -> Result<(), TestCaseError> {
        let complaints = self.to_server.hear(Side::Client, tame(text).as_bytes());
        prop_assert!(
            complaints.is_empty(),
            "{} told a server: {text}: {complaints:?}",
            self.client
        );
        Ok(())
    }
}

/// What the upstream was sent beside calls of clients.
pub(crate) fn sent(world: &World) -> Vec<String> {
    let reads = world.upstreams[0].take_reads();
    let reads = reads.iter().map(|read| {
        let (method, params) = read.split_at(read.find('{').unwrap_or(read.len()));
        let params = if params.is_empty() { "" } else { &*format!(r#","params":{params}"#) };
        format!(r#"{{"jsonrpc":"2.0","id":"read","method":"{method}"{params}}}"#)
    });
    reads.chain(world.upstreams[0].take_sent()).collect()
}

/// What the client sends along when it was told that more is needed.
fn retry(told: &str, make: &mut Generator<'_>) -> Option<String> {
    let result = edit::member(told, "result")?.get();
    let asked = edit::members(edit::member(result, "inputRequests")?.get())?;
    let answers: Vec<_> = asked
        .iter()
        .map(|(key, question)| {
            let method = edit::member(question.get(), "method").and_then(string);
            (&**key, make.value(answer_of(&method.unwrap_or_default())))
        })
        .collect();
    let answers = edit::object(answers.iter().map(|(key, answer)| (*key, &**answer)));
    let state = edit::member(result, "requestState");
    let state = state.map(|state| format!(r#","requestState":{}"#, state.get()));
    Some(format!(r#","inputResponses":{answers}{}"#, state.unwrap_or_default()))
}

fn answer_of(method: &str) -> &'static str {
    match method {
        "elicitation/create" => "ElicitResult",
        "sampling/createMessage" => "CreateMessageResult",
        _ => "ListRootsResult",
    }
}

/// No parser of ours holds numbers as large as that one.
fn tame(text: &str) -> String {
    text.replace("1e400", "1e300")
}

#[test]
fn the_story_knows_the_names_of_every_revision() {
    for version in Version::ALL {
        for name in ["LoggingMessageNotification", "ProgressNotification", "Tool"] {
            assert!(Revision::of(version).has(name), "{version} {name}");
        }
    }
}
