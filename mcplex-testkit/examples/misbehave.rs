//! Starts a fake server that dies when a tool is called, and calls one.

use mcplex_testkit::fake_server;
use std::{
    io::{self, Write as _},
    process::{Command, Stdio},
};

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"}}"#;

#[expect(clippy::print_stdout, reason = "an example shows what it finds")]
fn main() -> io::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "mcplex is not what starts it")]
    let mut server = Command::new(fake_server())
        .args(["--die-on-call", "--exit", "3"])
        .stdin(Stdio::piped())
        .spawn()?;
    if let Some(stdin) = &mut server.stdin {
        writeln!(stdin, "{CALL}")?;
    }
    println!("it ended with {}", server.wait()?);
    Ok(())
}
