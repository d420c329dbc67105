//! Everything that an operator sees and types: reads records and readings, emits controls.
//!
//! Builders of text (`gate`, `status`, `plan`, `summary`, `error`) are pure; only `write` and `prompt` touch
//! the terminal, and only `terminal` decides what it can do.

pub mod after;
pub mod block;
pub mod desk;
pub mod dialog;
pub mod error;
pub mod escape;
pub mod gate;
pub mod ink;
pub mod moment;
pub mod narrate;
pub mod next;
pub mod plan;
pub mod prompt;
pub mod question;
pub mod run;
pub mod screen;
pub mod status;
pub mod summary;
pub mod table;
pub mod terminal;
pub mod window;
pub mod words;
pub mod write;

#[cfg(test)]
mod sample;
