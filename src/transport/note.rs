//! Sums of files on a node: read through now, or as the node noted them when it last did.
//!
//! A note lies beside its file and counts as long as nothing of the file has changed since: device, inode, size,
//! mtime, and ctime, which nobody can set back. It saves reading a file through to find that there is nothing to do;
//! whoever is about to *use* a file asks for [`Way::Hash`].

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::copy::TOOLS;
use super::error::TransportError;
use super::script::quote;
use super::session::NodeSession;
use super::sum::{FileSum, hex, sum_of};

/// Shell functions for notes. `rg_look FILE` sets `rg_seen`, and fails where times are too coarse to tell a change, or
/// there is no `stat` that knows them: then there are no notes.
pub(super) const NOTES: &str = r#"
rg_look() {
  rg_seen=$(TZ=UTC0 stat -c '%d %i %s %y|%z' "$1" 2>/dev/null) ||
    rg_seen=$(stat -f '%d %i %z %Fm|%Fc' "$1" 2>/dev/null) || return 1
  case ${rg_seen##*|} in (*.*[1-9]*) ;; (*) return 1 ;; esac
}
rg_note() {
  rm -f -- "$1" 2>/dev/null && ( umask 077; set -C; printf '%s\n%s\n' "$2" "$3" >"$1" ) 2>/dev/null || :
}
rg_note_moved() {
  [ -n "$note" ] && [ -n "$rg_seen" ] || return 0
  rg_before=${rg_seen%|*}
  if rg_look "$to" && [ "${rg_seen%|*}" = "$rg_before" ]; then rg_note "$note" "$rg_seen" "$want"; fi
}
rg_noted() {
  [ -f "$2" ] && [ ! -h "$2" ] && [ -O "$2" ] && rg_look "$1" || return 1
  { read -r rg_was && read -r rg_hex; } <"$2" 2>/dev/null && [ "$rg_was" = "$rg_seen" ] || return 1
  rg_was=${rg_was#* * }
  printf '%s %s\n' "${rg_was%% *}" "$rg_hex"
}
"#;

/// Prints the sums of files: `root keep` are set before, and `rg_each` is called for each file with its note, if any.
/// What is rollgate's own must be so all the way down; of others' files only the sum is asked.
const SUMS: &str = r#"
rg_fits() {
  [ -f "$1" ] && [ ! -h "$1" ] || return 1
  case $1 in ("$root"/*) [ -O "$1" ] && [ -O "$root" ] && ( rg_below "${1%/*}" ) ;; esac
}
rg_each() {
  if ! rg_fits "$1"; then printf '%s\n' -; return 0; fi
  if [ -n "$2" ] && rg_noted "$1" "$2"; then return 0; fi
  if [ -z "$keep" ] || [ -z "$2" ] || ! rg_look "$1"; then rg_seen=; fi
  rg_hex=$(rg_sum "$1") || exit 1
  printf '%s %s\n' "$(rg_size "$1")" "$rg_hex"
  if [ -n "$rg_seen" ]; then rg_note "$2" "$rg_seen" "$rg_hex"; fi
}
"#;

/// How a node comes to a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// It reads the file through, whatever was noted.
    Hash,
    /// It believes its note where the file is unchanged since, and reads through what has none.
    Recall,
    /// The same, and it notes what it had to read through.
    Note,
}

/// Where the note of a file lies.
pub(super) fn note_of(path: &str) -> String {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    format!("{directory}/.sum-{}", &hex(&Sha256::digest(name))[..32])
}

impl NodeSession {
    pub(super) async fn sums(
        &self,
        paths: &[String],
        way: Way,
        deadline: Duration,
    ) -> Result<Vec<Option<FileSum>>, TransportError> {
        for path in paths {
            self.absolute(path)?;
        }
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let note = |path: &str| match way {
            Way::Recall | Way::Note if self.is_own(path) => note_of(path),
            _ => String::new(),
        };
        let asked: String =
            paths.iter().map(|path| format!("rg_each {} {}\n", quote(path), quote(&note(path)))).collect();
        let root = quote(self.facts.root.trim_end_matches('/'));
        let keep = if way == Way::Note { "yes" } else { "" };
        let script = format!("{TOOLS}{NOTES}root={root}\nkeep={keep}\n{SUMS}{asked}");
        let reply = self.own(&script, deadline).await?;
        let text = self.succeeded(&reply, "asking for checksums")?;
        let sums: Vec<_> = text.lines().map(sum_of).collect();
        if sums.len() != paths.len() {
            return Err(self.copy_failed("asking for checksums: the node answered something else"));
        }
        Ok(sums)
    }
}
