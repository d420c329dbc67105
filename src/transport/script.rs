//! Writes the program that a call sends: scripts with their environment, framed by marks.
//!
//! A program is one `{ … }`: a shell reads it to its end before it runs any of it, so a program cut off
//! on its way is a syntax error and nothing has begun.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use zeroize::Zeroizing;

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
            stdin: job.stdin.as_ref().map_or(Input::Nothing, |stdin| Input::Text(stdin.reveal())),
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
    let mut word = String::with_capacity(quoted_len(text));
    push_quoted(&mut word, text);
    word
}

/// [`quote`] of what may have a secret in it, right into its place: nothing of it is left behind on the way.
pub(super) fn push_quoted(into: &mut String, text: &str) {
    into.push('\'');
    for (number, part) in text.split('\'').enumerate() {
        if number > 0 {
            into.push_str(r"'\''");
        }
        into.push_str(part);
    }
    into.push('\'');
}

/// The length of a quoted word.
pub(super) fn quoted_len(text: &str) -> usize {
    2 + text.len() + 3 * memchr::memchr_iter(b'\'', text.as_bytes()).count()
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
///
/// A secret is a variable of that shell alone: it stands in the environment of nothing that the script runs.
pub(super) fn inner(body: &Body<'_>, home: Option<&str>) -> Result<Zeroizing<String>, Unfit> {
    whole("the script", body.script)?;
    let mut text = Zeroizing::new(String::with_capacity(room_for(body, home)));
    for (name, value) in body.env {
        fits(name, value)?;
        let _ = write!(text, "export {name}=");
        push_quoted(&mut text, value);
        text.push('\n');
    }
    if !body.secrets.is_empty() {
        // A shell can be called so that it exports everything, and a variable of this name may be exported already.
        text.push_str("set +a\n");
    }
    for (name, value) in body.secrets {
        fits(name, value.reveal())?;
        let _ = write!(text, "unset -v {name}\n{name}=");
        push_quoted(&mut text, value.reveal());
        text.push('\n');
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
    if let Input::Text(data) = body.stdin {
        whole("stdin", data)?;
        text.push_str("printf %s ");
        push_quoted(&mut text, data);
        text.push_str(" | ");
    }
    let flags = match body.shell {
        Shell::Sh => "-eu",
        Shell::Bash => "-euo pipefail",
    };
    let _ = write!(text, "( set {flags}\neval ");
    push_quoted(&mut text, body.script);
    text.push_str(match body.stdin {
        Input::Nothing => "\n) </dev/null\n",
        Input::Text(_) | Input::Terminal => "\n)\n",
    });
    Ok(text)
}

/// How long the text becomes at most: one that had to grow would leave its secrets where it was before.
fn room_for(body: &Body<'_>, home: Option<&str>) -> usize {
    let env = body.env.iter().map(|(name, value)| name.len() + quoted_len(value) + 16);
    let secrets = body.secrets.iter().map(|(name, value)| 2 * name.len() + quoted_len(value.reveal()) + 16);
    let places = home.map_or(0, quoted_len) + 2 * body.cwd.map_or(0, quoted_len);
    let stdin = if let Input::Text(data) = body.stdin { quoted_len(data) } else { 0 };
    env.chain(secrets).sum::<usize>() + places + stdin + quoted_len(body.script) + 512
}

fn fits(name: &str, value: &str) -> Result<(), Unfit> {
    if !identifier(name) {
        return Err(Unfit(format!("`{}` cannot name an environment variable", name.escape_default())));
    }
    whole(&format!("the variable `{name}`"), value)
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
) -> Result<Program, Unfit> {
    let prefix = nonce.prefix();
    let inner = bodies.iter().map(|body| inner(body, home)).collect::<Result<Vec<_>, _>>()?;
    let rights = |body: &Body<'_>| Rights::of(body.become_with, password).around(program(body.shell));
    let around: Vec<_> = bodies.iter().map(rights).collect();
    let room = inner.iter().map(|inner| quoted_len(inner) + 512).sum::<usize>() + 64;
    let room = room + around.iter().map(|(before, after)| before.len() + after.len()).sum::<usize>();
    let mut text = Zeroizing::new(String::with_capacity(room + home.map_or(0, quoted_len)));
    text.push_str("{\n");
    text.push_str(Rights::of(Become::Sudo, password).unproved());
    if let (Some(home), true) = (home, make) {
        let _ = writeln!(text, "( umask 077; mkdir -p -- {} )", quote(home));
    }
    for (index, ((body, inner), (before, after))) in bodies.iter().zip(&inner).zip(&around).enumerate() {
        let _ =
            writeln!(text, "printf '{prefix}B {index} %s\\n' $$; printf '{prefix}B {index} %s\\n' $$ >&2");
        // A shell or rights that are not to be had never say so. What comes earlier is not the script's: sudo lectures.
        let running = format!("printf '{prefix}R {index} 0\\n'");
        let running = format!("{running}; {running} >&2\n");
        if body.shell == Shell::Sh && body.become_with == Become::None {
            text.push_str("( ");
            text.push_str(&running);
            text.push_str(inner);
            text.push_str(")\n");
        } else {
            let mut whole = Zeroizing::new(String::with_capacity(running.len() + inner.len()));
            whole.push_str(&running);
            whole.push_str(inner);
            text.push_str(before);
            text.push_str("printf %s ");
            push_quoted(&mut text, &whole);
            let _ = writeln!(text, "{after}");
        }
        let _ = writeln!(
            text,
            "rg_end=$?; printf '{prefix}E {index} %s\\n' $rg_end; printf '{prefix}E {index} %s\\n' $rg_end >&2"
        );
    }
    text.push_str("}\n");
    Ok(sent(text))
}

/// What goes over a connection; it is overwritten when it has gone.
pub(super) type Program = Zeroizing<Vec<u8>>;

/// The text as it is sent, in the place where it is.
pub(super) fn sent(mut text: Zeroizing<String>) -> Program {
    Zeroizing::new(std::mem::take(&mut *text).into_bytes())
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
        let program = String::from_utf8(whole.to_vec()).unwrap();
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
