//! Inventories and procedures that mean harm: each is refused where the harm stands, at once, in little memory, and
//! nothing of it is run; values that may be anything arrive byte for byte.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use regex::Regex;

use super::super::support::{Cluster, Invocation, Output};
use super::dice::Dice;

/// The most memory that a refusal may take, in KiB, and the most time of the processor, in seconds: one, which counts
/// for three without optimisation and on a processor that others are at, too.
const LIMITS: &str = if cfg!(debug_assertions) {
    "ulimit -d 65536; ulimit -t 3; exec \"$@\""
} else {
    "ulimit -d 65536; ulimit -t 1; exec \"$@\""
};

/// What no name, host or login can be.
fn words() -> Vec<String> {
    let mut words: Vec<String> = [
        "-oProxyCommand=touch canary",
        "-x",
        "--",
        "$(touch canary)",
        "`touch canary`",
        "a;touch canary",
        "a|touch canary",
        "a&touch canary",
        "a>canary",
        "a<b",
        "a\ntouch canary",
        "a\n",
        "a\0b",
        "\0",
        "%h",
        "${IFS}",
        "$HOME",
        "a'b",
        "'; touch canary; '",
        "a\"b",
        "a\\b",
        "\u{1b}[31m",
        "\u{1b}]52;c;eA==\u{7}",
        "a\u{202e}b",
        "caf\u{e9}",
        "",
        " ",
        "*",
        "a?b",
        "~root",
        "#",
        "!!",
        "a\tb",
        "a\rb",
        "\u{200b}a",
        "a\u{85}b",
        "\u{9b}2J",
        "{a}",
        "a^b",
    ]
    .map(str::to_owned)
    .to_vec();
    words.push("a".repeat(300));
    words
}

/// A text as YAML has it in quotes.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            c => write!(out, "\\U{:08x}", u32::from(c)).unwrap(),
        }
    }
    out + "\""
}

