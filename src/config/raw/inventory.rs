//! The inventory as written.

use super::super::shape::{
    Rule, at_least, at_most, choice, duration, host, identifier, line, name, names, never_with, own_variable,
    port, remote_path, required, text, time_of_week, value,
};
use super::procedure::RawProcedure;
use super::words::{BECOME, CONNECTIONS, HOST_KEYS};
use super::{Entries, Mappings, OneOrMany, Or, Scalar, mapping};
use crate::model::name::{GroupName, NodeName};

mapping! {
    /// One cluster: its nodes, how they are reached, their variables and secrets. See rollgate-inventory(5).
    RawInventory [required(&["cluster", "procedure", "nodes"])] {
        /// The cluster's name. It names the lock and the records of runs, and `start` asks you to type it.
        /// Example: `web-prod`.
        cluster: Scalar => name(),
        /// What is done with the nodes: the path of the procedure file, starting at this file's directory, or
        /// the procedure itself as a mapping. Example: `./procedure.yaml`.
        procedure: Or<RawProcedure> => text(),
        /// How nodes are reached. What is not said here comes from `~/.ssh/config`, as with ssh itself.
        ssh: RawSsh,
        /// How commands gain rights on the nodes: a word, for rights without a password (`sudo -n`), or a mapping
        /// that names the secret with the password for sudo. A node, check or step can say otherwise. Example:
        /// `{ with: sudo, password: sudo_password }`.
        r#become: Or<RawBecome> => choice(BECOME).or("none"),
        /// rollgate's own directory on the nodes, an absolute path. Default: `/var/lib/rollgate` for root,
        /// `~/.local/state/rollgate` for others.
        state_dir: Scalar => remote_path(),
        /// Variables of all nodes. They reach every script as environment variables; cluster, group, node: the
        /// nearest wins. Quote versions: to YAML 1.10 is the number 1.1. Example: `target: "2.4.0"`.
        vars: Entries<Scalar> => value().by(own_variable()),
        /// Secrets, by where they come from. Each is fetched when a run starts, masked in all output and never
        /// stored. A script that names one has it as a variable of its shell, which is not exported. Example: `registry_password: { env: REGISTRY_PASSWORD }`.
        secrets: Entries<RawSecret> => text().by(own_variable()),
        /// What tells people that a run waits, stopped or finished: a command of this machine, which finds the
        /// event on its standard input as JSON, or a mapping with its time. Example: `mail-oncall`.
        notify: Or<RawNotify> => text(),
        /// The hours in which nodes may begin: a mapping, or a list of them. At any time where there is none. What
        /// is under way is never cut off. Example: `{ open: "Sat 22:00", close: "Sun 04:00", zone: Europe/Madrid }`.
        window: Mappings<RawWindow>,
        /// Variables of groups. A group that has none need not stand here: that nodes name it is enough.
        /// Example: `web: { vars: { port: "8080" } }`.
        groups: Entries<RawGroup> => text().by(name().but(GroupName::RESERVED)),
        /// The nodes, in the order in which they are taken. `[]` where commands of this machine reach all there
        /// is. Example: `- { name: "web[1-3]", host: "10.0.0.1[1-3]", groups: [web] }`.
        nodes: Vec<RawNode>,
    }
}

mapping! {
    /// How nodes are reached. What is not said here comes from `~/.ssh/config`.
    RawSsh {
        /// The login name. Default: ssh's own. Example: `ops`.
        user: Scalar => host(),
        /// The port, 1 to 65535. Default: ssh's own, 22.
        port: u16 => port(),
        /// The private key. Its passphrase is asked for at a terminal; a run without one needs an agent, or a key
        /// without a passphrase. Example: `~/.ssh/id_ed25519`.
        identity_file: Scalar => text(),
        /// The password of the login: the name of one of `secrets`, never the password itself. It is offered once
        /// per login, to the node alone. Example: `login_password`.
        password: Scalar => identifier(),
        /// One jump host, or a list of them in order, as `ssh -J` takes them. Example: `[bastion]`.
        jump: OneOrMany => host(),
        /// How long a connection may take to be made: a number and its unit.
        connect_timeout: Scalar => duration().or("10s"),
        /// How long a node may be out of contact while a step runs there, which itself goes on, or while a file
        /// is copied, which goes on where it was. A number and its unit.
        reconnect_timeout: Scalar => duration().or("10m"),
        /// How long a connection stays open after its last use, 1h at most, for your next command: a number and its
        /// unit. That one logs in to nothing, so nobody is asked for a password or a code again, and what has become of
        /// the login meanwhile is not seen. Without the key it ends with its command. Example: `10m`.
        persist: Scalar => duration(),
        /// A file instead of `~/.ssh/config`.
        config_file: Scalar => text(),
        /// A file instead of `~/.ssh/known_hosts`.
        known_hosts: Scalar => text(),
        /// What is done about a host key that is not known: `strict` refuses it, `accept-new` accepts and keeps
        /// it. A key that has changed is refused in any case.
        host_keys: Scalar => choice(HOST_KEYS).or("strict"),
    }
}

