//! Boundary: how an upstream is reached. Implemented by transports, called by the supervisor.

use crate::{
    id::Id,
    message::{BadMessage, Message},
    peer::Place,
    redact::Secrets,
};
use async_trait::async_trait;
use futures_core::Stream;
use futures_sink::Sink;
use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Opens connections to one upstream.
///
/// Implemented once per transport crate; called only by the supervisor.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Opens one connection.
    ///
    /// Dropping the future before it resolves leaves nothing behind.
    ///
    /// # Errors
    /// When nothing was started; see [`ConnectError`] for what may be tried again.
    async fn connect(&self) -> Result<Connection, ConnectError>;

    /// The OpenTelemetry word for what carries the bytes, such as `pipe`.
    fn network(&self) -> &'static str;

    /// Where the upstream is, for spans.
    fn place(&self) -> Place {
        Place::default()
    }

    /// The same for one of several children of an upstream, whose log lines then say which one it
    /// is; `None` where an upstream has no log that they could share.
    fn of_member(&self, _label: &str) -> Option<Arc<dyn Transport>> {
        None
    }

    /// What of its configuration is secret, so that no report shows it where the upstream says it.
    fn secrets(&self) -> Secrets {
        Secrets::default()
    }

    /// Whether an end or a silence after `server/discover` says that the other end is of the
    /// legacy era.
    ///
    /// So it is with a process of ours: some libraries give up when a message comes before
    /// `initialize`. Over a network an outage looks the same and says nothing of an era.
    fn failure_tells_era(&self) -> bool {
        false
    }
}

/// A pair of message streams and the thing that keeps them open.
pub struct Connection {
    /// Where our messages go; dropping it says that no more will come.
    pub outgoing: Outgoing,
    /// What the upstream says, in order; ends when it will say no more.
    pub incoming: Incoming,
    /// Waits for the end of the connection, and brings it about.
    pub lifeline: Box<dyn Lifeline>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("lifeline", &self.lifeline).finish_non_exhaustive()
    }
}

/// Messages on their way to an upstream.
pub type Outgoing = Pin<Box<dyn Outlet + Send>>;

/// A sink of messages that tells how far it has come, because one that is slow is not stuck.
pub trait Outlet: Sink<Message, Error = io::Error> {
    /// Bytes that have left for the upstream, as a sum that only ever grows.
    fn written(&self) -> u64;

    /// How many of them it has not taken, also once it has ended; `None` where nobody can say.
    fn unread(&self) -> Option<u64> {
        None
    }
}

/// Messages on their way from an upstream.
pub type Incoming = Pin<Box<dyn Stream<Item = Received> + Send>>;

/// One thing that came in.
#[derive(Debug)]
pub enum Received {
    /// A message.
    Message(Message),
    /// A request or notification that came with the answer to this request of ours, and so is
    /// certainly about it.
    About(Message, Id),
    /// A line that is no message: skipped and counted, never a death by itself.
    Garbage(BadMessage),
    /// Nothing after this can be trusted; the stream ends here.
    Broken(Arc<str>),
    /// It turns out only now that no connection can be had, such as by what a server over HTTP
    /// answers first; the stream ends here.
    Refused(ConnectError),
}

/// Keeps a connection open, sees its end, and ends it.
#[async_trait]
pub trait Lifeline: fmt::Debug + Send {
    /// Waits until the connection has ended by itself; cancel safe.
    async fn ended(&mut self) -> Ending;

    /// Ends the connection, politely first, and waits until nothing of it is left.
    ///
    /// The other two halves must have been dropped. What could not be ended may be tried again.
    async fn close(&mut self, grace: Grace) -> Closed;

    /// What the upstream last wrote to its log, oldest line first.
    fn last_words(&self) -> Vec<Word>;

    /// The same at any time and from anywhere, for deaths in which the process lives on.
    fn listener(&self) -> Option<LastWords> {
        None
    }

    /// The process at the other end, if it is one.
    fn pid(&self) -> Option<u32>;

    /// Tells the name of the session at any later time, where the transport knows sessions.
    fn session(&self) -> Option<SessionName> {
        None
    }

