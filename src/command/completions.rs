//! `rollgate completions SHELL`: the static script, as packages install it.

use clap::CommandFactory as _;
use clap_complete::aot;

use crate::cli::{Cli, Shell};

/// The completion script of a shell. The copies under `completions/` are held equal to it.
pub fn script(shell: Shell) -> String {
    let generator = match shell {
        Shell::Bash => aot::Shell::Bash,
        Shell::Zsh => aot::Shell::Zsh,
        Shell::Fish => aot::Shell::Fish,
    };
    let mut script = Vec::new();
    aot::generate(generator, &mut Cli::command(), "rollgate", &mut script);
    String::from_utf8(script).expect("flags and help are UTF-8")
}

/// The file name under which a shell looks for its script.
pub fn file_name(shell: Shell) -> &'static str {
    match shell {
        Shell::Bash => "rollgate.bash",
        Shell::Zsh => "_rollgate",
        Shell::Fish => "rollgate.fish",
    }
}
