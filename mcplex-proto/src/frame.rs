//! Splits bytes into lines, with a bound on a line.

mod peek;

use crate::id::Id;
use bytes::{Buf as _, Bytes, BytesMut};

/// The longest line accepted by default: 16 MiB.
///
/// The same cap as the Rust SDK's child transport; the TypeScript SDK caps at 10 MiB, and a
/// measured server sent results of 5 MiB. Without a cap a child that never writes a line break
/// takes all memory (the seed grew by 410 MiB on 400 MiB of it).
pub const MAX_LINE: usize = 16 * 1024 * 1024;

/// How much of a line that is too long is passed over, in lines of the longest kind: 256 MiB unless
/// told otherwise. What is longer than that has no end that anybody could wait for.
const MAX_SKIPPED: usize = 16;

/// How often values may stand inside each other in what a client says; 512.
///
/// Real messages stay below twenty. Readers of JSON in common languages give up between 64 and a
/// thousand levels, some of them by an overflow of their stack, so that one such message could end
/// a server for all its clients.
pub const MAX_DEPTH: usize = 512;

/// Collects bytes and hands out whole lines.
#[derive(Debug)]
pub struct LineSplitter {
    buffer: BytesMut,
    /// Up to here no line break was found.
    scanned: usize,
    max_line: usize,
    skip: Option<Skip>,
}

/// A line that is being passed over.
#[derive(Debug)]
struct Skip {
    /// How many bytes of it have gone.
    gone: usize,
    /// The last of them, where its id may stand; unless that was told already.
    tail: Option<Vec<u8>>,
}

/// A line grew past its bound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line is longer than {max_line} bytes")]
pub struct LineTooLong {
    /// The bound, in bytes.
    pub max_line: usize,
    /// The request that the line answers, if that can be read: then the line is passed over, and
    /// the next ones can be read. Else what follows cannot be trusted.
    pub answers: Option<Id>,
}

impl LineSplitter {
    /// A splitter that accepts lines of up to `max_line` bytes.
    #[must_use]
    pub fn new(max_line: usize) -> Self {
        Self { buffer: BytesMut::new(), scanned: 0, max_line, skip: None }
    }

    /// Where the next bytes are to be read into.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next line without its end, or `None` until more bytes are there; blank lines are
    /// skipped.
    ///
    /// # Errors
    /// When a line grows past the bound; only after one that says what it answers may be read on.
    pub fn next_line(&mut self) -> Result<Option<Bytes>, LineTooLong> {
        loop {
            if self.skip.is_some() {
                if !self.skip_on()? {
                    return Ok(None);
                }
                continue;
            }
            let Some(at) = memchr::memchr(b'\n', &self.buffer[self.scanned..]) else {
                self.scanned = self.buffer.len();
                if self.scanned > self.max_line {
                    self.skip_or_fail()?;
                    continue;
                }
                return Ok(None);
            };
            let end = self.scanned + at;
            if end > self.max_line {
                self.skip_or_fail()?;
                continue;
            }
            let line = self.buffer.split_to(end).freeze();
            self.buffer.advance(1);
            self.scanned = 0;
            let line = clean(&line);
            if !line.is_empty() {
                return Ok(Some(line));
            }
        }
    }

    /// The bytes after the last line break, once no more will come.
    #[must_use]
    pub fn rest(&mut self) -> Option<Bytes> {
        self.scanned = 0;
        let rest = self.buffer.split().freeze();
        let is_cut = self.skip.take().is_some();
        let rest = clean(&rest);
        (!rest.is_empty() && !is_cut).then_some(rest)
    }

    /// Begins to pass over an answer that is too long; fails at once where the id is known, or where
    /// it is no answer.
    fn skip_or_fail(&mut self) -> Result<(), LineTooLong> {
        // No further than a line may be, so that it does not matter how much was read at once.
        let known = self.buffer.len().min(self.max_line).min(peek::HEAD);
        match peek::head(&self.buffer[..known]) {
            peek::Head::Answer(Some(id)) => {
                self.skip = Some(Skip { gone: 0, tail: None });
                Err(self.too_long(Some(id)))
            }
            peek::Head::Answer(None) => {
                self.skip = Some(Skip { gone: 0, tail: Some(Vec::new()) });
                Ok(())
            }
            peek::Head::Other => Err(self.too_long(None)),
        }
    }

    /// Passes over what there is of a line that is too long; whether it has ended.
    fn skip_on(&mut self) -> Result<bool, LineTooLong> {
        let Some(skip) = &mut self.skip else { return Ok(true) };
        let end = memchr::memchr(b'\n', &self.buffer);
        let part = &self.buffer[..end.unwrap_or(self.buffer.len())];
        skip.gone = skip.gone.saturating_add(part.len());
        if let Some(tail) = &mut skip.tail {
            tail.extend_from_slice(&part[part.len().saturating_sub(peek::TAIL)..]);
            tail.drain(..tail.len().saturating_sub(peek::TAIL));
        }
        let is_endless = skip.gone > self.max_line.saturating_mul(MAX_SKIPPED);
        self.scanned = 0;
        let Some(end) = end else {
            self.buffer.clear();
            return if is_endless { Err(self.too_long(None)) } else { Ok(false) };
        };
        self.buffer.advance(end + 1);
        match self.skip.take().and_then(|skip| skip.tail) {
            Some(tail) => Err(self.too_long(peek::id_at_end(&tail))),
            None => Ok(true),
        }
    }

