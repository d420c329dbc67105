//! What things are, and what follows from what. Pure: no clock, no files, no network, no terminal.

pub mod host;
pub mod name;
