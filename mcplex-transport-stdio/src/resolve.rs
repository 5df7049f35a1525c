//! Finds the program of a command, or says why not.

use crate::elsewhere::elsewhere;
use mcplex_proto::transport::ConnectError;
use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
};

/// Finds the absolute path of `program`.
///
/// A name without a slash is looked for in `path`; anything else is taken from `cwd`, or from the
/// current directory of this process. `mcplex check` asks the same question, so that it gives the
/// same answer as a start would. The error of a name that `path` does not lead to says where the
/// program is instead, if it is in one of the usual folders.
///
/// # Errors
/// Always [`ConnectError::Permanent`], of kind `bad_cwd`, `nul`, `not_found` or `not_executable`.
pub fn resolve(
    program: &str,
    path: Option<&OsStr>,
    cwd: Option<&Path>,
) -> Result<PathBuf, ConnectError> {
    resolve_at_home(program, path, cwd, std::env::home_dir)
}

/// The same for a user whose folder is the one that `home` tells once it is needed.
fn resolve_at_home(
    program: &str,
    path: Option<&OsStr>,
    cwd: Option<&Path>,
    home: impl FnOnce() -> Option<PathBuf>,
) -> Result<PathBuf, ConnectError> {
    let cwd = directory(cwd)?;
    if program.contains('\0') {
        return Err(nul(None));
    }
    if let Ok(found) = which::which_in(program, path, &cwd) {
        // Entries of PATH may be relative.
        return Ok(cwd.join(found));
    }
    let is_path = program.contains('/');
    let candidates: Vec<_> = if is_path {
        vec![cwd.join(program)]
    } else {
        std::env::split_paths(path.unwrap_or_default())
            .map(|dir| cwd.join(dir).join(program))
            .collect()
    };
    if let Some(file) = candidates.iter().find(|file| file.is_file()) {
        return Err(not_executable(file, None));
    }
    if is_path {
        let named = candidates[0].display();
        let what = match candidates[0].is_dir() {
            true => format!("{named} is a folder, and no program"),
            false => format!("there is no file {named}"),
        };
        let hint = "correct `command`, or install the program there";
        return Err(permanent("not_found", what, hint, None));
    }
    Err(not_found(program, path, elsewhere(program, home().as_deref()).first()))
}

/// The error for a name that `path` does not lead to, and where such a program was seen.
fn not_found(program: &str, path: Option<&OsStr>, elsewhere: Option<&PathBuf>) -> ConnectError {
    let what = match path {
        Some(path) => format!("there is no program {program} in PATH={}", path.display()),
        None => format!("there is no program {program}, for PATH is not set"),
    };
    let Some(file) = elsewhere else {
        let hint = "install it, write its absolute path as `command`, or set PATH in `env`";
        return permanent("not_found", what, hint, None);
    };
    let what = format!("{what}, but there is {}", file.display());
    // With PATH what it starts is found as well: npx, for one, starts the node beside it.
    let folders = file.parent().map(Path::to_owned).into_iter();
    let own = std::env::split_paths(path.unwrap_or_default());
    let hint =
        match std::env::join_paths(folders.chain(own.filter(|dir| !dir.as_os_str().is_empty()))) {
            Ok(path) => {
                format!("set `env.PATH` to \"{}\", or write that path as `command`", path.display())
            }
            Err(_) => "write that path as `command`".to_owned(),
        };
    permanent("not_found", what, &hint, None)
}

/// The directory to start in, which must be there.
fn directory(cwd: Option<&Path>) -> Result<PathBuf, ConnectError> {
    let Some(cwd) = cwd else {
        return std::env::current_dir().map_err(ConnectError::Other);
    };
    let bad = |why: &str, source| {
        let what = format!("the working directory {} {why}", cwd.display());
        permanent("bad_cwd", what, "correct `cwd`, or create the directory", source)
    };
    match std::fs::metadata(cwd) {
        Ok(found) if found.is_dir() => std::path::absolute(cwd).map_err(ConnectError::Other),
        Ok(_) => Err(bad("is no directory", None)),
        Err(error) => Err(bad("cannot be used", Some(error))),
    }
}

pub(crate) fn not_executable(file: &Path, source: Option<io::Error>) -> ConnectError {
    let what = format!("{} may not be executed", file.display());
    let hint = "make it executable (chmod +x), or name its interpreter as `command`";
    permanent("not_executable", what, hint, source)
}

pub(crate) fn nul(source: Option<io::Error>) -> ConnectError {
    let what = "the command, an argument or a variable holds a NUL character".to_owned();
    permanent("nul", what, "remove the character from the configuration", source)
}

pub(crate) fn permanent(
    kind: &'static str,
    what: String,
    hint: &str,
    source: Option<io::Error>,
) -> ConnectError {
    ConnectError::Permanent { what, hint: hint.to_owned(), source, kind }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt as _};

    #[test]
    fn a_program_is_found_or_the_error_says_where_it_was_looked_for() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path();
        for (name, mode) in [("runs", 0o755), ("lies", 0o644)] {
            fs::write(dir.join(name), "#!/bin/sh\n").unwrap();
            fs::set_permissions(dir.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        let path = format!("/nowhere:{}", dir.display());
        let check = |program: &str, cwd: Option<&Path>, expect: Result<&str, (&str, &str)>| {
            let found = resolve(program, Some(OsStr::new(&path)), cwd);
            match (found, expect) {
                (Ok(file), Ok(name)) => assert_eq!(file, dir.join(name), "{program}"),
                (Err(ConnectError::Permanent { kind, what, .. }), Err((expect, part))) => {
                    assert_eq!(kind, expect, "{program}: {what}");
                    assert!(what.contains(part), "{program}: {what}");
                }
                (found, expect) => panic!("{program}: {found:?}, not {expect:?}"),
            }
        };
        check("runs", None, Ok("runs"));
        check("./runs", Some(dir), Ok("./runs"));
        check("lies", None, Err(("not_executable", "lies")));
        check("./lies", Some(dir), Err(("not_executable", "lies")));
        check("absent", None, Err(("not_found", &path)));
        check("./absent", Some(dir), Err(("not_found", "absent")));
        check("", None, Err(("not_found", &path)));
        check("./", Some(dir), Err(("not_found", "is a folder")));
        check("runs", Some(&dir.join("gone")), Err(("bad_cwd", "gone")));
        check("runs", Some(&dir.join("lies")), Err(("bad_cwd", "no directory")));
        check("ru\0ns", None, Err(("nul", "NUL")));
    }

    #[test]
    fn the_error_says_where_a_program_is_that_a_short_path_does_not_reach() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(".nvm/versions/node/v22.1.0/bin");
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("npx-of-nvm");
        fs::write(&file, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        let check = |path: Option<&str>, program: &str, expect: &[String]| {
            let home = || Some(home.path().to_owned());
            let error = resolve_at_home(program, path.map(OsStr::new), None, home).unwrap_err();
            let text = error.to_string();
            assert!(expect.iter().all(|part| text.contains(part)), "{text}");
        };
        let (file, folder) = (file.display(), folder.display());
        let here = format!("but there is {file}; set `env.PATH` to");
        check(
            Some("/usr/bin:/bin"),
            "npx-of-nvm",
            &["PATH=/usr/bin:/bin".into(), here.clone(), format!("\"{folder}:/usr/bin:/bin\"")],
        );
        check(None, "npx-of-nvm", &["PATH is not set".into(), here, format!("\"{folder}\"")]);
        check(Some("/usr/bin"), "npx-of-nobody", &["; install it, write".into()]);
    }
}
