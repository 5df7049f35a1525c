//! A terminal with a screen that can be looked at, and a program in it.

use crate::{
    census::{self, Watch},
    gateway::{PATIENCE, Setup},
};
use rustix::{
    process::Signal,
    pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};
use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::fd::OwnedFd,
    process::{Child, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

/// A program in a terminal of its own; it is killed when this is dropped.
pub(crate) struct Terminal {
    child: Child,
    /// What a person would type into.
    outside: File,
    /// Kept, so that what was drawn last can be read after the end.
    inside: OwnedFd,
    screen: Screen,
}

/// What is on the screen, and a bell for each change.
#[derive(Clone)]
struct Screen(Arc<(Mutex<vt100::Parser>, Condvar)>);

impl Screen {
    /// Somebody else's panic does not make the screen wrong.
    fn lock(&self) -> MutexGuard<'_, vt100::Parser> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Both ends of a new terminal: where a person is, and where a program is.
fn pair((columns, lines): (u16, u16)) -> (OwnedFd, OwnedFd) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let outside = openpt(flags).unwrap();
    unlockpt(&outside).unwrap();
    let inside = ioctl_tiocgptpeer(&outside, flags).unwrap();
    tcsetwinsize(&outside, size(columns, lines)).unwrap();
    (outside, inside)
}

const MCPLEX: &str = env!("CARGO_BIN_EXE_mcplex");

/// Starts a program in the inside of a terminal, in a session of its own.
fn start(setup: &Setup, program: &str, args: &[&str], inside: &OwnedFd) -> Child {
    let mut command = setup.in_session(program, args);
    if command.get_envs().all(|(name, _)| name != "TERM") {
        command.env("TERM", "xterm-256color");
    }
    let side = || Stdio::from(inside.try_clone().unwrap());
    command.stdin(side()).stdout(side()).stderr(side()).spawn().unwrap()
}

/// How a program ends whose terminal is closed when it shows a text, as by whoever closes a window.
pub(crate) fn closed(setup: &Setup, args: &[&str], of: (u16, u16), text: &str) -> ExitStatus {
    let (outside, inside) = pair(of);
    let mut child = start(setup, MCPLEX, args, &inside);
    drop(inside);
    let (mut outside, mut bytes) = (File::from(outside), [0; 4096]);
    let mut seen = vt100::Parser::new(of.1, of.0, 0);
    // It draws at least once a second; the read fails when it has ended.
    let shows = (0..10_000).any(|_| {
        let count = outside.read(&mut bytes).expect("it draws");
        seen.process(&bytes[..count]);
        seen.screen().contents().contains(text)
    });
    assert!(shows, "the screen never shows {text}:\n{}", seen.screen().contents());
    drop(outside);
    let left = Watch::of([child.id()]).left_after(PATIENCE);
    if !left.is_empty() {
        drop(child.kill());
    }
    let status = child.wait().unwrap();
    assert!(left.is_empty(), "it goes on without a terminal");
    status
}

impl Terminal {
    /// Starts `mcplex` with these arguments, in a session of its own.
    pub(crate) fn run(setup: &Setup, args: &[&str], size: (u16, u16)) -> Self {
        Self::begin(setup, MCPLEX, args, size)
    }

    /// Starts a shell that can stop a job and take it up again, and types `mcplex` with these arguments.
    pub(crate) fn shell(setup: &Setup, args: &str, size: (u16, u16)) -> Self {
        // Without an editor for lines, which would have the terminal in a mode of its own.
        let mut terminal = Self::begin(setup, "sh", &["-i", "+o", "emacs", "+o", "vi"], size);
        terminal.types(&format!("'{MCPLEX}' {args}\n"));
        terminal
    }

    fn begin(setup: &Setup, program: &str, args: &[&str], (columns, lines): (u16, u16)) -> Self {
        let (outside, inside) = pair((columns, lines));
        let child = start(setup, program, args, &inside);
        let screen =
            Screen(Arc::new((Mutex::new(vt100::Parser::new(lines, columns, 0)), Condvar::new())));
        let outside = File::from(outside);
        let (mut reading, seen) = (outside.try_clone().unwrap(), screen.clone());
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // At the end of the last who has the inside open this is an error.
            while let Ok(count @ 1..) = reading.read(&mut bytes) {
                seen.lock().process(&bytes[..count]);
                seen.0.1.notify_all();
            }
        });
        Self { child, outside, inside, screen }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Types something.
    pub(crate) fn types(&mut self, keys: &str) {
        self.outside.write_all(keys.as_bytes()).unwrap();
    }

    /// Makes the terminal larger or smaller, as somebody who drags a window.
    pub(crate) fn resize(&self, columns: u16, lines: u16) {
        self.screen.lock().screen_mut().set_size(lines, columns);
        tcsetwinsize(&self.outside, size(columns, lines)).unwrap();
    }

    /// Waits until the screen is as it is wanted, and gives what is on it.
    #[track_caller]
    pub(crate) fn wait(&self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        let is_other = |parser: &mut vt100::Parser| !is_it(&parser.screen().contents());
        let waited = self.screen.0.1.wait_timeout_while(self.screen.lock(), PATIENCE, is_other);
        let (parser, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        let contents = parser.screen().contents();
        drop(parser);
        assert!(!waited.timed_out(), "the screen never shows {what}:\n{contents}");
        contents
    }

    /// Waits for a text on the screen.
    #[track_caller]
    pub(crate) fn shows(&self, text: &str) -> String {
        self.wait(text, |screen| screen.contains(text))
    }

    /// Waits for a line that begins with one word and has another in it.
    #[track_caller]
    pub(crate) fn shows_row(&self, name: &str, word: &str) -> String {
        let is_it = |line: &str| line.trim_start().starts_with(name) && line.contains(word);
        self.wait(&format!("{name} with {word}"), |screen| screen.lines().any(is_it))
    }

    /// How many characters of the screen have a colour.
    pub(crate) fn coloured(&self) -> usize {
        let parser = self.screen.lock();
        let screen = parser.screen();
        let (lines, columns) = screen.size();
        let cells = (0..lines).flat_map(|line| (0..columns).map(move |column| (line, column)));
        cells
            .filter_map(|(line, column)| screen.cell(line, column))
            .filter(|cell| cell.fgcolor() != vt100::Color::Default)
            .count()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        census::signal(self.pid(), signal);
    }

    /// Waits for the end of the program.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let left = Watch::of([self.pid()]).left_after(PATIENCE);
        assert!(left.is_empty(), "it does not end: {}", self.screen.lock().screen().contents());
        self.child.wait().unwrap()
    }

    /// Waits until the terminal is as a shell wants it: the first screen, with a cursor.
    #[track_caller]
    pub(crate) fn is_given_back(&self) {
        let is_taken = |parser: &mut vt100::Parser| {
            parser.screen().alternate_screen() || parser.screen().hide_cursor()
        };
        let waited = self.screen.0.1.wait_timeout_while(self.screen.lock(), PATIENCE, is_taken);
        let (parser, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        drop(parser);
        assert!(!waited.timed_out(), "it is not given back");
        assert!(self.is_plain(), "it does not echo what is typed");
    }

    /// Whether keys are shown and come in lines, as a shell wants it.
    pub(crate) fn is_plain(&self) -> bool {
        let modes = tcgetattr(&self.inside).unwrap().local_modes;
        modes.contains(LocalModes::ECHO | LocalModes::ICANON)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("the screen:\n{}", self.screen.lock().screen().contents());
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn size(columns: u16, lines: u16) -> Winsize {
    Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}
