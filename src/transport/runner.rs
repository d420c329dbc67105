//! Writes the programs that start, follow and stop a job on a node.
//!
//! Nothing of rollgate's is installed there: every call carries its program on standard input, so there is
//! no file to verify, to plant or to be of another version. What stays on the node are the job's own records:
//!
//! ```text
//! ROOT/CLUSTER/runs/RUN-TOKEN/jobs/ID/owner   the claim, made by one link(2): what, by which process of which boot, under which lock
//!                                     begun   the script may have had an effect
//!                                     out err what it printed
//!                                     exit    how it ended; pre-allocated before it began, renamed into place
//!                                     verdict of a change that the node undoes by itself: who decided, see `revert`
//! ```
//!
//! The scripts run under dash, busybox and every other POSIX shell (`reliability.md` §2).

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::copy::hex;
use super::facts::{Detach, Facts};
use super::frame::Nonce;
use super::job::{Job, JobRef, JournalCopy, Secret, run_dir};
use super::rights::Rights;
use super::script::{self, Body, Unfit, quote};
use crate::model::host::{Become, Shell};
use crate::model::name::ClusterName;

const COMMON: &str = include_str!("runner/common.sh");
const SUPERVISOR: &str = include_str!("runner/supervisor.sh");
pub(super) const RUNNER: &str = include_str!("runner/runner.sh");

/// Where a call goes and with which rights.
pub(super) struct Caller<'a> {
    pub(super) facts: &'a Facts,
    /// The rights of the session: the job's records belong to them.
    pub(super) become_with: Become,
    /// The password for sudo, where it wants one.
    pub(super) password: Option<&'a Secret>,
    /// Where scripts run on this machine; over ssh they run in the login's home.
    pub(super) home: Option<&'a str>,
}

/// Starts a job unless somebody has, and follows it from its first byte.
pub(super) fn start(caller: &Caller<'_>, job: &Job, nonce: &Nonce) -> Result<Vec<u8>, Unfit> {
    let mut text = launch(caller, job, "")?;
    text.push_str("rg_follow\n");
    Ok(call(caller, &text, nonce))
}

/// Starts a job unless somebody has, up to its claim. With `hold` its script begins when, and unless, the function
/// `rg_hold` of that text says so.
pub(super) fn launch(caller: &Caller<'_>, job: &Job, hold: &str) -> Result<String, Unfit> {
    let mut text = given(caller, &job.at);
    let digest = digest(job);
    let supervisor = supervisor(caller, job, &digest, hold)?;
    let way = match caller.facts.detach {
        Detach::Systemd => "systemd",
        Detach::SudoSystemd => "sudo-systemd",
        Detach::Setsid { forks: true } => "setsid-f",
        Detach::Setsid { forks: false } => "setsid",
        Detach::Plain => "plain",
        Detach::Killed => {
            return Err(Unfit(
                "logind ends what a login leaves behind there (KillUserProcesses=yes), so no step would outlive \
                 its connection; `become: sudo` lets it run as a unit of its own"
                    .to_owned(),
            ));
        }
    };
    // A unit's name has 255 characters at most, and no slash.
    let unit = format!("rollgate-{}-{}", &digest[..8], job.at.id);
    for (name, value) in
        [("rg_digest", &*digest), ("rg_way", way), ("rg_unit", &unit), ("rg_job", &supervisor)]
    {
        let _ = writeln!(text, "{name}={}", quote(value));
    }
    let _ = writeln!(text, "rg_epoch={}", job.epoch);
    text.push_str(&kept(&job.at.run_dir(&caller.facts.root), job.copy.as_ref())?);
    text.push_str(&needs(caller, job));
    if way == "sudo-systemd" {
        let rights = Rights::of(Become::Sudo, caller.password);
        if let Some(key) = rights.key() {
            let _ = writeln!(text, "{}rg_key={}", rights.or_exit(), quote(&key));
        }
    }
    text.push_str("rg_out=0 rg_err=0\nrg_start || exit 1\nrg_await_claim || :\n");
    Ok(text)
}

