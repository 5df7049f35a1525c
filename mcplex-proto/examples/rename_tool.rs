//! A proxy in miniature: renames the tool of a call and leaves every other byte as it was.

use mcplex_proto::{
    edit,
    message::{Message, Request},
};

#[expect(clippy::print_stdout, reason = "an example talks to whoever runs it")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let line = r#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"files__read","arguments":{"n":1.50,"path":"x"},"_meta":{"vendor/x":1E5}}}"#;
    let Message::Request(mut request) = Message::parse(line.as_bytes().to_vec().into())? else {
        return Err("it is a request".into());
    };
    let params = request.params.take().ok_or("a call has parameters")?;
    // The number keeps its two digits, the vendor's key its place.
    let params = edit::with_members(&params, &[("name", r#""read""#)]);
    let onward = Request { id: 7_u64.into(), params: Some(params), ..request };
    let text = String::from_utf8(Message::from(onward).to_bytes().to_vec())?;
    assert_eq!(
        text,
        r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"read","arguments":{"n":1.50,"path":"x"},"_meta":{"vendor/x":1E5}}}"#
    );
    println!("in:  {line}\nout: {text}");
    Ok(())
}
