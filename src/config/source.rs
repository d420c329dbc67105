//! The text of one file, read with a limit and known to be plain before any parser sees it.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::mistake::{Mistake, Mistakes, Place};
use super::yaml::MOST_DEEP;

/// The largest file that is read. A thousand nodes with their variables need a tenth of it.
pub const MOST_BYTES: usize = 1 << 20;

/// Open brackets at which a file is refused before parsing, whose time grows with the square of them.
const MOST_OPEN: usize = 256;

/// One file's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    path: PathBuf,
    text: String,
    sha256: String,
}

impl Source {
    /// Reads a file: a regular one or a pipe, at most [`MOST_BYTES`], UTF-8 without control characters.
    pub fn read(path: &Path) -> Result<Self, Mistakes> {
        let unreadable = |why: &dyn std::fmt::Display| {
            Mistakes::from(Mistake::unplaced(path, format!("cannot read {}: {why}", path.display()), &[]))
        };
        let kind = fs::metadata(path).map_err(|error| unreadable(&plain(&error)))?.file_type();
        if kind.is_dir() {
            return Err(unreadable(&"it is a directory"));
        }
        if !kind.is_file() && !kind.is_fifo() {
            return Err(unreadable(&"it is neither a file nor a pipe"));
        }
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes))
            .map_err(|error| unreadable(&plain(&error)))?;
        Self::from_bytes(path, bytes)
    }

    /// Takes what was read elsewhere, such as the output of an executable inventory, under the name
    /// that messages shall use.
    pub fn from_bytes(path: &Path, mut bytes: Vec<u8>) -> Result<Self, Mistakes> {
        let refuse = |what: &str, help: &str| Err(Mistake::whole(path, what, &[help]).into());
        if bytes.len() > MOST_BYTES {
            return refuse(
                "this file is larger than 1 MiB",
                "an inventory or procedure is a few kilobytes; is this the right file?",
            );
        }
        let sha256 = hex(&Sha256::digest(&bytes));
        if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
            return refuse("this file is UTF-16", "save it as UTF-8");
        }
        if bytes.starts_with(b"\xef\xbb\xbf") {
            bytes.drain(..3);
        }
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let offset = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes());
                let what = format!("this file is not UTF-8: byte {offset} cannot be read");
                let help = "save it as UTF-8; if it is no text at all, it is the wrong file";
                let before = error.as_bytes()[..offset].to_vec();
                let before = String::from_utf8(before).expect("UTF-8 up to the first bad byte");
                return Err(placed(path, &text, &before, &what, "this byte", help).into());
            }
        };
        let source = Self { path: path.to_owned(), text, sha256 };
        source.refuse_control_characters()?;
        source.refuse_deep_brackets()?;
        Ok(source)
    }

    /// The path as the operator gave it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text without a byte order mark.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The SHA-256 of the bytes as they were read, in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// A line, from 1; empty beyond the end.
    pub(crate) fn line(&self, number: usize) -> &str {
        self.text.lines().nth(number.wrapping_sub(1)).unwrap_or_default()
    }

    /// A mistake at a position of this text.
    pub(crate) fn mistake(
        &self,
        (line, column): (usize, usize),
        length: usize,
        what: impl Into<String>,
        note: &str,
        help: &[&str],
    ) -> Mistake {
        Mistake {
            what: what.into(),
            file: self.path.clone(),
            place: Some(Place::cut(&self.text, line, column, length, note)),
            help: help.iter().map(|&text| text.to_owned()).collect(),
        }
    }

    /// Control characters would reach shells and terminals; some also end lines for YAML alone, so
    /// that no message would show the right one.
    fn refuse_control_characters(&self) -> Result<(), Mistakes> {
        let mut rest = self.text.char_indices().peekable();
        while let Some((at, c)) = rest.next() {
            let ends_line = c == '\r' && rest.peek().is_some_and(|(_, next)| *next == '\n');
            let wrong = match c {
                '\n' | '\t' => None,
                '\r' if ends_line => None,
                '\0' => Some("a NUL byte".to_owned()),
                '\r' => Some("a carriage return without a line feed".to_owned()),
                '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                    Some(format!("the invisible character U+{:04X}", u32::from(c)))
                }
                c if c.is_control() => Some(format!("the control character U+{:04X}", u32::from(c))),
                _ => None,
            };
            if let Some(wrong) = wrong {
                let what = format!("{wrong} stands in this file");
                let help = "remove it; in a script write an escape that printf knows instead";
                return Err(placed(&self.path, &self.text, &self.text[..at], &what, "here", help).into());
            }
        }
        Ok(())
    }

    /// Counts brackets that are open at once, outside of quotes that close on their line and of comments. A
    /// script may hold a few single ones, so the limit is far above the depth that is allowed.
    fn refuse_deep_brackets(&self) -> Result<(), Mistakes> {
        let mut open = 0_usize;
        for (line, text) in self.text.lines().enumerate() {
            // Lists in lists need no bracket, and the parser no less memory.
            let indent = text.len() - text.trim_start_matches(' ').len();
            let marks = text.as_bytes()[indent..].chunks(2).take_while(|mark| matches!(*mark, b"- " | b"? "));
            if marks.count() > MOST_DEEP {
                let place = (line + 1, indent + 2 * MOST_DEEP + 1);
                let what = format!("values nest more than {MOST_DEEP} deep");
                let help = "one `-` begins an entry of a list; a list in a list is hardly meant";
                return Err(self.mistake(place, 1, what, "too deep here", &[help]).into());
            }
            let mut quote = None;
            let mut before = ' ';
            for (column, c) in text.chars().enumerate() {
                match (quote, c) {
                    (Some(mark), _) if mark == c => quote = None,
                    (None, '"' | '\'') if " \t[{,:(=".contains(before) => quote = Some(c),
                    (None, '#') if before == ' ' || before == '\t' => break,
                    (None, '[' | '{') => open += 1,
                    (None, ']' | '}') => open = open.saturating_sub(1),
                    _ => {}
                }
                before = c;
                if open > MOST_OPEN {
                    let place = (line + 1, column + 1);
                    return Err(self
                        .mistake(
                            place,
                            1,
                            format!("more than {MOST_OPEN} brackets are open here"),
                            "opened here",
                            &["values nest at most 64 deep; is a `]` or `}` missing above?"],
                        )
                        .into());
                }
            }
        }
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String never fails");
        text
    })
}

