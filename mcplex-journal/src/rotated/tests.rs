use super::*;
use std::time::UNIX_EPOCH;

fn limits(size: u64, files: usize, total: u64) -> Limits {
    Limits { size, age: None, files, total }
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn open(path: &Path, limits: &Limits) -> Rotated {
    Rotated::open(path, limits, at(0)).unwrap()
}

fn say(file: &mut Rotated, line: &str) -> bool {
    file.write(line.as_bytes(), at(0)).unwrap()
}

/// All lines, oldest first.
fn all(path: &Path) -> Vec<String> {
    let older = aside(path).unwrap().into_iter().map(|(_, path)| path);
    let texts = older.chain([path.to_owned()]).map(|path| fs::read_to_string(path).unwrap());
    texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn counted(to: usize) -> Vec<String> {
    (0..to).map(|n| n.to_string()).collect()
}

#[test]
fn a_long_file_is_moved_aside_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    let mut file = open(&path, &limits(100, usize::MAX, u64::MAX));
    let moves = counted(500).iter().filter(|line| say(&mut file, line)).count();
    file.flush().unwrap();
    assert_eq!(aside(&path).unwrap().len(), moves);
    assert_eq!(all(&path), counted(500));
    for (_, path) in aside(&path).unwrap() {
        assert!(fs::metadata(path).unwrap().len() <= 100);
    }
    // The next process goes on with the file and with the numbers.
    drop(file);
    let mut file = open(&path, &limits(100, usize::MAX, u64::MAX));
    for n in 500..600 {
        say(&mut file, &n.to_string());
    }
    file.flush().unwrap();
    assert_eq!(all(&path), counted(600));
}

#[test]
fn an_old_file_is_moved_aside_and_an_empty_one_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    let daily = Limits { age: Some(Duration::from_secs(86_400)), ..limits(1 << 20, 9, 1 << 30) };
    let mut file = Rotated::open(&path, &daily, at(0)).unwrap();
    // The day begins with the first line.
    for (second, moves) in [(90_000, false), (170_000, false), (176_400, true), (176_401, false)] {
        assert_eq!(file.write(b"x", at(second)).unwrap(), moves, "{second}");
    }
    // A clock that goes back moves nothing.
    assert!(!file.write(b"x", at(5)).unwrap());
    file.flush().unwrap();
    assert_eq!(all(&path).len(), 5);
}

#[test]
fn the_oldest_go_first_by_number_and_by_size() {
    let dir = tempfile::tempdir().unwrap();
    let check = |name: &str, limits: &Limits, expect: &[u64]| {
        let path = dir.path().join(name);
        let mut file = open(&path, limits);
        for line in ["aaaaaaaaa"; 100] {
            say(&mut file, line);
        }
        file.flush().unwrap();
        let numbers: Vec<_> = aside(&path).unwrap().into_iter().map(|(number, _)| number).collect();
        assert_eq!(numbers, expect, "{name}");
    };
    // Ten lines fill a file, so a hundred are nine and the one that is written.
    check("files", &limits(100, 3, 1 << 20), &[8, 9]);
    check("one", &limits(100, 1, 1 << 20), &[]);
    check("total", &limits(100, 50, 450), &[7, 8, 9]);
    check("tight", &limits(100, 50, 10), &[]);
}

#[test]
fn files_of_others_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    for other in ["a.log.gz", "a.log.old", "a.log.7x", "b.log.000001", "a.log.lock"] {
        fs::write(dir.path().join(other), "theirs").unwrap();
    }
    fs::create_dir(dir.path().join("a.log.000001")).unwrap();
    let mut file = open(&path, &limits(10, 2, 1 << 20));
    for line in counted(50) {
        say(&mut file, &line);
    }
    file.flush().unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 8);
}

#[test]
fn a_half_line_is_cut_off_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    for (before, after) in [("one\ntw", "one\nnext\n"), ("one\n", "one\nnext\n"), ("", "next\n")] {
        fs::write(&path, before).unwrap();
        let mut file = open(&path, &limits(100, 2, 1 << 20));
        say(&mut file, "next");
        file.flush().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), after, "{before:?}");
    }
}

#[test]
fn a_file_that_somebody_else_moves_or_empties_is_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    let mut file = open(&path, &limits(1 << 20, 9, 1 << 30));
    let mut write = |line: &str| {
        say(&mut file, line);
        file.flush().unwrap();
    };
    write("one");
    // As `logrotate` does without a signal.
    fs::rename(&path, dir.path().join("a.log.1")).unwrap();
    write("two");
    assert_eq!(all(&path), ["one", "two"]);
    // As `copytruncate` does.
    File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    write("three");
    assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
    fs::remove_file(&path).unwrap();
    write("four");
    assert_eq!(fs::read_to_string(&path).unwrap(), "four\n");
}

#[cfg(target_os = "linux")]
#[test]
fn what_is_no_file_is_refused_at_once() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let check = |path: &Path, expect: io::ErrorKind| {
        let refused = Rotated::open(path, &limits(100, 9, 1 << 20), at(0)).unwrap_err();
        assert_eq!(refused.kind(), expect, "{refused}");
    };
    // Nobody reads it, and nobody is waited for.
    check(&path, io::ErrorKind::InvalidInput);
    check(Path::new("/dev/null"), io::ErrorKind::InvalidInput);
    check(dir.path(), io::ErrorKind::IsADirectory);
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    check(&link, io::ErrorKind::InvalidInput);
    // It comes while a file is written.
    let path = dir.path().join("a.log");
    let mut file = open(&path, &limits(1 << 20, 9, 1 << 30));
    say(&mut file, "one");
    file.flush().unwrap();
    fs::rename(dir.path().join("pipe"), &path).unwrap();
    say(&mut file, "two");
    assert_eq!(file.flush().unwrap_err().lines, 1);
}

/// A device that is always full.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_costs_counted_lines() {
    // Which it would not open by itself.
    let path = PathBuf::from("/dev/full");
    let mut file = Rotated {
        file: private_file().append(true).open(&path).unwrap(),
        path,
        limits: limits(1 << 20, 9, 1 << 30),
        len: 0,
        born: at(0),
        move_at: 1 << 20,
        older: None,
        buffer: Vec::new(),
        lines: 0,
    };
    for line in ["x"; 7] {
        say(&mut file, line);
    }
    let failed = file.flush().unwrap_err();
    assert_eq!((failed.lines, failed.error.kind()), (7, io::ErrorKind::StorageFull));
    file.flush().unwrap();
}

#[test]
fn a_file_that_cannot_be_moved_is_written_further() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    for number in 1..=NAMES {
        fs::create_dir(numbered(&path, number)).unwrap();
    }
    // Folders have numbers as well, so a thousand names after the last one are looked at.
    let mut file = open(&path, &limits(10, usize::MAX, u64::MAX));
    for line in counted(50) {
        say(&mut file, &line);
    }
    file.flush().unwrap();
    let lines: usize = aside(&path)
        .unwrap()
        .iter()
        .filter_map(|(_, path)| fs::read_to_string(path).ok())
        .chain([fs::read_to_string(&path).unwrap()])
        .map(|text| text.lines().count())
        .sum();
    assert_eq!(lines, 50);
}
