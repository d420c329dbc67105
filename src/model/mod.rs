//! What things are, and what follows from what. Pure: no clock, no files, no network, no terminal.

pub mod ahead;
pub mod condition;
pub mod duration;
pub mod escape;
pub mod event;
pub mod fence;
pub mod findings;
pub mod forecast;
pub mod history;
pub mod host;
pub mod inventory;
pub mod job;
pub mod lint;
pub mod mask;
pub mod moment;
pub mod name;
pub mod pace;
pub mod plan;
pub mod planner;
pub mod procedure;
pub mod recovery;
pub mod run;
pub mod schedule;
pub mod selector;
pub mod stand;
pub mod state;
pub mod template;
pub mod url;
pub mod window;
pub mod words;

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
