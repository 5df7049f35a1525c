use super::*;
use std::time::UNIX_EPOCH;

fn limits(size: u64, files: usize, total: u64) -> Limits {
    Limits { size, files, total }
}

fn roomy() -> Limits {
    limits(1 << 20, 4, 1 << 26)
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn say(logs: &Logs, upstream: &str, text: &str) {
    logs.of(upstream).word(&Word { at: at(0), text: text.to_owned() });
}

fn plain(lines: &[String]) -> Vec<&str> {
    lines.iter().map(|line| line.split_once(' ').unwrap().1).collect()
}

fn sizes(folder: &Path) -> BTreeMap<String, u64> {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    let size = |entry: std::fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len())
    };
    entries.map(size).collect()
}

#[tokio::test]
async fn lines_are_dated_and_kept_for_the_next_mcplex() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("logs");
    let logs = Logs::open(Some(folder.clone()), roomy()).unwrap();
    logs.of("a").note(at(1), "life 1 began");
    say(&logs, "a", "one");
    say(&logs, "b", "other");
    let tail = logs.tail("a", 10).await;
    assert_eq!(
        tail.lines,
        ["1970-01-01T00:00:01.000Z -- mcplex: life 1 began", "1970-01-01T00:00:00.000Z one",]
    );
    assert_eq!(plain(&logs.tail("a", 1).await.lines), ["one"]);
    drop(logs);
    assert_eq!(plain(&read_tail(&folder, "b", 10).unwrap()), ["other"]);
    assert_eq!(upstreams(&folder), ["a", "b"]);
}

#[tokio::test]
async fn who_reads_along_gets_every_line_once() {
    let dir = tempfile::tempdir().unwrap();
    // Small files, so that the log is moved aside meanwhile.
    let logs = Logs::open(Some(dir.path().to_owned()), limits(200, 3, 1 << 20)).unwrap();
    say(&logs, "a", "0");
    let mut tail = logs.tail("a", 10).await;
    assert_eq!(plain(&tail.lines), ["0"]);
    for n in 1..50 {
        say(&logs, "a", &n.to_string());
        let line = tail.more.next().await.unwrap();
        assert_eq!(plain(&[line]), [n.to_string()]);
    }
}

#[tokio::test]
async fn without_a_folder_the_last_lines_are_in_memory() {
    let logs = Logs::open(None, roomy()).unwrap();
    for n in 0..200 {
        say(&logs, "a", &format!("{n} {}", "x".repeat(1024)));
        // Slow enough for the queue.
        logs.flush();
    }
    let tail = logs.tail("a", 1000).await;
    assert!(tail.lines.len() < 70, "{}", tail.lines.len());
    assert!(tail.lines.last().unwrap().contains(" 199 x"));
}

#[test]
fn files_are_moved_aside_and_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open(Some(dir.path().to_owned()), limits(300, 3, 1 << 20)).unwrap();
    for n in 0..100 {
        say(&logs, "a", &format!("line {n}"));
    }
    logs.flush();
    let sizes = sizes(dir.path());
    let [now, older @ ..] = &sizes.keys().map(String::as_str).collect::<Vec<_>>()[..] else {
        panic!("{sizes:?}")
    };
    assert_eq!(*now, "a.log");
    assert!(
        older.len() == 2 && older.iter().all(|name| name.starts_with("a.log.0000")),
        "{older:?}"
    );
    assert!(sizes.values().all(|size| *size <= 300), "{sizes:?}");
    let lines = read_tail(dir.path(), "a", 15).unwrap();
    let expect: Vec<_> = (85..100).map(|n| format!("line {n}")).collect();
    assert_eq!(plain(&lines), expect);
}

#[test]
fn all_logs_together_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::open(Some(dir.path().to_owned()), limits(300, 4, 2000)).unwrap();
    for n in 0..100 {
        for name in ["a", "b", "c", "d"] {
            say(&logs, name, &format!("line {n}"));
        }
        logs.flush();
    }
    let total: u64 = sizes(dir.path()).values().sum();
    // What is written at the moment is never removed: at most one file of each.
    assert!(total <= 2000 + 4 * 300, "{total}");
    assert_eq!(plain(&read_tail(dir.path(), "d", 1).unwrap()), ["line 99"]);
}

#[tokio::test]
async fn a_folder_that_takes_nothing_costs_lines_and_no_time() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let logs = Logs::open(Some(file.join("below")), roomy()).unwrap();
    for _ in 0..10 {
        say(&logs, "a", "x");
    }
    logs.flush();
    assert_eq!(logs.lost(), 10);
    assert_eq!(logs.tail("a", 5).await.lines, Vec::<String>::new());
}

/// A thread that does not get on is a disk that has stopped.
#[test]
fn a_disk_that_stops_holds_nobody_up_and_the_log_says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let (logs, writes) = Logs::unwritten(Some(dir.path().to_owned()), roomy());
    let said = 3 * QUEUE;
    for n in 0..said {
        say(&logs, "a", &n.to_string());
    }
    assert_eq!(usize::try_from(logs.lost()).unwrap(), said - QUEUE);
    // The disk goes on.
    let disk = thread::spawn(writes);
    // The queue is empty again when this is answered, however long it takes.
    let (done, finished) = mpsc::channel();
    logs.0.queue.send(Entry::Flush(done)).unwrap();
    finished.recv().unwrap();
    say(&logs, "a", "end");
    drop(logs);
    disk.join().unwrap();
    let lines = std::fs::read_to_string(dir.path().join("a.log")).unwrap();
    let lines: Vec<_> = lines.lines().map(str::to_owned).collect();
    let lines = plain(&lines);
    let (kept, rest) = lines.split_at(QUEUE);
    assert!(kept.iter().enumerate().all(|(n, line)| *line == n.to_string()), "{kept:?}");
    assert!(rest.len() == 2 && rest[1] == "end", "{rest:?}");
    assert_eq!(missing(rest[0]), Some(said - QUEUE), "{rest:?}");
}

/// How many lines a line of a log says are missing before it, if it says so.
fn missing(text: &str) -> Option<usize> {
    let rest = text.strip_prefix("-- mcplex: ")?;
    rest.strip_suffix(" lines are missing here, because they could not be kept")?.parse().ok()
}

#[test]
fn a_log_is_followed_when_it_is_moved_aside_and_before_it_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut follower = Follower::at_end(dir.path(), "a").unwrap();
    assert_eq!(follower.poll().unwrap(), Vec::<String>::new());
    let logs = Logs::open(Some(dir.path().to_owned()), limits(200, 2, 1 << 20)).unwrap();
    let mut seen = Vec::new();
    for n in 0..30 {
        say(&logs, "a", &n.to_string());
        logs.flush();
        seen.extend(follower.poll().unwrap());
    }
    let expect: Vec<_> = (0..30).map(|n: u32| n.to_string()).collect();
    assert_eq!(plain(&seen), expect);
}
