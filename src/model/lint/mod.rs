//! What is wrong with an inventory and a procedure that parse: found before the first change, not at
//! night in the middle of it. What cannot be read as a procedure at all is refused by `config`, with
//! its position; these rules ask what the pieces mean to each other.

mod lexer;
mod names;
mod script;
mod scripts;
mod structure;
#[cfg(test)]
mod tests;
mod walk;

use super::inventory::Inventory;
use super::procedure::Procedure;

/// Something that is wrong, or likely to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule's name: `unset-variable`.
    pub rule: &'static str,
    /// Whether it can be right all the same.
    pub severity: Severity,
    /// The file in which it stands.
    pub document: Document,
    /// The way from the top of that document to the value: `phases[0].drain[1].run`.
    pub place: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

/// How bad a finding is, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It cannot work, or it gives something away.
    Error,
    /// It may be meant.
    Warning,
}

/// A file of the operator's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Document {
    /// The inventory.
    Inventory,
    /// The procedure.
    Procedure,
}

/// Holds a procedure against its inventory. The worst findings come first, each kind in the order of
/// the file.
pub fn lint(inventory: &Inventory, procedure: &Procedure) -> Vec<Finding> {
    let mut findings = names::unset(inventory, procedure);
    findings.extend(structure::findings(inventory, procedure));
    findings.extend(scripts::findings(inventory, procedure));
    findings.sort_by_key(|finding| finding.severity);
    findings
}

fn error(rule: &'static str, place: impl Into<String>, message: String, help: impl Into<String>) -> Finding {
    Finding {
        rule,
        severity: Severity::Error,
        document: Document::Procedure,
        place: place.into(),
        message,
        help: help.into(),
    }
}

fn warning(
    rule: &'static str,
    place: impl Into<String>,
    message: String,
    help: impl Into<String>,
) -> Finding {
    Finding { severity: Severity::Warning, ..error(rule, place, message, help) }
}
