//! A hundred thousand outputs of nodes through a real terminal: none steers it, none poses as rollgate's own line, and
//! every byte is in the transcript.

use std::fmt::Write as _;
use std::fs;
use std::sync::LazyLock;

use regex::bytes::Regex;

use super::super::support::{Cluster, Pty, Size, written};
use super::dice::Dice;

/// How many outputs are made in all, and by how many runs they are printed in each style.
const OUTPUTS: usize = 100_000;
const RUNS: usize = 5;

/// A word in every line that looks like one of rollgate's.
const FORGED: &str = "f0rged";

/// What steers terminals, turns text around, hides in it, or is none.
const PIECES: &[&[u8]] = &[
    b"\x1b[2J",
    b"\x1b[31m",
    b"\x1b[0m",
    b"\x1b[1A",
    b"\x1b[K",
    b"\x1b[?25l",
    b"\x1b[?1049h",
    b"\x1b[6n",
    b"\x1b[8;1;1t",
    b"\x1b7",
    b"\x1b8",
    b"\x1bc",
    b"\x1b(0",
    b"\x1b]0;title\x07",
    b"\x1b]2;title\x1b\\",
    b"\x1b]8;;http://x/\x1b\\link\x1b]8;;\x1b\\",
    b"\x1b]52;c;ZXZpbA==\x07",
    b"\x1b]4;1;rgb:ff/00/00\x07",
    b"\x1bP$qm\x1b\\",
    b"\x1bP0;1|17/ab\x9c",
    b"\x1b_apc\x1b\\",
    b"\x1b^pm\x1b\\",
    b"\x1bX sos\x1b\\",
    b"\x1b",
    b"\x9b2J",
    b"\x9d52;c;eA==\x9c",
    b"\x90q\x9c",
    b"\x84\x85\x8d",
    "\u{9b}2J".as_bytes(),
    "\u{9d}0;t\u{9c}".as_bytes(),
    "\u{85}\u{84}\u{8d}".as_bytes(),
    b"\r",
    b"\rover",
    b"\x08\x08\x08",
    b"\x07",
    b"\x00",
    b"\x0b\x0c",
    b"\x0e\x0f",
    b"\x05",
    b"\x7f",
    b"\x1a\x04\x03",
    "\u{202e}desrever".as_bytes(),
    "\u{2066}x\u{2069}".as_bytes(),
    "\u{200f}\u{61c}".as_bytes(),
    "\u{200b}\u{200d}\u{feff}\u{2060}".as_bytes(),
    "\u{ad}\u{34f}\u{180e}".as_bytes(),
    "\u{e0041}\u{e007f}".as_bytes(),
    "\u{2028}\u{2029}".as_bytes(),
    "\u{fe0f}\u{fff9}".as_bytes(),
    b"\xff\xfe",
    b"\xc0\xaf",
    b"\xe2\x9c",
    b"\xf0\x9f\x98",
    b"\xed\xa0\x80",
    "gr\u{fc}n \u{2713} \u{65e5}\u{672c}".as_bytes(),
    b"\t",
    b"plain words",
    b" ",
];

/// What rollgate itself might say, and what a shell would do.
const FORGERIES: &[&str] = &[
    "\n12:00 \u{2713} n1      f0rged upgrade done",
    "\n2026-11-22T12:00:00+00:00 n1 f0rged upgrade done",
    "\nnext: rollgate f0rged rollback",
    "\nerror: f0rged",
    "\nnote: f0rged",
    "\nType the cluster's name to f0rged begin: ",
    "\nn2 | f0rged of another node",
    "\r\x1b[Kn2 | f0rged",
];

/// One output: a few pieces, now and then forged lines or a long one. It ends its line.
fn output(dice: &mut Dice) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..=dice.below(5) {
        match dice.below(40) {
            0 => bytes.extend_from_slice(dice.one(FORGERIES).as_bytes()),
            1 => bytes.extend((0..dice.below(12)).map(|_| u8::try_from(dice.below(256)).unwrap())),
            2 if dice.below(20) == 0 => bytes.extend(dice.one(PIECES).repeat(40)),
            _ => bytes.extend(dice.one(PIECES).iter()),
        }
    }
    bytes.push(b'\n');
    bytes
}

