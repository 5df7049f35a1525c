//! The file that a person writes for mcplex.
//!
//! It reads settings and says where each came from; it never starts, connects or logs anything,
//! and knows no other crate of mcplex.
//!
//! Read it in this order: [`DEFAULT_TOML`] (every setting, commented), [`Sources`] (what is
//! read), [`Config::load`] (how the layers meet), [`Loaded`] (what comes out), [`ConfigError`]
//! (what a person is told). Layers from low to high: the compiled-in defaults, the file,
//! `MCPLEX_SECTION__KEY` variables, flags.
//!
//! ```
//! use mcplex_config::{Config, Document, Format, Reach, Sources};
//!
//! let text = "[[servers]]\nname = 'files'\ncommand = 'npx'\nargs = ['${WHAT}']".into();
//! let loaded = Config::load(Sources {
//!     document: Some(Document::Text { name: "mcplex.toml".into(), text, format: Format::Toml }),
//!     env: vec![("WHAT".into(), "-y".into()), ("MCPLEX_GATEWAY__PATH".into(), "/x".into())],
//!     ..Sources::default()
//! })?;
//! let Reach::Process(process) = &loaded.config.servers[0].reach else { unreachable!() };
//! assert_eq!(process.args, ["-y"]);
//! assert_eq!(loaded.origin("gateway.path"), "MCPLEX_GATEWAY__PATH");
//! assert_eq!(loaded.origin("servers.files.command"), "mcplex.toml:3");
//! # Ok::<(), Box<mcplex_config::ConfigError>>(())
//! ```

mod config;
mod supervise;

mod document;
mod sources;

mod fingerprint;
mod load;
mod loaded;

mod claude;
mod expand;
mod reach;
mod remote_auth;
mod seed;
mod server;
mod variables;

mod check;
mod difference;
mod suggest;
mod translate;
mod twice;
mod unit;

mod error;

mod reference;

pub use config::{
    Admin, AllowedArgument, Audit, AuditArguments, Auth, Config, DownReply, Gateway, History, Host,
    HttpTransport, IncomingContext, LogFormat, Naming, OtlpProtocol, Process, Propagate, Reach,
    Remote, RemoteAuth, Router, SecretPlace, Server, Telemetry, TokenGrant, Tracing,
};
pub use difference::Difference;
pub use document::{Document, Format};
pub use error::{ConfigError, Place};
pub use fingerprint::Fingerprint;
pub use loaded::{Loaded, Setting};
pub use reference::reference_page;
pub use sources::{Flags, Sources};
pub use supervise::{Era, Guard, Isolation, OnExitZero, Restart, Supervise};

/// Every setting with its default and its meaning; the lowest layer.
pub const DEFAULT_TOML: &str = include_str!("../default.toml");
