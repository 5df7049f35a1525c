//! Binds the endpoint, and says who has the address when that fails.

use crate::exit::{Code, Failure};
use mcplex_transport_http::HttpListener;
use std::{
    fs,
    io::{self, ErrorKind},
    net::SocketAddr,
};

pub(crate) fn bind(address: SocketAddr) -> Result<HttpListener, Failure> {
    const OTHER: &str = "choose another address with --listen, such as --listen 127.0.0.1:0";
    HttpListener::bind(address).map_err(|error| refused(address, OTHER, &error))
}

/// Why an address could not be bound, and what to do: also `other`.
pub(crate) fn refused(address: SocketAddr, other: &str, error: &io::Error) -> Failure {
    let failure = Failure::from_error(Code::Address, format!("cannot listen on {address}"), error);
    let kind = error.kind();
    failure.with_hint(if kind == ErrorKind::AddrInUse {
        in_use(address, other)
    } else if kind == ErrorKind::PermissionDenied {
        format!("ports below 1024 belong to the administrator; {other}")
    } else if kind == ErrorKind::AddrNotAvailable {
        "no interface of this machine has that address; 127.0.0.1 always works".to_owned()
    } else {
        other.to_owned()
    })
}

fn in_use(address: SocketAddr, other: &str) -> String {
    let port = address.port();
    match holder(port) {
        Some((pid, name)) => format!("process {pid} ({name}) has port {port}: stop it, or {other}"),
        None => format!(
            "another program has port {port}: ask `ss -ltnp 'sport = :{port}'` which one, and stop it, or {other}"
        ),
    }
}

/// The process that listens at a port, as far as this user may know.
pub(crate) fn holder(port: u16) -> Option<(u32, String)> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| table.lines().filter_map(|line| listener(line, port)).collect::<Vec<_>>())
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    for process in processes {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(files) = fs::read_dir(process.path().join("fd")) else { continue };
        let has_it = files.flatten().any(|file| {
            let target = fs::read_link(file.path()).unwrap_or_default();
            inodes.iter().any(|inode| target.as_os_str() == inode.as_str())
        });
        if has_it {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some((pid, name.trim().to_owned()));
        }
    }
    None
}

/// The inode of a line of the table of sockets, if it listens at the port.
fn listener(line: &str, port: u16) -> Option<String> {
    /// `TCP_LISTEN` in the kernel's `tcp_states.h`.
    const LISTEN: &str = "0A";
    let fields: Vec<_> = line.split_whitespace().collect();
    let (_, local) = fields.get(1)?.rsplit_once(':')?;
    let is_it = u16::from_str_radix(local, 16) == Ok(port) && fields.get(3) == Some(&LISTEN);
    is_it.then(|| fields.get(9).map(|inode| (*inode).to_owned())).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_that_listens_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (pid, _) = holder(port).unwrap();
        assert_eq!(pid, std::process::id());
        drop(listener);
        assert!(holder(port).is_none());
    }
}
