//! `rollgate init`: what can be typed.

use std::path::PathBuf;

use clap::Args;

pub(super) const AFTER: &str = "\
Examples:
  rollgate init mq-01 mq-02 mq-03 > rollgate.yaml    these nodes, a procedure to begin with
  rollgate init ops@[2001:db8::1]:2222               login, IPv6 address, port
  kubectl get nodes -o name | rollgate init -        names from standard input
  rollgate init --from-ansible hosts.json            from what ansible-inventory --list printed

Exit codes: 0, 1, 2; see rollgate(1).";

/// Arguments of `init`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Init {
    /// Nodes as [user@]host[:port]; - reads them from standard input, one a line
    #[arg(value_name = "NODES")]
    pub nodes: Vec<String>,

    /// Take the nodes from the JSON of `ansible-inventory --list`; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "nodes")]
    pub from_ansible: Option<PathBuf>,
}
