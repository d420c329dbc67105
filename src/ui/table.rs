//! Tables without borders: comfy-table lays out, the last column gives way, tones are laid over the result.

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Row, Table as Layout, Width};

use console::measure_text_width;

use super::escape;
use super::ink::{Line, Tone, ellipsis};
use super::terminal::Face;

/// Blanks between two columns.
const GAP: usize = 2;
/// Fewer columns than this make the last column useless; another one is left out instead.
const LAST_AT_LEAST: usize = 10;

/// How a column stands when room is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Always there.
    Always,
    /// Left out when the table does not fit; the lowest number goes first.
    IfRoom(u8),
}

#[derive(Debug, Clone)]
struct Column {
    title: String,
    right: bool,
    keep: Keep,
}

/// A table under construction.
#[derive(Debug, Clone)]
pub struct Table {
    indent: usize,
    columns: Vec<Column>,
    rows: Vec<Vec<(Tone, String)>>,
}

impl Table {
    /// Begins a table, indented by so many blanks.
    pub fn new(indent: usize) -> Self {
        Self { indent, columns: Vec::new(), rows: Vec::new() }
    }

    /// Adds a column that is always there. Without any title no heading is shown.
    #[must_use]
    pub fn column(self, title: &str) -> Self {
        self.with(title, false, Keep::Always)
    }

    /// Adds a column that may be left out where room is short.
    #[must_use]
    pub fn if_room(self, title: &str, order: u8) -> Self {
        self.with(title, false, Keep::IfRoom(order))
    }

    /// Adds a column of numbers, aligned on the right.
    #[must_use]
    pub fn right(self, title: &str) -> Self {
        self.with(title, true, Keep::Always)
    }

    fn with(mut self, title: &str, right: bool, keep: Keep) -> Self {
        self.columns.push(Column { title: title.to_owned(), right, keep });
        self
    }

    /// Adds a row; cells that are missing at its end are empty.
    pub fn row(&mut self, cells: Vec<(Tone, String)>) {
        self.rows.push(cells);
    }

    /// Lays it out for a stream: one line a row, nothing over the width.
    pub fn lines(&self, face: &Face) -> Vec<Line> {
        let heading = self.columns.iter().any(|column| !column.title.is_empty());
        let mut rows: Vec<Vec<(Tone, String)>> = Vec::with_capacity(self.rows.len() + 1);
        if heading {
            rows.push(self.columns.iter().map(|column| (Tone::Dim, column.title.clone())).collect());
        }
        rows.extend(self.rows.iter().cloned());
        for row in &mut rows {
            row.resize(self.columns.len(), (Tone::Text, String::new()));
            for (_, text) in row.iter_mut() {
                *text = escape::line(text.as_bytes(), face.unicode);
            }
        }
        let kept = self.kept(face, &rows);
        let widths: Vec<usize> = kept.iter().map(|&column| widest(&rows, column)).collect();
        let laid = self.lay_out(face, &rows, &kept, &widths);
        rows.iter()
            .zip(laid)
            .map(|(row, text)| tone_over(face, self.indent, row, &kept, &widths, &text))
            .collect()
    }

    /// The columns that have something in them and that there is room for.
    fn kept(&self, face: &Face, rows: &[Vec<(Tone, String)>]) -> Vec<usize> {
        // A title over nothing is not worth a column that may be left out.
        let says = |column: usize| match self.columns[column].keep {
            Keep::Always => widest(rows, column) > 0,
            Keep::IfRoom(_) => {
                self.rows.iter().any(|row| row.get(column).is_some_and(|(_, text)| !text.is_empty()))
            }
        };
        let mut kept: Vec<usize> = (0..self.columns.len()).filter(|&column| says(column)).collect();
        let Some(columns) = face.width else { return kept };
        loop {
            let (last, most) = kept.split_last().map_or((0, &[][..]), |(last, most)| (*last, most));
            let fixed: usize = most.iter().map(|&column| widest(rows, column) + GAP).sum();
            if self.indent + fixed + widest(rows, last).min(LAST_AT_LEAST) <= columns {
                return kept;
            }
            let weakest = kept
                .iter()
                .filter_map(|&column| match self.columns[column].keep {
                    Keep::Always => None,
                    Keep::IfRoom(order) => Some((order, column)),
                })
                .min();
            match weakest {
                Some((_, column)) => kept.retain(|kept| *kept != column),
                None => return kept,
            }
        }
    }

