//! `mcplex service`, and what a service manager is told.
//!
//! No test here has a service manager: `systemctl` is a script that notes what it is asked and says
//! what a file holds. The unit itself is read by the real `systemd-analyze`, where there is one; the
//! real manager runs it in `manager.rs`.

use crate::{
    gateway::{Gateway, PATIENCE, Setup},
    verbs::ok,
};
use rustix::process::Signal;
use serde_json::Value;
use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, net::UnixDatagram},
    process::Stdio,
    time::Duration,
};

/// A service manager's socket.
struct Manager(UnixDatagram);

impl Manager {
    fn new(setup: &Setup) -> Self {
        let socket = UnixDatagram::bind(setup.file("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    fn heard(&self) -> Option<String> {
        let mut text = [0; 4096];
        let length = self.0.recv(&mut text).ok()?;
        Some(String::from_utf8(text[..length].to_vec()).unwrap())
    }

    /// What comes next that is no sign of life.
    #[track_caller]
    fn next(&self) -> String {
        let told = (0..10_000).map(|_| self.heard().expect("it says something"));
        told.into_iter().find(|text| text != "WATCHDOG=1").unwrap()
    }

    #[track_caller]
    fn beats(&self, times: usize) {
        let beats = (0..10_000).map(|_| self.heard().expect("it says something"));
        assert_eq!(beats.filter(|text| text == "WATCHDOG=1").take(times).count(), times);
    }
}

#[test]
fn a_manager_is_told_when_it_is_ready_lives_reloads_and_ends() {
    let setup = Setup::new("").server("files", &[]);
    let manager = Manager::new(&setup);
    let socket = setup.path("notify");
    let setup = setup.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "100000");
    let mut gateway = setup.serve();
    let ready = manager.next();
    assert!(
        ready.starts_with("READY=1\nSTATUS=serves 1 upstreams at http://127.0.0.1:"),
        "{ready}"
    );
    // When it says so, clients can connect.
    drop(gateway.client());
    manager.beats(3);
    ok(&setup, &["reload"]);
    let reloading = manager.next();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(manager.next(), "READY=1\nSTATUS=serves; the configuration is as it was");
    // One that is halted does not say that it lives.
    gateway.signal(Signal::STOP);
    manager.0.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let silent = (0..1_000).any(|_| manager.heard().is_none());
    assert!(silent, "it goes on although it is halted");
    manager.0.set_read_timeout(Some(PATIENCE)).unwrap();
    gateway.signal(Signal::CONT);
    manager.beats(3);
    gateway.signal(Signal::TERM);
    let stopping = manager.next();
    assert!(stopping.starts_with("STOPPING=1"), "{stopping}");
    assert_eq!(gateway.ended().code(), Some(0));
}

#[test]
fn signs_of_life_go_on_while_servers_end() {
    let slow = "grace_eof = \"1s\"\ngrace_term = \"1s\"";
    let setup = Setup::new("").server_with("deaf", &["--ignore-sigterm"], slow);
    let manager = Manager::new(&setup);
    let socket = setup.path("notify");
    let setup = setup.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "100000");
    let mut gateway = setup.serve();
    gateway.wait_event("deaf", "upstream connected");
    gateway.signal(Signal::TERM);
    let stopping = (0..10_000).map(|_| manager.next()).find(|text| text.starts_with("STOPPING=1"));
    assert!(stopping.is_some());
    manager.beats(3);
    gateway.ended();
}

#[test]
fn the_child_of_a_client_is_no_service() {
    let setup = Setup::new("").server("files", &[]);
    let manager = Manager::new(&setup);
    let socket = setup.path("notify");
    let setup = setup.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "10000");
    let mut client = setup.start(&["stdio"], Stdio::null());
    assert_eq!(client.ended().code(), Some(0));
    manager.0.set_nonblocking(true).unwrap();
    assert_eq!(manager.heard(), None);
}

