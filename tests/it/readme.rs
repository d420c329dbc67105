//! The README says what is so: its files are the demo's, its tables are the code's, its commands can be
//! typed, and those that show the life of a run are run.

use std::fs;
use std::path::Path;

use clap::Parser as _;
use rollgate::cli::Cli;
use rollgate::exit::TABLE;

use super::support::Cluster;

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The blocks of code in a language, in order.
fn blocks(language: &str) -> Vec<String> {
    let readme = file("README.md");
    let mut blocks = Vec::new();
    let mut rest = readme.as_str();
    let fence = format!("```{language}\n");
    while let Some((_, after)) = rest.split_once(&fence) {
        let (block, after) = after.split_once("```\n").expect("a block ends");
        blocks.push(block.to_owned());
        rest = after;
    }
    blocks
}

/// What a shell would run of a line: up to a comment, a pipe or a redirection. A cron line begins with its
/// five fields.
fn commands(block: &str) -> Vec<Vec<String>> {
    let lines = block.lines().filter_map(|line| Some(&line[line.find("rollgate ")?..]));
    lines
        .map(|line| {
            let end = line.find([' ']).map_or(0, |_| line.find(['#', '|', '>']).unwrap_or(line.len()));
            words(&line[..end])
        })
        .filter(|words| words[0] == "rollgate" && words.len() > 1)
        .collect()
}

/// Words as a shell splits them, as far as the README needs it: blanks and single quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.trim().chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn filled(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.is_empty()).collect()
}

#[test]
fn the_files_that_it_explains_are_those_of_the_demo() {
    let blocks = blocks("yaml");
    let (inventory, rest) = blocks.split_first().unwrap();
    assert_eq!(filled(inventory), filled(&file("examples/demo/inventory.yaml")));
    let procedure = rest[..4].concat();
    assert_eq!(filled(&procedure), filled(&file("examples/demo/procedure.yaml")));
}

#[test]
fn the_exit_codes_are_those_of_the_code() {
    let rows: String =
        TABLE.iter().map(|(exit, meaning)| format!("| {} | {meaning} |\n", exit.number())).collect();
    let readme = file("README.md");
    assert!(
        readme.contains(&format!("| exit | meaning |\n| ---: | --- |\n{rows}\n")),
        "it must say:\n{rows}"
    );
}

#[test]
fn every_command_can_be_typed() {
    let readme = file("README.md");
    let inline =
        readme.split('`').filter(|code| code.starts_with("rollgate ")).map(|code| code.replace('\n', " "));
    let shown =
        blocks("sh").iter().chain(&blocks("console")).flat_map(|block| commands(block)).collect::<Vec<_>>();
    let all: Vec<Vec<String>> = inline.map(|code| words(&code)).chain(shown).collect();
    assert!(all.len() > 12, "{all:?}");
    for command in all {
        if let Err(error) = Cli::try_parse_from(&command) {
            panic!("{command:?} cannot be typed: {error}");
        }
    }
}

#[test]
fn the_first_screen_says_what_it_is_and_shows_a_gate() {
    let readme = file("README.md");
    let screen: Vec<&str> = readme.lines().take(30).collect();
    assert!(screen.iter().any(|line| line.contains("gate \"isolated\"")));
    assert!(screen.iter().any(|line| line.contains("[yes/no]")));
    assert!(screen.iter().any(|line| line.contains("cargo run --release --example demo")));
    for line in readme.lines().filter(|line| !line.starts_with('|')) {
        assert!(line.chars().count() <= 120, "{line}");
    }
}

