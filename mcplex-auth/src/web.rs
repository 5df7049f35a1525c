//! Fetches over HTTP, within limits.
//!
//! Every request has a connection of its own: metadata, keys and tokens are fetched minutes apart,
//! and an idle connection would only be one more thing to end.

use crate::{
    address,
    address::Trust,
    fetch::{Action, Answer, Body, Fetch, FetchError, Request},
    secret::Secret,
};
use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Method, Request as HttpRequest, Response, StatusCode,
    body::Incoming,
    client::conn::http1,
    header,
    header::{HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use rustls_platform_verifier::BuilderVerifierExt as _;
use std::{
    io,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

/// How many redirects within one origin are followed; enough for a missing slash.
const REDIRECTS_MAX: usize = 3;

/// How many addresses of one name are tried; the rest would only take the time of an answer.
const ADDRESSES_MAX: usize = 4;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The limits of [`Web`].
#[derive(Clone, Debug)]
pub struct WebOptions {
    /// How long one answer may take, redirects included; 5 s. A client waits for it before its
    /// call even begins.
    pub timeout: Duration,
    /// How long an answer may be, in bytes; 256 KiB. Key sets of large providers have 10 KiB.
    pub max_body: usize,
    /// Whether documents of others may name machines of private networks; false.
    pub private_addresses: bool,
    /// Whose certificates are trusted.
    pub roots: Roots,
}

impl Default for WebOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            max_body: 256 * 1024,
            private_addresses: false,
            roots: Roots::Platform,
        }
    }
}

/// Whose certificates are trusted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Roots {
    /// Those that the system trusts.
    Platform,
    /// Only these, in PEM.
    Pem(Vec<u8>),
}

/// Fetches over HTTP.
#[derive(Debug)]
pub struct Web {
    options: WebOptions,
    /// Made when it is needed first: reading the certificates of the system takes milliseconds.
    tls: Mutex<Option<Arc<ClientConfig>>>,
}

impl Web {
    /// Fetches within these limits.
    #[must_use]
    pub fn new(options: WebOptions) -> Self {
        Self { options, tls: Mutex::new(None) }
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, FetchError> {
        let mut made = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tls) = &*made {
            return Ok(Arc::clone(tls));
        }
        let tls = Arc::new(tls(&self.options.roots).map_err(FetchError::Tls)?);
        *made = Some(Arc::clone(&tls));
        Ok(tls)
    }

    async fn follow(&self, mut request: Request) -> Result<Answer, FetchError> {
        let host = host_of(&request.url);
        for _ in 0..=REDIRECTS_MAX {
            let response = self.once(&request).await?;
            let is_document = match request.action {
                Action::Get => true,
                Action::Post { .. } | Action::Register { .. } | Action::Knock { .. } => false,
            };
            if !(response.redirect && is_document) {
                return Ok(response.answer);
            }
            let target = response.location.and_then(|to| request.url.join(&to).ok());
            match target {
                Some(url) if address::same_origin(&request.url.origin(), &url) => request.url = url,
                Some(_) | None => return Err(FetchError::Redirect { host }),
            }
        }
        Err(FetchError::Redirect { host })
    }

    async fn once(&self, request: &Request) -> Result<Once, FetchError> {
        let url = &request.url;
        address::check(url).map_err(|fault| FetchError::Url { url: url.clone(), fault })?;
        let stream = self.connect(url, &request.trust).await?;
        if url.scheme() == "http" {
            return self.exchange(stream, request).await;
        }
        let failed = |source| FetchError::Connect { host: host_of(url), source };
        let name = ServerName::try_from(name_of(url))
            .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        let tls = TlsConnector::from(self.tls()?).connect(name, stream).await.map_err(failed)?;
        self.exchange(tls, request).await
    }

    /// Connects to an address that was looked at, so that a name cannot change its meaning
    /// between the look and the connection.
    async fn connect(&self, url: &Url, trust: &Trust) -> Result<TcpStream, FetchError> {
        let host = host_of(url);
        let failed = |source| FetchError::Connect { host: host.clone(), source };
        let port = url.port_or_known_default().expect("http and https have a known port");
        let all: Vec<SocketAddr> = match url.host() {
            Some(Host::Ipv4(ip)) => vec![(ip, port).into()],
            Some(Host::Ipv6(ip)) => vec![(ip, port).into()],
            Some(Host::Domain(name)) => {
                tokio::net::lookup_host((name, port)).await.map_err(failed)?.collect()
            }
            None => Vec::new(),
        };
        let is_allowed =
            |one: &SocketAddr| trust.allows(one.ip(), url, self.options.private_addresses);
        let allowed: Vec<_> = all.iter().copied().filter(is_allowed).take(ADDRESSES_MAX).collect();
        if allowed.is_empty() && !all.is_empty() {
            return Err(FetchError::Private { host });
        }
        TcpStream::connect(&*allowed).await.map_err(failed)
    }

