//! How a node is reached and as whom commands run there.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration;
use super::name::VarName;

/// The way to a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "a cluster has few nodes, and nearly all are of the larger sort"
)]
pub enum Connection {
    /// Over SSH, through the operator's own `ssh`.
    Ssh(SshTarget),
    /// No SSH: commands run on this machine, in a directory of the node's own.
    Local,
}

/// What `ssh` is told; everything absent comes from `~/.ssh/config`, as with ssh itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SshTarget {
    /// Host name or address; checked by [`host_is_safe`] when it enters.
    pub host: String,
    /// Port.
    pub port: Option<u16>,
    /// Login name.
    pub user: Option<String>,
    /// Private key file, absolute.
    pub identity_file: Option<PathBuf>,
    /// The secret that is the login's password, by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<VarName>,
    /// Jump hosts in order, as `ssh -J` takes them.
    pub jump: Vec<String>,
    /// An ssh configuration file instead of `~/.ssh/config`, absolute.
    pub config_file: Option<PathBuf>,
    /// A known-hosts file instead of the user's, absolute.
    pub known_hosts: Option<PathBuf>,
    /// Whether an unknown host key is accepted and kept. A changed key is refused in any case.
    pub accept_new_host_keys: bool,
    /// How long the connection may take to be made.
    #[serde(with = "duration::seconds")]
    #[schemars(with = "f64")]
    pub connect_timeout: Duration,
    /// How long the node may be out of contact while a step runs there.
    #[serde(with = "duration::seconds")]
    #[schemars(with = "f64")]
    pub reconnect_timeout: Duration,
    /// How long a connection stays open after its last use, for the next command to take it up; `None` ends it with
    /// the command that opened it.
    #[serde(default, with = "duration::maybe_seconds", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<f64>")]
    pub persist: Option<Duration>,
}

/// How commands gain the rights they need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Become {
    /// As the login user.
    #[default]
    None,
    /// Through `sudo -n`, or `sudo -S` where there is a password for it.
    Sudo,
    /// Through `doas -n`.
    Doas,
}

/// Which shell reads a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shell {
    /// `sh -eu`.
    #[default]
    Sh,
    /// `bash -euo pipefail`.
    Bash,
}

/// Whether a host name, user name or jump host can stand on ssh's command line: no leading dash (it
/// would be read as an option), nothing a shell or `ProxyCommand` could expand (CVE-2023-51385).
pub fn host_is_safe(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 255
        && !text.starts_with('-')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '[' | ']' | '@'))
}
