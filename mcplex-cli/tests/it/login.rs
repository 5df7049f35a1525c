//! `mcplex login` and `mcplex logout` against an authorization server that checks what it is sent,
//! and a browser that follows wherever it is led.

mod site;

use self::site::{Site, World};
use crate::{
    client::text,
    far,
    gateway::{Gateway, PATIENCE, Ran, Said, Setup},
    verbs::{ok, status},
};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufReader, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::Stdio,
    thread,
    time::Instant,
};
use url::Url;

/// A `mcplex login` that waits for the person.
struct Waiting {
    login: Gateway,
    out: Said,
}

impl Waiting {
    fn start(setup: &Setup, more: &[&str]) -> Self {
        let args = [&["login", "far"], more].concat();
        let mut login = setup.start(&args, Stdio::null());
        let out = Said::of(login.child.stdout.take().unwrap());
        Self { login, out }
    }

    /// The address that the person is to open.
    fn question(&self) -> Url {
        let line = self.out.wait_for("an address", |line| line.contains("response_type=code"));
        Url::parse(line.trim()).unwrap()
    }

    /// Where it awaits the answer.
    fn callback(&self) -> Url {
        let question = self.question();
        let found = question.query_pairs().find(|(name, _)| name == "redirect_uri").unwrap().1;
        Url::parse(&found).unwrap()
    }

    fn end(mut self) -> Ran {
        let code = self.login.ended().code().unwrap();
        let (stdout, stderr) = (self.out.all().join("\n"), self.login.all_said().join("\n"));
        Ran { code, stdout, stderr }
    }
}

