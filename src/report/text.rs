//! The report as text, complete by itself: for tickets that take no attachment.

use super::content::{self, Block, Item, Room};
use super::story::Story;
use super::{Facts, Layout};

/// Builds the text.
pub(super) fn text(facts: &Facts<'_>, story: &Story<'_>, layout: &dyn Layout) -> String {
    let mut page = Page { facts, layout, lines: Vec::new() };
    let state = story.state;
    page.heading(&format!("Run {} of {}", state.run, state.plan.cluster));
    page.rows(&content::head(facts, story));
    for section in content::sections(facts, story, Room::ALL[0]) {
        page.heading(section.title);
        for block in &section.blocks {
            match block {
                Block::Facts(rows) => page.rows(rows),
                Block::Table { caption, heads, rows } => page.table(caption, heads, rows),
                Block::Items(items) => items.iter().for_each(|item| page.item(item)),
                Block::Text(text) => page.wrapped("  ", text),
                Block::Fold { .. } => {}
            }
        }
    }
    let mut text = page.lines.join("\n");
    text.push('\n');
    text
}

struct Page<'a> {
    facts: &'a Facts<'a>,
    layout: &'a dyn Layout,
    lines: Vec<String>,
}

impl Page<'_> {
    fn heading(&mut self, title: &str) {
        if !self.lines.is_empty() {
            self.lines.push(String::new());
        }
        self.wrapped("", &title.to_uppercase());
    }

    fn wrapped(&mut self, first: &str, text: &str) {
        self.lines.extend(self.layout.wrapped(first, &(self.facts.mask)(text)));
    }

    fn rows(&mut self, rows: &[(&'static str, String)]) {
        let widest = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in rows {
            self.wrapped(&format!("  {name:widest$}  "), value);
        }
    }

    fn table(&mut self, caption: &str, heads: &[(String, bool)], rows: &[Vec<String>]) {
        if self.lines.last().is_some_and(|line| line.starts_with(' ')) {
            self.lines.push(String::new());
        }
        self.wrapped("  ", &format!("{caption}:"));
        let masked: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|cell| (self.facts.mask)(cell)).collect()).collect();
        self.lines.extend(self.layout.table(heads, &masked));
    }

    fn item(&mut self, item: &Item) {
        let first = item.number.map_or_else(|| "  ".to_owned(), |number| format!("  ({number}) "));
        self.wrapped(&first, &item.head);
        let indent = " ".repeat(first.len());
        for sentence in &item.says {
            self.wrapped(&indent, sentence);
        }
        for (name, lines) in &item.quotes {
            self.wrapped(&indent, &format!("{name}:"));
            for line in lines {
                self.lines.push(self.layout.line(&format!("{indent}| {}", (self.facts.mask)(line))));
            }
        }
    }
}
