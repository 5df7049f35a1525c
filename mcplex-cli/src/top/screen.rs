//! The terminal: taken as a whole, and given back as it was, however this ends.

use super::state::Key;
use crate::{
    exit::Failure,
    signals::{Asked, Signals},
};
use ratatui::{
    Frame, Terminal,
    backend::CrosstermBackend,
    crossterm::{
        cursor::Show,
        event::{
            self, DisableBracketedPaste, EnableBracketedPaste, Event, KeyCode, KeyEvent,
            KeyEventKind, KeyModifiers,
        },
        execute,
        terminal::{
            Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
            enable_raw_mode,
        },
    },
};
use std::{
    io::{self, Stdout, Write},
    mem::ManuallyDrop,
    panic,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};
use tokio::sync::mpsc;

/// Whether the terminal is ours; a panic of any thread asks.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// A terminal that is ours; given back when this is dropped.
pub(super) struct Screen {
    /// Never dropped: it would say on stderr that the cursor cannot be shown, and panic where the
    /// terminal is gone and stderr with it. What it should do then `Taken` does.
    terminal: ManuallyDrop<Terminal<CrosstermBackend<Stdout>>>,
    _taken: Taken<Stdout>,
}

impl Screen {
    /// Takes the terminal of this process.
    pub(super) fn take() -> io::Result<Self> {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // First, so that what is said of it can be read.
            give_back(&mut io::stdout());
            before(info);
        }));
        enable_raw_mode()?;
        let taken = Taken::new(io::stdout())?;
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        Ok(Self { terminal: ManuallyDrop::new(terminal), _taken: taken })
    }

    /// Draws what has changed.
    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(draw)?;
        Ok(())
    }

    /// Gives the terminal to the shell until it brings this back.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        give_back(&mut io::stdout());
        stop_until_continued();
        enable_raw_mode()?;
        enter(&mut io::stdout())?;
        // The second screen begins empty, and so does what is known of it. `clear` would ask the terminal
        // where its cursor is, and the thread that reads keys would take the answer.
        self.terminal.swap_buffers();
        execute!(io::stdout(), Clear(ClearType::All))
    }
}

/// Stops all of this job, as Ctrl-Z does to a program that leaves its terminal as it is. Where no shell
/// could bring it back the system does nothing.
#[cfg(unix)]
fn stop_until_continued() {
    use rustix::process::{Signal, kill_current_process_group};
    let _is_stopped = kill_current_process_group(Signal::TSTP).is_ok();
}

#[cfg(not(unix))]
fn stop_until_continued() {}

/// Takes the second screen. What is pasted there comes as a whole, and means nothing: else its letters
/// would be keys, and one of them resets.
fn enter(out: &mut impl Write) -> io::Result<()> {
    IS_TAKEN.store(true, Ordering::Relaxed);
    execute!(out, EnterAlternateScreen, EnableBracketedPaste)
}

/// Leaves the second screen and shows the cursor when it is dropped, also by a panic.
struct Taken<W: Write>(W);

impl<W: Write> Taken<W> {
    fn new(mut out: W) -> io::Result<Self> {
        let entered = enter(&mut out);
        // Made first, so that half of it is undone.
        let taken = Self(out);
        entered.map(|()| taken)
    }
}

impl<W: Write> Drop for Taken<W> {
    fn drop(&mut self) {
        give_back(&mut self.0);
    }
}

/// Undoes everything, once.
fn give_back(out: &mut impl Write) {
    if IS_TAKEN.swap(false, Ordering::Relaxed) {
        // The terminal may be gone, and then nobody misses this.
        let _is_shown = execute!(out, DisableBracketedPaste, LeaveAlternateScreen, Show).is_ok();
        let _is_plain = disable_raw_mode().is_ok();
    }
}

/// What ends this from outside.
pub(super) struct Ends(Signals);

impl Ends {
    pub(super) fn listen() -> Result<Self, Failure> {
        Signals::listen().map(Self)
    }

