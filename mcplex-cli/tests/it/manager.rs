//! `mcplex service` with systemd itself: the manager of a user, in namespaces that end with the test.

use crate::gateway::Setup;
use std::{fs, process::Command};

/// Longer than all steps take on a busy machine.
const LIMIT: &str = "240";

/// What a shell says that there can be no manager here.
const NONE: i32 = 77;

#[test]
fn the_manager_of_a_user_starts_it_repairs_it_and_ends_it() {
    let setup = Setup::new("[gateway]\nlisten = \"127.0.0.1:0\"").server("files", &[]);
    setup.write();
    fs::write(setup.file("manager.sh"), include_str!("manager/manager.sh")).unwrap();
    fs::write(setup.file("steps.sh"), include_str!("manager/steps.sh")).unwrap();
    #[expect(clippy::disallowed_methods, reason = "bounds what is not ours")]
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", LIMIT, "sh", "manager.sh", "outside"]);
    command.args(["sh", "steps.sh", env!("CARGO_BIN_EXE_mcplex")]);
    let ran = setup.dress(command).output().unwrap();
    if ran.status.code() == Some(NONE) {
        return println!("not shown: no manager of a user can be started here");
    }
    let all = [ran.stdout, ran.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    let said = all.join("\n");
    let steps = [
        "installed: 0",
        "active: active",
        "restarted: 0",
        "answers        yes",
        "found: 0",
        "reloaded: 0",
        // By its own `Restart=`, and by the watchdog when it no longer says that it lives.
        "killed: again",
        "stopped: again",
        "uninstalled: 0",
        "left: inactive",
        "process: gone",
    ];
    let mut rest = &*said;
    for step in steps {
        let (_, after) = rest.split_once(step).unwrap_or_else(|| panic!("no {step:?} in {said}"));
        rest = after;
    }
    assert!(said.contains("says           serves 1 upstreams at http://127.0.0.1:"), "{said}");
    assert!(ran.status.success(), "{said}");
}
