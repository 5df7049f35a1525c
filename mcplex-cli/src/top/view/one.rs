//! One upstream: how it is and why, its lives, its tools, its last words, and what happens to it.

use super::{
    paint::{Look, happened, quick},
    to_u16,
};
use crate::{
    commands::status::short,
    top::{
        lives::Life,
        state::{State, label},
    },
};
use mcplex_admin::{
    calls::Figures,
    status::{Breaker, UpstreamStatus},
};
use mcplex_proto::upstream::Health;
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::{Block, Borders, Cell, Paragraph, Row, Table, Wrap},
};

/// From this width on tools and events stand side by side.
const WIDE: u16 = 140;

/// Lines for tools, with a title and a head, in a terminal of 24 lines.
const TOOLS: u16 = 6;

/// What takes more of a screen than its share is cut to this part of it.
const SHARE: u16 = 3;

/// Lines for how it is, for its lives and for why, the title included.
const HEAD: u16 = 6;

/// Lines for events, at the least.
const EVENTS: u16 = 4;

pub(super) fn draw(state: &State, look: &Look, frame: &mut Frame<'_>, area: Rect) {
    let Some(one) = state.one() else {
        frame.render_widget(Paragraph::new(" the configuration names no upstream"), area);
        return;
    };
    let own = state.tools_of(&one.name);
    let most = TOOLS.max(area.height / SHARE);
    let tools_height = to_u16(own.len() + 2).clamp(3, most);
    let [head, middle, words] = Layout::vertical([
        Constraint::Length(HEAD),
        Constraint::Length(if area.width >= WIDE { most } else { tools_height + EVENTS }),
        Constraint::Fill(1),
    ])
    .areas(area);
    let [tools, events] = if area.width >= WIDE {
        Layout::horizontal([Constraint::Percentage(50), Constraint::Fill(1)]).areas(middle)
    } else {
        Layout::vertical([Constraint::Length(tools_height), Constraint::Fill(1)]).areas(middle)
    };
    draw_head(state, one, look, frame, head);
    let since = state.snapshot.instance.calls_since_ms.unwrap_or(look.now_ms);
    let title = format!("Tools, calls of {}", short(look.now_ms.saturating_sub(since)));
    draw_tools(&title, &own, look, frame, tools);
    let lines = happened(state.events_of(one).rev(), look, false, events.height);
    part("What happened, newest first", lines, look, frame, events);
    draw_words(state, one, look, frame, words);
}

fn part(title: &str, lines: Vec<Line<'_>>, look: &Look, frame: &mut Frame<'_>, area: Rect) {
    let block = Block::new().borders(Borders::TOP).title(look.title(title));
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn draw_head(state: &State, one: &UpstreamStatus, look: &Look, frame: &mut Frame<'_>, area: Rect) {
    let mut lines = vec![facts(one, look), strip(&state.lives(one), look, area.width)];
    lines.extend(reason(one, look));
    let block = Block::new().borders(Borders::TOP).title(look.title(label(one)));
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }).block(block), area);
}

/// How it is, in one line.
fn facts(one: &UpstreamStatus, look: &Look) -> Line<'static> {
    let health = if one.is_enabled { one.health.as_str() } else { "disabled" };
    let place = one.pid.map(|pid| format!("process {pid}")).or_else(|| one.url.clone());
    let breaker = match one.breaker {
        Breaker::Closed => None,
        Breaker::HalfOpen | Breaker::Open => Some(format!("breaker {}", one.breaker.as_str())),
    };
    let facts = [
        place,
        Some(format!("life {}", one.incarnation)),
        one.uptime_ms.map(|ms| format!("up {}", short(ms))),
        Some(format!("{} deaths, {} borne", one.deaths, one.max_deaths)),
        breaker,
        one.retry_after_ms.map(|ms| format!("again in {}", short(ms))),
        Some(format!("{} tools", one.tools)),
        (one.in_flight > 0).then(|| format!("{} in flight", one.in_flight)),
    ];
    let text = facts.into_iter().flatten().collect::<Vec<_>>().join("  ");
    Line::from(vec![
        Span::raw(" "),
        Span::styled(health, look.of(one.health)),
        Span::raw(format!("  {text}")),
    ])
}

