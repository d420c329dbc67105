//! What a program reads on standard output: documents and records, all of one make. `examples/output` has the
//! schema of each; a minor version may add a field, only a major one changes or removes one.
//!
//! `format` and `format_version` come first. Times are RFC 3339 with their offset, durations are seconds, words are
//! `lower_snake`, what is absent is null, and a command is a list of words that can be run as it is.

use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::model::condition::Value;
use crate::model::event::{Event, Reading, Record};

use super::escape;
use super::moment::Moment;
use super::next::Next;

/// The version of every format that is printed.
pub const VERSION: &str = "1.0";

/// The version of this program, for whoever has to report a defect of a document.
pub const ROLLGATE: &str = env!("CARGO_PKG_VERSION");

/// A document as it is printed: indented, in ASCII.
pub fn text(document: &Json) -> String {
    format!("{}\n", escape::json(&format!("{document:#}")))
}

/// A record as it is printed, on one line without its end: what the journal keeps of it, and what it is.
pub fn record(record: &Record) -> String {
    #[derive(Serialize)]
    struct Printed<'a> {
        format: &'static str,
        format_version: &'static str,
        n: u64,
        at: jiff::Timestamp,
        event: &'a Event,
    }
    let Record { seq: n, at, event } = record;
    let printed = Printed { format: "rollgate/record", format_version: VERSION, n: *n, at: *at, event };
    escape::json(&serde_json::to_string(&printed).expect("a record is made of plain data"))
}

/// A reading with its value as it was read: a number is a number, of lines there is their count.
pub fn reading(moment: &Moment, reading: &Reading) -> Json {
    json!({
        "name": reading.check,
        "node": reading.node,
        "open": reading.verdict.holds(),
        "value": reading.value.as_ref().map(|value| match value {
            Value::Number(number) => json!(number),
            Value::Lines(lines) => json!(lines.len()),
            Value::Exit(code) => json!(code),
            Value::Text(text) => json!(text),
            Value::Json(value) => value.clone(),
        }),
        "needs": reading.needs,
        "unit": reading.unit,
        "evidence": reading.evidence,
        "read_at": moment.iso(reading.at),
    })
}

/// Commands to type next, each as its words.
pub fn next(nexts: &[Next]) -> Json {
    json!(nexts.iter().map(|next| &next.argv).collect::<Vec<_>>())
}

/// Something found in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `error` or `warning`.
    pub severity: &'static str,
    /// The file, as the operator named it.
    pub file: String,
    /// The line, from 1; absent when the file could not be read at all.
    pub line: Option<usize>,
    /// The column in characters, from 1.
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Vec<String>,
}

/// Why a verb did nothing, or nothing more: what stands in place of its document, or ends its records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problem {
    /// How the process ends.
    pub exit_code: u8,
    /// What is wrong, in one sentence.
    pub error: String,
    /// Where, or the evidence.
    pub evidence: Vec<String>,
    /// What may help.
    pub help: Vec<String>,
    /// What it means for the nodes: `nothing was done`.
    pub standing: Option<String>,
    /// What is wrong in files, place by place.
    pub findings: Vec<Finding>,
    /// What to type.
    pub next: Vec<Next>,
}

impl Problem {
    /// The document as it is printed: on one line, for it may end a run's records.
    pub fn line(&self) -> String {
        let document = json!({
            "format": "rollgate/error",
            "format_version": VERSION,
            "rollgate": ROLLGATE,
            "exit_code": self.exit_code,
            "error": self.error,
            "evidence": self.evidence,
            "help": self.help,
            "standing": self.standing,
            "findings": self.findings,
            "next": next(&self.next),
        });
        format!("{}\n", escape::json(&document.to_string()))
    }
}
