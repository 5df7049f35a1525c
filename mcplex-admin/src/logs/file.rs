//! Files of logs: where they are, how much all of them take, and how one is read from its end.

use super::{Limits, file_of};
use crate::store::private_folder;
use mcplex_journal::{Rotated, aside};
use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
    time::SystemTime,
};

/// Opens the file of an upstream that is written.
pub(super) fn open(folder: &Path, upstream: &str, limits: &Limits) -> io::Result<Rotated> {
    private_folder(folder)?;
    let limits = mcplex_journal::Limits {
        size: limits.size,
        age: None,
        files: limits.files,
        // All upstreams share what there is; see `sweep`.
        total: u64::MAX,
    };
    Rotated::open(&file_of(folder, upstream), &limits, now())
}

/// What people call the time.
#[expect(clippy::disallowed_methods, reason = "files are dated; nothing is decided by it")]
pub(super) fn now() -> SystemTime {
    SystemTime::now()
}

/// Removes the oldest files that are no longer written until the rest fits.
pub(super) fn sweep(folder: &Path, total: u64) -> io::Result<()> {
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
    let older = aside(&path)?.into_iter().rev().map(|(_, path)| path);
    let mut found: Vec<String> = Vec::new();
    for file in std::iter::once(path.clone()).chain(older) {
        let missing = lines - found.len();
        if missing == 0 {
            break;
        }
        let mut bytes = Vec::new();
        match File::open(&file) {
            Ok(mut file) => file.read_to_end(&mut bytes)?,
            // The file that is written is not there in the moment it is moved aside, and the oldest
            // may have been removed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
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
