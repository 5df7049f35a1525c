//! All upstreams: a table, what there is to say of the selected one, and events as they come.

use super::{
    one,
    paint::{Look, happened, quick},
    to_u16,
};
use crate::{
    commands::status::short,
    top::state::{State, label},
};
use mcplex_admin::status::UpstreamStatus;
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
    widgets::{Block, Borders, Cell, Paragraph, Row, Table, TableState, Wrap},
};

/// From this width on there is room for the last error beside the rest.
const WIDE: u16 = 110;

/// From this width on events stand beside the selected upstream.
const VERY_WIDE: u16 = 150;

/// How much of a name is shown in a narrow terminal, and in a wide one.
const NAME: (usize, usize) = (15, 30);

/// Lines for the selected upstream, its title included.
const SELECTED: u16 = 5;

/// Lines for events, at the least.
const EVENTS: u16 = 4;

/// One upstream takes this part of the lines for events, or as many lines if that is more.
const SHARE: u16 = 3;

/// What stands above the columns, and which of them go first where there is no room for all: a column
/// that is cut shows another number than the one that is meant.
const COLUMNS: [(&str, u8); 9] = [
    ("UPSTREAM", 0),
    ("HEALTH", 1),
    ("PID", 8),
    ("LIFE", 7),
    ("UP", 2),
    ("DEATHS", 4),
    ("NEXT", 3),
    ("CALLS", 5),
    ("P95", 6),
];

/// How many columns stand at the left; the others are numbers.
const LEFT: usize = 2;

pub(super) fn draw(state: &State, look: &Look, frame: &mut Frame<'_>, area: Rect) {
    let rows = &state.snapshot.upstreams;
    // The table gives way before the rest is no longer readable.
    let most = area.height.saturating_sub(SELECTED + EVENTS).max(4);
    let height = to_u16(rows.len() + 1).min(most);
    let [table, rest] =
        Layout::vertical([Constraint::Length(height), Constraint::Fill(1)]).areas(area);
    draw_table(state, look, frame, table);
    let [selected, events] = if area.width >= VERY_WIDE {
        Layout::horizontal([Constraint::Percentage(45), Constraint::Fill(1)]).areas(rest)
    } else {
        Layout::vertical([Constraint::Length(SELECTED), Constraint::Fill(1)]).areas(rest)
    };
    draw_selected(state, look, frame, selected);
    draw_events(state, look, frame, events);
}

fn draw_table(state: &State, look: &Look, frame: &mut Frame<'_>, area: Rect) {
    let is_wide = area.width >= WIDE;
    let upstreams = &state.snapshot.upstreams;
    let longest = upstreams.iter().map(|row| label(row).chars().count()).max().unwrap_or_default();
    let name = longest.min(if is_wide { NAME.1 } else { NAME.0 });
    let texts: Vec<_> = upstreams.iter().map(|upstream| texts(state, upstream, name)).collect();
    let columns = columns(&texts, area.width);
    let mut widths: Vec<_> =
        columns.iter().map(|(_, width)| Constraint::Length(to_u16(*width))).collect();
    let cell = |at: usize, text: String| {
        let line = Line::from(text);
        Cell::from(if at < LEFT { line } else { line.right_aligned() })
    };
    let mut heads: Vec<_> = columns
        .iter()
        .map(|&(at, _)| {
            let head = COLUMNS[at].0;
            cell(at, if at == 0 { format!(" {head}") } else { head.to_owned() })
        })
        .collect();
    if is_wide {
        widths.push(Constraint::Fill(1));
        heads.push(Cell::from(" LAST ERROR"));
    }
    let rows = texts.into_iter().zip(upstreams).map(|(texts, upstream)| {
        let mut cells: Vec<_> = columns
            .iter()
            .map(|&(at, _)| match at {
                1 => Cell::from(Span::styled(texts[at].clone(), look.of(upstream.health))),
                _ => cell(at, texts[at].clone()),
            })
            .collect();
        if is_wide {
            let error = upstream.last_error.as_ref().or(upstream.reason.as_ref());
            cells.push(Cell::from(format!(" {}", error.map_or("", String::as_str))));
        }
        Row::new(cells)
    });
    let table = Table::new(rows, widths)
        .header(Row::new(heads).style(look.dim()))
        .column_spacing(1)
        .row_highlight_style(look.selected());
    let selected = (!upstreams.is_empty()).then(|| state.selected());
    frame.render_stateful_widget(table, area, &mut TableState::new().with_selected(selected));
}