    /// What the process has used, once it has ended; `None` where nobody can say.
    fn usage(&self) -> Option<Usage> {
        None
    }
}

/// Tells the name of a session, once there is one.
pub type SessionName = Box<dyn Fn() -> Option<String> + Send>;

/// Tells what an upstream last wrote to its log, oldest line first.
pub type LastWords = Box<dyn Fn() -> Vec<Word> + Send>;

/// One line that an upstream wrote to its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// When it was read, by the wall clock: for people only, nothing is decided by it.
    pub at: SystemTime,
    /// The line, without its line break and without control characters.
    pub text: String,
}

/// Hears what an upstream writes to its log, line by line.
///
/// Called from the task that reads the log: it must not block.
pub trait LogSink: fmt::Debug + Send + Sync + 'static {
    /// A line was read.
    fn word(&self, word: &Word);
}

/// What a process and everything it waited for have used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The most memory that one process of them held at once, in bytes.
    pub peak_memory: u64,
    /// Processor time of all of them.
    pub cpu: Duration,
    /// Whether the kernel says that it ended a process for lack of memory meanwhile.
    pub out_of_memory: bool,
}

/// How long each polite step of an end may take before the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grace {
    /// After the end of input.
    pub eof: Duration,
    /// After the request to end (SIGTERM).
    pub term: Duration,
    /// After the order to end (SIGKILL); past it the end is reported as not reached.
    pub kill: Duration,
}

impl Default for Grace {
    /// 2 s each, as both official SDKs wait; 6 s for the whole ladder.
    fn default() -> Self {
        let step = Duration::from_secs(2);
        Self { eof: step, term: step, kill: step }
    }
}

/// How an end that we brought about went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// How the process ended.
    pub ending: Ending,
    /// The last step of the ladder that was needed.
    pub step: CloseStep,
    /// Whether nothing of the connection is left.
    pub is_gone: bool,
}

/// The steps of an end, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CloseStep {
    /// It had ended already.
    Ended,
    /// The end of its input was enough.
    Eof,
    /// SIGTERM was needed.
    Term,
    /// SIGKILL was needed.
    Kill,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// The process exited with this code.
    Exited(i32),
    /// The process was ended by this signal.
    Signaled(i32),
    /// What was no process of ours is no longer there, for this reason: a whole sentence.
    Lost(Arc<str>),
    /// Nobody can say.
    Unknown,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "it exited with code {code}"),
            Self::Signaled(signal) => write!(f, "it was ended by {}", signal_name(*signal)),
            Self::Lost(why) => f.write_str(why),
            Self::Unknown => f.write_str("it ended"),
        }
    }
}

/// The name of a signal as people know it: those that end processes, with the numbers that all
/// platforms share.
#[must_use]
pub fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        other => return format!("signal {other}"),
    };
    name.to_owned()
}

/// Why a connection could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Trying again cannot help until a person changes something.
    #[error("{what}; {hint}")]
    Permanent {
        /// What is wrong.
        what: String,
        /// What to do about it.
        hint: String,
        /// What the system said.
        #[source]
        source: Option<io::Error>,
        /// A closed set of words for telemetry.
        kind: &'static str,
    },
    /// There is no answer, or none that could be worked with; another try may help.
    #[error("{at} cannot be reached")]
    Unreachable {
        /// Where it should be, without secrets.
        at: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Somebody is there and answers, but not as a server of this protocol; another try may help.
    #[error("{at} answers, but opens no session")]
    Unfit {
        /// Where it is, without secrets.
        at: String,
        /// What it answered.
        #[source]
        source: io::Error,
    },
    /// The host has run out of something; that is not the upstream's fault.
    #[error("the host lacks resources to start it")]
    Resource(#[source] io::Error),
    /// Anything else; another try may help.
    #[error("it could not be started")]
    Other(#[source] io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ending_is_a_plain_sentence() {
        let check = |ending: Ending, expect: &str| assert_eq!(ending.to_string(), expect);
        check(Ending::Exited(3), "it exited with code 3");
        check(Ending::Signaled(9), "it was ended by SIGKILL");
        check(Ending::Signaled(35), "it was ended by signal 35");
    }
}
