//! What `rollgate --version` says: the version, and what this program was built from.

/// The version, the commit and the target, as `src/build.rs` found them; `-V` says the version alone.
pub(super) const LONG: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit ",
    env!("ROLLGATE_COMMIT"),
    "\ntarget ",
    env!("ROLLGATE_TARGET")
);