    fn too_long(&self, answers: Option<Id>) -> LineTooLong {
        LineTooLong { max_line: self.max_line, answers }
    }
}

/// Without white space around it, and without the byte order mark that some programs write, at the
/// beginning or before each line.
fn clean(line: &Bytes) -> Bytes {
    let text = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    line.slice_ref(text.trim_ascii())
}

/// The request that a line answers, if that can be read from it though the line is no message.
#[must_use]
pub fn answered(line: &[u8]) -> Option<Id> {
    match peek::head(line) {
        peek::Head::Answer(Some(id)) => Some(id),
        peek::Head::Answer(None) => peek::id_at_end(line),
        peek::Head::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The lines, `!` and an id for an answer that was too long; and whether nothing can follow.
    fn split(chunks: &[&[u8]], max_line: usize) -> (Vec<String>, bool) {
        let mut splitter = LineSplitter::new(max_line);
        let mut lines = Vec::new();
        for chunk in chunks {
            splitter.buffer().extend_from_slice(chunk);
            loop {
                match splitter.next_line() {
                    Ok(Some(line)) => lines.push(String::from_utf8_lossy(&line).into_owned()),
                    Ok(None) => break,
                    Err(LineTooLong { answers: Some(id), .. }) => lines.push(format!("!{id}")),
                    Err(LineTooLong { answers: None, .. }) => return (lines, true),
                }
            }
        }
        (lines, false)
    }

    #[test]
    fn lines_come_out_whole_and_clean() {
        let (lines, too_long) =
            split(&[b"\xef\xbb\xbf{a}\r\n\n  \n{b", b"}\n\xef\xbb\xbf{c}\n{d}"], 10);
        let expect = ["{a}", "{b}", "{c}"].map(str::to_owned);
        assert_eq!((lines, too_long), (expect.to_vec(), false));
    }

    #[test]
    fn what_a_line_answers_is_known_though_it_cannot_be_read() {
        let check = |line: &[u8], expect: Option<u64>| {
            assert_eq!(answered(line), expect.map(Id::from), "{}", line.escape_ascii());
        };
        check(b"{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"text\":\"\xff\"}}", Some(7));
        check(b"{\"result\":{\"text\":\"\xff\"},\"id\":7}", Some(7));
        check(b"{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{},\"error\":{\"code\":1}}", Some(7));
        check(b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"\xff\"}", None);
        check(b"{\"result\":{\"text\":\"\xff\"}}", None);
        check(b"[1]", None);
    }

    #[test]
    fn a_line_of_exactly_the_bound_passes_and_one_byte_more_does_not() {
        assert_eq!(split(&[b"12345\n"], 5), (vec!["12345".to_owned()], false));
        assert_eq!(split(&[b"123456\n"], 5), (vec![], true));
        assert_eq!(split(&[b"123", b"456"], 5), (vec![], true));
    }

    const LONG: &str = "0123456789012345678901234567890123456789";

    #[test]
    fn an_answer_that_is_too_long_is_passed_over_and_named() {
        let check = |text: &str, expect: &[&str], is_over: bool| {
            for size in [1, 7, 1000] {
                let chunks: Vec<_> = text.as_bytes().chunks(size).collect();
                let (lines, over) = split(&chunks, 40);
                assert_eq!((lines, over), (expect.iter().map(|&it| it.into()).collect(), is_over));
            }
        };
        let first = format!("a\n{{\"id\":7,\"result\":\"{LONG}\"}}\nb\n");
        check(&first, &["a", "!7", "b"], false);
        let last = format!("a\n{{\"result\":\"{LONG}\",\"id\":7}}\nb\n");
        check(&last, &["a", "!7", "b"], false);
        let none = format!("a\n{{\"result\":\"{LONG}\"}}\nb\n");
        check(&none, &["a"], true);
        let request = format!("a\n{{\"id\":7,\"method\":\"{LONG}\"}}\nb\n");
        check(&request, &["a"], true);
        // One without an end is not waited for.
        let endless = format!("{{\"id\":7,\"result\":\"{}", LONG.repeat(MAX_SKIPPED + 3));
        check(&endless, &["!7"], true);
    }

    #[test]
    fn an_answer_that_is_passed_over_takes_no_memory_and_its_cut_end_is_no_line() {
        let mut splitter = LineSplitter::new(1000);
        splitter.buffer().extend_from_slice(b"{\"id\":7,\"result\":\"");
        for _ in 0..30 {
            splitter.buffer().extend_from_slice(&[b'x'; 500]);
            drop(splitter.next_line());
            assert!(splitter.buffer().len() < 1000 + 2 * 500);
        }
        splitter.buffer().extend_from_slice(b"\"}");
        assert_eq!(splitter.rest(), None);
    }

    proptest! {
        #[test]
        fn where_the_chunks_end_does_not_matter(
            text in "[ab\n]{0,60}", cuts in prop::collection::vec(0usize..60, 0..6)
        ) {
            let whole = split(&[text.as_bytes()], 1000).0;
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let chunks: Vec<_> =
                cuts.windows(2).map(|pair| &text.as_bytes()[pair[0]..pair[1]]).collect();
            prop_assert_eq!(split(&chunks, 1000).0, whole);
        }
    }
}
