//! Lines: whatever comes in whatever pieces, no line is lost, joined or longer than its bound.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcplex_proto::frame::LineSplitter;

const MAX_LINE: usize = 64;

fn lines(pieces: &mut dyn Iterator<Item = &[u8]>) -> Vec<Result<Vec<u8>, bool>> {
    let mut splitter = LineSplitter::new(MAX_LINE);
    let mut lines = Vec::new();
    for piece in pieces {
        splitter.buffer().extend_from_slice(piece);
        loop {
            match splitter.next_line() {
                Ok(Some(line)) => {
                    assert!(line.len() <= MAX_LINE && !line.contains(&b'\n'));
                    lines.push(Ok(line.to_vec()));
                }
                Ok(None) => break,
                Err(too_long) => {
                    let goes_on = too_long.answers.is_some();
                    lines.push(Err(goes_on));
                    if !goes_on {
                        return lines;
                    }
                }
            }
            assert!(splitter.buffer().len() <= 64 * 1024, "it keeps what it passes over");
        }
    }
    lines
}

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let whole = lines(&mut std::iter::once(bytes));
    let pieces = lines(&mut bytes.chunks(usize::from(size).max(1)));
    // Where a line is too long, its id may be seen in one piece and not yet in the other.
    if whole.iter().chain(&pieces).all(Result::is_ok) {
        assert_eq!(whole, pieces);
    }
});
