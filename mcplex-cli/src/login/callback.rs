//! Where a browser is sent back to: a small server on this machine that takes one answer.
//!
//! Anybody on this machine can connect, and browsers open connections that they never use. So all
//! are read side by side within limits, and only an answer that is the awaited one ends the wait.

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use url::Url;

/// How many connections are read at once; a browser opens a handful.
const AT_ONCE: usize = 16;

/// How long the head of a request may take. It comes from this machine.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// How long the head of a request may be; a code and a state have some hundred bytes.
const HEAD_MAX: usize = 16 * 1024;

/// How long a page may take to be taken.
const PAGE_TIME: Duration = Duration::from_secs(5);

const PATH: &str = "/callback";

/// Waits for a browser on a loopback address.
#[derive(Debug)]
pub(crate) struct Callback {
    listener: TcpListener,
    url: Url,
}

/// A browser that waits to be told what came of its answer.
#[derive(Debug)]
pub(crate) struct Browser(TcpStream);

impl Callback {
    /// Listens at this port, or at a free one for 0.
    pub(crate) async fn listen(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        let address = listener.local_addr()?;
        let url = Url::parse(&format!("http://{address}{PATH}")).map_err(io::Error::other)?;
        Ok(Self { listener, url })
    }

    /// The address that the browser is sent back to.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Waits for the answer that is the awaited one; cancel safe only as a whole.
    pub(crate) async fn answer(&self, is_it: impl Fn(&Url) -> bool) -> io::Result<(Url, Browser)> {
        let mut talks = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if talks.len() < AT_ONCE => {
                    talks.push(self.talk(accepted?.0, &is_it));
                }
                Some(found) = talks.next() => if let Some(found) = found {
                    return Ok(found);
                },
            }
        }
    }

    async fn talk(
        &self,
        mut stream: TcpStream,
        is_it: &impl Fn(&Url) -> bool,
    ) -> Option<(Url, Browser)> {
        let head = timeout(HEAD_TIME, head(&mut stream)).await.ok()?.ok()?;
        let mut words = head.lines().next()?.split(' ');
        let (method, target) = (words.next()?, words.next()?);
        let url = self.url.join(target).ok();
        let browser = Browser(stream);
        match url {
            Some(url) if method != "GET" || url.path() != PATH => {
                browser.tell("404 Not Found", "There is nothing here.\n").await;
                None
            }
            Some(url) if is_it(&url) => Some((url, browser)),
            Some(_) | None => {
                let text =
                    "This is no answer to the login that mcplex waits for. It still waits.\n";
                browser.tell("400 Bad Request", text).await;
                None
            }
        }
    }
}

impl Browser {
    /// Shows a text, which may hold the words of others: it is never read as a page.
    pub(crate) async fn tell(mut self, status: &str, text: &str) {
        let page = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n\
             Referrer-Policy: no-referrer\r\nContent-Security-Policy: default-src 'none'\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{text}",
            text.len()
        );
        let told = timeout(PAGE_TIME, async {
            self.0.write_all(page.as_bytes()).await?;
            self.0.shutdown().await
        });
        // Whether it is shown decides nothing.
        let _is_told = told.await.is_ok_and(|told| told.is_ok());
    }
}

/// Reads to the end of a request's head.
async fn head(stream: &mut TcpStream) -> io::Result<String> {
    let mut bytes = Vec::new();
    while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
        if bytes.len() > HEAD_MAX || stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    String::from_utf8(bytes).map_err(io::Error::other)
}
