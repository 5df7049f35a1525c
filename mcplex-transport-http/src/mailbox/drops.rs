//! Notifications that make room for newer ones.

use super::Mailbox;
use crate::sse::EventId;

impl Mailbox {
    /// How many notifications were dropped, ever.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Remembers a pending notification as one that may be dropped.
    pub(super) fn may_drop(&mut self, id: EventId) {
        self.droppable.push_back((id.stream, id.number));
        // What was taken is looked for only now and then, so that one event costs little.
        if self.droppable.len() > 2 * self.max_events {
            let tracks = &self.tracks;
            self.droppable.retain(|(stream, number)| {
                tracks.get(stream).is_some_and(|track| track.pending(*number).is_some())
            });
        }
    }

    /// Drops the oldest pending notification of all streams; `false` if there is none.
    pub(super) fn drop_oldest(&mut self) -> bool {
        while let Some((stream, number)) = self.droppable.pop_front() {
            let Some(track) = self.tracks.get_mut(&stream) else { continue };
            let Some(event) = track.pending(number).and_then(|at| track.events.remove(at)) else {
                continue;
            };
            self.pending.remove(event.pieces.len());
            self.dropped = self.dropped.saturating_add(1);
            return true;
        }
        false
    }
}
