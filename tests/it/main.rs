//! The one integration binary: rollgate from outside, against real sshd processes on loopback.

#[cfg(test)]
mod ahead;
#[cfg(test)]
mod checklist;
#[cfg(test)]
mod complete;
#[cfg(test)]
mod config;
#[cfg(test)]
mod detach;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod dry_run;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod exits;
#[cfg(test)]
mod fetching;
#[cfg(test)]
mod gates;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod init;
#[cfg(test)]
mod interrupt;
#[cfg(test)]
mod journal;
#[cfg(test)]
mod lab;
#[cfg(test)]
mod layering;
#[cfg(test)]
mod live;
#[cfg(test)]
mod lock;
#[cfg(test)]
mod login;
#[cfg(test)]
mod nightly;
#[cfg(test)]
mod notify;
#[cfg(test)]
mod order;
#[cfg(test)]
mod outage;
#[cfg(test)]
mod output;
#[cfg(test)]
mod persist;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod report;
#[cfg(test)]
mod restrict;
#[cfg(test)]
mod resume;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod roles;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod session;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod supply;
#[cfg(test)]
mod support;
#[cfg(test)]
mod sweep;
#[cfg(test)]
mod tab;
#[cfg(test)]
mod takeover;
#[cfg(test)]
mod terminal;
#[cfg(test)]
mod threescale;
#[cfg(test)]
mod transport;
#[cfg(test)]
mod typos;
#[cfg(test)]
mod undo;
#[cfg(test)]
mod unknown;
#[cfg(test)]
mod veiled;
#[cfg(test)]
mod version;
#[cfg(test)]
mod waits;
#[cfg(test)]
mod watch;
#[cfg(test)]
mod window;
