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

/// What stands above the columns, and how wide they are but for the first and the last.
const COLUMNS: [(&str, u16); 9] = [
    ("UPSTREAM", 0),
    ("HEALTH", 10),
    ("PID", 7),
    ("LIFE", 4),
    ("UP", 6),
    ("DEATHS", 6),
    ("NEXT", 6),
    ("CALLS", 6),
    ("P95", 6),
];

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
    let most = if is_wide { NAME.1 } else { NAME.0 };
    let name = longest.clamp(COLUMNS[0].0.len(), most);
    let rows = upstreams.iter().map(|upstream| row(state, upstream, look, name, is_wide));
    let mut widths: Vec<_> = COLUMNS.iter().map(|(_, width)| Constraint::Length(*width)).collect();
    // A blank before it, and one more behind it.
    widths[0] = Constraint::Length(to_u16(name + 2));
    let mut heads: Vec<_> = COLUMNS
        .iter()
        .enumerate()
        .map(|(at, (head, _))| {
            let line = Line::from(if at == 0 { format!(" {head}") } else { (*head).to_owned() });
            Cell::from(if at < 2 { line } else { line.right_aligned() })
        })
        .collect();
    if is_wide {
        widths.push(Constraint::Fill(1));
        heads.push(Cell::from(" LAST ERROR"));
    }
    let table = Table::new(rows, widths)
        .header(Row::new(heads).style(look.dim()))
        .column_spacing(1)
        .row_highlight_style(look.selected());
    let selected = (!upstreams.is_empty()).then(|| state.selected());
    frame.render_stateful_widget(table, area, &mut TableState::new().with_selected(selected));
}

fn row(
    state: &State,
    upstream: &UpstreamStatus,
    look: &Look,
    name: usize,
    is_wide: bool,
) -> Row<'static> {
    let health = if upstream.is_enabled { upstream.health.as_str() } else { "disabled" };
    let number = |text: String| Cell::from(Line::from(text).right_aligned());
    let time = |ms: Option<u64>| number(ms.map_or_else(|| "-".to_owned(), short));
    // Calls are counted for all children of an upstream together.
    let figures = state.upstreams.get(&upstream.name).filter(|_| upstream.member.is_none());
    let deaths = match upstream.deaths {
        0 => "0".to_owned(),
        deaths => format!("{deaths}/{}", upstream.max_deaths),
    };
    let mut cells = vec![
        Cell::from(format!(" {}", crate::commands::status::cut(label(upstream), name))),
        Cell::from(Span::styled(health, look.of(upstream.health))),
        number(upstream.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string())),
        number(upstream.incarnation.to_string()),
        time(upstream.uptime_ms),
        number(deaths),
        time(upstream.retry_after_ms),
        number(figures.map_or_else(|| "-".to_owned(), |it| it.calls.to_string())),
        number(figures.map_or_else(|| "-".to_owned(), |it| quick(it.p95_us))),
    ];
    if is_wide {
        let error = upstream.last_error.as_ref().or(upstream.reason.as_ref());
        cells.push(Cell::from(format!(" {}", error.map_or("", String::as_str))));
    }
    Row::new(cells)
}

fn draw_selected(state: &State, look: &Look, frame: &mut Frame<'_>, area: Rect) {
    let mut lines = Vec::new();
    let title = match state.one() {
        Some(one) => {
            lines.push(one::strip(&state.lives(one), look, area.width));
            lines.extend(one::reason(one, look));
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
    let lines = happened(state.events.iter().rev(), look, true, area.height);
    let block = Block::new().borders(Borders::TOP).title(look.title("Events, newest first"));
    frame.render_widget(Paragraph::new(lines).block(block), area);
}
