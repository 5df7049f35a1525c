//! Files of one log: written to the end, moved aside when long, read from the end.

use super::{Limits, file_of};
use crate::store::{private_file, private_folder};
use std::{
    fs::{self, File},
    io::{self, BufWriter, Read as _, Write as _},
    path::{Path, PathBuf},
};

/// How many files a log can have had under other settings; bounds the search for old ones.
const MAX_FILES: usize = 1000;

/// The file of an upstream that is written.
pub(super) struct Rotated {
    path: PathBuf,
    file: BufWriter<File>,
    len: u64,
    limits: Limits,
}

impl Rotated {
    pub(super) fn open(folder: &Path, upstream: &str, limits: &Limits) -> io::Result<Self> {
        private_folder(folder)?;
        let path = file_of(folder, upstream);
        let file = private_file().append(true).open(&path)?;
        let len = file.metadata()?.len();
        Ok(Self { path, file: BufWriter::new(file), len, limits: limits.clone() })
    }

    /// Adds a line; a file that would become too long is moved aside first.
    pub(super) fn write(&mut self, line: &str) -> io::Result<()> {
        let bytes = line.len() as u64 + 1;
        if self.len > 0 && self.len + bytes > self.limits.size {
            self.rotate()?;
        }
        self.file.write_all(line.as_bytes())?;
        self.file.write_all(b"\n")?;
        self.len += bytes;
        Ok(())
    }

    pub(super) fn close(mut self) -> io::Result<()> {
        self.file.flush()
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file.flush()?;
        let kept = self.limits.files.saturating_sub(1);
        // Also what more generous settings have left.
        for number in (kept.max(1)..MAX_FILES).take_while(|n| numbered(&self.path, *n).exists()) {
            fs::remove_file(numbered(&self.path, number))?;
        }
        for number in (1..kept).rev() {
            move_if_there(&numbered(&self.path, number), &numbered(&self.path, number + 1))?;
        }
        if kept == 0 {
            fs::remove_file(&self.path)?;
        } else {
            move_if_there(&self.path, &numbered(&self.path, 1))?;
        }
        let file = private_file().append(true).open(&self.path)?;
        self.file = BufWriter::new(file);
        self.len = 0;
        if let Some(folder) = self.path.parent() {
            sweep(folder, self.limits.total)?;
        }
        Ok(())
    }
}

fn numbered(path: &Path, number: usize) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

fn move_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Removes the oldest files that are no longer written until the rest fits.
fn sweep(folder: &Path, total: u64) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let (true, Ok(metadata)) = (name.contains(".log"), entry.metadata()) {
            let is_written = name.ends_with(".log");
            files.push((is_written, metadata.modified().ok(), entry.path(), metadata.len()));
        }
    }
    files.sort();
    let mut sum: u64 = files.iter().map(|(.., len)| len).sum();
    for (is_written, _, path, len) in files {
        if sum <= total || is_written {
            break;
        }
        fs::remove_file(path)?;
        sum -= len;
    }
    Ok(())
}

/// The last lines of an upstream's log, oldest first.
///
/// # Errors
/// When a file that is there cannot be read.
pub fn read_tail(folder: &Path, upstream: &str, lines: usize) -> io::Result<Vec<String>> {
    let path = file_of(folder, upstream);
    let older = (1..MAX_FILES).map(|number| numbered(&path, number));
    let mut found: Vec<String> = Vec::new();
    for file in std::iter::once(path.clone()).chain(older) {
        let missing = lines - found.len();
        if missing == 0 {
            break;
        }
        let mut bytes = Vec::new();
        match File::open(&file) {
            Ok(mut file) => file.read_to_end(&mut bytes)?,
            // The file that is written is not there in the moment it is moved aside.
            Err(error) if error.kind() == io::ErrorKind::NotFound && file == path => continue,
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        };
        let text = String::from_utf8_lossy(&bytes);
        let all: Vec<_> = text.lines().collect();
        let last = &all[all.len().saturating_sub(missing)..];
        found.splice(0..0, last.iter().map(ToString::to_string));
    }
    Ok(found)
}

/// The upstreams that have a log in a folder, sorted.
#[must_use]
pub fn upstreams(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> =
        names.filter_map(|name| Some(name.strip_suffix(".log")?.to_owned())).collect();
    names.sort();
    names
}
