//! How a process of rollgate ends: every exit code, in one place (`product.md` §7).
//!
//! `1x`: stopped, and every node is whole. `2x`: a node needs a human. 3 to 9, 64 to 78 and everything
//! from 126 on stay free, since systemd, sysexits and shells give them meanings of their own.

use std::process::{ExitCode, Termination};

use crate::model::event::Halt;

/// The outcome of one invocation. The order is that of gravity: of several the greatest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// rollgate or this machine failed.
    Broken = 1,
    /// The command line or a file is wrong.
    Input = 2,
    /// A gate stayed closed until its timeout, or the window is closed.
    GateClosed = 10,
    /// An answer was needed and there was none, or it was no.
    NoAnswer = 11,
    /// A pre-check, guard or invariant does not hold.
    CheckFailed = 12,
    /// A node cannot be reached.
    Unreachable = 13,
    /// Another run holds the cluster, or one is unfinished.
    Held = 14,
    /// Drain did not finish.
    DrainFailed = 15,
    /// Stopped at a safe point, as asked.
    Stopped = 16,
    /// A temporary change could not be undone.
    UndoFailed = 17,
    /// `status --detailed-exitcode`: a run is in progress.
    InProgress = 18,
    /// `--detailed-exitcode`: an upgrade is pending.
    Pending = 19,
    /// The upgrade of a node failed.
    UpgradeFailed = 20,
    /// A node's verify failed.
    VerifyFailed = 21,
    /// Contact was lost inside a step.
    Unknown = 22,
    /// The rollback of a node failed.
    RollbackFailed = 23,
    /// Killed inside a step.
    Killed = 24,
}

/// Every exit code with its meaning, as the man page, the README and their tests have it.
pub const TABLE: [(Exit, &str); 18] = [
    (Exit::Done, "done, or nothing to do"),
    (Exit::Broken, "rollgate or this machine failed"),
    (Exit::Input, "your input: flag, file, unknown node"),
    (Exit::GateClosed, "a gate stayed closed until its timeout, or the window is closed"),
    (Exit::NoAnswer, "an answer was needed and there was none, or it was no"),
    (Exit::CheckFailed, "a pre-check, guard or invariant does not hold"),
    (Exit::Unreachable, "a node cannot be reached (ssh, host key, sudo)"),
    (Exit::Held, "another run holds the cluster, or one is unfinished"),
    (Exit::DrainFailed, "drain did not finish; the node is back in service"),
    (Exit::Stopped, "stopped at a safe point (Ctrl-C, TERM, --pause-after)"),
    (Exit::UndoFailed, "a temporary change could not be undone"),
    (Exit::InProgress, "status --detailed-exitcode: a run is in progress"),
    (Exit::Pending, "--detailed-exitcode: an upgrade is pending and could start"),
    (Exit::UpgradeFailed, "the upgrade step failed; the node is out of service"),
    (Exit::VerifyFailed, "verify failed; the node has the new version, out of service"),
    (Exit::Unknown, "contact lost inside a step, or an unknown state; outcome unknown"),
    (Exit::RollbackFailed, "rollback of a node failed"),
    (Exit::Killed, "killed inside a step"),
];

impl Exit {
    /// The number that the shell sees.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The code of a class of stops.
    pub fn of(halt: Halt) -> Self {
        match halt {
            Halt::LimitReached => Self::Done,
            Halt::Local => Self::Broken,
            Halt::Input => Self::Input,
            Halt::GateClosed | Halt::WindowClosed => Self::GateClosed,
            Halt::NoAnswer => Self::NoAnswer,
            Halt::CheckFailed => Self::CheckFailed,
            Halt::Unreachable => Self::Unreachable,
            Halt::Held => Self::Held,
            Halt::DrainFailed => Self::DrainFailed,
            Halt::Interrupted => Self::Stopped,
            Halt::UndoFailed => Self::UndoFailed,
            Halt::UpgradeFailed => Self::UpgradeFailed,
            Halt::VerifyFailed => Self::VerifyFailed,
            Halt::Unknown => Self::Unknown,
            Halt::RollbackFailed => Self::RollbackFailed,
            Halt::Killed => Self::Killed,
        }
    }

    /// The code of that number, if there is one.
    pub fn from_number(number: u8) -> Option<Self> {
        TABLE.into_iter().map(|(exit, _)| exit).find(|exit| exit.number() == number)
    }

    /// What it means, in a few words.
    pub fn meaning(self) -> &'static str {
        TABLE
            .into_iter()
            .find_map(|(exit, meaning)| (exit == self).then_some(meaning))
            .expect("the table has every code, as its test asserts")
    }

    /// Of two outcomes the one that counts.
    #[must_use]
    pub fn worst(self, other: Self) -> Self {
        self.max(other)
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self.number())
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.report()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_code_in_order() {
        assert!(TABLE.is_sorted_by(|(a, _), (b, _)| a < b));
        let numbers: Vec<u8> = TABLE.iter().map(|(exit, _)| exit.number()).collect();
        let expected: Vec<u8> = (0..=2).chain(10..=24).collect();
        assert_eq!(numbers, expected);
        for (exit, meaning) in TABLE {
            assert_eq!(Exit::from_number(exit.number()), Some(exit));
            assert_eq!(exit.meaning(), meaning);
        }
        assert_eq!(Exit::from_number(3), None);
        assert_eq!(Exit::from_number(25), None);
    }

    #[test]
    fn of_several_outcomes_the_highest_counts() {
        assert_eq!(Exit::GateClosed.worst(Exit::Killed), Exit::Killed);
        assert_eq!(Exit::UndoFailed.worst(Exit::Stopped), Exit::UndoFailed);
        assert_eq!(Exit::Done.worst(Exit::Done), Exit::Done);
    }
}
