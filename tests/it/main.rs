<<<<<<< HEAD
<<<<<<< HEAD
//! The one integration binary: rollgate from outside, against real sshd processes on loopback.

#[cfg(test)]
<<<<<<< HEAD
mod complete;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod layering;
#[cfg(test)]
mod support;
=======
mod journal;
>>>>>>> journal
=======
//! The integration tests: one binary, so that it links once.

mod config;
>>>>>>> config
=======
//! The one integration binary.

#[cfg(test)]
mod transport;
>>>>>>> transport
