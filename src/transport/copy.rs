//! Copies files to a node, whole or not at all, and proves with sha256 that they arrived.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::converse::{self, Call, Ended, Feed, Heard, converse};
use super::error::TransportError;
use super::frame::{Mark, Nonce};
use super::job::{Captured, ProbeEnd, ProbeReply, Stream};
use super::note::{NOTES, note_of};
use super::rights::Rights;
use super::script::{Body, Input, quote, sent};
use super::session::NodeSession;
use super::sum::{FileSum, hex};
use crate::model::duration;
use crate::model::host::{Become, Shell};

/// A file to copy to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The file here.
    pub from: PathBuf,
    /// Its size and content, from [`super::hash_file`]: hashed once for any number of nodes.
    pub sum: FileSum,
    /// Where it goes on the node, absolute. Directories are made below [`super::Facts::root`] only.
    pub to: String,
    /// Its permission bits there.
    pub mode: u32,
    /// How the right to write there is gained.
    pub become_with: Become,
    /// Whether the node notes its sum, for [`super::Reader::recall`]. Only below [`super::Facts::root`].
    pub noted: bool,
}

/// A copy that came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// What is there now.
    pub sum: FileSum,
    /// How many bytes travelled; fewer than its size when a part was continued.
    pub sent: u64,
    /// Whether the same file was there already.
    pub unchanged: bool,
}

