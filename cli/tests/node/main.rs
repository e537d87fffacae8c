//! The command against real nodes: found, looked into, attached to by another program, ended.
//!
//! Each test has a directory of its own in the place of the user's, so that they see no node but theirs.

#![allow(unreachable_pub)] // what is `pub` here is what other processes may call

mod bench;
mod exit_codes;
mod listing;
mod sharing;
mod timeline;
