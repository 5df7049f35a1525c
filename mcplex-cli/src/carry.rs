//! Carries the bytes of a client to the mcplex that serves it, and back, without looking at them.

use crate::{
    exit::{Code, Failure},
    signals::{Asked, Signals},
};
use mcplex_admin::socket::Stream;
use mcplex_transport_stdio::{process_input, process_output};
use std::time::Duration;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    runtime::Runtime,
    time::timeout,
};

/// What is carried at once; as much as a pipe holds.
const CHUNK: usize = 64 * 1024;

/// How long the other side may take to say the rest once one side has ended.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Which end of a way ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// There is nothing more to read.
    Source,
    /// Nobody reads any more.
    Sink,
}

/// Carries until either side ends.
pub(crate) fn run(runtime: &Runtime, stream: Stream) -> Result<(), Failure> {
    let unusable =
        |error| Failure::from_error(Code::Failed, "stdin or stdout is not usable", &error);
    runtime.block_on(async {
        let input = process_input().map_err(unusable)?;
        let output = process_output().map_err(unusable)?;
        let (from, to) = stream.into_split();
        let mut signals = Signals::listen()?;
        let has_left = tokio::select! {
            has_left = carry_both(input, output, from, to) => has_left,
            // The connection closes with the process, and the other one sees its client leave.
            () = asked(&mut signals) => true,
        };
        if has_left {
            return Ok(());
        }
        Err(Failure::new(
            Code::Failed,
            "the mcplex that served this client has ended, and its session with it",
        )
        .with_hint("start `mcplex stdio` again; it runs the servers itself when nobody else does"))
    })
}

/// Resolves when one side has ended; whether it was the client.
async fn carry_both(
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin,
    from: impl AsyncRead + Unpin,
    to: impl AsyncWrite + Unpin,
) -> bool {
    let mut up = std::pin::pin!(carry(input, to));
    let mut down = std::pin::pin!(carry(from, output));
    tokio::select! {
        ended = &mut up => {
            // Answers to what was asked before, or what the other one said at last.
            let _in_time = timeout(LAST_WORDS, &mut down).await.is_ok();
            ended == Ended::Source
        }
        ended = &mut down => ended == Ended::Sink,
    }
}

/// Carries one way until it ends, then says at its far end that nothing follows.
async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> Ended {
    let mut chunk = vec![0; CHUNK];
    while let Ok(count @ 1..) = from.read(&mut chunk).await {
        if to.write_all(&chunk[..count]).await.is_err() {
            return Ended::Sink;
        }
    }
    // It may be closed already.
    let _is_told = to.shutdown().await.is_ok();
    Ended::Source
}

async fn asked(signals: &mut Signals) {
    while !matches!(signals.next().await, Asked::Stop(..)) {}
}
