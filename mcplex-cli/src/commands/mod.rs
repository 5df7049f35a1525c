//! One command per file.

pub(crate) mod check;
pub(crate) mod demo_server;
pub(crate) mod pages;
pub(crate) mod serve;
pub(crate) mod stdio;
