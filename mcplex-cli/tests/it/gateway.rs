//! Starts an `mcplex` and listens to what it says.

use crate::{
    census::{self, Watch},
    client::Client,
};
use rustix::process::Signal;
use serde_json::Value;
use std::{
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader, Read},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};
use tempfile::TempDir;

/// How long anything may take before a test fails. Hundreds of times what it takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How many lines a gateway may say before a test gives up.
const MAX_LOOKS: usize = 10_000;

/// A configuration in a folder of its own.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    dir: Arc<TempDir>,
    toml: String,
    env: Vec<(String, String)>,
}

impl Setup {
    /// A configuration that begins with these lines.
    pub(crate) fn new(toml: &str) -> Self {
        Self {
            dir: Arc::new(tempfile::tempdir().unwrap()),
            toml: format!("{toml}\n"),
            env: Vec::new(),
        }
    }

    /// The same in the folder of another one.
    pub(crate) fn within(mut self, other: &Self) -> Self {
        self.dir = Arc::clone(&other.dir);
        self
    }

    /// Adds a `fake-server`.
    pub(crate) fn server(self, name: &str, flags: &[&str]) -> Self {
        self.server_with(name, flags, "")
    }

    /// Adds a `fake-server` with lines for its `[servers.supervise]`.
    pub(crate) fn server_with(mut self, name: &str, flags: &[&str], supervise: &str) -> Self {
        let program = mcplex_testkit::fake_server();
        // JSON strings are TOML strings too.
        let program = Value::from(program.to_str().unwrap());
        writeln!(
            self.toml,
            "[[servers]]\nname = \"{name}\"\ncommand = {program}\nargs = {}\n[servers.supervise]\n{supervise}",
            serde_json::to_string(flags).unwrap()
        )
        .unwrap();
        self
    }

    /// Adds lines at the end.
    pub(crate) fn push(&mut self, toml: &str) {
        self.toml.push_str(toml);
        self.toml.push('\n');
    }

    /// Adds lines in front of everything else.
    pub(crate) fn set(&mut self, toml: &str) {
        self.toml.insert_str(0, toml);
    }

    /// Puts other text in the place of some.
    pub(crate) fn replace(&mut self, old: &str, new: &str) {
        assert!(self.toml.contains(old), "{old} is not in it");
        self.toml = self.toml.replace(old, new);
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A file in the folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The path of a file in the folder, as a flag.
    pub(crate) fn path(&self, name: &str) -> String {
        self.file(name).to_str().unwrap().to_owned()
    }

    /// The lines of a file in the folder; none if it is not there.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read(self.file(name)).unwrap_or_default();
        String::from_utf8(text).unwrap().lines().map(str::to_owned).collect()
    }

