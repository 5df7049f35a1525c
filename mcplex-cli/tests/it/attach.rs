//! Several `mcplex stdio` of one configuration share one set of servers.

use crate::{
    census,
    client::text,
    gateway::Setup,
    stateless::{subscription, with_envelope},
    stdio::StdioClient,
    verbs::{files, ok, run_folder},
};
use mcplex_proto::{error, upstream::UNAVAILABLE_META};
use rustix::process::Signal;
use serde_json::{Value, json};

/// The configuration that others are to attach to, with a log of every start.
fn setup(name: &str) -> Setup {
    let setup = Setup::new("");
    let spawns = setup.path("spawns");
    setup.server(name, &["--spawn-log", &spawns, "--grandchild"])
}

fn sum(client: &mut StdioClient) {
    assert_eq!(text(&client.call("add", &json!({ "a": 1, "b": 2 }))), "3");
}

fn attached(setup: &Setup) -> Value {
    let all: Value = serde_json::from_str(&ok(setup, &["status", "--json"])).unwrap();
    all["instance"]["attached"].clone()
}

#[test]
fn five_clients_share_one_set_of_servers_until_the_last_has_left() {
    let setup = setup("files");
    let mut first = StdioClient::start(&setup, &[]);
    sum(&mut first);
    let mut others: Vec<_> = (0..4).map(|_| StdioClient::start(&setup, &[])).collect();
    for client in &mut others {
        sum(client);
        assert_eq!(census::descendants(client.gateway.pid()), []);
    }
    assert_eq!(setup.lines("spawns").len(), 1);
    assert_eq!(attached(&setup), 4);
    // The one that runs the servers stays for the others.
    first.leave();
    first.gateway.wait_for("staying until they have left");
    for client in &mut others {
        sum(client);
    }
    let family = census::descendants(first.gateway.pid());
    let watch = census::Watch::of(family.into_iter().map(|one| one.pid));
    while let Some(mut client) = others.pop() {
        client.leave();
        assert_eq!(client.gateway.ended().code(), Some(0));
        for client in &mut others {
            sum(client);
        }
    }
    assert_eq!(first.gateway.ended().code(), Some(0));
    assert_eq!(watch.left_after(crate::gateway::PATIENCE), Vec::<u32>::new());
    assert_eq!(setup.lines("spawns").len(), 1);
    assert_eq!(files(&run_folder(&setup)), Vec::<String>::new());
}

#[test]
fn those_that_start_together_agree_on_one_set() {
    let setup = setup("files");
    setup.write();
    let mut clients: Vec<_> = std::thread::scope(|scope| {
        let starting: Vec<_> =
            (0..5).map(|_| scope.spawn(|| StdioClient::start(&setup, &[]))).collect();
        starting.into_iter().map(|one| one.join().unwrap()).collect()
    });
    for client in &mut clients {
        sum(client);
    }
    // They leave in any order, also the one that runs the servers.
    for client in &mut clients {
        client.leave();
    }
    for client in &mut clients {
        assert_eq!(client.gateway.ended().code(), Some(0));
    }
    assert_eq!(setup.lines("spawns").len(), 1);
}

#[test]
fn a_client_attaches_to_what_serve_runs() {
    let setup = setup("files");
    let mut serve = setup.serve();
    serve.wait_event("files", "upstream connected");
    let mut client = StdioClient::start(&setup, &[]);
    sum(&mut client);
    assert_eq!(attached(&setup), 1);
    assert_eq!(setup.lines("spawns").len(), 1);
    // A signal closes the connection, and only that.
    client.gateway.signal(Signal::TERM);
    assert_eq!(client.gateway.ended().code(), Some(0));
    serve.wait_for("an attached client has left");
    assert_eq!(setup.lines("spawns").len(), 1);
    // Also the end of what it is attached to: its client is served by a gateway of its own then.
    let mut client = StdioClient::start(&setup, &[]);
    sum(&mut client);
    serve.signal(Signal::TERM);
    assert_eq!(serve.ended().code(), Some(0));
    sum(&mut client);
    assert_eq!(setup.lines("spawns").len(), 2);
    client.leave();
    assert_eq!(client.gateway.ended().code(), Some(0));
}

