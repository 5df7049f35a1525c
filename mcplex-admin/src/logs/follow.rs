//! Reads along in a log that another process writes, or that nobody writes yet.

use super::file_of;
use mcplex_journal::is_at;
use std::{
    fs::File,
    io::{self, Read, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

/// The most that is read at once; more waits for the next look.
const READ: u64 = 16 * 1024 * 1024;

/// A place in a log, which goes on with the file when it is moved aside.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// The begin of a line whose end is not yet there.
    rest: Vec<u8>,
}

impl Follower {
    /// A place at the end of an upstream's log, or before the first line of one that is not there.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn at_end(folder: &Path, upstream: &str) -> io::Result<Self> {
        let path = file_of(folder, upstream);
        let mut open = open(&path)?;
        if let Some(open) = &mut open {
            open.file.seek(SeekFrom::End(0))?;
        }
        Ok(Self { path, open })
    }

    /// The lines that came since the last time.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn poll(&mut self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        if let Some(open) = &mut self.open {
            open.read(&mut lines)?;
            if is_at(&open.file, &self.path) {
                return Ok(lines);
            }
            // It was moved aside. What came between the read and the move:
            open.read(&mut lines)?;
        }
        self.open = open(&self.path)?;
        if let Some(open) = &mut self.open {
            open.read(&mut lines)?;
        }
        Ok(lines)
    }
}

fn open(path: &Path) -> io::Result<Option<Open>> {
    match File::open(path) {
        Ok(file) => Ok(Some(Open { file, rest: Vec::new() })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Open {
    fn read(&mut self, lines: &mut Vec<String>) -> io::Result<()> {
        let mut bytes = std::mem::take(&mut self.rest);
        Read::by_ref(&mut self.file).take(READ).read_to_end(&mut bytes)?;
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.rest = bytes.split_off(end);
        lines.extend(String::from_utf8_lossy(&bytes).lines().map(str::to_owned));
        Ok(())
    }
}
