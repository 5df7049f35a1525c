//! Carries the lines of a client to the mcplex that serves it, and back, and goes on with another
//! one when that is lost.
//!
//! | state | what happens | leaves by |
//! | --- | --- | --- |
//! | carrying | lines both ways, unchanged; ids of requests are noted | the client leaves, a signal; the gateway is lost |
//! | lost | what was asked and not answered is told so, each; another gateway is looked for | one is found, or this process becomes it |
//! | opening | what the client said to open its session is said again, and the answer kept back | the answer; the gateway is lost |
//!
//! The client keeps its session: it is told that all lists may have changed, and nothing else. What
//! it had set in the old one (a log level, subscriptions to resources) is gone with that.

use crate::{
    exit::{Code, Failure},
    gateway::{self, Client, Front},
    reach::{self, Own, Place},
    settings::Settings,
    signals::{Asked, Signals},
};
use lines::{Feed, Lines};
use mcplex_admin::socket::Stream;
use mcplex_config::DownReply;
use mcplex_transport_stdio::{Input, Output};
use std::{cell::RefCell, io, pin::pin, time::Duration};
use talk::{Heard, Talk};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};

mod lines;

mod talk;

/// What is carried at once inside this process; as much as a pipe holds.
const CHUNK: usize = 64 * 1024;

/// How long the other side may take to say the rest once one side has ended.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How long a gateway may take to open a session.
const OPENING: Duration = Duration::from_secs(30);

/// How many gateways may be lost before this process serves its client by itself for good.
const MAX_LOST: u32 = 100;

/// Who is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gone {
    Client,
    Gateway,
}

/// What is left to do when a client is no longer attached.
pub(crate) enum Next {
    /// It has left, or somebody asked for the end.
    Nothing,
    /// Its gateway is lost and nobody else is one, so this process has to be.
    Serve(Box<Alone>),
}

/// A client whose gateway this process has to be.
pub(crate) struct Alone {
    pub(crate) settings: Settings,
    carrier: Carrier,
    own: Own,
    signals: Signals,
}

/// Carries until the client has left, or this process has to serve it.
pub(crate) async fn run(settings: &Settings, stream: Stream) -> Result<Next, Failure> {
    let mut signals = Signals::listen()?;
    let mut carrier = Carrier::open()?;
    let (settings, own) = tokio::select! {
        found = carrier.attached(settings.clone(), stream) => match found? {
            None => return Ok(Next::Nothing),
            Some(found) => found,
        },
        // The connection closes with the process, and the other one sees its client leave.
        () = asked(&mut signals) => return Ok(Next::Nothing),
    };
    Ok(Next::Serve(Box::new(Alone { settings, carrier, own, signals })))
}

impl Alone {
    /// Serves the client, and whoever attaches meanwhile.
    pub(crate) async fn serve(self) -> Result<(), Failure> {
        let Self { settings, mut carrier, own, signals } = self;
        tracing::info!("the mcplex that served this client has ended, so this one goes on");
        let (near, far) = tokio::io::duplex(CHUNK);
        let (input, output) = tokio::io::split(far);
        let stdio = Some(Client::new(Box::new(input), Box::new(output)));
        let front = Front { http: None, stdio, sockets: own.into_sockets() };
        let mut serving = pin!(gateway::run(&settings, front, signals));
        let mut carrying = pin!(carrier.carry_on(near));
        tokio::select! {
            result = &mut serving => {
                // What it said at last.
                let _in_time = timeout(LAST_WORDS, carrying).await.is_ok();
                result
            }
            // It ends like the client, or stays for others.
            carried = &mut carrying => {
                serving.await?;
                carried.map(drop)
            }
        }
    }
}

/// A client and what is known of its session.
struct Carrier {
    input: Lines<Input>,
    output: Feed<Output>,
    talk: RefCell<Talk>,
}

impl Carrier {
    fn open() -> Result<Self, Failure> {
        let (input, output) = Client::of_this_process()?.into_parts();
        let talk = RefCell::default();
        Ok(Self { input: Lines::new(input), output: Feed::new(output), talk })
    }

