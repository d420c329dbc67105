//! Finds what a call says about itself in the midst of what its scripts print.
//!
//! A mark is a line `rg-NONCE:LETTER INDEX NUMBER`. The nonce is new for every call and has 128 bits,
//! so neither a noisy login shell nor a script's output can be taken for one, and it may follow output
//! that has no newline at its end.

use std::fs::File;
use std::io::{self, Read};

use memchr::memmem;

use crate::model::job::Standing;

/// What stands before every mark of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Nonce(String);

impl Nonce {
    /// Draws a new one.
    pub(super) fn draw() -> io::Result<Self> {
        let mut bytes = [0_u8; 16];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(Self(format!("rg-{:032x}:", u128::from_le_bytes(bytes))))
    }

    /// One that is known beforehand.
    #[cfg(any(test, fuzzing))]
    pub(super) fn known() -> Self {
        Self(format!("rg-{:032x}:", 7))
    }

    /// The prefix of a mark: letters, digits, `-` and `:` only.
    pub(super) fn prefix(&self) -> &str {
        &self.0
    }

    /// The random part alone, to name files with.
    pub(super) fn hex(&self) -> &str {
        &self.0[3..35]
    }
}

/// What a call says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// A script is about to begin, in this process group.
    Begin { index: usize, group: i32 },
    /// Its shell runs, with its rights.
    Running { index: usize },
    /// It ended with this code.
    End { index: usize, code: i32 },
    /// A copy goes on at this byte.
    Offset { at: u64 },
    /// A job began so many seconds ago.
    Age { seconds: u64 },
    /// The one who follows a job is still there.
    Pulse,
    /// Where a job stands.
    Stands(Standing),
}

impl Mark {
    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let mut words = text.split(' ');
        let (letter, index, number) = (words.next()?, words.next()?, words.next()?);
        if words.next().is_some() {
            return None;
        }
        let index = index.parse().ok()?;
        Some(match letter {
            "B" => Self::Begin { index, group: number.parse().ok()? },
            "R" => Self::Running { index },
            "E" => Self::End { index, code: number.parse().ok()? },
            "O" => Self::Offset { at: number.parse().ok()? },
            "A" => Self::Age { seconds: number.parse().ok()? },
            "H" => Self::Pulse,
            "S" => Self::Stands(standing(number)?),
            _ => return None,
        })
    }
}

/// Reads what the runner says of a job: a word and its numbers, `ended,7,0,0,0`.
fn standing(text: &str) -> Option<Standing> {
    let mut words = text.split(',');
    let word = words.next()?;
    let numbers: Vec<u32> = words.map(str::parse).collect::<Result<_, _>>().ok()?;
    Some(match (word, &*numbers) {
        ("absent", [known]) => Standing::Absent { known: *known != 0 },
        ("void", []) => Standing::Void,
        ("unbegun", []) => Standing::Unbegun,
        ("fenced", []) => Standing::Fenced,
        ("conflict", []) => Standing::Conflict,
        ("running", []) => Standing::Running,
        ("ended", [code, interrupted, stopped, rebooted]) => Standing::Ended {
            code: i32::try_from(*code).ok()?,
            interrupted: *interrupted != 0,
            stopped: *stopped != 0,
            rebooted: *rebooted != 0,
        },
        ("lost", [rebooted, orphans]) => Standing::Lost { rebooted: *rebooted != 0, orphans: *orphans },
        _ => return None,
    })
}

/// A part of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Output.
    Bytes(&'a [u8]),
    /// A mark.
    Mark(Mark),
}

/// Takes one stream apart as it comes.
pub(super) struct Scanner {
    prefix: Vec<u8>,
    held: Vec<u8>,
}

/// No mark is longer than this after its prefix.
const LONGEST: usize = 64;

impl Scanner {
    pub(super) fn new(nonce: &Nonce) -> Self {
        Self { prefix: nonce.prefix().as_bytes().to_vec(), held: Vec::new() }
    }

