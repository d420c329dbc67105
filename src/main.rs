//! Plays askpass for an ssh, completes a command line for a shell, where it is run for that; else parses it, runs one
//! verb, ends with its exit code.

use rollgate::cli::Cli;
use rollgate::command;
use rollgate::exit::Exit;

/// The commit, where whoever built this said so: see `tests/lab/commit`. Found out by a build that is not begun anew
/// with every commit, it could be an old one.
const COMMIT: Option<&str> = option_env!("ROLLGATE_COMMIT");

fn main() -> Exit {
    if let Some(exit) = command::askpass::when_asked() {
        return exit;
    }
    command::complete::when_asked();
    match Cli::of_process(COMMIT) {
        Ok(cli) => command::run(&cli),
        Err(error) => command::unparsed(&error),
    }
}