/// What is asked of a case: who it is, its two files.
struct Case {
    what: String,
    inventory: Vec<u8>,
    procedure: String,
    /// The file and the line where the harm stands; none in what is sound.
    at: (&'static str, usize),
}

const INVENTORY: &str = "\
cluster: CLUSTER
procedure: ./procedure.yaml
ssh: { user: USER, jump: [JUMP] }
state_dir: STATE
vars: { VARIABLE: x }
secrets: { SECRET: { env: ENV } }
nodes:
  - { name: NAME, host: HOST, user: LOGIN, port: PORT, groups: [GROUP] }
";

const PROCEDURE: &str = r"procedure: hostile
checks: { CHECK: { run: 'true' } }
roles: { ROLE: { run: echo x, equals: x } }
artifacts: [{ source: ARTIFACT, sha256: SUM }]
phases:
  - name: PHASE
    nodes: SELECTOR
    batch: BATCH
    drain:
      - gate: GATE
        checks: [{ name: CALLED, run: echo x, matches: PATTERN }]
        steady: STEADY
        every: EVERY
    upgrade:
      - { name: STEP, run: echo x, capture: CAPTURE, cwd: DIRECTORY, timeout: TIMEOUT }
      - put: { source: SOURCE, to: TO, mode: MODE }
      - get: { from: FROM, to: INTO }
";

/// What stands in the places of both files when nothing is wrong.
const SOUND: &[(&str, &str)] = &[
    ("CLUSTER", "test"),
    ("USER", "ops"),
    ("JUMP", "bastion"),
    ("STATE", "/srv/rollgate"),
    ("VARIABLE", "variable"),
    ("SECRET", "secret"),
    ("ENV", "HOSTILE_SECRET"),
    ("NAME", "n1"),
    ("HOST", "127.0.0.1"),
    ("LOGIN", "ops"),
    ("PORT", "2"),
    ("GROUP", "service"),
    ("CHECK", "named"),
    ("ROLE", "leader"),
    ("ARTIFACT", "image.tar"),
    ("SUM", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
    ("PHASE", "all"),
    ("SELECTOR", "n1"),
    ("BATCH", "1"),
    ("GATE", "isolated"),
    ("CALLED", "clients"),
    ("PATTERN", "x"),
    ("STEADY", "2"),
    ("EVERY", "1s"),
    ("STEP", "install"),
    ("CAPTURE", "captured"),
    ("DIRECTORY", "/srv"),
    ("TIMEOUT", "1m"),
    ("SOURCE", "image.tar"),
    ("TO", "/srv/x"),
    ("MODE", "\"0644\""),
    ("FROM", "/srv/x"),
    ("INTO", "x"),
];

/// Places where a name, a host or a login stands.
const NAMED: &[&str] = &[
    "CLUSTER", "USER", "JUMP", "VARIABLE", "SECRET", "ENV", "NAME", "HOST", "LOGIN", "GROUP", "CHECK",
    "ROLE", "PHASE", "GATE", "CALLED", "STEP", "CAPTURE",
];

/// What is wrong in places that are no names, as YAML.
const OTHERS: &[(&str, &[&str])] = &[
    (
        "PORT",
        &[
            "0",
            "-1",
            "65536",
            "99999999999999999999",
            "1.5",
            "\"22;touch canary\"",
            "[]",
            ".nan",
            "-oProxyCommand=x",
            "0x1ffff",
        ],
    ),
    (
        "NAME",
        &[
            "\"sn[1-99999999]\"",
            "\"sn[3-1]\"",
            "\"sn[1-2]x[1-2]\"",
            "\"sn[01-100]\"",
            "\"sn[1-2]\"",
            "all",
            "\"a/b\"",
            "\"../x\"",
            "1.10",
            "\"[1-99999999999999999999999]\"",
        ],
    ),
    ("HOST", &["\"10.0.0.[1-999999]\"", "\"a/b\"", "\"h[1-2]\"", "12"]),
    ("STATE", &["relative", "../up", "/a/../b", "\"/a\\nb\"", "\"\"", "-x", "\"/a\\0b\"", "~/x"]),
    ("BATCH", &["0", "-1", "\"0%\"", "\"101%\"", "99999999999999999999", "1.5", "\"$(touch canary)\"", "[]"]),
    (
        "TIMEOUT",
        &[
            "-1s",
            "0s",
            "31d",
            "99999999999999999999s",
            "18446744073709551615d",
            "1e9h",
            "5",
            "\"\"",
            "1s1s",
            "1\u{b5}s",
        ],
    ),
    ("EVERY", &["-1s", "0s", "99999999999999999999s", "5", "\"1s; touch canary\""]),
    ("STEADY", &["0", "-1", "99999999999999999999", "1.5", "many"]),
    (
        "PATTERN",
        &[
            "\"(\"",
            "\"[\"",
            "\"(?=x)\"",
            "\"((a{1000}){1000}){1000}\"",
            "\"\\\\p{Nope}\"",
            "\"x{99999999}\"",
            "\"(?P<a\"",
            "\"\\\\1\"",
        ],
    ),
    ("SUM", &["zz", "\"$(touch canary)\"", "9f86", "0"]),
    ("MODE", &["\"9999\"", "\"07777777\"", "\"rwx\"", "\"-1\"", "\"\"", "420.5"]),
    (
        "TO",
        &[
            "relative",
            "../x",
            "/a/../b",
            "\"/a\\nb\"",
            "\"/a\\e[2J\"",
            "\"\"",
            "-x",
            "\"/a\\0\"",
            "\"${\"",
            "\"${a b}\"",
            "\"$(x)/${nobody}\"",
        ],
    ),
    ("FROM", &["relative", "/a/../../etc/shadow", "\"/a\\rb\"", "-x", "\"${nobody}\""]),
    ("INTO", &["../x", "/etc/x", "~root/x", "a/../../x", "\"a\\nb\"", "\"a\\u009bb\"", "\"..\""]),
    ("DIRECTORY", &["\"/a\\nb\"", "\"a\\0b\"", "\"${nobody}\"", "\"\""]),
    ("SOURCE", &["\"a\\nb\"", "\"\"", "\"${nobody}\"", "\"a\\u202e\\u0007\""]),
    ("ARTIFACT", &["\"a\\nb\"", "\"\"", "\"${nobody}\"", "\"a\\0\""]),
    (
        "SELECTOR",
        &[
            "nobody",
            "\"!n1\"",
            "\"\"",
            "\"a b\"",
            "\"n1,n1\"",
            "\"*x*\"",
            "\"$(touch canary)\"",
            "-x",
            "\"n1;x\"",
        ],
    ),
];

/// A template with what is sound in its places, and a value of one's own in one of them.
fn filled(template: &str, place: &str, value: &str) -> String {
    let is_word = |c: char| c.is_ascii_uppercase();
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(is_word) {
        let length = rest[at..].find(|c| !is_word(c)).unwrap_or(rest.len() - at);
        let word = &rest[at..at + length];
        let sound = SOUND.iter().find(|(name, _)| *name == word).map(|(_, sound)| *sound);
        out.push_str(&rest[..at]);
        out.push_str(if word == place { value } else { sound.unwrap_or_else(|| panic!("no place {word}")) });
        rest = &rest[at + length..];
    }
    out + rest
}

fn case(place: &str, value: &str) -> Case {
    let [inventory, procedure] = [INVENTORY, PROCEDURE].map(|text| filled(text, place, value));
    let mut shown = format!("{place}: {value}");
    shown.truncate(shown.char_indices().nth(80).map_or(shown.len(), |(at, _)| at));
    Case { what: shown, inventory: inventory.into_bytes(), procedure, at: stands(place) }
}

/// Where a place stands in the two templates: a value never breaks a line.
fn stands(place: &str) -> (&'static str, usize) {
    let is_there = |line: &str| line.split(|c: char| !c.is_ascii_uppercase()).any(|word| word == place);
    [("inventory", INVENTORY), ("procedure", PROCEDURE)]
        .into_iter()
        .find_map(|(file, text)| text.lines().position(is_there).map(|at| (file, at + 1)))
        .unwrap_or_default()
}

/// Files that are no files of ours at all, or too much of one.
fn bombs() -> Vec<Case> {
    let lines = |count: usize, line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<String>();
    let laughs = format!(
        "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n{}",
        lines(9, &|n| format!(
            "a{}: &a{} [{}]\n",
            n + 1,
            n + 1,
            format!("*a{n}, ").repeat(10).trim_end_matches(", ")
        ))
    );
    let utf16 =
        [&b"\xff\xfe"[..], &"cluster: a\n".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()]
            .concat();
    // With the line where each stands; what is wrong as a whole is so from its first.
    let bombs: Vec<(&str, Vec<u8>, usize)> = vec![
        ("utf-16", utf16, 1),
        ("100 MB", vec![b'#'; 100 << 20], 1),
        ("empty", Vec::new(), 1),
        ("a comment", b"# nothing\n".to_vec(), 1),
        ("a mark", b"---\n".to_vec(), 1),
        ("laughs", laughs.into_bytes(), 2),
        ("an anchor in itself", b"a: &a [*a]\n".to_vec(), 1),
        ("an alias to nothing", b"a: *b\n".to_vec(), 1),
        ("merge", b"cluster: a\nx: &x { a: 1 }\nnodes:\n  - { <<: *x, name: a }\n".to_vec(), 4),
        ("a python object", b"cluster: !!python/object/apply:os.system [\"touch canary\"]\n".to_vec(), 1),
        ("a ruby object", b"cluster: !ruby/object:Gem::Installer\n  i: x\n".to_vec(), 1),
        ("binary", b"cluster: !!binary aGk=\n".to_vec(), 1),
        ("a verbatim tag", b"cluster: !<tag:yaml.org,2002:js/function> 'x'\n".to_vec(), 1),
        ("keys twice", b"cluster: a\ncluster: b\n".to_vec(), 2),
        ("a nested key twice", b"cluster: a\nnodes:\n  - { name: a, name: b }\n".to_vec(), 3),
        ("two documents", b"cluster: a\n---\ncluster: b\n".to_vec(), 2),
        ("a directive", b"%YAML 99.9\n---\ncluster: a\n".to_vec(), 1),
        ("a list", b"- a\n- b\n".to_vec(), 1),
        ("a word", b"cluster\n".to_vec(), 1),
        ("a list as key", b"? [a, b]\n: c\n".to_vec(), 1),
        ("a mapping as key", b"? { a: b }\n: c\n".to_vec(), 1),
        ("nothing as key", b"~: c\n".to_vec(), 1),
        ("a huge key", format!("{}: x\n", "k".repeat(900_000)).into_bytes(), 1),
        ("a huge value", format!("cluster: {}\n", "x".repeat(1_000_000)).into_bytes(), 1),
        ("many keys", lines(60_000, &|n| format!("k{n}: 1\n")).into_bytes(), 1),
        ("many anchors", lines(50_000, &|n| format!("k{n}: &a{n} x\n")).into_bytes(), 1),
        ("brackets", format!("a: {}", "[".repeat(500_000)).into_bytes(), 1),
        ("braces", format!("a: {}", "{a: ".repeat(200_000)).into_bytes(), 1),
        ("entries", format!("a:\n  {}x", "- ".repeat(300_000)).into_bytes(), 2),
        ("questions", "? ".repeat(300_000).into_bytes(), 1),
        ("quotes", "\"".repeat(1_000_000).into_bytes(), 1),
        ("colons", ": ".repeat(500_000).into_bytes(), 1),
        ("stars", "*".repeat(1_000_000).into_bytes(), 1),
        ("bangs", "!".repeat(1_000_000).into_bytes(), 1),
        ("a raw NUL", b"cluster: a\0\n".to_vec(), 1),
        ("a raw escape", b"cluster: \x1b[2J\n".to_vec(), 1),
        ("a raw C1", "cluster: \u{9b}2J\n".as_bytes().to_vec(), 1),
        ("a raw return", b"cluster: a\rb\n".to_vec(), 1),
        ("a mark inside", "cluster: a\n\u{feff}nodes: []\n".as_bytes().to_vec(), 2),
        ("latin 1", b"cluster: caf\xe9\n".to_vec(), 1),
        ("surrogates", b"cluster: \xed\xa0\x80\n".to_vec(), 1),
        ("long zeros", format!("cluster: a\nssh: {{ port: {} }}\n", "0".repeat(500_000)).into_bytes(), 2),
        ("long digits", format!("cluster: a\nssh: {{ port: {} }}\n", "9".repeat(500_000)).into_bytes(), 2),
        ("tabs", b"cluster: a\n\tnodes: []\n".to_vec(), 2),
        ("an open quote", b"cluster: \"a\nnodes: []\n".to_vec(), 1),
        (
            "many mistakes",
            format!("cluster: a\nnodes:\n{}", "  - { name: '', host: '' }\n".repeat(20_000)).into_bytes(),
            3,
        ),
    ];
    let made = |(what, inventory, line): (&str, Vec<u8>, usize)| Case {
        what: what.to_owned(),
        inventory,
        procedure: "procedure: x\nphases: []\n".to_owned(),
        at: ("inventory", line),
    };
    bombs.into_iter().map(made).collect()
}

fn cases() -> Vec<Case> {
    let named = NAMED.iter().flat_map(|place| words().into_iter().map(|word| case(place, &quoted(&word))));
    let others = OTHERS.iter().flat_map(|(place, values)| values.iter().map(|value| case(place, value)));
    named.chain(others).chain(bombs()).collect()
}

/// A directory where a case is looked at, with what its procedure names.
struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("rg-").tempdir().unwrap();
        fs::write(dir.path().join("image.tar"), "test").unwrap();
        Self { dir }
    }

