//! Plays askpass for an ssh that this program has started, and for nobody else.

use std::path::PathBuf;

use crate::exit::Exit;
use crate::transport::{ASKPASS, relay};

/// Passes ssh's question on and prints the answer, where ssh runs this program for that; how it ended then. It is
/// to be asked before anything else: the prompt on the command line is no command of ours.
pub fn when_asked() -> Option<Exit> {
    use std::os::unix::ffi::OsStringExt as _;
    let socket = PathBuf::from(std::env::var_os(ASKPASS)?);
    super::no_core_dumps();
    let prompt = std::env::args_os().nth(1).unwrap_or_default().into_vec();
    let hint = std::env::var_os("SSH_ASKPASS_PROMPT").unwrap_or_default().into_vec();
    let Some(mut answer) = relay(&socket, &prompt, &hint) else { return Some(Exit::Broken) };
    answer.push(b'\n');
    // Not by way of the library's buffer, which would keep a copy.
    let printed = rustix::io::write(rustix::stdio::stdout(), &answer);
    Some(if printed == Ok(answer.len()) { Exit::Done } else { Exit::Broken })
}
