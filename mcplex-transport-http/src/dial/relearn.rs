//! The list of a server's tools, read once more for the headers of a call.

use super::{
    answer::{Asked, Fate, envelope},
    events::{Events, Place, is_stream, whole},
    talk::Talk,
    wire,
};
use mcplex_proto::{
    edit,
    id::Id,
    message::{Message, Outcome, Request, Response},
    method, raw,
};

/// Pages of a list that are read to learn of headers: no server has as many.
const MAX_PAGES: usize = 64;

/// Lists the tools anew, for the headers of a call that were not what the server wants.
pub(super) async fn tools(talk: &Talk, call: &Request) {
    let meta = envelope(call);
    let mut cursor: Option<String> = None;
    for _ in 0..MAX_PAGES {
        let mut members = vec![("_meta", meta.as_str())];
        members.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        // Each POST has its own answer, so the id only has to differ from the call's.
        let id = Id::Text("mcplex/tools".into());
        let list =
            Request { id, ..Request::new(0, method::TOOLS_LIST, Some(edit::object(members))) };
        let Fate::Answered(Response { outcome: Outcome::Result(page), .. }) =
            Box::pin(exchange_quietly(talk, &list)).await
        else {
            return;
        };
        let next =
            edit::member(page.as_str(), "nextCursor").filter(|next| raw::string(next).is_some());
        let next = next.map(|next| next.get().to_owned());
        if next.is_none() || next == cursor {
            return;
        }
        cursor = next;
    }
}

/// An exchange of our own: what comes of it is not for the supervisor.
async fn exchange_quietly(talk: &Talk, request: &Request) -> Fate {
    let own = wire::modern_headers(request);
    let body = Message::from(request.clone()).to_bytes();
    let Ok(response) = talk.wire.post(body, own).await else { return Fate::Heard };
    if !response.status().is_success() {
        return Fate::Heard;
    }
    let max = talk.wire.target.max_message;
    let asked = Asked { talk, request, is_modern: true, fresh: None };
    let data = if is_stream(response.headers()) {
        let mut events = Events::new(response.into_body(), max, Place::default());
        loop {
            match events.next().await {
                Ok(event) if memchr::memmem::find(&event.data, b"\"result\"").is_some() => {
                    break event.data;
                }
                Ok(_) => {}
                Err(_) => return Fate::Heard,
            }
        }
    } else {
        match whole(response, max).await {
            Ok(body) => body,
            Err(_) => return Fate::Heard,
        }
    };
    match Message::parse(data) {
        Ok(Message::Response(response)) => Fate::Answered(asked.landed(response)),
        Ok(Message::Request(_) | Message::Notification(_)) | Err(_) => Fate::Heard,
    }
}
