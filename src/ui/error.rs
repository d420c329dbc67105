//! The one printer of errors: what, where or evidence, help, and what to type next.

use super::escape;
use super::ink::{Line, Tone, wrap};
use super::next::{self, Next};
use super::terminal::Face;

/// An error as it is shown. Every part but the first may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// What is wrong, in one sentence.
    pub what: String,
    /// Where, or the evidence: lines as they are, cut and never wrapped.
    pub evidence: Vec<String>,
    /// What may help.
    pub help: Vec<String>,
    /// What led to it, from the outside in; shown on request.
    pub causes: Vec<String>,
    /// What to type.
    pub next: Vec<Next>,
    /// What all this means for the nodes: `nothing has been changed on any node (exit 13)`.
    pub standing: String,
}

impl Message {
    /// Lays it out.
    pub fn lines(&self, face: &Face) -> Vec<Line> {
        let label = |tone, text: &str| Line::new(face).tone(tone, text);
        let mut lines = Vec::new();
        for (place, part) in self.what.lines().enumerate() {
            let head = if place == 0 { label(Tone::Bad, "error: ") } else { label(Tone::Text, "       ") };
            lines.extend(wrap(face, head, Tone::Strong, part));
        }
        for text in &self.evidence {
            for line in text.lines() {
                lines.push(Line::of(face, "  ").text(&line.replace('\t', "    ")).fit(face));
            }
        }
        for cause in &self.causes {
            lines.extend(wrap(face, label(Tone::Dim, "  because: "), Tone::Text, cause));
        }
        for help in &self.help {
            for (place, part) in help.lines().enumerate() {
                let head = if place == 0 { "  = help: " } else { "          " };
                lines.extend(wrap(face, label(Tone::Dim, head), Tone::Text, part));
            }
        }
        if !self.standing.is_empty() {
            lines.extend(wrap(face, label(Tone::Text, "  "), Tone::Text, &self.standing));
        }
        lines.extend(next::lines(face, &self.next));
        lines
    }
}

/// Text of another module that is laid out already (mistakes in files with their source lines): escaped, its
/// first word coloured as errors are, its `next:` lines added.
pub fn rendered(face: &Face, text: &str, nexts: &[Next]) -> Vec<Line> {
    let mut lines: Vec<Line> = escape::text(text.as_bytes(), face.unicode)
        .lines()
        .flat_map(|line| match (line.strip_prefix("error: "), line.split_once("= help: ")) {
            (Some(rest), _) => wrap(face, Line::new(face).tone(Tone::Bad, "error: "), Tone::Strong, rest),
            (None, Some((indent, help))) => {
                wrap(face, Line::of(face, indent).text("= help: "), Tone::Text, help)
            }
            // Source lines and the marks below them stay in their columns.
            (None, None) => vec![Line::of(face, line).fit(face)],
        })
        .collect();
    lines.extend(next::lines(face, nexts));
    lines
}

#[cfg(test)]
mod tests {
    use super::super::ink::paint;
    use super::*;

    fn sample() -> Message {
        Message {
            what: "verify failed on mq-04: \"cluster sees 5 nodes\" answered 4, needs 5".into(),
            evidence: vec!["$ mqctl cluster-status --online | wc -l\n4".into()],
            help: vec!["look at the log of mq-04".into()],
            causes: vec!["the check gave up".into()],
            next: vec![Next::new(&["rollgate", "start", "--resume"], "verify mq-04 again")],
            standing: "mq-04 runs 3.13.7 and is out of service. (exit 21)".into(),
        }
    }

    #[test]
    fn an_error_says_what_where_why_and_what_next() {
        let face = Face { color: false, unicode: false, width: Some(100) };
        assert_eq!(
            paint(&face, &sample().lines(&face)),
            "error: verify failed on mq-04: \"cluster sees 5 nodes\" answered 4, needs 5\n\
             \x20 $ mqctl cluster-status --online | wc -l\n\
             \x20 4\n\
             \x20 because: the check gave up\n\
             \x20 = help: look at the log of mq-04\n\
             \x20 mq-04 runs 3.13.7 and is out of service. (exit 21)\n\
             next: rollgate start --resume  # verify mq-04 again\n"
        );
    }

    #[test]
    fn it_fits_and_is_harmless() {
        let mut message = sample();
        message.evidence.push("\x1b[31mred\r over".into());
        for width in [40, 80, 200] {
            let face = Face { color: false, unicode: true, width: Some(width) };
            for line in message.lines(&face) {
                assert!(line.width() <= width, "{width}: {line:?}");
                assert!(!line.plain().contains(['\x1b', '\r']));
            }
        }
    }

    #[test]
    fn laid_out_text_keeps_its_columns() {
        let face = Face { color: true, unicode: true, width: Some(80) };
        let text = "error: unknown key `hots`\n  --> a.yaml:3:5\n3 |     hots: x\x07\n";
        assert_eq!(
            paint(&face, &rendered(&face, text, &[])),
            "\x1b[31m\x1b[1merror:\x1b[0m \x1b[1munknown\x1b[0m \x1b[1mkey\x1b[0m \x1b[1m`hots`\x1b[0m\n  --> a.yaml:3:5\n3 |     hots: x\\x07\n"
        );
    }
}
