//! The kinds of step and the keys that each of them takes.

/// The kinds, by the key that says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Changes something.
    Run,
    /// Looks once.
    Check,
    /// Looks until it holds.
    Wait,
    /// Looks, and asks the operator.
    Gate,
    /// Has a human do something.
    Manual,
    /// Restarts the machine.
    Reboot,
    /// Brings a file.
    Put,
    /// Fetches a file.
    Get,
}

/// The words for the kinds.
pub(crate) const KINDS: &[(&str, Kind)] = &[
    ("run", Kind::Run),
    ("check", Kind::Check),
    ("wait", Kind::Wait),
    ("gate", Kind::Gate),
    ("manual", Kind::Manual),
    ("reboot", Kind::Reboot),
    ("put", Kind::Put),
    ("get", Kind::Get),
];

impl Kind {
    /// Its word.
    pub(crate) fn word(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or("step", |(word, _)| word)
    }

    /// The keys that it has a meaning for, beside `when` and `point_of_no_return`.
    pub(crate) fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Run => &[
                "run",
                "name",
                "on",
                "timeout",
                "retries",
                "skip_if",
                "undo",
                "temporary",
                "capture",
                "shell",
                "become",
                "stdin",
                "cwd",
                "env",
                "ok_codes",
                "interactive",
                "during",
                "reboots",
                "done_if",
                "retry",
                "restricts",
                "way_in",
                "revert_after",
            ],
            Self::Check => &["check", "name", "capture"],
            Self::Wait => &[
                "wait",
                "name",
                "every",
                "timeout",
                "per",
                "steady",
                "fail_when",
                "while",
                "show",
                "capture",
            ],
            Self::Gate => &["gate", "checks", "question", "steady", "every", "timeout", "typed"],
            Self::Manual => &["manual", "name", "check", "skip_if", "undo", "temporary"],
            Self::Reboot => {
                &["reboot", "name", "on", "timeout", "skip_if", "shell", "become", "done_if", "retry"]
            }
            Self::Put => &["put", "name", "on", "timeout", "retries", "skip_if", "undo", "temporary"],
            Self::Get => &["get", "name", "on", "timeout", "retries", "skip_if"],
        }
    }
}