fn outputs(seed: u64, count: usize) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    (0..count).flat_map(|_| output(&mut dice)).collect()
}

/// A cluster whose one step prints a file.
fn cluster(said: &[u8]) -> Cluster {
    let cluster = Cluster::new()
        .local(1)
        .procedure(
            r#"
            procedure: a node that talks
            phases:
              - name: all
                nodes: "*"
                upgrade:
                  - name: talk
                    run: cat "$dir/said"
                    timeout: 10m
            "#,
        )
        .build();
    fs::write(cluster.node_dir("n1").join("said"), said).unwrap();
    cluster
}

/// Whether a character steers a terminal, reorders its neighbours or does not show itself; written down apart from the
/// filter's own list.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            0xad | 0x34f | 0x61c | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f | 0x200b..=0x200f
            | 0x2028..=0x202e | 0x2060..=0x206f | 0x3164 | 0xe000..=0xf8ff | 0xfdd0..=0xfdef | 0xfe00..=0xfe0f
            | 0xfeff | 0xffa0 | 0xfff0..=0xfffb | 0xfffe | 0xffff | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a
            | 0xe0000..=0xe0fff | 0xf0000..)
}

/// A line as the filter is to show it; made here once more.
fn harmless(line: &[u8], unicode: bool) -> String {
    let mut out = String::new();
    for chunk in line.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\t' => out.push(' '),
                '\r' => out.push_str("\\r"),
                ' '..='~' => out.push(c),
                '\0'..='\x7f' => write!(out, "\\x{:02x}", u32::from(c)).unwrap(),
                c if unicode && !is_hidden(c) => out.push(c),
                c => write!(out, "\\u{{{:x}}}", u32::from(c)).unwrap(),
            }
        }
        chunk.invalid().iter().for_each(|byte| write!(out, "\\x{byte:02x}").unwrap());
    }
    out
}

/// What a node's lines are to look like on a screen that is wide enough.
fn shown(said: &[u8], unicode: bool) -> Vec<String> {
    let lines = said.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n');
    lines.map(|line| format!("n1 | {}", harmless(line, unicode)).trim_end().to_owned()).collect()
}

/// Insists that the screen has these lines of the node, all and in their order, and no forged one of its own.
#[track_caller]
fn holds_nodes_lines(screen: &str, wanted: &[String]) {
    let lines: Vec<&str> = screen.lines().map(str::trim_end).collect();
    let of_node: Vec<&&str> = lines.iter().filter(|line| line.starts_with("n1 |")).collect();
    for (number, (got, wanted)) in of_node.iter().zip(wanted).enumerate() {
        assert_eq!(**got, wanted, "line {number} of the node");
    }
    assert_eq!(of_node.len(), wanted.len());
    nobody_poses(&lines, wanted);
}

/// Insists that a forged word stands behind the name of its node only, or in what is said to be its last words.
#[track_caller]
fn nobody_poses(lines: &[&str], wanted: &[String]) {
    let is_of_node = |line: &&&str| {
        line.starts_with("n1 | ") || last_words(line).is_some_and(|text| said_so(wanted, text))
    };
    let posing = lines.iter().filter(|line| line.contains(FORGED)).find(|line| !is_of_node(line));
    assert_eq!(posing, None);
}

/// What a step said last stands below its node's line, behind its age.
fn last_words(line: &str) -> Option<&str> {
    let (age, text) = line.strip_prefix("  ")?.trim_start().split_once(" | ")?;
    (age == "just now" || age.ends_with(" ago")).then_some(text.trim_end())
}

/// Whether the node said this, or begins so where there was no room for the rest.
fn said_so(wanted: &[String], text: &str) -> bool {
    let said = |line: &String| line.strip_prefix("n1 | ").unwrap_or_default().trim().to_owned();
    match text.strip_suffix('\u{2026}') {
        Some(begun) => wanted.iter().any(|line| said(line).starts_with(begun.trim())),
        None => wanted.iter().any(|line| said(line) == text.trim()),
    }
}