/// One page: its status, where it leads, and what it says.
fn visit(url: &Url) -> (u16, Option<String>, String) {
    let mut stream = TcpStream::connect(url.socket_addrs(|| None).unwrap()[0]).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let target = &url[url::Position::BeforePath..];
    let request = format!("GET {target} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    // What it says is all there is, whether or not it closes then.
    let (head, body) = far::read(&mut BufReader::new(stream)).unwrap();
    let location = head.lines().find_map(|line| line.strip_prefix("location: "));
    (head.split(' ').nth(1).unwrap().parse().unwrap(), location.map(str::to_owned), body)
}

/// Opens an address and goes wherever it leads; gives the last page.
fn browse(url: &Url) -> (u16, String) {
    let mut url = url.clone();
    for _ in 0..10 {
        match visit(&url) {
            (_, Some(to), _) => url = url.join(&to).unwrap(),
            (status, None, body) => return (status, body),
        }
    }
    panic!("it leads on and on")
}

/// Logs in, as a person would.
#[track_caller]
fn log_in(setup: &Setup) -> String {
    let waiting = Waiting::start(setup, &[]);
    let (status, page) = browse(&waiting.question());
    assert_eq!(status, 200, "{page}");
    let Ran { code, stdout, stderr } = waiting.end();
    assert_eq!(code, 0, "{stdout}{stderr}");
    stdout
}

/// The files of logins.
fn kept(setup: &Setup) -> Vec<PathBuf> {
    let state = setup.file(".local/state/mcplex");
    let folders = fs::read_dir(state).into_iter().flatten().flatten();
    let files =
        folders.flat_map(|one| fs::read_dir(one.path().join("tokens")).into_iter().flatten());
    let paths = files.flatten().map(|one| one.path());
    paths.filter(|path| path.extension().is_some_and(|end| end == "login")).collect()
}

#[test]
fn a_person_agrees_once_and_the_running_mcplex_goes_on_and_on() {
    let site = Site::start();
    let setup = site.setup("");
    let gateway = setup.serve();
    let trip = gateway.wait_event("far", "upstream tripped");
    let reason = trip["reason"].as_str().unwrap();
    assert!(reason.contains("nobody has logged in for") && reason.contains("`mcplex login far`"));
    for said in [ok(&setup, &["status"]), ok(&setup, &["why", "far"])] {
        assert!(said.contains("mcplex login far"), "{said}");
    }
    let doctor = setup.run(&["doctor", "--json"]);
    assert_eq!(doctor.code, 9);
    assert!(doctor.stdout.contains("unauthorized") && doctor.stdout.contains("mcplex login far"));

    let said = log_in(&setup);
    assert!(said.contains(&format!("logged in at {}, for mcp; it is renewed", site.issuer())));
    assert!(said.contains("(ready"), "{said}");
    let mut client = gateway.client_of(&["go"]);
    assert_eq!(text(&client.call("go", &json!({}))), "gone");
    let files = kept(&setup);
    assert_eq!(files.len(), 1);
    assert_eq!(fs::metadata(&files[0]).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(ok(&setup, &["check"]).contains("  login  somebody is logged in at "));

    // A token that is void is renewed without anybody; the next process goes on from there, however
    // this one ended. Whoever used the first refresh token again would lose everything.
    site.world().access.clear();
    assert_eq!(text(&client.call("go", &json!({}))), "gone");
    gateway.signal(Signal::KILL);
    let said = gateway.said().join("\n");
    drop(gateway);
    site.world().access.clear();
    let gateway = setup.serve();
    let mut client = gateway.client_of(&["go"]);
    assert_eq!(text(&client.call("go", &json!({}))), "gone");
    assert_eq!(site.world().asked.len(), 1, "the person was asked once");
    let told = format!("{said}{}{doctor:?}", gateway.said().join("\n"));
    assert!(!told.contains("-secret-"), "a token is in a log");
}

#[test]
fn what_somebody_else_sends_neither_ends_nor_makes_a_login() {
    let site = Site::start();
    let setup = site.setup("[servers.auth]\ngrant = \"login\"");
    setup.write();
    let checked = ok(&setup, &["check", "--json"]);
    let checked: Value = serde_json::from_str(&checked).unwrap();
    let auth = &checked["servers"][0]["auth"];
    assert_eq!((&auth["by"], &auth["needs_login"]), (&json!("login"), &json!(true)));
    let waiting = Waiting::start(&setup, &[]);
    let callback = waiting.callback();
    // Some open connections and say nothing, as browsers do.
    let silent: Vec<_> = (0..3)
        .map(|_| TcpStream::connect(callback.socket_addrs(|| None).unwrap()[0]).unwrap())
        .collect();
    for query in ["code=c&state=guess", "code=c", "", "state=guess&state=guess&code=c"] {
        let mut url = callback.clone();
        url.set_query(Some(query));
        let (status, page) = browse(&url);
        assert!(status == 400 && page.contains("still waits"), "{page}");
    }
    let (status, _) = browse(&callback.join("/favicon.ico").unwrap());
    assert_eq!(status, 404);
    assert!(kept(&setup).is_empty());
    assert_eq!(browse(&waiting.question()).0, 200);
    assert_eq!(waiting.end().code, 0);
    drop(silent);
    assert_eq!(kept(&setup).len(), 1);
}

#[test]
fn a_login_that_is_refused_or_answered_by_another_brings_nothing() {
    let site = Site::start();
    let setup = site.setup("");
    let check = |change: fn(&mut World), expect: &str| {
        change(&mut site.world());
        let waiting = Waiting::start(&setup, &[]);
        let (status, page) = browse(&waiting.question());
        let Ran { code, stdout, stderr } = waiting.end();
        assert_eq!((status, code), (400, 1), "{stdout}{stderr}");
        assert!(page.contains(expect) && stderr.contains(expect), "{page}{stderr}");
        assert!(kept(&setup).is_empty());
    };
    check(|world| world.iss = Some("https://evil.example"), "is not from ");
    check(
        |world| (world.iss, world.error) = (None, Some("access_denied")),
        "the login was refused: access_denied",
    );
    check(|world| (world.error, world.iss) = (None, Some("")), "is not from ");
}

#[test]
fn nobody_is_waited_for_for_ever_and_a_port_is_somebodys() {
    let site = Site::start();
    let setup = site.setup("");
    let late = setup.run(&["login", "far", "--timeout", "1"]);
    assert_eq!(late.code, 1, "{}", late.stderr);
    assert!(late.stderr.contains("nobody has answered within 1 s"), "{}", late.stderr);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let refused = setup.run(&["login", "far", "--port", &port]);
    assert_eq!(refused.code, 4, "{}", refused.stderr);
    assert!(refused.stderr.contains("another --port"), "{}", refused.stderr);
    assert!(site.world().clients.len() == 1, "nobody registers who cannot be answered");
    drop(taken);
    let waiting = Waiting::start(&setup, &["--port", &port]);
    assert_eq!(waiting.callback().port().unwrap().to_string(), port);
    assert_eq!(browse(&waiting.question()).0, 200);
    assert_eq!(waiting.end().code, 0);
    // The next one waits there too, so that the registration holds.
    let waiting = Waiting::start(&setup, &[]);
    assert_eq!(waiting.callback().port().unwrap().to_string(), port);
    assert_eq!(browse(&waiting.question()).0, 200);
    assert_eq!(waiting.end().code, 0);
    let asked = site.world().asked.clone();
    assert_eq!(asked[0]["client_id"], asked[1]["client_id"]);
    assert!(kept(&setup).len() == 1);
}

#[test]
fn only_what_wants_a_login_gets_one() {
    let site = Site::start();
    let issuer = site.issuer();
    let own =
        format!("[servers.auth]\nissuer = \"{issuer}\"\nclient_id = \"a\"\nclient_secret = \"b\"");
    let other = "[servers.auth]\ngrant = \"login\"\nissuer = \"https://other.example\"";
    let header = "headers = { Authorization = \"Bearer x\" }";
    let cases = [
        (site.setup(&own), 3, "`auth.grant` is \"client-credentials\""),
        (site.setup(header), 3, "its `headers` say"),
        (site.setup(other), 1, "correct `auth.issuer`"),
        (Setup::new("").server("far", &[]), 3, "a program that mcplex starts"),
        (Setup::new("").server("fat", &[]), 6, "did you mean fat?"),
    ];
    for (setup, code, words) in cases {
        let ran = setup.run(&["login", "far"]);
        assert_eq!(ran.code, code, "{}", ran.stderr);
        assert!(ran.stderr.contains(words), "{words:?} is not in {}", ran.stderr);
    }
    // Whoever asks for nothing gets nothing.
    site.world().is_open = true;
    let gateway = site.setup("").serve();
    assert_eq!(text(&gateway.client_of(&["go"]).call("go", &json!({}))), "gone");
}

#[test]
fn a_call_that_needs_more_says_so_and_passes_after_the_next_login() {
    let site = Site::start();
    let setup = site.setup("");
    setup.write();
    log_in(&setup);
    let gateway = setup.serve();
    let mut client = gateway.client_of(&["go"]);
    site.world().needs = Some("write");
    let call = json!({ "name": "go", "arguments": {} });
    let refused = client.request("tools/call", &call).to_string();
    assert!(refused.contains("more than was agreed to: write"), "{refused}");
    assert!(refused.contains("`mcplex login far`"), "{refused}");
    assert!(ok(&setup, &["check"]).contains("and write is wanted too: `mcplex login far`"));
    let said = log_in(&setup);
    assert!(said.contains("uses it from now on"), "{said}");
    assert_eq!(site.world().asked[1]["scope"], "mcp write");
    assert_eq!(text(&client.call("go", &json!({}))), "gone");
    assert_eq!(status(&setup, "far")["incarnation"], 1);
}

#[test]
fn who_logs_out_is_forgotten_here_and_there() {
    let site = Site::start();
    let setup = site.setup("");
    setup.write();
    assert!(ok(&setup, &["logout", "far"]).contains("nobody is logged in"));
    log_in(&setup);
    let gateway = setup.serve();
    gateway.client_of(&["go"]);
    let said = ok(&setup, &["logout", "far"]);
    assert!(said.contains("is forgotten here, and is void there"), "{said}");
    assert!(kept(&setup).is_empty() && site.world().refresh.is_empty());
    let trip = gateway.wait_event("far", "upstream tripped");
    assert!(trip["reason"].as_str().unwrap().contains("mcplex login far"), "{trip}");
}

/// The objects that a command wrote, a line each.
fn objects(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_program_reads_what_a_person_is_told() {
    let site = Site::start();
    let setup = site.setup("");
    setup.write();
    let gateway = setup.serve();
    gateway.wait_event("far", "upstream tripped");
    let none = objects(&ok(&setup, &["logout", "far", "--json"]));
    assert_eq!(none, [json!({ "upstream": "far", "state": "nobody" })]);

    let waiting = Waiting::start(&setup, &["--json", "--timeout", "60"]);
    let line = waiting.out.wait_for("an address", |line| line.contains("response_type=code"));
    let asked: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&asked["state"], &asked["timeout_s"]), (&json!("asked"), &json!(60)));
    assert_eq!(asked["issuer"], site.issuer());
    let url = Url::parse(asked["url"].as_str().unwrap()).unwrap();
    assert_eq!(browse(&url).0, 200);
    let Ran { code, stdout, stderr } = waiting.end();
    assert_eq!(code, 0, "{stdout}{stderr}");
    let said = objects(&stdout);
    let states: Vec<_> = said.iter().map(|one| one["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["asked", "logged_in", "in_use"]);
    assert!(said.iter().all(|one| one["upstream"] == "far"));
    assert_eq!((&said[1]["is_renewed"], &said[1]["scopes"]), (&json!(true), &json!(["mcp"])));
    assert!(said[1]["until"].is_u64() && said[1]["kept_in"].as_str().unwrap().contains("tokens"));
    assert_eq!(said[2]["done"]["status"]["health"], "ready");
    assert!(!stdout.contains("-secret-"), "{stdout}");

    let gone = objects(&ok(&setup, &["logout", "far", "--json"]));
    assert_eq!(
        (&gone[0]["state"], &gone[0]["is_void_there"]),
        (&json!("logged_out"), &json!(true))
    );
    assert_eq!(gone[0]["issuer"], site.issuer());

    // What goes wrong has its exit code in both.
    let late = setup.run(&["login", "far", "--json", "--timeout", "1"]);
    let said = objects(&late.stdout);
    let last = said.last().unwrap();
    assert_eq!((late.code, &last["state"]), (1, &json!("failed")));
    assert_eq!(last["error"]["code"], 1);
    assert!(last["error"]["message"].as_str().unwrap().contains("within 1 s"), "{last}");
    assert!(last["error"]["hint"].as_str().unwrap().contains("--timeout"), "{last}");
    let fat = setup.run(&["logout", "fat", "--json"]);
    assert_eq!((fat.code, objects(&fat.stdout)[0]["error"]["code"].clone()), (6, json!(6)));
}

#[test]
fn a_server_of_before_that_publishes_nothing_is_its_own_issuer() {
    let site = Site::start();
    site.world().is_silent = true;
    let setup = site.setup("");
    setup.write();
    let said = log_in(&setup);
    assert!(said.contains(&format!("logged in at {}; it is renewed", site.origin())), "{said}");
    let gateway = setup.serve();
    let mut client = gateway.client_of(&["go"]);
    assert_eq!(text(&client.call("go", &json!({}))), "gone");
    // It is renewed there as well.
    site.world().access.clear();
    assert_eq!(text(&client.call("go", &json!({}))), "gone");
    assert_eq!(site.world().asked.len(), 1, "the person was asked once");
    // One that wants no token is asked for none.
    site.world().is_open = true;
    let refused = setup.run(&["login", "far"]);
    assert_eq!(refused.code, 1, "{}", refused.stdout);
    assert!(refused.stderr.contains("did not ask for a token either"), "{}", refused.stderr);
    assert_eq!(site.world().clients.len(), 1, "nobody registers for that");
}

#[test]
fn a_browser_is_opened_by_who_asks_for_it() {
    let site = Site::start();
    let setup = site.setup("");
    let program = setup.file("browser");
    fs::write(&program, "#!/bin/sh\necho \"$1\" > opened.tmp && mv opened.tmp opened\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let path = setup.path("browser");
    let setup = setup.env("BROWSER", &path);
    let waiting = Waiting::start(&setup, &["--browser"]);
    let question = waiting.question();
    let begun = now();
    while setup.lines("opened").is_empty() && begun.elapsed() < PATIENCE {
        thread::yield_now();
    }
    assert_eq!(setup.lines("opened"), [question.to_string()]);
    assert_eq!(browse(&question).0, 200);
    assert_eq!(waiting.end().code, 0);
    // One that is not there is no reason to give up.
    let setup = setup.env("BROWSER", "/nowhere/browser");
    let waiting = Waiting::start(&setup, &["--browser"]);
    assert_eq!(browse(&waiting.question()).0, 200);
    let ran = waiting.end();
    assert!(ran.code == 0 && ran.stdout.contains("cannot be started"), "{}", ran.stdout);
}

#[expect(clippy::disallowed_methods, reason = "a test that waits has a limit")]
fn now() -> Instant {
    Instant::now()
}
