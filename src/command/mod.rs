//! One short file per verb: flags become a request, the engine does it, and the end is an exit code.

pub mod completions;
pub mod man;