#[test]
fn a_client_without_a_session_attaches_like_any_other() {
    let setup = Setup::new("");
    let spawns = setup.path("spawns");
    let setup = setup.server("files", &["--spawn-log", &spawns, "--resources"]);
    let serve = setup.serve();
    serve.wait_event("files", "upstream connected");
    let mut client = StdioClient::open(&setup, &[]);
    let said = |params: &Value| with_envelope(params, &json!({ "elicitation": { "form": {} } }));
    let discovered = client.request("server/discover", &said(&json!({})));
    assert_eq!(discovered["result"]["supportedVersions"], json!(["2026-07-28"]), "{discovered}");
    assert_eq!(attached(&setup), 1);
    let listed = client.request("tools/list", &said(&json!({})));
    assert_eq!(listed["result"]["resultType"], "complete", "{listed}");

    // What the server asks comes with the answer, and the call goes on with the retry.
    let elicit = json!({ "name": "elicit", "arguments": {} });
    let asked = client.request("tools/call", &said(&elicit))["result"].clone();
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let (key, question) = asked["inputRequests"].as_object().unwrap().iter().next().unwrap();
    assert_eq!(question["params"]["message"], "who are you?");
    let answer = json!({ "action": "accept", "content": { "name": "Ada" } });
    let mut retry = elicit;
    retry["requestState"] = asked["requestState"].clone();
    retry["inputResponses"] = json!({ key: answer });
    let heard = client.request("tools/call", &said(&retry))["result"].clone();
    assert_eq!(serde_json::from_str::<Value>(text(&heard)).unwrap(), answer);

    // What it listens to comes under its mark until it wants no more.
    let listed = client.request("resources/list", &said(&json!({})));
    let uri = listed["result"]["resources"][0]["uri"].clone();
    let filter = json!({ "toolsListChanged": true, "resourceSubscriptions": [uri] });
    let id = client.begin("subscriptions/listen", &said(&json!({ "notifications": filter })));
    let first = client.next();
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged", "{first}");
    assert_eq!((subscription(&first), &first["params"]["notifications"]), (&json!(id), &filter));
    let grow = client.begin("tools/call", &said(&json!({ "name": "grow", "arguments": {} })));
    let mut came: Vec<_> = (0..2).map(|_| client.next()).collect();
    came.sort_by_key(|message| message["method"].is_null());
    assert_eq!(came[0]["method"], "notifications/tools/list_changed", "{came:?}");
    assert_eq!((subscription(&came[0]), &came[1]["id"]), (&json!(id), &json!(grow)));
    // The server hears of the subscription before it is called.
    let touch = json!({ "name": "touch", "arguments": { "uri": uri } });
    let touched = client.begin("tools/call", &said(&touch));
    let mut came: Vec<_> = (0..2).map(|_| client.next()).collect();
    came.sort_by_key(|message| message["method"].is_null());
    assert_eq!(came[0]["method"], "notifications/resources/updated", "{came:?}");
    assert_eq!((subscription(&came[0]), &came[1]["id"]), (&json!(id), &json!(touched)));
    client.notify("notifications/cancelled", &json!({ "requestId": id }));
    client.request("tools/call", &said(&touch));
    assert_eq!(setup.lines("spawns").len(), 1, "all of it by the server that was there");
    client.leave();
    assert_eq!(client.gateway.ended().code(), Some(0));
}

