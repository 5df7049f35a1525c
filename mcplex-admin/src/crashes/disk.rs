//! One file per report: `UPSTREAM/TIME-INCARNATION.json`, and for a child beside the first
//! `UPSTREAM/TIME-INCARNATION-MEMBER.json`.

use super::{Limits, newest_first};
use crate::store::{private_file, private_folder};
use mcplex_proto::report::CrashReport;
use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

/// The longest file that is read: a hundred times a report.
const MAX_FILE: u64 = 1024 * 1024;

/// The longest Unix time that can be written as a date: the last second of the year 9999.
const MAX_SECONDS: u64 = 253_402_300_799;

/// Writes a report as a whole or not at all, and removes what is too much.
pub(super) fn write(folder: &Path, report: &CrashReport, limits: &Limits) -> io::Result<()> {
    private_folder(folder)?;
    let own = folder.join(&report.upstream);
    private_folder(&own)?;
    let at = Duration::from_millis(report.at_ms).min(Duration::from_secs(MAX_SECONDS));
    // Colons mean something in paths elsewhere.
    let time = humantime::format_rfc3339_millis(UNIX_EPOCH + at).to_string().replace(':', "-");
    // `mail/s17` becomes `-s17`: what comes before it names the folder.
    let member = report.member.as_deref().and_then(|label| Some(label.rsplit_once('/')?.1));
    let member = member.map(|member| format!("-{member}")).unwrap_or_default();
    let path = own.join(format!("{time}-{}{member}.json", report.incarnation));
    let half = path.with_extension("tmp");
    let written = private_file().write(true).truncate(true).open(&half).and_then(|mut file| {
        file.write_all(&serde_json::to_vec_pretty(report)?)?;
        fs::rename(&half, &path)
    });
    if written.is_err() {
        // A half one is worth nothing; that it may not go is the same trouble again.
        let _is_gone = fs::remove_file(&half);
    }
    written?;
    prune(folder, &own, limits)
}

fn prune(folder: &Path, own: &Path, limits: &Limits) -> io::Result<()> {
    let files = files(own);
    for file in files.iter().take(files.len().saturating_sub(limits.reports)) {
        fs::remove_file(file)?;
    }
    let sized = |path: PathBuf| Some((path.metadata().ok()?.len(), path));
    let mut all: Vec<_> =
        folders(folder).iter().flat_map(|folder| self::files(folder)).filter_map(sized).collect();
    // By the time in their names, the oldest first.
    all.sort_by(|(_, one), (_, other)| one.file_name().cmp(&other.file_name()));
    let mut sum: u64 = all.iter().map(|(len, _)| len).sum();
    for (len, path) in all {
        if sum <= limits.total {
            break;
        }
        fs::remove_file(path)?;
        sum -= len;
    }
    Ok(())
}

/// The reports in a folder, all or those of one upstream, the newest first.
///
/// What cannot be read is passed over.
#[must_use]
pub fn read_all(folder: &Path, upstream: Option<&str>) -> Vec<Arc<CrashReport>> {
    let is_wanted = |path: &&PathBuf| {
        upstream.is_none_or(|name| path.file_name().is_some_and(|own| own == name))
    };
    let all = folders(folder)
        .iter()
        .filter(is_wanted)
        .flat_map(|folder| files(folder))
        .filter_map(|path| read(&path))
        .map(Arc::new)
        .collect();
    newest_first(all)
}

fn read(path: &Path) -> Option<CrashReport> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MAX_FILE).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// The folders of the upstreams.
fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// The reports of an upstream, the oldest first.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .collect();
    files.sort();
    files
}
