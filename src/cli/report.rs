//! The flags of `report`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::values::run_id;
use crate::model::event::RunId;

/// Flags of `report`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = "\
Examples:
  rollgate report                        the latest run, as text
  rollgate report -f CHG-20418.html      one page for the change ticket
  rollgate report 2026-11-21.1 -o json   an earlier run, for a program
  rollgate report --bundle run.tar.gz    all that is known, for a bug report

Exit codes: 0, 1, 2; see rollgate(1).")]
pub struct Report {
    /// Run to report (default: the latest)
    #[arg(value_parser = run_id)]
    pub run: Option<RunId>,

    /// File to write; its ending picks the format: .html, .svg, .txt, .json
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// Format, where there is no file or its ending says nothing
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<ReportFormat>,

    /// Pack journal, transcripts and report into FILE, secrets masked
    #[arg(long, value_name = "FILE", conflicts_with_all = ["file", "format"])]
    pub bundle: Option<PathBuf>,
}

/// The forms of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// One page that needs no other file.
    #[value(help = None)]
    Html,
    /// The timeline alone.
    #[value(help = None)]
    Svg,
    /// Text.
    #[value(help = None)]
    Text,
    /// One document, with the journal's records.
    #[value(help = None)]
    Json,
}
