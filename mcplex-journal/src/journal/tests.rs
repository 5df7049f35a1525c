use super::*;
use crate::aside;
use std::{collections::BTreeMap, fs};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Numbers, as they are.
struct Numbers;

impl Words for Numbers {
    type Entry = u64;

    fn write(&mut self, entry: u64, line: &mut Vec<u8>) {
        line.extend_from_slice(entry.to_string().as_bytes());
    }

    fn gap(&mut self, missing: u64, line: &mut Vec<u8>) {
        line.extend_from_slice(format!("missing {missing}").as_bytes());
    }
}

fn options(path: &Path, size: u64) -> Options {
    Options {
        path: path.to_owned(),
        limits: Limits { size, age: None, files: usize::MAX, total: u64::MAX },
        entries: 1024,
        weight: 1 << 20,
        what: "numbers",
        must_open: true,
        lost: Box::new(|_| ()),
    }
}

fn open(path: &Path, size: u64) -> Journal<u64> {
    Journal::open(options(path, size), Numbers).unwrap()
}

/// All lines, oldest first.
fn all(path: &Path) -> Vec<String> {
    let older = aside(path).unwrap().into_iter().map(|(_, path)| path);
    let texts = older.chain([path.to_owned()]).map(|path| fs::read_to_string(path).unwrap());
    texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn thousands_of_moves_under_many_hands_lose_and_double_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    let journal = open(&path, 40);
    let hands: Vec<_> = (0..4)
        .map(|hand| {
            let journal = journal.clone();
            thread::spawn(move || {
                for n in 0..4_000 {
                    // Whoever fills the queue waits here, and nowhere else.
                    if n % 200 == 0 {
                        assert!(journal.flush(PATIENCE));
                    }
                    journal.push(hand * 1_000_000 + n, 8);
                }
            })
        })
        .collect();
    hands.into_iter().for_each(|hand| hand.join().unwrap());
    assert!(journal.flush(PATIENCE));
    assert_eq!(journal.lost(), 0);
    assert!(aside(&path).unwrap().len() > 2_000);
    let mut seen = BTreeMap::new();
    for line in all(&path) {
        *seen.entry(line.parse::<u64>().unwrap()).or_insert(0) += 1;
    }
    let expect: BTreeMap<_, _> =
        (0..4).flat_map(|hand| (0..4_000).map(move |n| (hand * 1_000_000 + n, 1))).collect();
    assert!(seen == expect, "{} of {}", seen.len(), expect.len());
}

/// A disk that has stopped until the other end is dropped.
struct Stopped(Receiver<()>);

impl Words for Stopped {
    type Entry = u64;

    fn write(&mut self, entry: u64, line: &mut Vec<u8>) {
        assert!(self.0.recv().is_err(), "nothing is ever sent");
        Numbers.write(entry, line);
    }

    fn gap(&mut self, missing: u64, line: &mut Vec<u8>) {
        Numbers.gap(missing, line);
    }
}

#[test]
fn a_disk_that_stops_holds_nobody_up_and_the_file_says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    let heard = Arc::new(AtomicU64::new(0));
    let hears = Arc::clone(&heard);
    let lost = Box::new(move |lines| {
        hears.fetch_add(lines, Ordering::Relaxed);
    });
    let (goes_on, disk) = mpsc::channel();
    let options = Options { lost, ..options(&path, 1 << 30) };
    let journal = Journal::open(options, Stopped(disk)).unwrap();
    let said = 200_000;
    for n in 0..said {
        journal.push(n, 8);
    }
    let lost = journal.lost();
    // One line is with the thread at most, and the queue is full.
    assert!(lost >= said - 1025 && heard.load(Ordering::Relaxed) == lost, "{lost}");
    drop(goes_on);
    assert!(journal.flush(PATIENCE));
    journal.push(said, 8);
    assert!(journal.flush(PATIENCE));
    // The thread takes its first line when it comes to it, perhaps when the queue was full already;
    // so there may be several gaps, and each is told where it is.
    let (mut told, mut next) = (0, 0);
    for line in all(&path) {
        if let Some(missing) = line.strip_prefix("missing ") {
            let missing: u64 = missing.parse().unwrap();
            (told, next) = (told + missing, next + missing);
        } else {
            assert_eq!(line, next.to_string());
            next += 1;
        }
    }
    assert_eq!((told, next, journal.lost()), (lost, said + 1, lost));
}

#[test]
fn what_waits_is_bounded_by_its_weight() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    let journal = open(&path, 1 << 20);
    journal.push(1, (1 << 20) + 1);
    journal.push(2, 1 << 20);
    assert!(journal.flush(PATIENCE));
    journal.push(3, 1 << 20);
    assert!(journal.flush(PATIENCE));
    assert_eq!(
        (journal.lost(), all(&path)),
        (1, vec!["missing 1".to_owned(), "2".into(), "3".into()])
    );
}

#[test]
fn a_folder_that_is_gone_costs_lines_until_it_can_be_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("below");
    let path = folder.join("a.log");
    let journal = open(&path, 1 << 20);
    journal.push(1, 8);
    assert!(journal.flush(PATIENCE));
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, "no folder").unwrap();
    for n in 2..5 {
        journal.push(n, 8);
        assert!(journal.flush(PATIENCE));
    }
    assert_eq!(journal.lost(), 3);
    fs::remove_file(&folder).unwrap();
    journal.push(5, 8);
    assert!(journal.flush(PATIENCE));
    assert_eq!(all(&path), ["missing 3", "5"]);
}

#[cfg(unix)]
#[test]
fn a_file_belongs_to_one_process_and_one_user() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("below/a.log");
    let journal = open(&path, 1 << 20);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let other = Journal::open(options(&path, 1 << 20), Numbers);
    assert_eq!(other.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    drop(journal);
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error_or_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("below");
    fs::write(&folder, "no folder").unwrap();
    let path = folder.join("a.log");
    assert!(Journal::open(options(&path, 1 << 20), Numbers).is_err());
    let later = Options { must_open: false, ..options(&path, 1 << 20) };
    let journal = Journal::open(later, Numbers).unwrap();
    journal.push(1, 8);
    assert!(journal.flush(PATIENCE));
    fs::remove_file(&folder).unwrap();
    journal.push(2, 8);
    assert!(journal.flush(PATIENCE));
    assert_eq!((journal.lost(), all(&path)), (1, vec!["missing 1".to_owned(), "2".into()]));
}
