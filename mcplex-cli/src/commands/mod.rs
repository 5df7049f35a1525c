//! One command per file.

pub(crate) mod act;
pub(crate) mod check;
pub(crate) mod crashes;
pub(crate) mod demo_server;
pub(crate) mod doctor;
pub(crate) mod login;
pub(crate) mod logs;
pub(crate) mod pages;
pub(crate) mod reload;
pub(crate) mod serve;
pub(crate) mod service;
pub(crate) mod status;
pub(crate) mod stdio;
pub(crate) mod top;
pub(crate) mod why;
