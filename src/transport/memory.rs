//! What is remembered of the node of a connection that stays open: the facts that were read at its login, in a file
//! beside its socket, so that the next command has nothing to ask before its own first question.
//!
//! They hold for as long as the connection does, for a node that was booted has none. Where there are rights to gain
//! nothing is remembered: asking is the proof that they are still to be had. Nor is it believed where the system's
//! name is what is wanted, which an upgrade changes (see [`Dialer::asking_anew`](super::Dialer::asking_anew)).

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Endpoint;
use super::facts::Facts;
use crate::model::host::Become;

/// The end of such a file's name; a socket's has no dot.
const ENDING: &str = "facts";

#[derive(Serialize, Deserialize)]
struct Memory {
    /// The directory that the inventory names, which they depend on.
    root: Option<String>,
    facts: Facts,
}

/// The socket that such a file belongs to.
pub(super) fn socket_of(path: &Path) -> Option<PathBuf> {
    (path.extension()? == ENDING).then(|| path.with_extension(""))
}

/// What is remembered of a connection. Anything that is not whole counts as nothing.
pub(super) fn recall(socket: &Path, to: &Endpoint, root: Option<&str>) -> Option<Facts> {
    let text = fs::read(socket.with_extension(ENDING)).ok().filter(|_| gains_nothing(to))?;
    let memory: Memory = serde_json::from_slice(&text).ok()?;
    (memory.root.as_deref() == root).then_some(memory.facts)
}

/// Remembers a connection. Whoever cannot only asks again.
pub(super) fn keep(socket: &Path, to: &Endpoint, root: Option<&str>, facts: &Facts) {
    if !gains_nothing(to) {
        return;
    }
    let memory = Memory { root: root.map(str::to_owned), facts: facts.clone() };
    let mut file = OpenOptions::new();
    file.write(true).create(true).truncate(true).mode(0o600);
    let kept = file.open(socket.with_extension(ENDING)).and_then(|mut file| {
        let text = serde_json::to_vec(&memory)?;
        file.write_all(&text)
    });
    if let Err(error) = kept {
        tracing::debug!(node = %to.name, %error, "its facts are not remembered");
    }
}

fn gains_nothing(to: &Endpoint) -> bool {
    to.become_with == Become::None && to.become_password.is_none()
}