    fn lay(&self, case: &Case) {
        fs::write(self.dir.path().join("inventory.yaml"), &case.inventory).unwrap();
        fs::write(self.dir.path().join("procedure.yaml"), &case.procedure).unwrap();
    }

    fn rollgate(&self, words: &[&str]) -> Output {
        Invocation::new("sh", self.dir.path())
            .env("ROLLGATE_STATE_DIR", self.dir.path().join("state"))
            .env("XDG_RUNTIME_DIR", self.dir.path())
            .env("HOSTILE_SECRET", "hunter22")
            .args(["-c", LIMITS, "sh", env!("CARGO_BIN_EXE_rollgate")])
            .args(words)
            .run()
    }
}

/// The places that a refusal points at.
static PLACE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?m)^ *--> .*\b(inventory|procedure)\.yaml:(\d+):\d+$").unwrap());

/// Why a refusal is none.
fn amiss(case: &Case, output: &Output) -> Option<String> {
    let said = output.raw_stderr();
    let says = |why: &str| {
        let said: String = said.chars().take(1500).collect();
        Some(format!("{}: {why}: exit {}\n{said}", case.what, output.exit_code()))
    };
    if said.contains("panicked") || output.exit_code() != 2 {
        return says("is not refused");
    }
    let (file, line) = (case.at.0, case.at.1.to_string());
    if !PLACE.captures_iter(said).any(|place| (&place[1], &place[2]) == (file, line.as_str())) {
        return says(&format!("is not refused at {file}.yaml:{line}"));
    }
    if said.chars().any(|c| !(c.is_ascii_graphic() || c == ' ' || c == '\n')) {
        return says("reaches the terminal");
    }
    (said.len() > 30_000).then(|| says("is explained at length")).flatten()
}

