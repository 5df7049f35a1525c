//! Clients of other processes: how they say which configuration they mean.
//!
//! The first bytes on the socket for clients are a greeting of fixed length with the fingerprint of
//! the configuration. When the running mcplex has the same it answers with one byte, and everything
//! after that is the client's: nothing is read or changed on the way.

use crate::socket::{self, Stream};
use std::{io, path::Path, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

/// What a greeting begins with; the number is the version of this exchange.
const HELLO: &[u8; 9] = b"mcplex/1 ";

/// How long a fingerprint is.
const FINGERPRINT: usize = 16;

/// The answer to a greeting with the same fingerprint.
const SAME: u8 = b'=';

/// The answer to one with another.
const OTHER: u8 = b'!';

/// How long either side may take. A gateway that has just bound its socket may still be reading
/// its configuration, and a busy host is slow.
const PATIENCE: Duration = Duration::from_secs(10);

/// What came of an attempt to attach.
#[derive(Debug)]
pub enum Attached {
    /// The rest of the stream is the client's.
    Yes(Stream),
    /// The running mcplex has another configuration.
    Differs,
}

/// Attaches to a running mcplex of the same fingerprint.
///
/// # Errors
/// When nobody is there, or it ends meanwhile.
pub async fn attach(path: &Path, fingerprint: &str) -> io::Result<Attached> {
    let exchange = async {
        let mut stream = socket::connect(path).await?;
        stream.write_all(&greeting(fingerprint)?).await?;
        match stream.read_u8().await? {
            SAME => Ok(Attached::Yes(stream)),
            OTHER => Ok(Attached::Differs),
            _ => Err(io::Error::other("that is no mcplex")),
        }
    };
    timeout(PATIENCE, exchange).await.unwrap_or_else(|late| Err(late.into()))
}

/// Answers the greeting of a process that wants to attach; `None` when it goes away again.
///
/// # Errors
/// When it says something else, or nothing.
pub async fn welcome(mut stream: Stream, own: &str) -> io::Result<Option<Stream>> {
    let expected = greeting(own)?;
    let exchange = async {
        let mut said = [0; HELLO.len() + FINGERPRINT];
        stream.read_exact(&mut said).await?;
        if !said.starts_with(HELLO) {
            return Err(io::Error::other("that is no greeting"));
        }
        let is_same = said == expected;
        stream.write_all(&[if is_same { SAME } else { OTHER }]).await?;
        Ok(is_same)
    };
    let is_same = timeout(PATIENCE, exchange).await.unwrap_or_else(|late| Err(late.into()))?;
    Ok(is_same.then_some(stream))
}

fn greeting(fingerprint: &str) -> io::Result<[u8; HELLO.len() + FINGERPRINT]> {
    [HELLO.as_slice(), fingerprint.as_bytes()]
        .concat()
        .try_into()
        .map_err(|_| io::Error::other("a fingerprint has 16 characters"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::{Claim, claim, clients_path};

    const ONE: &str = "0000000000000001";

    async fn meet(other: &str) -> (io::Result<Attached>, io::Result<Option<Stream>>) {
        let dir = tempfile::tempdir().unwrap();
        let Claim::Ours(sockets) = claim(&[dir.path().to_owned()], "a").unwrap() else {
            panic!("nobody else is there")
        };
        let path = clients_path(sockets.path());
        let server = async { welcome(sockets.clients.accept().await?, ONE).await };
        tokio::join!(attach(&path, other), server)
    }

    #[tokio::test]
    async fn the_same_configuration_gets_the_stream() {
        let (client, server) = meet(ONE).await;
        let (Attached::Yes(mut client), Some(mut server)) = (client.unwrap(), server.unwrap())
        else {
            panic!("they are the same")
        };
        client.write_all(b"x").await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), b'x');
    }

    #[tokio::test]
    async fn another_configuration_is_told_so() {
        let (client, server) = meet("0000000000000002").await;
        assert!(matches!(client.unwrap(), Attached::Differs));
        assert!(server.unwrap().is_none());
    }

    #[tokio::test]
    async fn nobody_there_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(attach(&dir.path().join("a.mcp.sock"), ONE).await.is_err());
    }
}
