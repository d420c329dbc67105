//! Words for what stands between here and a node, from what ssh said.

use std::ffi::OsStr;

use super::error::{Kind, Trouble};
use super::master::reach;
use super::sockets::Unfit;
use crate::model::duration;
use crate::model::host::SshTarget;

/// Where a target is, as shown: `ops@10.0.0.13 port 22`.
pub(super) fn place(target: &SshTarget) -> String {
    let mut text = target.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
    text.push_str(&target.host);
    if let Some(port) = target.port {
        text = format!("{text} port {port}");
    }
    if !target.jump.is_empty() {
        text = format!("{text} through {}", target.jump.join(", "));
    }
    text
}

/// A command line for the operator's shell.
fn typed(words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> String {
    let mut line = Vec::new();
    for word in words {
        let word = word.as_ref().to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-/=:@,+%".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            line.push(word.into_owned());
        } else {
            line.push(super::script::quote(&word));
        }
    }
    line.join(" ")
}

/// `ssh` with everything that reaches this target, and a command to run there.
pub(super) fn by_hand(target: &SshTarget, options: &[&str], command: &str) -> String {
    let reach = reach(target).into_iter();
    let words = std::iter::once("ssh".into())
        .chain(options.iter().map(Into::into))
        .chain(reach)
        .chain([(&target.host).into()]);
    format!("{} {command}", typed(words))
}

/// What [`Trouble`] says of a kind.
struct Words {
    text: String,
    help: String,
    next: Option<String>,
}

/// Reads ssh's own words for why there is no connection. `late`: it was still trying.
pub(super) fn of_ssh(target: &SshTarget, said: &str, late: bool) -> Trouble {
    let said: Vec<String> =
        said.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect();
    let kind = kind(&said, late);
    let words = words(kind, target, &said);
    Trouble { kind, place: place(target), text: words.text, said, help: words.help, next: words.next }
}

/// The kinds that ssh's words tell, the sharper ones first: a changed key also "failed verification".
const PHRASES: &[(Kind, &[&str])] = &[
    (Kind::HostKeyChanged, &["REMOTE HOST IDENTIFICATION HAS CHANGED", "POSSIBLE DNS SPOOFING"]),
    (Kind::HostKeyUnknown, &["you have requested strict checking", "Host key verification failed"]),
    (Kind::PermissionDenied, &["Permission denied (", "Too many authentication failures"]),
    (Kind::NameNotResolved, &["Could not resolve hostname"]),
    (Kind::ConnectionRefused, &["Connection refused"]),
    (Kind::TimedOut, &["timed out", "Timeout, server"]),
    (Kind::NoRoute, &["No route to host", "Network is unreachable"]),
    (
        Kind::TurnedAway,
        &[
            "kex_exchange_identification",
            "Connection closed by",
            "Connection reset by",
            "Not allowed at this time",
        ],
    ),
];

fn kind(said: &[String], late: bool) -> Kind {
    let has = |phrase: &&str| said.iter().any(|line| line.contains(phrase));
    let known = PHRASES.iter().find(|(_, phrases)| phrases.iter().any(has));
    known.map_or(if late { Kind::TimedOut } else { Kind::Other }, |(kind, _)| *kind)
}

/// The line that tells the kind, without ssh's own name before it.
fn telling(kind: Kind, said: &[String]) -> String {
    let phrases = PHRASES.iter().find(|(known, _)| *known == kind).map_or(&[][..], |(_, phrases)| phrases);
    let line = said.iter().find(|line| phrases.iter().any(|phrase| line.contains(phrase)));
    let line = line.or(said.last()).map_or("ssh ended without a word", String::as_str);
    let line = line.strip_prefix("ssh: ").unwrap_or(line);
    // `user@host: Permission denied (publickey).`: the place is shown already.
    let line = line.find("Permission denied (").map_or(line, |at| &line[at..]);
    line.trim_end_matches('.').to_owned()
}

