//! Values of variables.

use std::time::Duration;

use super::Warning;
use crate::options::Options;
use crate::variables;

/// Reads a whole number.
pub(super) fn number(
    options: &Options,
    variable: &'static str,
    warnings: &mut Vec<Warning>,
) -> Option<u64> {
    let number = options.variable(variable)?.parse().ok();
    if number.is_none() {
        warnings.push(Warning { variable, problem: "is not a whole number; the default holds" });
    }
    number
}

/// Reads a count.
pub(super) fn count(
    options: &Options,
    variable: &'static str,
    warnings: &mut Vec<Warning>,
) -> Option<usize> {
    let number = number(options, variable, warnings)?;
    Some(usize::try_from(number).unwrap_or(usize::MAX))
}

/// Reads how many may be somewhere; for none at all nothing would have to be asked.
pub(super) fn room(
    options: &Options,
    variable: &'static str,
    warnings: &mut Vec<Warning>,
) -> Option<usize> {
    let count = count(options, variable, warnings)?;
    if count == 0 {
        warnings.push(Warning { variable, problem: "is no room at all; the default holds" });
    }
    Some(count).filter(|count| *count > 0)
}

/// Reads a switch, which is off unless it is said to be on.
pub(super) fn switch(
    options: &Options,
    variable: &'static str,
    warnings: &mut Vec<Warning>,
) -> bool {
    let value = options.variable(variable).unwrap_or("false");
    let is_on = value.eq_ignore_ascii_case("true");
    if !is_on && !value.eq_ignore_ascii_case("false") {
        warnings.push(Warning { variable, problem: "is neither true nor false; false holds" });
    }
    is_on
}

/// Reads a time in milliseconds, which must not be none at all.
pub(super) fn milliseconds(
    options: &Options,
    variable: &'static str,
    warnings: &mut Vec<Warning>,
) -> Option<Duration> {
    let number = number(options, variable, warnings)?;
    if number == 0 {
        // Elsewhere it means no limit, and every wait of mcplex has one.
        warnings.push(Warning { variable, problem: "is no time to wait; the default holds" });
        return None;
    }
    Some(Duration::from_millis(number))
}

/// The first variable of these that is set, and its value.
pub(super) fn first<'a>(
    options: &'a Options,
    variables: [&'static str; 2],
) -> Option<(&'static str, &'a str)> {
    variables.into_iter().find_map(|name| Some((name, options.variable(name)?)))
}

/// Undoes percent-encoding; none if what it gives is no text.
pub(super) fn decoded(text: &str) -> Option<String> {
    let decoded = percent_encoding::percent_decode_str(text.trim()).decode_utf8();
    decoded.ok().map(Into::into)
}

/// Reads a list such as `a=1,b=2`, percent-decoded; none if any part of it is broken.
pub(super) fn pairs(list: &str) -> Option<Vec<(String, String)>> {
    let parts = list.split(',').map(str::trim).filter(|part| !part.is_empty());
    let pair = |part: &str| {
        let (key, value) = part.split_once('=')?;
        let key = decoded(key).filter(|key| !key.is_empty())?;
        Some((key, decoded(value)?))
    };
    parts.map(pair).collect()
}

/// Warns of what the specification knows and mcplex does not follow.
pub(super) fn unknown(options: &Options, warnings: &mut Vec<Warning>) {
    for (variable, problem) in variables::NOT_FOLLOWED {
        if options.env.iter().any(|(name, value)| name == variable && !value.trim().is_empty()) {
            warnings.push(Warning { variable, problem });
        }
    }
}
