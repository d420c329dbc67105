//! Flags of `approve`.

use clap::Args;

use super::values::reason;
use crate::model::name::NodeName;

/// Flags of `approve`.
#[expect(clippy::struct_excessive_bools, reason = "each is one answer, and clap lets only one through")]
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = "\
Examples:
  rollgate approve                            the only question there is: yes
  rollgate approve isolated --node db-1       this gate of this node
  rollgate approve isolated --node db-1 --reason CHG-7
                                              open it though it is closed
  rollgate approve --deny                     no: the run stops

Exit codes: 0, 1, 2, 10, 11; see rollgate(1).")]
pub struct Approve {
    /// The gate or step, by its name (default: the only one that waits)
    pub gate: Option<String>,

    /// The node that it belongs to
    #[arg(long, value_name = "NODE", value_parser = NodeName::parse)]
    pub node: Option<NodeName>,

    /// Why; opens a gate that is closed, and goes into the journal
    #[arg(long, value_name = "TEXT", value_parser = reason, conflicts_with_all = ["deny", "retry", "roll_back"])]
    pub reason: Option<String>,

    /// Agree to what must be typed; must equal the cluster's name
    #[arg(long, value_name = "CLUSTER")]
    pub confirm: Option<String>,

    /// Answer no: the run stops at its next safe point
    #[arg(long, group = "answer")]
    pub deny: bool,

    /// Of a step that failed: try it again
    #[arg(long, group = "answer")]
    pub retry: bool,

    /// Of a step that failed: take it as done
    #[arg(long, group = "answer", requires = "reason")]
    pub done: bool,

    /// Of a step that failed: go on without its node
    #[arg(long, group = "answer", requires = "reason")]
    pub skip: bool,

    /// Of a step that failed: roll its node back, then stop
    #[arg(long, group = "answer")]
    pub roll_back: bool,

    /// Only if it is still this question, by its number
    #[arg(long, value_name = "N")]
    pub question: Option<u64>,
}
