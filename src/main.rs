//! Parses the command line, runs one verb, ends with its exit code.

use clap::Parser as _;
use rollgate::cli::Cli;
use rollgate::exit::Exit;

fn main() -> Exit {
    rollgate::command::run(&Cli::parse())
}
