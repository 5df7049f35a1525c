use super::*;
use mcplex_proto::{
    attr,
    downstream::{Doorman as _, Principal, Verdict},
    upstream::{Incarnation, UpstreamName},
};
use serde_json::{Value, json};
use std::{fs, path::Path, thread};

fn limits() -> Limits {
    Limits { size: 1 << 20, age: None, files: usize::MAX, total: 1 << 30 }
}

fn call(n: u64) -> Audited {
    Audited {
        principal: Principal::Known("https://login.example alice".into()),
        session: Some(n),
        client: Some("claude".to_owned()),
        client_version: Some("2.1".to_owned()),
        method: "tools/call".into(),
        name: Some("files__read".to_owned()),
        uri: None,
        arguments: Some(Arguments::of(r#"{"path":"/a","body":"mine"}"#)),
        upstream: Some(UpstreamName::new("files").unwrap()),
        own_name: Some("read".to_owned()),
        outcome: "error",
        error: Some(attr::ERROR_UPSTREAM_DIED.into()),
        code: Some(-31_003),
        duration: Duration::from_micros(1_500),
        bytes_in: 70,
        bytes_out: 100,
        trace_id: Some("0af7651916cd43dd8448eb211c80319c".to_owned()),
        incarnation: Some(Incarnation(3)),
        attempts: 1,
    }
}

fn lines(path: &Path) -> Vec<Value> {
    let older = mcplex_journal::aside(path).unwrap().into_iter().map(|(_, path)| path);
    let texts = older.chain([path.to_owned()]).map(|path| fs::read_to_string(path).unwrap());
    let read = |text: String| -> Vec<Value> {
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    texts.flat_map(read).collect()
}

fn keys(text: &str) -> Vec<String> {
    // `Value` sorts them.
    let members = mcplex_proto::edit::members(text).unwrap();
    members.iter().map(|(name, _)| name.to_string()).collect()
}

#[test]
fn a_call_is_a_line_of_the_members_in_the_table() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let allowed =
        Allowed { upstream: "files".into(), name: "read".into(), pointer: "/path".into() };
    let policy = Policy { allow: vec![allowed], ..Policy::default() };
    let audit = Audit::open(path.clone(), limits(), policy).unwrap();
    audit.ended(Audited { uri: Some("file:///a?token=abc".to_owned()), ..call(1) });
    assert!(audit.flush());
    let text = fs::read_to_string(&path).unwrap();
    let table: Vec<_> = FIELDS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(keys(text.trim_end()), table);
    let line = &lines(&path)[0];
    assert!(line["time"].as_str().unwrap().ends_with('Z'));
    assert_eq!(line["principal"], "https://login.example alice");
    assert_eq!(line["resource"], "file:///a?token=[redacted]");
    assert_eq!(line["arguments"]["body"], json!({ "kind": "string", "size": 6 }));
    assert_eq!(line["values"], json!({ "/path": "/a" }));
    assert!(!text.contains("mine"), "{text}");
    // What is not there takes no room.
    let silent = Policy { names: false, allow: Vec::new() };
    let path = dir.path().join("silent.jsonl");
    let audit = Audit::open(path.clone(), limits(), silent).unwrap();
    audit.ended(Audited { error: None, code: None, ..call(2) });
    assert!(audit.flush());
    let text = fs::read_to_string(&path).unwrap();
    for name in ["arguments", "values", "error", "code", "resource"] {
        assert!(!keys(text.trim_end()).contains(&name.to_owned()), "{text}");
    }
}

#[test]
fn thousands_of_rotations_under_calls_from_everywhere_have_each_call_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    // Two lines fill a file.
    let small = Limits { size: 1_200, ..limits() };
    let audit = Audit::open(path.clone(), small, Policy::default()).unwrap();
    let (callers, each) = (4, 1_500);
    let all: Vec<_> = (0..callers)
        .map(|caller| {
            let audit = audit.clone();
            thread::spawn(move || {
                for n in 0..each {
                    audit.ended(call(caller * each + n));
                }
            })
        })
        .collect();
    all.into_iter().for_each(|caller| caller.join().unwrap());
    assert!(audit.0.journal.flush(Duration::from_secs(60)));
    assert_eq!(audit.lost(), 0);
    let files = mcplex_journal::aside(&path).unwrap().len();
    assert!(files > 2_000, "{files}");
    let mut seen: Vec<_> =
        lines(&path).iter().map(|line| line["session"].as_u64().unwrap()).collect();
    seen.sort_unstable();
    assert!(seen == (0..callers * each).collect::<Vec<_>>(), "{}", seen.len());
}

#[test]
fn lines_that_are_missing_have_a_line() {
    let mut line = Vec::new();
    mcplex_journal::Words::gap(&mut Pen::new(Policy::default()), 7, &mut line);
    let text = String::from_utf8(line).unwrap();
    let table: Vec<_> = GAP_FIELDS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(keys(&text), table);
    assert!(text.contains(r#""outcome":"lost","count":7"#), "{text}");
}

/// Refuses everybody; who knocks with a secret is known.
#[derive(Debug)]
struct Wall;

#[async_trait::async_trait]
impl mcplex_proto::downstream::Doorman for Wall {
    async fn admit(&self, shown: Option<&[u8]>) -> Verdict {
        let is_known = shown.is_some();
        let why = if is_known { "the token allows too little" } else { "a bearer token is needed" };
        Verdict::Refused {
            status: if is_known { 403 } else { 401 },
            why,
            www_authenticate: None,
            principal: is_known.then(|| Principal::Known("https://as.example#ada#c1".into())),
        }
    }

    fn metadata(&self, _: &str) -> Option<bytes::Bytes> {
        None
    }
}

#[tokio::test]
async fn who_is_not_let_in_is_counted_and_cannot_fill_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let audit = Audit::open(path.clone(), limits(), Policy::default()).unwrap();
    let door = AuditedDoorman::new(Arc::new(Wall), audit.clone());
    // Whoever has a name is seen among a thousand who have none.
    for n in 0..1_000 {
        let shown: Option<&[u8]> = (n % 111 == 0).then_some(b"Bearer secret");
        assert!(matches!(door.admit(shown).await, Verdict::Refused { .. }));
    }
    assert!(audit.flush());
    let lines = lines(&path);
    let count: u64 = lines.iter().map(|line| line["count"].as_u64().unwrap()).sum();
    // One line a second, and one at the end.
    assert!(count == 1_000 && lines.len() < 100, "{lines:?}");
    for line in &lines {
        assert_eq!(line["error"], attr::ERROR_UNAUTHORIZED, "{line}");
        assert_eq!(line["principal"].is_string(), line["status"] == 403, "{line}");
    }
    let first = &lines[0];
    assert_eq!((&first["status"], &first["count"]), (&json!(403), &json!(1)), "{lines:?}");
    assert_eq!(lines.last().unwrap()["principal"], "https://as.example#ada#c1", "{lines:?}");
    let text = fs::read_to_string(&path).unwrap();
    let table: Vec<_> = REFUSAL_FIELDS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(keys(text.lines().next().unwrap()), table);
    assert!(!text.contains("secret"));
}

#[test]
fn a_disk_that_takes_nothing_costs_counted_lines() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("below/audit.jsonl");
    let audit = Audit::open(path.clone(), limits(), Policy::default()).unwrap();
    fs::remove_dir_all(dir.path().join("below")).unwrap();
    fs::write(dir.path().join("below"), "no folder").unwrap();
    for n in 0..10 {
        audit.ended(call(n));
    }
    assert!(audit.flush());
    assert_eq!(audit.lost(), 10);
}

const BEGIN: &str = "<!-- Begin of the generated part; `MCPLEX_BLESS=1 cargo test -p mcplex-admin` rewrites it. -->\n";
const END: &str = "<!-- End of the generated part. -->\n";

#[test]
fn the_guide_has_the_tables_of_members() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide/audit.md");
    let table = |title: &str, fields: &[(&str, &str)]| {
        let rows: String =
            fields.iter().map(|(name, what)| format!("| `{name}` | {what} |\n")).collect();
        format!("| {title} | |\n| --- | --- |\n{rows}")
    };
    let tables = [
        table("of a call", FIELDS),
        table("of those who were not let in", REFUSAL_FIELDS),
        table("where lines are missing", GAP_FIELDS),
    ];
    let written = fs::read_to_string(&path).unwrap();
    let (head, rest) = written.split_once(BEGIN).unwrap();
    let (_, tail) = rest.split_once(END).unwrap();
    let page = format!("{head}{BEGIN}{}{END}{tail}", tables.join("\n"));
    if std::env::var_os("MCPLEX_BLESS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap();
    assert!(committed == page, "run MCPLEX_BLESS=1 cargo test -p mcplex-admin and commit the page");
}
