//! The flags of `status`.

use clap::Args;

use super::values::run_id;
use crate::model::event::RunId;

/// Flags of `status`.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Status {
    /// Run to show, such as 2026-11-21.1 (default: the latest)
    #[arg(value_parser = run_id)]
    pub run: Option<RunId>,

    /// Show every run of the cluster, the latest first, a line each
    #[arg(long, conflicts_with_all = ["run", "watch", "from_nodes", "detailed_exitcode"])]
    pub list: bool,

    /// Show it again every few seconds until the run ends [default: 5]
    #[arg(short, long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "5")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=3600))]
    pub watch: Option<u16>,

    /// Use the journal only, do not connect to nodes
    #[arg(long)]
    pub offline: bool,

    /// Show what the nodes keep of the run, without this machine's own journal
    #[arg(long, conflicts_with_all = ["offline", "watch"])]
    pub from_nodes: bool,

    /// Exit with the state: 0 done, 18 running, 19 pending, else how the run ended
    #[arg(long)]
    pub detailed_exitcode: bool,
}
