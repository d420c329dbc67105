//! Everything that an operator sees and types: reads records and readings, emits controls.
//!
//! Builders of text (`gate`, `status`, `plan`, `dry_run`, `summary`, `error`) are pure; only `write`, `prompt` and its
//! `menu` touch the terminal, and only `terminal` decides what it can do.

pub mod after;
pub mod approve;
pub mod block;
pub mod desk;
pub mod dialog;
pub mod document;
pub mod dry_run;
pub mod error;
pub mod gate;
pub mod ink;
pub mod login;
mod menu;
pub mod moment;
pub mod narrate;
pub mod next;
pub mod notification;
pub mod plan;
pub mod prompt;
pub mod question;
pub mod redraw;
pub mod runs;
pub mod screen;
pub mod status;
pub mod summary;
pub mod table;
pub mod terminal;
pub mod window;
pub mod write;

pub use crate::model::{escape, run, words};

#[cfg(test)]
use crate::model::sample;
