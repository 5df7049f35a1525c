//! Whole lines, read and written so that nothing is lost when whoever waits for them is dropped.

use bytes::{Bytes, BytesMut};
use std::{io, pin::Pin};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The longest line that is carried: what a gateway lets through by default, four times.
const MAX_LINE: usize = 64 * 1024 * 1024;

/// How much is read at once.
const CHUNK: usize = 64 * 1024;

/// Cuts what comes in into lines, each with its line break.
pub(super) struct Lines<R> {
    from: Pin<Box<R>>,
    bytes: BytesMut,
    /// How far was looked for a line break.
    seen: usize,
}

impl<R: AsyncRead> Lines<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from: Box::pin(from), bytes: BytesMut::new(), seen: 0 }
    }

    /// What came at the end without a line break.
    pub(super) fn rest(&mut self) -> Bytes {
        self.seen = 0;
        self.bytes.split().freeze()
    }

    /// The next line; cancel safe. Half a line at the end is none.
    pub(super) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            let new = self.bytes.get(self.seen..).unwrap_or_default();
            if let Some(at) = memchr::memchr(b'\n', new) {
                let line = self.bytes.split_to(self.seen + at + 1).freeze();
                self.seen = 0;
                return Ok(Some(line));
            }
            self.seen = self.bytes.len();
            if self.seen > MAX_LINE {
                let what = format!("a line is longer than {} MiB", MAX_LINE >> 20);
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            self.bytes.reserve(CHUNK);
            if self.from.read_buf(&mut self.bytes).await? == 0 {
                return Ok(None);
            }
        }
    }
}

/// What goes out, until it is written.
pub(super) struct Feed<W> {
    to: W,
    bytes: BytesMut,
}

impl<W: AsyncWrite + Unpin> Feed<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to, bytes: BytesMut::new() }
    }

    /// Adds whole lines.
    pub(super) fn push(&mut self, lines: &[u8]) {
        self.bytes.extend_from_slice(lines);
    }

    /// Writes what waits; cancel safe.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        while !self.bytes.is_empty() {
            if self.to.write_buf(&mut self.bytes).await? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        self.to.flush().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_whole_however_they_come_and_whoever_stops_waiting() {
        let (mut near, far) = tokio::io::duplex(8);
        let mut lines = Lines::new(far);
        near.write_all(b"one\ntw").await.unwrap();
        assert_eq!(lines.next().await.unwrap().unwrap(), "one\n");
        let mut waiting = Box::pin(lines.next());
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        drop(waiting);
        near.write_all(b"o\n\nrest").await.unwrap();
        drop(near);
        assert_eq!(lines.next().await.unwrap().unwrap(), "two\n");
        assert_eq!(lines.next().await.unwrap().unwrap(), "\n");
        assert_eq!(lines.next().await.unwrap(), None);
        assert_eq!(lines.rest(), "rest");
        assert!(lines.rest().is_empty());
    }

    #[tokio::test]
    async fn what_is_half_written_is_not_written_again() {
        let (near, mut far) = tokio::io::duplex(4);
        let mut feed = Feed::new(near);
        feed.push(b"123456\n");
        let mut flushing = Box::pin(feed.flush());
        assert!(futures_util::poll!(flushing.as_mut()).is_pending());
        drop(flushing);
        let mut heard = [0; 7];
        let (flushed, read) = tokio::join!(feed.flush(), far.read_exact(&mut heard));
        assert!(flushed.is_ok() && read.is_ok());
        assert_eq!(&heard, b"123456\n");
    }
}
