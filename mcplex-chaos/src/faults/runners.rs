//! Servers that are started by what installs them.

use super::{FAST, tree::dies_and_stops};
use crate::{
    fault::{Case, Fault},
    setup::Setup,
};
use anyhow::{Context as _, ensure};
use std::{fs, os::unix::fs::symlink, path::PathBuf, process::Command};

pub(super) const FAULTS: &[Fault] = &[
    Fault::new("F32", "npx", "npm, sh and the server end together", npx).within(120),
    Fault::new("F33", "uvx", "uv and the server end together", uvx).quick(),
];

fn npx(case: &Case) -> anyhow::Result<String> {
    let setup = Setup::new(case)?;
    let has_npx = has_program("npx");
    let setup = if has_npx {
        let bin = setup.file("node_modules/.bin");
        fs::create_dir_all(&bin)?;
        symlink(&setup.ground.server, bin.join("a-server"))?;
        let mut args = ["--no", "--", "a-server"].map(str::to_owned).to_vec();
        args.extend(setup.with_logs("bad", &[]));
        setup.command("bad", "npx", &args, "", FAST)
    } else {
        setup.script("bad", "sh -c \"{server}; true\"; true", &[], FAST)
    };
    let gateway = setup.start()?;
    gateway.wait_event("bad", "upstream connected")?;
    let client = gateway.client_of(&["bad__echo"])?;
    let names: Vec<_> = gateway.processes_of("bad")?.into_iter().map(|one| one.name).collect();
    let how = if has_npx { "" } else { "imitated, for npx is not here: " };
    Ok(format!("{how}{names:?}: {}", dies_and_stops(gateway, client, 2)?))
}

pub(super) fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(name).is_file())
}

fn uvx(case: &Case) -> anyhow::Result<String> {
    let setup = Setup::new(case)?;
    let uvx = find_uvx();
    let setup = match &uvx {
        Some((uvx, python)) => {
            make_wheel(python, &setup)?;
            let folder = setup.dir.path().display().to_string();
            // No network, no index and no other Python: what it runs is in the folder.
            let mut args = ["--offline", "--no-index", "--find-links", &folder, "--python", python]
                .map(str::to_owned)
                .to_vec();
            args.push("a-server".to_owned());
            args.extend(setup.with_logs("bad", &[]));
            setup.command("bad", uvx, &args, "", FAST)
        }
        // It waits for the server, passes SIGTERM on and turns it into an exit code. In the
        // background a shell would give the server /dev/null for its input.
        None => setup.script(
            "bad",
            "exec 3<&0; {server} <&3 3<&- & server=$!; exec 3<&-; \
             trap 'kill $server; exit 143' TERM; wait $server",
            &[],
            FAST,
        ),
    };
    let gateway = setup.start()?;
    gateway.wait_event("bad", "upstream connected")?;
    let client = gateway.client_of(&["bad__echo"])?;
    let names: Vec<_> = gateway.processes_of("bad")?.into_iter().map(|one| one.name).collect();
    if uvx.is_some() {
        ensure!(names.iter().any(|name| name.starts_with("uv")), "no uv is among {names:?}");
    }
    let how = if uvx.is_some() { "" } else { "imitated, for uvx is not here: " };
    Ok(format!("{how}{names:?}: {}", dies_and_stops(gateway, client, 2)?))
}

/// The uvx that `interop/install.sh` has installed, or one of PATH; and a Python for it.
fn find_uvx() -> Option<(String, String)> {
    let installed = std::env::var_os("MCPLEX_INTEROP_DIR").map(PathBuf::from).and_then(|dir| {
        let bin = dir.join("uv/bin");
        let both = [bin.join("uvx"), bin.join("python")];
        both.iter().all(|file| file.is_file()).then(|| both.map(|file| file.display().to_string()))
    });
    match installed {
        Some([uvx, python]) => Some((uvx, python)),
        None if ["uvx", "python3"].iter().all(|name| has_program(name)) => {
            Some(("uvx".to_owned(), "python3".to_owned()))
        }
        None => None,
    }
}

/// A package whose only program becomes the server.
const WHEEL: &str = r#"
import sys, zipfile
folder, server = sys.argv[1:]
info = "a_server-1.dist-info/"
files = {
    "a_server.py": f"import os, sys\ndef main():\n    os.execv({server!r}, [{server!r}] + sys.argv[1:])\n",
    info + "METADATA": "Metadata-Version: 2.1\nName: a-server\nVersion: 1\n",
    info + "WHEEL": "Wheel-Version: 1.0\nGenerator: chaos\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    info + "entry_points.txt": "[console_scripts]\na-server = a_server:main\n",
}
record = info + "RECORD"
files[record] = "".join(f"{name},,\n" for name in [*files, record])
with zipfile.ZipFile(folder + "/a_server-1-py3-none-any.whl", "w") as wheel:
    for name, text in files.items():
        wheel.writestr(name, text)
"#;

fn make_wheel(python: &str, setup: &Setup) -> anyhow::Result<()> {
    let mut command = Command::new(python);
    command.args(["-c", WHEEL]).arg(setup.dir.path()).arg(&setup.ground.server);
    let status = command.status().context("no Python")?;
    ensure!(status.success(), "the package was not made: {status}");
    Ok(())
}
