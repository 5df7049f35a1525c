//! What is drawn, and where. It only looks at the state.

mod fleet;
mod one;
mod paint;

pub(crate) use self::paint::Look;

use self::paint::{cut, left_and_right};
use super::state::{Link, Page, Said, State};
use crate::commands::status::{notices, short};
use mcplex_admin::status::UpstreamStatus;
use mcplex_proto::upstream::Health;
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::Style,
    text::{Line, Span},
    widgets::{Block, Clear, Paragraph},
};

/// With less than this nothing can be told.
const LEAST: (u16, u16) = (40, 10);

/// What the keys do, for the help.
const KEYS: [(&str, &str); 11] = [
    ("up, down, k, j", "select; in one upstream: move its last words"),
    ("page up, page down", "the same in larger steps"),
    ("home, end, g, G", "to the first, to the last"),
    ("n, tab", "the next one that has trouble"),
    ("enter", "look at one upstream"),
    ("esc", "back to all"),
    ("r", "reset: forget its deaths, start it at once"),
    ("s", "stop what runs (it asks first), start what is stopped"),
    ("?", "this"),
    ("Ctrl-Z", "back to the shell for now; `fg` goes on"),
    ("q, Ctrl-C", "leave; mcplex goes on"),
];

/// Draws everything.
pub(crate) fn draw(state: &State, look: &Look, frame: &mut Frame<'_>) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let text = format!("mcplex top wants {} columns and {} lines", LEAST.0, LEAST.1);
        frame.render_widget(Paragraph::new(text), area);
        return;
    }
    let [head, sum, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(header(state, look, head.width), head);
    frame.render_widget(summary(state, look, sum.width), sum);
    match state.page {
        Page::Fleet => fleet::draw(state, look, frame, body),
        Page::One => one::draw(state, look, frame, body),
    }
    frame.render_widget(footer(state, look, foot.width), foot);
    if state.has_help {
        help(look, frame, area);
    }
}

/// Which mcplex this is, and whether it is there.
fn header(state: &State, look: &Look, width: u16) -> Line<'static> {
    let instance = &state.snapshot.instance;
    let file = instance.configuration.as_deref().unwrap_or("the built-in demo");
    let text = format!(" mcplex {}  {file}", instance.version);
    let (word, style) = match state.link {
        Link::Live => ("live ", look.of(Health::Ready)),
        Link::Lost(_) => ("not connected ", look.of(Health::Tripped)),
    };
    let right = Span::styled(word, style);
    left_and_right(vec![Span::styled(text, look.strong())], right, width)
}

/// How many are how, or why nobody knows.
fn summary(state: &State, look: &Look, width: u16) -> Line<'static> {
    if let Link::Lost(why) = &state.link {
        let text = format!(" {why}; trying again, what follows is old");
        return Line::styled(cut(&text, width), look.of(Health::Tripped));
    }
    let rows = &state.snapshot.upstreams;
    let mut spans = vec![Span::raw(match rows.len() {
        1 => " 1 upstream".to_owned(),
        count => format!(" {count} upstreams"),
    })];
    // The worst first, which a narrow terminal must not cut off.
    for health in [
        Health::Tripped,
        Health::Recovering,
        Health::Degraded,
        Health::Stopped,
        Health::Idle,
        Health::Ready,
    ] {
        let is_so = |row: &&UpstreamStatus| row.is_enabled && row.health == health;
        let count = rows.iter().filter(is_so).count();
        if count > 0 {
            spans.push(Span::raw("  "));
            spans.push(Span::styled(format!("{count} {}", health.as_str()), look.of(health)));
        }
    }
    let disabled = rows.iter().filter(|row| !row.is_enabled).count();
    if disabled > 0 {
        spans.push(Span::styled(format!("  {disabled} disabled"), look.dim()));
    }
    let instance = &state.snapshot.instance;
    let up = short(look.now_ms.saturating_sub(instance.started_ms));
    let right = Span::styled(format!("process {}, up {up} ", instance.pid), look.dim());
    left_and_right(spans, right, width)
}

/// A question, what is under way, what came of it, or what can be pressed.
fn footer(state: &State, look: &Look, width: u16) -> Line<'static> {
    if let Some((verb, upstream)) = &state.question {
        let text = format!(" {verb} {upstream}? Its calls fail at once.  y yes   esc no");
        return Line::styled(cut(&text, width), look.asking());
    }
    let told = match (&state.acting, &state.said) {
        (Some((verb, upstream)), _) => Some((format!(" {verb} {upstream} ..."), look.strong())),
        (None, Some(Said::Good(text))) => Some((format!(" {text}"), look.of(Health::Ready))),
        (None, Some(Said::Bad(text))) => Some((format!(" {text}"), look.of(Health::Tripped))),
        (None, None) => None,
    };
    if let Some((text, style)) = told {
        return Line::styled(cut(&text, width), style);
    }
    if let Some(notice) = notices(&state.snapshot.instance).first() {
        let text = format!(" ? help  q quit  {notice}");
        return Line::styled(cut(&text, width), look.of(Health::Recovering));
    }
    let text = match state.page {
        Page::Fleet => {
            " up/down select  n trouble  enter look  r reset  s stop/start  ? help  q quit"
        }
        Page::One => " esc back  up/down scroll  r reset  s stop/start  ? help  q quit",
    };
    Line::styled(cut(text, width), look.dim())
}

fn help(look: &Look, frame: &mut Frame<'_>, area: Rect) {
    let wide = KEYS.iter().map(|(keys, _)| keys.len()).max().unwrap_or_default();
    let lines: Vec<_> = KEYS
        .iter()
        .map(|(keys, what)| {
            Line::from(vec![
                Span::styled(format!(" {keys:<wide$}  "), look.strong()),
                Span::styled(*what, Style::new()),
            ])
        })
        .collect();
    let width = lines.iter().map(Line::width).max().unwrap_or_default() + 3;
    let (width, height) = (to_u16(width).min(area.width), to_u16(lines.len() + 2).min(area.height));
    let place = Rect::new((area.width - width) / 2, (area.height - height) / 2, width, height);
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" Keys ")), place);
}

fn to_u16(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests;
