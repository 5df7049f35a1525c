//! Secrets that somebody has configured, which are secret whatever they look like.

use super::{is_secret_name, redact, spans};
use std::{borrow::Cow, fmt, sync::Arc};

/// What stands for a secret.
const HIDDEN: &str = super::HIDDEN;

/// The shortest text that is taken for a secret: what is shorter stands in too many other words.
const SHORTEST: usize = 6;

/// How many are known of one upstream: far more variables than anybody sets, and each is looked for
/// in every line of a report.
const MOST: usize = 64;

/// The last words of names such as `OPENAI_KEY` and `DB_PASS`. They say less than those that are
/// looked for in any text, so they count only where somebody has set a variable or a header.
const ENDINGS: [&str; 9] = ["key", "pass", "pwd", "pat", "auth", "jwt", "dsn", "hash", "pin"];

/// Texts of a configuration that must not be seen where it is not.
///
/// A server that prints its password prints it without a name, so that nothing but the
/// configuration can tell that it is one. Cheap to clone.
#[derive(Clone, Default)]
pub struct Secrets(Arc<[Box<str>]>);

impl Secrets {
    /// Those among variables or headers, by their names and by what their values look like, and
    /// among the arguments of a program.
    #[must_use]
    pub fn of<'a>(named: impl IntoIterator<Item = (&'a str, &'a str)>, args: &'a [String]) -> Self {
        let mut found: Vec<&str> = Vec::new();
        for (name, value) in named {
            if is_secret_name(name) || has_secret_ending(name) {
                found.push(value);
                // The scheme before a credential is none itself.
                found.extend(value.split_once(' ').map(|(_, credential)| credential.trim()));
            }
            found.extend(spans(value).map(|(from, to)| &value[from..to]));
        }
        for (n, arg) in args.iter().enumerate() {
            if is_value_of_secret(args, n) {
                found.push(arg);
            }
            found.extend(spans(arg).map(|(from, to)| &arg[from..to]));
        }
        let mut known: Vec<Box<str>> = Vec::new();
        for text in found.into_iter().filter(|text| text.chars().count() >= SHORTEST) {
            known.push(text.into());
            // As it stands in JSON.
            let quoted = serde_json::Value::from(text).to_string();
            let inside = &quoted[1..quoted.len() - 1];
            if inside != text {
                known.push(inside.into());
            }
        }
        // A longer one may hold a shorter one.
        known.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        known.dedup();
        known.truncate(MOST);
        Self(known.into())
    }

    /// The text without them, and without what looks like a secret.
    #[must_use]
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        for secret in &*self.0 {
            if text.contains(&**secret) {
                text = Cow::Owned(text.replace(&**secret, HIDDEN));
            }
        }
        if let Some(from) = self.0.iter().filter_map(|secret| cut_off(&text, secret)).min() {
            text = Cow::Owned(format!("{}{HIDDEN}", &text[..from]));
        }
        match text {
            Cow::Borrowed(text) => redact(text),
            Cow::Owned(text) => Cow::Owned(redact(&text).into_owned()),
        }
    }
}

/// Never the texts themselves.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

/// Arguments of a program as people may see them: also a value that stands behind its option.
#[must_use]
pub fn redact_args(args: &[String]) -> Vec<Cow<'_, str>> {
    let shown = |(n, arg)| {
        if is_value_of_secret(args, n) { Cow::Borrowed(HIDDEN) } else { redact(arg) }
    };
    args.iter().map(String::as_str).enumerate().map(shown).collect()
}

/// Whether the argument at this place is the value of an option before it, such as `--api-key`.
fn is_value_of_secret(args: &[String], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|at| args.get(at));
    let is_option = |name: &&String| name.starts_with('-') && !name.contains(['=', ' ', ':']);
    let is_secret = |name: &String| is_secret_name(name) || has_secret_ending(name);
    // Two options in a row: the first is a switch.
    let is_value = args.get(at).is_some_and(|value| !value.starts_with("--"));
    is_value && before.filter(is_option).is_some_and(is_secret)
}

fn has_secret_ending(name: &str) -> bool {
    let last = name.rsplit(['_', '-']).next().unwrap_or_default();
    ENDINGS.iter().any(|ending| last.eq_ignore_ascii_case(ending))
}

/// Where the beginning of a secret stands at the very end of a text that was cut there.
fn cut_off(text: &str, secret: &str) -> Option<usize> {
    let longest = secret.len().saturating_sub(1).min(text.len());
    (SHORTEST..=longest)
        .rev()
        .filter(|length| secret.is_char_boundary(*length))
        .find(|length| text.ends_with(&secret[..*length]))
        .map(|length| text.len() - length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn what_is_configured_is_hidden_wherever_it_stands() {
        let named = [
            ("MY_PASSWORD", "correct horse"),
            ("OPENAI_KEY", "plain-text"),
            ("DATABASE_URL", "postgres://me:hunter22@db/x"),
            ("Authorization", "Token abcdefgh"),
            ("QUOTED_SECRET", "with\"quote"),
            ("PORT", "300000"),
            ("SHORT_TOKEN", "abc"),
        ];
        let secrets = Secrets::of(named, &args(&["--api-key", "by-itself", "--token=joined99"]));
        let check = |text: &str, expect: &str| assert_eq!(secrets.redact(text), expect, "{text}");
        check("I use correct horse and plain-text", "I use [redacted] and [redacted]");
        check("cannot reach db as hunter22", "cannot reach db as [redacted]");
        check("said abcdefgh", "said [redacted]");
        check(r#"{"a":"with\"quote"}"#, r#"{"a":"[redacted]"}"#);
        check("by-itself joined99", "[redacted] [redacted]");
        check("port 300000, abc", "port 300000, abc");
        check("cut off: correct ho", "cut off: [redacted]");
        check("cut off: corre", "cut off: corre");
        check("token: other-one", "token: [redacted]");
        assert_eq!(format!("{secrets:?}").len(), "Secrets(00)".len() - 1);
        assert_eq!(Secrets::default().redact("plain-text"), "plain-text");
    }

    #[test]
    fn an_argument_behind_its_option_is_hidden() {
        let check = |words: &[&str], expect: &[&str]| {
            assert_eq!(redact_args(&args(words)), expect, "{words:?}");
        };
        check(&["--api-key", "abc", "-y"], &["--api-key", "[redacted]", "-y"]);
        check(&["--token=abc", "--port", "1"], &["--token=[redacted]", "--port", "1"]);
        check(&["--use-token", "--verbose"], &["--use-token", "--verbose"]);
        check(&["--db-pass", "x"], &["--db-pass", "[redacted]"]);
        check(&["token", "x"], &["token", "x"]);
    }
}
