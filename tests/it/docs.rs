//! Help, manual pages and completion scripts say what is so: every command that they show can be typed,
//! every exit code is named, and the files in the tree are those that the code makes.
//!
//! `ROLLGATE_BLESS=1 cargo test docs::` writes the files anew.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::{CommandFactory as _, Parser as _};
use rollgate::cli::{Cli, Described, Shell};
use rollgate::command::{completions, man, schema};
use rollgate::exit::{Exit, TABLE};

const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

fn tree(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Root and verbs, each with its help as it is printed.
fn helps() -> Vec<(String, String)> {
    let mut root = Cli::command();
    root.build();
    let verbs = root.get_subcommands().filter(|verb| verb.get_name() != "help").cloned();
    let all: Vec<_> = verbs.chain([root.clone()]).collect();
    all.into_iter()
        .map(|command| {
            let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
            (name, command.term_width(100).render_help().to_string())
        })
        .collect()
}

/// The lines of examples in a help, without their explanations.
fn examples(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Examples:").skip(1);
    let lines = lines.take_while(|line| line.starts_with("  "));
    let commands = lines.map(str::trim).filter(|line| line.starts_with("rollgate "));
    commands
        .map(|line| {
            let command = line.split("  ").next().unwrap();
            command.split(['|', '>']).next().unwrap().trim().to_owned()
        })
        .collect()
}

fn parses(command: &str) {
    if let Err(error) = Cli::try_parse_from(command.split_whitespace()) {
        panic!("`{command}` cannot be typed: {error}");
    }
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_help_fits_one_screen() {
    for (name, help) in helps() {
        assert!(help.lines().count() <= 40, "{name} has {} lines:\n{help}", help.lines().count());
        for line in help.lines() {
            assert!(line.chars().count() <= 100, "{name}: {line}");
            assert!(line.is_ascii(), "{name}: {line}");
        }
    }
}

#[test]
fn every_help_has_examples_that_can_be_typed() {
    for (name, help) in helps() {
        let examples = examples(&help);
        assert!(!examples.is_empty(), "{name} has no example");
        for example in examples {
            parses(&example);
        }
    }
}

#[test]
fn every_help_names_exit_codes_that_there_are() {
    for (name, help) in helps() {
        let line = help.lines().find(|line| line.starts_with("Exit codes:"));
        let line = line.unwrap_or_else(|| panic!("{name} names no exit codes"));
        let codes = man::codes(line);
        assert!(codes.contains(&0) && codes.contains(&2), "{name}: {line}");
        for code in codes {
            assert!(Exit::from_number(code).is_some(), "{name}: there is no exit code {code}");
        }
    }
}

#[test]
fn every_flag_and_verb_is_explained() {
    let mut root = Cli::command();
    root.build();
    for command in root.get_subcommands().filter(|verb| verb.get_name() != "help").chain([&root]) {
        assert!(command.get_about().is_some(), "{}", command.get_name());
        for arg in command.get_arguments() {
            assert!(arg.get_help().is_some(), "{} {}", command.get_name(), arg.get_id());
        }
    }
}

/// Holds a file to what the code makes, or writes it.
pub(super) fn hold(path: &str, text: &str) {
    let at = tree(path);
    if std::env::var_os("ROLLGATE_BLESS").is_some() {
        fs::write(&at, text).unwrap();
    }
    let committed = fs::read_to_string(&at).unwrap_or_default();
    let (made, kept) =
        text.lines().zip(committed.lines()).find(|(made, kept)| made != kept).unwrap_or_default();
    assert!(
        committed == text,
        "{path} is not what the code makes: run ROLLGATE_BLESS=1 cargo test docs:: session::\n- {kept}\n+ {made}"
    );
}

/// A directory holds these files and no others.
fn hold_names(directory: &str, mut expected: Vec<String>) {
    let entries = fs::read_dir(tree(directory)).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    expected.sort();
    assert_eq!(names, expected);
}

#[test]
fn the_manual_pages_are_those_of_the_code() {
    let pages = man::pages();
    for page in &pages {
        hold(&format!("man/{}", page.file_name()), &page.text);
    }
    hold_names("man", pages.iter().map(man::Page::file_name).collect());
    let verbs = Cli::command().get_subcommands().count();
    assert_eq!(pages.len(), 1 + verbs + 2);
    assert_eq!(man::find("start").unwrap().name, "rollgate-start");
    assert_eq!(man::find("rollgate").unwrap().section, 1);
    assert!(man::find("sart").unwrap_err().contains(&"rollgate-start".to_owned()));
}

#[test]
fn the_completion_scripts_are_those_of_the_code() {
    for shell in SHELLS {
        hold(&format!("completions/{}", completions::file_name(shell)), &completions::script(shell));
    }
    hold_names("completions", SHELLS.map(completions::file_name).map(str::to_owned).to_vec());
}

#[test]
fn the_schemas_are_those_of_the_code() {
    for (of, name) in [(Described::Inventory, "inventory"), (Described::Procedure, "procedure")] {
        hold(&format!("examples/{name}.schema.json"), &schema::text(of));
    }
}

#[test]
fn bash_reads_its_completion_script() {
    let script = tree("completions/rollgate.bash");
    let done = Command::new("bash").arg("-n").arg(&script).stdin(Stdio::null()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let offer = "source \"$0\"; COMP_WORDS=(rollgate st); COMP_CWORD=1; _rollgate rollgate st rollgate; \
                 echo \"${COMPREPLY[@]}\"";
    let done = Command::new("bash").args(["-c", offer]).arg(&script).stdin(Stdio::null()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&done.stdout), "stage start status\n");
}

#[test]
fn zsh_and_fish_read_their_completion_scripts() {
    for (shell, script) in [("zsh", "_rollgate"), ("fish", "rollgate.fish")] {
        let script = tree("completions").join(script);
        let done = Command::new(shell).arg("-n").arg(&script).stdin(Stdio::null()).output();
        let done = done.unwrap_or_else(|error| panic!("{error}: apt-get install {shell}"));
        assert!(done.status.success(), "{shell}: {}", String::from_utf8_lossy(&done.stderr));
        assert_eq!(String::from_utf8_lossy(&done.stderr), "", "{shell}");
    }
}

/// A page as a reader sees it, on a wide terminal and without overstrikes.
fn read(page: &man::Page) -> String {
    let mut man = Command::new("man")
        .args(["--warnings", "--local-file", "-"])
        .envs([("MANWIDTH", "200"), ("LC_ALL", "C.UTF-8"), ("GROFF_NO_SGR", "1"), ("MANPAGER", "cat")])
        .env_remove("MAN_KEEP_FORMATTING")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("man reads the pages: apt-get install man-db");
    man.stdin.take().unwrap().write_all(page.text.as_bytes()).unwrap();
    let done = man.wait_with_output().unwrap();
    let (name, warnings) = (page.file_name(), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{name}: {warnings}");
    assert_eq!(warnings, "", "{name}: man warns");
    String::from_utf8(done.stdout).unwrap()
}

/// Verbs that print something of their own.
fn reads_no_cluster(page: &str) -> bool {
    ["-init", "-schema", "-completions", "-man"].iter().any(|verb| page == format!("rollgate{verb}"))
}

#[test]
fn man_reads_every_page_without_a_warning() {
    for page in man::pages() {
        let text = read(&page);
        let mut last = 0;
        let order = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "ENVIRONMENT", "FILES"];
        for heading in order.into_iter().chain(["EXAMPLES", "SEE ALSO"]) {
            let at = text.find(&format!("\n{heading}\n"));
            let needed = match heading {
                "SYNOPSIS" | "OPTIONS" | "EXIT STATUS" => page.section == 1,
                "ENVIRONMENT" => !reads_no_cluster(&page.name) && page.name != "rollgate-inventory",
                "FILES" => page.section == 1 && !reads_no_cluster(&page.name),
                _ => true,
            };
            match at {
                Some(at) => assert!(at >= last, "{}: {heading} stands too early", page.name),
                None => assert!(!needed, "{} has no {heading}", page.name),
            }
            last = at.unwrap_or(last);
        }
    }
}

#[test]
fn the_manual_has_every_exit_code_and_every_flag() {
    let pages = man::pages();
    let root = read(&pages[0]);
    for (exit, meaning) in TABLE {
        assert!(root.contains(&format!("{}", exit.number())) && root.contains(meaning), "{exit:?}");
    }
    let mut cli = Cli::command();
    cli.build();
    for verb in cli.get_subcommands().filter(|verb| verb.get_name() != "help") {
        let text = read(&man::find(verb.get_name()).unwrap());
        for flag in verb.get_arguments().filter_map(clap::Arg::get_long) {
            assert!(text.contains(&format!("--{flag}")), "rollgate-{} lacks --{flag}", verb.get_name());
        }
    }
}

/// The keys that the configuration takes, read from where it declares them.
fn keys(file: &str) -> Vec<String> {
    let source = fs::read_to_string(tree(file)).unwrap();
    let fields = source.lines().filter_map(|line| line.strip_prefix("        ")?.split_once(": "));
    let fields = fields.filter(|(key, _)| !key.starts_with(' '));
    let keys = fields.filter(|(_, kind)| kind.ends_with(',')).map(|(key, _)| key.trim_start_matches("r#"));
    keys.filter(|key| key.chars().all(|c| c.is_ascii_lowercase() || "_0123456789".contains(c)))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_pages_of_the_files_name_every_key_that_can_be_written() {
    let condition = ["equals", "not_equals", "at_least", "at_most", "matches", "not_matches", "one_of"];
    let condition = condition.into_iter().chain(["none_of", "empty", "count_at_most", "count_at_least"]);
    let procedure: Vec<String> = ["procedure", "check", "step"]
        .into_iter()
        .flat_map(|file| keys(&format!("src/config/raw/{file}.rs")))
        .chain(condition.chain(["count_equals"]).map(str::to_owned))
        .collect();
    let inventory = keys("src/config/raw/inventory.rs");
    assert!(inventory.len() > 30 && procedure.len() > 100, "{} {}", inventory.len(), procedure.len());
    for (name, keys) in [("rollgate-inventory", inventory), ("rollgate-procedure", procedure)] {
        let page = man::find(name).unwrap().text;
        let bold: Vec<&str> = page.lines().filter(|line| line.starts_with(".B")).collect();
        for key in keys {
            let named = bold.iter().any(|line| line.split([' ', ',', '.', '"', ':']).any(|word| word == key));
            assert!(named, "{name}(5) says nothing about `{key}`");
        }
    }
}

#[test]
fn the_examples_of_the_pages_are_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let example = |name: &str| -> String {
        let text = man::find(name).unwrap().text;
        let example = text.split(".SH EXAMPLES\n.EX\n").nth(1).unwrap().split(".EE\n").next().unwrap();
        example.replace("\\-", "-").replace("\\(ti", "~")
    };
    fs::write(dir.path().join("procedure.yaml"), example("rollgate-procedure")).unwrap();
    fs::write(dir.path().join("rollgate.yaml"), example("rollgate-inventory")).unwrap();
    let loaded = rollgate::config::load(&dir.path().join("rollgate.yaml"));
    loaded.unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
}
