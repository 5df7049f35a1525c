//! Asks whoever listens at the endpoint's address who it is, without trusting a byte of the answer.
//!
//! It may be mcplex, another MCP server, a web server, a database, or something that says nothing: so
//! the request is written by hand, and of the answer a bounded piece is read for a bounded time.

use super::finding::{Check, Finding};
use crate::port;
use mcplex_config::Config;
use mcplex_proto::{handshake::title, method, modern, version::Version};
use serde_json::{Value, json};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// How long a connection, and an answer, may take on this very machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// How much of an answer is read; who we are fits many times.
const ANSWER: u64 = 64 * 1024;

/// How much of a foreign answer is shown.
const SHOWN: usize = 60;

/// Who is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Nobody,
    /// An MCP server: its `serverInfo` object.
    Mcp(String),
    /// It wants a token, as MCP servers ask for one.
    Guarded,
    /// It serves HTTP and does not know this name of the machine.
    OtherHost,
    /// Something else: what it says of itself.
    Foreign(String),
    /// It takes connections and says nothing.
    Mute,
    /// The address cannot be reached at all.
    Away(String),
}

/// Asks who listens.
pub(crate) async fn knock(address: SocketAddr, host: &str, path: &str) -> Who {
    let address = reachable(address);
    let mut stream = match timeout(PATIENCE, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => return Who::Nobody,
        Ok(Err(error)) => return Who::Away(error.to_string()),
        Err(_) => return Who::Away(format!("nothing within {} s", PATIENCE.as_secs())),
    };
    let mut answer = Vec::new();
    let exchange = async {
        stream.write_all(request(host, path).as_bytes()).await?;
        stream.take(ANSWER).read_to_end(&mut answer).await
    };
    // Some keep the connection, and their answer is there all the same.
    let _is_whole = timeout(PATIENCE, exchange).await;
    read(&answer)
}

/// One that listens everywhere is also here.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        own @ (IpAddr::V4(_) | IpAddr::V6(_)) => own,
    };
    SocketAddr::new(ip, address.port())
}

fn request(host: &str, path: &str) -> String {
    let version = Version::LATEST_MODERN;
    let meta = json!({
        modern::PROTOCOL_VERSION: version.as_str(),
        modern::CLIENT_INFO: { "name": "mcplex doctor", "version": env!("CARGO_PKG_VERSION") },
        modern::CLIENT_CAPABILITIES: {},
    });
    let method = method::DISCOVER;
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": { "_meta": meta } });
    let body = body.to_string();
    format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: {version}\r\n\
         Mcp-Method: {method}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Who it is, by the bytes of its answer.
fn read(answer: &[u8]) -> Who {
    if answer.is_empty() {
        return Who::Mute;
    }
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let first = lines.next().unwrap_or_default();
    let status = first
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split(' ').nth(1))
        .and_then(|status| status.parse::<u16>().ok());
    let Some(status) = status else {
        return Who::Foreign(format!("it does not speak HTTP, and says {:?}", cut(first)));
    };
    let header = |name: &str| {
        let mut headers = lines.clone().filter_map(|line| line.split_once(':'));
        let found = headers.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    };
    if let Some(info) = server_info(body) {
        return Who::Mcp(info);
    }
    if status == 401 && header("www-authenticate").is_some() {
        return Who::Guarded;
    }
    if status == 403 && body.contains("Host is not served here") {
        return Who::OtherHost;
    }
    let server = header("server").map(|name| format!(" as {:?}", cut(name))).unwrap_or_default();
    Who::Foreign(format!("it answers HTTP{server} with status {status}, and nothing of MCP"))
}

/// The `serverInfo` of an answer, as JSON or as an event of a stream.
fn server_info(body: &str) -> Option<String> {
    let (from, to) = (body.find('{')?, body.rfind('}')?);
    let answer: Value = serde_json::from_str(body.get(from..=to)?).ok()?;
    if answer["jsonrpc"] != "2.0" {
        return None;
    }
    let result = &answer["result"];
    let own = [&result["_meta"][modern::SERVER_INFO], &result["serverInfo"]];
    let own = own.into_iter().find(|info| info.is_object());
    Some(own.map_or_else(|| "{}".to_owned(), Value::to_string))
}

fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}