/// Shell functions for what copies have in common. `openssl` is several times as fast as coreutils; a tool that is there
/// and broken is none.
pub(super) const TOOLS: &str = r#"
rg_fail() { printf '%s\n' "$1" >&2; exit 1; }
rg_size() { printf '%s\n' "$(($(wc -c <"$1")))"; }
rg_sum() {
  [ -r "$1" ] || rg_fail "$1 cannot be read"
  for rg_with in 'openssl dgst -sha256 -r' sha256sum 'shasum -a 256' 'busybox sha256sum'; do
    rg_hex=$($rg_with <"$1" 2>/dev/null) || continue
    rg_hex=${rg_hex%% *}
    case ${#rg_hex}:$rg_hex in
      (64:*[!0-9a-f]*) ;;
      (64:*) printf '%s\n' "$rg_hex"; return 0 ;;
    esac
  done
  rg_fail 'there is no openssl, sha256sum, shasum or busybox on the node to verify a copy with'
}
rg_flush() { sync "$1" 2>/dev/null || sync; }
rg_root() {
  [ ! -h "$root" ] || rg_fail "$root is a link; rollgate's own directory must be none"
  ( umask 077; mkdir -p -- "$root" )
  [ -O "$root" ] || rg_fail "$root belongs to another user"
}
rg_below() {
  rg_at=$root
  rg_rest=${1#"$root"}
  while :; do
    rg_rest=${rg_rest#/}
    [ -n "$rg_rest" ] || return 0
    rg_at=$rg_at/${rg_rest%%/*}
    case $rg_rest in (*/*) rg_rest=${rg_rest#*/} ;; (*) rg_rest= ;; esac
    [ ! -h "$rg_at" ] || rg_fail "$rg_at is a link; rollgate's own directories hold none"
    [ -e "$rg_at" ] || return 0
    [ -d "$rg_at" ] || rg_fail "$rg_at is no directory"
    [ -O "$rg_at" ] || rg_fail "$rg_at belongs to another user"
    case $(ls -ldn -- "$rg_at") in
      (?????w* | ????????w*) rg_fail "others can write to $rg_at, and exchange what is staged" ;;
    esac
  done
}
"#;

/// Ends whoever still writes into a part and is heard by nobody any more: a receiver whose connection broke, for what was
/// on its way then may arrive yet and would stand there twice; or an earlier job that fetches, with all of its session.
/// Where there is no `/proc`, the sum at the end tells.
pub(super) const OUST: &str = r#"
rg_began() {
  { read -r rg_stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  rg_stat=${rg_stat##*) }
  [ "${rg_stat%% *}" != Z ] || return 1
  rg_began=$(set -f; set -- $rg_stat; printf %s "${20}")
}
rg_oust() {
  rg_boot=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null) || return 0
  [ -f "$by" ] && [ ! -h "$by" ] && [ -O "$by" ] && read -r rg_pid rg_when rg_which <"$by" || return 0
  case $rg_pid in ('' | 0 | 1 | *[!0-9]*) return 0 ;; esac
  [ "$rg_which" = "$rg_boot" ] || return 0
  rg_tries=0
  while rg_began "$rg_pid" && [ "$rg_began" = "$rg_when" ] && [ "$rg_tries" -lt 20 ]; do
    kill -KILL "-$rg_pid" 2>/dev/null || kill -KILL "$rg_pid" 2>/dev/null || return 0
    rg_tries=$((rg_tries + 1))
    sleep 0.1 2>/dev/null || sleep 1
  done
}
rg_receive() {
  rm -f -- "$by"
  rg_code=0
  sh -c '
    if [ -n "$3" ] && read -r stat <"/proc/$$/stat"; then
      began=$(set -f; set -- ${stat##*) }; printf %s "${20}")
      ( set -C; printf "%s %s %s
" "$$" "$began" "$3" >"$2" ) 2>/dev/null
    fi
    exec cat >>"$1"
  ' sh "$part" "$by" "${rg_boot-}" || rg_code=$?
  # Who was ousted leaves the file to the one who came after.
  [ "$rg_code" != 0 ] || rm -f -- "$by"
  return "$rg_code"
}
"#;

/// Receives a file: `to part by want size mode root own note` are set before.
const RECEIVE: &str = r#"
umask 077
rg_sum /dev/null >/dev/null || exit 1
dir=${to%/*}
[ -n "$dir" ] || dir=/
if [ -n "$own" ]; then rg_root; rg_below "$dir"; mkdir -p -- "$dir"; fi
[ -d "$dir" ] || rg_fail "there is no directory $dir"
[ ! -d "$to" ] || rg_fail "$to is a directory"
rg_look "$to" || rg_seen=
if [ -f "$to" ] && [ ! -h "$to" ] && [ "$(rg_size "$to")" = "$size" ] && [ "$(rg_sum "$to")" = "$want" ]; then
  chmod "$mode" "$to"
  rg_note_moved
  printf 'unchanged\n'
  exit 0
fi
rg_oust
at=0
if [ -f "$part" ] && [ ! -h "$part" ] && [ -O "$part" ] && [ "$(rg_size "$part")" -le "$size" ]; then
  at=$(rg_size "$part")
else
  rm -f -- "$part"
  ( set -C; : >"$part" ) || rg_fail "$part cannot be made"
fi
free=$(df -Pk "$dir" 2>/dev/null | { read -r _; read -r _ _ _ free _; printf %s "$free"; }) || free=
case $free in
  ('' | *[!0-9]*) ;;
  (*)
    needed=$(((size - at + 1023) / 1024))
    [ "$needed" -le "$free" ] || rg_fail "there is no room: $dir has $free KiB free, and $needed KiB are to come"
    ;;
esac
printf "$offset" "$at"
rg_receive || rg_fail "$part cannot be written"
now=$(rg_size "$part")
[ "$now" = "$size" ] || rg_fail "$now of $size bytes have arrived; they are kept, and the copy goes on from there"
rg_look "$part" || rg_seen=
if [ "$(rg_sum "$part")" != "$want" ]; then
  rm -f -- "$part"
  printf 'damaged\n'
  exit 0
fi
chmod "$mode" "$part"
rg_flush "$part"
mv -f -- "$part" "$to"
rg_note_moved
rg_flush "$dir"
printf 'copied\n'
"#;

/// Removes a directory below `root`, and ends whoever still writes there: `path root trash` are set before.
const REMOVE: &str = r#"
[ ! -h "$root" ] || rg_fail "$root is a link; rollgate's own directory must be none"
if [ -e "$path" ] || [ -h "$path" ]; then
  real=$(cd -P -- "$root" && pwd -P)
  dir=$(cd -P -- "${path%/*}" && pwd -P)
  case $dir/ in ("$real"/*) ;; (*) rg_fail "$path is not below $root: a link leads out of it" ;; esac
  for by in "$path"/.by-*; do rg_oust; done
  mv -- "$path" "$trash"
fi
rm -rf -- "$trash"
"#;

/// The part in which a file with this sum grows beside its place, and the note of who is at work on that.
pub(super) fn beside(to: &str, sha256: &str) -> (String, String) {
    let (directory, _) = to.rsplit_once('/').unwrap_or(("", ""));
    let name = hex(&Sha256::digest(format!("{to}\n{sha256}")));
    (format!("{directory}/.part-{}", &name[..32]), format!("{directory}/.by-{}", &name[..32]))
}

/// Why an attempt to send came to nothing.
enum Sent {
    Done(Copied),
    /// All bytes were there and were not the right ones; the part was removed.
    Damaged {
        continued: bool,
    },
}

impl NodeSession {
    pub(super) fn copy_failed(&self, what: impl Into<String>) -> TransportError {
        TransportError::Copy { node: self.name.clone(), what: what.into() }
    }

    /// A path that can stand in a program fed line by line, and means one file only.
    pub(super) fn absolute(&self, path: &str) -> Result<(), TransportError> {
        let shown = path.escape_debug();
        if !path.starts_with('/') {
            return Err(self.refused(format!("`{shown}` is not an absolute path on the node")));
        }
        if path.chars().any(char::is_control) {
            return Err(self.refused(format!("the path `{shown}` contains control characters")));
        }
        Ok(())
    }

    /// Whether a path lies strictly below the own directory, by its words.
    pub(super) fn is_own(&self, path: &str) -> bool {
        let rest = path.strip_prefix(self.facts.root.trim_end_matches('/'));
        let rest = rest.and_then(|rest| rest.strip_prefix('/'));
        rest.is_some_and(|rest| rest.split('/').all(|word| !matches!(word, "" | "." | "..")))
    }

    pub(super) async fn send(
        &self,
        upload: &Upload,
        progress: &(dyn Fn(u64) + Sync),
        deadline: Duration,
    ) -> Result<Copied, TransportError> {
        self.unless_refused(upload.become_with)?;
        self.absolute(&upload.to)?;
        if upload.to.ends_with('/') {
            return Err(self.refused(format!("`{}` names a directory, not a file", upload.to)));
        }
        let damaged = || {
            let from = upload.from.display();
            self.copy_failed(format!(
                "{} is not what was sent: sha256 differs; has {from} changed since it was hashed?",
                upload.to
            ))
        };
        match self.send_once(upload, progress, deadline).await? {
            Sent::Done(copied) => Ok(copied),
            Sent::Damaged { continued: false } => Err(damaged()),
            // The part of an earlier try was bad, so that this file may still be good.
            Sent::Damaged { continued: true } => match self.send_once(upload, progress, deadline).await? {
                Sent::Done(copied) => Ok(copied),
                Sent::Damaged { .. } => Err(damaged()),
            },
        }
    }

    async fn send_once(
        &self,
        upload: &Upload,
        progress: &(dyn Fn(u64) + Sync),
        deadline: Duration,
    ) -> Result<Sent, TransportError> {
        let file = tokio::fs::File::open(&upload.from).await.map_err(|source| TransportError::Here {
            what: format!("reading {}", upload.from.display()),
            source,
        })?;
        let nonce = Nonce::draw().map_err(|error| self.snag(error.into()))?;
        let (line, program) = self.receiver(upload, &nonce);
        let call = Call {
            line: &line,
            program: sent(program),
            nonce: &nonce,
            last: 0,
            feed: Some(Feed { file, progress }),
            deadline,
            pulse: None,
        };
        let (mut at, mut exit, mut group) = (None, None, None);
        let mut said = [Captured::default(), Captured::default()];
        let mut on = |heard: Heard<'_>| match heard {
            Heard::Output { stream, bytes } => said[usize::from(stream == Stream::Err)].take(bytes),
            Heard::Mark { mark: Mark::Offset { at: offset }, .. } => at = Some(offset),
            Heard::Mark { mark: Mark::End { code, .. }, .. } => exit = Some(code),
            Heard::Mark { mark: Mark::Begin { group: begun, .. }, .. } => group = Some(begun),
            Heard::Mark { .. } => {}
        };
        let ended = converse(&*self.link, call, &mut on).await.map_err(|broken| self.snag(broken.into()))?;
        let [out, err] = said.map(|captured| captured.text().trim().to_owned());
        match ended {
            Ended::Whole if exit == Some(0) => {}
            Ended::Whole => {
                let denied = self.denied(upload.become_with, &err);
                let failed = || self.copy_failed(format!("copying to {}: {err}", upload.to));
                return Err(denied.unwrap_or_else(failed));
            }
            Ended::Late { hold, .. } => {
                if let Some(group) = group {
                    converse::stop_group(&*self.link, group, upload.become_with, self.password()).await;
                }
                drop(hold);
                let what = format!(
                    "copying to {} was not done in {}; what has arrived is kept, and the copy goes on from \
                     there",
                    upload.to,
                    duration::written(deadline)
                );
                return Err(self.copy_failed(what));
            }
            Ended::Died { noise } if group.is_none() => return Err(self.no_shell(&noise)),
            Ended::Died { .. } => return Err(self.copy_failed("the shell that received the file was killed")),
        }
        // What stands before the last line is sudo's, which may have something to say of the password.
        let word = out.lines().last().unwrap_or_default();
        if word == "damaged" {
            return Ok(Sent::Damaged { continued: at.is_some_and(|at| at > 0) });
        }
        Ok(Sent::Done(Copied {
            sum: upload.sum.clone(),
            sent: at.map_or(0, |at| upload.sum.size.saturating_sub(at)),
            unchanged: word == "unchanged",
        }))
    }

    /// The command line that receives one file, and the program for it.
    fn receiver(&self, upload: &Upload, nonce: &Nonce) -> (String, Zeroizing<String>) {
        let prefix = nonce.prefix();
        let (part, by) = beside(&upload.to, &upload.sum.sha256);
        let own = if self.is_own(&upload.to) { "yes" } else { "" };
        let words = [
            ("to", upload.to.clone()),
            ("part", part),
            ("by", by),
            ("want", upload.sum.sha256.clone()),
            ("size", upload.sum.size.to_string()),
            ("mode", format!("{:04o}", upload.mode & 0o7777)),
            ("root", self.facts.root.clone()),
            ("own", own.to_owned()),
            (
                "note",
                if upload.noted && self.is_own(&upload.to) { note_of(&upload.to) } else { String::new() },
            ),
            ("offset", format!("{prefix}O 0 %s\\n")),
        ];
        let set = words.map(|(name, value)| format!("{name}={}\n", quote(&value))).concat();
        let begin = format!("printf '{prefix}B 0 %s\\n' $$; printf '{prefix}B 0 %s\\n' $$ >&2\n");
        let core = format!("( set -eu\n{set}{TOOLS}{NOTES}{OUST}{RECEIVE})\n");
        let end = format!("printf '{prefix}E 0 %s\\n' $rg_end; printf '{prefix}E 0 %s\\n' $rg_end >&2\n");
        Rights::of(upload.become_with, self.password()).fed(&begin, &core, &end)
    }

    pub(super) async fn clear(&self, path: &str, deadline: Duration) -> Result<(), TransportError> {
        self.absolute(path)?;
        if !self.is_own(path) {
            return Err(self
                .refused(format!("`{path}` is not below {}, and nothing else is removed", self.facts.root)));
        }
        let nonce = Nonce::draw().map_err(|error| self.snag(error.into()))?;
        let root = &self.facts.root;
        let trash = format!("{root}/.trash-{}", nonce.hex());
        let script = format!(
            "path={}\nroot={}\ntrash={}\n{TOOLS}{OUST}{REMOVE}",
            quote(path),
            quote(root),
            quote(&trash)
        );
        let reply = self.own(&script, deadline).await?;
        self.succeeded(&reply, &format!("removing {path}")).map(drop)
    }

    /// A script of rollgate's own, with the node's rights.
    pub(super) fn own_body<'a>(
        &self,
        script: &'a str,
        env: &'a BTreeMap<String, String>,
        secrets: &'a BTreeMap<String, super::Secret>,
    ) -> Body<'a> {
        let become_with = self.become_with;
        Body { script, shell: Shell::Sh, env, secrets, stdin: Input::Nothing, cwd: None, become_with }
    }

    pub(super) async fn own(&self, script: &str, deadline: Duration) -> Result<ProbeReply, TransportError> {
        let (env, secrets) = (BTreeMap::new(), BTreeMap::new());
        let asked = self.ask(&[self.own_body(script, &env, &secrets)], false, deadline).await?;
        asked.replies.into_iter().next().ok_or_else(|| self.no_shell(&asked.noise))
    }

    pub(super) fn succeeded(&self, reply: &ProbeReply, what: &str) -> Result<String, TransportError> {
        match &reply.end {
            ProbeEnd::Exited { code: 0 } => Ok(reply.stdout.text()),
            ProbeEnd::TimedOut => Err(self.copy_failed(format!("{what}: no answer in time"))),
            _ => Err(self.copy_failed(format!("{what}: {}", reply.stderr.text().trim()))),
        }
    }
}
