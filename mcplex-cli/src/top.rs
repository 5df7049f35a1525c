//! `mcplex top`: a running mcplex on a whole terminal.
//!
//! Read it in this order: [`lives`] (the past of an upstream, life by life), [`state`] (what is known
//! and what keys do to it), [`view`] (what of that is drawn, where), then the two that touch the world:
//! [`feed`] (asks the control socket) and [`screen`] (takes the terminal, and gives it back).

mod feed;
mod lives;
mod screen;
mod state;
mod view;

use self::{
    feed::Feed,
    screen::{Ends, Screen},
    state::{State, Want},
    view::Look,
};
use crate::{
    args::ConfigOptions,
    console,
    exit::{Code, Failure},
};
use std::io::IsTerminal as _;

/// How many keys may wait; nobody types faster than they are taken.
const KEYS: usize = 64;

/// Shows what runs until somebody has seen enough.
pub(crate) async fn run(options: &ConfigOptions) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return Err(Failure::new(Code::Failed, "`mcplex top` needs a terminal").with_hint(
            "`mcplex status` prints the same once, `mcplex status --watch` again and again",
        ));
    }
    if std::env::var_os("TERM").is_some_and(|term| term == "dumb") {
        return Err(Failure::new(
            Code::Failed,
            "this terminal has no cursor that could be moved (TERM=dumb)",
        )
        .with_hint("`mcplex status --watch` needs none"));
    }
    // While the terminal is still as it was, so that it can be said plainly that nobody runs.
    let mut client = console::connect(options).await?;
    let mut state = State::new(console::snapshot(&mut client).await?);
    state.take(feed::figures(&mut client).await?);
    drop(client);
    let mut ends = Ends::listen()?;
    let mut feed = Feed::begin(options);
    let mut screen = Screen::take().map_err(|error| no_terminal(&error))?;
    let mut keys = screen::keys(KEYS).map_err(|error| no_terminal(&error))?;
    feed.look_at(state.selected_name());
    loop {
        let look = Look { now_ms: console::now_ms(), is_colourful: console::is_colourful() };
        if screen.draw(|frame| view::draw(&state, &look, frame)).is_err() {
            // The terminal is gone, and nobody is left who could be told.
            return Ok(());
        }
        tokio::select! {
            news = feed.next() => {
                state.take(news?);
                // What came meanwhile is drawn with it.
                while let Some(more) = feed.more() {
                    state.take(more);
                }
            }
            key = keys.recv() => match key.map(|key| state.press(key)) {
                // Without a key for ever: the terminal is gone.
                Some(Want::Quit) | None => return Ok(()),
                Some(Want::Act(verb, upstream)) => feed.act(verb, upstream),
                Some(Want::Suspend) => screen.suspend().map_err(|error| no_terminal(&error))?,
                Some(Want::Nothing) => {}
            },
            () = ends.next() => return Ok(()),
        }
        feed.look_at(state.selected_name());
    }
}

fn no_terminal(error: &std::io::Error) -> Failure {
    Failure::from_error(Code::Failed, "the terminal cannot be used", error)
}
