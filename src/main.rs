//! Completes a command line for a shell that asks for it; else parses it, runs one verb, ends with its exit code.

use clap::Parser as _;
use rollgate::cli::Cli;
use rollgate::command;
use rollgate::exit::Exit;

fn main() -> Exit {
    command::complete::when_asked();
    match Cli::try_parse() {
        Ok(cli) => command::run(&cli),
        Err(error) => command::unparsed(&error),
    }
}