fn words(kind: Kind, target: &SshTarget, said: &[String]) -> Words {
    let by_hand_true = |options: &[&str]| Some(by_hand(target, options, "true"));
    let text = telling(kind, said);
    let limit = duration::written(target.connect_timeout);
    match kind {
        Kind::HostKeyUnknown => unknown_key(target, said),
        Kind::HostKeyChanged => changed_key(target, said),
        Kind::ConnectionRefused => Words {
            text,
            help: "nothing listens there: the node is starting, its sshd is stopped, or the port is \
                   another (`port:` in the inventory)"
                .to_owned(),
            next: by_hand_true(&["-v"]),
        },
        Kind::TimedOut => Words {
            text: if said.is_empty() { format!("no answer in {limit}") } else { text },
            help: format!(
                "the node is down, or something between drops the packets; rollgate waited {limit} \
                 (`connect_timeout:` in the inventory)"
            ),
            next: by_hand_true(&["-v"]),
        },
        Kind::NameNotResolved => Words {
            text,
            help: "the name has no address here; give the address as `host:`, or a `Host` entry in \
                   ~/.ssh/config"
                .to_owned(),
            next: Some(typed(["getent", "hosts", &target.host])),
        },
        Kind::NoRoute => Words {
            text,
            help: "this machine has no way there: a VPN that is down, or a `jump:` that is missing"
                .to_owned(),
            next: by_hand_true(&["-v"]),
        },
        Kind::TurnedAway => Words {
            text,
            help: "the server closed the connection before the login: too many at once (MaxStartups in its \
                   sshd_config), fail2ban, or a firewall"
                .to_owned(),
            next: by_hand_true(&["-v"]),
        },
        Kind::PermissionDenied
        | Kind::PasswordRefused
        | Kind::PasswordExpired
        | Kind::Unanswered
        | Kind::Become
        | Kind::Password
        | Kind::Shell
        | Kind::NoRoom
        | Kind::Closed
        | Kind::Other => {
            Words { text, help: "ssh says so itself; try it by hand".to_owned(), next: by_hand_true(&["-v"]) }
        }
    }
}

/// The file that the operator's known keys are in, as it can be typed.
fn known_hosts(target: &SshTarget) -> String {
    target.known_hosts.as_ref().map_or_else(|| "~/.ssh/known_hosts".to_owned(), |file| typed([file]))
}

fn unknown_key(target: &SshTarget, said: &[String]) -> Words {
    let text = said.iter().find(|line| line.contains("strict checking"));
    let text = text.map_or("Host key verification failed", |line| line.trim_end_matches('.')).to_owned();
    let help = "the node's host key is not known here, and an unknown key is not taken for granted. Compare \
                its fingerprint with the one on the node's console";
    if !target.jump.is_empty() {
        return Words {
            text,
            help: format!("{help}; then answer ssh's question"),
            next: Some(by_hand(target, &[], "true")),
        };
    }
    let port = target.port.map(|port| format!("-p {port} ")).unwrap_or_default();
    let scan = format!("ssh-keyscan {port}{}", typed([&target.host]));
    Words {
        text,
        help: format!("{help}, then keep it: {scan} >> {}", known_hosts(target)),
        next: Some(format!("{scan} | ssh-keygen -lf -")),
    }
}

fn changed_key(target: &SshTarget, said: &[String]) -> Words {
    let print = said.iter().find(|line| line.starts_with("SHA256:"));
    let print = print.map(|print| format!(", now {}", print.trim_end_matches('.'))).unwrap_or_default();
    let name = match target.port {
        Some(port) if port != 22 => format!("[{}]:{port}", target.host),
        _ => target.host.clone(),
    };
    let file = target.known_hosts.as_ref().map(|file| format!(" -f {}", typed([file]))).unwrap_or_default();
    Words {
        text: format!("the host key has CHANGED{print}"),
        help: "the node was installed anew, or another machine answers in its place; rollgate goes on with \
               neither. When the new key is the one on the node's console, forget the old one"
            .to_owned(),
        next: Some(format!("ssh-keygen -R {}{file}", typed([name]))),
    }
}

/// The login works and no command does.
pub(super) fn no_shell(place: String, target: Option<&SshTarget>, text: &str, said: &str) -> Trouble {
    Trouble {
        kind: Kind::Shell,
        place,
        text: text.to_owned(),
        said: said.lines().map(|line| line.trim().to_owned()).collect(),
        help: "rollgate needs a login that can run a POSIX sh, and the shell that a step names: a login \
               shell like nologin, or a forced command in authorized_keys, is none"
            .to_owned(),
        next: target.map(|target| by_hand(target, &[], "'exec sh -c \"echo works\"'")),
    }
}

/// The connection was good and is gone.
pub(super) fn closed(place: String, why: &str) -> Trouble {
    Trouble {
        kind: Kind::Closed,
        place,
        text: why.to_owned(),
        said: Vec::new(),
        help: "the connection had ended before this could be asked; nothing of it has begun".to_owned(),
        next: None,
    }
}

