//! Starts the child: the only place of mcplex where that is done.

use crate::{
    child::{Child, Pipes},
    command::Command,
    resolve::{not_executable, nul, permanent, resolve},
    script::no_shebang,
};
use mcplex_proto::transport::ConnectError;
use rustix::io::Errno;
use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{self, Stdio},
};

/// Starts the program of `command`, without a guard, as the leader of a group of its own.
pub(crate) fn spawn(command: &Command) -> Result<(Child, Pipes), ConnectError> {
    let program = find(command)?;
    let mut child = prepare(command, program.as_os_str());
    child.args(&command.args);
    start(command, child).map_err(|error| classify(error, &program))
}

#[cfg(target_os = "linux")]
fn start(command: &Command, mut child: process::Command) -> io::Result<(Child, Pipes)> {
    use crate::linux::{
        Lowered, VARIABLE, lower_limit,
        trees::{Trees, Turn},
    };
    let turn = Turn::wait();
    let (tree, cookie) = Trees::lock().next(command.name.as_str(), false);
    if let Some(cookie) = cookie {
        child.env(VARIABLE, cookie.to_string());
    }
    let lowered = Lowered::for_a_child();
    let is_born_with_it = lowered.is_some();
    let started = Child::start(&mut child, &turn, tree);
    drop(lowered);
    let (child, pipes) = started?;
    if !is_born_with_it && let Some(pid) = rustix::process::Pid::from_raw(child.pid().cast_signed())
    {
        // Refused for a program that has become another user; it keeps the high limit.
        let _lowered = lower_limit(pid);
    }
    Ok((child, pipes))
}

#[cfg(not(target_os = "linux"))]
fn start(_: &Command, child: process::Command) -> io::Result<(Child, Pipes)> {
    Child::start(child)
}

/// The absolute path of the program.
pub(crate) fn find(command: &Command) -> Result<PathBuf, ConnectError> {
    let path = search_path(command);
    resolve(&command.program, path.as_deref(), command.cwd.as_deref())
}

/// A start of `program` with the pipes, variables and directory of `command`, as the leader of a
/// group of its own.
///
/// No hook runs between fork and exec, no user is changed and the path is absolute: so the
/// standard library may use `posix_spawn`, whose cost does not grow with our memory (0.2 ms
/// instead of 50 ms at 256 MiB).
pub(crate) fn prepare(command: &Command, program: &OsStr) -> process::Command {
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    let mut child = process::Command::new(program);
    child
        .envs(command.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    if let Some(cwd) = &command.cwd {
        child.current_dir(cwd);
    }
    child
}

/// The PATH the child will have.
fn search_path(command: &Command) -> Option<OsString> {
    let own = command.env.iter().rev().find(|(name, _)| name == "PATH");
    own.map(|(_, value)| OsString::from(value)).or_else(|| std::env::var_os("PATH"))
}

pub(crate) fn classify(error: io::Error, program: &Path) -> ConnectError {
    if error.kind() == io::ErrorKind::InvalidInput && error.raw_os_error().is_none() {
        return nul(Some(error));
    }
    let shown = program.display();
    match Errno::from_io_error(&error) {
        Some(Errno::MFILE | Errno::NFILE | Errno::AGAIN | Errno::NOMEM) => {
            ConnectError::Resource(error)
        }
        Some(Errno::ACCESS | Errno::PERM) => not_executable(program, Some(error)),
        // The file itself was just found, so it is the program named in its first line.
        Some(Errno::NOENT) if program.is_file() => {
            let what = match interpreter(program) {
                Some(line) => format!("the interpreter of {shown}, {line:?}, is not there"),
                None => format!("the loader of {shown} is not there"),
            };
            let hint = "correct the first line of the file (also its line end, which must not be \
                        CRLF), or install what it names";
            permanent("bad_interpreter", what, hint, Some(error))
        }
        Some(Errno::NOEXEC) => no_shebang(program, Some(error)),
        Some(Errno::TOOBIG) => {
            let what = "the arguments and the environment are too big for the system".to_owned();
            permanent("too_big", what, "make `args` or `env` smaller", Some(error))
        }
        _ => ConnectError::Other(error),
    }
}

/// What stands behind `#!`, with a carriage return if there is one.
pub(crate) fn interpreter(program: &Path) -> Option<String> {
    /// As much as the kernel reads of it.
    const FIRST_LINE: u64 = 256;
    let mut head = Vec::new();
    File::open(program).ok()?.take(FIRST_LINE).read_to_end(&mut head).ok()?;
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    Some(String::from_utf8_lossy(line).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcplex_proto::upstream::UpstreamName;
    use std::{fs, os::unix::fs::PermissionsExt as _};

    fn kind_of(command: &Command) -> &'static str {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        match spawn(command) {
            Err(ConnectError::Permanent { kind, .. }) => kind,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_no_second_try_can_heal_is_told_apart() {
        let home = tempfile::tempdir().unwrap();
        let check = |name: &str, content: &[u8], expect: &str| {
            let file = home.path().join(name);
            fs::write(&file, content).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
            let name = UpstreamName::new("test").unwrap();
            let command = Command::new(name, file.to_str().unwrap());
            assert_eq!(kind_of(&command), expect, "{}", file.display());
        };
        check("missing", b"#!/no/such/interpreter\n", "bad_interpreter");
        check("crlf", b"#!/bin/sh\r\necho\r\n", "bad_interpreter");
        check("bare", b"echo hello\n", "no_shebang");
        let sh = || Command::new(UpstreamName::new("test").unwrap(), "sh");
        assert_eq!(kind_of(&Command { args: vec!["a\0b".to_owned()], ..sh() }), "nul");
        assert_eq!(kind_of(&Command { args: vec!["x".repeat(4 << 20)], ..sh() }), "too_big");
        let env = vec![("PATH".to_owned(), "/nowhere".to_owned())];
        assert_eq!(kind_of(&Command { env, ..sh() }), "not_found");
    }

    #[test]
    fn what_the_host_lacks_is_not_the_fault_of_the_upstream() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::AGAIN, Errno::NOMEM] {
            let error = classify(errno.into(), Path::new("/bin/sh"));
            assert!(matches!(error, ConnectError::Resource(_)), "{error:?}");
        }
    }
}
