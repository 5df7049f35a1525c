//! Looks into a script for its interpreter, before the kernel or `env` does.

use crate::{
    resolve::{not_executable, permanent, resolve},
    spawn::interpreter,
};
use mcplex_proto::transport::ConnectError;
use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

/// As much as the kernel reads of a file to tell what it is.
const HEAD: u64 = 256;

const HINT: &str = "correct the first line of the file (also its line end, which must not be CRLF), \
                    or install what it names";

/// Says why a program that was found would not run: a script whose interpreter is missing.
///
/// A start finds out by itself; this is for `mcplex check`, which starts nothing. Of a line with
/// `env` the program behind it is looked for in `path`. What cannot be judged from outside passes.
///
/// # Errors
/// Always [`ConnectError::Permanent`], of kind `bad_interpreter`, `no_shebang` or
/// `not_executable`.
pub fn check_interpreter(
    program: &Path,
    path: Option<&OsStr>,
    cwd: Option<&Path>,
) -> Result<(), ConnectError> {
    let Some(line) = interpreter(program) else { return check_format(program) };
    let missing = |name: &str| {
        let what = format!("the interpreter of {}, {name:?}, is not there", program.display());
        permanent("bad_interpreter", what, HINT, None)
    };
    // Only these two part words for the kernel, so a carriage return belongs to the name.
    let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
    let Some(name) = words.next() else { return Err(no_shebang(program, None)) };
    let file = cwd.map_or_else(|| PathBuf::from(name), |cwd| cwd.join(name));
    if !file.is_file() {
        return Err(missing(name));
    }
    if resolve(name, path, cwd).is_err() {
        return Err(not_executable(&file, None));
    }
    if file.file_name() != Some(OsStr::new("env")) {
        return Ok(());
    }
    let mut words = words.skip_while(|word| *word == "-S" || word.contains('='));
    match words.next() {
        // Some other option of `env`, which may mean anything.
        Some(option) if option.starts_with('-') => Ok(()),
        Some(name) if resolve(name, path, cwd).is_err() => Err(missing(name)),
        Some(_) | None => Ok(()),
    }
}

/// Refuses text without a first line that says what runs it.
fn check_format(program: &Path) -> Result<(), ConnectError> {
    let mut head = Vec::new();
    let read = File::open(program).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    // A program that may be executed and not be read is no script. No format has no zero in its
    // head, and no text has one.
    if read.is_err() || head.contains(&0) { Ok(()) } else { Err(no_shebang(program, None)) }
}

pub(crate) fn no_shebang(program: &Path, source: Option<io::Error>) -> ConnectError {
    let what =
        format!("{} is neither a program for this machine nor begins with #!", program.display());
    let hint = "add a first line such as #!/bin/sh, or name its interpreter as `command`";
    permanent("no_shebang", what, hint, source)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt as _};

    #[test]
    fn a_script_is_judged_as_its_start_would() {
        let home = tempfile::tempdir().unwrap();
        let script = home.path().join("script");
        let plain = home.path().join("plain");
        fs::write(&plain, "").unwrap();
        let check = |text: &str, expect: Result<(), (&str, &str)>| {
            fs::write(&script, text).unwrap();
            fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
            let path = OsStr::new("/bin:/usr/bin");
            match (check_interpreter(&script, Some(path), None), expect) {
                (Ok(()), Ok(())) => {}
                (Err(ConnectError::Permanent { kind, what, .. }), Err((expect, part))) => {
                    assert_eq!(kind, expect, "{text:?}: {what}");
                    assert!(what.contains(part), "{text:?}: {what}");
                }
                (found, expect) => panic!("{text:?}: {found:?}, not {expect:?}"),
            }
        };
        check("#!/bin/sh\necho", Ok(()));
        check("#! /bin/sh -e\n", Ok(()));
        check("#!/usr/bin/env sh\n", Ok(()));
        check("#!/usr/bin/env -S A=1 sh -e\n", Ok(()));
        check("#!/usr/bin/env --unknown\n", Ok(()));
        check("#!/no/such\n", Err(("bad_interpreter", "/no/such")));
        check("#!/bin/sh\r\n", Err(("bad_interpreter", "sh\\r")));
        check("#!/usr/bin/env no-such-program\n", Err(("bad_interpreter", "no-such-program")));
        check("#!/usr/bin/env sh\r\n", Err(("bad_interpreter", "sh\\r")));
        check(&format!("#!{}\n", plain.display()), Err(("not_executable", "plain")));
        check("echo hello\n", Err(("no_shebang", "script")));
        check("", Err(("no_shebang", "script")));
        check("#!\n", Err(("no_shebang", "script")));
        check("\x7fELF\0", Ok(()));
        assert!(check_interpreter(&std::env::current_exe().unwrap(), None, None).is_ok());
    }
}