#[test]
fn clients_of_a_gateway_that_is_killed_go_on_with_another_one() {
    let setup = setup("files");
    let mut first = StdioClient::start(&setup, &[]);
    sum(&mut first);
    let mut others: Vec<_> = (0..3).map(|_| StdioClient::start(&setup, &[])).collect();
    for client in &mut others {
        sum(client);
    }
    let calls: Vec<_> = others
        .iter_mut()
        .map(|client| {
            client.begin("tools/call", &json!({ "name": "sleep", "arguments": { "ms": 60_000 } }))
        })
        .collect();
    // Calls are noted when they are sent on; this is behind them.
    others.iter_mut().for_each(sum);
    first.gateway.signal(Signal::KILL);
    first.gateway.ended();
    for (client, id) in others.iter_mut().zip(calls) {
        let lost = client.answer(id);
        let told = &lost["result"]["_meta"][UNAVAILABLE_META];
        assert_eq!(told["code"], error::UPSTREAM_DIED, "{lost}");
        let changed = client.notification();
        assert_eq!(changed["method"], "notifications/tools/list_changed", "{changed}");
        sum(client);
    }
    // One of them has become the gateway of all.
    assert_eq!(setup.lines("spawns").len(), 2);
    assert_eq!(attached(&setup), 2);
    // And so it is again, until the last has left.
    let owner = others.iter().position(|one| !census::descendants(one.gateway.pid()).is_empty());
    let mut owner = others.swap_remove(owner.unwrap());
    owner.gateway.signal(Signal::KILL);
    owner.gateway.ended();
    others.iter_mut().for_each(sum);
    assert_eq!(setup.lines("spawns").len(), 3);
    for client in &mut others {
        client.leave();
    }
    for client in &mut others {
        assert_eq!(client.gateway.ended().code(), Some(0));
    }
    assert_eq!(files(&run_folder(&setup)), Vec::<String>::new());
}

#[test]
fn one_that_has_become_the_gateway_ends_like_any_other() {
    let setup = setup("files");
    let mut serve = setup.serve();
    serve.wait_event("files", "upstream connected");
    let mut client = StdioClient::start(&setup, &[]);
    sum(&mut client);
    serve.signal(Signal::KILL);
    serve.ended();
    sum(&mut client);
    client.gateway.wait_event("files", "upstream connected");
    let family = census::descendants(client.gateway.pid());
    assert!(!family.is_empty());
    let watch = census::Watch::of(family.into_iter().map(|one| one.pid));
    client.gateway.signal(Signal::TERM);
    assert_eq!(client.gateway.ended().code(), Some(0));
    assert_eq!(watch.left_after(crate::gateway::PATIENCE), Vec::<u32>::new());
}

#[test]
fn other_variables_or_a_wish_give_servers_of_their_own() {
    let setup = Setup::new("");
    let spawns = setup.path("spawns");
    let setup = setup.server("files", &["--spawn-log", &spawns, "--stderr", "${WORD:-none}"]);
    let mut first = StdioClient::start(&setup, &[]);
    sum(&mut first);
    let mut other = StdioClient::start(&setup.clone().env("WORD", "other"), &[]);
    sum(&mut other);
    other.gateway.wait_for("because its settings or variables differ");
    assert_eq!(setup.lines("spawns").len(), 2);
    let mut alone = StdioClient::start(&setup, &["--no-attach"]);
    sum(&mut alone);
    assert_eq!(setup.lines("spawns").len(), 3);
    assert_eq!(attached(&setup), 0);
    // Each ends with its own servers.
    other.leave();
    assert_eq!(other.gateway.ended().code(), Some(0));
    sum(&mut first);
    sum(&mut alone);
}

#[test]
fn a_large_answer_comes_through_whole() {
    let setup = setup("files");
    let serve = setup.serve();
    serve.wait_event("files", "upstream connected");
    let mut client = StdioClient::start(&setup, &[]);
    let long = "x".repeat(1 << 20);
    let answer = client.call("echo", &json!({ "text": long }));
    assert_eq!(text(&answer), json!({ "text": long }).to_string());
}
