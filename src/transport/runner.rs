//! Writes the programs that start, follow and stop a job on a node.
//!
//! Nothing of rollgate's is installed there: every call carries its program on standard input, so there is
//! no file to verify, to plant or to be of another version. What stays on the node are the job's own records:
//!
//! ```text
//! ROOT/CLUSTER/runs/RUN-TOKEN/jobs/ID/owner   the claim, made by one link(2): what, by which process of which boot, under which lock
//!                                     out err what it printed
//!                                     exit    there before it begins; then how it ended, and `kept` when that is flushed
//!                                     verdict of a change that the node undoes by itself: who decided, see `revert`
//! ```
//!
//! The scripts run under dash, busybox and every other POSIX shell (`reliability.md` §2).

use std::fmt::Write as _;
use std::sync::LazyLock;

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::facts::{Detach, Facts};
use super::frame::Nonce;
use super::job::{Job, JobRef, JournalCopy, Secret, run_dir};
use super::rights::Rights;
use super::script::{self, Body, Program, Unfit, push_quoted, quote, quoted_len, sent};
use super::sum::hex;
use crate::model::host::{Become, Shell};
use crate::model::mask::Mask;
use crate::model::name::ClusterName;

static COMMON: LazyLock<String> = LazyLock::new(|| lean(include_str!("runner/common.sh")));
static SUPERVISOR: LazyLock<String> = LazyLock::new(|| lean(include_str!("runner/supervisor.sh")));
pub(super) static RUNNER: LazyLock<String> = LazyLock::new(|| lean(include_str!("runner/runner.sh")));
static VEIL: LazyLock<String> = LazyLock::new(|| lean(include_str!("runner/veil.sh")));
const AWK: &str = include_str!("runner/veil.awk");

/// A script without its comments and indentation: a call is to fit into what a connection sends before it waits for an
/// answer (ten segments, RFC 6928). None of these scripts has a text of several lines.
pub(super) fn lean(script: &str) -> String {
    let lines = script.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.fold(String::with_capacity(script.len()), |text, line| text + line + "\n")
}

/// What a node says that cannot mask what a job prints.
pub(super) const NO_VEIL: &str = "rollgate: no awk or no mkfifo";

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
pub(super) fn start(caller: &Caller<'_>, job: &Job, nonce: &Nonce) -> Result<Program, Unfit> {
    let text = launch(caller, job, nonce, ("", "rg_follow"))?;
    Ok(call(caller, &text, nonce))
}

/// Starts a job unless somebody has, and goes on with the function `then` when it is claimed. With `hold` its script
/// begins when, and unless, the function `rg_hold` of that text says so.
pub(super) fn launch(
    caller: &Caller<'_>,
    job: &Job,
    nonce: &Nonce,
    (hold, then): (&str, &str),
) -> Result<Zeroizing<String>, Unfit> {
    let digest = digest(job);
    let supervisor = supervisor(caller, job, &digest, nonce, hold)?;
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
    let given = given(caller, &job.at);
    let kept = kept(&job.at.run_dir(&caller.facts.root), job.copy.as_ref())?;
    let room = given.len() + kept.len() + quoted_len(&supervisor) + unit.len() + 4096;
    let mut text = Zeroizing::new(String::with_capacity(room));
    text.push_str("set +a\n");
    text.push_str(&given);
    for (name, value) in [("rg_digest", &*digest), ("rg_way", way), ("rg_unit", &unit)] {
        let _ = writeln!(text, "{name}={}", quote(value));
    }
    text.push_str("rg_job=");
    push_quoted(&mut text, &supervisor);
    let _ = writeln!(text, "\nrg_epoch={}", job.epoch);
    text.push_str(&kept);
    text.push_str(&needs(caller, job));
    if way == "sudo-systemd" {
        let rights = Rights::of(Become::Sudo, caller.password);
        if let Some(key) = rights.key() {
            text.push_str(&rights.or_exit());
            text.push_str("rg_key=");
            push_quoted(&mut text, &key);
            text.push('\n');
        }
    }
    let _ = writeln!(text, "rg_out=0 rg_err=0\nrg_start {then} || exit 1");
    Ok(text)
}

/// Follows a job from certain bytes of its output on.
pub(super) fn follow(caller: &Caller<'_>, job: &JobRef, from: [u64; 2], nonce: &Nonce) -> Program {
    let mut text = given(caller, job);
    let _ = writeln!(text, "rg_hears= rg_out={} rg_err={}\nrg_follow", from[0], from[1]);
    call(caller, &text, nonce)
}

