//! Words for a login that was turned down, or that asked for what nobody could give.

use super::answers::{NoAnswer, Wanted};
use super::askpass::{Asked, Unanswered};
use super::error::{Kind, Trouble};
use super::keys::{Agent, Fault, Offer};
use super::trouble::{by_hand, place};
use crate::model::escape;
use crate::model::host::SshTarget;
use crate::model::name::VarName;

/// What a node says to whom must choose a new password first.
const EXPIRED: [&str; 2] = ["Password change required", "password has expired"];

/// Whether a node's words are about a password that has expired.
pub(super) fn is_expired(said: &str) -> bool {
    let said = said.to_lowercase();
    EXPIRED.iter().any(|words| said.contains(&words.to_lowercase()))
}

/// The password has expired, whatever the login was made with.
pub(super) fn expired(target: &SshTarget) -> Trouble {
    let kept = target.password.as_ref().map_or_else(String::new, |secret| {
        format!(", then put the new one where the secret `{secret}` comes from")
    });
    Trouble {
        kind: Kind::PasswordExpired,
        place: place(target),
        text: "the password has expired and must be changed first".to_owned(),
        said: Vec::new(),
        help: format!("rollgate changes no password: log in by hand and choose a new one{kept}"),
        next: Some(by_hand(target, &["-t"], "true")),
    }
}

/// ssh asked for something and was ended, since it was not to go on without it.
pub(super) fn stopped(target: &SshTarget, asked: &Asked) -> Trouble {
    let Some(Unanswered { wanted, said, why }) = &asked.stop else {
        return expired(target);
    };
    let Some(wanted) = wanted else { return expired(target) };
    let said = escape::line(said.trim().as_bytes(), false);
    let (kind, text, help) = match why {
        NoAnswer::Refused { secret } => (Kind::PasswordRefused, refused(asked), source(secret)),
        NoAnswer::NotYet => (
            Kind::PermissionDenied,
            "it does not accept the password that it accepted before".to_owned(),
            "a node that is starting lets nobody in for a while; it is offered the password a few times more"
                .to_owned(),
        ),
        NoAnswer::Withheld { secret, by } => (
            Kind::PasswordRefused,
            format!("its password was not offered, for {by} has refused it"),
            format!("{}; one that no node has accepted is tried at one of them alone", source(secret)),
        ),
        NoAnswer::Missing { secret } => (
            Kind::Unanswered,
            format!("its password, the secret `{secret}`, could not be had"),
            "without a terminal a secret comes from `env`, `file` or `command`".to_owned(),
        ),
        NoAnswer::Declined | NoAnswer::Stale => (
            Kind::Unanswered,
            format!("it asks `{said}`, and there was no answer"),
            "Enter alone, Ctrl-C and two minutes without an answer are none".to_owned(),
        ),
        NoAnswer::Nobody => {
            (Kind::Unanswered, format!("it asks `{said}`, and nobody can be asked here"), remedy(wanted))
        }
    };
    Trouble {
        kind,
        place: place(target),
        text,
        said: Vec::new(),
        help,
        next: Some(by_hand(target, &[], "true")),
    }
}

fn refused(asked: &Asked) -> String {
    let what = if asked.given.contains(&Wanted::Code) { "the password or the code" } else { "the password" };
    format!("{what} was not accepted")
}

/// Where a password came from.
fn source(secret: &VarName) -> String {
    format!("it is the secret `{secret}`, offered once and not again, lest the account be locked")
}

/// What to do where nobody can be asked.
fn remedy(wanted: &Wanted) -> String {
    match wanted {
        Wanted::Password => {
            "name a secret as its password (`password:` under `ssh:`), give it a key, or run this at a terminal"
        }
        Wanted::OtherPassword => {
            "a host on the way asks, and the node's own password is not for it: give it a key, or run this at a \
             terminal"
        }
        Wanted::Passphrase { .. } | Wanted::Code => {
            "what changes with every login can only be typed: run this at a terminal, or give it a key that needs none"
        }
    }
    .to_owned()
}

