//! `mcplex doctor`: each cause by a server that has it, and a running mcplex in every state.

use crate::{
    census::{self, Watch},
    gateway::{Gateway, PATIENCE, Setup},
    verbs::{ok, run_folder},
};
use rustix::{
    process::Signal,
    pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt},
};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    process::Stdio,
    thread,
};

/// A configuration whose port is free.
fn setup(more: &str) -> Setup {
    Setup::new(&format!("[gateway]\nlisten = \"127.0.0.1:0\"\n{more}"))
}

/// What the doctor says as JSON, and its exit code.
fn report(setup: &Setup, args: &[&str]) -> (i32, Value) {
    let ran = setup.run(&[&["doctor", "--json"], args].concat());
    let report = serde_json::from_str(&ran.stdout);
    (ran.code, report.unwrap_or_else(|error| panic!("{error}: {}{}", ran.stdout, ran.stderr)))
}

fn upstream<'a>(report: &'a Value, name: &str) -> &'a Value {
    let all = report["upstreams"].as_array().unwrap();
    all.iter()
        .find(|one| one["upstream"] == name)
        .unwrap_or_else(|| panic!("no {name}: {report:#}"))
}

fn check<'a>(report: &'a Value, about: &str) -> &'a Value {
    let all = report["checks"].as_array().unwrap();
    all.iter().find(|one| one["about"] == about).unwrap_or_else(|| panic!("no {about}: {report:#}"))
}

/// Asserts that an upstream has a finding of this cause that says and hints these words.
#[track_caller]
fn has(report: &Value, name: &str, level: &str, cause: &str, words: &[&str]) {
    let found = upstream(report, name);
    let finding = found["findings"].as_array().unwrap().iter().find(|it| it["cause"] == cause);
    let finding = finding.unwrap_or_else(|| panic!("{name} has no {cause}: {found:#}"));
    assert_eq!(finding["level"], level, "{finding:#}");
    for word in words {
        assert!(finding.to_string().contains(word), "{word:?} is not in {finding:#}");
    }
}

#[test]
fn each_cause_is_told_with_its_hint() {
    let quick = "handshake_timeout = \"1s\"";
    let setup = setup("[[servers]]\nname = \"missing\"\ncommand = \"mcplex-test-no-such\"")
        .server("good", &["--resources", "--prompts", "--pages", "2"])
        .server("modern", &["--era", "modern"])
        .server(
            "variable",
            &["--stderr", "Error: API_ID is required", "--die-before-handshake", "0"],
        )
        .server(
            "exits",
            &["--stderr", "it is broken", "--die-before-handshake", "20", "--exit", "3"],
        )
        .server("revision", &["--protocol", "1999-01-01"])
        .server("noise", &["--banner", "hello"])
        .server("refuses", &["--initialize-error"])
        .server_with("hung", &["--never-answer-initialize"], quick)
        .server("late", &["--die-after", "50"])
        .server("shy", &["--exit-on-probe"]);
    let (code, report) = report(&setup, &[]);
    assert_eq!(code, 9, "{report:#}");
    assert_eq!((&report["verdict"], &report["running"]), (&"broken".into(), &Value::Null));
    has(&report, "missing", "broken", "not-found", &["PATH", "install it"]);
    has(&report, "variable", "broken", "missing-variable", &["API_ID", "set API_ID in `env`"]);
    has(&report, "exits", "broken", "exited", &["code 3", "during the handshake", "it is broken"]);
    has(&report, "revision", "broken", "unknown-revision", &["1999-01-01", "install a version"]);
    has(&report, "noise", "warning", "noise", &["1 line", "stdout", "stderr"]);
    has(&report, "refuses", "broken", "refused", &["it was told to refuse"]);
    has(&report, "hung", "broken", "hung", &["did not answer initialize within 1 s"]);
    has(&report, "late", "broken", "exited", &["after its session was open"]);
    for (name, era) in [("good", "legacy"), ("modern", "modern"), ("shy", "second start")] {
        let found = upstream(&report, name);
        assert_eq!((&found["level"], &found["findings"]), (&"ok".into(), &Value::Array(vec![])));
        let steps = found["steps"].as_array().unwrap();
        let words: Vec<_> = steps.iter().map(|step| step["step"].as_str().unwrap()).collect();
        assert_eq!(words, ["resolve", "start", "handshake", "list", "stop"]);
        assert!(steps.iter().all(|step| step["ms"].is_u64()), "{found:#}");
        assert!(steps[2]["what"].as_str().unwrap().contains(era), "{found:#}");
    }
    let listed = upstream(&report, "good")["steps"][3]["what"].as_str().unwrap();
    assert!(listed.contains("2 prompts") && listed.contains("resources"), "{listed}");
    // Nothing was kept: neither lists nor eras nor logs.
    assert!(!setup.file(".local/state/mcplex").exists());
}

