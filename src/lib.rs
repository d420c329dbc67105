//! Gated rolling upgrades of clustered nodes over SSH.
//!
//! Layers point strictly downward, siblings never import each other, and `tests/it/layering.rs`
//! holds the code to it:
//!
//! ```text
//! model ← { config, journal, transport, ui, report, cli, exit } ← engine ← command ← main
//! ```

pub mod cli;
pub mod command;
pub mod config;
pub mod engine;
pub mod exit;
pub mod journal;
pub mod model;
pub mod report;
pub mod transport;
pub mod ui;