/// A `systemctl` that notes what it is asked.
fn with_systemctl(setup: Setup, script: &str) -> Setup {
    let folder = setup.file("bin");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("systemctl");
    let noted = setup.path("asked");
    fs::write(&file, format!("#!/bin/sh\necho \"$@\" >> '{noted}'\n{script}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", folder.display());
    setup.env("PATH", &path)
}

/// Says what `systemctl show` says of a service that runs.
const RUNS: &str = "case \"$3\" in mcplex.service) printf 'UnitFileState=enabled\\nActiveState=active\\n\
SubState=running\\nMainPID=42\\nNRestarts=1\\nStatusText=serves\\n';; esac";

#[test]
fn a_service_is_installed_looked_at_and_removed() {
    let mut setup = Setup::new("").server("files", &[]);
    setup.push("[[servers]]\nname = \"mail\"\ncommand = \"sh\"\nenv = { KEY = \"${MAIL_KEY}\" }");
    let setup = with_systemctl(setup.env("MAIL_KEY", "x"), RUNS);
    setup.write();
    let unit = setup.file("systemd/user/mcplex.service");
    let ran = setup.run(&["service", "status"]);
    assert_eq!(ran.code, 5, "{}", ran.stderr);
    assert!(ran.stderr.contains("mcplex service install --now"), "{}", ran.stderr);
    let said = ok(&setup, &["service", "install", "--now"]);
    assert!(said.contains(unit.to_str().unwrap()), "{said}");
    assert!(said.contains("takes MAIL_KEY from the environment"), "{said}");
    let asked = [
        "--user show --property=Version",
        "--user daemon-reload",
        "--user enable mcplex.service",
        "--user restart mcplex.service",
    ];
    assert_eq!(setup.lines("asked"), asked);
    let text = fs::read_to_string(&unit).unwrap();
    let program = env!("CARGO_BIN_EXE_mcplex");
    let config = fs::canonicalize(setup.file("mcplex.toml")).unwrap();
    let start = format!("ExecStart=\"{program}\" serve -c \"{}\"", config.display());
    let path = format!("Environment=\"PATH={}:/usr/bin:/bin\"", setup.file("bin").display());
    for line in ["Type=notify", "WatchdogSec=30", &start, &path] {
        assert!(text.lines().any(|it| it == line), "{line} is not in {text}");
    }
    assert_eq!(ok(&setup, &["service", "install", "--print"]), text);
    // The manager says that it runs, and nobody answers; then somebody does.
    let ran = setup.run(&["service", "status", "--json"]);
    assert_eq!(ran.code, 5, "{}", ran.stderr);
    let status: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&status["active"], &status["pid"]), (&"active (running)".into(), &42.into()));
    assert_eq!((&status["enabled"], &status["answers"]), (&"enabled".into(), &"no".into()));
    let gateway = setup.serve();
    gateway.wait_event("files", "upstream connected");
    let said = ok(&setup, &["service", "status"]);
    for line in ["enabled        enabled", "answers        yes", "started again 1 times"] {
        assert!(said.contains(line), "{line:?} is not in {said}");
    }
    assert_halted(&setup, &gateway);
    let said = ok(&setup, &["service", "uninstall"]);
    assert!(said.contains("is removed"), "{said}");
    assert!(!unit.exists());
    assert!(setup.lines("asked").contains(&"--user disable --now mcplex.service".to_owned()));
    assert!(ok(&setup, &["service", "uninstall"]).contains("not installed"));
}

