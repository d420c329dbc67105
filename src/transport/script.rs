//! Writes the program that a call sends: scripts with their environment, framed by marks.
//!
//! A program is one `{ … }`: a shell reads it to its end before it runs any of it, so a program cut off
//! on its way is a syntax error and nothing has begun.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::frame::Nonce;
use super::job::{Job, Probe, Secret};
use super::rights::Rights;
use crate::model::host::{Become, Shell};

/// A script and everything it is given.
pub(super) struct Body<'a> {
    pub(super) script: &'a str,
    pub(super) shell: Shell,
    pub(super) env: &'a BTreeMap<String, String>,
    pub(super) secrets: &'a BTreeMap<String, Secret>,
    pub(super) stdin: Input<'a>,
    pub(super) cwd: Option<&'a str>,
    pub(super) become_with: Become,
}

/// What a script reads.
#[derive(Clone, Copy)]
pub(super) enum Input<'a> {
    Nothing,
    Text(&'a str),
    Terminal,
}

impl<'a> From<&'a Job> for Body<'a> {
    fn from(job: &'a Job) -> Self {
        Self {
            script: &job.script,
            shell: job.shell,
            env: &job.env,
            secrets: &job.secrets,
            stdin: job.stdin.as_deref().map_or(Input::Nothing, Input::Text),
            cwd: job.cwd.as_deref(),
            become_with: job.become_with,
        }
    }
}

impl<'a> From<&'a Probe> for Body<'a> {
    fn from(probe: &'a Probe) -> Self {
        Self {
            script: &probe.script,
            shell: probe.shell,
            env: &probe.env,
            secrets: &probe.secrets,
            stdin: Input::Nothing,
            cwd: None,
            become_with: probe.become_with,
        }
    }
}

/// Why something cannot be passed to a shell.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unfit(pub(super) String);

/// One word for a POSIX shell, byte for byte. The caller has excluded NUL.
pub(super) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn whole(what: &str, text: &str) -> Result<(), Unfit> {
    if text.contains('\0') {
        return Err(Unfit(format!("{what} contains a NUL byte, which no process can be given")));
    }
    Ok(())
}

/// Whether a word can be the name of an environment variable.
fn identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// How a shell is called.
pub(super) fn program(shell: Shell) -> &'static str {
    match shell {
        Shell::Sh => "sh",
        Shell::Bash => "bash",
    }
}

/// The commands that run one script in a shell of its own kind, and exit as the script does.
pub(super) fn inner(body: &Body<'_>, home: Option<&str>) -> Result<String, Unfit> {
    whole("the script", body.script)?;
    let mut text = String::new();
    let secrets = body.secrets.iter().map(|(name, value)| (name, value.reveal()));
    for (name, value) in body.env.iter().map(|(name, value)| (name, value.as_str())).chain(secrets) {
        if !identifier(name) {
            return Err(Unfit(format!("`{}` cannot name an environment variable", name.escape_default())));
        }
        whole(&format!("the variable `{name}`"), value)?;
        let _ = writeln!(text, "export {name}={}", quote(value));
    }
    if let Some(home) = home {
        let _ = writeln!(text, "CDPATH= cd -- {} 2>/dev/null || cd /", quote(home));
    }
    if let Some(cwd) = body.cwd {
        whole("the directory to run in", cwd)?;
        let from_here = if cwd.starts_with('/') { "" } else { "./" };
        let quoted = quote(&format!("{from_here}{cwd}"));
        let said = quote(&format!("rollgate: cannot run in the directory {cwd}"));
        let _ = writeln!(text, "CDPATH= cd -- {quoted} || {{ printf '%s\\n' {said} >&2; exit 126; }}");
    }
    let flags = match body.shell {
        Shell::Sh => "-eu",
        Shell::Bash => "-euo pipefail",
    };
    let run = format!("( set {flags}\neval {}\n)", quote(body.script));
    match body.stdin {
        Input::Nothing => {
            let _ = writeln!(text, "{run} </dev/null");
        }
        Input::Text(data) => {
            whole("stdin", data)?;
            let _ = writeln!(text, "printf %s {} | {run}", quote(data));
        }
        Input::Terminal => {
            let _ = writeln!(text, "{run}");
        }
    }
    Ok(text)
}