/// How clients on this machine call it.
pub(crate) fn host_of(config: &Config, address: SocketAddr) -> String {
    let is_known = address.ip().is_loopback();
    let listed = config.gateway.allowed_hosts.first().filter(|_| !is_known);
    listed.cloned().unwrap_or_else(|| reachable(address).to_string())
}

/// Whether an mcplex that does not run yet would get its addresses.
pub(crate) async fn ports(config: &Config) -> Vec<Check> {
    let clients = Some((config.gateway.listen, "port", "gateway.listen"));
    let operators = config.admin.listen.map(|address| (address, "admin port", "admin.listen"));
    let mut checks = Vec::new();
    for (address, about, setting) in clients.into_iter().chain(operators) {
        if address.port() != 0 {
            checks.push(Check::new(about, port(config, address, setting).await));
        }
    }
    checks
}

async fn port(config: &Config, address: SocketAddr, setting: &str) -> Finding {
    let who = knock(address, &host_of(config, address), &config.gateway.path).await;
    let taken = |what: String| {
        let hint = match holder(address) {
            Some(holder) => format!("stop {holder}, or choose another `{setting}`"),
            None => format!(
                "`ss -ltnp 'sport = :{}'` says who it is: stop it, or choose another `{setting}`",
                address.port()
            ),
        };
        Finding::broken("port", format!("{address} is taken: {what}"), hint)
    };
    match who {
        Who::Nobody => Finding::well(format!("{address} is free")),
        Who::Mcp(info) => taken(format!("an MCP server is there, {}", title(&info))),
        Who::Guarded => taken("something that asks for a token is there".to_owned()),
        Who::OtherHost => taken("an mcplex of another configuration is there".to_owned()),
        Who::Foreign(what) => taken(what),
        Who::Mute => taken("something is there that says nothing".to_owned()),
        // Somebody has it, and has no room for one more connection.
        Who::Away(why) if holder(address).is_some() => {
            taken(format!("it was asked in vain: {why}"))
        }
        Who::Away(why) => Finding::broken(
            "port",
            format!("{address} cannot be used: {why}"),
            format!("choose an address of this machine for `{setting}`; 127.0.0.1 always works"),
        ),
    }
}

/// Who has a port, in words.
pub(crate) fn holder(address: SocketAddr) -> Option<String> {
    port::holder(address.port()).map(|(pid, name)| format!("process {pid} ({name})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_answers_is_told_apart() {
        let foreign = |answer: &str| {
            let Who::Foreign(what) = read(answer.as_bytes()) else { panic!("{answer:?}") };
            what
        };
        assert_eq!(read(b""), Who::Mute);
        assert!(foreign("SSH-2.0-OpenSSH_9.6\r\n").contains("SSH-2.0"));
        assert!(foreign("-ERR unknown command\r\n").contains("does not speak HTTP"));
        let nginx = "HTTP/1.1 404 Not Found\r\nServer: nginx/1.24\r\n\r\n<html></html>";
        assert!(foreign(nginx).contains("nginx/1.24") && foreign(nginx).contains("404"));
        foreign("HTTP/1.1 200 OK\r\n\r\n{\"jsonrpc\":");
        foreign("HTTP/1.1 \r\n");
        foreign("\u{fffd}}{");
        assert_eq!(read(b"HTTP/1.1 401 U\r\nWWW-Authenticate: Bearer\r\n\r\n"), Who::Guarded);
    }

    #[test]
    fn an_answer_of_either_form_names_its_server() {
        let info = r#"{"name":"mcplex","version":"1"}"#;
        let json = format!(
            r#"{{"jsonrpc":"2.0","id":1,"result":{{"_meta":{{"{}":{info}}}}}}}"#,
            modern::SERVER_INFO
        );
        let plain = format!("HTTP/1.1 200 OK\r\n\r\n{json}");
        let stream =
            format!("HTTP/1.1 200 OK\r\n\r\n2f\r\nevent: message\ndata: {json}\n\n\r\n0\r\n");
        for answer in [plain, stream] {
            let Who::Mcp(found) = read(answer.as_bytes()) else { panic!("{answer}") };
            assert_eq!(title(&found), "mcplex 1");
        }
        let error = "HTTP/1.1 400 Bad\r\n\r\n{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{}}";
        assert_eq!(read(error.as_bytes()), Who::Mcp("{}".to_owned()));
    }
}