    /// `mcplex` in the folder, knowing nothing of whoever runs the tests.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        #[expect(clippy::disallowed_methods, reason = "mcplex is what is tested")]
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcplex"));
        command.args(args);
        self.dress(command)
    }

    /// A command in the folder that knows nothing of whoever runs the tests.
    pub(crate) fn dress(&self, mut command: Command) -> Command {
        command.current_dir(self.dir.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command.env("HOME", self.dir.path()).env("XDG_CONFIG_HOME", self.dir.path());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs `mcplex` to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        let mut gateway = self.start(args, Stdio::null());
        let code = gateway.ended().code().unwrap();
        let stderr = gateway.said.all().join("\n");
        let mut stdout = String::new();
        // What it prints is smaller than a pipe, so nobody had to read before the end.
        gateway.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        Ran { code, stdout, stderr }
    }

    /// Writes the configuration where mcplex looks for it.
    pub(crate) fn write(&self) {
        // Not again, or one that starts meanwhile could read half of it.
        let is_there = fs::read_to_string(self.file("mcplex.toml")).is_ok_and(|it| it == self.toml);
        if !self.toml.trim().is_empty() && !is_there {
            self.write_to("mcplex.toml");
        }
    }

    /// Writes the configuration into a file in the folder.
    pub(crate) fn write_to(&self, name: &str) {
        fs::write(self.file(name), &self.toml).unwrap();
    }

    /// Starts `mcplex serve` on a free port.
    pub(crate) fn serve(&self) -> Gateway {
        self.start(&["serve", "--listen", "127.0.0.1:0"], Stdio::null())
    }

    /// Starts `mcplex` with any arguments.
    pub(crate) fn start(&self, args: &[&str], stdin: Stdio) -> Gateway {
        self.launch(self.command(args), stdin)
    }

    /// Starts `mcplex serve` by a shell script that ends with `exec "$@"`.
    pub(crate) fn serve_by(&self, script: &str) -> Gateway {
        #[expect(clippy::disallowed_methods, reason = "a shell would start mcplex like this")]
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_mcplex")]);
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        self.launch(self.dress(command), Stdio::null())
    }

    /// Starts `mcplex serve` in a session of its own, at a terminal, under another command.
    pub(crate) fn serve_at(&self, terminal: Stdio, under: &[&str]) -> Gateway {
        #[expect(clippy::disallowed_methods, reason = "a shell would start mcplex like this")]
        let mut command = Command::new("setsid");
        command.arg("--ctty").args(under);
        command.args([env!("CARGO_BIN_EXE_mcplex"), "serve", "--listen", "127.0.0.1:0"]);
        self.launch(self.dress(command), terminal)
    }

    /// A program in a session of its own, whose terminal is what it gets as stdin.
    pub(crate) fn in_session(&self, program: &str, args: &[&str]) -> Command {
        #[expect(clippy::disallowed_methods, reason = "a terminal would start it like this")]
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(program).args(args);
        self.dress(command)
    }

    fn launch(&self, mut command: Command, stdin: Stdio) -> Gateway {
        self.write();
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        Gateway::adopt(command.spawn().unwrap(), self)
    }
}

/// An `mcplex` that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A running `mcplex`; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) child: Child,
    said: Said,
    /// Its servers start in it.
    _dir: Arc<TempDir>,
}

impl Gateway {
    /// Listens to one that was started with its stderr in a pipe.
    pub(crate) fn adopt(mut child: Child, setup: &Setup) -> Self {
        let said = Said::of(child.stderr.take().unwrap());
        Self { child, said, _dir: Arc::clone(&setup.dir) }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The endpoint, as it says itself.
    pub(crate) fn url(&self) -> String {
        let line = self.said.wait_for("the endpoint", |line| line.contains("/mcp"));
        let start = line.find("http://").unwrap();
        line[start..].split(['"', ' ']).next().unwrap().to_owned()
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.url())
    }

    /// A client that sees these tools.
    pub(crate) fn client_of(&self, tools: &[&str]) -> Client {
        let mut client = self.client();
        client.wait_for_tools(tools);
        client
    }

    /// Everything it wrote to stderr so far.
    pub(crate) fn said(&self) -> Vec<String> {
        self.said.so_far()
    }

    /// The same of one that has ended: nothing of it is still on its way.
    pub(crate) fn all_said(&self) -> Vec<String> {
        self.said.all()
    }

    /// Waits for a line that contains a text.
    pub(crate) fn wait_for(&self, text: &str) -> String {
        self.wait_for_line(text, |line| line.contains(text))
    }

    /// Waits for a line that is like this.
    pub(crate) fn wait_for_line(&self, what: &str, is_it: impl Fn(&String) -> bool) -> String {
        self.said.wait_for(what, is_it)
    }

    /// Waits for the `count`th event about an upstream whose message begins so.
    pub(crate) fn wait_events(&self, upstream: &str, message: &str, count: usize) -> Vec<Value> {
        self.said.wait(&format!("{count} times {upstream}: {message}"), |lines| {
            let found = events(lines, upstream, message);
            (found.len() >= count).then_some(found)
        })
    }

    pub(crate) fn wait_event(&self, upstream: &str, message: &str) -> Value {
        self.wait_events(upstream, message, 1).swap_remove(0)
    }

    /// The events about an upstream whose message begins so.
    pub(crate) fn events(&self, upstream: &str, message: &str) -> Vec<Value> {
        events(&self.said(), upstream, message)
    }

