//! Words for rights that are not to be had, from what sudo or doas said.

use super::error::{Kind, Trouble};
use super::trouble::by_hand;
use crate::model::host::{Become, SshTarget};

/// A way in which rights are refused.
struct Refusal {
    /// What sudo or doas says then, in part.
    phrases: &'static [&'static str],
    kind: Kind,
    text: &'static str,
    help: &'static str,
}

/// What sudo refuses, the sharper words first: that a password is required is said of an expired account as well.
const SUDO: &[Refusal] = &[
    Refusal {
        phrases: &["password is expired", "Account expired", "expired password", "is your account locked"],
        kind: Kind::Become,
        text: "sudo finds the login's account or its password expired or locked",
        help: "have the node's administrator renew it (`chage -l LOGIN` shows the dates, `passwd -S LOGIN` a lock); \
               rollgate changes no password",
    },
    Refusal {
        phrases: &["must have a tty"],
        kind: Kind::Become,
        text: "sudo there insists on a terminal (requiretty)",
        help: "rollgate's commands have none, with or without a password; sudoers must let this login be: \
               `Defaults:LOGIN !requiretty` (visudo)",
    },
    Refusal {
        phrases: &["not in the sudoers file", "may not run sudo"],
        kind: Kind::Become,
        text: "the login is not in sudoers",
        help: "give it rights there, as with `LOGIN ALL=(ALL) ALL` (visudo), or log in as somebody who has them: \
               `user:` in the inventory",
    },
    Refusal {
        phrases: &["is not allowed to execute", "is not allowed to run"],
        kind: Kind::Become,
        text: "sudoers allows the login some commands, and no shell",
        help: "rollgate hands its scripts to a shell (`sudo sh -c`), so a list of single commands is not enough: \
               `LOGIN ALL=(ALL) ALL` (visudo)",
    },
    Refusal {
        phrases: &["incorrect password", "refused, and it is not tried again"],
        kind: Kind::Password,
        text: "sudo does not take the password",
        help: "it was given once and is not tried again, for that may lock the account (pam_faillock); look at the \
               secret that `become:` names, and whether sudo there wants another user's password (`rootpw`, `targetpw`)",
    },
    Refusal {
        phrases: &["no password was provided"],
        kind: Kind::Become,
        text: "sudo asks for more than one line",
        help: "rollgate can give it a password and nothing beside it, such as a one-time code; the login needs rules \
               in /etc/pam.d/sudo that do without, or `NOPASSWD`",
    },
    Refusal {
        phrases: &["setuid root", "no new privileges", "nosuid"],
        kind: Kind::Become,
        text: "sudo itself has no rights there",
        help: "it must belong to root and be setuid, on a file system without `nosuid`; in a container without \
               `no-new-privileges`",
    },
    Refusal {
        phrases: &["sudo: not found", "sudo: command not found", "sudo: No such file"],
        kind: Kind::Become,
        text: "there is no sudo on the node",
        help: "install it, log in as root (`user: root` with `become: none`), or use doas where there is one",
    },
    Refusal {
        phrases: &["a password is required", "a terminal is required"],
        kind: Kind::Become,
        text: "sudo there wants a password, and is given none",
        help: "name the secret with it: `become: { with: sudo, password: NAME }`, where NAME stands under `secrets:`; \
               or let this user in without one, as with `LOGIN ALL=(ALL) NOPASSWD: ALL` (visudo)",
    },
];

/// What doas refuses.
const DOAS: &[Refusal] = &[
    Refusal {
        phrases: &["Authentication required", "Authentication failed", "a tty is required"],
        kind: Kind::Become,
        text: "doas there wants a password",
        help: "doas reads one from a terminal alone, so it must let this user in without: `permit nopass LOGIN` \
               (doas.conf); `persist` does not help, for it needs a terminal too. sudo can be given a password",
    },
    Refusal {
        phrases: &["Operation not permitted"],
        kind: Kind::Become,
        text: "doas.conf has no rule for the login",
        help: "add one: `permit nopass LOGIN` (doas.conf)",
    },
    Refusal {
        phrases: &["not enabled"],
        kind: Kind::Become,
        text: "doas has no configuration there",
        help: "write one: `permit nopass LOGIN` (doas.conf)",
    },
    Refusal {
        phrases: &["doas: not found", "doas: command not found", "doas: No such file"],
        kind: Kind::Become,
        text: "there is no doas on the node",
        help: "install it, or use sudo (`become: sudo`)",
    },
];

fn known(with: Become) -> (&'static str, &'static [Refusal]) {
    match with {
        Become::Doas => ("doas", DOAS),
        Become::Sudo | Become::None => ("sudo", SUDO),
    }
}

/// The refusal that these words are, and the line of them that tells it.
fn told(with: Become, said: &str) -> Option<(&'static Refusal, &str)> {
    let line = |phrase: &&str| said.lines().map(str::trim).find(|line| line.contains(phrase));
    known(with).1.iter().find_map(|refusal| Some((refusal, refusal.phrases.iter().find_map(line)?)))
}

/// Whether these are the words of rights that are not to be had.
pub(super) fn is_told_by(with: Become, said: &str) -> bool {
    told(with, said).is_some()
}

