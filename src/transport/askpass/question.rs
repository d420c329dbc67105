//! Tells by ssh's words what is asked for.

use super::super::answers::Wanted;

/// What a prompt of ssh is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Whether to trust a host key, or to let a key be used: nothing that is answered here.
    Never,
    /// Nothing is to be typed: ssh shows something.
    Notice,
    /// The password has expired, and a new one is to be chosen.
    NewPassword,
    /// Something is to be typed. What is local is asked by ssh itself, and no server counts it when there is no
    /// answer.
    Wanted { wanted: Wanted, is_local: bool },
}

impl Question {
    /// Reads a prompt. What an ssh asks that is not the node's own is about another host.
    pub(super) fn of(prompt: &str, hint: &str, is_the_nodes: bool) -> Self {
        match hint {
            "" => {}
            "none" => return Self::Notice,
            _ => return Self::Never,
        }
        let local = |wanted| Self::Wanted { wanted, is_local: true };
        if let Some(key) = prompt.strip_prefix("Enter passphrase for key '") {
            let key = key.rsplit_once('\'').map_or(key, |(key, _)| key);
            return local(Wanted::Passphrase { key: key.to_owned() });
        }
        // ssh itself puts `(user@host) ` before whatever a server has it ask.
        let of_server = prompt.strip_prefix('(').and_then(|rest| rest.split_once(") "));
        if let Some((_, words)) = of_server.filter(|(login, _)| is_login(login)) {
            return Self::of_server(words, is_the_nodes);
        }
        if prompt.strip_suffix("'s password: ").is_some_and(is_login) {
            return password(is_the_nodes);
        }
        let changes = |end: &str| {
            let begins = prompt.starts_with("Enter ") || prompt.starts_with("Retype ");
            begins && prompt.ends_with(end)
        };
        if changes("'s old password: ") || changes("'s new password: ") {
            return Self::NewPassword;
        }
        if ["(yes/no", "type 'yes'", "authenticity of host"].iter().any(|words| prompt.contains(words)) {
            return Self::Never;
        }
        local(Wanted::Code)
    }

    /// What a server has ssh ask, in the server's words.
    fn of_server(words: &str, is_the_nodes: bool) -> Self {
        let words = words.trim().trim_end_matches(':').trim_end().to_lowercase();
        let has = |word: &str| words.split(|c: char| !c.is_alphanumeric()).any(|other| other == word);
        let is_about_one = has("password") || has("passwd");
        if is_about_one && ["new", "current", "old", "retype", "expired"].iter().any(|word| has(word)) {
            return Self::NewPassword;
        }
        let is_plain = matches!(
            words.as_str(),
            "password"
                | "passwd"
                | "enter password"
                | "your password"
                | "enter your password"
                | "unix password"
        );
        if is_plain || words.strip_prefix("password for ").is_some_and(|login| !login.contains(' ')) {
            return password(is_the_nodes);
        }
        Self::Wanted { wanted: Wanted::Code, is_local: false }
    }
}

fn password(is_the_nodes: bool) -> Question {
    let wanted = if is_the_nodes { Wanted::Password } else { Wanted::OtherPassword };
    Question::Wanted { wanted, is_local: false }
}

/// Whether this is `user@host`, as ssh writes it.
fn is_login(text: &str) -> bool {
    text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty())
        && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(prompt: &str) -> Question {
        Question::of(prompt, "", true)
    }

    fn wants(wanted: Wanted, is_local: bool) -> Question {
        Question::Wanted { wanted, is_local }
    }

    #[test]
    fn a_password_is_the_nodes_or_another_hosts() {
        for prompt in [
            "ops@10.0.0.13's password: ",
            "(ops@10.0.0.13) Password: ",
            "(ops@10.0.0.13) Password for ops@bsd: ",
            "(ops@fe80::1) password:",
        ] {
            assert_eq!(asks(prompt), wants(Wanted::Password, false), "{prompt}");
            assert_eq!(Question::of(prompt, "", false), wants(Wanted::OtherPassword, false), "{prompt}");
        }
    }

    #[test]
    fn whatever_else_a_server_asks_is_no_password() {
        for words in [
            "Verification code: ",
            "Password & verification code: ",
            "Password of your bank: ",
            "Enter passphrase for key '/home/ops/.ssh/id': ",
            "\nops@10.0.0.13's password: ",
            "Are you sure you want to continue connecting (yes/no)? ",
        ] {
            assert_eq!(asks(&format!("(ops@10.0.0.13) {words}")), wants(Wanted::Code, false), "{words}");
        }
    }

    #[test]
    fn a_passphrase_names_its_key() {
        let key = "/home/o'neill/.ssh/id".to_owned();
        let prompt = format!("Enter passphrase for key '{key}': ");
        assert_eq!(asks(&prompt), wants(Wanted::Passphrase { key }, true));
        assert_eq!(asks("Enter PIN for ED25519-SK key /keys/sk: "), wants(Wanted::Code, true));
    }

    #[test]
    fn an_expired_password_is_not_given_for_a_new_one() {
        for prompt in [
            "(ops@h) Current password: ",
            "(ops@h) (current) UNIX password: ",
            "(ops@h) New password: ",
            "(ops@h) Retype new password: ",
            "Enter ops@h's old password: ",
            "Enter ops@h's new password: ",
            "Retype ops@h's new password: ",
        ] {
            assert_eq!(asks(prompt), Question::NewPassword, "{prompt}");
        }
    }

    #[test]
    fn trust_is_never_given() {
        let unknown = "The authenticity of host 'h (10.0.0.13)' can't be established.\nED25519 key fingerprint is \
                       SHA256:abc.\nAre you sure you want to continue connecting (yes/no/[fingerprint])? ";
        assert_eq!(asks(unknown), Question::Never);
        assert_eq!(asks("Please type 'yes', 'no' or the fingerprint: "), Question::Never);
        assert_eq!(asks("Accept updated hostkeys? (yes/no): "), Question::Never);
        assert_eq!(Question::of("Allow use of key id?", "confirm", true), Question::Never);
        assert_eq!(Question::of("Confirm user presence for key", "none", true), Question::Notice);
    }
}