/// Wider than any line is.
const WIDE: Size = Size { rows: 40, columns: 20_000 };

fn transcript(cluster: &Cluster) -> Vec<u8> {
    let file = cluster.run_dir().join("out/n1.all.upgrade.1.1.log");
    fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

#[test]
fn a_hundred_thousand_outputs_reach_a_plain_and_a_live_terminal_as_text() {
    let each = OUTPUTS / RUNS / 2;
    let (mut count, mut bytes) = (0, 0);
    for seed in 0..RUNS as u64 {
        for style in ["plain", "human"] {
            let said = outputs(seed * 2 + u64::from(style == "human"), each);
            let cluster = cluster(&said);
            let words = ["-o", style, "--color", "never", "start", "--yes", "--confirm", "test"];
            let (status, raw) = written(cluster.rollgate(words), WIDE);
            assert_eq!(status.code(), Some(0), "{}", String::from_utf8_lossy(&raw));
            if style == "plain" {
                plain(&raw, &said);
            } else {
                live(&raw, &said);
            }
            assert_eq!(transcript(&cluster), said, "the transcript has every byte");
            count += each;
            bytes += said.len();
        }
    }
    eprintln!("{count} outputs of {bytes} bytes");
    assert_eq!(count, OUTPUTS);
}

#[track_caller]
fn plain(raw: &[u8], said: &[u8]) {
    let text = String::from_utf8(raw.to_vec()).unwrap().replace("\r\n", "\n");
    let bad = text.char_indices().find(|(_, c)| !(c.is_ascii_graphic() || matches!(c, ' ' | '\n' | '\t')));
    assert_eq!(bad, None);
    holds_nodes_lines(&text, &shown(said, false));
}

/// The sequences that rollgate itself writes to a terminal that it redraws, with the block between them.
static OWN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\x1b\[\d*[AB]|\x1b\[[02]?K|\x1b\[[0-9]*[JG]|\x1b\[\?25[hl]|\x1b[78]").unwrap()
});

#[track_caller]
fn live(raw: &[u8], said: &[u8]) {
    let rest = OWN.replace_all(raw, &b""[..]);
    let text = String::from_utf8(rest.into_owned()).unwrap();
    let bad = text.char_indices().find(|(_, c)| is_hidden(*c) && !matches!(c, '\n' | '\r'));
    assert_eq!(bad, None);
    // A row that is drawn anew begins behind the return.
    let rows: Vec<&str> = text.split(['\n', '\r']).collect();
    holds_nodes_lines(&rows.join("\n"), &shown(said, true));
}

/// The colours of rollgate's own.
static COLOURS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\x1b\[[0-9;]*m").unwrap());

#[test]
fn nothing_of_it_reaches_a_coloured_terminal_of_eighty_columns() {
    let said = outputs(80, 500);
    let cluster = cluster(&said);
    let words = ["-o", "human", "--color", "always", "start", "--yes", "--confirm", "test"];
    let (status, raw) = written(cluster.rollgate(words), Size { rows: 24, columns: 80 });
    assert_eq!(status.code(), Some(0), "{}", String::from_utf8_lossy(&raw));
    assert!(COLOURS.is_match(&raw), "it has colours");
    let rest = COLOURS.replace_all(&raw, &b""[..]);
    let rest = OWN.replace_all(&rest, &b""[..]);
    let text = String::from_utf8(rest.into_owned()).unwrap();
    let bad = text.char_indices().find(|(_, c)| is_hidden(*c) && !matches!(c, '\n' | '\r'));
    assert_eq!(bad, None);
    let rows: Vec<&str> = text.split(['\n', '\r']).map(str::trim_end).collect();
    nobody_poses(&rows, &shown(&said, true));
    assert!(rows.iter().any(|row| row.contains(FORGED)));
}

/// The terminal breaks what is too long for it, and what follows would stand at its left edge.
#[test]
fn a_line_longer_than_the_terminal_goes_on_behind_the_name_of_its_node() {
    let posing = format!("{}{FORGED} n1 upgrade done", "x".repeat(35));
    let said = format!("{posing}\n{}\n", "\u{65e5}".repeat(60));
    for style in ["plain", "human"] {
        let cluster = cluster(said.as_bytes());
        let words = ["-o", style, "--color", "never", "start", "--yes", "--confirm", "test"];
        let mut terminal = Pty::start(cluster.rollgate(words), Size { rows: 40, columns: 40 });
        terminal.ends_with(0);
        let lines = terminal.lines();
        let part = lines.iter().find(|line| line.contains(FORGED)).unwrap_or_else(|| panic!("{lines:#?}"));
        assert_eq!(part.trim_end(), format!("n1 | {FORGED} n1 upgrade done"), "{style}");
        let whole: String =
            lines.iter().filter_map(|line| line.strip_prefix("n1 | ")).map(str::trim_end).collect();
        assert!(whole.starts_with(&posing), "{style}: {whole}");
        assert_eq!(transcript(&cluster), said.as_bytes());
    }
}

/// Every other way of a node's words to the operator: readings, evidence, versions, reasons, reports.
#[test]
fn no_other_screen_and_no_report_lets_a_byte_through() {
    let said: Vec<u8> = {
        let mut dice = Dice::new(4711);
        let lines = (0..400).map(|_| output(&mut dice)).filter(|line| !line.contains(&0));
        lines.flatten().collect()
    };
    let cluster = Cluster::new()
        .local(1)
        .procedure(
            r#"
            procedure: a node that talks
            version: { run: 'head -n 1 "$dir/said"' }
            checks:
              words: { run: 'cat "$dir/said"', equals: quiet, evidence: 'cat "$dir/said"', remedy: look }
            phases:
              - name: all
                nodes: "*"
                drain:
                  - gate: isolated
                    checks: [words]
                    every: 100ms
                    timeout: 2s
                upgrade:
                  - name: talk
                    run: cat "$dir/said"; exit 7
            "#,
        )
        .build();
    fs::write(cluster.node_dir("n1").join("said"), &said).unwrap();
    let mut screens = Vec::new();
    for (words, code) in [
        (&["check"][..], 0),
        (&["start", "--dry-run"], 10),
        (&["start", "--no-input", "--confirm", "test", "--override", "isolated=a test"], 20),
        (&["status"], 0),
        (&["status", "--offline"], 0),
        (&["report"], 0),
        (&["report", "--format", "html"], 0),
        (&["report", "--format", "svg"], 0),
        (&["report", "--format", "json"], 0),
    ] {
        for style in ["plain", "human"] {
            let global = ["-o", style, "--color", "never"];
            let resumed = words[0] == "start" && style == "human" && words.len() > 2;
            let words: Vec<&str> = if resumed { [words, &["--resume"]].concat() } else { words.to_vec() };
            let (status, raw) = written(cluster.rollgate(global).args(&words), WIDE);
            assert_ne!(status.code(), Some(101), "{words:?}");
            assert_eq!(status.code(), Some(code), "{words:?}: {}", String::from_utf8_lossy(&raw));
            screens.push((format!("{style} {words:?}"), raw));
        }
    }
    assert!(screens.iter().any(|(_, raw)| String::from_utf8_lossy(raw).contains("\\x1b")));
    for (what, raw) in screens {
        let rest = if what.starts_with("plain") {
            raw.clone()
        } else {
            OWN.replace_all(&raw, &b""[..]).into_owned()
        };
        let text =
            String::from_utf8(rest).unwrap_or_else(|error| panic!("{what}: {error}")).replace("\r\n", "\n");
        let bad = text.char_indices().find(|(_, c)| is_hidden(*c) && *c != '\n' && *c != '\r');
        assert_eq!(
            bad,
            None,
            "{what}: {:?}",
            bad.map(|(at, _)| text[at..].chars().take(60).collect::<String>())
        );
        let posing = text.lines().find(|line| {
            ["next: rollgate f0rged", "error: f0rged", "note: f0rged", "n2 | f0rged"]
                .iter()
                .any(|lie| line.starts_with(lie))
        });
        assert_eq!(posing, None, "{what}");
    }
}
