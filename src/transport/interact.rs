//! Gives a job the operator's terminal.
//!
//! The terminal is the job's input, so the program cannot travel on it, and on the command line every
//! process list would show it. It goes ahead, into a private file in memory, which its shell removes as
//! it reads it; the exit status comes back the same way, since ssh's own cannot be told from it.

use std::fmt::Write as _;
use std::time::Duration;

use zeroize::Zeroizing;

use super::error::TransportError;
use super::job::{Job, JobEnd, ProbeEnd};
use super::line;
use super::script::{self, Body, Input, push_quoted, quote, quoted_len};
use super::session::NodeSession;
use crate::model::host::{Become, Shell};

/// How long the file may take to be written and to be read.
const ERRAND: Duration = Duration::from_secs(30);

/// Where a program waits for its shell: in memory, which `/run/user` and `/run` are wherever they are.
const LAY_OUT: &str = "umask 077
base=
for place in /dev/shm \"${XDG_RUNTIME_DIR-}\" \"/run/user/$(id -u)\" /run; do
  if [ -n \"$place\" ] && [ -d \"$place\" ] && [ -w \"$place\" ]; then base=$place; break; fi
done
[ -n \"$base\" ] || no_memory
made=$(mktemp -d \"$base/rollgate.XXXXXXXXXX\")
";

/// A secret is written to no disk.
const NO_MEMORY: &str =
    "printf '%s\\n' 'no directory in memory for a secret: neither /dev/shm nor /run is there' >&2; exit 1";

/// Said to the exit file by a shell that has begun.
const BEGAN: &str = "began";

impl NodeSession {
    pub(super) async fn lend_terminal(&self, job: &Job) -> Result<JobEnd, TransportError> {
        let body = Body { stdin: Input::Terminal, ..Body::from(job) };
        let inner = script::inner(&body, self.home.as_deref()).map_err(|unfit| self.snag(unfit.into()))?;
        let mut program = Zeroizing::new(String::with_capacity(inner.len() + 256));
        let _ = write!(program, "{{\nprintf '{BEGAN}\\n' >\"${{0%/*}}/exit\"\n( ");
        program.push_str(&inner);
        program.push_str(")\nprintf '%s\\n' $? >\"${0%/*}/exit\"\n}\n");
        let directory = self.lay_out(&program, !job.secrets.is_empty()).await?;
        // The terminal is sudo's input as well, so that it cannot be given a password there: a human is asked.
        let asks = job.become_with == Become::Sudo && self.password.is_some();
        let shell = script::program(job.shell);
        let line = line::from_file(job.become_with, asks, shell, &format!("{directory}/job"));
        let shown = self.link.terminal(&line, job.deadline).await;
        let exit = self.collect(&directory).await;
        let in_time = shown.map_err(|why| self.unreachable(super::trouble::closed(self.place(), &why)))?;
        let exit = exit?;
        match exit.trim() {
            "" => Err(self.not_started(job.shell, job.become_with, "")),
            BEGAN if in_time => Err(self.lost("the terminal ended before the job did")),
            BEGAN => Ok(JobEnd::TimedOut { after: job.deadline, stopped: false }),
            code => match code.parse() {
                Ok(code) => Ok(JobEnd::Exited { code }),
                Err(_) => Err(self.lost("its exit status cannot be read")),
            },
        }
    }

    /// Writes the program where only the login can read it; the directory it is in. One that is `secret` is written
    /// to memory or not at all.
    async fn lay_out(&self, program: &str, secret: bool) -> Result<String, TransportError> {
        let mut script = Zeroizing::new(String::with_capacity(quoted_len(program) + LAY_OUT.len() + 256));
        let last = if secret { NO_MEMORY } else { "base=/tmp" };
        let _ = write!(script, "no_memory() {{ {last}; }}\n{LAY_OUT}printf %s ");
        push_quoted(&mut script, program);
        script.push_str(" >\"$made/job\"\n: >\"$made/exit\"\nprintf '%s\\n' \"$made\"");
        let directory = self.errand(&script, true).await?.trim().to_owned();
        // It stands on a command line, unquoted.
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_');
        if !directory.starts_with('/') || !directory.chars().all(plain) {
            return Err(self.lost("a private directory for the job has an unusable name"));
        }
        Ok(directory)
    }

    async fn collect(&self, directory: &str) -> Result<String, TransportError> {
        let directory = quote(directory);
        self.errand(&format!("cat -- {directory}/exit; rm -rf -- {directory}"), false).await
    }

    /// Runs a small script of rollgate's own as the login; its output.
    async fn errand(&self, script: &str, make: bool) -> Result<String, TransportError> {
        let (env, secrets) = (std::collections::BTreeMap::new(), std::collections::BTreeMap::new());
        let body = Body {
            script,
            shell: Shell::Sh,
            env: &env,
            secrets: &secrets,
            stdin: Input::Nothing,
            cwd: None,
            become_with: Become::None,
        };
        let asked = self.ask(&[body], make, ERRAND).await?;
        match asked.replies.first() {
            Some(reply) if reply.end == (ProbeEnd::Exited { code: 0 }) => Ok(reply.stdout.text()),
            Some(reply) => Err(self.lost(format!(
                "preparing or ending a job at the terminal failed: {}",
                reply.stderr.text().trim()
            ))),
            None => Err(self.no_shell(&asked.noise)),
        }
    }
}
