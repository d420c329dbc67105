//! Asks the operator for what a login wants: a password, a passphrase, a code.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use super::escape;
use super::ink::{Line, Tone, paint, wrap};
use super::prompt::{Called, Hidden, hidden};
use super::terminal::Face;

/// For so long a question stands; no usual sshd waits longer for a login.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// The password of the nodes.
    Password,
    /// A password of one node, which did not accept the others'.
    OwnPassword,
    /// A password of a host on the way.
    OtherPassword,
    /// The passphrase of a key.
    Passphrase,
    /// Something that is good for once.
    Code,
}

/// A question of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked<'a> {
    /// The node.
    pub node: &'a str,
    /// ssh's own words, or the node's.
    pub said: &'a str,
    /// What is asked for.
    pub sort: Sort,
    /// Whether what was typed before was wrong.
    pub again: bool,
}

/// Puts the question and waits for its line.
pub fn ask(terminal: impl AsFd, face: &Face, asked: &Asked<'_>, called: &Called) -> io::Result<Hidden> {
    hidden(terminal, &question(face, asked), called, PATIENCE)
}

/// The question as it is shown. Every word that may be a server's is escaped, and stands behind the node's name.
pub fn question(face: &Face, asked: &Asked<'_>) -> String {
    let sense = match asked.sort {
        Sort::Password => "asks for a password; the other nodes that ask get the same",
        Sort::OwnPassword => "does not take the others' password; what you type is for it alone",
        Sort::OtherPassword => "is behind a host that asks for a password of its own",
        Sort::Passphrase => "wants a key that has a passphrase; it is asked once for all nodes",
        Sort::Code => "asks",
    };
    let wrong = asked.again.then(|| Line::new(face).tone(Tone::Dim, "That was not right."));
    let sense = wrap(face, Line::new(face).tone(Tone::Strong, asked.node).text(" "), Tone::Text, sense);
    let lines: Vec<Line> = wrong.into_iter().chain(sense).collect();
    let said = escape::line(asked.said.trim().as_bytes(), face.unicode);
    let said = said.trim_end_matches(':');
    format!("{}{said} (Enter alone: none): ", paint(face, &lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_says_who_asks_and_shows_no_control_character() {
        let asked = Asked {
            node: "n1",
            said: "(ops@n1) \x1b]0;x\x07Verification code: ",
            sort: Sort::Code,
            again: false,
        };
        let text = question(&Face::PLAIN, &asked);
        assert!(text.starts_with("n1 asks\n(ops@n1) "), "{text}");
        assert!(text.ends_with("Verification code (Enter alone: none): "), "{text}");
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    }

    #[test]
    fn what_was_wrong_is_said() {
        let asked = Asked { node: "n2", said: "ops@n2's password: ", sort: Sort::OwnPassword, again: true };
        assert_eq!(
            question(&Face::PLAIN, &asked),
            "That was not right.\nn2 does not take the others' password; what you type is for it alone\n\
             ops@n2's password (Enter alone: none): "
        );
    }
}