/// The server turned the login down: what there was to offer, and what to do.
pub(super) fn denied(target: &SshTarget, trouble: Trouble, asked: &Asked, offer: &Offer) -> Trouble {
    let tried = tried(target, offer);
    if asked.gave_anything() {
        let help = match &target.password {
            Some(secret) if asked.gave_password() => source(secret),
            _ => "what was typed is forgotten".to_owned(),
        };
        let next = Some(by_hand(target, &[], "true"));
        let text = format!("{} ({})", refused(asked), trouble.text);
        return Trouble {
            kind: Kind::PasswordRefused,
            text,
            help: format!("{help}; {tried}"),
            next,
            ..trouble
        };
    }
    let locked: Vec<&Unanswered> = asked.unanswered.iter().collect();
    let advice = advice(target, &trouble.text, offer, &locked);
    // Where something must be typed, ssh must be let to ask for it.
    let is_typed = offer.is_locked() || takes_password(&trouble.text);
    let options: &[&str] = if is_typed { &[] } else { &["-o", "BatchMode=yes"] };
    Trouble { help: format!("{advice}; {tried}"), next: Some(by_hand(target, options, "true")), ..trouble }
}

/// The server closed the connection after it was given an answer.
pub(super) fn closed(target: &SshTarget, trouble: Trouble, asked: &Asked) -> Trouble {
    let help = match &target.password {
        Some(secret) if asked.gave_password() => source(secret),
        _ => "a server waits two minutes for a login (LoginGraceTime in its sshd_config)".to_owned(),
    };
    let text = format!("{}, after it was given an answer", trouble.text);
    Trouble { kind: Kind::PasswordRefused, text, help, next: Some(by_hand(target, &[], "true")), ..trouble }
}

/// Whether the methods that the server would have gone on with include one that types.
fn takes_password(text: &str) -> bool {
    ["password", "keyboard-interactive"].iter().any(|method| text.contains(method))
}

/// Keys and agent, as they were.
fn tried(target: &SshTarget, offer: &Offer) -> String {
    let keys: Vec<String> = offer
        .keys
        .iter()
        .map(|key| {
            let fault = match key.fault {
                None => "",
                Some(Fault::Missing) => " (there is no such file)",
                Some(Fault::Unreadable) => " (cannot be read)",
                Some(Fault::Open) => " (others may read it, so ssh does not use it)",
                Some(Fault::Locked) => " (has a passphrase)",
            };
            format!("{}{fault}", key.file.display())
        })
        .collect();
    let keys = if keys.is_empty() { "no key file".to_owned() } else { keys.join(", ") };
    let agent = match &offer.agent {
        // ssh would offer no other key of it than the one that is named.
        Agent::Holds(_) if target.identity_file.is_some() => String::new(),
        Agent::Holds(0) => "; the agent has no key".to_owned(),
        Agent::Holds(1) => "; the agent's one key".to_owned(),
        Agent::Holds(count) => format!("; the agent's {count} keys"),
        Agent::Gone(socket) => {
            format!("; the agent is gone: SSH_AUTH_SOCK is {}, and nobody answers there", socket.display())
        }
        Agent::None => "; there is no agent (SSH_AUTH_SOCK is not set; cron jobs have none)".to_owned(),
    };
    format!("tried: {keys}{agent}")
}

fn advice(target: &SshTarget, text: &str, offer: &Offer, unanswered: &[&Unanswered]) -> String {
    if unanswered.iter().any(|one| one.why == NoAnswer::Declined) {
        return "the passphrase was not given".to_owned();
    }
    if offer.is_locked() {
        return "nobody can be asked for the passphrase here (ssh runs with BatchMode=yes): run this at a terminal, \
                add the key to an agent (ssh-add), or give the job a key without one"
            .to_owned();
    }
    if takes_password(text) {
        return "the server takes a password too: name a secret as `password:` under `ssh:`, or run this at a \
                terminal"
            .to_owned();
    }
    match (&target.identity_file, &offer.agent) {
        (_, Agent::Gone(_)) => {
            "start an agent and add the key (ssh-add), or name a key: `identity_file:` under \
                                `ssh:`"
                .to_owned()
        }
        (Some(_), _) => "is the key in the node's authorized_keys? (ssh runs with BatchMode=yes)".to_owned(),
        (None, Agent::None) => {
            "name a key: `identity_file:` under `ssh:` (ssh runs with BatchMode=yes)".to_owned()
        }
        (None, Agent::Holds(_)) => {
            "add a key to the agent (ssh-add), or name one: `identity_file:` (ssh runs with BatchMode=yes)"
                .to_owned()
        }
    }
}
