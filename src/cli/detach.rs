//! Flags of a verb that can go on in the background.

use clap::Args;

/// Whether the run goes on without the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Args)]
#[group(skip)]
pub struct Detach {
    /// Go on in the background once it is agreed to; approve answers gates
    #[arg(long)]
    pub detach: bool,
}