/// Why it is as it is, if there is anything to say.
pub(super) fn reason(one: &UpstreamStatus, look: &Look) -> Option<Line<'static>> {
    if let Some(reason) = &one.reason {
        return Some(Line::styled(format!(" {reason}"), look.of(one.health)));
    }
    let last = one.last_error.as_ref()?;
    Some(Line::styled(format!(" its last death: {last}"), look.dim()))
}

/// The last lives, as many as fit, newest at the right.
pub(super) fn strip(lives: &[Life], look: &Look, width: u16) -> Line<'static> {
    let mut spans = Vec::new();
    let mut room = usize::from(width).saturating_sub(" lives  ".len());
    for life in lives.iter().rev() {
        let (text, style) = shown(life, look);
        let span = Span::styled(format!("{text}  "), style);
        if span.width() > room {
            break;
        }
        room -= span.width();
        spans.push(span);
    }
    if spans.is_empty() {
        spans.push(Span::styled("none as yet", look.dim()));
    }
    spans.push(Span::styled(" lives  ", look.dim()));
    spans.reverse();
    Line::from(spans)
}

/// A life: its number, how it ended, and how long it was.
fn shown(life: &Life, look: &Look) -> (String, ratatui::style::Style) {
    let number = life.number;
    match &life.end {
        None if life.was_ready => {
            let up = short(look.now_ms.saturating_sub(life.begun_ms));
            (format!("{number} up {up}"), look.of(Health::Ready))
        }
        None => (format!("{number} starting"), look.of(Health::Recovering)),
        Some(end) => {
            let lived = short(end.at_ms.saturating_sub(life.begun_ms));
            match (&end.death, end.is_trip) {
                (Some(_), true) => {
                    (format!("{number} died {lived} TRIP"), look.of(Health::Tripped))
                }
                (Some(_), false) => (format!("{number} died {lived}"), look.of(Health::Recovering)),
                (None, _) => (format!("{number} stopped {lived}"), look.of(Health::Stopped)),
            }
        }
    }
}

fn draw_tools(title: &str, own: &[&Figures], look: &Look, frame: &mut Frame<'_>, area: Rect) {
    let block = Block::new().borders(Borders::TOP).title(look.title(title));
    if own.is_empty() {
        frame.render_widget(Paragraph::new(" none was called").block(block), area);
        return;
    }
    let number = |text: String| Cell::from(Line::from(text).right_aligned());
    let rows = own.iter().map(|it| {
        Row::new([
            Cell::from(format!(" {}", it.tool)),
            number(it.calls.to_string()),
            number(it.errors.to_string()),
            number(quick(it.p50_us)),
            number(quick(it.p95_us)),
            number(quick(it.p99_us)),
        ])
    });
    let heads = [" TOOL", "CALLS", "ERRORS", "P50", "P95", "P99"];
    let heads = heads.into_iter().enumerate().map(|(at, head)| {
        Cell::from(if at == 0 { Line::from(head) } else { Line::from(head).right_aligned() })
    });
    let widths = [Constraint::Fill(1)].into_iter().chain([Constraint::Length(8); 5]);
    let table = Table::new(rows, widths).header(Row::new(heads).style(look.dim())).block(block);
    frame.render_widget(table, area);
}

/// What it said last; scrolled from the end, where the newest is.
pub(super) fn draw_words(
    state: &State,
    one: &UpstreamStatus,
    look: &Look,
    frame: &mut Frame<'_>,
    area: Rect,
) {
    let words = state.words();
    let room = usize::from(area.height.saturating_sub(1));
    let hidden = state.scrolled.min(words.len().saturating_sub(room));
    let end = words.len() - hidden;
    let lines =
        words[end.saturating_sub(room)..end].iter().map(|line| Line::raw(format!(" {line}")));
    let title = if one.is_up() { "Its log" } else { "Last words" };
    let title =
        if hidden > 0 { format!("{title}, {hidden} lines follow") } else { title.to_owned() };
    part(&title, lines.collect(), look, frame, area);
}
