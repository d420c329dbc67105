//! The few command lines that ever reach a node, each fixed word for word.
//!
//! Everything else travels on standard input, where no process list shows it. They are written so that
//! every login shell (bash, fish, csh) hands them on unchanged: one pair of single quotes, no `!`.

use crate::model::host::Become;

/// Reads a whole program, then runs it; what the program reads later is empty.
pub(super) const WHOLE: &str = r#"exec sh -c 'eval "$(cat)"'"#;

/// Reads a program up to a line with a single dot, then runs it; it reads on where the program ended.
const FED: &str =
    r#"sh -c 'eval "$(while IFS= read -r l; do case $l in (.) break;; esac; printf "%s\n" "$l"; done)"'"#;

/// [`FED`] with rights.
pub(super) fn fed(become_with: Become) -> String {
    format!("exec {}{FED}", with(become_with))
}

/// Runs the program in the file `$0` with the terminal as its input. The file name is `mktemp`'s and
/// is checked by the caller to need no quoting.
pub(super) fn from_file(become_with: Become, shell: &str, file: &str) -> String {
    format!(r#"exec {}{shell} -c 'eval "$(cat "$0"; rm -f "$0")"' {file}"#, with(become_with))
}

/// What stands before a command to give it rights.
pub(super) fn with(become_with: Become) -> &'static str {
    match become_with {
        Become::None => "",
        Become::Sudo => "sudo -n ",
        Become::Doas => "doas -n ",
    }
}
