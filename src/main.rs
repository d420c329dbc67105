//! Plays askpass for an ssh, completes a command line for a shell, where it is run for that; else parses it, runs one
//! verb, ends with its exit code.

use clap::Parser as _;
use rollgate::cli::Cli;
use rollgate::command;
use rollgate::exit::Exit;

fn main() -> Exit {
    if let Some(exit) = command::askpass::when_asked() {
        return exit;
    }
    command::complete::when_asked();
    match Cli::try_parse() {
        Ok(cli) => command::run(&cli),
        Err(error) => command::unparsed(&error),
    }
}
