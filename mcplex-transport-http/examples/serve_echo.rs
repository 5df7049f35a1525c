//! A gateway of a few lines behind the HTTP listener: every request is answered with its params.
//!
//! Run it, then post an `initialize` to `http://127.0.0.1:8080/mcp`. It ends with Ctrl-C.

use async_trait::async_trait;
use mcplex_proto::{
    downstream::{Arrival, Client, Gateway, Session},
    header::HeaderParams,
    message::{Notification, Request, Response},
    raw::Raw,
    version::Version,
};
use mcplex_transport_http::{HttpListener, Options};
use std::{io, sync::Arc};

struct Echo;

impl Gateway for Echo {
    fn open(&self, _: Arc<dyn Client>, _: Arrival) -> Arc<dyn Session> {
        Arc::new(Self)
    }

    fn header_params(&self, _: &str) -> Option<Arc<HeaderParams>> {
        None
    }
}

#[async_trait]
impl Session for Echo {
    async fn request(&self, request: Request) -> Option<Response> {
        let params = request.params.unwrap_or_else(Raw::empty_object);
        Some(Response::result(request.id, params))
    }

    fn notification(&self, _: Notification) {}

    fn response(&self, _: Response) {}

    fn version(&self) -> Option<Version> {
        Some(Version::LATEST_LEGACY)
    }

    fn drain(&self) {}

    fn close(&self) {}
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let listener = HttpListener::bind(([127, 0, 0, 1], 8080).into())?;
    let stop = async { drop(tokio::signal::ctrl_c().await) };
    listener.serve(Arc::new(Echo), Options::default(), stop).await;
    Ok(())
}