#[test]
fn slow_is_not_broken_and_late_is() {
    let setup = setup("")
        .server("slow", &["--init-delay", "5200"])
        .server_with("mute", &["--stop-itself"], "grace_eof = \"50ms\"\ngrace_term = \"50ms\"")
        .server_with("deaf", &["--ignore-sigterm"], "grace_eof = \"50ms\"\ngrace_term = \"50ms\"");
    let (code, found) = report(&setup, &["--timeout", "8"]);
    assert_eq!(code, 9, "{found:#}");
    has(&found, "slow", "warning", "slow", &["its limit is 30 s"]);
    has(&found, "mute", "broken", "list-failed", &["not there within 8 s"]);
    has(&found, "deaf", "warning", "stays", &["had to be killed"]);
    // The trial's own limit is not the gateway's.
    let (code, found) = report(&setup, &["--timeout", "1", "--upstream", "slow"]);
    assert_eq!(code, 9, "{found:#}");
    has(&found, "slow", "broken", "hung", &["within 1 s", "waits 30 s", "--timeout"]);
    assert_eq!(found["upstreams"].as_array().unwrap().len(), 1);
    let (code, _) = report(&setup, &["--upstream", "deaf"]);
    assert_eq!(code, 0, "a warning is no failure");
}

#[test]
fn a_program_that_path_does_not_reach_is_found_elsewhere() {
    let setup = setup("[[servers]]\nname = \"tool\"\ncommand = \"mcplex-test-tool\"");
    let folder = setup.file(".local/bin");
    fs::create_dir_all(&folder).unwrap();
    let program = folder.join("mcplex-test-tool");
    fs::write(&program, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let (code, report) = report(&setup, &[]);
    assert_eq!(code, 9);
    has(&report, "tool", "broken", "not-found", &[program.to_str().unwrap(), "env.PATH"]);
}

#[test]
fn what_cannot_be_looked_at_has_codes_of_its_own() {
    let broken = setup(
        "[[servers]]\nname = \"a\"\ncommand = \"a\"\nenv = { TOKEN = \"${MCPLEX_TEST_NOT_SET}\" }",
    );
    let (code, found) = report(&broken, &[]);
    assert_eq!(code, 3);
    let finding = check(&found, "configuration");
    assert_eq!(finding["cause"], "configuration");
    assert!(finding["what"].as_str().unwrap().contains("MCPLEX_TEST_NOT_SET"), "{found:#}");
    let ran = broken.run(&["doctor"]);
    assert_eq!((ran.code, &*ran.stdout), (3, ""));
    let good = setup("").server("files", &[]);
    let ran = good.run(&["doctor", "--upstream", "flies"]);
    assert_eq!(ran.code, 6, "{}", ran.stderr);
    assert!(ran.stderr.contains("did you mean files?"), "{}", ran.stderr);
    // Whoever reads JSON gets some, whatever happens.
    let (code, found) = report(&good, &["--upstream", "flies"]);
    let finding = check(&found, "configuration");
    assert_eq!((code, &finding["cause"]), (6, &"unknown-upstream".into()));
    assert_eq!(
        (&finding["hint"], &found["verdict"]),
        (&"did you mean files?".into(), &"broken".into())
    );
}

/// A machine that is short of descriptors is not the fault of a server.
#[test]
fn a_start_that_the_machine_has_no_room_for_is_told_as_that() {
    let setup = setup("").server("files", &[]);
    setup.write();
    #[expect(clippy::disallowed_methods, reason = "a shell sets limits")]
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -n 40; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_mcplex")]);
    command.args(["doctor", "--json"]);
    let ran = setup.dress(command).stdin(Stdio::null()).output().unwrap();
    let found: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(ran.status.code(), Some(9), "{found:#}");
    has(&found, "files", "broken", "host", &["had no room for its start", "open files"]);
    assert_eq!(check(&found, "open files")["cause"], "open-files");
}

#[test]
fn whoever_answers_in_its_place_is_named_and_nothing_is_started_beside_it() {
    use std::os::unix::net::UnixListener;
    let setup = setup("");
    let spawns = setup.path("spawns");
    let setup = setup.server("files", &["--spawn-log", &spawns]);
    let run = setup.serve();
    run.wait_event("files", "upstream connected");
    let socket = fs::read_dir(run_folder(&setup)).unwrap().map(|entry| entry.unwrap().path());
    let socket = socket.into_iter().find(|path| !path.to_str().unwrap().ends_with(".mcp.sock"));
    drop(run);
    let socket = socket.unwrap();
    fs::remove_file(&socket).unwrap();
    for answer in ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "\u{0}\u{1}garbage"] {
        let listener = UnixListener::bind(&socket).unwrap();
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let _is_asked = stream.read(&mut [0; 4096]);
                let _is_read = stream.write_all(answer.as_bytes());
            }
        });
        let (code, found) = report(&setup, &[]);
        let finding = check(&found, "mcplex");
        assert_eq!((code, &finding["cause"]), (9, &"version".into()), "{found:#}");
        let what = finding["what"].as_str().unwrap();
        assert!(what.contains(&format!("process {} ", std::process::id())), "{what}");
        assert!(what.contains(socket.to_str().unwrap()), "{what}");
        let files = upstream(&found, "files");
        assert_eq!(files["findings"][0]["what"], "not tried, since it may run");
        fs::remove_file(&socket).unwrap();
    }
    assert_eq!(setup.lines("spawns").len(), 1);
}

