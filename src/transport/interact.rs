//! Gives a job the operator's terminal.
//!
//! The terminal is the job's input, so the program cannot travel on it, and on the command line every
//! process list would show it. It goes ahead, into a private file in memory, which its shell removes as
//! it reads it; the exit status comes back the same way, since ssh's own cannot be told from it.

use std::time::Duration;

use super::error::TransportError;
use super::job::{Job, JobEnd, ProbeEnd};
use super::line;
use super::script::{self, Body, Input, quote};
use super::session::NodeSession;
use crate::model::host::{Become, Shell};

/// How long the file may take to be written and to be read.
const ERRAND: Duration = Duration::from_secs(30);

/// Said to the exit file by a shell that has begun.
const BEGAN: &str = "began";

impl NodeSession {
    pub(super) async fn lend_terminal(&self, job: &Job) -> Result<JobEnd, TransportError> {
        let body = Body { stdin: Input::Terminal, ..Body::from(job) };
        let inner = script::inner(&body, self.home.as_deref()).map_err(|unfit| self.snag(unfit.into()))?;
        let program = format!(
            "{{\nprintf '{BEGAN}\\n' >\"${{0%/*}}/exit\"\n( {inner})\nprintf '%s\\n' $? >\"${{0%/*}}/exit\"\n}}\n"
        );
        let directory = self.lay_out(&program).await?;
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

    /// Writes the program where only the login can read it; the directory it is in.
    async fn lay_out(&self, program: &str) -> Result<String, TransportError> {
        let script = format!(
            "umask 077
base=/tmp
if [ -d /dev/shm ] && [ -w /dev/shm ]; then base=/dev/shm; fi
made=$(mktemp -d \"$base/rollgate.XXXXXXXXXX\")
printf %s {} >\"$made/job\"
: >\"$made/exit\"
printf '%s\\n' \"$made\"",
            quote(program)
        );
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