    /// Carries to one gateway after the other; `None` when the client has left.
    async fn attached(
        &mut self,
        mut settings: Settings,
        first: Stream,
    ) -> Result<Option<(Settings, Own)>, Failure> {
        let mut gone = self.carry(first).await?;
        for lost in 1.. {
            if gone == Gone::Client {
                break;
            }
            let as_results = settings.config().router.down_reply == DownReply::Result;
            self.output.push(&self.talk.get_mut().lose(as_results));
            // It may have changed, and the next gateway has to be of the same.
            settings = settings.read_again().unwrap_or(settings);
            match reach::arrive(&settings, lost < MAX_LOST).await {
                Place::Own(own) => return Ok(Some((settings, own))),
                Place::Attached(stream) => gone = self.carry_on(stream).await?,
            }
        }
        Ok(None)
    }

    /// Opens the client's session at another gateway, and carries.
    async fn carry_on(&mut self, stream: impl AsyncRead + AsyncWrite) -> Result<Gone, Failure> {
        let (from, to) = tokio::io::split(stream);
        let (mut from, mut to) = (Lines::new(from), pin!(to));
        let opening = async {
            let Some((hello, initialized)) = self.talk.get_mut().opening() else {
                return Ok(true);
            };
            to.write_all(&hello).await?;
            let is_open = loop {
                let Some(line) = from.next().await? else { break false };
                let heard = self.talk.get_mut().opens(&line);
                if heard != Heard::Again {
                    self.output.push(&line);
                }
                if heard != Heard::Other {
                    break true;
                }
            };
            to.write_all(&initialized).await?;
            io::Result::Ok(is_open)
        };
        match timeout(OPENING, opening).await {
            Ok(Ok(true)) => self.output.push(&self.talk.get_mut().news()),
            Ok(Ok(false) | Err(_)) | Err(_) => return Ok(Gone::Gateway),
        }
        self.carry_between(from, to).await
    }

    async fn carry(&mut self, stream: impl AsyncRead + AsyncWrite) -> Result<Gone, Failure> {
        let (from, to) = tokio::io::split(stream);
        self.carry_between(Lines::new(from), pin!(to)).await
    }

    /// Carries lines until either side has gone.
    async fn carry_between(
        &mut self,
        mut from: Lines<impl AsyncRead>,
        mut to: impl AsyncWrite + Unpin,
    ) -> Result<Gone, Failure> {
        let Self { input, output, talk } = self;
        let up = async {
            while let Some(line) = input.next().await.map_err(|error| broken(&error))? {
                talk.borrow_mut().client_says(&line);
                if to.write_all(&line).await.is_err() {
                    return Ok(Gone::Gateway);
                }
            }
            // What has no line break may still be a message.
            let rest = input.rest();
            talk.borrow_mut().client_says(&rest);
            // It may be closed already.
            let _is_told = to.write_all(&rest).await.is_ok() && to.shutdown().await.is_ok();
            Ok(Gone::Client)
        };
        let down = async {
            loop {
                if output.flush().await.is_err() {
                    return Ok(Gone::Client);
                }
                // A reset is as good as an end.
                let line = match from.next().await {
                    Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                        return Err(broken(&error));
                    }
                    Ok(Some(line)) => line,
                    Ok(None) | Err(_) => return Ok(Gone::Gateway),
                };
                talk.borrow_mut().gateway_says(&line);
                output.push(&line);
            }
        };
        let (mut up, mut down) = (pin!(up), pin!(down));
        tokio::select! {
            ended = &mut up => {
                // Answers to what was asked before, or what the other one said at last.
                let _in_time = timeout(LAST_WORDS, &mut down).await.is_ok();
                ended
            }
            ended = &mut down => ended,
        }
    }
}

fn broken(error: &io::Error) -> Failure {
    Failure::from_error(Code::Failed, "what a client or its mcplex says cannot be carried", error)
}

async fn asked(signals: &mut Signals) {
    while !matches!(signals.next().await, Asked::Stop(..)) {}
}
