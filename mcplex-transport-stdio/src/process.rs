//! The stdin and stdout of this process, read and written without a thread where that can be.

use rustix::fs::{FileType, OFlags, fcntl_getfl, fcntl_setfl, fstat};
use std::{
    fs::File,
    io::{self, IoSlice, Write as _},
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::net::UnixStream as StdStream,
    },
    pin::Pin,
    task::{Context, Poll},
    thread,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{UnixStream, unix::pipe},
};

/// Bytes that come in.
pub type Input = Box<dyn AsyncRead + Send + Unpin>;

/// Bytes that go out.
pub type Output = Box<dyn AsyncWrite + Send + Unpin>;

/// Opens the stdin of this process; to be called once, inside a runtime.
///
/// A pipe or socket is read without a thread, and blocks again once the result was dropped. A
/// terminal or file is read by a thread that ends with the process, because a shell that shares
/// the terminal would notice if it stopped blocking.
///
/// # Errors
/// When it is closed, or the system lacks resources.
pub fn process_input() -> io::Result<Input> {
    let stdin = io::stdin();
    let own = || stdin.as_fd().try_clone_to_owned();
    match kind(stdin.as_fd())? {
        Kind::Pipe => {
            let blocking = Blocking::remember(own()?)?;
            Ok(Box::new(Lent { io: pipe::Receiver::from_owned_fd(own()?)?, blocking }))
        }
        Kind::Socket => Ok(Box::new(socket(own()?, own()?)?)),
        Kind::Other => {
            let mut file = File::from(own()?);
            let (reader, mut writer) = io::pipe()?;
            thread::Builder::new().name("stdin".to_owned()).spawn(move || {
                // Either end may go first; there is nobody left to tell.
                let _end: io::Result<u64> = io::copy(&mut file, &mut writer);
            })?;
            Ok(Box::new(pipe::Receiver::from_owned_fd(reader.into())?))
        }
    }
}

/// Opens the stdout of this process; to be called once, inside a runtime.
///
/// A pipe or socket is written without a thread, and blocks again once the result was dropped. A
/// write to a file takes no time that matters; one to a terminal may wait for the person in front
/// of it.
///
/// # Errors
/// When it is closed, or the system lacks resources.
pub fn process_output() -> io::Result<Output> {
    let stdout = io::stdout();
    let own = || stdout.as_fd().try_clone_to_owned();
    match kind(stdout.as_fd())? {
        Kind::Pipe => {
            let blocking = Blocking::remember(own()?)?;
            Ok(Box::new(Lent { io: pipe::Sender::from_owned_fd(own()?)?, blocking }))
        }
        Kind::Socket => Ok(Box::new(socket(own()?, own()?)?)),
        Kind::Other => Ok(Box::new(Direct(File::from(own()?)))),
    }
}

enum Kind {
    Pipe,
    /// Some runtimes give their children sockets for pipes.
    Socket,
    /// A terminal, a file, or a device such as `/dev/null`.
    Other,
}

fn kind(fd: BorrowedFd<'_>) -> io::Result<Kind> {
    let kind = FileType::from_raw_mode(fstat(fd)?.st_mode);
    Ok(if kind.is_fifo() {
        Kind::Pipe
    } else if kind.is_socket() {
        Kind::Socket
    } else {
        Kind::Other
    })
}

fn socket(fd: OwnedFd, other: OwnedFd) -> io::Result<Lent<UnixStream>> {
    let blocking = Blocking::remember(other)?;
    let stream = StdStream::from(fd);
    stream.set_nonblocking(true)?;
    Ok(Lent { io: UnixStream::from_std(stream)?, blocking })
}

/// The flags of a pipe or socket, which others may share with us, to be given back.
#[derive(Debug)]
struct Blocking {
    fd: OwnedFd,
    before: OFlags,
}

impl Blocking {
    fn remember(fd: OwnedFd) -> io::Result<Self> {
        let before = fcntl_getfl(&fd)?;
        Ok(Self { fd, before })
    }
}

impl Drop for Blocking {
    fn drop(&mut self) {
        // Where it fails there is nobody left whom it could trouble.
        let _result: rustix::io::Result<()> = fcntl_setfl(&self.fd, self.before);
    }
}

/// A pipe or socket that does not block while we have it.
#[derive(Debug)]
struct Lent<T> {
    io: T,
    #[expect(dead_code, reason = "it acts when it is dropped")]
    blocking: Blocking,
}

impl<T: AsyncRead + Unpin> AsyncRead for Lent<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Lent<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// A file or terminal, written as it is.
#[derive(Debug)]
struct Direct(File);

impl AsyncWrite for Direct {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.0.write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
