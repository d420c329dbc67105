//! What is read from a node once, at login.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::job::{ProbeEnd, ProbeReply};
use super::script::{Body, Input};
use crate::model::host::{Become, Shell};

/// What is known of a node since its login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The user that ssh logs in as.
    pub user: String,
    /// The user id that commands have with the node's `become`.
    pub uid: u32,
    /// The login's home directory.
    pub home: String,
    /// Changes with every boot; none where the system has no such thing.
    pub boot_id: Option<String>,
    /// rollgate's own directory on the node: the inventory's, else `/var/lib/rollgate` for root, else
    /// `rollgate` in the user's XDG state directory (for `connection: local`, `nodes/NAME` below it). It need not
    /// exist.
    pub root: String,
    /// `SSH_CONNECTION` as the node sees it: the operator's address and port, the node's own.
    pub ssh_connection: Option<String>,
    /// Kernel name, release and machine.
    pub kernel: String,
    /// The system's name for itself, where `/etc/os-release` has one.
    pub os: Option<String>,
    /// How a job is let go of there, so that it outlives its connection.
    pub detach: Detach,
}

/// The ways to let go of a process, the best one that a node has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Detach {
    /// As a unit of its own, by `systemd-run`.
    Systemd,
    /// The same through sudo, for a login whose processes logind would end with it.
    SudoSystemd,
    /// In a session of its own, by `setsid`.
    Setsid {
        /// Whether that forks by itself (`-f`), so that no shell's background is needed.
        forks: bool,
    },
    /// In the background: no login's end ends it, but whoever sends signals to its session reaches it.
    Plain,
    /// Not at all: logind ends what a login leaves behind (`KillUserProcesses=yes`), and sudo gives no unit.
    Killed,
}

impl Detach {
    fn parse(word: &str) -> Self {
        match word {
            "systemd" => Self::Systemd,
            "sudo-systemd" => Self::SudoSystemd,
            "setsid-f" => Self::Setsid { forks: true },
            "setsid" => Self::Setsid { forks: false },
            "killed" => Self::Killed,
            _ => Self::Plain,
        }
    }
}

/// Asks for everything; run once as the login, and once more with rights if there are any to gain. What the shell can
/// read itself costs no process: every connection begins with this.
const SCRIPT: &str = r#"
uid=$(id -u)
boot= os=
if [ -r /proc/sys/kernel/random/boot_id ]; then
  read -r boot </proc/sys/kernel/random/boot_id || :
else
  boot=$(sysctl -n kern.boottime 2>/dev/null || :)
fi
if [ -r /etc/os-release ]; then
  while IFS= read -r line || [ -n "$line" ]; do
    case $line in (PRETTY_NAME=*) os=${line#PRETTY_NAME=} os=${os#\"} os=${os%\"} ;; esac
  done </etc/os-release
fi
printf 'user=%s\n' "$(id -un 2>/dev/null || printf %s "$uid")"
printf 'uid=%s\n' "$uid"
printf 'home=%s\n' "${HOME:-/}"
printf 'state=%s\n' "${XDG_STATE_HOME:-}"
printf 'boot=%s\n' "$boot"
printf 'ssh=%s\n' "${SSH_CONNECTION:-}"
printf 'kernel=%s\n' "$(uname -srm)"
printf 'os=%s\n' "$os"
printf 'printf=%s\n' "$(command -v printf)"
way=plain
if command -v setsid >/dev/null 2>&1; then
  way=setsid
  setsid -f true 2>/dev/null </dev/null && way=setsid-f
fi
if [ -d /run/systemd/system ] && command -v systemd-run >/dev/null 2>&1; then
  if [ "$uid" = 0 ]; then
    way=systemd
  else
    login=org.freedesktop.login1
    case $(busctl get-property $login /org/freedesktop/login1 $login.Manager KillUserProcesses 2>/dev/null) in
      (*true)
        way=killed
        # Where a password is given, this would be a failure in sudo's log.
        if [ -z "${rg_by_password-}" ] && sudo -n systemd-run --version >/dev/null 2>&1; then way=sudo-systemd; fi
        ;;
    esac
  fi
fi
printf 'way=%s\n' "$way"
"#;

/// What the scripts find in their environment.
pub(super) fn surroundings(password: Option<&super::Secret>) -> BTreeMap<String, String> {
    password.map(|_| ("rg_by_password".to_owned(), "yes".to_owned())).into_iter().collect()
}

/// The scripts to ask, given their environment and an empty map to borrow.
pub(super) fn questions<'a>(
    become_with: Become,
    env: &'a BTreeMap<String, String>,
    secrets: &'a BTreeMap<String, super::Secret>,
) -> Vec<Body<'a>> {
    let body = |become_with| Body {
        script: SCRIPT,
        shell: Shell::Sh,
        env,
        secrets,
        stdin: Input::Nothing,
        cwd: None,
        become_with,
    };
    let mut list = vec![body(Become::None)];
    if become_with != Become::None {
        list.push(body(become_with));
    }
    list
}

/// Why the answers are no facts.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// The login's shell does not do what POSIX says.
    Shell(String),
    /// Rights are not to be had.
    Become(String),
}

