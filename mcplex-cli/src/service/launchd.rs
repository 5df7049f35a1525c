//! The property list for launchd's user domain.

use super::Job;
use std::path::{Path, PathBuf};

/// What launchd calls it.
pub(crate) fn label(name: &str) -> String {
    format!("dev.mcplex.{name}")
}

/// Where a user's own agents are.
pub(crate) fn file(home: &Path, name: &str) -> PathBuf {
    home.join("Library/LaunchAgents").join(format!("{}.plist", label(name)))
}

/// Where its log goes: launchd keeps none.
pub(crate) fn log(home: &Path, name: &str) -> PathBuf {
    home.join("Library/Logs").join(format!("{}.log", label(name)))
}

/// The property list.
pub(crate) fn plist(job: &Job) -> String {
    let [mark, config] = job.comments();
    let text = |text: &str| format!("<string>{}</string>", escaped(text));
    let path = |path: &Path| text(&path.display().to_string());
    let (program, file, folder) = (path(&job.program), path(&job.config), path(job.folder()));
    let (label, log) = (text(&label(&job.name)), path(&log(&job.home, &job.name)));
    let (search, stop) = (text(&job.path), job.stop.as_secs());
    format!(
        "\
<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">
<!-- {} -->
<!-- {} -->
<plist version=\"1.0\">
<dict>
  <key>Label</key>{label}
  <key>ProgramArguments</key>
  <array>{program}<string>serve</string><string>-c</string>{file}</array>
  <key>WorkingDirectory</key>{folder}
  <!-- The PATH of the shell that installed it, so that npx, uvx and the like are found. -->
  <key>EnvironmentVariables</key>
  <dict><key>PATH</key>{search}</dict>
  <key>RunAtLoad</key><true/>
  <!-- Started again when it fails, and not when somebody stops it. -->
  <key>KeepAlive</key>
  <dict><key>SuccessfulExit</key><false/></dict>
  <key>ThrottleInterval</key><integer>10</integer>
  <key>ExitTimeOut</key><integer>{stop}</integer>
  <!-- The usual 256 end at about 60 servers. -->
  <key>SoftResourceLimits</key>
  <dict><key>NumberOfFiles</key><integer>65536</integer></dict>
  <key>StandardErrorPath</key>{log}
</dict>
</plist>
",
        commented(&mark),
        commented(&config),
    )
}

/// How a second dash is written in a comment, in which two in a row may not stand.
const DASH: &str = "&#45;";

/// A text as it may stand in a comment.
fn commented(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter == '-' && out.ends_with('-') {
            out.push_str(DASH);
        } else {
            out.push(letter);
        }
    }
    out
}

/// The text that was [`commented`].
pub(crate) fn uncommented(text: &str) -> String {
    text.replace(DASH, "-")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_property_list_holds_any_path() {
        let job = Job {
            name: "work".to_owned(),
            program: "/opt/a&b/mcplex".into(),
            config: "/Users/a/<x>/mcplex.toml".into(),
            path: "/opt/homebrew/bin:/usr/bin".to_owned(),
            home: "/Users/a".into(),
            stop: Duration::from_secs(21),
        };
        let plist = plist(&job);
        for part in [
            "<string>dev.mcplex.work</string>",
            "<string>/opt/a&amp;b/mcplex</string><string>serve</string><string>-c</string>",
            "<string>/Users/a/&lt;x&gt;/mcplex.toml</string></array>",
            "<key>PATH</key><string>/opt/homebrew/bin:/usr/bin</string>",
            "<string>/Users/a/Library/Logs/dev.mcplex.work.log</string>",
            "<integer>21</integer>",
        ] {
            assert!(plist.contains(part), "{part} is not in {plist}");
        }
        for dashes in ["/a--b/c.toml", "/a---b/c.toml", "/-----/c.toml", "/a/c.toml"] {
            let job = Job { config: dashes.into(), ..job.clone() };
            let plist = super::plist(&job);
            let comments = plist.lines().filter_map(|line| line.strip_prefix("<!-- "));
            for comment in comments.filter_map(|line| line.strip_suffix(" -->")) {
                assert!(!comment.contains("--"), "{comment}");
            }
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("x.plist"), plist).unwrap();
            let found = crate::service::installed(&dir.path().join("x.plist"));
            assert_eq!(found, crate::service::Installed::Yes(Some(dashes.into())));
        }
        let file = Path::new("/Users/a/Library/LaunchAgents/dev.mcplex.work.plist");
        assert_eq!(super::file(&job.home, &job.name), file);
    }
}