    async fn exchange<S>(&self, stream: S, request: &Request) -> Result<Once, FetchError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let failed = |source| FetchError::Http { host: host_of(&request.url), source };
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        let message = message(request);
        let mut exchange = pin!(async {
            let response = sender.send_request(message).await.map_err(failed)?;
            self.read(response, request).await
        });
        tokio::select! {
            done = &mut exchange => done,
            // What was read before its end is still there, and so is the reason for it.
            _ = connection => exchange.await,
        }
    }

    async fn read(
        &self,
        response: Response<Incoming>,
        request: &Request,
    ) -> Result<Once, FetchError> {
        let url = &request.url;
        let status = response.status();
        let challenge = response.headers().get(header::WWW_AUTHENTICATE);
        let challenge = challenge.and_then(|text| text.to_str().ok()).map(str::to_owned);
        let location = response.headers().get(header::LOCATION);
        let location = location.and_then(|to| to.to_str().ok()).map(str::to_owned);
        let redirect = status.is_redirection() && status != StatusCode::NOT_MODIFIED;
        let mut body = response.into_body();
        let mut bytes = Vec::new();
        let is_head_enough = matches!(request.action, Action::Knock { .. });
        while !is_head_enough && let Some(frame) = body.frame().await {
            let frame = frame.map_err(|source| FetchError::Http { host: host_of(url), source })?;
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > self.options.max_body {
                let limit = self.options.max_body;
                return Err(FetchError::TooLong { host: host_of(url), limit });
            }
            bytes.extend_from_slice(&data);
        }
        let answer = Answer { status: status.as_u16(), challenge, body: Body(bytes.into()) };
        Ok(Once { answer, redirect, location })
    }
}

#[async_trait]
impl Fetch for Web {
    async fn fetch(&self, request: Request) -> Result<Answer, FetchError> {
        let (host, limit) = (host_of(&request.url), self.options.timeout);
        let late = FetchError::Timeout { host, limit };
        timeout(limit, self.follow(request)).await.unwrap_or(Err(late))
    }
}

/// One answer, and where it points to.
struct Once {
    answer: Answer,
    redirect: bool,
    location: Option<String>,
}

fn message(request: &Request) -> HttpRequest<Full<Bytes>> {
    let url = &request.url;
    let body = match &request.action {
        Action::Get => Bytes::new(),
        Action::Post { form, .. } => Bytes::copy_from_slice(form.expose().as_bytes()),
        Action::Register { document } => document.clone(),
        Action::Knock { message, .. } => message.clone(),
    };
    let mut message = HttpRequest::new(Full::new(body));
    *message.uri_mut() = url[url::Position::BeforePath..]
        .parse()
        .expect("path and query of a URL are those of HTTP");
    let headers = message.headers_mut();
    let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
    headers.insert(header::HOST, HeaderValue::from_str(host).expect("a host of a URL is ASCII"));
    headers.insert(header::ACCEPT, JSON);
    headers.insert(header::USER_AGENT, HeaderValue::from_static("mcplex"));
    match &request.action {
        Action::Get => return message,
        Action::Post { authorization, .. } => {
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            headers.insert(header::CONTENT_TYPE, form);
            if let Some(authorization) = authorization {
                put(headers, header::AUTHORIZATION, authorization);
            }
        }
        Action::Register { .. } => {
            headers.insert(header::CONTENT_TYPE, JSON);
        }
        Action::Knock { headers: more, .. } => {
            headers.insert(header::CONTENT_TYPE, JSON);
            for (name, value) in more {
                if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
                    put(headers, name, value);
                }
            }
        }
    }
    *message.method_mut() = Method::POST;
    message
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &Secret) {
    if let Ok(mut value) = HeaderValue::from_str(value.expose()) {
        value.set_sensitive(true);
        headers.insert(name, value);
    }
}

fn tls(roots: &Roots) -> Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?;
    let builder = match roots {
        Roots::Platform => builder.with_platform_verifier()?,
        Roots::Pem(pem) => {
            let mut store = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate =
                    certificate.map_err(|error| rustls::Error::General(error.to_string()))?;
                store.add(certificate)?;
            }
            builder.with_root_certificates(store)
        }
    };
    Ok(builder.with_no_client_auth())
}

fn host_of(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

/// The host without the brackets of an IPv6 address, as certificates name it.
fn name_of(url: &Url) -> String {
    host_of(url).trim_matches(['[', ']']).to_owned()
}
