//! Puts `***` where a secret stands, as it is and as programs write it into JSON, URLs, base64 and shell words.

mod forms;
#[cfg(test)]
mod tests;

use std::fmt;

use zeroize::Zeroizing;

/// What stands where a secret stood.
pub const STARS: &str = "***";

/// A part of a secret with fewer characters is in everything; it is left.
pub const LEAST: usize = 4;

/// Everything by which a set of secrets is known.
#[derive(Default)]
pub struct Mask {
    needles: Vec<Needle>,
    /// Which first four bytes a needle may have, by a hash of sixteen bits: most text has none of them.
    first: Vec<u64>,
}

/// One text to be found.
struct Needle {
    bytes: Zeroizing<Vec<u8>>,
    /// For every length: how long a beginning of the needle is that ends there too, other than itself.
    border: Vec<usize>,
}

impl Mask {
    /// Knows these values in all their forms.
    pub fn of<'v>(values: impl IntoIterator<Item = &'v str>) -> Self {
        let mut all: Vec<Zeroizing<Vec<u8>>> = Vec::new();
        for value in values {
            forms::of(value, &mut all);
        }
        all.sort_unstable_by(|a, b| (b.len(), &**a).cmp(&(a.len(), &**b)));
        all.dedup();
        let mut first = if all.is_empty() { Vec::new() } else { vec![0_u64; 1 << 10] };
        for bytes in &all {
            let (word, bit) = slot(bytes);
            first[word] |= bit;
        }
        Self { needles: all.into_iter().map(Needle::new).collect(), first }
    }

    /// Whether there is nothing to hide.
    pub fn is_empty(&self) -> bool {
        self.needles.is_empty()
    }

    /// What is looked for, the longest first. None of them has a line's end in it.
    pub fn needles(&self) -> impl Iterator<Item = &[u8]> {
        self.needles.iter().map(|needle| needle.bytes.as_slice())
    }

    /// Whether a secret stands in a text.
    pub fn finds(&self, text: &str) -> bool {
        !self.spans(text.as_bytes()).is_empty()
    }

    /// Whether a number is a secret of digits: as one it has lost the zeros before it, and the end of a long one.
    pub fn finds_number(&self, number: f64) -> bool {
        let is_digits = |needle: &&[u8]| needle.iter().all(u8::is_ascii_digit);
        let mut digits =
            self.needles().filter(is_digits).filter_map(|needle| std::str::from_utf8(needle).ok());
        digits.any(|digits| digits.parse().is_ok_and(|secret: f64| secret.total_cmp(&number).is_eq()))
    }

    /// The text without them.
    pub fn text(&self, text: &str) -> String {
        // Whatever is found begins and ends with whole characters, for it is made of them.
        String::from_utf8_lossy(&self.bytes(text.as_bytes())).into_owned()
    }

    /// The same for raw output.
    pub fn bytes(&self, bytes: &[u8]) -> Vec<u8> {
        without(bytes, &self.spans(bytes))
    }

    /// Takes from the front of a line that comes in pieces what can be shown of it, masked. What may be the
    /// beginning of a secret stays.
    pub fn settle(&self, held: &mut Vec<u8>) -> Vec<u8> {
        let spans = self.spans(held);
        let mut cut = held.len() - self.unfinished(held);
        // Whole, but with the beginning of another in its end: both are one.
        for (from, to) in spans.iter().rev() {
            if *to > cut {
                cut = cut.min(*from);
            }
        }
        let spans: Vec<_> = spans.into_iter().filter(|(_, to)| *to <= cut).collect();
        let shown = without(&held[..cut], &spans);
        held.drain(..cut);
        shown
    }

    /// How much of the end may be the beginning of a secret.
    fn unfinished(&self, bytes: &[u8]) -> usize {
        let longest = |needle: &Needle| {
            let end = &bytes[bytes.len().saturating_sub(needle.bytes.len() - 1)..];
            end.iter().fold(0, |matched, byte| needle.next(matched, *byte))
        };
        self.needles.iter().map(longest).max().unwrap_or_default()
    }

    /// Where they stand, in order, those that overlap as one.
    fn spans(&self, text: &[u8]) -> Vec<(usize, usize)> {
        let mut spans = Vec::new();
        for needle in self.likely(text) {
            needle.find(text, &mut spans);
        }
        spans.sort_unstable();
        let mut merged: Vec<(usize, usize)> = Vec::new();
        for (from, to) in spans {
            match merged.last_mut() {
                Some(last) if from < last.1 => last.1 = last.1.max(to),
                _ => merged.push((from, to)),
            }
        }
        merged
    }

    /// Those whose beginning is in the text, found in one pass.
    fn likely(&self, text: &[u8]) -> Vec<&Needle> {
        if self.needles.is_empty() {
            return Vec::new();
        }
        let mut likely = vec![false; self.needles.len()];
        for beginning in text.windows(LEAST) {
            let (word, bit) = slot(beginning);
            if self.first[word] & bit != 0 {
                for (place, needle) in self.needles.iter().enumerate() {
                    likely[place] |= needle.bytes.starts_with(beginning);
                }
            }
        }
        self.needles.iter().zip(likely).filter_map(|(needle, likely)| likely.then_some(needle)).collect()
    }
}

/// How many secrets it hides is nobody's business either.
impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mask")
    }
}

/// The place of the first four bytes in [`Mask::first`].
fn slot(bytes: &[u8]) -> (usize, u64) {
    let four = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let hash = four.wrapping_mul(0x9E37_79B1) >> 16;
    ((hash >> 6) as usize, 1 << (hash & 63))
}

fn without(bytes: &[u8], spans: &[(usize, usize)]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(bytes.len());
    let mut at = 0;
    for (from, to) in spans {
        kept.extend_from_slice(&bytes[at..*from]);
        kept.extend_from_slice(STARS.as_bytes());
        at = *to;
    }
    kept.extend_from_slice(&bytes[at..]);
    kept
}

/// Knuth, Morris and Pratt: a pass over the text costs its length, whatever it or the needle repeats.
impl Needle {
    fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        let mut border = vec![0; bytes.len() + 1];
        let mut matched = 0;
        for at in 1..bytes.len() {
            while matched > 0 && bytes[at] != bytes[matched] {
                matched = border[matched];
            }
            matched += usize::from(bytes[at] == bytes[matched]);
            border[at + 1] = matched;
        }
        Self { bytes, border }
    }

    /// How much of the needle the text ends with after one more byte.
    fn next(&self, mut matched: usize, byte: u8) -> usize {
        if matched == self.bytes.len() {
            matched = self.border[matched];
        }
        while matched > 0 && self.bytes[matched] != byte {
            matched = self.border[matched];
        }
        matched + usize::from(self.bytes[matched] == byte)
    }

    fn find(&self, text: &[u8], spans: &mut Vec<(usize, usize)>) {
        let mut matched = 0;
        for (at, byte) in text.iter().enumerate() {
            matched = self.next(matched, *byte);
            if matched == self.bytes.len() {
                spans.push((at + 1 - matched, at + 1));
            }
        }
    }
}
