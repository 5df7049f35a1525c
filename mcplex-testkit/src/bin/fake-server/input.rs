//! How it reads, and what it does with its pipes.

use crate::{behavior::Behavior, linger, peer::Peer};
use rustix::{
    pipe::fcntl_setpipe_size,
    process::{Signal, getpid, kill_process},
};
use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _},
    sync::atomic::Ordering,
    thread,
    time::Duration,
};

/// What is read at once.
const READ: usize = 4096;

/// Its stdin, read in small parts.
#[derive(Debug)]
pub(crate) struct Input(BufReader<io::Stdin>);

impl Input {
    pub(crate) fn new() -> Self {
        Self(BufReader::with_capacity(READ, io::stdin()))
    }

    /// Takes the next line; `false` at the end.
    pub(crate) fn line(&mut self, line: &mut Vec<u8>, peer: &Peer) -> io::Result<bool> {
        let pause = peer.behavior.read_slowly.map(Duration::from_millis);
        let Some(pause) = pause.filter(|_| peer.is_open.load(Ordering::Relaxed)) else {
            return Ok(self.0.read_until(b'\n', line)? > 0);
        };
        loop {
            thread::sleep(pause);
            let mut part = Vec::new();
            let taken = (&mut self.0).take(4096).read_until(b'\n', &mut part)?;
            line.extend_from_slice(&part);
            if taken == 0 || part.ends_with(b"\n") {
                return Ok(!line.is_empty());
            }
        }
    }
}

/// Makes the pipes of this process as small as the system allows: one page.
pub(crate) fn shrink_pipes() -> io::Result<()> {
    fcntl_setpipe_size(io::stdin(), READ)?;
    fcntl_setpipe_size(io::stdout(), READ)?;
    Ok(())
}

/// Does to its pipes and to itself what the flags want once the session is open.
pub(crate) fn after_handshake(behavior: &Behavior) -> io::Result<()> {
    if behavior.close_stdout {
        rustix::stdio::dup2_stdout(OpenOptions::new().write(true).open("/dev/null")?)?;
    }
    if behavior.close_stdin {
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
        linger();
    }
    if behavior.stop_itself {
        kill_process(getpid(), Signal::STOP)?;
    }
    if behavior.stop_reading {
        linger();
    }
    Ok(())
}
