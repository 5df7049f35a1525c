//! The stdin and stdout of this process on Windows, where threads of the runtime read and write them.

use std::io;
use tokio::io::{AsyncRead, AsyncWrite, stdin, stdout};

/// Bytes that come in.
pub type Input = Box<dyn AsyncRead + Send + Unpin>;

/// Bytes that go out.
pub type Output = Box<dyn AsyncWrite + Send + Unpin>;

/// Opens the stdin of this process; to be called once, inside a runtime.
///
/// # Errors
/// Never, here; elsewhere it may be closed.
pub fn process_input() -> io::Result<Input> {
    Ok(Box::new(stdin()))
}

/// Opens the stdout of this process; to be called once, inside a runtime.
///
/// # Errors
/// Never, here; elsewhere it may be closed.
pub fn process_output() -> io::Result<Output> {
    Ok(Box::new(stdout()))
}
