//! How the text form of a report is laid out: as the screens are, so wide that a ticket shows it.

use crate::report::Layout;
use crate::ui::ink::{Line, Tone, wrap};
use crate::ui::table::Table;
use crate::ui::terminal::Face;

/// Columns of running text. What cannot be broken is longer: a report that is cut says less than it knows.
const WIDTH: usize = 96;

/// Lines of a report.
pub(super) struct Columns {
    /// Whether more than ASCII may be written.
    pub(super) unicode: bool,
}

impl Columns {
    fn face(&self, width: Option<usize>) -> Face {
        Face { unicode: self.unicode, width, ..Face::PLAIN }
    }
}

impl Layout for Columns {
    fn wrapped(&self, first: &str, text: &str) -> Vec<String> {
        let face = self.face(Some(WIDTH));
        let head = Line::of(&face, first);
        let room = WIDTH.saturating_sub(head.width());
        let widest = text.split_whitespace().map(|word| Line::of(&face, word).width()).max().unwrap_or(0);
        let face = if widest > room { self.face(None) } else { face };
        wrap(&face, head, Tone::Text, text).iter().map(Line::plain).collect()
    }

    fn table(&self, heads: &[(String, bool)], rows: &[Vec<String>]) -> Vec<String> {
        let mut table = Table::new(2);
        for (head, right) in heads {
            table = if *right { table.right(head) } else { table.column(head) };
        }
        for row in rows {
            table.row(row.iter().map(|cell| (Tone::Text, cell.clone())).collect());
        }
        table.lines(&self.face(None)).iter().map(Line::plain).collect()
    }

    fn line(&self, text: &str) -> String {
        Line::of(&self.face(None), text).plain()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_and_never_cut() {
        let columns = Columns { unicode: false };
        let lines = columns.wrapped("  ", &"word ".repeat(40));
        assert!(lines.len() > 1 && lines.iter().all(|line| line.len() <= WIDTH), "{lines:?}");
        let long = "x".repeat(200);
        assert_eq!(columns.wrapped("  ", &long), [format!("  {long}")]);
        assert_eq!(columns.line("  | a\x1bb\u{fc}"), "  | a\\x1bb\\u{fc}");
    }
}
