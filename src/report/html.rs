//! The report as one page: inline style and drawing, no script, no address, fit for A4 across.

use super::content::{self, Block, Item, Room, Section};
use super::markup::Markup;
use super::story::Story;
use super::{Facts, figure};

const STYLE: &str = include_str!("page.css");
/// What a browser may load for it: nothing.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// A larger page is refused by some ticket systems.
const MOST: usize = 300 << 10;

/// Builds the page, with as much as there is room for.
pub(super) fn page(facts: &Facts<'_>, story: &Story<'_>) -> String {
    let [most, less @ ..] = Room::ALL;
    let mut page = page_with(facts, story, most);
    for room in less {
        if page.len() >= MOST {
            page = page_with(facts, story, room);
        }
    }
    page
}

fn page_with(facts: &Facts<'_>, story: &Story<'_>, room: Room) -> String {
    let state = story.state;
    let mut out = Markup::new(facts.mask);
    out.tag(format_args!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n"
    ));
    let title = format!("Run {} of {}", state.run, state.plan.cluster);
    out.element("title", &title);
    out.tag(format_args!("\n<style>\n{STYLE}</style>\n</head>\n<body>\n<header>\n"));
    out.element("h1", &title);
    out.tag(format_args!("\n"));
    out.element("p class=\"result\"", &content::result(story));
    let head: Vec<_> =
        content::head(facts, story).into_iter().filter(|(name, _)| *name != "Result").collect();
    names_and_values(&mut out, &head);
    out.tag(format_args!("</header>\n<main>\n<figure>\n"));
    let drawing = figure::svg(story, facts.moment, facts.mask, false);
    // Made by the same means, and so masked and escaped already.
    out.tag(format_args!("{drawing}</figure>\n"));
    for section in content::sections(facts, story, room) {
        part(&mut out, &section);
    }
    out.tag(format_args!("</main>\n</body>\n</html>\n"));
    out.done()
}

fn part(out: &mut Markup<'_>, section: &Section) {
    // A box around nothing would cry wolf.
    let boxed = section.boxed && !matches!(section.blocks[..], [Block::Text(_)]);
    out.tag(format_args!("<section{}>\n", if boxed { " class=\"box\"" } else { "" }));
    out.element("h2", section.title);
    out.tag(format_args!("\n"));
    for block in &section.blocks {
        match block {
            Block::Facts(rows) => names_and_values(out, rows),
            Block::Table { caption, heads, rows } => table(out, caption, heads, rows),
            Block::Items(items) => list(out, items),
            Block::Text(text) => {
                out.element("p", text);
                out.tag(format_args!("\n"));
            }
            Block::Fold { name, text } => {
                out.tag(format_args!("<details>"));
                out.element("summary", name);
                pre(out, text);
                out.tag(format_args!("</details>\n"));
            }
        }
    }
    out.tag(format_args!("</section>\n"));
}

fn names_and_values(out: &mut Markup<'_>, rows: &[(&'static str, String)]) {
    out.tag(format_args!("<dl>\n"));
    for (name, value) in rows {
        out.element("dt", name);
        out.element("dd", value);
        out.tag(format_args!("\n"));
    }
    out.tag(format_args!("</dl>\n"));
}

fn table(out: &mut Markup<'_>, caption: &str, heads: &[(String, bool)], rows: &[Vec<String>]) {
    out.tag(format_args!("<table>\n"));
    out.element("caption", caption);
    out.tag(format_args!("\n<thead><tr>"));
    for (head, right) in heads {
        out.element(if *right { "th scope=\"col\" class=\"n\"" } else { "th scope=\"col\"" }, head);
    }
    out.tag(format_args!("</tr></thead>\n<tbody>\n"));
    for row in rows {
        out.tag(format_args!("<tr>"));
        for (place, (cell, (_, right))) in row.iter().zip(heads).enumerate() {
            let open = match (place, right) {
                (0, _) => "th scope=\"row\"",
                (_, true) => "td class=\"n\"",
                (_, false) => "td",
            };
            out.element(open, cell);
        }
        out.tag(format_args!("</tr>\n"));
    }
    out.tag(format_args!("</tbody>\n</table>\n"));
}

fn list(out: &mut Markup<'_>, items: &[Item]) {
    out.tag(format_args!("<ul class=\"items\">\n"));
    for item in items {
        out.tag(format_args!("<li>"));
        if let Some(number) = item.number {
            out.element("b class=\"m\"", &number.to_string());
        }
        out.element("span", &item.head);
        for sentence in &item.says {
            out.element("p", sentence);
        }
        for (name, lines) in &item.quotes {
            out.element("p class=\"q\"", name);
            pre(out, &lines.join("\n"));
        }
        out.tag(format_args!("</li>\n"));
    }
    out.tag(format_args!("</ul>\n"));
}

fn pre(out: &mut Markup<'_>, text: &str) {
    out.tag(format_args!("<pre>"));
    out.lines(text);
    out.tag(format_args!("</pre>"));
}
