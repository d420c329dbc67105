//! The one way into HTML and SVG: whatever is not fixed markup is masked, made harmless and escaped, so that a
//! builder cannot forget it.

use std::fmt::{Arguments, Write as _};

use super::Mask;
use crate::model::escape;

/// A document under construction.
pub(super) struct Markup<'a> {
    out: String,
    mask: Mask<'a>,
}

impl<'a> Markup<'a> {
    pub(super) fn new(mask: Mask<'a>) -> Self {
        Self { out: String::new(), mask }
    }

    /// Text that is to be cut before it is added: of half a secret the mask would not know.
    pub(super) fn masked(&self, text: &str) -> String {
        (self.mask)(text)
    }

    /// Adds markup: literals of the program and numbers, nothing else.
    pub(super) fn tag(&mut self, markup: Arguments<'_>) {
        self.out.write_fmt(markup).expect("a String takes every write");
    }

    /// Adds text that stays on one line, in an element or in an attribute's quotes.
    pub(super) fn text(&mut self, text: &str) {
        let text = escape::line((self.mask)(text).as_bytes(), true);
        self.push(&text);
    }

    /// Adds text of several lines, for a `pre`.
    pub(super) fn lines(&mut self, text: &str) {
        let text = escape::text((self.mask)(text).as_bytes(), true);
        self.push(&text);
    }

    /// Adds an element that holds nothing but text. `open` is its name with its attributes.
    pub(super) fn element(&mut self, open: &'static str, text: &str) {
        let name = open.split(' ').next().unwrap_or(open);
        self.tag(format_args!("<{open}>"));
        self.text(text);
        self.tag(format_args!("</{name}>"));
    }

    fn push(&mut self, text: &str) {
        for (place, part) in text.split("://").enumerate() {
            if place > 0 {
                // Shown as it is, and yet no address to a mail program or a scanner: the file refers to nothing.
                self.out.push_str("&#58;//");
            }
            for c in part.chars() {
                match c {
                    '&' => self.out.push_str("&amp;"),
                    '<' => self.out.push_str("&lt;"),
                    '>' => self.out.push_str("&gt;"),
                    '"' => self.out.push_str("&quot;"),
                    '\'' => self.out.push_str("&#39;"),
                    c if c.is_ascii() => self.out.push(c),
                    // The file is ASCII: what shows it need not be told the code.
                    c => self.tag(format_args!("&#x{:x};", u32::from(c))),
                }
            }
        }
    }

    pub(super) fn done(self) -> String {
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(build: impl FnOnce(&mut Markup<'_>)) -> String {
        let mut markup = Markup::new(&|text| text.replace("hunter<22", "***"));
        build(&mut markup);
        markup.done()
    }

    #[test]
    fn nothing_gets_out_of_its_element() {
        for (text, expected) in [
            ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
            ("]]>&amp;\"'", "]]&gt;&amp;amp;&quot;&#39;"),
            ("a\x1b[2J\u{202e}b\nc", "a\\x1b[2J\\u{202e}b\\nc"),
            ("see http://x/", "see http&#58;//x/"),
            ("gr\u{fc}n", "gr&#xfc;n"),
        ] {
            assert_eq!(shown(|markup| markup.text(text)), expected);
        }
        assert_eq!(shown(|markup| markup.lines("a\n\x07<b>")), "a\n\\x07&lt;b&gt;");
        assert_eq!(shown(|markup| markup.element("td class=\"n\"", "<")), "<td class=\"n\">&lt;</td>");
    }

    #[test]
    fn a_secret_is_masked_before_it_is_escaped() {
        assert_eq!(shown(|markup| markup.text("is hunter<22")), "is ***");
        assert_eq!(shown(|markup| markup.lines("a\nhunter<22")), "a\n***");
    }
}