/// The node cannot keep the records without which nothing is started there.
pub(super) fn no_room(place: String, root: &str, said: &str) -> Trouble {
    Trouble {
        kind: Kind::NoRoom,
        place,
        text: format!("rollgate cannot keep its records below {root}"),
        said: said.lines().take(5).map(ToOwned::to_owned).collect(),
        help: "without them nothing is started there; the disk may be full, read-only, or not this login's"
            .to_owned(),
        next: None,
    }
}

/// ssh could not be tried.
pub(super) fn no_ssh(target: &SshTarget, what: &str, error: &std::io::Error) -> Trouble {
    Trouble {
        kind: Kind::Other,
        place: place(target),
        text: format!("{what} failed here: {error}"),
        said: Vec::new(),
        help: "rollgate uses the operator's own ssh, in PATH, and a private directory in XDG_RUNTIME_DIR or \
               /tmp for its sockets"
            .to_owned(),
        next: Some("ssh -V".to_owned()),
    }
}

/// Connections are to stay open, and there is no directory that only this user can reach for their sockets.
pub(super) fn unfit_sockets(target: &SshTarget, unfit: &Unfit) -> Trouble {
    let directory = unfit.directory.display();
    Trouble {
        kind: Kind::Other,
        place: place(target),
        text: format!("the sockets of open connections cannot lie in {directory}: {}", unfit.why),
        said: Vec::new(),
        help: format!(
            "`ssh.persist` keeps connections open, and who reaches their sockets gets in; nothing in {directory} is \
             used. Remove it, or name a directory of your own that nobody else can enter as XDG_RUNTIME_DIR"
        ),
        next: Some(typed([OsStr::new("ls"), OsStr::new("-ld"), unfit.directory.as_os_str()])),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn target() -> SshTarget {
        SshTarget {
            host: "10.0.0.13".to_owned(),
            port: Some(2222),
            user: Some("ops".to_owned()),
            identity_file: Some("/keys/my id".into()),
            password: None,
            jump: Vec::new(),
            config_file: None,
            known_hosts: Some("/etc/rg/known".into()),
            accept_new_host_keys: false,
            connect_timeout: Duration::from_secs(7),
            reconnect_timeout: Duration::from_mins(10),
            persist: None,
        }
    }

    #[test]
    fn every_phrase_of_ssh_has_its_kind() {
        for (said, kind) in [
            ("ops@10.0.0.13: Permission denied (publickey).", Kind::PermissionDenied),
            (
                "No ED25519 host key is known for h and you have requested strict checking.\nHost key \
                 verification failed.",
                Kind::HostKeyUnknown,
            ),
            (
                "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nHost key verification failed.",
                Kind::HostKeyChanged,
            ),
            ("ssh: connect to host h port 22: Connection refused", Kind::ConnectionRefused),
            ("ssh: connect to host h port 22: Connection timed out", Kind::TimedOut),
            ("ssh: Could not resolve hostname h: Name or service not known", Kind::NameNotResolved),
            ("ssh: connect to host h port 22: No route to host", Kind::NoRoute),
            ("kex_exchange_identification: Connection closed by remote host", Kind::TurnedAway),
            ("something new", Kind::Other),
        ] {
            let trouble = of_ssh(&target(), said, false);
            assert_eq!(trouble.kind, kind, "{said}");
            assert!(!trouble.help.is_empty() && trouble.next.is_some(), "{said}");
        }
        assert_eq!(of_ssh(&target(), "", true).kind, Kind::TimedOut);
        assert_eq!(of_ssh(&target(), "", true).text, "no answer in 7s");
    }

    #[test]
    fn an_unknown_key_comes_with_the_lines_to_look_at_it_and_to_keep_it() {
        let trouble = of_ssh(&target(), "Host key verification failed.\n", false);
        assert_eq!(trouble.next.as_deref(), Some("ssh-keyscan -p 2222 10.0.0.13 | ssh-keygen -lf -"));
        assert!(trouble.help.ends_with("ssh-keyscan -p 2222 10.0.0.13 >> /etc/rg/known"));
    }

    #[test]
    fn a_changed_key_is_shown_with_its_fingerprint_and_never_forced() {
        let said = "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nThe fingerprint for the \
                    ED25519 key sent by the remote host is\nSHA256:abc.\nHost key verification failed.";
        let trouble = of_ssh(&target(), said, false);
        assert_eq!(trouble.text, "the host key has CHANGED, now SHA256:abc");
        assert_eq!(trouble.next.as_deref(), Some("ssh-keygen -R '[10.0.0.13]:2222' -f /etc/rg/known"));
    }
}
