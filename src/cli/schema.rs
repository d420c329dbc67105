//! `rollgate schema`: what can be typed.

use clap::{Args, ValueEnum};

pub(super) const AFTER: &str = "\
Examples:
  rollgate schema > inventory.schema.json             for the first line of an inventory
  rollgate schema procedure > procedure.schema.json   for that of a procedure

Exit codes: 0, 1, 2; see rollgate(1).";

/// Arguments of `schema`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Schema {
    /// Which file it is of
    #[arg(value_name = "KIND", default_value = "inventory")]
    pub of: Described,
}

/// Files of which there is a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Described {
    /// An inventory, with or without a procedure in it.
    #[value(help = None)]
    Inventory,
    /// A procedure in a file of its own.
    #[value(help = None)]
    Procedure,
}