/// Which columns there is room for, each with the width that the longest of its texts needs.
fn columns(texts: &[[String; 9]], room: u16) -> Vec<(usize, usize)> {
    let width = |at: usize| {
        let own = texts.iter().map(|row| row[at].chars().count());
        // As many as usual, so that columns do not move with each call.
        let least = [COLUMNS[at].0.len() + usize::from(at == 0), 10, 7, 4, 6, 6, 6, 6, 6][at];
        // A blank behind a name.
        own.max().unwrap_or_default().max(least) + usize::from(at == 0)
    };
    let mut columns: Vec<_> = (0..COLUMNS.len()).map(|at| (at, width(at))).collect();
    let used = |columns: &[(usize, usize)]| -> usize { columns.iter().map(|it| it.1 + 1).sum() };
    while columns.len() > LEFT && used(&columns) > usize::from(room) + 1 {
        let last = columns.iter().map(|it| COLUMNS[it.0].1).max();
        columns.retain(|it| Some(COLUMNS[it.0].1) != last);
    }
    columns
}

/// What stands in each column.
fn texts(state: &State, upstream: &UpstreamStatus, name: usize) -> [String; 9] {
    let health = if upstream.is_enabled { upstream.health.as_str() } else { "disabled" };
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    // Calls are counted for all children of an upstream together.
    let figures = state.upstreams.get(&upstream.name).filter(|_| upstream.member.is_none());
    let deaths = match upstream.deaths {
        0 => "0".to_owned(),
        deaths => format!("{deaths}/{}", upstream.max_deaths),
    };
    [
        format!(" {}", crate::commands::status::cut(label(upstream), name)),
        health.to_owned(),
        or_none(upstream.pid.map(|pid| pid.to_string())),
        upstream.incarnation.to_string(),
        or_none(upstream.uptime_ms.map(short)),
        deaths,
        or_none(upstream.retry_after_ms.map(short)),
        or_none(figures.map(|it| it.calls.to_string())),
        or_none(figures.map(|it| quick(it.p95_us))),
    ]
}

fn draw_selected(state: &State, look: &Look, frame: &mut Frame<'_>, area: Rect) {
    let mut lines = Vec::new();
    let title = match state.one() {
        Some(one) => {
            lines.push(one::strip(&state.lives(one), look, area.width));
            lines.extend(one::reason(one, look, area.width));
            label(one).to_owned()
        }
        None => {
            lines.push(Line::raw(" the configuration names no upstream"));
            "No upstream".to_owned()
        }
    };
    let [top, words] =
        Layout::vertical([Constraint::Length(SELECTED), Constraint::Fill(1)]).areas(area);
    let block = Block::new().borders(Borders::TOP).title(look.title(title));
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }).block(block), top);
    // Where events stand beside it there is room for more.
    if let Some(one) = state.one().filter(|_| words.height > 1) {
        one::draw_words(state, one, look, frame, words);
    }
}

fn draw_events(state: &State, look: &Look, frame: &mut Frame<'_>, area: Rect) {
    // A loop leaves room for what happens to others.
    let each = usize::from(area.height / SHARE).max(SHARE.into());
    let lines = happened(state.events.iter().rev(), look, Some(each), area.height);
    let block = Block::new().borders(Borders::TOP).title(look.title("Events, newest first"));
    frame.render_widget(Paragraph::new(lines).block(block), area);
}