/// A mistake right after a part of a text.
fn placed(path: &Path, text: &str, before: &str, what: &str, note: &str, help: &str) -> Mistake {
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Mistake {
        what: what.to_owned(),
        file: path.to_owned(),
        place: Some(Place::cut(text, line, column, 1, note)),
        help: vec![help.to_owned()],
    }
}

/// An error of the system without its number.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(bytes: &[u8]) -> Result<Source, String> {
        Source::from_bytes(Path::new("f.yaml"), bytes.to_vec()).map_err(|found| found.render(false))
    }

    #[test]
    fn a_byte_order_mark_is_dropped() {
        assert_eq!(take(b"\xef\xbb\xbfa: 1\r\n").map(|source| source.text), Ok("a: 1\r\n".to_owned()));
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_where_they_stand() {
        let shown = take(b"a: 1\nb: caf\xe9\n").unwrap_err();
        assert!(shown.contains("byte 11 cannot be read\n --> f.yaml:2:7\n"), "{shown}");
        let shown = take(b"a: \0\n").unwrap_err();
        assert!(shown.contains("a NUL byte stands in this file\n --> f.yaml:1:4\n"), "{shown}");
        assert!(take(b"a: x\ry: 2").unwrap_err().contains("carriage return"));
    }

    #[test]
    fn scripts_may_hold_single_brackets() {
        let script = "  - run: grep '[' x | awk '{print $1}' # ]\n".repeat(1000);
        assert!(take(script.as_bytes()).is_ok());
    }
}
