//! One file of lines: written to the end, moved aside when it is long or old.
//!
//! A file that is moved aside gets the next number, `audit.jsonl.000007`, and is never renamed again:
//! names sort by age whatever the clock does, and a kill between two steps leaves nothing doubled and
//! nothing missing.

use crate::private_file;
use std::{
    collections::VecDeque,
    fs::{self, File, Metadata},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// How much is written at once at most; with one write a kill leaves no half line.
const BATCH: usize = 64 * 1024;

/// How far back the end of the last whole line is looked for; longer than a line gets.
const TAIL: u64 = 1024 * 1024;

/// Names that are tried for a file that is moved aside, where somebody has put files of these names.
const NAMES: u64 = 1000;

/// Bounds on what is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long one file may become, in bytes.
    pub size: u64,
    /// How long one file is written before the next begins.
    pub age: Option<Duration>,
    /// How many files are kept, the one that is written included.
    pub files: usize,
    /// How much they may take together, in bytes; the one that is written is never removed.
    pub total: u64,
}

/// Lines that could not be written.
#[derive(Debug)]
pub struct Failed {
    /// How many.
    pub lines: u64,
    /// Why.
    pub error: io::Error,
}

/// A file that is written.
#[derive(Debug)]
pub struct Rotated {
    path: PathBuf,
    limits: Limits,
    file: File,
    /// What stands in it.
    len: u64,
    /// When it was begun.
    born: SystemTime,
    /// It is moved aside when it would become longer; more than the limit after a move that failed.
    move_at: u64,
    /// Looked for when the first one joins them, because most openings move none.
    older: Option<Older>,
    /// Whole lines that are not yet written.
    buffer: Vec<u8>,
    lines: u64,
}

/// The files that were moved aside.
#[derive(Debug)]
struct Older {
    /// Their numbers and sizes, oldest first.
    files: VecDeque<(u64, u64)>,
    /// What they take together.
    sum: u64,
}

impl Older {
    fn of(path: &Path) -> io::Result<Self> {
        let size = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
        let files: VecDeque<_> =
            aside(path)?.iter().map(|(number, path)| (*number, size(path))).collect();
        Ok(Self { sum: files.iter().map(|(_, size)| size).sum(), files })
    }

    /// Removes the oldest until the rest fits with a full file beside them.
    fn sweep(&mut self, path: &Path, limits: &Limits) {
        let room = limits.total.saturating_sub(limits.size);
        while self.sum > room || self.files.len() >= limits.files.max(1) {
            let Some((number, size)) = self.files.pop_front() else { break };
            self.sum -= size;
            match fs::remove_file(numbered(path, number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    let file = path.display();
                    tracing::warn!(%file, number, %error, "an old file cannot be removed");
                }
                Ok(()) | Err(_) => {}
            }
        }
    }
}

