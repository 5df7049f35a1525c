//! What it writes that nobody should.

use crate::peer::Peer;
use serde_json::{Value, json};
use std::{
    io::{self, Write},
    thread,
    time::Duration,
};

/// What is written at once in a flood.
const BLOCK: usize = 64 * 1024;

/// Lines of 80 bytes, so many bytes of them.
pub(crate) fn flood(out: &mut impl Write, bytes: u64) -> io::Result<()> {
    let line = format!("{:79}\n", "flood");
    blocks(out, line.as_bytes(), bytes)
}

/// Writes lines to stderr for ever, so many bytes a second.
pub(crate) fn trickle(rate: u64) {
    const PARTS: u64 = 20;
    while flood(&mut io::stderr().lock(), rate / PARTS).is_ok() {
        thread::sleep(Duration::from_secs(1) / 20);
    }
}

/// Writes a pattern again and again.
fn blocks(out: &mut impl Write, pattern: &[u8], bytes: u64) -> io::Result<()> {
    let block = pattern.repeat(BLOCK.div_ceil(pattern.len()));
    let mut left = usize::try_from(bytes).map_err(io::Error::other)?;
    while left > 0 {
        let part = left.min(block.len());
        out.write_all(&block[..part])?;
        left -= part;
    }
    out.flush()
}

/// The parameters of a log message of that size.
pub(crate) fn long(bytes: u64) -> io::Result<Value> {
    let data = "x".repeat(usize::try_from(bytes).map_err(io::Error::other)?);
    Ok(json!({ "level": "info", "data": data }))
}

/// Writes what the flags want once the session is open.
pub(crate) fn after_handshake(peer: &Peer) -> io::Result<()> {
    let behavior = &peer.behavior;
    if behavior.bad_utf8 {
        peer.write_bytes(b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/\xff\"}\n");
    }
    if let Some(levels) = behavior.deep {
        let levels = usize::try_from(levels).map_err(io::Error::other)?;
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        let line =
            format!("{{\"jsonrpc\":\"2.0\",\"method\":\"deep\",\"params\":{open}{close}}}\n");
        peer.write_bytes(line.as_bytes());
    }
    if let Some(lines) = behavior.garbage_flood {
        blocks(&mut io::stdout().lock(), b"not a message\n", lines * 14)?;
    }
    if let Some(count) = behavior.notify_flood {
        let params = json!({ "level": "info", "data": "flood" });
        let message =
            json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": params });
        let line = format!("{message}\n");
        let bytes = u64::try_from(line.len()).map_err(io::Error::other)? * count;
        blocks(&mut io::stdout().lock(), line.as_bytes(), bytes)?;
    }
    if let Some(bytes) = behavior.long_line {
        peer.notify("notifications/message", &long(bytes)?);
    }
    if let Some(bytes) = behavior.no_newline_flood {
        blocks(&mut io::stdout().lock(), b"x", bytes)?;
    }
    Ok(())
}
