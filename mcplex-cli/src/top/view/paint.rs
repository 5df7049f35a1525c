//! Colours, and texts that fit.

use crate::commands::status::short;
use mcplex_admin::events::{Event, Kind};
use mcplex_proto::upstream::Health;
use ratatui::{
    style::{Color, Modifier, Style},
    text::{Line, Span},
};
use std::collections::BTreeMap;

/// How everything is to look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// Unix time, for how long ago something was.
    pub(crate) now_ms: u64,
    /// Without colours every word still says what it says.
    pub(crate) is_colourful: bool,
}

impl Look {
    fn coloured(self, colour: Color) -> Style {
        if self.is_colourful { Style::new().fg(colour) } else { Style::new() }
    }

    /// The colour of a health, as `mcplex status` has it.
    pub(super) fn of(self, health: Health) -> Style {
        match health {
            Health::Ready => self.coloured(Color::Green),
            Health::Degraded | Health::Recovering => self.coloured(Color::Yellow),
            Health::Tripped => self.coloured(Color::Red).add_modifier(Modifier::BOLD),
            Health::Idle | Health::Stopped => self.dim(),
        }
    }

    /// A colour of the terminal that is readable on light and dark; `DIM` is not on all of them.
    pub(super) fn dim(self) -> Style {
        self.coloured(Color::DarkGray)
    }

    pub(super) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(super) fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub(super) fn asking(self) -> Style {
        self.selected().add_modifier(Modifier::BOLD)
    }

    /// What a line above a part looks like.
    pub(super) fn title(self, text: impl Into<String>) -> Span<'static> {
        Span::styled(format!(" {} ", text.into()), self.strong())
    }
}

/// The beginning of a text that is too long.
pub(super) fn cut(text: &str, width: u16) -> String {
    crate::commands::status::cut(text, usize::from(width))
}

/// Texts at both ends of a line; the right one gives way.
pub(super) fn left_and_right(
    mut left: Vec<Span<'static>>,
    right: Span<'static>,
    width: u16,
) -> Line<'static> {
    let used: usize = left.iter().map(Span::width).sum();
    let room = usize::from(width).saturating_sub(used);
    if room > right.width() {
        left.push(Span::raw(" ".repeat(room - right.width())));
        left.push(right);
        return Line::from(left);
    }
    // A long path is worth less than whether all this is true.
    let room = usize::from(width).saturating_sub(right.width() + 1);
    if let [only] = &left[..] {
        let text = crate::commands::status::cut(&only.content, room);
        let filled = format!("{text:<room$} ");
        return Line::from(vec![Span::styled(filled, only.style), right]);
    }
    Line::from(left)
}

/// Events in lines, newest first; of the steps of one moment only the last, and of the steps of one
/// life only those that say something. Of each upstream at most so many where there are several.
pub(super) fn happened<'a>(
    newest_first: impl Iterator<Item = &'a Event>,
    look: &Look,
    each: Option<usize>,
    room: u16,
) -> Vec<Line<'static>> {
    let mut seen: BTreeMap<&str, Newer<'a>> = BTreeMap::new();
    let mut lines = Vec::new();
    for event in newest_first {
        if lines.len() >= usize::from(room) {
            break;
        }
        let label = event.member.as_ref().unwrap_or(&event.upstream);
        let newer = seen.entry(label).or_default();
        if each.is_none_or(|each| newer.lines < each) && !newer.tells(event) {
            let wait = newer.wait.filter(|(life, _)| *life == event.incarnation);
            let wait = wait.filter(|_| event.kind == Kind::Died).map(|(_, wait)| wait);
            lines.push(line(event, wait, look, each.is_some()));
            newer.lines += 1;
        }
        let is_wait = event.health.as_deref() == Some("recovering");
        if let Some(wait) = event.retry_after_ms.filter(|_| is_wait) {
            newer.wait = Some((event.incarnation, wait));
        }
        newer.event = Some(event);
    }
    lines
}

