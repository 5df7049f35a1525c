//! Tells a service manager how it goes, as `sd_notify` does: a line to a datagram socket.
//!
//! | said | when |
//! | --- | --- |
//! | `READY=1` | the listeners are bound; again after a reload |
//! | `RELOADING=1` | the configuration is read again |
//! | `STOPPING=1` | the first signal to stop has come |
//! | `WATCHDOG=1` | twice in the time the manager waits for it |
//! | `STATUS=` | with each, a line for people |
//!
//! The beats of the watchdog come from the loop of the gateway itself, on the one thread that moves
//! every message: when that is stuck or halted, there is no other that would go on saying it lives.
//! A manager that is not there, or does not read, costs nothing.

use std::{convert::Infallible, env, ffi::OsString, sync::Arc};
use tokio::time::{Interval, MissedTickBehavior, interval};

#[cfg(unix)]
mod manager;

#[cfg(not(unix))]
mod nobody;

#[cfg(unix)]
use manager::Manager;
#[cfg(not(unix))]
use nobody::Manager;

/// Whoever started this process, if it wants to be told; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notify(Option<Arc<Manager>>);

impl Notify {
    /// The manager that the environment names.
    pub(crate) fn of_environment() -> Self {
        Self::of(|name| env::var_os(name), std::process::id())
    }

    fn of(variable: impl Fn(&str) -> Option<OsString>, pid: u32) -> Self {
        Self(Manager::of(variable, pid).map(Arc::new))
    }

    /// Clients can connect.
    pub(crate) fn ready(&self, status: &str) {
        self.say(&format!("READY=1\n{}", status_line(status)));
    }

    /// The configuration is read again; [`ready`](Self::ready) follows.
    pub(crate) fn reloading(&self) {
        let Some(manager) = &self.0 else { return };
        let (usec, status) = (manager.now_usec(), status_line("reads its configuration again"));
        manager.say(&format!("RELOADING=1\nMONOTONIC_USEC={usec}\n{status}"));
    }

    /// The end has begun.
    pub(crate) fn stopping(&self) {
        self.say(&format!("STOPPING=1\n{}", status_line("ends its servers")));
    }

    /// The signs of life that the manager wants.
    pub(crate) fn pulse(&self) -> Pulse {
        let every = self.0.as_ref().and_then(|manager| manager.every());
        let beats = every.map(|every| {
            let mut beats = interval(every);
            // After a halt one is due, not all that were missed.
            beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
            beats
        });
        Pulse { notify: self.clone(), beats }
    }

    fn say(&self, text: &str) {
        if let Some(manager) = &self.0 {
            manager.say(text);
        }
    }
}

/// Signs of life.
#[derive(Debug)]
pub(crate) struct Pulse {
    notify: Notify,
    beats: Option<Interval>,
}

impl Pulse {
    /// Waits until the next sign of life is due, and gives it; never where nobody wants any.
    pub(crate) async fn beat(&mut self) {
        match &mut self.beats {
            Some(beats) => {
                beats.tick().await;
                self.notify.say("WATCHDOG=1");
            }
            None => std::future::pending().await,
        }
    }

    /// Gives them until it is dropped.
    pub(crate) async fn go_on(&mut self) -> Infallible {
        loop {
            self.beat().await;
        }
    }
}

/// A status is one line, whatever is in it.
fn status_line(status: &str) -> String {
    format!("STATUS={}", status.replace(['\n', '\r'], " "))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use std::{
        os::unix::net::{SocketAddr, UnixDatagram},
        time::Duration,
    };

    fn notify(vars: &[(&str, &str)]) -> Notify {
        let found = |name: &str| {
            let found = vars.iter().find(|(known, _)| *known == name)?;
            Some(OsString::from(found.1))
        };
        Notify::of(found, 7)
    }

    fn heard(socket: &UnixDatagram) -> String {
        let mut text = [0; 512];
        let length = socket.recv(&mut text).unwrap();
        String::from_utf8(text[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_socket_in_a_folder_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notify = notify(&[("NOTIFY_SOCKET", path.to_str().unwrap())]);
        notify.ready("serves 2\nupstreams");
        assert_eq!(heard(&manager), "READY=1\nSTATUS=serves 2 upstreams");
        notify.reloading();
        assert!(heard(&manager).starts_with("RELOADING=1\nMONOTONIC_USEC="));
        notify.stopping();
        assert!(heard(&manager).starts_with("STOPPING=1\n"));
        // One that has gone is no failure, and one that reads nothing holds up nobody.
        for _ in 0..10_000 {
            notify.stopping();
        }
        drop(manager);
        notify.stopping();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_socket_without_a_file_is_told() {
        use std::os::linux::net::SocketAddrExt as _;
        let name = format!("mcplex-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        notify(&[("NOTIFY_SOCKET", &format!("@{name}"))]).ready("a");
        assert_eq!(heard(&manager), "READY=1\nSTATUS=a");
    }

    #[test]
    fn signs_of_life_are_given_twice_as_often_as_they_are_wanted() {
        let every = |vars: &[(&str, &str)]| {
            let all = [&[("NOTIFY_SOCKET", "/run/x")], vars].concat();
            notify(&all).0.and_then(|manager| manager.every())
        };
        assert_eq!(every(&[("WATCHDOG_USEC", "30000000")]), Some(Duration::from_secs(15)));
        let mine = [("WATCHDOG_USEC", "2000000"), ("WATCHDOG_PID", "7")];
        assert_eq!(every(&mine), Some(Duration::from_secs(1)));
        assert_eq!(every(&[("WATCHDOG_USEC", "2000000"), ("WATCHDOG_PID", "8")]), None);
        assert_eq!(every(&[("WATCHDOG_USEC", "soon")]), None);
        assert_eq!(every(&[]), None);
    }

    #[test]
    fn who_was_not_started_by_a_manager_tells_nobody() {
        for name in ["", "vsock:2:1", "relative"] {
            assert!(notify(&[("NOTIFY_SOCKET", name)]).0.is_none(), "{name}");
        }
        notify(&[]).ready("nobody hears it");
    }
}