/// Every file below a directory.
fn below(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            below(&path, found);
        }
        found.push(path);
    }
}

#[track_caller]
fn no_canary(dir: &Path) {
    let mut found = Vec::new();
    below(dir, &mut found);
    let canary = found.iter().find(|path| path.file_name().unwrap().to_string_lossy().contains("canary"));
    assert_eq!(canary, None);
}

#[test]
fn the_sound_files_are_no_case() {
    let desk = Desk::new();
    desk.lay(&case("", ""));
    desk.rollgate(&["-i", "inventory.yaml", "check", "--syntax-only"]).code(0);
}

#[test]
fn five_hundred_hostile_inventories_are_refused_where_the_harm_stands() {
    let cases = cases();
    assert!(cases.len() >= 500, "{} cases", cases.len());
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let desk = Desk::new();
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    desk.lay(case);
                    for words in [&["check", "--syntax-only"][..], &["start", "--dry-run"]] {
                        let output = desk.rollgate(&[&["-i", "inventory.yaml"], words].concat());
                        failed.lock().unwrap().extend(amiss(case, &output));
                    }
                }
                no_canary(desk.dir.path());
                assert!(!desk.dir.path().join("state").exists(), "nothing is recorded of what was refused");
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), cases.len() * 2, failed.join("\n---\n"));
    eprintln!("{} hostile inventories", cases.len());
}

