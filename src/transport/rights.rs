//! Gains rights for a shell that reads its program on standard input, and gives sudo its password there.
//!
//! Measured with sudo 1.9.13p3 of Debian 12:
//!
//! - `sudo -S` reads one line, byte by byte; it reads none where it wants no password (`NOPASSWD`), and leaves that
//!   line to the program behind it. So the program's reader skips everything up to [`BEGINS`].
//! - A wrong password is not the end: sudo reads the next line as the second try, and the one after that. With a
//!   program behind the password these were lines of the program (three failures in the log). So the password is
//!   proved first, by a sudo whose input ends behind it (one failure, and nothing is tried again), and only then
//!   given again with a program behind it. sudo still asks its modules a second time, which find no answer:
//!   `pam_faillock` counts that as another one.
//! - `sudo -v` and then `sudo -n` in the same shell works without a terminal (the parent's number stands for it) until
//!   somebody sets `timestamp_timeout=0`; and a ticket may open the door for other logins (`timestamp_type=global`).
//!   So there is none: `-k` neither uses one nor leaves one behind.
//! - A proof costs as much as hashing a password, about what `sudo -n` takes five times (yescrypt). It is made once a
//!   call; without a password nothing changes.
//! - doas 6.8.2 (the portable one) reads a password from the terminal alone: with one on its input it says
//!   `Authentication failed` and has read nothing, with and without a session of its own.

use super::job::Secret;
use super::line;
use super::script::{Unfit, quote};
use crate::model::host::Become;

/// The line before a program that has a password before it. What comes earlier is for sudo.
const BEGINS: &str = "--rollgate--";

/// Skips what sudo has not read.
const SKIP: &str = "while IFS= read -r rg_l; do case $rg_l in (--rollgate--) break;; esac; done; rg_l=; ";

/// Asks for the password whatever was asked before, says nothing of its own, and leaves no ticket.
const BY_PASSWORD: &str = "sudo -k -S -p \"\" -- ";

/// What a shell is given that was told before that the password is wrong.
pub(super) const NOT_AGAIN: &str = "sudo: the password was refused, and it is not tried again";

/// How a command gains its rights.
#[derive(Debug, Clone)]
pub(super) struct Rights<'a> {
    /// What stands before it.
    with: String,
    password: Option<&'a Secret>,
}

impl<'a> Rights<'a> {
    /// Those of a node, where `password` is sudo's.
    pub(super) fn of(with: Become, password: Option<&'a Secret>) -> Self {
        match (with, password) {
            (Become::Sudo, Some(password)) => Self { with: BY_PASSWORD.to_owned(), password: Some(password) },
            (with, _) => Self { with: line::with(with).to_owned(), password: None },
        }
    }

    /// Those of the login again, for one who has become root: root is asked for nothing.
    pub(super) fn given_up(with: Become, login: &str) -> Self {
        let with = match with {
            Become::None => String::new(),
            Become::Sudo => format!("sudo -n -H -u {} -- ", quote(login)),
            Become::Doas => format!("doas -n -u {} -- ", quote(login)),
        };
        Self { with, password: None }
    }

    /// What stands before and behind a command that prints a program, so that a shell with these rights runs it.
    ///
    /// The password is a word of `printf`, which is built in: it is no variable that a script could find, and stands
    /// on no command line.
    pub(super) fn around(&self, shell: &str) -> (String, String) {
        let Some(password) = self.password else {
            return (String::new(), format!(" | {}{shell} -c 'eval \"$(cat)\"'", self.with));
        };
        let before = format!(
            "{}\n[ \"$rg_proved\" = yes ] && {{ printf '%s\\n' {} {BEGINS}; ",
            proof(password),
            quote(password.reveal())
        );
        (before, format!("; }} | {}{shell} -c '{SKIP}eval \"$(cat)\"'", self.with))
    }

    /// What stands at the beginning of a program, so that its environment proves nothing.
    pub(super) fn unproved(&self) -> &'static str {
        if self.password.is_some() { "rg_proved=\n" } else { "" }
    }

    /// Commands that end their shell unless the rights are to be had.
    pub(super) fn or_exit(&self) -> String {
        match self.password {
            None => format!("{}true || exit 126\n", self.with),
            Some(password) => format!("{}\n[ \"$rg_proved\" = yes ] || exit 126\n", proof(password)),
        }
    }

    /// What `rg_by_systemd` is called with; the way is known to be there.
    pub(super) fn key(&self) -> Option<String> {
        self.password.map(|password| format!("{}\n{BEGINS}", password.reveal()))
    }

    /// The command line and the program for a call that reads on where its program ends. The program is a loader's:
    /// it ends with a line of a single dot. `begin` and `end` are the marks around it.
    pub(super) fn fed(&self, begin: &str, core: &str, end: &str) -> (String, String) {
        let Some(password) = self.password else {
            return (line::fed(&self.with), format!("{{\n{begin}{core}rg_end=$?; {end}}}\n.\n"));
        };
        // The end is said as soon as sudo ends: `cat` goes on until nobody sends any more.
        let program = format!(
            "{{\nrg_proved=\n{begin}{}\nif [ \"$rg_proved\" = yes ]; then\n\
             {{ printf '%s\\n' {} {BEGINS} {} .; cat; }} | {{ {}sh -c '{SKIP}{}'; rg_end=$?; {end}}}\n\
             else rg_end=1; {end}fi\n}}\n.\n",
            proof(password),
            quote(password.reveal()),
            quote(core),
            self.with,
            line::LOADER,
        );
        (line::fed(""), program)
    }

    /// Whether a password can be given: sudo reads one line.
    pub(super) fn fit(password: &Secret) -> Result<(), Unfit> {
        let text = password.reveal();
        let why = if text.is_empty() {
            "is empty"
        } else if text.contains(['\n', '\r', '\0']) {
            "has a line break or a NUL in it, and sudo reads one line"
        } else if text == BEGINS {
            "is the one line that cannot be given"
        } else {
            return Ok(());
        };
        Err(Unfit(format!("the password for sudo there {why}")))
    }
}

/// Whether sudo takes the password, in `rg_proved`; asked once by each shell. The words are English ones, whatever the
/// node speaks.
fn proof(password: &Secret) -> String {
    format!(
        "case ${{rg_proved-}} in
(yes) ;;
(no) printf '%s\\n' '{NOT_AGAIN}' >&2 ;;
(*) rg_proved=no; printf '%s\\n' {} | LC_ALL=C sudo -k -S -p \"\" -v >/dev/null && rg_proved=yes ;;
esac",
        quote(password.reveal())
    )
}