/// Whoever answers each connection with these bytes, once it was asked; nothing is silence.
fn foreigner(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut kept = Vec::new();
        for mut stream in listener.incoming().map_while(Result::ok) {
            if answer.is_empty() {
                kept.push(stream);
                continue;
            }
            let mut asked = [0; 4096];
            let _is_asked = stream.read(&mut asked);
            let _is_read = stream.write_all(answer.as_bytes());
        }
    });
    address
}

#[test]
fn a_foreign_service_at_the_port_neither_breaks_nor_halts_it() {
    let cases = [
        ("HTTP/1.1 404 Not Found\r\nServer: squid/6\r\nContent-Length: 0\r\n\r\n", "squid/6"),
        ("SSH-2.0-OpenSSH_9.6\r\n", "SSH-2.0-OpenSSH_9.6"),
        ("\u{0}\u{1}\u{fffd}\r\n\r\n{}}{", "does not speak HTTP"),
        ("", "says nothing"),
    ];
    for (answer, words) in cases {
        let address = foreigner(answer);
        let setup = Setup::new(&format!("[gateway]\nlisten = \"{address}\"")).server("a", &[]);
        let (code, report) = report(&setup, &[]);
        let port = check(&report, "port");
        assert_eq!((code, &port["level"], &port["cause"]), (9, &"broken".into(), &"port".into()));
        let text = port.to_string();
        assert!(text.contains(words), "{words:?} is not in {text}");
        // It is this very process that has the port.
        assert!(text.contains(&format!("process {} ", std::process::id())), "{text}");
        assert_eq!(upstream(&report, "a")["level"], "ok");
    }
    // The address of operators as well.
    let address = foreigner("SSH-2.0-OpenSSH_9.6\r\n");
    let setup = setup(&format!("[admin]\nlisten = \"{address}\"")).server("a", &[]);
    let (code, found) = report(&setup, &[]);
    let port = check(&found, "admin port");
    assert_eq!((code, &port["cause"]), (9, &"port".into()), "{found:#}");
    assert!(port["hint"].as_str().unwrap().contains("another `admin.listen`"), "{port}");
    // Another mcplex has it.
    let other = Setup::new("").server("a", &[]);
    let gateway = other.serve();
    let address = gateway.url();
    let address = address.strip_prefix("http://").unwrap().strip_suffix("/mcp").unwrap();
    let setup = Setup::new(&format!("[gateway]\nlisten = \"{address}\"")).server("a", &[]);
    let (_, report) = report(&setup, &[]);
    let port = check(&report, "port").to_string();
    assert!(port.contains("an MCP server is there, mcplex "), "{port}");
}

