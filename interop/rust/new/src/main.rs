//! The official Rust client, 3.x: a specification on stdin, results as JSON on stdout.

#[path = "../../client.rs"]
mod client;
#[path = "../../face.rs"]
mod face;

mod sdk;

use std::error::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    client::run().await
}
