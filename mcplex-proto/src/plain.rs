//! Text of strangers as it may stand in a sentence or on a terminal.
//!
//! What a server says of itself, or of its errors, is shown to people: in a terminal it could move the
//! cursor, clear the screen or write a link, and with a line break it could begin a line that looks
//! like one of ours.

use std::{borrow::Cow, str::Chars};

/// How much of what a stranger says stands in a sentence, in characters: a screenful and a half.
const IN_A_SENTENCE: usize = 2000;

/// The text without escape sequences, control characters and marks that turn its direction; a line
/// break is a space.
#[must_use]
pub fn plain(text: &str) -> Cow<'_, str> {
    // Most have none; in a flood of lines it would be most of what a line costs.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t')) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\x1b' => skip_escape(&mut rest),
            '\u{9b}' => skip_sequence(&mut rest),
            '\t' => out.push(c),
            '\n' | '\u{2028}' | '\u{2029}' => out.push(' '),
            _ if c.is_control() || turns(c) => {}
            _ => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// The same, cut where it is longer than anybody reads.
#[must_use]
pub fn sentence(text: &str) -> Cow<'_, str> {
    let plain = plain(text);
    match plain.char_indices().nth(IN_A_SENTENCE) {
        Some((end, _)) => Cow::Owned(format!("{}…", &plain[..end])),
        None => plain,
    }
}

/// Whether it changes the direction of what follows, which can show a text as another one.
fn turns(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Skips what follows an escape character: a colour, a title, or a single character.
fn skip_escape(rest: &mut Chars<'_>) {
    match rest.next() {
        Some('[') => skip_sequence(rest),
        Some(']') => {
            while let Some(c) = rest.next() {
                if c == '\x07' || (c == '\x1b' && rest.next().is_some()) {
                    break;
                }
            }
        }
        Some(_) | None => {}
    }
}

fn skip_sequence(rest: &mut Chars<'_>) {
    // It ends with the first of these.
    let _last = rest.find(|c| ('@'..='~').contains(c));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_rewrite_a_terminal_is_removed() {
        let check = |text, expect| assert_eq!(plain(text), expect, "{text:?}");
        check("\x1b[1;31mred\x1b[0m", "red");
        check("\u{9b}31mred", "red");
        check("a\x1b]0;title\x07b", "ab");
        check("a\x1b]8;;http://x\x1b\\b", "ab");
        check("a\tb\x08\rc", "a\tbc");
        check("one\r\nok   all is well", "one ok   all is well");
        check("abc\u{202e}fed", "abcfed");
        check("end\x1b", "end");
        check("größer, 日本", "größer, 日本");
        assert!(matches!(plain("as it is"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_sentence_has_an_end() {
        assert_eq!(sentence("short"), "short");
        let cut = sentence(&"ä".repeat(3 * IN_A_SENTENCE)).into_owned();
        assert_eq!(cut.chars().count(), IN_A_SENTENCE + 1);
        assert!(cut.ends_with("ä…"));
    }
}
