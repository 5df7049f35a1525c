//! What `mcplex top` knows, and what news and keys do to it. Nothing in here waits or reads a clock.

use super::lives::{Life, lives};
use mcplex_admin::{
    calls::Figures,
    events::{Event, Kind},
    operator::Verb,
    status::{Snapshot, UpstreamStatus},
};
use mcplex_proto::{report::CrashReport, upstream::Health};
use std::collections::{BTreeMap, VecDeque};

/// Events that are kept of each upstream, as many as mcplex itself keeps: one that dies in a loop pushes
/// out its own past and nobody else's.
const EVENTS: usize = 100;

/// How far one press of a page key goes.
const PAGE: usize = 10;

/// Everything that is shown.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) snapshot: Snapshot,
    /// The figures of each tool.
    pub(crate) tools: Vec<Figures>,
    /// The figures of each upstream, by its name.
    pub(crate) upstreams: BTreeMap<String, Figures>,
    /// What happened, oldest first.
    pub(crate) events: VecDeque<Event>,
    pub(crate) detail: Option<Detail>,
    pub(crate) page: Page,
    pub(crate) has_help: bool,
    /// The label of the row that is selected.
    selected: Option<String>,
    /// What a person is asked before it is done.
    pub(crate) question: Option<(Verb, String)>,
    /// What was told last, and is not over.
    pub(crate) acting: Option<(Verb, String)>,
    /// What came of it.
    pub(crate) said: Option<Said>,
    pub(crate) link: Link,
    /// How many lines of last words are scrolled away.
    pub(crate) scrolled: usize,
}

/// What fills the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// All upstreams.
    Fleet,
    /// The selected one.
    One,
}

/// Whether what is shown is how it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Live,
    /// Why not.
    Lost(String),
}

/// One sentence for the last line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Good(String),
    Bad(String),
}

/// What is known of the selected upstream beyond its row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Detail {
    /// Whose.
    pub(crate) upstream: String,
    /// Its last death, if one is kept.
    pub(crate) report: Option<CrashReport>,
    /// The last lines of its log.
    pub(crate) log: Vec<String>,
}

/// What comes from the mcplex that runs.
#[derive(Clone, Debug)]
pub(crate) enum News {
    Snapshot(Box<Snapshot>),
    /// Figures by tool and by upstream.
    Figures(Vec<Figures>, Vec<Figures>),
    Detail(Box<Detail>),
    /// All events that are kept there, oldest first.
    Past(Vec<Event>),
    Event(Box<Event>),
    /// Something is not as it should be, and goes on all the same.
    Warning(String),
    /// A verb has had its effect, or why it has none.
    Done(Result<String, String>),
    /// There is no answer, and why.
    Lost(String),
}

/// A key that means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    /// The next one that has trouble.
    Trouble,
    Open,
    Back,
    Reset,
    /// Stops what runs, starts what is stopped.
    Toggle,
    Yes,
    Help,
    /// Gives the terminal to the shell until it is brought back.
    Suspend,
    Quit,
    /// Any other one, which is a no where something is asked.
    Other,
    /// None: the terminal has another size.
    Redraw,
}

/// What a key asks of the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    Nothing,
    Act(Verb, String),
    Suspend,
    Quit,
}

