//! Clients of both eras on one pipe, in front of servers of either.

use crate::{client::text, gateway::Setup, stdio::StdioClient};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";
const SERVER: &str = "io.modelcontextprotocol/serverInfo";

const URI: &str = "fake://note/1";

fn client(era: &str) -> StdioClient {
    let setup =
        Setup::new("").server("one", &["--era", era, "--resources", "--prompts", "--tools", "1"]);
    let mut client = StdioClient::start(&setup, &[]);
    client.call("pid", &json!({}));
    client
}

/// The parameters of a stateless request.
fn stateless(mut params: Value) -> Value {
    params["_meta"][VERSION] = json!("2026-07-28");
    params["_meta"][CAPABILITIES] = json!({});
    params
}

/// The result of a stateless request, which says so itself.
#[track_caller]
fn ask(client: &mut StdioClient, method: &str, params: Value) -> Value {
    let mut answer = client.request(method, &stateless(params));
    let result = answer["result"].take();
    assert_eq!(result["resultType"], "complete", "{method}: {answer}");
    assert!(result["_meta"][SERVER]["name"].is_string(), "{method}: {result}");
    result
}

/// What both eras can ask, with a member of the answer as a pointer and what stands there.
fn questions() -> [(&'static str, Value, &'static str, Value); 7] {
    let echo = json!({ "name": "extra_1", "arguments": { "n": 1.5 } });
    let argument = json!({ "name": "who", "value": "a" });
    let reference = json!({ "type": "ref/prompt", "name": "greet_1" });
    let complete = json!({ "ref": reference, "argument": argument });
    let greet = json!({ "name": "greet_1", "arguments": { "who": "Ada" } });
    [
        ("tools/call", echo, "/content/0/text", json!(r#"{"n":1.5}"#)),
        ("resources/read", json!({ "uri": URI }), "/contents/0/text", json!("note 1")),
        ("prompts/get", greet, "/messages/0/content/text", json!("Say hello to Ada.")),
        ("completion/complete", complete, "/completion/values/0", json!("aada")),
        ("prompts/list", json!({}), "/prompts/0/name", json!("greet_1")),
        ("resources/list", json!({}), "/resources/0/uri", json!(URI)),
        ("resources/templates/list", json!({}), "/resourceTemplates/0/name", json!("note")),
    ]
}

#[test]
fn each_era_asks_each_era_on_one_pipe() {
    for era in ["legacy", "modern"] {
        let mut client = client(era);
        for (method, params, pointer, expect) in questions() {
            let answer = client.request(method, &params);
            assert_eq!(
                answer["result"].pointer(pointer),
                Some(&expect),
                "{era} {method}: {answer}"
            );
            assert!(answer["result"].get("resultType").is_none(), "{era} {method}: {answer}");
            let result = ask(&mut client, method, params);
            assert_eq!(result.pointer(pointer), Some(&expect), "{era} {method}: {result}");
            if method == "resources/read" || method.ends_with("list") {
                assert!(result["ttlMs"].is_u64(), "{era} {method}: {result}");
                assert!(result["cacheScope"].is_string(), "{era} {method}: {result}");
            }
        }
        let found = ask(&mut client, "server/discover", json!({}));
        assert_eq!(found["supportedVersions"], json!(["2026-07-28"]));
        assert_eq!(found["capabilities"]["resources"]["subscribe"], true, "{found}");
        let missing = client.request("resources/read", &stateless(json!({ "uri": "fake://x" })));
        assert_eq!(missing["error"]["code"], -32602, "{era}: {missing}");
        let gone = client.request("ping", &stateless(json!({})));
        assert_eq!(gone["error"]["code"], -32601, "{era}: {gone}");
        client.leave();
        assert_eq!(client.gateway.ended().code(), Some(0));
    }
}

#[test]
fn progress_comes_under_the_token_of_who_asked() {
    for era in ["legacy", "modern"] {
        let mut client = client(era);
        let call = json!({ "name": "progress", "arguments": { "steps": 2 }, "_meta": { "progressToken": "t" } });
        for params in [call.clone(), stateless(call)] {
            let id = client.begin("tools/call", &params);
            for step in [1, 2] {
                let told = client.notification();
                assert_eq!(told["method"], "notifications/progress", "{era}: {told}");
                assert_eq!(told["params"]["progressToken"], "t");
                assert_eq!(told["params"]["progress"], step);
            }
            assert_eq!(text(&client.answer(id)["result"]), "2 steps");
        }
    }
}

/// The next notification with this method; others before it are passed over.
#[track_caller]
fn told(client: &StdioClient, method: &str) -> Value {
    (0..50).map(|_| client.notification()).find(|told| told["method"] == method).unwrap()
}

fn touch(client: &mut StdioClient) {
    client.begin("tools/call", &json!({ "name": "touch", "arguments": { "uri": URI } }));
}

const UPDATED: &str = "notifications/resources/updated";

#[test]
fn changes_reach_sessions_and_listeners_whatever_the_era_of_who_tells_them() {
    for era in ["legacy", "modern"] {
        let mut client = client(era);
        let filter = json!({ "toolsListChanged": true, "resourceSubscriptions": [URI] });
        let id =
            client.begin("subscriptions/listen", &stateless(json!({ "notifications": filter })));
        let first = told(&client, "notifications/subscriptions/acknowledged");
        assert_eq!(first["params"]["_meta"][SUBSCRIPTION], id, "{era}: {first}");
        assert_eq!(first["params"]["notifications"]["resourceSubscriptions"], json!([URI]));
        hears(&mut client, id);
        client.call("grow", &json!({}));
        let grown = (0..50)
            .map(|_| told(&client, "notifications/tools/list_changed"))
            .find(|told| !told["params"].is_null())
            .unwrap();
        assert_eq!(grown["params"]["_meta"][SUBSCRIPTION], id, "{era}: {grown}");
        // The next life is told, and tells again.
        let pid: i32 = text(&client.call("pid", &json!({}))).parse().unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        client.gateway.wait_event("one", "upstream died");
        hears(&mut client, id);
        client.leave();
        assert_eq!(client.gateway.ended().code(), Some(0));
    }
}

/// Touches the resource until the listener hears of it: the upstream may not know of it yet.
#[track_caller]
fn hears(client: &mut StdioClient, id: u64) {
    let heard = (0..500).find_map(|_| {
        touch(client);
        let next = client.next();
        (next["method"] == UPDATED).then_some(next)
    });
    let heard = heard.expect("the listener hears of it");
    assert_eq!(heard["params"]["_meta"][SUBSCRIPTION], id, "{heard}");
    assert_eq!(heard["params"]["uri"], URI);
}
