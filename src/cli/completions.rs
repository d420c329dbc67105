//! `rollgate completions`: what can be typed.

use clap::{Args, ValueEnum};

pub(super) const AFTER: &str = "\
Examples:
  rollgate completions bash > ~/.local/share/bash-completion/completions/rollgate
  rollgate completions fish > ~/.config/fish/completions/rollgate.fish

With the names of your nodes, gates and runs, in ~/.bashrc: source <(COMPLETE=bash rollgate)

Exit codes: 0, 1, 2; see rollgate(1).";

/// Arguments of `completions`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Completions {
    /// The shell
    pub shell: Shell,
}

/// Shells for which there is a completion script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU bash.
    #[value(help = None)]
    Bash,
    /// The Z shell.
    #[value(help = None)]
    Zsh,
    /// fish.
    #[value(help = None)]
    Fish,
}
