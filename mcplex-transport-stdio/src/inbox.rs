//! Lines on their way in.

use bytes::{Bytes, BytesMut};
use mcplex_proto::{
    error::{ErrorObject, INTERNAL_ERROR},
    frame::{LineSplitter, LineTooLong},
    id::Id,
    message::{BadMessage, Response},
};
use std::{
    io,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    task,
};

/// What is read at once at least: most messages fit, and fifty idle peers cost under 1 MiB.
const READ: usize = 16 * 1024;

/// What is read at once at most, while a long line comes in.
const READ_LONG: usize = 1024 * 1024;

/// How often is read for one line before others on the same thread get their turn: once, which is
/// what a pipe holds and takes 20 µs to 30 µs.
const READS: usize = 1;

/// Reads lines, with a bound on a line.
#[derive(Debug)]
pub(crate) struct Inbox<R> {
    input: R,
    lines: LineSplitter,
    is_at_end: bool,
    has_grown: bool,
}

/// Why there is no line.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It was an answer to this request, and too long; the next lines can be read.
    Answer(Id, LineTooLong),
    /// No more lines can be read.
    Broken(Arc<str>),
}

/// What whoever waits for an answer gets in place of one that is too long.
pub(crate) fn in_place_of(id: Id, why: &LineTooLong) -> Response {
    let what = format!("The answer was too long and was dropped: {why}");
    Response::error(Some(id), &ErrorObject::new(INTERNAL_ERROR, what))
}

/// What whoever waits for an answer gets in place of one that is no message.
pub(crate) fn unreadable(id: Id, why: &BadMessage) -> Response {
    let what = format!("the answer cannot be read: {why}");
    let data = Some(serde_json::json!({ "reason": "unreadable answer" }));
    Response::error(Some(id), &ErrorObject { data, ..ErrorObject::new(INTERNAL_ERROR, what) })
}

impl<R: AsyncRead + Unpin> Inbox<R> {
    pub(crate) fn new(input: R, max_line: usize) -> Self {
        let lines = LineSplitter::new(max_line);
        Self { input, lines, is_at_end: false, has_grown: false }
    }

    /// The next line that is not blank; `None` at the end of input.
    pub(crate) fn poll_line(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Unread>>> {
        for count in 0..=READS {
            match self.lines.next_line() {
                Ok(Some(line)) => return Poll::Ready(Some(Ok(line))),
                Ok(None) if self.is_at_end => return Poll::Ready(self.lines.rest().map(Ok)),
                Ok(None) => {}
                Err(mut too_long) => {
                    let unread = match too_long.answers.take() {
                        Some(id) => Unread::Answer(id, too_long),
                        None => Unread::Broken(too_long.to_string().into()),
                    };
                    return Poll::Ready(Some(Err(unread)));
                }
            }
            if count == READS {
                break;
            }
            match ready!(self.poll_fill(cx)) {
                Ok(count) => self.is_at_end = count == 0,
                Err(error) => {
                    return Poll::Ready(Some(Err(Unread::Broken(error.to_string().into()))));
                }
            }
        }
        // Woken like this, the task comes after whatever else is ready, and after the system was
        // asked what is. Woken at once it would come again before that, some sixty times: one long
        // line was read to its end before anybody else was heard.
        let _later = pin!(task::yield_now()).poll(cx);
        Poll::Pending
    }

    /// Reads ahead without taking lines, up to `limit` bytes; whether the input has ended.
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>, limit: usize) -> bool {
        while !self.is_at_end && self.lines.buffer().len() < limit {
            match self.poll_fill(cx) {
                Poll::Ready(Ok(count)) => self.is_at_end = count == 0,
                // An input that cannot be read has ended too.
                Poll::Ready(Err(_)) => self.is_at_end = true,
                Poll::Pending => return false,
            }
        }
        self.is_at_end
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let buffer = self.lines.buffer();
        let waiting = buffer.len();
        if waiting == 0 && std::mem::take(&mut self.has_grown) {
            // Else the rest of a large buffer would be kept while nothing is said.
            *buffer = BytesMut::new();
        }
        self.has_grown |= waiting > READ;
        if buffer.capacity() - waiting < READ / 4 {
            buffer.reserve(waiting.clamp(READ, READ_LONG));
        }
        // The future holds no state of its own, so a new one each time loses nothing.
        pin!(self.input.read_buf(buffer)).poll(cx)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::{future::poll_fn, pin::Pin};
    use tokio::{
        io::{AsyncWriteExt as _, ReadBuf},
        net::UnixStream,
    };

    /// A line that is always there and never ends, and how often it was read.
    #[derive(Default)]
    struct Endless(usize);

    impl AsyncRead for Endless {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.0 += 1;
            let room = buffer.remaining().min(64);
            buffer.put_slice(&b"x".repeat(room));
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_long_line_is_read_in_turns_and_others_are_heard_between_them() {
        let mut inbox = Inbox::new(Endless::default(), usize::MAX);
        let (mut one, mut other) = UnixStream::pair().unwrap();
        one.write_all(b"!").await.unwrap();
        let mut heard = [0];
        let reads = tokio::select! {
            biased;
            _ = poll_fn(|cx| inbox.poll_line(cx)) => panic!("it has no end"),
            // The system alone knows that there is something to read here.
            read = other.read(&mut heard) => read.unwrap(),
        };
        assert_eq!((reads, &heard), (1, b"!"));
        let turns = inbox.input.0.div_ceil(READS);
        assert!(turns <= 3, "{turns} turns before another was heard");
    }
}
