//! Copies files to and from a node, whole or not at all, and proves with sha256 that they arrived.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::converse::{self, Call, Ended, Feed, Heard, converse};
use super::error::TransportError;
use super::frame::{Mark, Nonce};
use super::job::{Captured, ProbeEnd, ProbeReply, Stream};
use super::line;
use super::script::{self, Body, Input, quote};
use super::session::NodeSession;
use crate::model::duration;
use crate::model::host::{Become, Shell};

/// A file's size and content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSum {
    /// Bytes.
    pub size: u64,
    /// sha256 in lower-case hexadecimal.
    pub sha256: String,
}

/// A file to copy to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The file here.
    pub from: PathBuf,
    /// Its size and content, from [`hash_file`]: hashed once for any number of nodes.
    pub sum: FileSum,
    /// Where it goes on the node, absolute. Directories are made below [`super::Facts::root`] only.
    pub to: String,
    /// Its permission bits there.
    pub mode: u32,
    /// How the right to write there is gained.
    pub become_with: Become,
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

/// Reads a file through for its size and sha256.
pub async fn hash_file(path: &Path) -> io::Result<FileSum> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || {
        let mut file = File::open(path)?;
        let mut running = Running::default();
        let mut chunk = vec![0_u8; 1 << 18];
        loop {
            let read = file.read(&mut chunk)?;
            if read == 0 {
                return Ok(running.sum());
            }
            running.take(&chunk[..read]);
        }
    })
    .await
    .map_err(io::Error::other)?
}

/// The size and sha256 of bytes.
pub fn hash_bytes(bytes: &[u8]) -> FileSum {
    let mut running = Running::default();
    running.take(bytes);
    running.sum()
}

/// A sum while its bytes go by.
#[derive(Default)]
struct Running {
    size: u64,
    hasher: Sha256,
}

impl Running {
    fn take(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.hasher.update(bytes);
    }