/// Two nodes that are taken from version 1 to 2 by a procedure with these sections before the upgrade.
fn cluster(sections: &str) -> Cluster {
    let procedure = format!(
        "procedure: from one to two\n\
         version: {{ run: 'cat \"$dir/version\"' }}\n\
         to: \"2\"\n\
         checks:\n\
         \x20 queue-empty: {{ run: echo 0, at_most: 0 }}\n\
         \x20 clients-gone: {{ run: 'true' }}\n\
         phases:\n\
         \x20 - name: nodes\n\
         \x20   nodes: all\n\
         {sections}\
         \x20   upgrade:\n\
         \x20     - {{ name: install, run: 'echo 2 > \"$dir/version\"' }}\n\
         \x20   rollback:\n\
         \x20     - {{ name: back, run: 'echo 1 > \"$dir/version\"' }}\n"
    );
    let cluster = Cluster::new().local(2).procedure(&procedure).build();
    for node in ["n1", "n2"] {
        cluster.write(&format!("nodes/{node}/version"), "1\n");
    }
    cluster
}

fn version(cluster: &Cluster, node: &str) -> String {
    fs::read_to_string(cluster.node_dir(node).join("version")).unwrap().trim().to_owned()
}

#[test]
fn the_life_of_a_run_is_what_it_shows() {
    let block = blocks("sh").into_iter().find(|block| block.contains("rollgate unstage")).unwrap();
    let cluster =
        cluster("    drain:\n      - gate: isolated\n        checks: [queue-empty, clients-gone]\n");
    let commands = commands(&block);
    assert_eq!(commands.len(), 9, "{commands:?}");
    for command in commands {
        let mut args = command[1..].to_vec();
        // What is asked at a terminal is said on the command line here.
        match (args[0].as_str(), args.get(1).map(String::as_str)) {
            ("start" | "rollback", None) => args.extend(["--yes", "--confirm", "test"].map(str::to_owned)),
            ("unstage", _) => args.push("--yes".to_owned()),
            _ => {}
        }
        let changes = matches!(args[0].as_str(), "stage" | "start" | "rollback" | "unstage")
            && !args.iter().any(|arg| arg == "--dry-run");
        let before = cluster.nodes_tree();
        let done = cluster.rollgate(&args).run();
        done.code(0);
        if !changes {
            assert_eq!(before, cluster.nodes_tree(), "{args:?} changed a node");
        }
        let expected = match args[0].as_str() {
            "start" if changes => Some("2"),
            "rollback" => Some("1"),
            _ => None,
        };
        for node in ["n1", "n2"] {
            assert!(expected.is_none_or(|expected| version(&cluster, node) == expected), "{args:?}");
        }
    }
}

#[test]
fn the_nightly_dry_run_ends_with_what_is_said_of_it() {
    let line = blocks("sh").into_iter().find(|block| block.contains("* * *")).unwrap();
    let command = commands(&line).remove(0);
    assert_eq!(&command[1..3], ["-i", "/etc/rollgate/rollgate.yaml"]);
    let open = cluster("    precheck:\n      - check: queue-empty\n");
    open.rollgate(&command[3..]).run().code(0).stdout("").stderr("");
    open.rollgate(&command[3..]).args(["--detailed-exitcode"]).run().code(19);
    let closed = cluster("    precheck:\n      - check: { name: never, run: 'false' }\n");
    closed.rollgate(&command[3..]).run().code(12).stdout_has("\nPROBLEMS\n");
}

#[test]
fn the_gate_that_it_explains_is_a_gate() {
    let gate = blocks("yaml").into_iter().find(|block| block.contains("typed: true")).unwrap();
    let cluster = cluster(&format!("    drain:\n{gate}"));
    cluster.rollgate(["check", "--syntax-only"]).run().code(0);
    // A typed gate is not answered by --yes alone.
    cluster.rollgate(["start", "--yes"]).run().code(11);
    assert_eq!(version(&cluster, "n1"), "1");
}

#[test]
fn the_table_from_json_can_be_made() {
    let cluster = cluster("    precheck:\n      - check: queue-empty\n");
    let status = cluster.rollgate(["-o", "json", "status"]).run();
    status.code(0);
    let document: serde_json::Value = serde_json::from_str(status.raw_stdout()).unwrap();
    for node in document["nodes"].as_array().unwrap() {
        for key in ["name", "state", "version"] {
            assert!(node[key].is_string(), "{key}: {node}");
        }
    }
    assert!(file("README.md").contains(".nodes[] | [.name, .state, .version]"));
}