impl Rotated {
    /// Opens a file to go on with it, or begins it; its folder is there.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path, limits: &Limits, now: SystemTime) -> io::Result<Self> {
        let (file, len, born) = begin(path, now)?;
        Ok(Self {
            path: path.to_owned(),
            limits: limits.clone(),
            file,
            len,
            born,
            move_at: limits.size,
            older: None,
            buffer: Vec::new(),
            lines: 0,
        })
    }

    /// Adds a line, which has no end; says whether another file was begun for it.
    ///
    /// # Errors
    /// When lines, this one or earlier ones, could not be written.
    pub fn write(&mut self, line: &[u8], now: SystemTime) -> Result<bool, Failed> {
        let bytes = self.buffer.len() as u64 + line.len() as u64 + 1;
        let is_begun = self.len > 0 || self.lines > 0;
        let is_old = || {
            let age = now.duration_since(self.born).unwrap_or_default();
            self.limits.age.is_some_and(|limit| age >= limit)
        };
        let moves = is_begun && (self.len + bytes > self.move_at || is_old());
        if moves {
            self.flush()?;
            self.move_aside(now);
        }
        if self.lines == 0 && self.len == 0 {
            self.born = now;
        }
        self.buffer.extend_from_slice(line);
        self.buffer.push(b'\n');
        self.lines += 1;
        if self.buffer.len() >= BATCH {
            self.flush()?;
        }
        Ok(moves)
    }

    /// Hands what is left to the system.
    ///
    /// # Errors
    /// When it does not take it; none of these lines is in the file then.
    pub fn flush(&mut self) -> Result<(), Failed> {
        if self.lines == 0 {
            return Ok(());
        }
        let written = self.find_again().and_then(|()| self.file.write_all(&self.buffer));
        let bytes = self.buffer.len() as u64;
        self.buffer.clear();
        let lines = std::mem::take(&mut self.lines);
        match written {
            Ok(()) => {
                self.len += bytes;
                Ok(())
            }
            Err(error) => {
                // A full disk may have taken the begin of it. Where it cannot be cut off the next
                // opening does.
                let _is_cut = self.file.set_len(self.len);
                Err(Failed { lines, error })
            }
        }
    }

    /// Goes on with the file of our name, if somebody else has moved or emptied it.
    fn find_again(&mut self) -> io::Result<()> {
        if !is_at(&self.file, &self.path) {
            let now = self.born;
            (self.file, self.len, self.born) = begin(&self.path, now)?;
            self.move_at = self.limits.size;
        } else if let Ok(found) = self.file.metadata() {
            self.len = self.len.min(found.len());
        }
        Ok(())
    }

    /// Begins the next file. Where that is not possible this one goes on, and is moved when it has
    /// grown by as much again: a name that is not to be had is no reason to lose lines.
    fn move_aside(&mut self, now: SystemTime) {
        match self.try_move(now) {
            Ok(()) => {}
            Err(error) => {
                self.move_at = self.len + self.limits.size;
                self.born = now;
                let file = self.path.display();
                tracing::warn!(%file, %error, "a file cannot be moved aside; it is written further");
            }
        }
    }

    fn try_move(&mut self, now: SystemTime) -> io::Result<()> {
        let older = match &mut self.older {
            Some(older) => older,
            none => none.insert(Older::of(&self.path)?),
        };
        let last = older.files.back().map_or(0, |(number, _)| *number);
        // What is no file of ours may have the name too, such as a folder.
        let is_free = |number: &u64| numbered(&self.path, *number).symlink_metadata().is_err();
        let Some(number) = (last + 1..=last + NAMES).find(is_free) else {
            return Err(io::Error::other("all names are taken"));
        };
        let to = numbered(&self.path, number);
        fs::rename(&self.path, &to)?;
        match begin(&self.path, now) {
            Ok((file, len, born)) => {
                older.files.push_back((number, self.len));
                older.sum += self.len;
                older.sweep(&self.path, &self.limits);
                (self.file, self.len, self.born) = (file, len, born);
                self.move_at = self.limits.size;
                Ok(())
            }
            Err(error) => {
                // The open file is where it was, so that its lines stay in order.
                fs::rename(&to, &self.path)?;
                Err(error)
            }
        }
    }
}

/// Refuses what has the name of a file and is none: a pipe or a device that is moved aside is broken
/// for everybody.
fn is_regular(metadata: &Metadata) -> io::Result<()> {
    match metadata.is_file() {
        true => Ok(()),
        false if metadata.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is a pipe, a device or a socket, and only a regular file can be moved aside",
        )),
    }
}

/// Opens a file at its end; a half line there, which only a loss of power leaves, is cut off.
fn begin(path: &Path, now: SystemTime) -> io::Result<(File, u64, SystemTime)> {
    // Before as well as after: to open a device may already do something.
    if let Ok(metadata) = fs::metadata(path) {
        is_regular(&metadata)?;
    }
    let file = private_file().append(true).open(path)?;
    let metadata = file.metadata()?;
    is_regular(&metadata)?;
    if metadata.len() == 0 {
        return Ok((file, 0, now));
    }
    let len = whole(path, metadata.len())?;
    if len < metadata.len() {
        file.set_len(len)?;
        let (file, bytes) = (path.display(), metadata.len() - len);
        tracing::warn!(%file, bytes, "a half line at the end of a file is cut off");
    }
    // Some file systems do not know when a file was made.
    let born = metadata.created().or_else(|_| metadata.modified()).unwrap_or(now);
    Ok((file, len, born))
}

/// How much of a file is whole lines; all of it when it has none near its end, because then it is
/// none of ours.
fn whole(path: &Path, len: u64) -> io::Result<u64> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    if last == [b'\n'] {
        return Ok(len);
    }
    let from = len.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail)?;
    let end = tail.iter().rposition(|byte| *byte == b'\n');
    Ok(end.map_or(len, |at| from + at as u64 + 1))
}

/// The files that were moved aside, oldest first, with their numbers.
///
/// # Errors
/// When the folder cannot be read.
pub fn aside(path: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let Some(name) = path.file_name().map(|name| name.to_string_lossy().into_owned()) else {
        return Ok(Vec::new());
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let number = |found: &str| {
        let digits = found.strip_prefix(&name)?.strip_prefix('.')?;
        let clean = digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<u64>().ok().filter(|_| clean)
    };
    let mut files: Vec<_> = entries
        .flatten()
        .filter_map(|entry| {
            let number = number(&entry.file_name().to_string_lossy())?;
            Some((number, entry.path()))
        })
        .collect();
    files.sort();
    Ok(files)
}

fn numbered(path: &Path, number: u64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number:06}"));
    PathBuf::from(name)
}

/// Whether a path still names this file.
#[cfg(unix)]
#[must_use]
pub fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// Files have no number there that could be asked for; one that became shorter is another.
#[cfg(not(unix))]
#[must_use]
pub fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => open.len() <= named.len(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