/// Says where a job stands.
pub(super) fn look(caller: &Caller<'_>, job: &JobRef, nonce: &Nonce) -> Program {
    let mut text = given(caller, job);
    text.push_str("rg_here\nrg_look\nrg_say \"S 0 $rg_standing\"\n");
    call(caller, &text, nonce)
}

/// Ends a job with everything that it started.
pub(super) fn stopping(caller: &Caller<'_>, job: &JobRef) -> String {
    let mut text = given(caller, job);
    text.push_str("rg_stop\n");
    text
}

/// The same as a call. `rights` are the greater of the session's and the job's.
pub(super) fn stop(caller: &Caller<'_>, job: &JobRef, rights: Become, nonce: &Nonce) -> Program {
    let text = stopping(caller, job);
    call(&Caller { become_with: rights, ..*caller }, &text, nonce)
}

/// Leaves lines of a run's journal on the node.
pub(super) fn keep(
    caller: &Caller<'_>,
    (cluster, run): (&ClusterName, &str),
    epoch: u64,
    copy: &JournalCopy,
    nonce: &Nonce,
) -> Result<Program, Unfit> {
    let root = &caller.facts.root;
    let mut text = format!("{}{}", *COMMON, *RUNNER);
    let _ = writeln!(text, "rg_epoch={epoch}\nrg_fences={}", quote(&format!("{root}/{cluster}/fence")));
    text.push_str(&kept(&run_dir(root, cluster, run), Some(copy))?);
    text.push_str("umask 077\nrg_keep && rg_flush \"$rg_copy\" \"${rg_copy%/*}\"\n");
    Ok(call(caller, &text, nonce))
}

