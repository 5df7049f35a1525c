//! Lines into files that stay within bounds, off the way of whoever says them.
//!
//! It never knows what a line means, and it never holds anybody up: a disk that is slow, full or
//! gone costs lines, which are counted and told.
//!
//! Read it in this order: [`Rotated`] (one file that is moved aside when it is long or old, and what
//! of it is kept), [`Journal`] (a bounded queue and the thread that writes such a file), then
//! [`private_file`] and [`private_folder`] (what only the user can read).
//!
//! # What is lost, and when
//!
//! | what happens | what is lost |
//! | --- | --- |
//! | a file is moved aside | nothing: the last line of the old file is followed by the first of the new one |
//! | the queue is full | the lines that came meanwhile; counted, and told where they are missing |
//! | the disk is full, or the file cannot be opened | the same; a line is there as a whole or not at all |
//! | the process ends | nothing, if the disk takes the rest within the time given |
//! | the process is killed | what was in the queue and in the buffer, some milliseconds of lines |
//! | the machine loses power | what the system had not yet put on the disk; a half line at the end is cut off at the next start |
//!
//! # Why no crate from outside
//!
//! Looked at in November 2026, in the source:
//!
//! | crate | a file ends by | what is kept is bounded by | a file that cannot be moved or opened |
//! | --- | --- | --- | --- |
//! | file-rotate 0.8.0 | size (within a line) or time, not both | number or age of files | is closed before: later lines are reported as written, and are nowhere |
//! | `flexi_logger` 0.31.10 | size and age; on Unix a file from before the start counts as new | number of files or days | the line is told on stderr, and gone |
//! | logroller 0.1.12 | size or time, not both | number of files | is an error, and the line is not written |
//! | rolling-file 0.2.0 | size and day; a file from before the start never ends by its age | number of files | is told on stderr and written further, as here |
//! | tracing-appender 0.2.5 | time | number of files | is told on stderr and written further |
//! | tracing-rolling-file 0.1.3 | as rolling-file | number of files | as rolling-file |
//!
//! None counts the lines that a full disk cost or says where they are missing, none cuts off the half
//! line that it leaves, none keeps a second process from moving the file away, and none bounds what all
//! files take together in bytes. Most give each file another number with each move, so that a copy of
//! `.1` is soon a copy of something else. rolling-file comes nearest; what would have to stand around
//! it is all of this crate but the renaming.

mod journal;
mod private;
mod rotated;

pub use journal::{Journal, Options, Words, lock_path};
pub use private::{private_file, private_folder};
pub use rotated::{Failed, Limits, Rotated, aside, is_at};
