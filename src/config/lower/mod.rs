//! Gives a meaning to what is written. Every function notes what is wrong at its place and goes on, so
//! that an operator corrects all of it in one go; nothing is returned unless nothing was noted.

mod action;
mod check;
mod desk;
mod duration;
pub(crate) mod inventory;
mod known;
mod node;
mod phase;
pub(crate) mod procedure;
mod range;
mod step;

pub(crate) use desk::Desk;
