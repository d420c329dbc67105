//! Starts every process that rollgate starts, and keeps from all of them the variables that secrets come from.
//!
//! A secret of `env:` stands in rollgate's own environment, where whoever called it has put it. It goes no further:
//! neither ssh nor a shell, a notifier or the background side of `--detach` has it in its own.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One process has one environment, so it has one list of what is hidden in it.
static HIDDEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn hidden() -> MutexGuard<'static, BTreeSet<String>> {
    HIDDEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps variables of this process from everything that is started from now on.
pub fn hide<'n>(names: impl IntoIterator<Item = &'n str>) {
    hidden().extend(names.into_iter().map(str::to_owned));
}

/// A command of this machine, without the variables that are hidden.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for name in &*hidden() {
        command.env_remove(name);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_reaches_no_child() {
        // The tests of one process share its list: the name is nobody else's.
        hide(["CARGO_PKG_NAME"]);
        assert_eq!(std::env::var("CARGO_PKG_NAME").unwrap(), "rollgate");
        let seen = command("env").output().unwrap();
        let seen = String::from_utf8(seen.stdout).unwrap();
        assert!(!seen.contains("CARGO_PKG_NAME=") && seen.contains("CARGO_PKG_VERSION="), "{seen}");
    }
}
