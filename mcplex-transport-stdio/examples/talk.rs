//! Starts an MCP server, asks who it is, and ends it: `talk <program> [argument]...`.

use futures_util::{SinkExt as _, StreamExt as _};
use mcplex_proto::{
    handshake::{EraChoice, Handshake, Known, Opener, Step},
    raw::Raw,
    transport::{Grace, Received, Transport as _},
    upstream::UpstreamName,
};
use mcplex_transport_stdio::{Command, StdioTransport};
use std::error::Error;

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "an example shows what it finds")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let program = args.next().ok_or("name a program that is an MCP server")?;
    let command = Command::new(UpstreamName::new("example")?, program).with_args(args);
    let mut connection = StdioTransport::new(command).connect().await?;

    let client = Raw::of(&serde_json::json!({ "name": "talk", "version": "0" }));
    // What most servers speak; a gateway would ask.
    let (choice, known) = (EraChoice::LegacyFirst, Known::Nothing);
    let opener = Opener { choice, known, capabilities: Raw::empty_object(), client };
    let (mut handshake, hello) = Handshake::begin([1, 2, 3, 4], opener);
    connection.outgoing.send(hello).await?;
    while let Some(received) = connection.incoming.next().await {
        let Received::Message(message) = received else {
            println!("passed over: {received:?}");
            continue;
        };
        match handshake.handle(message)? {
            Step::Done(opened) => {
                if let Some(message) = opened.initialized {
                    connection.outgoing.send(message).await?;
                }
                println!("it is {:?}", opened.server);
                break;
            }
            Step::Ask(message) | Step::Reply(message) => connection.outgoing.send(message).await?,
            Step::Other(message) => println!("it said {message:?}"),
        }
    }

    drop((connection.outgoing, connection.incoming));
    let closed = connection.lifeline.close(Grace::default()).await;
    println!("{} (last step: {:?})", closed.ending, closed.step);
    Ok(())
}
