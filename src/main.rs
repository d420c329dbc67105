//! Parses the command line, runs one verb, ends with its exit code.

use clap::Parser as _;
use rollgate::cli::Cli;
use rollgate::command;
use rollgate::exit::Exit;

fn main() -> Exit {
    match Cli::try_parse() {
        Ok(cli) => command::run(&cli),
        Err(error) => command::unparsed(&error),
    }
}
