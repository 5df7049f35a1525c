//! What is said to and by a child.

use futures_util::{SinkExt as _, StreamExt as _};
use mcplex_proto::{
    message::{Message, Notification, Outcome},
    raw::Raw,
    transport::{CloseStep, Connection, Ending, Grace, Received, Transport as _},
    upstream::UpstreamName,
};
use mcplex_transport_stdio::{Command, StdioTransport};
use std::{collections::BTreeMap, future::Future, time::Duration};

/// A script as the child.
pub(crate) fn sh(script: &str) -> Command {
    let name = UpstreamName::new("test").expect("a good name");
    Command::new(name, "sh").with_args(["-c", script])
}

pub(crate) async fn connect(script: &str) -> Connection {
    StdioTransport::new(sh(script)).connect().await.expect("sh is there")
}

/// No wait of a test is longer.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("it happens in time")
}

pub(crate) fn note(text: &str) -> Message {
    let params = Raw::of(&BTreeMap::from([("text", text)]));
    Notification::new("note", Some(params)).into()
}

#[tokio::test]
async fn a_child_is_heard_in_order_and_garbage_is_passed_over() {
    let script = r#"
        printf '%s\r\n' '{"jsonrpc":"2.0","method":"a"}'
        printf 'npm notice\n\377\376\n\n'
        printf '%s' '{"jsonrpc":"2.0","method":"b"}'"#;
    let Connection { outgoing, mut incoming, mut lifeline } = connect(script).await;
    let mut heard = Vec::new();
    for _ in 0..5 {
        match soon(incoming.next()).await {
            Some(Received::Message(Message::Notification(it))) => heard.push(it.method.to_string()),
            Some(Received::Garbage(_)) => heard.push("garbage".to_owned()),
            other => heard.push(format!("{other:?}")),
        }
    }
    assert_eq!(heard, ["a", "garbage", "garbage", "b", "None"]);
    drop((outgoing, incoming));
    let closed = soon(lifeline.close(Grace::default())).await;
    assert_eq!(closed.ending, Ending::Exited(0));
    assert!(closed.is_gone);
}