    /// Waits for the `count`th event about no upstream whose message begins so.
    pub(crate) fn wait_own(&self, message: &str, count: usize) -> Vec<Value> {
        self.said.wait(&format!("{count} times {message}"), |lines| {
            let found = own_events(lines, message);
            (found.len() >= count).then_some(found)
        })
    }

    /// The events about no upstream whose message begins so.
    pub(crate) fn own(&self, message: &str) -> Vec<Value> {
        own_events(&self.said(), message)
    }

    /// Waits for an event, and looks at something whenever a line comes.
    pub(crate) fn watch(&self, upstream: &str, message: &str, mut look: impl FnMut()) -> Value {
        self.said.wait(&format!("{upstream}: {message}"), |lines| {
            look();
            events(lines, upstream, message).into_iter().next()
        })
    }

    pub(crate) fn signal(&self, signal: Signal) {
        census::signal(self.pid(), signal);
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let left = Watch::of([self.pid()]).left_after(PATIENCE);
        assert!(left.is_empty(), "it does not end; it said:\n{}", self.said().join("\n"));
        self.child.wait().unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if thread::panicking() {
            // Test output is captured, so this is shown with the failure.
            println!("mcplex said:\n{}", self.said().join("\n"));
        }
        // It has ended already in many tests; else some of its servers would outlive their pipes.
        let left = Watch::of(census::descendants(self.pid()).into_iter().map(|one| one.pid));
        drop(self.child.kill());
        drop(self.child.wait());
        left.kill();
    }
}

fn events(lines: &[String], upstream: &str, message: &str) -> Vec<Value> {
    let all = all_events(lines, message);
    all.into_iter().filter(|event| event["upstream"] == upstream).collect()
}

fn own_events(lines: &[String], message: &str) -> Vec<Value> {
    let all = all_events(lines, message);
    all.into_iter().filter(|event| event["upstream"].is_null()).collect()
}

fn all_events(lines: &[String], message: &str) -> Vec<Value> {
    let begins =
        |event: &Value| event["message"].as_str().is_some_and(|it| it.starts_with(message));
    let events = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter(begins).collect()
}

/// The lines of a pipe, as they come.
#[derive(Clone, Debug)]
pub(crate) struct Said(Arc<(Mutex<Lines>, Condvar)>);

#[derive(Debug, Default)]
struct Lines {
    lines: Vec<String>,
    ended: bool,
}

impl Said {
    pub(crate) fn of(pipe: impl Read + Send + 'static) -> Self {
        let said = Self(Arc::default());
        let writing = said.clone();
        thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                writing.lock().lines.push(String::from_utf8_lossy(&line).into_owned());
                writing.0.1.notify_all();
            }
            writing.lock().ended = true;
            writing.0.1.notify_all();
        });
        said
    }

    fn so_far(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    /// A test that panicked elsewhere does not make the lines wrong.
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything, once the pipe has ended.
    pub(crate) fn all(&self) -> Vec<String> {
        let waited = self.0.1.wait_timeout_while(self.lock(), PATIENCE, |lines| !lines.ended);
        let (lines, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(!waited.timed_out(), "somebody holds its stderr open");
        lines.lines.clone()
    }

    pub(crate) fn wait_for(&self, what: &str, is_it: impl Fn(&String) -> bool) -> String {
        self.wait(what, |lines| lines.iter().find(|line| is_it(line)).cloned())
    }

    /// Waits until the lines give what is looked for; looks again whenever one comes.
    fn wait<T>(&self, what: &str, mut find: impl FnMut(&[String]) -> Option<T>) -> T {
        for _ in 0..MAX_LOOKS {
            let (seen, ended) = {
                let lines = self.lock();
                (lines.lines.clone(), lines.ended)
            };
            if let Some(found) = find(&seen) {
                return found;
            }
            assert!(!ended, "it ended and never said {what:?}");
            let is_old = |lines: &mut Lines| lines.lines.len() == seen.len() && !lines.ended;
            let waited = self.0.1.wait_timeout_while(self.lock(), PATIENCE, is_old);
            let (lines, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            drop(lines);
            assert!(!waited.timed_out(), "it is silent and never said {what:?}");
        }
        panic!("it said much, and never {what:?}")
    }
}
