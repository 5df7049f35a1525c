//! The machine: descriptors, watches of files, disk, and the collector of spans.

use super::{
    finding::{Check, Finding},
    remote,
};
use crate::{
    journals,
    places::Places,
    settings::{self, Settings},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Descriptors that one server costs: two pipes, its stderr, its guard and a descriptor for its end.
const PER_SERVER: u64 = 6;

/// Descriptors for everything else: sockets, logs, a handful of clients.
const BESIDES: u64 = 128;

/// Everything but the collector; `pid` is the mcplex that runs, if one does.
pub(crate) fn checks(settings: &Settings, places: &Places, pid: Option<u32>) -> Vec<Check> {
    let mut checks = vec![Check::new("open files", open_files(settings, pid))];
    if settings.config().gateway.watch && settings.file.is_some() {
        checks.extend(watches().map(|finding| Check::new("file watch", finding)));
    }
    let state = places.state(settings.config());
    if let Some(state) = &state {
        checks.push(Check::new("state", writable(state)));
        checks.extend(room(state).map(|finding| Check::new("disk", finding)));
    }
    for (what, file) in journals::files(settings) {
        checks.push(Check::new(what, kept(what, &file, pid)));
        // One that is elsewhere may be on another disk.
        let folder = file.parent().filter(|folder| state.as_deref() != Some(folder));
        checks.extend(folder.and_then(room).map(|finding| Check::new("disk", finding)));
    }
    checks
}

/// How many descriptors there may be, against what the configuration may need.
fn open_files(settings: &Settings, pid: Option<u32>) -> Finding {
    let config = settings.config();
    let servers = config.servers.iter().filter(|server| server.enabled);
    let servers: u64 = servers
        .map(|server| match server.supervise.isolation {
            mcplex_config::Isolation::Shared => 1,
            mcplex_config::Isolation::Session => server.supervise.session_limit as u64,
            mcplex_config::Isolation::Pool => server.supervise.pool_size as u64,
        })
        .sum();
    let need = servers * PER_SERVER + BESIDES + config.host.fd_reserve as u64;
    // mcplex raises the soft limit to the hard one by itself.
    let running = pid.and_then(limits_of);
    let (limit, used) = match running {
        Some((limit, used)) => (limit, Some(used)),
        None => (own_limit(), None),
    };
    let Some(limit) = limit else { return Finding::well("no limit on open files") };
    let in_use = used.map(|used| format!(", {used} are open")).unwrap_or_default();
    let what = format!("at most {limit} open files{in_use}; this configuration may need {need}");
    let is_tight = used.is_some_and(|used| used * 10 > limit * 8);
    if need > limit || is_tight {
        let hint = "raise it: LimitNOFILE= of the service (`mcplex service install` sets it), or \
                    `ulimit -Hn` in the shell that starts mcplex";
        return Finding::warning("open-files", what, hint);
    }
    Finding::well(what)
}

/// The hard limit of this process; `None` where there is none.
#[cfg(unix)]
fn own_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum
}

/// Memory is what bounds them.
#[cfg(not(unix))]
fn own_limit() -> Option<u64> {
    None
}

/// The limit of another process, which has raised it already, and how many it has open.
fn limits_of(pid: u32) -> Option<(Option<u64>, u64)> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let soft = line.split_whitespace().next()?;
    let open = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
    Some((soft.parse().ok(), open as u64))
}

/// Whether one more watch of files can be had.
#[cfg(target_os = "linux")]
fn watches() -> Option<Finding> {
    use rustix::fs::inotify;
    Some(match inotify::init(inotify::CreateFlags::CLOEXEC) {
        Ok(_) => Finding::well("changes of the file can be seen"),
        Err(error) => Finding::warning(
            "file-watch",
            format!("changes of the file cannot be seen: {error}"),
            "raise fs.inotify.max_user_instances (sysctl), or use `mcplex reload` after each change",
        ),
    })
}

/// Other systems have no such limit that could be asked for.
#[cfg(not(target_os = "linux"))]
fn watches() -> Option<Finding> {
    None
}