/// Follows a job from certain bytes of its output on.
pub(super) fn follow(caller: &Caller<'_>, job: &JobRef, from: [u64; 2], nonce: &Nonce) -> Vec<u8> {
    let mut text = given(caller, job);
    let _ = writeln!(text, "rg_out={} rg_err={}\nrg_follow", from[0], from[1]);
    call(caller, &text, nonce)
}

/// Says where a job stands.
pub(super) fn look(caller: &Caller<'_>, job: &JobRef, nonce: &Nonce) -> Vec<u8> {
    let mut text = given(caller, job);
    text.push_str("rg_here\nrg_look\nrg_say \"S 0 $rg_standing\"\n");
    call(caller, &text, nonce)
}

/// Ends a job with everything that it started. `rights` are the greater of the session's and the job's.
pub(super) fn stop(caller: &Caller<'_>, job: &JobRef, rights: Become, nonce: &Nonce) -> Vec<u8> {
    let mut text = given(caller, job);
    text.push_str("rg_stop\n");
    call(&Caller { become_with: rights, ..*caller }, &text, nonce)
}

/// Leaves lines of a run's journal on the node.
pub(super) fn keep(
    caller: &Caller<'_>,
    (cluster, run): (&ClusterName, &str),
    epoch: u64,
    copy: &JournalCopy,
    nonce: &Nonce,
) -> Result<Vec<u8>, Unfit> {
    let root = &caller.facts.root;
    let mut text = format!("{COMMON}{RUNNER}");
    let _ = writeln!(text, "rg_epoch={epoch}\nrg_fences={}", quote(&format!("{root}/{cluster}/fence")));
    text.push_str(&kept(&run_dir(root, cluster, run), Some(copy))?);
    text.push_str("umask 077\nrg_keep && rg_flush \"$rg_copy\" \"${rg_copy%/*}\"\n");
    Ok(call(caller, &text, nonce))
}

/// What every function of the runner is given.
pub(super) fn given(caller: &Caller<'_>, job: &JobRef) -> String {
    let root = &caller.facts.root;
    let mut text = format!("{COMMON}{RUNNER}");
    let values = [
        ("rg_dir", format!("{}/jobs/{}", job.run_dir(root), job.id)),
        ("rg_fences", format!("{root}/{}/fence", job.cluster)),
        ("rg_name", job.name()),
    ];
    for (name, value) in values {
        let _ = writeln!(text, "{name}={}", quote(&value));
    }
    text
}

/// The journal's lines that go to the node, if any do.
fn kept(run_dir: &str, copy: Option<&JournalCopy>) -> Result<String, Unfit> {
    let Some(copy) = copy else { return Ok("rg_copy= rg_lines=\n".to_owned()) };
    if copy.lines.contains('\0') {
        return Err(Unfit("the journal contains a NUL byte".to_owned()));
    }
    Ok(format!("rg_copy={} rg_lines={}\n", quote(&copy_path(run_dir, copy)), quote(&copy.lines)))
}

fn copy_path(run_dir: &str, copy: &JournalCopy) -> String {
    format!("{run_dir}/journal/{:06}", copy.from)
}

/// What the job needs and its own process could only find out when it has begun.
fn needs(caller: &Caller<'_>, job: &Job) -> String {
    let mut text = String::new();
    if job.shell == Shell::Bash {
        text.push_str("command -v bash >/dev/null || { printf 'bash: not found\\n' >&2; exit 127; }\n");
    }
    if let Some(rights) = gained(caller, job) {
        text.push_str(&rights.or_exit());
    }
    text
}

/// How the job's own process gains the job's rights, where they are not the session's.
fn gained<'a>(caller: &Caller<'a>, job: &Job) -> Option<Rights<'a>> {
    match (caller.become_with, job.become_with) {
        (have, want) if have == want => None,
        (Become::None, want) => Some(Rights::of(want, caller.password)),
        (have, Become::None) => Some(Rights::given_up(have, &caller.facts.user)),
        // Both are root.
        (Become::Sudo | Become::Doas, _) => None,
    }
}