/// Whether these are the words of a password that sudo does not take.
pub(super) fn is_wrong_password(said: &str) -> bool {
    told(Become::Sudo, said).is_some_and(|(refusal, _)| refusal.kind == Kind::Password)
}

/// Rights are not to be had. `by_password`: sudo was given one.
pub(super) fn no_rights(
    place: String,
    target: Option<&SshTarget>,
    with: Become,
    by_password: bool,
    said: &str,
) -> Trouble {
    let (name, _) = known(with);
    // What can be tried by hand: with a password, sudo asks for it there.
    let (options, check): (&[&str], _) = match (with, by_password) {
        (Become::Sudo, true) => (&["-t"], "sudo -k -v".to_owned()),
        _ => (&[], format!("{name} -n true")),
    };
    let next = Some(target.map_or_else(|| check.clone(), |target| by_hand(target, options, &check)));
    let lines: Vec<String> = said.lines().map(|line| line.trim().to_owned()).collect();
    let (kind, text, help) = if let Some((refusal, line)) = told(with, said) {
        (refusal.kind, format!("{}: {line}", refusal.text), refusal.help.to_owned())
    } else {
        let last = lines.iter().rfind(|line| !line.is_empty()).map_or("it says nothing", String::as_str);
        let help = format!("the login works, but `{check}` on the node does not; try it by hand");
        (Kind::Become, format!("{name} does not work: {last}"), help)
    };
    Trouble { kind, place, text, said: lines, help, next }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(with: Become, by_password: bool, said: &str) -> Trouble {
        no_rights("ops@n1".to_owned(), None, with, by_password, said)
    }

    /// As sudo 1.9.13p3 and doas 6.8.2 of Debian 12 say it.
    #[test]
    fn each_refusal_is_told_from_the_others() {
        for (said, text, kind) in [
            (
                "sudo: Account or password is expired, reset your password and try again\n[sudo] password for %p: \n\
                 sudo: no password was provided\nsudo: unable to change expired password: Authentication token \
                 manipulation error\nsudo: a password is required",
                "sudo finds the login's account or its password expired or locked",
                Kind::Become,
            ),
            (
                "sudo: account validation failure, is your account locked?\nsudo: a password is required",
                "sudo finds the login's account or its password expired or locked",
                Kind::Become,
            ),
            (
                "sudo: sorry, you must have a tty to run sudo",
                "sudo there insists on a terminal (requiretty)",
                Kind::Become,
            ),
            ("out is not in the sudoers file.", "the login is not in sudoers", Kind::Become),
            ("Sorry, user out may not run sudo on n1.", "the login is not in sudoers", Kind::Become),
            (
                "Sorry, user once is not allowed to execute '/usr/bin/sh -c eval \"$(cat)\"' as root on n1.",
                "sudoers allows the login some commands, and no shell",
                Kind::Become,
            ),
            (
                "Sorry, try again.\n\nsudo: no password was provided\nsudo: 1 incorrect password attempt",
                "sudo does not take the password",
                Kind::Password,
            ),
            (
                "sudo: no password was provided\nsudo: a password is required",
                "sudo asks for more than one line",
                Kind::Become,
            ),
            ("sh: 1: sudo: not found", "there is no sudo on the node", Kind::Become),
            ("sudo: a password is required", "sudo there wants a password, and is given none", Kind::Become),
            ("sudo: etwas Neues", "sudo does not work", Kind::Become),
            ("", "sudo does not work", Kind::Become),
        ] {
            let trouble = of(Become::Sudo, true, said);
            assert!(trouble.text.starts_with(&format!("{text}: ")), "{said}: {}", trouble.text);
            assert_eq!(trouble.kind, kind, "{said}");
            assert_eq!(is_wrong_password(said), kind == Kind::Password, "{said}");
        }
        for (said, text) in [
            ("doas: Authentication required", "doas there wants a password"),
            ("doas: Authentication failed", "doas there wants a password"),
            ("doas: Operation not permitted", "doas.conf has no rule for the login"),
            (
                "doas: doas is not enabled, /etc/doas.conf: No such file or directory",
                "doas has no configuration there",
            ),
            ("sh: 1: doas: not found", "there is no doas on the node"),
        ] {
            let trouble = of(Become::Doas, false, said);
            assert!(trouble.text.starts_with(&format!("{text}: ")), "{said}: {}", trouble.text);
        }
    }

    #[test]
    fn what_has_nothing_to_do_with_rights_is_left_alone() {
        for said in [
            "cat: /etc/x: Permission denied",
            "sh: 1: bash: not found",
            "sudo: unable to resolve host n1",
            "",
        ] {
            assert!(!is_told_by(Become::Sudo, said) && !is_told_by(Become::Doas, said), "{said}");
        }
        assert!(is_wrong_password(super::super::rights::NOT_AGAIN));
    }

    #[test]
    fn what_is_tried_by_hand_asks_only_where_a_password_was_given() {
        let next = |by_password| of(Become::Sudo, by_password, "").next.unwrap();
        assert_eq!((next(false), next(true)), ("sudo -n true".to_owned(), "sudo -k -v".to_owned()));
    }
}
