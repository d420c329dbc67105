//! One record as one line, and the checksum that chains each line to all before it.
//!
//! ```text
//! {"n":0,"v":1,"at":"2026-11-21T09:14:02Z","event":…,"crc":"5ad3c61f"}
//! {"n":1,"at":"2026-11-21T09:14:03Z","event":…,"crc":"9f3a01c2"}
//! ```
//!
//! `crc` is the CRC-32 of the bytes of all records up to this one, each without its own `crc` field:
//! a line that was edited, dropped, doubled or moved breaks it from there on.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::JournalError;
use crate::model::event::{Event, Record};

/// The format that this rollgate writes. Stands in the first record; a later one is read, never
/// written.
pub const VERSION: u32 = 1;

const SEAL: &str = r#","crc":""#;
const END: &str = r#""}"#;
const DIGITS: usize = 8;

/// What is wrong with a line that ends in a newline and so was not cut by a crash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It does not end as a record does.
    #[error("this is not a record")]
    NotARecord,
    /// The bytes are not those that were written, or a line before it is missing.
    #[error("the checksum does not match: the line was changed, or one before it is missing")]
    Checksum,
    /// Its number is not the next one.
    #[error("record {found} stands where record {expected} belongs")]
    Order {
        /// The number due here.
        expected: u64,
        /// The number that stands here.
        found: u64,
    },
    /// The first record has no format version.
    #[error("the first record names no format version")]
    NoVersion,
    /// Intact, and not understood.
    #[error("the record is intact, but this rollgate does not understand it: {0}")]
    Unknown(String),
}

/// Where a journal stands: the number that the next record gets, and the checksum so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Chain {
    next: u64,
    crc: u32,
}

#[derive(Serialize)]
struct Written<'a> {
    n: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    v: Option<u32>,
    at: Timestamp,
    event: &'a Event,
}

#[derive(Deserialize)]
struct Head {
    n: u64,
    v: Option<u32>,
}

#[derive(Deserialize)]
struct Body {
    at: Timestamp,
    event: Event,
}

impl Chain {
    /// The line that records an event next, with its newline, and the chain after it.
    pub(super) fn encode(self, event: &Event, at: Timestamp) -> Result<(String, Self), serde_json::Error> {
        let v = (self.next == 0).then_some(VERSION);
        let mut line = serde_json::to_string(&Written { n: self.next, v, at, event })?;
        line.pop();
        let crc = self.checksum(line.as_bytes());
        line.push_str(&seal(crc));
        line.push('\n');
        Ok((line, Self { next: self.next + 1, crc }))
    }

    /// Reads the line due next, given without its newline, and returns the record, the format version
    /// if it is the first, and the chain after it.
    pub(super) fn decode(self, line: &[u8]) -> Result<(Record, Option<u32>, Self), Damage> {
        let split = line.len().checked_sub(SEAL.len() + DIGITS + END.len()).ok_or(Damage::NotARecord)?;
        let (body, sealed) = line.split_at(split);
        if !sealed.starts_with(SEAL.as_bytes()) || !sealed.ends_with(END.as_bytes()) {
            return Err(Damage::NotARecord);
        }
        let crc = self.checksum(body);
        if sealed != seal(crc).as_bytes() {
            return Err(Damage::Checksum);
        }
        let object = [body, b"}"].concat();
        let head: Head = serde_json::from_slice(&object).map_err(|error| unknown(&error))?;
        if head.n != self.next {
            return Err(Damage::Order { expected: self.next, found: head.n });
        }
        if head.n == 0 && head.v.is_none() {
            return Err(Damage::NoVersion);
        }
        let Body { at, event } = serde_json::from_slice(&object).map_err(|error| unknown(&error))?;
        Ok((Record { seq: head.n, at, event }, head.v, Self { next: self.next + 1, crc }))
    }

    /// Reads a line back that was just encoded, so that nothing is written that cannot be read.
    pub(super) fn read_back(self, line: &str) -> Result<Record, JournalError> {
        let line = line.trim_end_matches('\n').as_bytes();
        match self.decode(line) {
            Ok((record, _, _)) => Ok(record),
            Err(damage) => Err(JournalError::Unrecordable { source: serde::de::Error::custom(damage) }),
        }
    }

    fn checksum(self, body: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.crc);
        hasher.update(body);
        hasher.finalize()
    }
}

fn seal(crc: u32) -> String {
    format!("{SEAL}{crc:08x}{END}")
}

fn unknown(error: &serde_json::Error) -> Damage {
    Damage::Unknown(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::UNIX_EPOCH;

    fn phase(phase: usize) -> Event {
        Event::PhaseStarted { phase }
    }

    #[test]
    fn the_first_record_carries_the_version_and_the_chain_goes_on() {
        let (first, chain) = Chain::default().encode(&phase(0), AT).unwrap();
        let (second, _) = chain.encode(&phase(1), AT).unwrap();
        let event =
            |n| format!(r#""at":"1970-01-01T00:00:00Z","event":{{"phase_started":{{"phase":{n}}}}},"crc":""#);
        assert!(first.starts_with(&format!(r#"{{"n":0,"v":1,{}"#, event(0))), "{first}");
        assert!(second.starts_with(&format!(r#"{{"n":1,{}"#, event(1))), "{second}");
    }

    #[test]
    fn a_checksum_is_that_of_all_records_so_far() {
        let (first, chain) = Chain::default().encode(&phase(0), AT).unwrap();
        let (second, after) = chain.encode(&phase(1), AT).unwrap();
        let body = |line: &str| line.split(SEAL).next().unwrap().to_owned();
        assert_eq!(after.crc, crc32fast::hash((body(&first) + &body(&second)).as_bytes()));
    }

    #[test]
    fn an_intact_record_of_another_kind_is_not_understood() {
        let chain = Chain::default();
        let body = r#"{"n":0,"v":1,"at":"1970-01-01T00:00:00Z","event":"NeverHeardOf""#;
        let line = format!("{body}{}", seal(chain.checksum(body.as_bytes())));
        let damage = chain.decode(line.as_bytes()).unwrap_err();
        assert!(matches!(&damage, Damage::Unknown(why) if why.contains("NeverHeardOf")), "{damage:?}");
    }

    #[test]
    fn a_record_that_would_not_read_back_is_refused() {
        let lie = r#"{"n":7,"at":"1970-01-01T00:00:00Z","event":null,"crc":"00000000"}"#;
        let error = Chain::default().read_back(lie).unwrap_err();
        assert!(matches!(error, JournalError::Unrecordable { .. }), "{error:?}");
    }
}