#[test]
fn servers_elsewhere_are_told_apart() {
    let http = |status: &'static str| {
        foreigner(Box::leak(
            format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .into_boxed_str(),
        ))
    };
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let cases = [
        ("dns", "http://no-such-host.invalid/mcp".to_owned(), "cannot be resolved"),
        ("tcp", format!("http://{closed}/mcp"), "takes no connection"),
        ("tls", format!("https://{}/mcp", http("200 OK")), "TLS"),
        ("unauthorized", format!("http://{}/mcp", http("401 Unauthorized")), "credentials"),
        ("forbidden", format!("http://{}/mcp", http("403 Forbidden")), "does not allow it"),
        ("no-such-path", format!("http://{}/mcp", http("404 Not Found")), "correct the path"),
        ("http", format!("http://{}/mcp", http("503 Away")), "503"),
    ];
    // What is wrong with a server elsewhere is nothing that a command or a variable here could mend.
    let page = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>";
    let odd = [
        ("page", foreigner(page), "does not speak MCP"),
        ("busy", http("429 Too Many Requests"), "more often than it allows"),
        ("mute", foreigner("\u{15}\u{3}\u{3}\u{0}\u{2}"), "https://"),
    ];
    let mut setup = setup("");
    for (cause, url, _) in &cases {
        setup.push(&format!("[[servers]]\nname = \"{cause}\"\nurl = \"{url}\""));
    }
    for (name, address, _) in &odd {
        let url = format!("http://{address}/mcp?key=geheim");
        setup.push(&format!("[[servers]]\nname = \"{name}\"\nurl = \"{url}\""));
    }
    let keyed = format!("http://{}/mcp?key=geheim", http("401 Unauthorized"));
    setup.push(&format!("[[servers]]\nname = \"keyed\"\nurl = \"{keyed}\""));
    let (code, report) = report(&setup, &[]);
    assert_eq!(code, 9);
    for (cause, _, words) in &cases {
        has(&report, cause, "broken", cause, &[words]);
    }
    for (name, _, words) in &odd {
        has(&report, name, "broken", "http", &[words]);
        let findings = upstream(&report, name)["findings"].to_string();
        for word in ["command", "stdout", "`env`"] {
            assert!(!findings.contains(word), "{name}: {findings}");
        }
    }
    assert!(!report.to_string().contains("geheim"), "{report:#}");
}

#[test]
fn a_running_mcplex_is_looked_at_and_no_second_copy_is_started() {
    let setup = Setup::new("[gateway]\nwatch = false\n");
    let spawns = setup.path("spawns");
    let mut setup = setup.server("files", &["--spawn-log", &spawns]);
    let gateway = setup.serve();
    drop(gateway.client_of(&["add"]));
    let (code, found) = report(&setup, &[]);
    assert_eq!(code, 0, "{found:#}");
    assert_eq!(found["running"]["pid"], gateway.pid());
    for about in ["mcplex", "in use", "endpoint", "open files", "state", "disk"] {
        assert_eq!(check(&found, about)["level"], "ok", "{about}: {found:#}");
    }
    let endpoint = check(&found, "endpoint")["what"].as_str().unwrap();
    assert!(endpoint.contains("answers as mcplex "), "{endpoint}");
    assert_eq!(upstream(&found, "files")["steps"].as_array().unwrap().len(), 0);
    assert_eq!(setup.lines("spawns").len(), 1);
    let (code, found) = report(&setup, &["--trial"]);
    assert_eq!((code, setup.lines("spawns").len()), (0, 2), "{found:#}");
    // The file says something else now, and nobody watches it.
    setup.push("[supervise]\nmax_deaths = 3");
    setup.write();
    let (code, found) = report(&setup, &[]);
    let skew = check(&found, "in use");
    assert_eq!((code, &skew["level"], &skew["cause"]), (0, &"warning".into(), &"skew".into()));
    assert!(skew["hint"].as_str().unwrap().contains("mcplex reload"), "{skew}");
    ok(&setup, &["reload"]);
    assert_eq!(check(&report(&setup, &[]).1, "in use")["level"], "ok");
    setup.push("[telemetry]\nservice_name = \"other\"");
    setup.write();
    ok(&setup, &["reload"]);
    let (_, found) = report(&setup, &[]);
    let skew = check(&found, "in use");
    assert!(skew["what"].as_str().unwrap().contains("telemetry.service_name"), "{skew}");
}

