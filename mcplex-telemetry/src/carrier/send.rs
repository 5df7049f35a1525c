//! One export, with its attempts and its limit.

use std::io::Write as _;
use std::pin::pin;
use std::time::Duration;
use std::{error, io};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator};
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::sleep;

use super::connect::Connector;
use super::{Accepted, Batch, grpc, http};
use crate::options::Protocol;
use crate::plan::Target;

/// How often one batch is sent at most. Four is what the exporters of OpenTelemetry do.
const ATTEMPTS: u32 = 4;
/// The wait before the second attempt; each one after it waits twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait that a collector may ask for; longer ones are those of one that is gone.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// The largest answer that is read. A sentence about what was rejected is far smaller.
const ANSWER_MAX: usize = 64 * 1024;

/// Whether what fails is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    Retry,
    Once,
}

/// Why a batch did not arrive.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum SendError {
    /// Nobody is there, or the connection broke.
    #[error("{0}")]
    Connection(String),
    /// There was no answer in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The answer was a refusal of HTTP.
    #[error("the collector answered {status}{message}")]
    Status {
        status: u16,
        /// What it adds, after a colon.
        message: String,
        /// What the collector asks to wait.
        wait: Option<Duration>,
    },
    /// The answer was a refusal of gRPC.
    #[error("the collector answered {code} ({name}){message}", name = grpc::name(*code))]
    Grpc {
        code: u32,
        /// What it adds, after a colon.
        message: String,
        /// What the collector asks to wait.
        wait: Option<Duration>,
    },
    /// It could not be brought into its form, or its answer is none.
    #[error("{0}")]
    Form(String),
}

impl SendError {
    /// Whether another attempt may help.
    fn is_passing(&self) -> bool {
        match self {
            Self::Connection(_) => true,
            Self::Status { status, .. } => http::is_passing(*status),
            Self::Grpc { code, wait, .. } => grpc::is_passing(*code, wait.is_some()),
            Self::TimedOut(_) | Self::Form(_) => false,
        }
    }

    /// What the collector asks to wait before the next attempt.
    fn wait(&self) -> Option<Duration> {
        match self {
            Self::Status { wait, .. } | Self::Grpc { wait, .. } => *wait,
            Self::Connection(_) | Self::TimedOut(_) | Self::Form(_) => None,
        }
    }
}

/// Sends batches to one place.
#[derive(Debug)]
pub(super) struct Sender {
    target: Target,
    headers: HeaderMap,
    client: Client<Connector, Full<Bytes>>,
    /// Whether the end is near, and nothing waits for another attempt any more.
    hurry: watch::Sender<bool>,
}

impl Sender {
    pub(super) fn new(target: &Target) -> io::Result<Self> {
        let is_grpc = target.protocol == Protocol::Grpc;
        let connector = Connector::new(target)?;
        let client = Client::builder(TokioExecutor::new()).http2_only(is_grpc).build(connector);
        let form = match target.protocol {
            Protocol::Grpc => grpc::headers(target),
            Protocol::HttpJson | Protocol::HttpProtobuf => http::headers(target),
        };
        // What the operator says wins, but for the form of the body.
        let mut headers = target.headers.clone();
        let agent = HeaderValue::from_static(concat!("mcplex/", env!("CARGO_PKG_VERSION")));
        headers.entry(USER_AGENT).or_insert(agent);
        for (name, value) in &form {
            headers.insert(name, value.clone());
        }
        Ok(Self { target: target.clone(), headers, client, hurry: watch::Sender::new(false) })
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.target.endpoint
    }

    /// Ends each wait for another attempt, which is made at once and is the last.
    pub(super) fn hurry(&self) {
        self.hurry.send_replace(true);
    }

    /// Sends a batch until it arrived, nothing helps any more or the time is over.
    pub(super) async fn send(
        &self,
        batch: &Batch,
        patience: Patience,
        timeout: Duration,
    ) -> Result<Accepted, SendError> {
        let body = self.body(batch)?;
        let timeout = timeout.min(self.target.timeout);
        let mut limit = pin!(sleep(timeout));
        let mut hurry = self.hurry.subscribe();
        let (mut wait, mut is_last) = (FIRST_WAIT, patience == Patience::Once);
        let mut last = SendError::TimedOut(timeout);
        for attempt in 1..=ATTEMPTS {
            tokio::select! {
                () = &mut limit => return Err(last),
                result = self.once(body.clone()) => match result {
                    Ok(accepted) => return Ok(accepted),
                    Err(error) => last = error,
                },
            }
            if is_last || attempt == ATTEMPTS || !last.is_passing() {
                break;
            }
            let pause = last.wait().map_or_else(|| jittered(wait), |asked| asked.min(WAIT_MAX));
            wait *= 2;
            tokio::select! {
                () = &mut limit => return Err(last),
                () = sleep(pause) => {}
                // That nobody can be in a hurry any more is no reason to be.
                Ok(_) = hurry.wait_for(|is_near| *is_near) => is_last = true,
            }
        }
        Err(last)
    }

    fn body(&self, batch: &Batch) -> Result<Bytes, SendError> {
        let form = |error: &dyn error::Error| SendError::Form(error.to_string());
        let mut body = match self.target.protocol {
            Protocol::HttpJson => batch.to_json().map_err(|error| form(&error))?.into(),
            Protocol::HttpProtobuf | Protocol::Grpc => batch.to_protobuf(),
        };
        if self.target.gzip {
            body = gzip(&body).map_err(|error| form(&error))?.into();
        }
        Ok(match self.target.protocol {
            Protocol::Grpc => grpc::framed(&body, self.target.gzip)?,
            Protocol::HttpJson | Protocol::HttpProtobuf => body,
        })
    }

    async fn once(&self, body: Bytes) -> Result<Accepted, SendError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let response = self.client.request(request).await;
        let response = response.map_err(|error| SendError::Connection(innermost(&error)))?;
        let (head, body) = response.into_parts();
        let (trailers, body) = match Limited::new(body, ANSWER_MAX).collect().await {
            Ok(body) => (body.trailers().cloned(), body.to_bytes()),
            // How it went is in the head: what cannot be read is no more than words about it.
            Err(_) if self.target.protocol != Protocol::Grpc || !head.status.is_success() => {
                (None, Bytes::new())
            }
            Err(error) => return Err(SendError::Connection(innermost(&*error))),
        };
        match self.target.protocol {
            Protocol::Grpc => grpc::answer(&head, trailers.as_ref(), &body),
            Protocol::HttpJson => http::answer(&head, &body, Accepted::from_json),
            Protocol::HttpProtobuf => http::answer(&head, &body, Accepted::from_protobuf),
        }
    }
}

fn gzip(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::default());
    encoder.write_all(body)?;
    encoder.finish()
}

/// Adds up to half, so that many exporters do not come back at once.
fn jittered(wait: Duration) -> Duration {
    let chance = RandomIdGenerator::default().new_span_id().to_bytes()[7];
    wait + wait.mul_f64(f64::from(chance) / 512.0)
}

/// What the system says, inside of what libraries add to it.
fn innermost(error: &(dyn error::Error + 'static)) -> String {
    let mut at = error;
    // No chain is longer; the bound is against one that bites its tail.
    for _ in 0..16 {
        match at.source() {
            Some(source) => at = source,
            None => break,
        }
    }
    at.to_string()
}
