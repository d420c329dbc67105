//! Gives a meaning to what is written. Every function notes what is wrong at its place and goes on, so
//! that an operator corrects all of it in one go. What comes of a file counts only if nothing was noted: a
//! key that is wrong may leave the same as one that is absent.

mod action;
mod artifact;
mod capture;
mod check;
mod desk;
pub(crate) mod inventory;
mod known;
mod node;
mod phase;
pub(crate) mod procedure;
pub(crate) mod range;
mod restriction;
mod rights;
mod step;
mod when;
mod window;

pub(crate) use desk::Desk;