/// Values for which every character counts: what shells, ssh, printf and templates take for something else.
fn values() -> Vec<String> {
    let mut values: Vec<String> = words()
        .into_iter()
        .map(|word| word.replace('\0', ""))
        .chain(
            ["$((1+1))", "\\", "a\\", "%s%n", "!x", "a\n\n", "\n.\n", "${x:-y}", "<<EOF", "-e x", "\u{feff}"]
                .map(str::to_owned),
        )
        .collect();
    let mut dice = Dice::new(20_261_122);
    let alphabet: Vec<char> = "$(touch canary)`;'\"\\|&<>*?~#%!{}[] \n\t\r\u{1}\u{1b}\u{7f}\u{9b}\u{85}\u{e9}\u{202e}\u{1f600}abc0-=,".chars().collect();
    for _ in 0..250 {
        let length = dice.below(60);
        values.push((0..length).map(|_| *dice.one(&alphabet)).collect());
    }
    values
}

#[test]
fn values_may_be_anything_and_arrive_byte_for_byte() {
    let values = values();
    let mut vars = String::from("vars:\n");
    let mut script = String::from("exec >\"$dir/seen\"\n");
    for (number, value) in values.iter().enumerate() {
        writeln!(vars, "  v{number}: {}", quoted(value)).unwrap();
        writeln!(script, "printf '%s\\0' \"$v{number}\"").unwrap();
    }
    let body = script.replace('\n', "\n                      ");
    let procedure = format!(
        r#"
            procedure: values
            phases:
              - name: all
                nodes: "*"
                upgrade:
                  - run: |
                      {body}
        "#
    );
    let cluster = Cluster::new()
        .node(super::super::support::NodeSpec::local("n1"))
        .node(super::super::support::NodeSpec::ssh("n2"))
        .inventory(&vars)
        .procedure(&procedure)
        .build();
    cluster.rollgate(["start", "--dry-run"]).run().code(0);
    cluster.start(&[]).run().code(0);
    let wanted: Vec<u8> = values.iter().flat_map(|value| [value.as_bytes(), b"\0"].concat()).collect();
    for node in ["n1", "n2"] {
        let seen = fs::read(cluster.node_dir(node).join("seen")).unwrap();
        let (seen, wanted): (Vec<_>, Vec<_>) =
            (seen.split(|b| *b == 0).collect(), wanted.split(|b| *b == 0).collect());
        for (number, (seen, wanted)) in seen.iter().zip(&wanted).enumerate() {
            assert_eq!(String::from_utf8_lossy(seen), String::from_utf8_lossy(wanted), "v{number} on {node}");
        }
        assert_eq!(seen.len(), wanted.len(), "{node}");
    }
    no_canary(cluster.root());
    eprintln!("{} values on two nodes", values.len());
}

