//! What a guard is told by its arguments, and what it tells back.

use crate::linux::sys::Reaped;
use rustix::io::Errno;
use std::{
    ffi::{CString, OsStr, OsString},
    os::{fd::RawFd, unix::ffi::OsStringExt as _},
    time::Duration,
};

/// The first argument of a start that is a guard's.
pub(super) const FIRST: &str = "__guard";

/// How many words come before the program.
const WORDS: usize = 6;

/// Everything a guard has to know.
#[derive(Debug)]
pub(crate) struct Orders {
    pub(crate) eof: Duration,
    pub(crate) term: Duration,
    /// The soft limit on descriptors that the server gets, if it is another than the guard's.
    pub(crate) nofile: Option<u64>,
    /// Where the guard tells whether the server was started.
    pub(crate) status: RawFd,
    /// Where it tells at the end what the server has used; negative for nowhere.
    pub(crate) usage: RawFd,
    /// Who has started it.
    pub(crate) parent: i32,
}

impl Orders {
    /// The arguments that say this, up to where the program follows.
    pub(crate) fn to_args(&self) -> [String; WORDS + 2] {
        [
            FIRST.to_owned(),
            self.eof.as_millis().to_string(),
            self.term.as_millis().to_string(),
            self.nofile.map_or_else(|| "-".to_owned(), |limit| limit.to_string()),
            self.status.to_string(),
            self.usage.to_string(),
            self.parent.to_string(),
            "--".to_owned(),
        ]
    }

    /// Reads what [`Self::to_args`] wrote behind the first word, and the program with its
    /// arguments.
    pub(super) fn read(mut args: impl Iterator<Item = OsString>) -> Option<(Self, Vec<CString>)> {
        let orders = {
            let mut word = || args.next()?.into_string().ok();
            let orders = Self {
                eof: Duration::from_millis(word()?.parse().ok()?),
                term: Duration::from_millis(word()?.parse().ok()?),
                nofile: match word()?.as_str() {
                    "-" => None,
                    limit => Some(limit.parse().ok()?),
                },
                status: word()?.parse().ok()?,
                usage: word()?.parse().ok()?,
                parent: word()?.parse().ok()?,
            };
            (args.next()? == OsStr::new("--")).then_some(orders)?
        };
        let command: Vec<_> =
            args.map(|arg| CString::new(arg.into_vec())).collect::<Result<_, _>>().ok()?;
        (!command.is_empty()).then_some((orders, command))
    }
}

/// The size of a [`Record`] in a pipe.
pub(crate) const RECORD: usize = 8;

/// What a guard says once, right after it tried to start the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// It runs, as this process.
    Started(u32),
    /// The system refused.
    Refused(Errno),
}

impl Record {
    pub(crate) fn to_bytes(self) -> [u8; RECORD] {
        let (kind, value) = match self {
            Self::Started(pid) => (1_u64, pid),
            Self::Refused(errno) => (2, errno.raw_os_error().cast_unsigned()),
        };
        (kind << 32 | u64::from(value)).to_ne_bytes()
    }

    /// Nothing if these are no bytes of a record.
    pub(crate) fn from_bytes(bytes: [u8; RECORD]) -> Option<Self> {
        let number = u64::from_ne_bytes(bytes);
        let value = u32::try_from(number & u64::from(u32::MAX)).ok()?;
        match number >> 32 {
            1 => Some(Self::Started(value)),
            2 => Some(Self::Refused(Errno::from_raw_os_error(value.cast_signed()))),
            _ => None,
        }
    }
}

/// The size of a [`Used`] in a pipe; far below what a pipe takes at once.
pub(crate) const USED: usize = 24;

/// What a guard says once, at its end: what it has waited for has used.
///
/// The system tells the parent of a guard the same, but its figure for memory is never below the
/// most that the parent itself had held when it started the guard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Used {
    /// Who says it.
    pub(crate) guard: u32,
    /// The most memory of one process, in bytes.
    pub(crate) peak_memory: u64,
    /// Processor time of all.
    pub(crate) cpu: Duration,
}

impl Used {
    pub(super) fn add(&mut self, reaped: &Reaped) {
        self.peak_memory = self.peak_memory.max(reaped.peak_memory);
        self.cpu += reaped.cpu;
    }

    pub(super) fn to_bytes(self) -> [u8; USED] {
        let micros = u64::try_from(self.cpu.as_micros()).unwrap_or(u64::MAX);
        let mut bytes = [0; USED];
        for (part, number) in
            bytes.chunks_exact_mut(8).zip([u64::from(self.guard), self.peak_memory, micros])
        {
            part.copy_from_slice(&number.to_ne_bytes());
        }
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; USED]) -> Option<Self> {
        let (numbers, _) = bytes.as_chunks::<8>();
        let [guard, peak_memory, micros] = numbers else { return None };
        Some(Self {
            guard: u32::try_from(u64::from_ne_bytes(*guard)).ok()?,
            peak_memory: u64::from_ne_bytes(*peak_memory),
            cpu: Duration::from_micros(u64::from_ne_bytes(*micros)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_understood() {
        for nofile in [None, Some(256)] {
            let told = Orders {
                eof: Duration::from_millis(2000),
                term: Duration::from_millis(7),
                nofile,
                status: 5,
                usage: -1,
                parent: 4711,
            };
            let words = told.to_args();
            let command = ["/bin/sh", "-c", "--", ""];
            let args = words.iter().map(String::as_str).chain(command).map(OsString::from);
            let (read, found) = Orders::read(args.skip(1)).unwrap();
            assert_eq!(format!("{read:?}"), format!("{told:?}"));
            assert_eq!(found, command.map(|word| CString::new(word).unwrap()));
        }
    }

    #[test]
    fn what_is_no_order_is_refused() {
        for args in [
            &[][..],
            &["1", "2", "-", "3", "4", "5", "--"],
            &["1", "2", "x", "3", "4", "5", "--", "a"],
        ] {
            assert!(Orders::read(args.iter().map(OsString::from)).is_none(), "{args:?}");
        }
    }

    #[test]
    fn a_record_comes_back_as_it_was() {
        for record in [Record::Started(u32::MAX), Record::Refused(Errno::NOENT)] {
            assert_eq!(Record::from_bytes(record.to_bytes()), Some(record));
        }
        assert_eq!(Record::from_bytes([0; RECORD]), None);
        let used = Used { guard: 7, peak_memory: 1 << 40, cpu: Duration::from_micros(1_500_000) };
        assert_eq!(Used::from_bytes(&used.to_bytes()), Some(used));
    }
}
