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
    why::date,
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

/// From this width on there is room for all figures of a tool beside its name.
const NARROW: u16 = 64;

/// Lines for tools, with a title and a head, in a terminal of 24 lines.
const TOOLS: u16 = 6;

/// What takes more of a screen than its share is cut to this part of it.
const SHARE: u16 = 3;

/// Lines for how it is, for its lives, for why and for what to do, the title included.
const HEAD: u16 = 6;

/// From this height on there are some lines more for why.
const TALL: (u16, u16) = (30, 9);

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
        Constraint::Length(if area.height >= TALL.0 { TALL.1 } else { HEAD }),
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
    let lines = happened(state.events_of(one).rev(), look, None, events.height);
    part("What happened, newest first", lines, look, frame, events);
    draw_words(state, one, look, frame, words);
}

fn part(title: &str, lines: Vec<Line<'_>>, look: &Look, frame: &mut Frame<'_>, area: Rect) {
    let block = Block::new().borders(Borders::TOP).title(look.title(title));
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn draw_head(state: &State, one: &UpstreamStatus, look: &Look, frame: &mut Frame<'_>, area: Rect) {
    let mut lines = vec![facts(one, look), strip(&state.lives(one), look, area.width)];
    lines.extend(reason(one, look, area.width));
    lines.extend(todo(state, one, look));
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
        Some(match one.deaths {
            1 => format!("1 death, {} borne", one.max_deaths),
            deaths => format!("{deaths} deaths, {} borne", one.max_deaths),
        }),
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

/// Since when it has trouble, and why it is as it is, if there is anything to say.
pub(super) fn reason(one: &UpstreamStatus, look: &Look, width: u16) -> Vec<Line<'static>> {
    let style = if one.reason.is_some() { look.of(one.health) } else { look.dim() };
    let last = || one.last_error.as_ref().map(|last| format!("its last death: {last}"));
    let reason = one.reason.clone().or_else(last);
    let since = one.trouble_since_ms.map(|since| {
        let ago = short(look.now_ms.saturating_sub(since));
        format!("trouble for {ago}, since {}", date(since))
    });
    match (since, reason) {
        (Some(since), Some(reason)) if since.len() + reason.chars().count() + 3 < width.into() => {
            vec![Line::styled(format!(" {since}: {reason}"), style)]
        }
        (since, reason) => {
            let lines = since.into_iter().chain(reason);
            lines.map(|text| Line::styled(format!(" {text}"), style)).collect()
        }
    }
}

/// What its last death advises, if it is down and that is not said already.
fn todo(state: &State, one: &UpstreamStatus, look: &Look) -> Option<Line<'static>> {
    let report = state.detail()?.report.as_ref().filter(|_| !one.is_up())?;
    let is_said = one.reason.as_ref().is_some_and(|reason| reason.contains(&report.advice));
    let advice = Some(&report.advice).filter(|advice| !advice.is_empty() && !is_said)?;
    Some(Line::styled(format!(" to do: {advice}"), look.strong()))
}

/// The last lives with the waits between them, as many as fit, newest at the right.
pub(super) fn strip(lives: &[Life], look: &Look, width: u16) -> Line<'static> {
    let mut spans = Vec::new();
    let mut room = usize::from(width).saturating_sub(" lives  ".len());
    let mut next: Option<&Life> = None;
    for life in lives.iter().rev() {
        let (text, style) = shown(life, look);
        let life_of = Span::styled(format!("{text}  "), style);
        let wait = next
            .and_then(|next| wait(life, next))
            .map(|ms| Span::styled(format!("wait {}  ", short(ms)), look.dim()));
        let both: usize = life_of.width() + wait.as_ref().map_or(0, Span::width);
        if both > room {
            break;
        }
        room -= both;
        // From the right to the left.
        spans.extend(wait);
        spans.push(life_of);
        next = Some(life);
    }
    if spans.is_empty() {
        spans.push(Span::styled("none as yet", look.dim()));
    }
    spans.push(Span::styled(" lives  ", look.dim()));
    spans.reverse();
    Line::from(spans)
}

/// How long it took from a death to the life after it.
fn wait(life: &Life, next: &Life) -> Option<u64> {
    let end = life.end.as_ref().filter(|end| end.death.is_some())?;
    Some(next.begun_ms.saturating_sub(end.at_ms)).filter(|ms| *ms > 0)
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
    let heads = [" TOOL", "CALLS", "ERRORS", "P50", "P95", "P99"];
    // A figure without its tool says nothing.
    let shown = if area.width >= NARROW { heads.len() } else { 4 };
    let rows = own.iter().map(|it| {
        let cells = [
            Cell::from(format!(" {}", it.tool)),
            number(it.calls.to_string()),
            number(it.errors.to_string()),
            number(quick(it.p50_us)),
            number(quick(it.p95_us)),
            number(quick(it.p99_us)),
        ];
        Row::new(cells.into_iter().take(shown))
    });
    let heads = heads.into_iter().take(shown).enumerate().map(|(at, head)| {
        Cell::from(if at == 0 { Line::from(head) } else { Line::from(head).right_aligned() })
    });
    let widths = [Constraint::Fill(1)].into_iter().chain([Constraint::Length(8); 5]).take(shown);
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
