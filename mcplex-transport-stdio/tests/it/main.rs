//! Real children and real pipes.

mod child;
mod end;