/// Makes facts of the replies to [`questions`].
///
/// `session` are the rights that everything has which says nothing else; there may be more to gain than those.
pub(super) fn read(replies: &[ProbeReply], session: Become, root: Option<&str>) -> Result<Facts, Unusable> {
    let login = replies.first().ok_or_else(|| Unusable::Shell("it answered nothing".to_owned()))?;
    if login.end != (ProbeEnd::Exited { code: 0 }) {
        let how = match &login.end {
            ProbeEnd::Exited { code } => format!("its sh ends with {code} when asked who logs in"),
            ProbeEnd::TimedOut => "it does not say in time who logs in".to_owned(),
            ProbeEnd::Died => "it ended before the first question was answered".to_owned(),
            ProbeEnd::NotRun { why } => why.clone(),
        };
        let said = login.stderr.text();
        let said = said.trim();
        return Err(Unusable::Shell(if said.is_empty() { how } else { format!("{how}: {said}") }));
    }
    let known = pairs(login);
    let field = |name: &str| known.get(name).filter(|value| !value.is_empty()).cloned();
    if field("printf").is_some_and(|path| path.starts_with('/')) {
        return Err(Unusable::Shell(
            "its sh has no built-in printf, so values would show in the process list".to_owned(),
        ));
    }
    let mut uid = field("uid");
    let mut detach = field("way");
    if let Some(with_rights) = replies.get(1) {
        if with_rights.end != (ProbeEnd::Exited { code: 0 }) {
            let said = match &with_rights.end {
                ProbeEnd::NotRun { why } => why.clone(),
                ProbeEnd::TimedOut => "it asks for something, or hangs".to_owned(),
                _ => with_rights.stderr.text(),
            };
            return Err(Unusable::Become(said.trim().to_owned()));
        }
        let granted = pairs(with_rights);
        let way = granted.get("way").cloned();
        if session != Become::None {
            uid = granted.get("uid").cloned();
            detach = way;
        } else if detach.as_deref() == Some("killed") && way.as_deref() == Some("systemd") {
            detach = Some("sudo-systemd".to_owned());
        }
    }
    let uid = uid
        .and_then(|uid| uid.parse().ok())
        .ok_or_else(|| Unusable::Shell("`id -u` does not answer with a number".to_owned()))?;
    // A path that begins nowhere would lead wherever a script happens to stand.
    let home = field("home").filter(|path| path.starts_with('/')).unwrap_or_else(|| "/".to_owned());
    let default = || match (uid, field("state").filter(|path| path.starts_with('/'))) {
        (0, _) => "/var/lib/rollgate".to_owned(),
        (_, Some(state)) => format!("{state}/rollgate"),
        (_, None) => format!("{}/.local/state/rollgate", home.trim_end_matches('/')),
    };
    Ok(Facts {
        user: field("user").unwrap_or_default(),
        uid,
        root: root.map_or_else(default, ToOwned::to_owned),
        boot_id: field("boot"),
        ssh_connection: field("ssh"),
        kernel: field("kernel").unwrap_or_default(),
        os: field("os"),
        detach: Detach::parse(&detach.unwrap_or_default()),
        home,
    })
}

fn pairs(reply: &ProbeReply) -> BTreeMap<String, String> {
    let text = reply.stdout.text();
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::transport::Captured;

    fn reply(end: ProbeEnd, stdout: &str) -> ProbeReply {
        let stdout = Captured { bytes: stdout.as_bytes().to_vec(), truncated: false };
        ProbeReply { end, stdout, stderr: Captured::default(), took: Duration::ZERO }
    }

    fn root(stdout: &str, given: Option<&str>) -> String {
        read(&[reply(ProbeEnd::Exited { code: 0 }, stdout)], Become::None, given).unwrap().root
    }

    #[test]
    fn the_own_directory_follows_from_who_logs_in() {
        assert_eq!(root("uid=0\nhome=/root\nstate=/x\n", None), "/var/lib/rollgate");
        assert_eq!(root("uid=7\nhome=/home/ops\nstate=\n", None), "/home/ops/.local/state/rollgate");
        assert_eq!(root("uid=7\nhome=/home/ops\nstate=/x\n", None), "/x/rollgate");
        assert_eq!(root("uid=7\nhome=/home/ops\nstate=/x\n", Some("/srv/rg")), "/srv/rg");
    }

    #[test]
    fn a_home_that_is_no_path_counts_as_none() {
        for home in ["7", "root", "~", "../etc"] {
            assert_eq!(root(&format!("uid=7\nhome={home}\n"), None), "/.local/state/rollgate");
        }
    }

    #[test]
    fn rights_that_are_refused_are_said_to_be() {
        let login = reply(ProbeEnd::Exited { code: 0 }, "uid=7\nhome=/home/ops\n");
        let why = "sudo: a password is required".to_owned();
        let denied = reply(ProbeEnd::NotRun { why: why.clone() }, "");
        assert_eq!(read(&[login.clone(), denied], Become::Sudo, None), Err(Unusable::Become(why)));
        let granted = reply(ProbeEnd::Exited { code: 0 }, "uid=0\nhome=/root\n");
        assert_eq!(read(&[login, granted], Become::Sudo, None).unwrap().root, "/var/lib/rollgate");
    }

    #[test]
    fn rights_for_steps_alone_leave_the_login_what_it_is_and_let_go_of_its_jobs() {
        let login = reply(ProbeEnd::Exited { code: 0 }, "uid=7\nhome=/home/ops\nway=killed\n");
        let granted = |way| reply(ProbeEnd::Exited { code: 0 }, &format!("uid=0\nhome=/root\nway={way}\n"));
        let of = |way| read(&[login.clone(), granted(way)], Become::None, None).unwrap();
        assert_eq!((of("systemd").uid, of("systemd").detach), (7, Detach::SudoSystemd));
        assert_eq!(of("setsid").detach, Detach::Killed);
        assert_eq!(of("systemd").root, "/home/ops/.local/state/rollgate");
    }

    #[test]
    fn a_printf_that_is_a_program_would_show_secrets() {
        let reply = reply(ProbeEnd::Exited { code: 0 }, "uid=7\nprintf=/usr/bin/printf\n");
        assert!(matches!(read(&[reply], Become::None, None), Err(Unusable::Shell(_))));
    }
}