#[tokio::test]
async fn a_batch_of_a_child_is_heard_message_by_message() {
    // Each line begins with a byte order mark, as some programs write them.
    let script = r#"printf '\357\273\277%s\n' \
        '[{"jsonrpc":"2.0","method":"a"}, {"jsonrpc":"2.0","id":7,"result":{}}, {"no":1}]' '[]' \
        '{"jsonrpc":"2.0","method":"b"}'"#;
    let mut connection = connect(script).await;
    let mut heard = Vec::new();
    while let Some(said) = soon(connection.incoming.next()).await {
        heard.push(match said {
            Received::Message(Message::Notification(it)) => it.method.to_string(),
            Received::Message(Message::Response(it)) => format!("{}", it.id.expect("it has one")),
            Received::Garbage(bad) => bad.to_string(),
            other @ (Received::Message(_)
            | Received::About(..)
            | Received::Broken(_)
            | Received::Refused(_)) => panic!("{other:?}"),
        });
    }
    let (bad, empty) = ("not a JSON-RPC message: `jsonrpc` must be \"2.0\"", "a batch");
    assert_eq!(heard[..3], ["a", "7", bad]);
    assert!(heard[3].starts_with(empty), "{heard:?}");
    assert_eq!(heard[4..], ["b"]);
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_fails_its_call_and_nothing_else() {
    let script = r#"
        printf '{"jsonrpc":"2.0","id":7,"result":{"text":"\377"}}\n'
        printf '%s\n' '{"jsonrpc":"2.0","id":8,"result":{},"error":{"code":1}}' \
            '{"jsonrpc":"2.0","id":9,"result":{}}'"#;
    let mut connection = connect(script).await;
    let mut heard = Vec::new();
    while let Some(said) = soon(connection.incoming.next()).await {
        let Received::Message(Message::Response(it)) = said else { panic!("{said:?}") };
        heard.push((it.id.and_then(|id| id.minted()), it.outcome));
    }
    let [
        (Some(7), Outcome::Error(first)),
        (Some(8), Outcome::Error(_)),
        (Some(9), Outcome::Result(_)),
    ] = &heard[..]
    else {
        panic!("{heard:?}")
    };
    assert!(first.as_str().contains("the answer cannot be read"), "{first}");
}

#[tokio::test]
async fn a_child_that_never_ends_a_line_is_given_up() {
    let mut command = sh("while :; do printf 0123456789; done");
    command.max_line = 100_000;
    let mut connection = StdioTransport::new(command).connect().await.unwrap();
    let said = soon(connection.incoming.next()).await;
    assert!(matches!(&said, Some(Received::Broken(why)) if why.contains("100000")), "{said:?}");
    assert!(soon(connection.incoming.next()).await.is_none());
}

#[tokio::test]
async fn an_answer_that_is_too_long_fails_its_call_and_nothing_else() {
    let script = "printf '{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":\"'; \
                  head -c 1000000 /dev/zero | tr '\\0' x; echo '\"}'; \
                  echo '{\"jsonrpc\":\"2.0\",\"id\":8,\"result\":{}}'";
    let mut command = sh(script);
    command.max_line = 100_000;
    let mut connection = StdioTransport::new(command).connect().await.unwrap();
    let mut heard = Vec::new();
    while let Some(said) = soon(connection.incoming.next()).await {
        let Received::Message(Message::Response(it)) = said else { panic!("{said:?}") };
        heard.push(it);
    }
    assert_eq!(
        heard.iter().map(|it| it.id.clone()).collect::<Vec<_>>(),
        [7, 8].map(|id: u64| Some(id.into()))
    );
    let Outcome::Error(why) = &heard[0].outcome else { panic!("{:?}", heard[0]) };
    assert!(why.as_str().contains("a line is longer than 100000 bytes"), "{why:?}");
}

#[tokio::test]
async fn a_large_message_goes_through_whole() {
    let Connection { mut outgoing, mut incoming, mut lifeline } = connect("exec cat").await;
    let text = "x".repeat(3 << 20);
    let said = [note("before"), note(&text), note("after")];
    let write = async {
        for message in &said {
            outgoing.feed(message.clone()).await.unwrap();
        }
        outgoing.flush().await.unwrap();
    };
    let read = async {
        for message in &said {
            match incoming.next().await {
                Some(Received::Message(heard)) => assert!(heard == *message),
                other => panic!("{other:?}"),
            }
        }
    };
    soon(async { tokio::join!(write, read) }).await;
    drop((outgoing, incoming));
    assert!(soon(lifeline.close(Grace::default())).await.step <= CloseStep::Eof);
}

#[tokio::test]
async fn a_child_that_does_not_read_holds_back_its_caller_and_not_the_close() {
    let Connection { mut outgoing, incoming, mut lifeline } = connect("exec sleep 100").await;
    let text = "x".repeat(10_000);
    let mut accepted = 0;
    let pause = Duration::from_millis(200);
    while let Ok(done) = tokio::time::timeout(pause, outgoing.feed(note(&text))).await {
        done.unwrap();
        accepted += 1;
        assert!(accepted < 1000, "nothing holds the caller back");
    }
    assert!(accepted >= 100, "only {accepted} messages were accepted");
    drop((outgoing, incoming));
    let grace = Grace { eof: Duration::from_millis(50), ..Grace::default() };
    let closed = soon(lifeline.close(grace)).await;
    assert_eq!((closed.step, closed.ending), (CloseStep::Term, Ending::Signaled(15)));
    assert!(closed.is_gone);
}

#[tokio::test]
async fn a_caller_that_gives_up_never_cuts_a_line() {
    // Nothing is read until a line stands on another pipe: the sender is caught in mid-write.
    let home = tempfile::tempdir().unwrap();
    let gate = home.path().join("gate");
    let script = format!("mkfifo {0}; echo '{{}}'; read go < {0}; exec cat", gate.display());
    let Connection { mut outgoing, mut incoming, lifeline: _lifeline } = connect(&script).await;
    let ready = soon(incoming.next()).await;
    assert!(matches!(ready, Some(Received::Garbage(_))), "{ready:?}");
    let said: Vec<_> = (0..20).map(|n| note(&format!("{n}").repeat(30_000))).collect();
    let mut given_up = 0;
    for message in &said {
        outgoing.feed(message.clone()).await.unwrap();
        let pause = Duration::from_millis(5);
        given_up += usize::from(tokio::time::timeout(pause, outgoing.flush()).await.is_err());
    }
    assert!(given_up > 10, "only {given_up} were given up");
    soon(tokio::fs::write(&gate, "go\n")).await.unwrap();
    let read = async {
        for message in &said {
            match incoming.next().await {
                Some(Received::Message(heard)) => assert!(heard == *message),
                other => panic!("{other:?}"),
            }
        }
    };
    soon(async { tokio::join!(read, async { outgoing.flush().await.unwrap() }) }).await;
}

#[tokio::test]
async fn a_child_that_has_closed_its_stdin_is_an_error_for_the_writer() {
    let Connection { mut outgoing, incoming: _incoming, lifeline: mut life } =
        connect("exec 0<&-; exit 3").await;
    assert_eq!(soon(life.ended()).await, Ending::Exited(3));
    let sent = soon(outgoing.send(note("too late"))).await;
    assert_eq!(sent.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn children_get_the_environment_the_arguments_and_the_directory() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path().canonicalize().unwrap();
    let mut command = sh(r#"echo "$SAID $1 $(pwd -P) ${PATH:+path}" >&2"#);
    command.args.extend(["name".to_owned(), "argument".to_owned()]);
    command.env = vec![("SAID".to_owned(), "variable".to_owned())];
    command.cwd = Some(home.clone());
    let mut connection = StdioTransport::new(command).connect().await.unwrap();
    assert_eq!(soon(connection.lifeline.ended()).await, Ending::Exited(0));
    let expect = format!("variable argument {} path", home.display());
    assert_eq!(connection.lifeline.last_words()[0].text, expect);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_a_child_did_not_take_is_known_after_its_end() {
    for (script, takes) in [("exit 1", false), ("read line; exit 1", true), ("exec <&-", false)] {
        let mut connection = connect(script).await;
        soon(connection.outgoing.send(note("a"))).await.ok();
        soon(connection.lifeline.ended()).await;
        let (written, unread) = (connection.outgoing.written(), connection.outgoing.unread());
        // One that was faster was not written to at all.
        let has_taken = unread.unwrap() < written;
        assert_eq!(has_taken, takes, "{script}: {written} written, {unread:?} unread");
    }
}