#[test]
fn files_with_any_bytes_in_them_end_no_program() {
    let sound = [INVENTORY, PROCEDURE].map(|text| filled(text, "", ""));
    let harm: Vec<Vec<u8>> = words()
        .into_iter()
        .map(String::into_bytes)
        .chain([
            b"\xff".to_vec(),
            b"&a ".to_vec(),
            b"*a ".to_vec(),
            b"- ".to_vec(),
            b"? ".to_vec(),
            b"!!x ".to_vec(),
            b"{".to_vec(),
            b"]".to_vec(),
            b"\n".to_vec(),
            b": ".to_vec(),
            b"|\n".to_vec(),
            b"<<: ".to_vec(),
        ])
        .collect();
    let desk = Desk::new();
    let mut dice = Dice::new(7);
    for round in 0..150 {
        let mut files = sound.clone().map(String::into_bytes);
        for _ in 0..=dice.below(3) {
            let file = &mut files[dice.below(2)];
            let at = dice.below(file.len());
            match dice.below(3) {
                0 => drop(file.splice(at..at, dice.one(&harm).clone())),
                1 => file[at] = u8::try_from(dice.below(256)).unwrap(),
                _ => drop(file.drain(at..(at + 20).min(file.len()))),
            }
        }
        let [inventory, procedure] = files;
        fs::write(desk.dir.path().join("inventory.yaml"), inventory).unwrap();
        fs::write(desk.dir.path().join("procedure.yaml"), procedure).unwrap();
        let output = desk.rollgate(&["-i", "inventory.yaml", "check", "--syntax-only"]);
        assert!([0, 2].contains(&output.exit_code()), "round {round}: {output:?}");
        let placed = PLACE.is_match(output.raw_stderr());
        assert_eq!(placed, output.exit_code() == 2, "round {round}: {output:?}");
        super::super::support::harmless(output.raw_stdout(), output.raw_stderr());
    }
    no_canary(desk.dir.path());
}

#[test]
fn a_program_that_prints_no_inventory_is_refused_and_its_errors_are_shown_as_text() {
    let desk = Desk::new();
    let program = desk.dir.path().join("inventory");
    for (script, says) in [
        ("cat /dev/urandom", "prints more than 1 MiB"),
        ("exec yes", "prints more than 1 MiB"),
        ("head -c 1000 /dev/urandom", "inventory"),
        ("exit 3", "ended with exit status: 3"),
        ("kill -9 $$", "ended with signal: 9"),
        (":", "this file is empty"),
        ("printf 'cluster: \"\\\\0\"\\n'", "NUL"),
        ("printf 'cluster: $(touch canary)\\n'", "cannot be a cluster name"),
        (
            "printf '\\033]52;c;eA==\\007 no \\302\\2332J cloud\\r\\n' >&2; exit 1",
            "inventory | \\x1b]52;c;eA==\\x07 no \\u{9b}2J cloud\n",
        ),
        ("yes no >&2", "(what it says from here on is not shown)"),
    ] {
        let script =
            if script.starts_with("yes no") { "yes no | head -n 100000 >&2; exit 1" } else { script };
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let output = desk.rollgate(&["-i", "./inventory", "check", "--syntax-only"]);
        output.code(2).stderr_has(says);
        super::super::support::harmless(output.raw_stdout(), output.raw_stderr());
        assert!(output.raw_stderr().len() < 20_000, "{script}");
    }
    no_canary(desk.dir.path());
}
