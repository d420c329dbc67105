//! `rollgate man [PAGE]`: the manual pages. Those of the commands are made of the flags, the examples
//! of the help, the exit codes and the prose in `man/*.roff`; those of the files are written by hand.

use std::fmt::Write as _;

use clap::CommandFactory as _;
use clap_mangen::Man;

use crate::cli::Cli;
use crate::exit::TABLE;

/// When the pages changed last. Fixed, for a page is the same wherever it is made.
const DATE: &str = "2026-11-21";

const INVENTORY: &str = include_str!("../../man/rollgate-inventory.5");
const PROCEDURE: &str = include_str!("../../man/rollgate-procedure.5");
const FILES: &str = include_str!("man/files.roff");
const ENVIRONMENT: &str = include_str!("man/environment.roff");

/// A manual page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Its name, `rollgate-start`.
    pub name: String,
    /// Its section, 1 or 5.
    pub section: u8,
    /// Its source, for `man -l`.
    pub text: String,
}

impl Page {
    /// The name of its file under `man/`.
    pub fn file_name(&self) -> String {
        format!("{}.{}", self.name, self.section)
    }
}

/// Every page: rollgate itself, its verbs, its files.
pub fn pages() -> Vec<Page> {
    let mut root = Cli::command()
        .disable_help_subcommand(true)
        .mut_args(with_values)
        .mut_subcommands(|verb| verb.mut_args(with_values));
    root.build();
    let mut pages = vec![page(&root)];
    pages.extend(root.get_subcommands().map(page));
    for (name, text) in [("rollgate-inventory", INVENTORY), ("rollgate-procedure", PROCEDURE)] {
        pages.push(Page { name: name.to_owned(), section: 5, text: text.to_owned() });
    }
    pages
}

/// The page of that name; `start` is short for `rollgate-start`. The names of all pages if there is none.
pub fn find(name: &str) -> Result<Page, Vec<String>> {
    let mut pages = pages();
    let long = format!("rollgate-{name}");
    match pages.iter().position(|page| page.name == name || page.name == long) {
        Some(at) => Ok(pages.swap_remove(at)),
        None => Err(pages.into_iter().map(|page| page.name).collect()),
    }
}

/// The exit codes that a line of help names: `Exit codes: 0, 1, 10 to 12; see rollgate(1).`
pub fn codes(line: &str) -> Vec<u8> {
    let line = line.split("; see").next().unwrap_or(line);
    let mut codes: Vec<u8> = Vec::new();
    let mut range = false;
    for word in line.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        if let Ok(code) = word.parse::<u8>() {
            match codes.last() {
                Some(first) if range => codes.extend(first + 1..=code),
                _ => codes.push(code),
            }
        }
        range = word == "to";
    }
    codes
}

fn page(command: &clap::Command) -> Page {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let man = Man::new(command.clone())
        .title(name.to_uppercase())
        .date(DATE)
        .source(concat!("rollgate ", env!("CARGO_PKG_VERSION")))
        .manual("rollgate manual");
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let mut roff = Vec::new();
    man.render_title(&mut roff)
        .and_then(|()| man.render_name_section(&mut roff))
        .expect("writing to memory never fails");
    roff.extend_from_slice(synopsis(command).as_bytes());
    roff.extend_from_slice(b".SH DESCRIPTION\n");
    roff.extend_from_slice(description(command.get_name()).as_bytes());
    man.render_options_section(&mut roff).expect("writing to memory never fails");
    let mut text = String::from_utf8(roff).expect("flags and help are UTF-8");
    if command.has_subcommands() {
        text.push_str(&verbs(command));
    }
    text.push_str(&exit_status(command, &help));
    if !matches!(command.get_name(), "init" | "schema" | "completions" | "man") {
        text.push_str(ENVIRONMENT);
        text.push_str(FILES);
    }
    text.push_str(&examples(&help));
    text.push_str(&see_also(&name));
    Page { name, section: 1, text }
}

/// An option's values on its own line: a list of single words takes more room than it is worth.
fn with_values(arg: clap::Arg) -> clap::Arg {
    let values: Vec<_> = arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    if values.is_empty() || !arg.get_action().takes_values() {
        return arg;
    }
    arg.hide_possible_values(true).help(format!("{help} [{}]", values.join(", ")))
}

