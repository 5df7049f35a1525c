//! The past of one upstream, life by life, made of its events.

use mcplex_admin::events::{Event, Kind};
use mcplex_proto::upstream::Health;

/// One life of an upstream, as far as events tell of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Life {
    /// Its number.
    pub(crate) number: u64,
    /// When it was first heard of, in milliseconds of Unix time.
    pub(crate) begun_ms: u64,
    /// Whether it was ever ready.
    pub(crate) was_ready: bool,
    /// How it ended, if it has.
    pub(crate) end: Option<End>,
}

/// How a life ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) at_ms: u64,
    /// A death, with what is said of it; else somebody stopped it, or nobody needed it.
    pub(crate) death: Option<String>,
    /// Whether that death opened the breaker.
    pub(crate) is_trip: bool,
}

/// The lives that these events of one upstream tell of, oldest first.
pub(crate) fn lives<'a>(events: impl IntoIterator<Item = &'a Event>) -> Vec<Life> {
    let mut lives: Vec<Life> = Vec::new();
    for event in events {
        // A first life that has not begun has no number yet.
        if event.incarnation == 0 {
            continue;
        }
        if lives.last().is_none_or(|last| last.number != event.incarnation) {
            let begun_ms = event.at_ms;
            // One that was restarted neither dies nor stops, as far as events tell.
            if let Some(last) = lives.last_mut() {
                let end = End { at_ms: begun_ms, death: None, is_trip: false };
                last.end.get_or_insert(end);
            }
            lives.push(Life { number: event.incarnation, begun_ms, ..Life::default() });
        }
        let Some(life) = lives.last_mut() else { continue };
        match (event.kind, event.health.as_deref()) {
            (Kind::Died, _) => {
                let death = Some(event.what.clone().unwrap_or_default());
                life.end = Some(End { at_ms: event.at_ms, death, is_trip: false });
            }
            (Kind::Changed, Some(health)) if health == Health::Tripped.as_str() => {
                if let Some(end) = &mut life.end {
                    end.is_trip = true;
                }
            }
            (Kind::Changed, Some(health))
                if health == Health::Stopped.as_str() || health == Health::Idle.as_str() =>
            {
                let end = End { at_ms: event.at_ms, death: None, is_trip: false };
                life.end.get_or_insert(end);
            }
            (Kind::Changed, Some(health)) if health == Health::Ready.as_str() => {
                life.was_ready = true;
            }
            (Kind::Changed, _) => {}
        }
    }
    lives
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(at_ms: u64, incarnation: u64, health: &str) -> Event {
        Event { at_ms, incarnation, health: Some(health.to_owned()), ..Event::default() }
    }

    fn died(at_ms: u64, incarnation: u64) -> Event {
        let what = Some(format!("end {incarnation}"));
        Event { at_ms, incarnation, kind: Kind::Died, what, ..Event::default() }
    }

    #[test]
    fn a_loop_a_trip_and_what_came_after() {
        let events = [
            changed(0, 0, "recovering"),
            changed(1, 1, "recovering"),
            changed(2, 1, "ready"),
            died(5, 1),
            changed(5, 1, "recovering"),
            changed(9, 2, "recovering"),
            died(10, 2),
            changed(10, 2, "tripped"),
            changed(20, 3, "recovering"),
            changed(21, 3, "ready"),
        ];
        let lives = lives(&events);
        let shown: Vec<_> = lives
            .iter()
            .map(|life| {
                let end =
                    life.end.as_ref().map(|end| (end.at_ms, end.death.as_deref(), end.is_trip));
                (life.number, life.begun_ms, life.was_ready, end)
            })
            .collect();
        let expect = [
            (1, 1, true, Some((5, Some("end 1"), false))),
            (2, 9, false, Some((10, Some("end 2"), true))),
            (3, 20, true, None),
        ];
        assert_eq!(shown, expect);
    }

    #[test]
    fn a_restart_is_an_end_too() {
        let lives = lives(&[changed(1, 1, "ready"), changed(7, 2, "recovering")]);
        assert_eq!(lives[0].end, Some(End { at_ms: 7, death: None, is_trip: false }));
        assert_eq!(lives[1].end, None);
    }

    #[test]
    fn one_that_somebody_stops_has_not_died() {
        let events = [changed(1, 1, "ready"), changed(7, 1, "stopped"), changed(9, 2, "ready")];
        let lives = lives(&events);
        assert_eq!(lives[0].end, Some(End { at_ms: 7, death: None, is_trip: false }));
        assert_eq!(lives[1].end, None);
        assert_eq!(super::lives(&[]), []);
    }
}
