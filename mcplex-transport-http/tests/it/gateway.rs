//! A gateway whose methods are a script, and a listener in front of it.

use crate::peer::{Peer, within};
use async_trait::async_trait;
use mcplex_proto::{
    downstream::{Arrival, Client, Doorman, Gateway, Session},
    edit,
    error::ErrorObject,
    header::HeaderParams,
    id::Id,
    message::{Message, Notification, Request, Response},
    raw::Raw,
    version::Version,
};
use mcplex_transport_http::{HttpListener, Options};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    sync::{Notify, Semaphore, mpsc, oneshot},
    task::JoinHandle,
};

/// What all sessions of one test share.
pub(crate) struct World {
    /// What the gateway saw, in order.
    seen: mpsc::Sender<String>,
    /// Each permit lets one held call go.
    pub(crate) release: Semaphore,
    clients: Mutex<Vec<Arc<dyn Client>>>,
}

impl World {
    /// The client that came as number `at`.
    pub(crate) fn client(&self, at: usize) -> Arc<dyn Client> {
        Arc::clone(&self.clients.lock().unwrap()[at])
    }

    fn saw(&self, what: impl Into<String>) {
        self.seen.try_send(what.into()).unwrap();
    }
}

struct Shared(Arc<World>);

impl Gateway for Shared {
    fn open(&self, client: Arc<dyn Client>, _: Arrival) -> Arc<dyn Session> {
        self.0.clients.lock().unwrap().push(Arc::clone(&client));
        let (world, version) = (Arc::clone(&self.0), Mutex::new(None));
        let (answered, drained) = (Notify::new(), Notify::new());
        Arc::new(Scripted { world, client, version, answered, drained })
    }

    /// The tool `deploy` repeats its region in a header.
    fn header_params(&self, tool: &str) -> Option<Arc<HeaderParams>> {
        let schema = r#"{"properties":{"region":{"type":"string","x-mcp-header":"Region"}}}"#;
        (tool == "deploy").then(|| Arc::new(HeaderParams::read(schema).unwrap().unwrap()))
    }
}

struct Scripted {
    world: Arc<World>,
    client: Arc<dyn Client>,
    version: Mutex<Option<Version>>,
    answered: Notify,
    drained: Notify,
}

pub(crate) fn note(text: &str) -> Message {
    Notification::new("notifications/message", Some(Raw::of(&[text]))).into()
}

pub(crate) fn ask() -> Message {
    Request::new(77, "roots/list", None).into()
}

#[async_trait]
impl Session for Scripted {
    async fn request(&self, request: Request) -> Option<Response> {
        let Request { id, method, params, .. } = request;
        let done = |result: Raw| Some(Response::result(id.clone(), result));
        match &*method {
            "initialize" => {
                let text = params.unwrap();
                if text.as_str().contains("refuse") {
                    return Some(Response::error(Some(id), &ErrorObject::new(-32603, "no")));
                }
                let version = Version::ALL.into_iter().find(|v| text.as_str().contains(v.as_str()));
                *self.version.lock().unwrap() = version;
                done(Raw::empty_object())
            }
            "echo" => done(params.unwrap_or_else(Raw::empty_object)),
            "progress" => {
                assert!(self.client.send(note("half"), Some(&id)));
                done(Raw::empty_object())
            }
            "try-progress" => done(Raw::of(&self.client.send(note("half"), Some(&id)))),
            "hold" => {
                self.world.saw(format!("hold {id}"));
                self.world.release.acquire().await.unwrap().forget();
                self.world.saw(format!("done {id}"));
                done(Raw::empty_object())
            }
            "ask" => {
                assert!(self.client.send(ask(), Some(&id)));
                self.answered.notified().await;
                done(Raw::empty_object())
            }
            "subscriptions/listen" => {
                assert!(self.client.send(note("acknowledged"), Some(&id)));
                self.world.saw(format!("listen {id}"));
                self.drained.notified().await;
                done(Raw::empty_object())
            }
            "error" => {
                let code = edit::member(params.unwrap().as_str(), "code").unwrap().get().parse();
                Some(Response::error(Some(id), &ErrorObject::new(code.unwrap(), "as you like")))
            }
            "tools/call" => done(params.unwrap_or_else(Raw::empty_object)),
            "large" => done(Raw::of(&"x".repeat(300_000))),
            "cancelled" => None,
            "bug" => {
                tokio::task::yield_now().await;
                panic!("a bug of the gateway")
            }
            other => Some(Response::error(Some(id), &ErrorObject::method_not_found(other))),
        }
    }

    fn notification(&self, notification: Notification) {
        self.world.saw(format!("notification {}", notification.method));
    }

    fn response(&self, response: Response) {
        self.world.saw(format!("response {}", response.id.unwrap_or_else(|| Id::from(0))));
        self.answered.notify_one();
    }

    fn version(&self) -> Option<Version> {
        *self.version.lock().unwrap()
    }

    fn drain(&self) {
        self.drained.notify_one();
    }

    fn close(&self) {
        self.world.saw("close");
    }
}

/// A listener on a port of its own, with its gateway.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) world: Arc<World>,
    seen: mpsc::Receiver<String>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) fn start(options: Options) -> Self {
        Self::serve(Self::bind(), options)
    }

    /// One whose requests a doorman decides on.
    pub(crate) fn guarded(options: Options, doorman: Arc<dyn Doorman>) -> Self {
        Self::serve(Self::bind().with_doorman(doorman), options)
    }

    fn bind() -> HttpListener {
        HttpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap()
    }

    fn serve(listener: HttpListener, options: Options) -> Self {
        let addr = listener.local_addr();
        let (seen, receiver) = mpsc::channel(1000);
        let world = Arc::new(World { seen, release: Semaphore::new(0), clients: Mutex::default() });
        let gateway = Arc::new(Shared(Arc::clone(&world)));
        let (stop, stopped) = oneshot::channel();
        let serve = listener.serve(gateway, options, async { drop(stopped.await) });
        #[expect(clippy::disallowed_methods, reason = "ends with the runtime of the test")]
        let task = tokio::spawn(serve);
        Self { addr, world, seen: receiver, stop: Some(stop), task }
    }

    /// What the gateway saw next.
    pub(crate) async fn saw(&mut self) -> String {
        within(self.seen.recv()).await.unwrap()
    }

    /// Tells the listener to stop.
    pub(crate) fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Waits until the listener has stopped.
    pub(crate) async fn stopped(self) {
        within(self.task).await.unwrap();
    }

    /// A new connection.
    pub(crate) async fn connect(&self) -> Peer {
        Peer::connect(self.addr).await
    }

    /// A new connection with a session of this revision.
    pub(crate) async fn open(&self, version: &str) -> Peer {
        let mut peer = self.connect().await;
        peer.initialize(version).await;
        peer
    }
}