/// What every function of the runner is given.
pub(super) fn given(caller: &Caller<'_>, job: &JobRef) -> String {
    let root = &caller.facts.root;
    let mut text = format!("{}{}", *COMMON, *RUNNER);
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
fn needs(caller: &Caller<'_>, job: &Job) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(2048));
    if job.shell == Shell::Bash {
        text.push_str("command -v bash >/dev/null || { printf 'bash: not found\\n' >&2; exit 127; }\n");
    }
    if let Some(rights) = gained(caller, job) {
        text.push_str(&rights.or_exit());
    }
    if !job.secrets.is_empty() {
        let _ = writeln!(
            text,
            "command -v awk >/dev/null && command -v mkfifo >/dev/null || {{ printf '%s\\n' '{NO_VEIL}' >&2; exit 127; }}"
        );
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
fn supervisor(
    caller: &Caller<'_>,
    job: &Job,
    digest: &str,
    nonce: &Nonce,
    hold: &str,
) -> Result<Zeroizing<String>, Unfit> {
    let facts = caller.facts;
    let mut env = job.env.clone();
    // Whatever leaves its session is found by this when the job is stopped.
    env.insert("ROLLGATE_JOB".to_owned(), format!("{}/", job.at.name()));
    let body = Body { env: &env, ..Body::from(job) };
    let inner = script::inner(&body, caller.home)?;
    let needles = needles(job);
    // Flushed with the claim; a run without a copy has its directory flushed in its stead.
    let copy = job.copy.as_ref().map(|copy| copy_path(&job.at.run_dir(&facts.root), copy));
    let epoch = job.epoch.to_string();
    let values = [
        ("rg_dir", &*format!("{}/jobs/{}", job.at.run_dir(&facts.root), job.at.id)),
        ("rg_fences", &format!("{}/{}/fence", facts.root, job.at.cluster)),
        ("rg_epoch", &epoch),
        ("rg_digest", digest),
        ("rg_home", caller.home.unwrap_or(&facts.home)),
        ("rg_copy", copy.as_deref().unwrap_or_default()),
        ("rg_sign", &format!("veil-{}", nonce.hex())),
        ("rg_body", &inner),
        ("rg_needles", &needles),
    ];
    let room: usize = values.iter().map(|(name, value)| name.len() + quoted_len(value) + 2).sum();
    let room = room + COMMON.len() + SUPERVISOR.len() + VEIL.len() + 2 * AWK.len() + hold.len() + 4096;
    let mut text = Zeroizing::new(String::with_capacity(room));
    text.push_str("{\nset +a\n");
    for (name, value) in values {
        let _ = write!(text, "{name}=");
        push_quoted(&mut text, value);
        text.push('\n');
    }
    let run = match (gained(caller, job), job.shell) {
        // The body's own shell is this one: what it is not given it is not left.
        (None, Shell::Sh) => {
            Zeroizing::new("( eval \"unset rg_body rg_needles rg_sign\n$rg_body\" )".to_owned())
        }
        (rights, shell) => {
            let rights = rights.unwrap_or_else(|| Rights::of(Become::None, None));
            let (before, after) = rights.around(script::program(shell));
            // What was needed was proved when the job was started.
            let mut run = Zeroizing::new(String::with_capacity(before.len() + after.len() + 64));
            let _ = write!(run, "rg_proved=yes; {}printf '%s\\n' \"$rg_body\"{after}", *before);
            run
        }
    };
    if job.secrets.is_empty() && !needles.is_empty() {
        // No step of such a node has been given a secret: see `needs`.
        text.push_str("command -v awk >/dev/null && command -v mkfifo >/dev/null || rg_needles=\n");
    }
    let waits = if hold.is_empty() { "" } else { "rg_hold || return 0; " };
    // Nobody else says what is news of the job, and nobody holds that pipe open who outlives its process.
    let _ = writeln!(text, "rg_run() {{ {waits}{{ {}; }} 9>&-; }}", *run);
    text.push_str(&COMMON);
    if !needles.is_empty() {
        text.push_str("rg_awk=");
        push_quoted(&mut text, AWK);
        text.push('\n');
        text.push_str(&VEIL);
    }
    text.push_str(hold);
    text.push_str(&SUPERVISOR);
    text.push('}');
    Ok(text)
}

/// What is masked in what a job prints, a line each; nothing where its node is given no secret.
fn needles(job: &Job) -> Zeroizing<String> {
    let mask = Mask::of(job.secrets.values().chain(&job.hidden).map(Secret::reveal));
    let mut text = Zeroizing::new(String::with_capacity(mask.needles().map(|needle| needle.len() + 1).sum()));
    for needle in mask.needles().filter_map(|needle| std::str::from_utf8(needle).ok()) {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(needle);
    }
    text
}

/// A call with the rights of the session, between its marks.
pub(super) fn call(caller: &Caller<'_>, text: &str, nonce: &Nonce) -> Program {
    let prefix = nonce.prefix();
    let mut marked = Zeroizing::new(String::with_capacity(text.len() + 2 * prefix.len() + 16));
    marked.push_str("rg_mark=");
    push_quoted(&mut marked, prefix);
    marked.push('\n');
    marked.push_str(text);
    let (before, after) = Rights::of(caller.become_with, caller.password).around("sh");
    let room = quoted_len(&marked) + before.len() + after.len() + 512;
    let mut program = Zeroizing::new(String::with_capacity(room));
    program.push_str("{\n");
    program.push_str(Rights::of(Become::Sudo, caller.password).unproved());
    let _ = writeln!(program, "printf '{prefix}B 0 %s\\n' $$; printf '{prefix}B 0 %s\\n' $$ >&2");
    if caller.become_with == Become::None {
        program.push_str("( ");
        program.push_str(&marked);
        program.push_str(" )\n");
    } else {
        program.push_str(&before);
        program.push_str("printf '%s\\n' ");
        push_quoted(&mut program, &marked);
        let _ = writeln!(program, "{after}");
    }
    let _ = writeln!(
        program,
        "rg_end=$?; printf '{prefix}E 0 %s\\n' $rg_end; printf '{prefix}E 0 %s\\n' $rg_end >&2\n}}"
    );
    sent(program)
}

/// What tells two scripts under one identity apart. Values of secrets have no part in it, nor has input that one may
/// stand in: a sum of them would stay on the node.
fn digest(job: &Job) -> String {
    let mut sum = Sha256::new();
    let mut add = |text: &str| {
        sum.update((text.len() as u64).to_le_bytes());
        sum.update(text.as_bytes());
    };
    add(&job.script);
    add(script::program(job.shell));
    add(job.cwd.as_deref().unwrap_or_default());
    let stdin = job.stdin.as_ref().filter(|_| job.secrets.is_empty());
    add(stdin.map(super::job::Secret::reveal).unwrap_or_default());
    for (name, value) in &job.env {
        add(name);
        add(value);
    }
    for name in job.secrets.keys() {
        add(name);
    }
    hex(&sum.finalize())
}