#[track_caller]
fn assert_halted(setup: &Setup, gateway: &Gateway) {
    gateway.signal(Signal::STOP);
    let ran = setup.run(&["service", "status"]);
    gateway.signal(Signal::CONT);
    assert_eq!(ran.code, 8, "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn without_a_service_manager_it_says_what_to_do_instead_and_leaves_nothing() {
    let nobody = "echo 'Failed to connect to bus: No medium found' >&2; exit 1";
    let setup = with_systemctl(Setup::new("").server("files", &[]), nobody);
    let ran = setup.run(&["service", "install", "--now"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    for words in ["no service manager of this user answers", "enable-linger", "mcplex serve -c"] {
        assert!(ran.stderr.contains(words), "{words:?} is not in {}", ran.stderr);
    }
    assert!(!setup.file("systemd").exists());
    fs::remove_file(setup.file("bin/systemctl")).unwrap();
    let bare = setup.path("bin");
    let setup = setup.env("PATH", &bare);
    let ran = setup.run(&["service", "install"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("there is no systemctl"), "{}", ran.stderr);
    // What would be written can be seen all the same.
    assert!(ok(&setup, &["service", "install", "--print"]).contains("[Service]"));
}

#[test]
fn a_service_that_does_not_start_says_where_to_look() {
    let fails = "case \"$2\" in restart) echo 'Job for mcplex.service failed.' >&2; exit 1;; esac";
    let setup = with_systemctl(Setup::new("").server("files", &[]), fails);
    let ran = setup.run(&["service", "install", "--now"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    for words in ["Job for mcplex.service failed.", "journalctl --user -u mcplex", "in a terminal"]
    {
        assert!(ran.stderr.contains(words), "{words:?} is not in {}", ran.stderr);
    }
}

/// A line break in a path would begin a setting of its own.
#[test]
fn a_path_that_a_unit_cannot_hold_is_refused() {
    let outer = Setup::new("").server("files", &[]);
    outer.write();
    let folder = outer.file("a\nExecStartPre=evil");
    fs::create_dir(&folder).unwrap();
    fs::copy(outer.file("mcplex.toml"), folder.join("mcplex.toml")).unwrap();
    let file = folder.join("mcplex.toml");
    let ran = outer.run(&["service", "install", "--print", "-c", file.to_str().unwrap()]);
    assert_eq!((ran.code, &*ran.stdout), (1, ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("plain name"), "{}", ran.stderr);
}

#[test]
fn what_is_not_ours_or_not_usable_is_left_alone() {
    let setup = with_systemctl(Setup::new("").server("files", &[]), "");
    let unit = setup.file("systemd/user/mcplex.service");
    fs::create_dir_all(unit.parent().unwrap()).unwrap();
    fs::write(&unit, "[Unit]\n").unwrap();
    for verb in ["install", "uninstall"] {
        let ran = setup.run(&["service", verb]);
        assert_eq!(ran.code, 1, "{verb}: {}", ran.stderr);
        assert!(ran.stderr.contains("was not written by mcplex"), "{verb}: {}", ran.stderr);
    }
    assert_eq!(fs::read_to_string(&unit).unwrap(), "[Unit]\n");
    let ran = setup.run(&["service", "status"]);
    assert_eq!(ran.code, 5, "{}", ran.stderr);
    assert!(ran.stderr.contains("was not written by mcplex"), "{}", ran.stderr);
    // Another one of the same user has another name.
    ok(&setup, &["service", "install", "--name", "work"]);
    assert!(setup.file("systemd/user/work.service").exists());
    assert_eq!(setup.run(&["service", "install", "--name", "../x"]).code, 2);
    let none = with_systemctl(Setup::new(""), "");
    assert_eq!(none.run(&["service", "install"]).code, 3);
}

#[test]
fn systemd_itself_finds_no_fault_in_the_unit() {
    let setup = Setup::new("").server("files", &[]);
    let unit = ok(&setup, &["service", "install", "--print"]);
    fs::write(setup.file("mcplex.service"), unit).unwrap();
    #[expect(clippy::disallowed_methods, reason = "systemd's own judge")]
    let mut judge = std::process::Command::new("systemd-analyze");
    judge.args(["--user", "verify", "--man=no"]).arg(setup.file("mcplex.service"));
    // It wants a place for sockets, and touches nothing there.
    judge.env("XDG_RUNTIME_DIR", setup.file("."));
    let judged = match judge.output() {
        Ok(judged) => judged,
        Err(error) => return println!("not judged, for there is no systemd-analyze: {error}"),
    };
    let said = String::from_utf8_lossy(&judged.stderr).into_owned();
    let about = said.lines().filter(|line| line.contains("mcplex.service"));
    assert_eq!(about.collect::<Vec<_>>(), Vec::<&str>::new());
}