/// The program that runs scripts one after the other, each between its marks on both streams.
///
/// `home` is the directory to run in when the node is this machine; with `make`, it is made if missing.
/// `password` is sudo's.
pub(super) fn program_of(
    bodies: &[Body<'_>],
    nonce: &Nonce,
    home: Option<&str>,
    make: bool,
    password: Option<&Secret>,
) -> Result<Vec<u8>, Unfit> {
    let prefix = nonce.prefix();
    let mut text = String::from("{\n");
    text.push_str(Rights::of(Become::Sudo, password).unproved());
    if let (Some(home), true) = (home, make) {
        let _ = writeln!(text, "( umask 077; mkdir -p -- {} )", quote(home));
    }
    for (index, body) in bodies.iter().enumerate() {
        // A shell or rights that are not to be had never say so. What comes earlier is not the script's: sudo lectures.
        let running = format!("printf '{prefix}R {index} 0\\n'");
        let inner = format!("{running}; {running} >&2\n{}", inner(body, home)?);
        let _ =
            writeln!(text, "printf '{prefix}B {index} %s\\n' $$; printf '{prefix}B {index} %s\\n' $$ >&2");
        if body.shell == Shell::Sh && body.become_with == Become::None {
            let _ = writeln!(text, "( {inner})");
        } else {
            let (before, after) = Rights::of(body.become_with, password).around(program(body.shell));
            let _ = writeln!(text, "{before}printf %s {}{after}", quote(&inner));
        }
        let _ = writeln!(
            text,
            "rg_end=$?; printf '{prefix}E {index} %s\\n' $rg_end; printf '{prefix}E {index} %s\\n' $rg_end >&2"
        );
    }
    text.push_str("}\n");
    Ok(text.into_bytes())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn body<'a>(
        script: &'a str,
        env: &'a BTreeMap<String, String>,
        secrets: &'a BTreeMap<String, Secret>,
    ) -> Body<'a> {
        Body {
            script,
            shell: Shell::Sh,
            env,
            secrets,
            stdin: Input::Nothing,
            cwd: None,
            become_with: Become::None,
        }
    }

    #[test]
    fn a_program_cut_anywhere_runs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (env, secrets) = (BTreeMap::from([("A".to_owned(), "it's".to_owned())]), BTreeMap::new());
        let script = format!("touch {}/ran", dir.path().display());
        let whole =
            program_of(&[body(&script, &env, &secrets)], &Nonce::draw().unwrap(), None, false, None).unwrap();
        let end = whole.len() - "}\n".len();
        for cut in (1..=end).step_by(3).chain([end]) {
            let program = String::from_utf8(whole[..cut].to_vec()).unwrap();
            let _ = Command::new("sh").args(["-c", "eval \"$1\"", "sh", &program]).output().unwrap();
            assert!(!dir.path().join("ran").exists(), "cut at {cut} of {} ran", whole.len());
        }
        let program = String::from_utf8(whole).unwrap();
        let _ = Command::new("sh").args(["-c", "eval \"$1\"", "sh", &program]).output().unwrap();
        assert!(dir.path().join("ran").exists());
    }

    #[test]
    fn what_no_process_can_be_given_is_refused() {
        let nul = BTreeMap::from([("A".to_owned(), "a\0b".to_owned())]);
        let name = BTreeMap::from([("A;reboot".to_owned(), "1".to_owned())]);
        let none = BTreeMap::new();
        for env in [&nul, &name] {
            let program = program_of(&[body(":", env, &none)], &Nonce::draw().unwrap(), None, false, None);
            assert!(program.is_err());
        }
    }
}
