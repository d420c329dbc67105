//! What `rollgate --version` says: the version, and what this program was built from, as far as that is known.

use std::env::consts::{ARCH, OS};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The C library that is linked, and whether it is in the program itself.
const LIBRARY: &str = if cfg!(target_env = "musl") {
    "-musl"
} else if cfg!(target_env = "gnu") {
    "-gnu"
} else {
    ""
};
const STATIC: &str = if cfg!(target_feature = "crt-static") { ", static" } else { "" };

/// The version, the commit where one is given, and the target; `-V` says the version alone.
pub(super) fn long(commit: Option<&str>) -> String {
    let commit = commit.filter(|commit| !commit.is_empty()).map(|commit| format!("\ncommit {commit}"));
    format!("{VERSION}{}\ntarget {ARCH}-{OS}{LIBRARY}{STATIC}", commit.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_that_is_not_known_is_not_mentioned() {
        assert_eq!(long(None), long(Some("")));
        assert_eq!(long(None).lines().count(), 2);
        let known = long(Some("0123abc-dirty"));
        let lines: Vec<&str> = known.lines().collect();
        assert_eq!(lines[..2], [VERSION, "commit 0123abc-dirty"]);
        assert!(lines[2].starts_with(&format!("target {ARCH}-linux-")), "{known}");
    }
}
