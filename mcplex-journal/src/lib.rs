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
//! Looked at were file-rotate, `flexi_logger`, logroller, rolling-file and tracing-appender. Each moves
//! files by size or by time, or bounds their number; none bounds what several logs take together, none
//! says which lines were lost, and file-rotate and tracing-appender report a line as written that they
//! had no file for.

mod journal;
mod private;
mod rotated;

pub use journal::{Journal, Options, Words};
pub use private::{private_file, private_folder};
pub use rotated::{Failed, Limits, Rotated, aside, is_at};