    fn lay_out(
        &self,
        face: &Face,
        rows: &[Vec<(Tone, String)>],
        kept: &[usize],
        widths: &[usize],
    ) -> Vec<String> {
        let mut layout = Layout::new();
        layout
            .load_style(comfy_table::presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_truncation_indicator(ellipsis(face));
        for row in rows {
            let mut cells = Row::from(kept.iter().map(|&column| row[column].1.as_str()).collect::<Vec<_>>());
            cells.max_height(1);
            layout.add_row(cells);
        }
        let room = face.width.map(|columns| {
            let fixed: usize = widths[..widths.len().saturating_sub(1)].iter().map(|width| width + GAP).sum();
            columns.saturating_sub(self.indent + fixed).max(4)
        });
        for (place, column) in layout.column_iter_mut().enumerate() {
            let last = place + 1 == kept.len();
            column.set_padding((0, if last { 0 } else { u16::try_from(GAP).expect("a gap is small") }));
            if self.columns[kept[place]].right {
                column.set_cell_alignment(CellAlignment::Right);
            }
            if let Some(room) = room.filter(|room| last && *room < widths[place]) {
                let room = u16::try_from(room).unwrap_or(u16::MAX);
                column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(room)));
            }
        }
        layout.lines().collect()
    }
}

fn widest(rows: &[Vec<(Tone, String)>], column: usize) -> usize {
    rows.iter().map(|row| measure_text_width(&row[column].1)).max().unwrap_or(0)
}

/// Gives each cell's tone to the columns of the laid-out line where it stands.
fn tone_over(
    face: &Face,
    indent: usize,
    row: &[(Tone, String)],
    kept: &[usize],
    widths: &[usize],
    text: &str,
) -> Line {
    let mut line = Line::of(face, &" ".repeat(indent));
    let mut rest = text;
    for (place, (&column, width)) in kept.iter().zip(widths).enumerate() {
        let last = place + 1 == kept.len();
        let cut = if last { rest.len() } else { columns_to_bytes(rest, width + GAP) };
        let (cell, after) = rest.split_at(cut);
        line.push(row[column].0, cell);
        rest = after;
    }
    line.fit(face)
}

fn columns_to_bytes(text: &str, columns: usize) -> usize {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += measure_text_width(c.encode_utf8(&mut [0; 4]));
        if used > columns {
            return at;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::super::ink::paint;
    use super::*;

    fn sample() -> Table {
        let mut table =
            Table::new(2).column("NODE").if_room("ROLE", 0).right("N").if_room("SINCE", 1).column("DETAIL");
        for (node, role, n, since, detail) in [
            ("mq-01", "broker", "3", "09:18", "gate 1m36 drain 1m12 upgrade 48s verify 36s"),
            ("gr\u{fc}n-\u{65e5}", "", "12", "", "x"),
        ] {
            table.row(vec![
                (Tone::Strong, node.into()),
                (Tone::Text, role.into()),
                (Tone::Text, n.into()),
                (Tone::Dim, since.into()),
                (Tone::Good, detail.into()),
            ]);
        }
        table
    }

    fn shown(width: Option<usize>) -> String {
        let face = Face { color: false, unicode: true, width };
        paint(&face, &sample().lines(&face))
    }

    #[test]
    fn columns_align_by_what_is_seen() {
        assert_eq!(
            shown(Some(100)),
            "  NODE     ROLE     N  SINCE  DETAIL\n\
             \x20 mq-01    broker   3  09:18  gate 1m36 drain 1m12 upgrade 48s verify 36s\n\
             \x20 gr\u{fc}n-\u{65e5}          12         x\n"
        );
        assert_eq!(shown(Some(100)), shown(None));
    }

    #[test]
    fn the_last_column_gives_way_then_others_are_left_out() {
        assert_eq!(
            shown(Some(40)),
            "  NODE     ROLE     N  SINCE  DETAIL\n\
             \x20 mq-01    broker   3  09:18  gate 1m36\u{2026}\n\
             \x20 gr\u{fc}n-\u{65e5}          12         x\n"
        );
        assert_eq!(
            shown(Some(30)),
            "  NODE      N  DETAIL\n\
             \x20 mq-01     3  gate 1m36 drai\u{2026}\n\
             \x20 gr\u{fc}n-\u{65e5}  12  x\n"
        );
    }

    #[test]
    fn nothing_is_wider_than_the_stream() {
        for width in 20..=120 {
            for line in shown(Some(width)).lines() {
                assert!(measure_text_width(line) <= width, "{width}: {line:?}");
            }
        }
    }

    #[test]
    fn tones_cover_their_cells_only() {
        let face = Face { color: true, unicode: true, width: Some(100) };
        let row = paint(&face, &sample().lines(&face)).lines().nth(1).unwrap().to_owned();
        assert_eq!(
            row,
            "  \x1b[1mmq-01\x1b[0m    broker   3  \x1b[2m09:18\x1b[0m  \
             \x1b[32mgate 1m36 drain 1m12 upgrade 48s verify 36s\x1b[0m"
        );
        let plain = Face { color: false, ..face };
        assert!(!paint(&plain, &sample().lines(&plain)).contains('\x1b'));
    }
}