/// The job's own process, whole: cut off anywhere it is a syntax error, and nothing has begun.
fn supervisor(caller: &Caller<'_>, job: &Job, digest: &str, hold: &str) -> Result<String, Unfit> {
    let facts = caller.facts;
    let mut env = job.env.clone();
    // Whatever leaves its session is found by this when the job is stopped.
    env.insert("ROLLGATE_JOB".to_owned(), format!("{}/", job.at.name()));
    let body = Body { env: &env, ..Body::from(job) };
    let inner = script::inner(&body, caller.home)?;
    let mut text = String::from("{\n");
    let values = [
        ("rg_dir", format!("{}/jobs/{}", job.at.run_dir(&facts.root), job.at.id)),
        ("rg_fences", format!("{}/{}/fence", facts.root, job.at.cluster)),
        ("rg_epoch", job.epoch.to_string()),
        ("rg_digest", digest.to_owned()),
        ("rg_home", caller.home.unwrap_or(&facts.home).to_owned()),
        ("rg_body", inner),
    ];
    for (name, value) in values {
        let _ = writeln!(text, "{name}={}", quote(&value));
    }
    // Flushed with the claim; a run without a copy has its directory flushed in its stead.
    let copy = job.copy.as_ref().map(|copy| copy_path(&job.at.run_dir(&facts.root), copy));
    let _ = writeln!(text, "rg_copy={}", quote(copy.as_deref().unwrap_or_default()));
    let run = match (gained(caller, job), job.shell) {
        (None, Shell::Sh) => "( eval \"$rg_body\" )".to_owned(),
        (rights, shell) => {
            let rights = rights.unwrap_or_else(|| Rights::of(Become::None, None));
            let (before, after) = rights.around(script::program(shell));
            // What was needed was proved when the job was started.
            format!("rg_proved=yes; {before}printf '%s\\n' \"$rg_body\"{after}")
        }
    };
    let waits = if hold.is_empty() { "" } else { "rg_hold || return 0; " };
    let _ = writeln!(text, "rg_run() {{ {waits}{run}; }}");
    text.push_str(COMMON);
    text.push_str(hold);
    text.push_str(SUPERVISOR);
    text.push('}');
    Ok(text)
}

/// A call with the rights of the session, between its marks.
pub(super) fn call(caller: &Caller<'_>, text: &str, nonce: &Nonce) -> Vec<u8> {
    let prefix = nonce.prefix();
    let mut program = String::from("{\n");
    program.push_str(Rights::of(Become::Sudo, caller.password).unproved());
    let _ = writeln!(program, "printf '{prefix}B 0 %s\\n' $$; printf '{prefix}B 0 %s\\n' $$ >&2");
    let text = format!("rg_mark={}\n{text}", quote(prefix));
    if caller.become_with == Become::None {
        let _ = writeln!(program, "( {text} )");
    } else {
        let (before, after) = Rights::of(caller.become_with, caller.password).around("sh");
        let _ = writeln!(program, "{before}printf '%s\\n' {}{after}", quote(&text));
    }
    let _ = writeln!(
        program,
        "rg_end=$?; printf '{prefix}E 0 %s\\n' $rg_end; printf '{prefix}E 0 %s\\n' $rg_end >&2\n}}"
    );
    program.into_bytes()
}

/// What tells two scripts under one identity apart. Values of secrets have no part in it: a sum of them would
/// stay on the node.
fn digest(job: &Job) -> String {
    let mut sum = Sha256::new();
    let mut add = |text: &str| {
        sum.update((text.len() as u64).to_le_bytes());
        sum.update(text.as_bytes());
    };
    add(&job.script);
    add(script::program(job.shell));
    add(job.cwd.as_deref().unwrap_or_default());
    add(job.stdin.as_deref().unwrap_or_default());
    for (name, value) in &job.env {
        add(name);
        add(value);
    }
    for name in job.secrets.keys() {
        add(name);
    }
    hex(&sum.finalize())
}
