//! The files through which a running mcplex is reached, and who may.
//!
//! A configuration has one name, and of all mcplexes with it one has the sockets: `NAME.sock` for
//! operators, `NAME.mcp.sock` for clients that attach. The folder lets only the user in, the
//! sockets too, and every peer is asked by the system whose process it is.
//!
//! Where there are no Unix sockets the files hold a port of the loopback address and a token that
//! a peer must say first. That part has not been tested on such a system.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix as system;

#[cfg(not(unix))]
mod loopback;
#[cfg(not(unix))]
use loopback as system;

pub(crate) use system::peer;
pub use system::{Listener, Stream, connect};

use crate::store::private_folder;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The sockets of a configuration; their files go when this is dropped.
#[derive(Debug)]
pub struct Sockets {
    pub(crate) control: Listener,
    pub(crate) clients: Listener,
    files: Files,
}

impl Sockets {
    /// Where operators connect.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.files.0[0]
    }

    /// Takes them apart: the control socket, the one for clients, and what removes their files.
    #[must_use]
    pub fn into_parts(self) -> (Listener, Listener, Files) {
        (self.control, self.clients, self.files)
    }
}

/// Who has the sockets of a configuration.
#[derive(Debug)]
pub enum Claim {
    /// This process has them now.
    Ours(Box<Sockets>),
    /// Another one has them: this is its control socket.
    Theirs(PathBuf),
}

/// The files of two sockets; removes them when it is dropped.
#[derive(Debug)]
pub struct Files([PathBuf; 2]);

impl Drop for Files {
    fn drop(&mut self) {
        for file in &self.0 {
            // One that is gone already needs no removal.
            let _is_gone = fs::remove_file(file);
        }
    }
}

/// Why a configuration can have no sockets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// No folder can be used.
    #[error("no folder for the control socket can be used; the last that was tried is {}", .folder.display())]
    NoFolder {
        /// The last one.
        folder: PathBuf,
        /// What is wrong with it.
        #[source]
        source: io::Error,
    },
    /// Nobody knows of a folder.
    #[error("no folder for the control socket is known")]
    Nowhere,
}

/// The control socket of a name in a folder.
#[must_use]
pub fn control_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.sock"))
}

/// The socket beside it for clients that attach.
#[must_use]
pub fn clients_path(control: &Path) -> PathBuf {
    control.with_extension("mcp.sock")
}

/// Takes the sockets of a name in the first folder that can be used, unless somebody has them.
///
/// What a killed process left behind is replaced.
///
/// # Errors
/// When no folder can be used.
///
/// # Panics
/// Outside of a runtime.
pub fn claim(folders: &[PathBuf], name: &str) -> Result<Claim, SocketError> {
    // Another environment may have led the other one to another folder.
    if let Some(path) = folders.iter().map(|dir| control_path(dir, name)).find(|at| is_alive(at)) {
        return Ok(Claim::Theirs(path));
    }
    let mut last = SocketError::Nowhere;
    for folder in folders {
        match claim_in(folder, name) {
            Ok(claim) => return Ok(claim),
            Err(source) => last = SocketError::NoFolder { folder: folder.clone(), source },
        }
    }
    Err(last)
}

fn claim_in(folder: &Path, name: &str) -> io::Result<Claim> {
    let control = control_path(folder, name);
    let clients = clients_path(&control);
    system::check_length(&clients)?;
    private_folder(folder)?;
    // Two that start together must not each remove what the other has just made.
    let _lock = system::lock(folder)?;
    if is_alive(&control) {
        return Ok(Claim::Theirs(control));
    }
    for stale in [&control, &clients] {
        match fs::remove_file(stale) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    // Clients first: whoever sees a control socket may attach as well.
    let (clients_listener, files) = (Listener::bind(&clients)?, Files([control.clone(), clients]));
    let control = Listener::bind(&control)?;
    Ok(Claim::Ours(Box::new(Sockets { control, clients: clients_listener, files })))
}

/// Whether somebody listens at a control socket.
fn is_alive(path: &Path) -> bool {
    path.exists() && system::answers(path)
}

/// The control sockets in these folders at which somebody listens.
#[must_use]
pub fn running(folders: &[PathBuf]) -> Vec<PathBuf> {
    let mut found: Vec<_> = folders
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.ends_with(".sock") && !name.ends_with(".mcp.sock") && is_alive(path)
        })
        .collect();
    found.sort();
    found.dedup();
    found
}
