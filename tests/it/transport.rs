//! The transport against real sshd processes on loopback, and the same on this machine.

mod copies;
mod faults;
mod fences;
mod jobs;
mod login;
mod node;
mod notes;
mod persist;
mod probes;
mod reverts;
mod rights;
mod runner;
mod veil;