    /// Waits for one of them; cancel safe.
    pub(super) async fn next(&mut self) {
        loop {
            match self.0.next().await {
                // There is nothing to read again here: what asks for it is a terminal that closes.
                Asked::Stop(..) | Asked::Reload => return,
                Asked::Reset => {}
            }
        }
    }
}

/// Keys as they are pressed. They are read on a thread of their own, which nobody can wake: it ends
/// with the process.
pub(super) fn keys(bound: usize) -> io::Result<mpsc::Receiver<Key>> {
    let (out, keys) = mpsc::channel(bound);
    let read = move || {
        while let Ok(event) = event::read() {
            if let Some(key) = key(&event)
                && out.blocking_send(key).is_err()
            {
                return;
            }
        }
    };
    drop(thread::Builder::new().name("keys".to_owned()).spawn(read)?);
    Ok(keys)
}

/// What an event of a terminal means here.
fn key(event: &Event) -> Option<Key> {
    let KeyEvent { code, modifiers, kind, .. } = match event {
        Event::Key(event) => event,
        Event::Resize(..) => return Some(Key::Redraw),
        Event::FocusGained | Event::FocusLost | Event::Mouse(_) | Event::Paste(_) => return None,
    };
    if *kind == KeyEventKind::Release {
        return None;
    }
    if modifiers.contains(KeyModifiers::CONTROL) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "most keys mean nothing here")]
        return Some(match code {
            KeyCode::Char('c') => Key::Quit,
            KeyCode::Char('z') => Key::Suspend,
            _ => Key::Other,
        });
    }
    #[expect(clippy::wildcard_enum_match_arm, reason = "most keys mean nothing here")]
    Some(match code {
        KeyCode::Up | KeyCode::Char('k') => Key::Up,
        KeyCode::Down | KeyCode::Char('j') => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown | KeyCode::Char(' ') => Key::PageDown,
        KeyCode::Home | KeyCode::Char('g') => Key::First,
        KeyCode::End | KeyCode::Char('G') => Key::Last,
        KeyCode::Char('n') | KeyCode::Tab => Key::Trouble,
        KeyCode::Enter | KeyCode::Right | KeyCode::Char('l') => Key::Open,
        KeyCode::Esc | KeyCode::Backspace | KeyCode::Left | KeyCode::Char('h') => Key::Back,
        KeyCode::Char('r') => Key::Reset,
        KeyCode::Char('s') => Key::Toggle,
        KeyCode::Char('y') => Key::Yes,
        KeyCode::Char('?') => Key::Help,
        KeyCode::Char('q') => Key::Quit,
        _ => Key::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        panic::AssertUnwindSafe,
        sync::{Arc, Mutex},
    };

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What was written to a terminal that was taken while something went on.
    fn written(goes_on: impl FnOnce()) -> String {
        let paper = Paper::default();
        let took = panic::catch_unwind(AssertUnwindSafe(|| {
            let _taken = Taken::new(paper.clone()).unwrap();
            goes_on();
        }));
        drop(took);
        let bytes = paper.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_terminal_is_given_back_once_also_by_a_panic() {
        let (taken, given) = ("\x1b[?1049h\x1b[?2004h", "\x1b[?2004l\x1b[?1049l\x1b[?25h");
        let all = format!("{taken}{given}");
        assert_eq!(written(|| {}), all);
        assert_eq!(written(|| panic!("a bug")), all);
        // The hook of a panic comes first, and then there is nothing left to do.
        let mut first = Vec::new();
        assert_eq!(written(|| give_back(&mut first)), taken);
        assert_eq!(first, given.as_bytes());
    }

    #[test]
    fn keys_mean_what_the_help_says() {
        let check = |code, modifiers, expect| {
            assert_eq!(key(&Event::Key(KeyEvent::new(code, modifiers))), expect, "{code:?}");
        };
        let none = KeyModifiers::NONE;
        check(KeyCode::Char('j'), none, Some(Key::Down));
        check(KeyCode::Up, none, Some(Key::Up));
        check(KeyCode::Char('n'), none, Some(Key::Trouble));
        check(KeyCode::Enter, none, Some(Key::Open));
        check(KeyCode::Esc, none, Some(Key::Back));
        check(KeyCode::Char('r'), none, Some(Key::Reset));
        check(KeyCode::Char('?'), KeyModifiers::SHIFT, Some(Key::Help));
        check(KeyCode::Char('c'), KeyModifiers::CONTROL, Some(Key::Quit));
        check(KeyCode::Char('z'), KeyModifiers::CONTROL, Some(Key::Suspend));
        // A terminal that asks for another page must not reset anything.
        check(KeyCode::Char('r'), KeyModifiers::CONTROL, Some(Key::Other));
        check(KeyCode::F(1), none, Some(Key::Other));
        assert_eq!(key(&Event::Resize(80, 24)), Some(Key::Redraw));
        assert_eq!(key(&Event::FocusLost), None);
        assert_eq!(key(&Event::Paste("rsy".to_owned())), None);
        let press = KeyEvent::new(KeyCode::Char('q'), none);
        let released = KeyEvent { kind: KeyEventKind::Release, ..press };
        assert_eq!(key(&Event::Key(released)), None);
    }

    /// What the child of the next test does: a panic while the terminal is taken, as by a bug.
    #[test]
    #[ignore = "it is run in a terminal by `a_panic_is_read_on_a_terminal_that_works`"]
    fn a_panic_in_a_terminal() {
        let mut screen = Screen::take().unwrap();
        screen.draw(|_| ()).unwrap();
        panic!("a bug of ours");
    }

    #[cfg(unix)]
    #[test]
    fn a_panic_is_read_on_a_terminal_that_works() {
        use rustix::{
            pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt},
            termios::{LocalModes, tcgetattr},
        };
        use std::{fs::File, io::Read as _, process::Stdio};
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let outside = openpt(flags).unwrap();
        unlockpt(&outside).unwrap();
        let inside = ioctl_tiocgptpeer(&outside, flags).unwrap();
        let side = || Stdio::from(inside.try_clone().unwrap());
        // This very program, which has all of the code and no way of its own to be made to panic.
        #[expect(clippy::disallowed_methods, reason = "the terminal is the point of the test")]
        let mut child = std::process::Command::new("setsid")
            .arg("--ctty")
            .arg(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "top::screen::tests::a_panic_in_a_terminal",
                "--ignored",
                "--nocapture",
            ])
            .args(["--test-threads", "1"])
            // Its words are what is looked for; a page of frames would push them off the screen.
            .env_remove("RUST_BACKTRACE")
            .stdin(side())
            .stdout(side())
            .stderr(side())
            .spawn()
            .unwrap();
        // Read all the time: a terminal that is full would halt who writes.
        let reads = thread::spawn(move || {
            let (mut outside, mut bytes, mut part) = (File::from(outside), Vec::new(), [0; 4096]);
            while let Ok(count @ 1..) = outside.read(&mut part) {
                bytes.extend_from_slice(&part[..count]);
            }
            bytes
        });
        let status = child.wait().unwrap();
        // Before the last of the inside is closed, which ends what can be read.
        let modes = tcgetattr(&inside).unwrap().local_modes;
        drop(inside);
        let bytes = reads.join().unwrap();
        assert!(!status.success(), "{status}");
        assert!(modes.contains(LocalModes::ECHO | LocalModes::ICANON), "{modes:?}");
        let mut terminal = vt100::Parser::new(60, 80, 0);
        terminal.process(&bytes);
        let screen = terminal.screen();
        assert!(!screen.alternate_screen() && !screen.hide_cursor() && !screen.bracketed_paste());
        // Said after the screen of the shell was back, so that it is still there to be read.
        assert!(screen.contents().contains("a bug of ours"), "{}", screen.contents());
    }
}
