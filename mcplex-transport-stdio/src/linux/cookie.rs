//! The variable by which every process of a tree is known, also when all its parents are gone.

use crate::guard::stat_of;
use rustix::process::{Pid, getpid};
use std::{fmt, fs, sync::OnceLock};

/// The variable's name; every process that a server starts inherits it.
pub(crate) const VARIABLE: &str = "MCPLEX_TREE";

/// One process that starts servers, for all time until the next boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gateway {
    /// The namespace in which its number means something; another container has another one.
    pub(crate) namespace: u64,
    /// Its number.
    pub(crate) pid: i32,
    /// When it began, because numbers come back.
    pub(crate) began: u64,
}

impl Gateway {
    /// This process; nothing without `/proc`.
    pub(crate) fn own() -> Option<Self> {
        static OWN: OnceLock<Option<Gateway>> = OnceLock::new();
        *OWN.get_or_init(|| {
            let began = stat_of(getpid())?.began;
            let pid = getpid().as_raw_nonzero().get();
            Some(Self { namespace: namespace("self")?, pid, began })
        })
    }

    /// Whether it still runs, as seen from its own namespace.
    pub(crate) fn lives(&self) -> bool {
        Pid::from_raw(self.pid)
            .and_then(stat_of)
            .is_some_and(|stat| stat.began == self.began && !stat.is_dead)
    }
}

/// The number of a process's namespace of process numbers.
fn namespace(process: &str) -> Option<u64> {
    let link = fs::read_link(format!("/proc/{process}/ns/pid")).ok()?;
    // `pid:[4026531836]`
    let text = link.to_str()?;
    text.split_once('[')?.1.strip_suffix(']')?.parse().ok()
}

/// Names one start of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cookie {
    /// Who started it.
    pub(crate) gateway: Gateway,
    /// Which of its starts.
    pub(crate) tree: u64,
    /// Whether a guard holds it together.
    pub(crate) is_guarded: bool,
    /// Whose server it is.
    pub(crate) upstream: String,
}

impl Cookie {
    /// The cookie of a process, from its environment as it was at its start.
    ///
    /// Nothing for a process that is gone, is somebody else's, has none, or has cleared it.
    pub(crate) fn of(pid: Pid) -> Option<Self> {
        let environ = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).ok()?;
        let value = environ
            .split(|byte| *byte == 0)
            .find_map(|variable| variable.strip_prefix(VARIABLE.as_bytes())?.strip_prefix(b"="))?;
        Self::parse(std::str::from_utf8(value).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(6, '.');
        let gateway = Gateway {
            namespace: parts.next()?.parse().ok()?,
            pid: parts.next()?.parse().ok()?,
            began: parts.next()?.parse().ok()?,
        };
        let tree = parts.next()?.parse().ok()?;
        let is_guarded = match parts.next()? {
            "guarded" => true,
            "free" => false,
            _ => return None,
        };
        Some(Self { gateway, tree, is_guarded, upstream: parts.next()?.to_owned() })
    }
}

impl fmt::Display for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gateway: Gateway { namespace, pid, began }, tree, is_guarded, upstream } = self;
        let how = if *is_guarded { "guarded" } else { "free" };
        write!(f, "{namespace}.{pid}.{began}.{tree}.{how}.{upstream}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_comes_back_as_it_was() {
        let gateway = Gateway::own().unwrap();
        assert!(gateway.lives());
        for is_guarded in [true, false] {
            let cookie = Cookie { gateway, tree: 7, is_guarded, upstream: "a-b_c".to_owned() };
            assert_eq!(Cookie::parse(&cookie.to_string()), Some(cookie));
        }
        assert_eq!(Cookie::parse("1.2.3.4.a"), None);
        assert_eq!(Cookie::parse("1.2.3.4.maybe.a"), None);
    }

    #[test]
    fn a_number_that_came_back_is_somebody_else() {
        let own = Gateway::own().unwrap();
        assert!(!Gateway { began: own.began + 1, ..own }.lives());
    }
}