    fn sum(self) -> FileSum {
        FileSum { size: self.size, sha256: hex(&self.hasher.finalize()) }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Shell functions for what copies have in common. `openssl` is several times as fast as coreutils.
const TOOLS: &str = r#"
rg_fail() { printf '%s\n' "$1" >&2; exit 1; }
rg_size() { printf '%s\n' "$(($(wc -c <"$1")))"; }
if command -v openssl >/dev/null 2>&1; then rg_with='openssl dgst -sha256 -r'
elif command -v sha256sum >/dev/null 2>&1; then rg_with=sha256sum
elif command -v shasum >/dev/null 2>&1; then rg_with='shasum -a 256'
else rg_fail 'there is no openssl, sha256sum or shasum on the node to verify a copy with'
fi
rg_sum() { $rg_with <"$1" | cut -d ' ' -f 1; }
rg_flush() { sync "$1" 2>/dev/null || sync; }
rg_root() {
  [ ! -h "$root" ] || rg_fail "$root is a link; rollgate's own directory must be none"
  ( umask 077; mkdir -p -- "$root" )
  [ -O "$root" ] || rg_fail "$root belongs to another user"
}
"#;

/// Receives a file: `to part want size mode root own` are set before.
const RECEIVE: &str = r#"
umask 077
dir=${to%/*}
[ -n "$dir" ] || dir=/
if [ -n "$own" ]; then rg_root; mkdir -p -- "$dir"; fi
[ -d "$dir" ] || rg_fail "there is no directory $dir"
[ ! -d "$to" ] || rg_fail "$to is a directory"
if [ -f "$to" ] && [ ! -h "$to" ] && [ "$(rg_size "$to")" = "$size" ] && [ "$(rg_sum "$to")" = "$want" ]; then
  chmod "$mode" "$to"
  printf 'unchanged\n'
  exit 0
fi
at=0
if [ -f "$part" ] && [ ! -h "$part" ] && [ -O "$part" ] && [ "$(rg_size "$part")" -le "$size" ]; then
  at=$(rg_size "$part")
else
  rm -f -- "$part"
  ( set -C; : >"$part" ) || rg_fail "$part cannot be made"
fi
printf "$offset" "$at"
cat >>"$part" || rg_fail "$part cannot be written"
now=$(rg_size "$part")
[ "$now" = "$size" ] || rg_fail "$now of $size bytes have arrived; they are kept, and the copy goes on from there"
if [ "$(rg_sum "$part")" != "$want" ]; then
  rm -f -- "$part"
  printf 'damaged\n'
  exit 0
fi
chmod "$mode" "$part"
rg_flush "$part"
mv -f -- "$part" "$to"
rg_flush "$dir"
printf 'copied\n'
"#;

/// Sends a file on its standard output and its sum on the other: `from` is set before.
const SEND: &str = r#"
[ -f "$from" ] || rg_fail "there is no file $from"
cat <"$from"
rg_sum "$from" >&2
"#;

/// Removes a directory below `root`: `path root trash` are set before.
const REMOVE: &str = r#"
[ ! -h "$root" ] || rg_fail "$root is a link; rollgate's own directory must be none"
if [ -e "$path" ] || [ -h "$path" ]; then
  real=$(cd -P -- "$root" && pwd -P)
  dir=$(cd -P -- "${path%/*}" && pwd -P)
  case $dir/ in ("$real"/*) ;; (*) rg_fail "$path is not below $root: a link leads out of it" ;; esac
  mv -- "$path" "$trash"
fi
rm -rf -- "$trash"
"#;

/// Why an attempt to send came to nothing.
enum Sent {
    Done(Copied),
    /// All bytes were there and were not the right ones; the part was removed.
    Damaged {
        continued: bool,
    },
}

impl NodeSession {
    fn copy_failed(&self, what: impl Into<String>) -> TransportError {
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
    fn is_own(&self, path: &str) -> bool {
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
        let program = self.receiver(upload, &nonce);
        let line = line::fed(upload.become_with);
        let call = Call {
            line: &line,
            program,
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
            Ended::Whole => return Err(self.copy_failed(format!("copying to {}: {err}", upload.to))),
            Ended::Late { hold, .. } => {
                if let Some(group) = group {
                    converse::stop_group(&*self.link, group, upload.become_with).await;
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
        if out == "damaged" {
            return Ok(Sent::Damaged { continued: at.is_some_and(|at| at > 0) });
        }
        Ok(Sent::Done(Copied {
            sum: upload.sum.clone(),
            sent: at.map_or(0, |at| upload.sum.size.saturating_sub(at)),
            unchanged: out == "unchanged",
        }))
    }

    /// The program that receives one file, ended by the line that its loader waits for.
    fn receiver(&self, upload: &Upload, nonce: &Nonce) -> Vec<u8> {
        let prefix = nonce.prefix();
        let (directory, _) = upload.to.rsplit_once('/').unwrap_or(("", ""));
        let name = hex(&Sha256::digest(format!("{}\n{}", upload.to, upload.sum.sha256)));
        let part = format!("{directory}/.part-{}", &name[..32]);
        let own = if self.is_own(&upload.to) { "yes" } else { "" };
        let words = [
            ("to", upload.to.clone()),
            ("part", part),
            ("want", upload.sum.sha256.clone()),
            ("size", upload.sum.size.to_string()),
            ("mode", format!("{:04o}", upload.mode & 0o7777)),
            ("root", self.facts.root.clone()),
            ("own", own.to_owned()),
            ("offset", format!("{prefix}O 0 %s\\n")),
        ];
        let set = words.map(|(name, value)| format!("{name}={}\n", quote(&value))).concat();
        format!(
            "{{
printf '{prefix}B 0 %s\\n' $$; printf '{prefix}B 0 %s\\n' $$ >&2
( set -eu
{set}{TOOLS}{RECEIVE})
rg_end=$?; printf '{prefix}E 0 %s\\n' $rg_end; printf '{prefix}E 0 %s\\n' $rg_end >&2
}}
.
"
        )
        .into_bytes()
    }

    pub(super) async fn fetch(
        &self,
        from: &str,
        to: &Path,
        deadline: Duration,
    ) -> Result<Copied, TransportError> {
        self.absolute(from)?;
        let here = |what: &str, path: &Path, source| TransportError::Here {
            what: format!("{what} {}", path.display()),
            source,
        };
        if to.symlink_metadata().is_ok() {
            return Err(here("writing", to, io::ErrorKind::AlreadyExists.into()));
        }
        let nonce = Nonce::draw().map_err(|error| self.snag(error.into()))?;
        let part = to.with_file_name(format!(".part-{}", nonce.hex()));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part);
        let file = file.map_err(|source| here("making", &part, source))?;
        // Removed on every way out, a dropped future included.
        let removed = RemoveOnDrop(&part);
        let sum = self.fetch_into(file, &part, from, &nonce, deadline).await?;
        // Fails where something stands, as a rename would not.
        std::fs::hard_link(&part, to).map_err(|source| here("writing", to, source))?;
        drop(removed);
        Ok(Copied { sent: sum.size, sum, unchanged: false })
    }

    async fn fetch_into(
        &self,
        mut file: File,
        part: &Path,
        from: &str,
        nonce: &Nonce,
        deadline: Duration,
    ) -> Result<FileSum, TransportError> {
        let script = format!("from={}\n{TOOLS}{SEND}", quote(from));
        let (env, secrets) = (BTreeMap::new(), BTreeMap::new());
        let body = self.own_body(&script, &env, &secrets);
        let program = script::program_of(&[body], nonce, self.home.as_deref(), false)
            .map_err(|unfit| self.snag(unfit.into()))?;
        let call = Call { line: line::WHOLE, program, nonce, last: 0, feed: None, deadline, pulse: None };
        let (mut running, mut written, mut said, mut exit) =
            (Running::default(), Ok(()), Captured::default(), None);
        let mut on = |heard: Heard<'_>| match heard {
            Heard::Output { stream: Stream::Out, bytes } if written.is_ok() => {
                running.take(bytes);
                written = file.write_all(bytes);
            }
            Heard::Output { stream: Stream::Err, bytes } => said.take(bytes),
            Heard::Mark { mark: Mark::End { code, .. }, .. } => exit = Some(code),
            _ => {}
        };
        let ended = converse(&*self.link, call, &mut on).await.map_err(|broken| self.snag(broken.into()))?;
        let what = |what: &str| self.copy_failed(format!("copying {from}: {what}"));
        match ended {
            Ended::Whole if exit == Some(0) => {}
            Ended::Whole => return Err(what(said.text().trim())),
            Ended::Late { .. } => return Err(what(&format!("not done in {}", duration::written(deadline)))),
            Ended::Died { .. } => return Err(what("the shell that sent the file was killed")),
        }
        let flushed = written.and_then(|()| file.sync_all());
        flushed
            .map_err(|source| TransportError::Here { what: format!("writing {}", part.display()), source })?;
        let sum = running.sum();
        let text = said.text();
        if text.lines().last() != Some(sum.sha256.as_str()) {
            return Err(what("it changed while it was read: sha256 differs"));
        }
        Ok(sum)
    }

    pub(super) async fn hash(
        &self,
        paths: &[String],
        deadline: Duration,
    ) -> Result<Vec<Option<FileSum>>, TransportError> {
        for path in paths {
            self.absolute(path)?;
        }
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let words: Vec<String> = paths.iter().map(|path| quote(path)).collect();
        let script = format!(
            "{TOOLS}
for path in {}; do
  if [ -f \"$path\" ] && [ ! -h \"$path\" ]; then printf '%s %s\\n' \"$(rg_size \"$path\")\" \"$(rg_sum \"$path\")\"
  else printf '%s\\n' -; fi
done",
            words.join(" ")
        );
        let reply = self.own(&script, deadline).await?;
        let text = self.succeeded(&reply, "asking for checksums")?;
        let sums: Vec<_> = text.lines().map(sum_of).collect();
        if sums.len() != paths.len() {
            return Err(self.copy_failed("asking for checksums: the node answered something else"));
        }
        Ok(sums)
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
        let script =
            format!("path={}\nroot={}\ntrash={}\n{TOOLS}{REMOVE}", quote(path), quote(root), quote(&trash));
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

    async fn own(&self, script: &str, deadline: Duration) -> Result<ProbeReply, TransportError> {
        let (env, secrets) = (BTreeMap::new(), BTreeMap::new());
        let asked = self.ask(&[self.own_body(script, &env, &secrets)], false, deadline).await?;
        asked.replies.into_iter().next().ok_or_else(|| self.no_shell(&asked.noise))
    }

    fn succeeded(&self, reply: &ProbeReply, what: &str) -> Result<String, TransportError> {
        match &reply.end {
            ProbeEnd::Exited { code: 0 } => Ok(reply.stdout.text()),
            ProbeEnd::TimedOut => Err(self.copy_failed(format!("{what}: no answer in time"))),
            _ => Err(self.copy_failed(format!("{what}: {}", reply.stderr.text().trim()))),
        }
    }
}

/// One line of an answer: `SIZE SHA256`, or `-`.
pub(super) fn sum_of(line: &str) -> Option<FileSum> {
    let (size, sha256) = line.split_once(' ')?;
    let fits = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    Some(FileSum { size: size.parse().ok()?, sha256: fits.then(|| sha256.to_owned())? })
}

struct RemoveOnDrop<'a>(&'a Path);

impl Drop for RemoveOnDrop<'_> {
    fn drop(&mut self) {
        // It may have been removed by the one who made it; there is nobody left to tell otherwise.
        let _ = std::fs::remove_file(self.0);
    }
}
