//! Real children and real pipes.

mod child;
mod end;
mod process;
mod serve;
