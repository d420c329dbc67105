//! The few command lines that ever reach a node, each fixed word for word.
//!
//! Everything else travels on standard input, where no process list shows it. They are written so that
//! every login shell (bash, fish, csh) hands them on unchanged: one pair of single quotes, no `!`.

use crate::model::host::Become;

/// Reads a whole program, then runs it; what the program reads later is empty.
pub(super) const WHOLE: &str = r#"exec sh -c 'eval "$(cat)"'"#;

/// Reads a program up to a line with a single dot, then runs it; it reads on where the program ended.
pub(super) const LOADER: &str =
    r#"eval "$(while IFS= read -r l; do case $l in (.) break;; esac; printf "%s\n" "$l"; done)""#;

/// A shell with [`LOADER`], behind what gives it rights.
pub(super) fn fed(with: &str) -> String {
    format!("exec {with}sh -c '{LOADER}'")
}

/// Runs the program in the file `$0` with the terminal as its input. The file name is `mktemp`'s and
/// is checked by the caller to need no quoting. Where sudo `asks`, it does so at that terminal.
pub(super) fn from_file(become_with: Become, asks: bool, shell: &str, file: &str) -> String {
    let with = if asks { ASKING } else { with(become_with) };
    format!(r#"exec {with}{shell} -c 'eval "$(cat "$0"; rm -f "$0")"' {file}"#)
}

/// sudo that asks for a password at the terminal, and says whose.
const ASKING: &str = r#"sudo -k -p "[rollgate] sudo on %h asks for the password of %p: " -- "#;

/// What stands before a command to give it rights without a password.
pub(super) fn with(become_with: Become) -> &'static str {
    match become_with {
        Become::None => "",
        Become::Sudo => "sudo -n ",
        Become::Doas => "doas -n ",
    }
}
