//! Splits bytes into lines, with a bound on a line.

use bytes::{Buf as _, Bytes, BytesMut};

/// The longest line accepted by default: 16 MiB.
///
/// The same cap as the Rust SDK's child transport; the TypeScript SDK caps at 10 MiB, and a
/// measured server sent results of 5 MiB. Without a cap a child that never writes a line break
/// takes all memory (the seed grew by 410 MiB on 400 MiB of it).
pub const MAX_LINE: usize = 16 * 1024 * 1024;

/// Collects bytes and hands out whole lines.
#[derive(Debug)]
pub struct LineSplitter {
    buffer: BytesMut,
    /// Up to here no line break was found.
    scanned: usize,
    max_line: usize,
    is_first: bool,
}

/// A line grew past its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line is longer than {max_line} bytes")]
pub struct LineTooLong {
    /// The bound, in bytes.
    pub max_line: usize,
}

impl LineSplitter {
    /// A splitter that accepts lines of up to `max_line` bytes.
    #[must_use]
    pub fn new(max_line: usize) -> Self {
        Self { buffer: BytesMut::new(), scanned: 0, max_line, is_first: true }
    }

    /// Where the next bytes are to be read into.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next line without its end, or `None` until more bytes are there; blank lines are
    /// skipped.
    ///
    /// # Errors
    /// When the line grows past the bound; what follows cannot be trusted.
    pub fn next_line(&mut self) -> Result<Option<Bytes>, LineTooLong> {
        while let Some(at) = memchr::memchr(b'\n', &self.buffer[self.scanned..]) {
            let end = self.scanned + at;
            if end > self.max_line {
                return Err(self.too_long());
            }
            let line = self.buffer.split_to(end).freeze();
            self.buffer.advance(1);
            self.scanned = 0;
            let line = self.clean(line);
            if !line.is_empty() {
                return Ok(Some(line));
            }
        }
        self.scanned = self.buffer.len();
        if self.scanned > self.max_line { Err(self.too_long()) } else { Ok(None) }
    }

    /// The bytes after the last line break, once no more will come.
    #[must_use]
    pub fn rest(&mut self) -> Option<Bytes> {
        self.scanned = 0;
        let rest = self.buffer.split().freeze();
        let rest = self.clean(rest);
        (!rest.is_empty()).then_some(rest)
    }

    /// Without white space around it, and without the byte order mark some programs begin with.
    fn clean(&mut self, line: Bytes) -> Bytes {
        let mut text = &line[..];
        if std::mem::take(&mut self.is_first) {
            text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        }
        line.slice_ref(text.trim_ascii())
    }

    fn too_long(&self) -> LineTooLong {
        LineTooLong { max_line: self.max_line }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(chunks: &[&[u8]], max_line: usize) -> (Vec<String>, bool) {
        let mut splitter = LineSplitter::new(max_line);
        let mut lines = Vec::new();
        for chunk in chunks {
            splitter.buffer().extend_from_slice(chunk);
            loop {
                match splitter.next_line() {
                    Ok(Some(line)) => lines.push(String::from_utf8_lossy(&line).into_owned()),
                    Ok(None) => break,
                    Err(LineTooLong { .. }) => return (lines, true),
                }
            }
        }
        (lines, false)
    }

    #[test]
    fn lines_come_out_whole_and_clean() {
        let (lines, too_long) = split(&[b"\xef\xbb\xbf{a}\r\n\n  \n{b", b"}\n{c}"], 10);
        assert_eq!((lines, too_long), (vec!["{a}".to_owned(), "{b}".to_owned()], false));
    }

    #[test]
    fn a_line_of_exactly_the_bound_passes_and_one_byte_more_does_not() {
        assert_eq!(split(&[b"12345\n"], 5), (vec!["12345".to_owned()], false));
        assert_eq!(split(&[b"123456\n"], 5), (vec![], true));
        assert_eq!(split(&[b"123", b"456"], 5), (vec![], true));
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