fn synopsis(command: &clap::Command) -> String {
    let usage = command.clone().render_usage().to_string();
    let words = usage.trim_start_matches("Usage:").trim();
    format!(".SH SYNOPSIS\n.B {}\n", escaped(words))
}

/// What a command is for, at the length of a page.
fn description(command: &str) -> &'static str {
    match command {
        "rollgate" => include_str!("man/rollgate.roff"),
        "stage" => include_str!("man/stage.roff"),
        "start" => include_str!("man/start.roff"),
        "status" => include_str!("man/status.roff"),
        "unstage" => include_str!("man/unstage.roff"),
        "rollback" => include_str!("man/rollback.roff"),
        "approve" => include_str!("man/approve.roff"),
        "check" => include_str!("man/check.roff"),
        "init" => include_str!("man/init.roff"),
        "schema" => include_str!("man/schema.roff"),
        "report" => include_str!("man/report.roff"),
        "completions" => include_str!("man/completions.roff"),
        "man" => include_str!("man/man.roff"),
        other => unreachable!("{other} has no page yet, as the test of the pages would say"),
    }
}

fn verbs(command: &clap::Command) -> String {
    let mut text = String::from(".SH COMMANDS\n");
    for verb in command.get_subcommands() {
        let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
        line(&mut text, format_args!(".TP\n.BR rollgate\\-{} (1)\n{}", verb.get_name(), escaped(&about)));
    }
    text
}

fn exit_status(command: &clap::Command, help: &str) -> String {
    let mut text = String::from(".SH EXIT STATUS\n");
    let named = help.lines().find(|line| line.starts_with("Exit codes:")).map(codes).unwrap_or_default();
    let is_root = command.has_subcommands();
    if is_root {
        text.push_str(
            "1x: stopped, and every node is whole. 2x: a node needs you. Of several outcomes the highest \
             counts.\n",
        );
    }
    for (exit, meaning) in TABLE {
        if is_root || named.contains(&exit.number()) {
            line(&mut text, format_args!(".TP\n.B {}\n{}.", exit.number(), escaped(meaning)));
        }
    }
    if !is_root {
        let all = "What each of them means for the nodes, and the codes of the other verbs:";
        line(&mut text, format_args!(".PP\n{all}\n.BR rollgate (1)."));
    }
    text
}

fn examples(help: &str) -> String {
    let mut text = String::from(".SH EXAMPLES\n.EX\n");
    let lines = help.lines().skip_while(|line| *line != "Examples:").skip(1);
    for example in lines.take_while(|line| line.starts_with("  ")) {
        line(&mut text, format_args!("{}", escaped(&example[2..])));
    }
    text.push_str(".EE\n");
    text
}

fn see_also(name: &str) -> String {
    let others = [
        "",
        "-stage",
        "-start",
        "-status",
        "-unstage",
        "-rollback",
        "-approve",
        "-check",
        "-report",
        "-init",
        "-schema",
    ];
    let pages = others.map(|verb| (format!("rollgate{verb}"), 1)).into_iter().chain([
        ("rollgate-inventory".to_owned(), 5),
        ("rollgate-procedure".to_owned(), 5),
        ("ssh".to_owned(), 1),
        ("ssh_config".to_owned(), 5),
    ]);
    let pages: Vec<_> = pages.filter(|(page, _)| page != name).collect();
    let mut text = String::from(".SH SEE ALSO\n");
    for (at, (page, section)) in pages.iter().enumerate() {
        let comma = if at + 1 < pages.len() { "," } else { "" };
        line(&mut text, format_args!(".BR {} ({section}){comma}", escaped(page)));
    }
    text
}

/// Text as roff takes it: a dash that can be pasted, and no line that looks like a request.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

fn line(text: &mut String, line: std::fmt::Arguments) {
    writeln!(text, "{line}").expect("writing to a string never fails");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_help_names_codes_and_ranges() {
        assert_eq!(codes("Exit codes: 0, 2, 10 to 13, 16; see rollgate(1)."), [0, 2, 10, 11, 12, 13, 16]);
    }
}
