//! An MCP server that misbehaves on purpose, and what one needs to see how others bear it.
//!
//! It knows no gateway: the program `fake-server` speaks MCP over stdio and nothing else, so it
//! can stand behind any of them. `fake-server --help` tells all it can do wrong.
//!
//! # Testing a gateway of your own
//!
//! 1. Let it start [`fake_server`] with a flag or two, and a second one without flags beside it,
//!    which must never notice: `fake-server --die-after 500`, `fake-server --no-newline-flood
//!    400000000`, `fake-server --daemon --ignore-sigterm`.
//! 2. Give it a variable of your own in its environment. [`census::with_variable`] then finds
//!    everything it started, also what left its group, session and parent, and
//!    [`census::descriptors`] tells what your gateway holds before and after.
//! 3. With `--call-log` the server writes down each call it runs, with `--spawn-log` each start,
//!    with `--record` each byte it reads: compare them with what your clients were answered.
//!
//! ```no_run
//! use mcplex_testkit::{census, fake_server};
//!
//! let program = fake_server();
//! // Here your gateway starts `program` with `--daemon` and MY_TEST=1 in its environment, and is
//! // killed; then nothing may be left:
//! assert!(census::with_variable("MY_TEST", "1")?.is_empty());
//! # Ok::<(), std::io::Error>(())
//! ```

mod fake;

pub mod census;

pub mod wire;

pub mod otlp;

pub use fake::fake_server;
