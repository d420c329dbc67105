//! The one integration binary: rollgate from outside, against real sshd processes on loopback.

#[cfg(test)]
mod complete;
#[cfg(test)]
mod config;
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
mod gates;
#[cfg(test)]
mod harness;
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
mod order;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod resume;
#[cfg(test)]
mod roles;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod support;
#[cfg(test)]
mod sweep;
#[cfg(test)]
mod takeover;
#[cfg(test)]
mod terminal;
#[cfg(test)]
mod threescale;
#[cfg(test)]
mod transport;
#[cfg(test)]
mod undo;
#[cfg(test)]
mod unknown;
#[cfg(test)]
mod waits;
#[cfg(test)]
mod window;
