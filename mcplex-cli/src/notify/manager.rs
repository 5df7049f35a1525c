//! A manager behind a datagram socket.

use std::{
    ffi::{OsStr, OsString},
    os::unix::{
        ffi::OsStrExt as _,
        net::{SocketAddr, UnixDatagram},
    },
    time::Duration,
};

#[derive(Debug)]
pub(super) struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
    every: Option<Duration>,
}

impl Manager {
    /// The one that these variables name to this process.
    pub(super) fn of(variable: impl Fn(&str) -> Option<OsString>, pid: u32) -> Option<Self> {
        let address = variable("NOTIFY_SOCKET").and_then(|name| address(&name))?;
        let socket = UnixDatagram::unbound().ok()?;
        // A manager that reads nothing must not halt the gateway.
        socket.set_nonblocking(true).ok()?;
        let number = |name| variable(name)?.to_str()?.parse::<u64>().ok();
        // A process below the one that is watched has the same variables.
        let is_meant = number("WATCHDOG_PID").is_none_or(|watched| watched == u64::from(pid));
        let every = number("WATCHDOG_USEC").filter(|usec| is_meant && *usec > 1);
        let every = every.map(|usec| Duration::from_micros(usec / 2));
        Some(Self { socket, address, every })
    }

    /// How often it wants a sign of life.
    pub(super) fn every(&self) -> Option<Duration> {
        self.every
    }

    pub(super) fn say(&self, text: &str) {
        // It may have ended, and no one else needs to know.
        let _is_heard = self.socket.send_to_addr(text.as_bytes(), &self.address);
    }

    /// What its clock says, in microseconds.
    #[expect(clippy::unused_self, reason = "where there is no manager there is no such clock")]
    pub(super) fn now_usec(&self) -> i64 {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1000)
    }
}

/// A path, or a name in the abstract namespace of Linux, which begins with `@`.
fn address(name: &OsStr) -> Option<SocketAddr> {
    match name.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(name).ok(),
        #[cfg(target_os = "linux")]
        [b'@', rest @ ..] => {
            use std::os::linux::net::SocketAddrExt as _;
            SocketAddr::from_abstract_name(rest).ok()
        }
        _ => None,
    }
}