/// What was met of an upstream already, going back in time.
#[derive(Debug, Default)]
struct Newer<'a> {
    /// The event after the one that is looked at.
    event: Option<&'a Event>,
    /// After which life it waited how long for the next.
    wait: Option<(u64, u64)>,
    lines: usize,
}

impl Newer<'_> {
    /// Whether what came after it says all that this event says, or what was before it.
    fn tells(&self, event: &Event) -> bool {
        let is_wait = event.health.as_deref() == Some("recovering") && event.kind == Kind::Changed;
        // It stands with the death.
        if is_wait && event.retry_after_ms.is_some() {
            return true;
        }
        let Some(newer) = self.event.filter(|newer| newer.incarnation == event.incarnation) else {
            return false;
        };
        let is_same = newer.kind == event.kind && newer.health == event.health;
        // A start that has had an end, good or bad.
        is_same || is_wait
    }
}

/// One event in a line: how long ago, who, what.
fn line(event: &Event, wait: Option<u64>, look: &Look, has_name: bool) -> Line<'static> {
    let age = match look.now_ms.saturating_sub(event.at_ms) {
        // It would be another one with each look.
        0..1_000 => "now".to_owned(),
        ms => short(ms),
    };
    let mut spans = vec![Span::styled(format!(" {age:>6}  "), look.dim())];
    if has_name {
        let label = event.member.as_ref().unwrap_or(&event.upstream);
        spans.push(Span::styled(format!("{label}  "), look.strong()));
    }
    let (word, style) = match (event.kind, event.health.as_deref()) {
        (Kind::Died, _) => ("died", look.of(Health::Tripped)),
        (Kind::Changed, Some("ready")) => ("ready", look.of(Health::Ready)),
        (Kind::Changed, Some("tripped")) => ("tripped", look.of(Health::Tripped)),
        (Kind::Changed, Some("degraded")) => ("degraded", look.of(Health::Degraded)),
        (Kind::Changed, Some("recovering")) => ("recovering", look.of(Health::Recovering)),
        (Kind::Changed, Some("idle")) => ("idle", look.of(Health::Idle)),
        (Kind::Changed, _) => ("stopped", look.of(Health::Stopped)),
    };
    spans.push(Span::styled(word, style));
    let what = event.what.as_ref().map(|what| format!(": {what}")).unwrap_or_default();
    let again = wait.or_else(|| event.retry_after_ms.filter(|_| event.kind == Kind::Changed));
    let again = again.map(|ms| format!("; again in {}", short(ms))).unwrap_or_default();
    spans.push(Span::raw(format!(", life {}{what}{again}", event.incarnation)));
    Line::from(spans)
}

/// Microseconds in as few characters as can be read.
pub(super) fn quick(us: u64) -> String {
    match us {
        0..1_000 => format!("{us}us"),
        1_000..10_000 => format!("{}.{}ms", us / 1_000, us % 1_000 / 100),
        10_000..1_000_000 => format!("{}ms", us / 1_000),
        1_000_000..10_000_000 => format!("{}.{}s", us / 1_000_000, us % 1_000_000 / 100_000),
        _ => format!("{}s", us / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_long_is_said_in_few_characters() {
        let check = |us, expect| assert_eq!(quick(us), expect);
        check(0, "0us");
        check(999, "999us");
        check(1_000, "1.0ms");
        check(9_999, "9.9ms");
        check(147_300, "147ms");
        check(1_260_000, "1.2s");
        check(60_000_000, "60s");
    }

    #[test]
    fn the_end_of_a_line_stays() {
        let line = |text: &str, width| {
            left_and_right(vec![Span::raw(text.to_owned())], Span::raw("live"), width).to_string()
        };
        assert_eq!(line("a", 9), "a    live");
        assert_eq!(line("a/long/path", 12), "a/long/… live".replace("/…", "…"));
    }
}
