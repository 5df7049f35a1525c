//! Unix sockets: files with permissions, and peers whose user the system knows.

use rustix::{
    fs::{FlockOperation, OFlags, fcntl_setfl, flock},
    io::{Errno, FdFlags, fcntl_setfd},
    net::{self, AddressFamily, SocketAddrUnix, SocketType},
};
use std::{
    fs::{self, File},
    io,
    os::{fd::OwnedFd, unix::fs::PermissionsExt as _},
    path::Path,
    thread,
    time::Duration,
};
use tokio::net::{UnixListener, UnixStream};

/// One connection.
pub type Stream = UnixStream;

/// The longest path of a socket: the field in the system's address holds it with a final zero.
const MAX_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// How often is looked whether somebody else has finished to claim.
const LOCK_LOOKS: u32 = 50;

/// How long is waited between two looks; a claim takes less than a millisecond.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// A socket that others connect to.
#[derive(Debug)]
pub struct Listener(UnixListener);

impl Listener {
    pub(super) fn bind(path: &Path) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        // Before this line the folder keeps others out.
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(Self(listener))
    }

    /// Waits for the next process of this user; cancel safe.
    ///
    /// # Errors
    /// When the system lacks resources.
    pub async fn accept(&self) -> io::Result<Stream> {
        loop {
            let (stream, _) = self.0.accept().await?;
            if may(&stream) {
                return Ok(stream);
            }
            tracing::warn!("a process of another user was refused at the control socket");
        }
    }
}

/// Whether the peer belongs to this user, or to the administrator, who can do all of it anyway.
fn may(stream: &Stream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

/// Connects to whoever listens there.
///
/// # Errors
/// When nobody does.
pub async fn connect(path: &Path) -> io::Result<Stream> {
    let stream = UnixStream::connect(path).await?;
    if !may(&stream) {
        return Err(io::Error::other("the socket belongs to another user"));
    }
    Ok(stream)
}

/// The process that listens at the other end, if the system says so.
pub(crate) fn peer(stream: &Stream) -> Option<u32> {
    let pid = stream.peer_cred().ok()?.pid()?;
    u32::try_from(pid).ok().filter(|pid| *pid > 0)
}

/// Whether somebody listens, be it that they are too busy to accept.
pub(super) fn answers(path: &Path) -> bool {
    // A connect that blocks would wait for room in the queue of one that hangs.
    matches!(reach(path), Ok(_) | Err(Errno::AGAIN))
}

/// Connects without waiting.
fn reach(path: &Path) -> rustix::io::Result<OwnedFd> {
    let socket = net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
    fcntl_setfl(&socket, OFlags::NONBLOCK)?;
    net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

pub(super) fn check_length(path: &Path) -> io::Result<()> {
    let length = path.as_os_str().len();
    if length > MAX_PATH {
        let what =
            format!("{} has {length} bytes; a socket's path may have {MAX_PATH}", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    Ok(())
}

/// Keeps others out of a folder for a moment.
pub(super) fn lock(folder: &Path) -> io::Result<File> {
    let folder = File::open(folder)?;
    for _ in 0..LOCK_LOOKS {
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(folder),
            Err(Errno::WOULDBLOCK) => thread::sleep(LOCK_PAUSE),
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "another mcplex holds the folder"))
}

#[cfg(test)]
mod tests {
    use super::super::{Claim, claim, clients_path, control_path, running};
    use super::*;
    use std::path::PathBuf;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn ours(folder: &Path, name: &str) -> Box<super::super::Sockets> {
        match claim(&[folder.to_owned()], name).unwrap() {
            Claim::Ours(sockets) => sockets,
            Claim::Theirs(path) => panic!("somebody has {}", path.display()),
        }
    }

    #[tokio::test]
    async fn only_the_user_may_connect_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("run");
        let sockets = ours(&folder, "a");
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(mode(sockets.path()), 0o600);
        assert_eq!(mode(&clients_path(sockets.path())), 0o600);
        let (peer, accepted) = tokio::join!(connect(sockets.path()), sockets.control.accept());
        assert!(peer.is_ok() && accepted.is_ok());
        drop(sockets);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_living_owner_is_left_alone_and_a_dead_one_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let folders = [dir.path().to_owned()];
        let first = ours(dir.path(), "a");
        let path = control_path(dir.path(), "a");
        assert!(matches!(claim(&folders, "a").unwrap(), Claim::Theirs(at) if at == path));
        assert_eq!(running(&folders), std::slice::from_ref(&path));
        let other = ours(dir.path(), "b");
        assert_eq!(running(&folders).len(), 2);
        drop(other);
        // As after a kill: the file is there, and nobody listens.
        let super::super::Sockets { control, clients, files } = *first;
        drop((control, clients));
        std::mem::forget(files);
        assert!(path.exists());
        assert_eq!(running(&folders), Vec::<PathBuf>::new());
        drop(ours(dir.path(), "a"));
    }

    #[tokio::test]
    async fn an_owner_that_accepts_nobody_is_alive_and_nobody_waits_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = control_path(dir.path(), "a");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        net::listen(&listener, 1).unwrap();
        let mut queue = Vec::new();
        let full = loop {
            match reach(&path) {
                Ok(socket) => queue.push(socket),
                Err(error) => break error,
            }
            assert!(queue.len() < 100, "its queue is endless");
        };
        assert_eq!(full, Errno::AGAIN);
        let folders = [dir.path().to_owned()];
        assert_eq!(running(&folders), std::slice::from_ref(&path));
        assert!(matches!(claim(&folders, "a").unwrap(), Claim::Theirs(at) if at == path));
    }

    #[tokio::test]
    async fn a_folder_that_is_too_deep_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("x".repeat(100));
        let claimed = claim(&[deep.clone(), dir.path().join("run")], "a").unwrap();
        assert!(
            matches!(claimed, Claim::Ours(sockets) if sockets.path().starts_with(dir.path().join("run")))
        );
        let error = claim(&[deep], "a").unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("a socket's path may have"), "{cause}");
    }
}
