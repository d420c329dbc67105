//! The way out that every stop names: commands that can be pasted. The harness holds every invocation of every test
//! to it.

use std::process::Command;

use clap::Parser as _;
use rollgate::cli::Cli;

/// The commands behind `next:`, split by the shell that they would be pasted into.
pub(crate) fn commands(stdout: &str, stderr: &str) -> Vec<Vec<String>> {
    let lines = stderr.lines().chain(stdout.lines());
    lines.filter_map(|line| line.strip_prefix("next: ")).map(pasted).collect()
}

/// Insists that whatever ended with another code than 0 names a command of rollgate, and that every command that is
/// named can be typed.
#[track_caller]
pub(super) fn leads_on(code: Option<i32>, stdout: &str, stderr: &str) {
    let commands = commands(stdout, stderr);
    for words in &commands {
        can_be_typed(words);
    }
    // Who is killed says nothing; a program is told in its document.
    if !matches!(code, None | Some(0)) && !stdout.starts_with('{') {
        let ours = commands.iter().filter(|words| words[0] == "rollgate").count();
        assert!(ours > 0, "exit {code:?}, and no command of rollgate behind next:\n{stdout}\n{stderr}");
    }
}

fn pasted(line: &str) -> Vec<String> {
    let printed = Command::new("sh").arg("-c").arg(format!("printf '%s\\0' {line}")).output().unwrap();
    assert!(printed.status.success(), "a shell cannot read: {line}");
    let words = String::from_utf8(printed.stdout).unwrap();
    words.trim_end_matches('\0').split('\0').map(str::to_owned).collect()
}

/// Insists that a command is one.
#[track_caller]
pub(crate) fn can_be_typed(words: &[String]) {
    match words[0].as_str() {
        "rollgate" => {
            if let Err(error) = Cli::try_parse_from(words) {
                let help = matches!(
                    error.kind(),
                    clap::error::ErrorKind::DisplayHelp | clap::error::ErrorKind::DisplayVersion
                );
                assert!(help, "{words:?} cannot be typed: {error}");
            }
        }
        // What takes others' rights away.
        "chmod" if words[1] == "go-w" => assert!(words[2] == "--" && words.len() > 3, "what is {words:?}?"),
        // What stops a run in the background.
        "kill" => assert!(words[1] == "-TERM" && words[2].parse::<u32>().is_ok(), "what is {words:?}?"),
        // A secret's file, for its owner alone.
        "chmod" => assert!(words[1] == "600" && words.len() == 3, "what is {words:?}?"),
        other => assert!(["ssh", "ssh-keyscan", "ssh-add"].contains(&other), "what is {words:?}?"),
    }
}