    /// Takes the next bytes and hands on what is certain. Held back is at most a mark.
    pub(super) fn push(&mut self, chunk: &[u8], on: &mut dyn FnMut(Piece<'_>)) {
        self.held.extend_from_slice(chunk);
        let mut from = 0;
        while let Some(at) = memmem::find(&self.held[from..], &self.prefix).map(|at| from + at) {
            emit(&self.held[from..at], on);
            let body = at + self.prefix.len();
            let window = &self.held[body..self.held.len().min(body + LONGEST)];
            match window.iter().position(|byte| *byte == b'\n') {
                Some(length) => {
                    if let Some(mark) = Mark::parse(&window[..length]) {
                        on(Piece::Mark(mark));
                    } else {
                        emit(&self.held[at..=body + length], on);
                    }
                    from = body + length + 1;
                }
                None if window.len() < LONGEST => {
                    self.held.drain(..at);
                    return;
                }
                None => {
                    emit(&self.held[at..body], on);
                    from = body;
                }
            }
        }
        let keep = self.begun_prefix(from);
        let end = self.held.len() - keep;
        emit(&self.held[from..end], on);
        self.held.drain(..end);
    }

    /// Hands on what was held back, at the end of the stream.
    pub(super) fn finish(&mut self, on: &mut dyn FnMut(Piece<'_>)) {
        emit(&std::mem::take(&mut self.held), on);
    }

    /// How many bytes at the end could be the beginning of a prefix.
    fn begun_prefix(&self, from: usize) -> usize {
        let tail = &self.held[from..];
        let most = tail.len().min(self.prefix.len() - 1);
        (1..=most).rev().find(|n| tail.ends_with(&self.prefix[..*n])).unwrap_or(0)
    }
}

fn emit(bytes: &[u8], on: &mut dyn FnMut(Piece<'_>)) {
    if !bytes.is_empty() {
        on(Piece::Bytes(bytes));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn taken(nonce: &Nonce, chunks: &[&[u8]]) -> (Vec<u8>, Vec<Mark>) {
        let (mut bytes, mut marks) = (Vec::new(), Vec::new());
        let mut on = |piece: Piece<'_>| match piece {
            Piece::Bytes(part) => bytes.extend_from_slice(part),
            Piece::Mark(mark) => marks.push(mark),
        };
        let mut scanner = Scanner::new(nonce);
        for chunk in chunks {
            scanner.push(chunk, &mut on);
        }
        scanner.finish(&mut on);
        (bytes, marks)
    }

    #[test]
    fn output_without_a_newline_is_told_from_the_mark_behind_it() {
        let nonce = Nonce::draw().unwrap();
        let text = format!("no newline{}E 3 255\nafter", nonce.prefix());
        let (bytes, marks) = taken(&nonce, &[text.as_bytes()]);
        assert_eq!(bytes, b"no newlineafter");
        assert_eq!(marks, [Mark::End { index: 3, code: 255 }]);
    }

    #[test]
    fn a_mark_of_another_call_or_with_nonsense_in_it_is_output() {
        let nonce = Nonce::draw().unwrap();
        let other = Nonce::draw().unwrap();
        let long = "x".repeat(200);
        let prefix = nonce.prefix();
        let text = format!("{}E 0 0\n{prefix}E 0 zero\n{prefix}Z 0 0\n{prefix}{long}\n", other.prefix());
        let (bytes, marks) = taken(&nonce, &[text.as_bytes()]);
        assert_eq!(bytes, text.as_bytes());
        assert!(marks.is_empty());
    }

    #[test]
    fn a_line_that_may_still_become_a_mark_is_all_that_is_held_back() {
        let nonce = Nonce::draw().unwrap();
        let mut scanner = Scanner::new(&nonce);
        let mut seen = Vec::new();
        scanner.push(b"progress 10%", &mut |piece| {
            if let Piece::Bytes(bytes) = piece {
                seen.extend_from_slice(bytes);
            }
        });
        assert_eq!(seen, b"progress 10%");
    }

    proptest! {
        #[test]
        fn cutting_the_stream_anywhere_changes_nothing(
            before in proptest::collection::vec(any::<u8>(), 0..40),
            after in proptest::collection::vec(any::<u8>(), 0..40),
            cuts in proptest::collection::vec(0_usize..120, 0..6),
        ) {
            let nonce = Nonce::draw().unwrap();
            let mut whole = before.clone();
            whole.extend_from_slice(format!("{}O 0 {}\n", nonce.prefix(), u64::MAX).as_bytes());
            whole.extend_from_slice(&after);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(whole.len())).collect();
            cuts.push(0);
            cuts.push(whole.len());
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|cut| &whole[cut[0]..cut[1]]).collect();
            let (bytes, marks) = taken(&nonce, &chunks);
            prop_assert_eq!(bytes, [before, after].concat());
            prop_assert_eq!(marks, [Mark::Offset { at: u64::MAX }]);
        }
    }
}