impl State {
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        Self {
            snapshot,
            tools: Vec::new(),
            upstreams: BTreeMap::new(),
            events: VecDeque::new(),
            detail: None,
            page: Page::Fleet,
            has_help: false,
            selected: None,
            question: None,
            acting: None,
            said: None,
            link: Link::Live,
            scrolled: 0,
        }
    }

    /// Which row is selected; the first one where the one that was is gone.
    pub(crate) fn selected(&self) -> usize {
        let rows = self.snapshot.upstreams.iter();
        let is_it = |row: &UpstreamStatus| Some(label(row)) == self.selected.as_deref();
        rows.enumerate().find(|(_, row)| is_it(row)).map_or(0, |(at, _)| at)
    }

    /// The selected row, if there is any.
    pub(crate) fn one(&self) -> Option<&UpstreamStatus> {
        self.snapshot.upstreams.get(self.selected())
    }

    /// The name of the selected upstream.
    pub(crate) fn selected_name(&self) -> Option<&str> {
        self.one().map(|one| one.name.as_str())
    }

    /// The lives of a row, oldest first.
    pub(crate) fn lives(&self, row: &UpstreamStatus) -> Vec<Life> {
        lives(self.events_of(row))
    }

    /// What happened to a row, oldest first.
    pub(crate) fn events_of<'a>(
        &'a self,
        row: &'a UpstreamStatus,
    ) -> impl DoubleEndedIterator<Item = &'a Event> {
        let is_its = |event: &&Event| event.upstream == row.name && event.member == row.member;
        self.events.iter().filter(is_its)
    }

    /// The tools of an upstream that were called, the busiest first.
    pub(crate) fn tools_of(&self, upstream: &str) -> Vec<&Figures> {
        let own = self.tools.iter().filter(|it| it.upstream.as_deref() == Some(upstream));
        let mut own: Vec<_> = own.collect();
        own.sort_by(|one, other| other.calls.cmp(&one.calls).then(one.tool.cmp(&other.tool)));
        own
    }

    /// What is known of the selected one beyond its row.
    pub(crate) fn detail(&self) -> Option<&Detail> {
        let name = self.selected_name()?;
        self.detail.as_ref().filter(|detail| detail.upstream == name)
    }

    pub(crate) fn take(&mut self, news: News) {
        match news {
            News::Snapshot(snapshot) => {
                self.link = Link::Live;
                self.snapshot = *snapshot;
            }
            News::Figures(tools, upstreams) => {
                self.tools = tools;
                let named = |it: Figures| Some((it.upstream.clone()?, it));
                self.upstreams = upstreams.into_iter().filter_map(named).collect();
            }
            News::Detail(detail) => self.detail = Some(*detail),
            News::Past(events) => {
                self.events = events.into();
            }
            News::Event(event) => self.hear(*event),
            News::Warning(text) => self.said = Some(Said::Bad(text)),
            News::Done(outcome) => {
                self.acting = None;
                self.said = Some(outcome.map_or_else(Said::Bad, Said::Good));
            }
            News::Lost(why) => {
                self.acting = None;
                self.link = Link::Lost(why);
            }
        }
    }

    /// Takes an event, and changes the row it is about at once: the next status may be a second away.
    fn hear(&mut self, event: Event) {
        if self.events.back().is_some_and(|last| last.number >= event.number) {
            return;
        }
        let rows = &mut self.snapshot.upstreams;
        let own =
            |row: &&mut UpstreamStatus| row.name == event.upstream && row.member == event.member;
        if let (Kind::Changed, Some(row)) = (event.kind, rows.iter_mut().find(own)) {
            if let Some(health) = event.health.as_deref().and_then(health) {
                row.health = health;
            }
            row.incarnation = event.incarnation;
            row.pid = event.pid;
            row.deaths = event.deaths;
            row.trips = event.trips;
            row.reason.clone_from(&event.what);
            row.retry_after_ms = event.retry_after_ms;
            row.uptime_ms = row.uptime_ms.filter(|_| row.is_up());
        }
        let is_its = |other: &Event| other.upstream == event.upstream;
        if self.events.iter().filter(|other| is_its(other)).count() >= EVENTS
            && let Some(oldest) = self.events.iter().position(is_its)
        {
            self.events.remove(oldest);
        }
        self.events.push_back(event);
    }

    /// What a key does; a question that is open takes the next one.
    pub(crate) fn press(&mut self, key: Key) -> Want {
        if key == Key::Redraw {
            return Want::Nothing;
        }
        if key == Key::Suspend {
            return Want::Suspend;
        }
        if let Some((verb, upstream)) = self.question.take() {
            return if key == Key::Yes { self.act(verb, upstream) } else { Want::Nothing };
        }
        if self.has_help {
            self.has_help = false;
            return if key == Key::Quit { Want::Quit } else { Want::Nothing };
        }
        self.said = None;
        match key {
            Key::Quit => return Want::Quit,
            Key::Help => self.has_help = true,
            Key::Open => self.open(Page::One),
            Key::Back => self.open(Page::Fleet),
            Key::Trouble => self.next_in_trouble(),
            Key::Reset => return self.tell(Verb::Reset),
            Key::Toggle => return self.toggle(),
            Key::Up | Key::Down | Key::PageUp | Key::PageDown | Key::First | Key::Last => {
                self.go(key);
            }
            Key::Yes | Key::Suspend | Key::Other | Key::Redraw => {}
        }
        Want::Nothing
    }

    fn open(&mut self, page: Page) {
        self.page = page;
        self.scrolled = 0;
    }

    /// Moves the selection, or the last words where there is one upstream alone.
    fn go(&mut self, key: Key) {
        let (now, last) = match self.page {
            Page::Fleet => (self.selected(), self.snapshot.upstreams.len().saturating_sub(1)),
            // Counted from the end, where the newest words are.
            Page::One => (self.scrolled, self.words().len().saturating_sub(1)),
        };
        let is_from_end = self.page == Page::One;
        let next = match key {
            Key::Up if is_from_end => now + 1,
            Key::Down if !is_from_end => now + 1,
            Key::Up | Key::Down => now.saturating_sub(1),
            Key::PageUp if is_from_end => now + PAGE,
            Key::PageDown if !is_from_end => now + PAGE,
            Key::PageUp | Key::PageDown => now.saturating_sub(PAGE),
            Key::First if is_from_end => last,
            Key::Last if !is_from_end => last,
            Key::First | Key::Last => 0,
            Key::Trouble
            | Key::Open
            | Key::Back
            | Key::Reset
            | Key::Toggle
            | Key::Yes
            | Key::Help
            | Key::Suspend
            | Key::Quit
            | Key::Other
            | Key::Redraw => now,
        };
        let next = next.min(last);
        match self.page {
            Page::Fleet => {
                let row = self.snapshot.upstreams.get(next);
                self.selected = row.map(|row| label(row).to_owned());
            }
            Page::One => self.scrolled = next,
        }
    }

    /// Selects the next one that has trouble, from the first again after the last.
    fn next_in_trouble(&mut self) {
        let rows = &self.snapshot.upstreams;
        let after = rows.iter().cycle().skip(self.selected() + 1).take(rows.len());
        let next = after.into_iter().find(|row| row.trouble_since_ms.is_some());
        match next.map(|row| label(row).to_owned()) {
            Some(next) => (self.selected, self.scrolled) = (Some(next), 0),
            None => self.said = Some(Said::Good("none has trouble".to_owned())),
        }
    }

    /// What the selected one said last: before its death if it is down, else in its log.
    pub(crate) fn words(&self) -> Vec<&str> {
        let Some(detail) = self.detail() else { return Vec::new() };
        let is_up = self.one().is_some_and(UpstreamStatus::is_up);
        match &detail.report {
            Some(report) if !is_up && !report.stderr.is_empty() => {
                report.stderr.iter().map(|line| line.text.as_str()).collect()
            }
            Some(_) | None => detail.log.iter().map(String::as_str).collect(),
        }
    }

    fn toggle(&mut self) -> Want {
        let Some(one) = self.one() else { return Want::Nothing };
        match one.health {
            Health::Stopped | Health::Idle => self.tell(Verb::Start),
            Health::Ready | Health::Degraded | Health::Recovering | Health::Tripped => {
                // Clients lose what they are doing there.
                self.question = Some((Verb::Stop, one.name.clone()));
                Want::Nothing
            }
        }
    }

    fn tell(&mut self, verb: Verb) -> Want {
        match self.selected_name().map(str::to_owned) {
            Some(name) => self.act(verb, name),
            None => Want::Nothing,
        }
    }

    fn act(&mut self, verb: Verb, upstream: String) -> Want {
        if let Some((verb, upstream)) = &self.acting {
            self.said = Some(Said::Bad(format!("`{verb}` of {upstream} is still under way")));
            return Want::Nothing;
        }
        self.acting = Some((verb, upstream.clone()));
        Want::Act(verb, upstream)
    }
}

/// What a row is called.
pub(crate) fn label(row: &UpstreamStatus) -> &str {
    row.member.as_deref().unwrap_or(&row.name)
}

fn health(word: &str) -> Option<Health> {
    const ALL: [Health; 6] = [
        Health::Ready,
        Health::Degraded,
        Health::Idle,
        Health::Recovering,
        Health::Tripped,
        Health::Stopped,
    ];
    ALL.into_iter().find(|health| health.as_str() == word)
}

#[cfg(test)]
mod tests;
