//! The unit for systemd's user manager.

use super::Job;
use std::{
    env,
    path::{Path, PathBuf},
};

/// Where a user's own units are.
pub(crate) fn file(home: &Path, name: &str) -> PathBuf {
    let config = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|it| it.is_absolute());
    let config = config.unwrap_or_else(|| home.join(".config"));
    config.join("systemd/user").join(format!("{name}.service"))
}

/// The unit, with the reason of each line in it.
pub(crate) fn unit(job: &Job) -> String {
    let [mark, config] = job.comments();
    let program = quoted(&job.program.display().to_string());
    let file = quoted(&job.config.display().to_string());
    let path = quoted(&format!("PATH={}", job.path)).replace("$$", "$");
    let folder = job.folder().display().to_string().replace('%', "%%");
    let stop = job.stop.as_secs();
    let name = &job.name;
    format!(
        "\
# {mark}
# {config}
# Changes belong into `systemctl --user edit {name}`, which keeps them in a file of their own.

[Unit]
Description=mcplex, one MCP endpoint in front of many MCP servers
# Five failures within a minute, and it stays down until somebody looks.
StartLimitIntervalSec=60
StartLimitBurst=5

[Service]
# It says when clients can connect, and that it lives; servers below it are not believed.
Type=notify
NotifyAccess=main
WatchdogSec=30
ExecStart={program} serve -c {file}
ExecReload=/bin/kill -HUP $MAINPID
WorkingDirectory={folder}
# The PATH of the shell that installed it, so that npx, uvx and the like are found.
Environment={path}
# NAME=VALUE lines for what the configuration takes from the environment.
EnvironmentFile=-%h/.config/mcplex/environment
Restart=on-failure
RestartSec=2
# A wrong command line or configuration does not get better by itself.
RestartPreventExitStatus=2 3
TimeoutStartSec=60
# Its drain, the longest end of a server, and some room.
TimeoutStopSec={stop}
# mcplex ends its servers politely by itself; what is left after that is killed.
KillMode=mixed
# When the kernel ends one server for lack of memory, the others go on.
OOMPolicy=continue
# mcplex raises its own limit to the second number; servers keep the first.
LimitNOFILE=1024:524288
# What no MCP server needs. A server that calls sudo or another setuid program needs the first one
# off. Left out on purpose, for servers would break: ProtectSystem, ProtectHome, PrivateTmp (they are
# there to touch files), MemoryDenyWriteExecute (Node.js), RestrictSUIDSGID (shared git folders),
# SystemCallFilter, RestrictNamespaces (browsers have sandboxes of their own).
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes

[Install]
WantedBy=default.target
"
    )
}

/// A word of a command line, in which neither spaces nor `%` nor `$` mean anything.
fn quoted(word: &str) -> String {
    let plain = word
        .replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('%', "%%")
        .replace('$', "$$")
        .replace('\n', "\\n");
    format!("\"{plain}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn job() -> Job {
        Job {
            name: "mcplex".to_owned(),
            program: "/opt/my 100% tools/mcplex".into(),
            config: "/home/a/$x/mcplex.toml".into(),
            path: "/home/a/.nvm/bin:/usr/bin:/odd \"one\"".to_owned(),
            home: "/home/a".into(),
            stop: Duration::from_secs(21),
        }
    }

    #[test]
    fn what_systemd_would_read_as_more_than_a_letter_is_quoted() {
        let unit = unit(&job());
        let lines = [
            r#"ExecStart="/opt/my 100%% tools/mcplex" serve -c "/home/a/$$x/mcplex.toml""#,
            r#"Environment="PATH=/home/a/.nvm/bin:/usr/bin:/odd \"one\"""#,
            "WorkingDirectory=/home/a/$x",
            "TimeoutStopSec=21",
            "# configuration: /home/a/$x/mcplex.toml",
        ];
        for line in lines {
            assert!(unit.lines().any(|it| it == line), "{line} is not in {unit}");
        }
    }
}