/// The folder itself, or the first above it that is there.
fn existing(folder: &Path) -> PathBuf {
    let found = folder.ancestors().find(|folder| folder.exists());
    found.unwrap_or(folder).to_owned()
}

/// Whether a file of lines can be written by the mcplex that runs, or by one that would; nothing is
/// written to find out.
fn kept(what: &'static str, file: &Path, running: Option<u32>) -> Finding {
    let shown = file.display();
    let (is_there, problem) = match fs::metadata(file) {
        Ok(found) if found.is_file() => (true, refuses(file)),
        Ok(_) => (true, Some("it is no regular file".to_owned())),
        Err(_) => {
            let folder = existing(file.parent().unwrap_or_else(|| Path::new(".")));
            (
                false,
                if folder.is_dir() { refuses(&folder) } else { Some("its folder is none".into()) },
            )
        }
    };
    let other = writer(file).filter(|pid| Some(*pid) != running);
    let problem = problem.or_else(|| other.map(|pid| format!("process {pid} has it")));
    match problem {
        None if is_there => Finding::well(format!("{shown} can be written")),
        None => Finding::well(format!("{shown} can be made")),
        Some(why) => {
            let what_is = format!("{shown} cannot be written: {why}");
            let hint = match other {
                Some(_) => {
                    "end that one, or name another file: two would move it away from each other"
                }
                None => "give it to this user, or name another file",
            };
            match what {
                "audit log" => {
                    Finding::broken("audit-log", what_is + "; mcplex does not start", hint)
                }
                _ => Finding::warning("log-file", what_is + "; the log goes to stderr alone", hint),
            }
        }
    }
}

/// Which process writes a file of lines, as the system lists its locks.
#[cfg(target_os = "linux")]
fn writer(file: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    let lock = fs::metadata(mcplex_journal::lock_path(file)).ok()?;
    let (major, minor) = (rustix::fs::major(lock.dev()), rustix::fs::minor(lock.dev()));
    let wanted = format!("{major:02x}:{minor:02x}:{}", lock.ino());
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        // `1: FLOCK ADVISORY WRITE 42 08:01:131073 0 EOF`
        let words: Vec<_> = line.split_whitespace().collect();
        let (kind, pid, place) = (words.get(1)?, words.get(4)?, words.get(5)?);
        if *kind == "FLOCK" && *place == wanted { pid.parse().ok() } else { None }
    })
}

/// Nothing lists them there.
#[cfg(not(target_os = "linux"))]
fn writer(_: &Path) -> Option<u32> {
    None
}

/// Why nothing can be written there.
fn refuses(path: &Path) -> Option<String> {
    use rustix::fs::{Access, access};
    access(path, Access::WRITE_OK).err().map(|error| error.to_string())
}

/// Whether logs and reports can be kept there; nothing is written to find out.
fn writable(state: &Path) -> Finding {
    let folder = existing(state);
    let shown = state.display();
    match may_write(&folder) {
        Ok(()) if folder.is_dir() => Finding::well(format!("{shown} can be written")),
        Ok(()) => state_is_wrong(format!("{} is no folder", folder.display())),
        Err(error) => state_is_wrong(format!("{} cannot be written: {error}", folder.display())),
    }
}

#[cfg(unix)]
fn may_write(folder: &Path) -> io::Result<()> {
    use rustix::fs::{Access, access};
    Ok(access(folder, Access::WRITE_OK | Access::EXEC_OK)?)
}

/// Whatever else forbids it shows only when it is tried.
#[cfg(not(unix))]
fn may_write(folder: &Path) -> io::Result<()> {
    match fs::metadata(folder)?.permissions().readonly() {
        true => Err(io::ErrorKind::PermissionDenied.into()),
        false => Ok(()),
    }
}

fn state_is_wrong(what: String) -> Finding {
    let hint = "logs and crash reports would be kept in memory only: give the folder to this user, or \
                set `gateway.state_dir`";
    Finding::warning("state", what, hint)
}

