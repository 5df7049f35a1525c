//! Ports of the loopback address: a file that only the user can read holds the port and a token,
//! and a peer is nobody until it has said the token.

use crate::store::private_file;
use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{self, Write as _},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// One connection.
pub type Stream = TcpStream;

/// How many hexadecimal digits a token has: 128 bits.
const TOKEN: usize = 32;

/// How long a peer may take to say the token.
const TOKEN_WAIT: Duration = Duration::from_secs(2);

/// How long a listener on this machine may take to be reached.
const CONNECT_WAIT: Duration = Duration::from_secs(1);

/// A port that others connect to.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    token: String,
}

impl Listener {
    pub(super) fn bind(path: &Path) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let mut bytes = [0; TOKEN / 2];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        let mut token = String::new();
        for byte in bytes {
            write!(token, "{byte:02x}").expect("a text takes everything");
        }
        let mut file = private_file().write(true).truncate(true).open(path)?;
        file.write_all(format!("{port} {token}").as_bytes())?;
        Ok(Self { listener: TcpListener::from_std(listener)?, token })
    }

    /// Waits for the next peer that knows the token; cancel safe.
    ///
    /// # Errors
    /// When the system lacks resources.
    pub async fn accept(&self) -> io::Result<Stream> {
        loop {
            let (mut stream, _) = self.listener.accept().await?;
            let mut said = [0; TOKEN];
            let read = timeout(TOKEN_WAIT, stream.read_exact(&mut said)).await;
            if matches!(read, Ok(Ok(_))) && said == *self.token.as_bytes() {
                return Ok(stream);
            }
        }
    }
}

fn address(path: &Path) -> io::Result<(SocketAddr, String)> {
    let text = fs::read_to_string(path)?;
    let parsed = text.split_once(' ').and_then(|(port, token)| {
        Some((SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().ok()?)), token.to_owned()))
    });
    parsed.ok_or_else(|| io::Error::other("the file holds no port and token"))
}

/// Connects to whoever listens there.
///
/// # Errors
/// When nobody does.
pub async fn connect(path: &Path) -> io::Result<Stream> {
    let (address, token) = address(path)?;
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(token.as_bytes()).await?;
    Ok(stream)
}

/// The process that listens at the other end, which nobody knows here.
pub(crate) fn peer(_: &Stream) -> Option<u32> {
    None
}

/// Whether somebody listens.
pub(super) fn answers(path: &Path) -> bool {
    address(path).is_ok_and(|(address, _)| {
        std::net::TcpStream::connect_timeout(&address, CONNECT_WAIT).is_ok()
    })
}

#[expect(clippy::unnecessary_wraps, reason = "Unix sockets have a limit here")]
pub(super) fn check_length(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Folders cannot be locked there; two that start in the same moment may take each other's place.
#[expect(clippy::unnecessary_wraps, reason = "Unix has a lock here")]
pub(super) fn lock(_: &Path) -> io::Result<Option<File>> {
    Ok(None)
}
