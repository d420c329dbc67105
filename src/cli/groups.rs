//! Flags that several verbs take.

use std::time::Duration;

use clap::Args;

use super::values::{duration_with_unit, reason};

/// Which nodes are meant.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[group(skip)]
pub struct Limit {
    /// Only these nodes: names, groups, globs, with commas; ! leaves out
    #[arg(short, long = "limit", value_name = "NODES", value_delimiter = ',')]
    pub limit: Vec<String>,
}

/// How a run is agreed to.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[group(skip)]
pub struct Consent {
    /// Answer yes at gates whose checks hold (never opens a closed gate)
    #[arg(short, long)]
    pub yes: bool,

    /// Agree to begin without typing it; must equal the name
    #[arg(long, value_name = "CLUSTER")]
    pub confirm: Option<String>,

    /// Ticket or change number for the journal and the report
    #[arg(long, value_name = "ID", env = "ROLLGATE_CHANGE", hide_env = true)]
    pub change: Option<String>,
}

/// What is done about the lock of somebody else.
#[derive(Debug, Clone, PartialEq, Eq, Default, Args)]
#[group(skip)]
pub struct Lock {
    /// Wait this long for another run to let go of the cluster
    #[arg(long, value_name = "DURATION", value_parser = duration_with_unit)]
    pub lock_wait: Option<Duration>,

    /// Take the lock from a rollgate that is dead; it is journaled
    #[arg(long, value_name = "REASON", value_parser = reason)]
    pub break_lock: Option<String>,
}
