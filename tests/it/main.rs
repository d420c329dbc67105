//! The one integration binary: rollgate from outside, against real sshd processes on loopback.

#[cfg(test)]
mod journal;
