//! The stream on which a legacy server says what belongs to no request, and going on with streams.

use super::{
    connector::is_lack,
    events::{Cut, Events, Place, is_stream},
    talk::Talk,
    trouble::{End, Trouble, forgotten, lost},
};
use hyper::StatusCode;
use mcplex_proto::message::Response;
use std::time::Duration;
use tokio::time::sleep;

/// The longest wait between two tries: a server that is there and has no stream for us now gets two
/// requests a minute.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// What came of going on with a stream.
#[derive(Debug)]
pub(crate) enum Reopened {
    Stream(Box<Events>),
    /// Not now.
    Later,
    /// The server does not do that.
    Never,
    /// The connection is over.
    Over(End),
}

/// Waits as long as the server wants, and goes on where a stream ended.
pub(crate) async fn reopen(talk: &Talk, place: &Place) -> Reopened {
    sleep(place.retry).await;
    open(talk, place).await
}

async fn open(talk: &Talk, place: &Place) -> Reopened {
    let target = &talk.wire.target;
    let response = match talk.wire.get(place.last_id.as_deref()).await {
        Ok(response) => response,
        Err(Trouble::Away(error)) if !is_lack(&error) => {
            return Reopened::Over(lost(target, &error));
        }
        // Whether who asks is accepted at all is seen by the next call or probe.
        Err(Trouble::Away(_) | Trouble::Broke(_) | Trouble::Refused(..)) => return Reopened::Later,
    };
    let status = response.status();
    if status.is_success() && is_stream(response.headers()) {
        let place = place.clone();
        return Reopened::Stream(Box::new(Events::new(
            response.into_body(),
            target.max_message,
            place,
        )));
    }
    match status {
        // The second is said by servers that keep sessions by hand.
        StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST if talk.wire.session_id().is_some() => {
            Reopened::Over(forgotten())
        }
        StatusCode::CONFLICT | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
            Reopened::Later
        }
        _ if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED => Reopened::Later,
        _ => Reopened::Never,
    }
}

/// Listens for as long as the session lasts, if the server has a stream for that.
pub(crate) async fn run(talk: &Talk) {
    let mut place = Place::default();
    let mut had_stream = false;
    let mut wait = Duration::ZERO;
    loop {
        sleep(wait).await;
        match open(talk, &place).await {
            Reopened::Stream(mut events) => {
                had_stream = true;
                let has_heard = hear(talk, &mut events).await;
                place = events.place().clone();
                // One that ends at once each time is asked ever more seldom.
                let longer = if has_heard { Duration::ZERO } else { wait * 2 };
                wait = longer.clamp(place.retry.min(MAX_WAIT), MAX_WAIT);
            }
            Reopened::Later => wait = (wait * 2).clamp(place.retry.min(MAX_WAIT), MAX_WAIT),
            // Many a server does not know the address for GET, which is no word about the session.
            Reopened::Over(End::Lost(_)) if !had_stream => match talk.wire.look().await {
                Err(error) if !is_lack(&error) => {
                    return talk.end(lost(&talk.wire.target, &error)).await;
                }
                Ok(()) | Err(_) => return,
            },
            Reopened::Never => return,
            Reopened::Over(end) => return talk.end(end).await,
        }
    }
}

/// Hands on what is said; whether that was anything.
async fn hear(talk: &Talk, events: &mut Events) -> bool {
    let mut has_heard = false;
    loop {
        match events.next().await {
            Ok(event) => {
                has_heard = true;
                if event.name == "message" {
                    let _none: Option<Response> = talk.take(event.data, None).await;
                }
            }
            Err(Cut::End) => return has_heard,
            Err(Cut::TooLong(error)) => {
                tracing::warn!(upstream = %talk.wire.target.name, %error, "an event is left out");
                return has_heard;
            }
        }
    }
}