mapping! {
    /// How commands gain rights, with a password.
    RawBecome [required(&["with", "password"]), never_with("with", "doas", &["password"])] {
        /// By what. With `none`, only checks and steps that say `become: sudo` themselves gain rights.
        with: Scalar => choice(BECOME),
        /// The secret that is the password, by its name under `secrets`. sudo is given it on its standard input,
        /// and it is proved at login. doas reads a password from a terminal alone. Example: `sudo_password`.
        password: Scalar => identifier(),
    }
}

mapping! {
    /// Where a secret comes from; exactly one key.
    RawSecret [at_least(1), at_most(1)] {
        /// An environment variable of yours; nothing that rollgate starts has it. Example: `REGISTRY_PASSWORD`.
        env: Scalar => identifier(),
        /// A file of yours or of root that nobody else can read (mode 0600), of 64 KiB at most; one newline at its
        /// end is dropped.
        file: Scalar => text(),
        /// A command on this machine, whose output it is: 64 KiB at most, within a minute. It has no terminal.
        /// Example: `pass show registry`.
        command: Scalar => text(),
        /// The text with which you are asked for it at the terminal. Example: `Password of the registry`.
        prompt: Scalar => line(),
    }
}

mapping! {
    /// What tells people of a run.
    RawNotify [required(&["run"])] {
        /// The command, run with `sh -c` on this machine; the event stands on its standard input as JSON.
        /// Example: `mail-oncall`.
        run: Scalar => text(),
        /// How long it may take: a number and its unit. A run never waits for it.
        timeout: Scalar => duration().or("10s"),
    }
}

mapping! {
    /// Hours in which turns may begin.
    RawWindow [required(&["open", "close"])] {
        /// When it opens: a day and a time, or a time of every day. Example: `Sat 22:00`.
        open: Scalar => time_of_week(),
        /// When it closes. A close before the open means the next day or week. Example: `Sun 04:00`.
        close: Scalar => time_of_week(),
        /// The time zone, by its IANA name. Default: that of the machine that makes the plan. Example:
        /// `Europe/Madrid`.
        zone: Scalar => text(),
    }
}

mapping! {
    /// A group.
    RawGroup {
        /// Variables of its nodes. Example: `{ port: "8080" }`.
        vars: Entries<Scalar> => value().by(own_variable()),
    }
}

/// What `connection: local` leaves without a meaning.
fn local_has_no_address() -> Rule {
    never_with("connection", "local", &["host", "port", "user", "password"])
}

mapping! {
    /// A node, or several of them by a range.
    RawNode [required(&["name"]), local_has_no_address()] {
        /// What the node is called on screens, in `--limit` and in file names. A range stands for several
        /// nodes. Example: `web1`, or `"web[1-3]"`.
        name: Scalar => names().but(NodeName::RESERVED),
        /// Its host name or address. Default: its name. A range must be as long as that of the name. Example:
        /// `10.0.0.11`, or `"10.0.0.1[1-3]"`.
        host: Scalar => host(),
        /// The port, 1 to 65535. Default: that of the cluster's `ssh`.
        port: u16 => port(),
        /// The login name. Default: that of the cluster's `ssh`.
        user: Scalar => host(),
        /// The password of the login, by the name of one of `secrets`. Default: that of the cluster's `ssh`.
        /// Example: `login_password`.
        password: Scalar => identifier(),
        /// How commands get there: `ssh`, or `local`: they run on this machine, as you, in a directory of the
        /// node's own.
        connection: Scalar => choice(CONNECTIONS).or("ssh"),
        /// A group, or a list of them. Example: `[web]`.
        groups: OneOrMany => name().but(GroupName::RESERVED),
        /// The node's own variables. Example: `{ port: "8081" }`.
        vars: Entries<Scalar> => value().by(own_variable()),
        /// How commands gain rights there, if not as for the cluster: a word, or a mapping that names the secret
        /// with the password for sudo. Example: `{ with: sudo, password: sudo_password }`.
        r#become: Or<RawBecome> => choice(BECOME),
        /// rollgate's own directory there, if not as for the cluster: an absolute path.
        state_dir: Scalar => remote_path(),
    }
}
