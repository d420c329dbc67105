//! Copies files from a node, whole or not at all.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::sync::Notify;

use super::converse::{Call, Ended, Heard, converse};
use super::copy::{Copied, TOOLS};
use super::error::TransportError;
use super::frame::{Mark, Nonce};
use super::job::{Captured, Stream};
use super::line;
use super::script::{self, quote};
use super::session::NodeSession;
use super::sum::{FileSum, Running};
use crate::model::duration;
use crate::model::words;

/// Says a file's size, sends it on its standard output and its sum on the other: `from size` are set before.
const SEND: &str = r#"
[ -f "$from" ] || rg_fail "there is no file $from"
printf "$size" "$(rg_size "$from")"
cat <"$from"
rg_sum "$from" >&2
"#;

impl NodeSession {
    pub(super) async fn fetch(
        &self,
        from: &str,
        to: &Path,
        deadline: Duration,
    ) -> Result<Copied, TransportError> {
        self.unless_refused(self.become_with)?;
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
        let size = format!("{}O 0 %s\\n", nonce.prefix());
        let script = format!("from={}\nsize={}\n{TOOLS}{SEND}", quote(from), quote(&size));
        let (env, secrets) = (BTreeMap::new(), BTreeMap::new());
        let body = self.own_body(&script, &env, &secrets);
        let program = script::program_of(&[body], nonce, self.home.as_deref(), false, self.password())
            .map_err(|unfit| self.snag(unfit.into()))?;
        let call = Call { line: line::WHOLE, program, nonce, last: 0, feed: None, deadline, pulse: None };
        let (mut running, mut written, mut said, mut exit, mut begun) =
            (Running::default(), Ok(()), Captured::default(), None, false);
        let free = room(part)
            .map_err(|source| TransportError::Here { what: format!("writing {}", part.display()), source })?;
        let (mut announced, enough, too_much) = (0, Notify::new(), OnceLock::new());
        // A node may say anything: more than fits, or more than it said, is not waited for.
        let stop = |why: String| {
            let _ = too_much.set(why);
            enough.notify_one();
        };
        let mut on = |heard: Heard<'_>| match heard {
            // What comes before its own shell runs is sudo's.
            Heard::Mark { stream: Stream::Out, mark: Mark::Running { .. } } => begun = true,
            Heard::Output { stream: Stream::Out, bytes } if written.is_ok() && begun => {
                running.take(bytes);
                if running.size > announced {
                    stop("it is longer than the node said".to_owned());
                    written = Err(io::ErrorKind::FileTooLarge.into());
                } else {
                    written = file.write_all(bytes);
                }
            }
            Heard::Output { stream: Stream::Err, bytes } => said.take(bytes),
            Heard::Mark { mark: Mark::Offset { at }, .. } => {
                announced = at;
                if at > free {
                    let (at, free) = (words::size(at), words::size(free));
                    stop(format!("it has {at}, and there is room for {free} beside {}", part.display()));
                    written = Err(io::ErrorKind::StorageFull.into());
                }
            }
            Heard::Mark { mark: Mark::End { code, .. }, .. } => exit = Some(code),
            Heard::Mark { .. } | Heard::Output { .. } => {}
        };
        let ended = tokio::select! {
            ended = converse(&*self.link, call, &mut on) => Some(ended.map_err(|broken| self.snag(broken.into()))?),
            () = enough.notified() => None,
        };
        let what = |what: &str| self.copy_failed(format!("copying {from}: {what}"));
        if let Some(why) = too_much.get() {
            return Err(what(why));
        }
        let ended = ended.expect("it is left early with a reason only");
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
}

/// How many bytes fit beside a file of this machine.
fn room(file: &Path) -> io::Result<u64> {
    let facts = rustix::fs::statvfs(file)?;
    Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
}

struct RemoveOnDrop<'a>(&'a Path);

impl Drop for RemoveOnDrop<'_> {
    fn drop(&mut self) {
        // It may have been removed by the one who made it; there is nobody left to tell otherwise.
        let _ = std::fs::remove_file(self.0);
    }
}