#[test]
fn a_server_that_keeps_dying_is_given_up_and_tried_for_its_cause() {
    let quick = "max_deaths = 1\nbackoff_first = \"10ms\"\ncooldown_first = \"60s\"";
    let flags = ["--die-before-handshake", "0", "--stderr", "Error: API_ID is required"];
    let setup = Setup::new("").server_with("mail", &flags, quick).server("files", &[]);
    let gateway = setup.serve();
    gateway.wait_event("mail", "upstream tripped");
    gateway.wait_event("files", "upstream connected");
    let (code, found) = report(&setup, &[]);
    assert_eq!(code, 9, "{found:#}");
    has(&found, "mail", "broken", "tripped", &["breaker is open", "mcplex reset mail"]);
    has(&found, "mail", "broken", "missing-variable", &["API_ID"]);
    assert_eq!(upstream(&found, "files")["level"], "ok");
    let text = setup.run(&["doctor"]).stdout;
    for part in
        ["mail            BROKEN   given up for now", "| Error: API_ID is required", "hint: "]
    {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    assert!(!text.contains('\x1b'), "{text}");
}

#[test]
fn an_mcplex_that_is_halted_is_silent_and_nothing_is_started_beside_it() {
    let setup = Setup::new("");
    let spawns = setup.path("spawns");
    let setup = setup.server("files", &["--spawn-log", &spawns]);
    let gateway = setup.serve();
    gateway.wait_event("files", "upstream connected");
    gateway.signal(Signal::STOP);
    let (code, found) = report(&setup, &[]);
    gateway.signal(Signal::CONT);
    assert_eq!((code, &check(&found, "mcplex")["cause"]), (8, &"silent".into()), "{found:#}");
    assert_eq!(upstream(&found, "files")["findings"][0]["level"], "skipped");
    assert_eq!(setup.lines("spawns").len(), 1);
}

/// A doctor whose servers stand, and everything it has started.
fn at_work(setup: &Setup, servers: usize, args: &[&str]) -> (Gateway, Watch) {
    let doctor = setup.start(args, Stdio::null());
    let stand = (0..100_000).any(|_| {
        thread::yield_now();
        setup.lines("spawns").len() == servers
    });
    assert!(stand, "not all were started");
    let watch = Watch::of(census::descendants(doctor.pid()).into_iter().map(|one| one.pid));
    (doctor, watch)
}

#[test]
fn ctrl_c_ends_whatever_it_started() {
    let setup = setup("");
    let spawns = setup.path("spawns");
    let flags = ["--never-answer-initialize", "--spawn-log", &spawns, "--setsid-child"];
    let deaf = [&flags[..], &["--ignore-sigterm"]].concat();
    let short = "grace_eof = \"100ms\"\ngrace_term = \"100ms\"";
    let setup = setup.server("hung", &flags).server_with("deaf", &deaf, short);
    // One that ignores SIGTERM is started by a shell that does.
    let (mut doctor, watch) = at_work(&setup, 2, &["doctor"]);
    doctor.signal(Signal::INT);
    assert_eq!(doctor.ended().code(), Some(130));
    doctor.wait_for("interrupted; what was started has ended");
    assert_eq!(watch.left_after(PATIENCE), Vec::<u32>::new());
    fs::remove_file(setup.file("spawns")).unwrap();
    let (mut doctor, watch) = at_work(&setup, 2, &["doctor", "--json"]);
    doctor.signal(Signal::TERM);
    assert_eq!(doctor.ended().code(), Some(143));
    let found: Value = serde_json::from_reader(doctor.child.stdout.take().unwrap()).unwrap();
    assert_eq!(check(&found, "doctor")["cause"], "interrupted");
    assert_eq!(watch.left_after(PATIENCE), Vec::<u32>::new());
    fs::remove_file(setup.file("spawns")).unwrap();
    let (mut doctor, watch) = at_work(&setup, 2, &["doctor"]);
    doctor.signal(Signal::KILL);
    doctor.ended();
    assert_eq!(watch.left_after(PATIENCE), Vec::<u32>::new());
    assert!(!run_folder(&setup).exists());
}

#[test]
fn steps_are_shown_at_a_terminal_only() {
    let setup = setup("").server("files", &[]);
    setup.write();
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    unlockpt(&terminal).unwrap();
    let inside = ioctl_tiocgptpeer(&terminal, OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    let mut command = setup.command(&["doctor"]);
    let doctor = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(inside).spawn();
    drop(command);
    let lines = BufReader::new(fs::File::from(terminal)).lines().map_while(Result::ok);
    let said: Vec<String> = lines.collect();
    assert!(doctor.unwrap().wait().unwrap().success());
    for step in ["files: starting", "files: handshake ", "files: list ", "files: stop "] {
        assert!(said.iter().any(|line| line.contains(step)), "{step:?} is not in {said:?}");
    }
    assert_eq!(setup.run(&["doctor"]).stderr, "");
}