/// How much room there is.
#[cfg(unix)]
fn room(folder: &Path) -> Option<Finding> {
    /// Below this the logs and reports of a crash loop may fill the disk within an hour.
    const LITTLE: u64 = 512 * 1024 * 1024;

    /// Below this nothing can be relied upon to be written.
    const NOTHING: u64 = 16 * 1024 * 1024;
    let found = rustix::fs::statvfs(existing(folder)).ok()?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let what = format!("{} MB free for {}", free / (1024 * 1024), folder.display());
    let hint =
        "make room; `[history]`, `[audit]` and `telemetry.log_file_total` bound what mcplex keeps";
    Some(match free {
        _ if free < NOTHING => Finding::broken("disk", what, hint),
        _ if free < LITTLE => Finding::warning("disk", what, hint),
        _ => Finding::well(what),
    })
}

/// Nobody asks there.
#[cfg(not(unix))]
fn room(_: &Path) -> Option<Finding> {
    None
}

/// Whether spans, metrics and log records would reach anybody.
pub(crate) async fn collectors(settings: &Settings) -> Vec<Check> {
    // What is impossible was refused before anything was looked at.
    let Ok(review) = settings::review_telemetry(settings) else { return Vec::new() };
    let mut checks = Vec::new();
    for (what, why) in review.problems {
        let hint = "correct the variable; docs/reference/environment.md has all that are followed";
        checks.push(Check::new(
            "telemetry",
            Finding::warning("variable", format!("{what} {why}"), hint),
        ));
    }
    for url in review.endpoints {
        let finding = match remote::reach(&url).await {
            Ok(_) => Finding::well(format!("{} takes connections", shown(&url))),
            Err(finding) => {
                let hint = "start the collector, or correct `telemetry.endpoint`; mcplex runs without \
                            it, and what is sent there is lost";
                let what = format!("{}: {}", shown(&url), finding.what);
                Finding::warning("collector", what, hint)
            }
        };
        checks.push(Check::new("collector", finding));
    }
    checks
}

/// An address without what may be a secret in it.
fn shown(url: &str) -> String {
    let Ok(mut url) = url::Url::parse(url) else { return "the collector".to_owned() };
    url.set_query(None);
    let _has_user = url.set_username("").is_ok() && url.set_password(None).is_ok();
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    #[test]
    fn a_folder_that_is_not_there_is_judged_by_the_one_above() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("a/b/c");
        assert_eq!(existing(&state), dir.path());
        assert_eq!(writable(&state).cause, None);
        fs::write(dir.path().join("file"), "").unwrap();
        assert_eq!(writable(&dir.path().join("file/b")).cause, Some("state"));
        assert!(room(&state).is_some());
    }

    #[test]
    fn a_file_of_lines_has_to_be_one_that_can_be_written() {
        let dir = tempfile::tempdir().unwrap();
        let check = |what, path: &Path, level, cause: Option<&str>| {
            let found = kept(what, path, None);
            assert_eq!((found.level, found.cause), (level, cause), "{found:?}");
        };
        let file = dir.path().join("file");
        check("log", &file, Level::Ok, None);
        fs::write(&file, "").unwrap();
        check("log", &file, Level::Ok, None);
        check("log", &file.join("below"), Level::Warning, Some("log-file"));
        check("audit log", &file.join("below"), Level::Broken, Some("audit-log"));
        check("log", dir.path(), Level::Warning, Some("log-file"));
        check("audit log", Path::new("/dev/null"), Level::Broken, Some("audit-log"));
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{FlockOperation, flock};
            let lock = fs::File::create(mcplex_journal::lock_path(&file)).unwrap();
            flock(&lock, FlockOperation::LockExclusive).unwrap();
            check("audit log", &file, Level::Broken, Some("audit-log"));
            // It is the very one that is asked about.
            assert_eq!(kept("audit log", &file, Some(std::process::id())).cause, None);
        }
    }

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        assert_eq!(shown("http://user:pw@a:4318/v1?key=s"), "http://a:4318/v1");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_limits_of_a_process_are_read() {
        let (limit, used) = limits_of(std::process::id()).unwrap();
        assert!(used > 0 && limit.is_none_or(|limit| limit > used));
    }
}
