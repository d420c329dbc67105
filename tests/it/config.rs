//! What the configuration makes of files: the starter loads, every mistake has its exact message, and
//! hostile input is refused at once.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use rollgate::config::{self, Source};
use rustix::time::{ClockId, clock_gettime};

/// The inventory that procedures of the golden file are read with.
const INVENTORY: &str = "\
cluster: mq
procedure: ./procedure.yaml
vars: { target: \"3.13.7\" }
nodes:
  - { name: \"mq[1-3]\", host: \"10.0.0.[1-3]\", groups: [brokers] }
";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What an operator sees for a file; the directory it stands in is left out.
fn shown(text: &str) -> String {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let inventory = directory.path().join("inventory.yaml");
    if text.starts_with("procedure: Brokers") {
        fs::write(&inventory, INVENTORY).expect("written");
        fs::write(directory.path().join("procedure.yaml"), text).expect("written");
    } else {
        fs::write(&inventory, text).expect("written");
    }
    let prefix = format!("{}/", directory.path().display());
    match config::load(&inventory) {
        Ok(_) => "it loads".to_owned(),
        Err(mistakes) => {
            let text = mistakes.render(false).replace("/./", "/").replace(&prefix, "");
            format!("{text}\nto do: {}", mistakes.to_do())
        }
    }
}

/// Compares with a file beside this one; `ROLLGATE_BLESS=1` writes it anew, to be read in the diff.
fn golden(name: &str, fresh: &str) {
    let file = root().join("tests/it").join(name);
    if std::env::var_os("ROLLGATE_BLESS").is_some() {
        fs::write(&file, fresh).expect("written");
    }
    let golden = fs::read_to_string(&file).expect("the golden file");
    for (line, (is, was)) in fresh.lines().zip(golden.lines()).enumerate() {
        assert_eq!(is, was, "line {} of {name}", line + 1);
    }
    assert_eq!(fresh.lines().count(), golden.lines().count(), "lines of {name}");
}

#[test]
fn every_mistake_has_its_exact_message() {
    let file = root().join("tests/it/config_mistakes.txt");
    let written = fs::read_to_string(&file).expect("the golden file");
    let (head, cases) = written.split_once("\n=== ").expect("at least one case");
    let mut fresh = head.to_owned();
    for case in cases.split("\n=== ") {
        let (title, body) = case.split_once('\n').expect("a title and a body");
        let text = body.split("\n-->\n").next().unwrap_or_default().trim_end_matches('\n');
        let message = shown(&format!("{text}\n"));
        fresh.extend(["\n=== ", title, "\n", text, "\n-->\n", &message, "\n"]);
    }
    golden("config_mistakes.txt", &fresh);
    assert!(cases.split("\n=== ").count() >= 20);
}

#[test]
fn every_example_loads() {
    let mut loaded = 0;
    for entry in fs::read_dir(root().join("examples")).expect("examples") {
        let inventory = entry.expect("an entry").path().join("inventory.yaml");
        if inventory.exists() {
            config::load(&inventory).unwrap_or_else(|found| panic!("{}", found.render(true)));
            loaded += 1;
        }
    }
    assert!(loaded >= 2, "the demo and the starter");
}

fn worked() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(now).expect("time that was worked is not negative")
}

fn within_a_second(what: &str, work: impl FnOnce() -> String) -> String {
    // The work of this thread counts, not how long it had to wait for a busy machine.
    let begun = worked();
    let text = work();
    let took = worked().saturating_sub(begun);
    // Without optimisation everything takes several times as long.
    let limit = Duration::from_secs(if cfg!(debug_assertions) { 4 } else { 1 });
    assert!(took < limit, "{what} took {took:?}");
    text
}

fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(line).collect::<Vec<_>>().concat()
}

fn refused(what: &str, text: String) -> String {
    let text = text.into_bytes();
    within_a_second(what, || {
        match Source::from_bytes(&PathBuf::from("f.yaml"), text).and_then(config::load_source) {
            Ok(_) => panic!("{what} loads"),
            Err(mistakes) => mistakes.render(true),
        }
    })
}

#[test]
fn hostile_files_are_refused_at_once() {
    for (what, text, says) in [
        ("nested brackets", format!("a: {}", "[".repeat(100_000)), "more than 256 brackets are open here"),
        ("nested braces", format!("a: {}", "{a: ".repeat(100_000)), "more than 256 brackets are open here"),
        ("nested entries", format!("a:\n  {}x", "- ".repeat(100_000)), "nest more than 64 deep"),
        ("a deep document", lines(100, |n| format!("{}a:\n", " ".repeat(n))), "nest more than 64 deep"),
        ("a document in itself", "a: &a [*a]\n".to_owned(), "nest more than 64 deep"),
        (
            "many mistakes",
            format!("cluster: a\nnodes:\n{}", "  - { name: '', host: '' }\n".repeat(20_000)),
            "more",
        ),
        ("a long line", format!("cluster: {}\n", "x".repeat(1_000_000)), "at most 64 characters"),
        ("many keys", lines(60_000, |n| format!("k{n}: 1\n")), "unknown key `k0`"),
        ("many quotes", "\"".repeat(1_000_000), "error: "),
        ("many colons", ": ".repeat(500_000), "error: "),
        ("many anchors", lines(50_000, |n| format!("k{n}: &a{n} x\n")), "unknown key"),
    ] {
        let shown = refused(what, text);
        assert!(shown.contains(says), "{what}: {}", &shown[..shown.len().min(600)]);
        assert!(shown.len() < 20_000, "{what} is explained in {} bytes", shown.len());
    }
}

/// Each of these once took time with the square of its length: found by tests/fuzz.
#[test]
fn one_thing_over_and_over_is_refused_at_once() {
    for (what, text, says) in [
        ("many blanks", " ".repeat(1_000_000), "this file is empty"),
        ("many keys without values", lines(60_000, |n| format!("k{n}:\n")), "... and 59980 more"),
        ("many odd values", "a: True\n".repeat(120_000), "... and 119980 more"),
        ("many odd values on a line", format!("a: x # {}", ",True".repeat(190_000)), "unknown key"),
        ("many typographic quotes", format!("a: x{}", ",\u{201e}".repeat(240_000)), "unknown key"),
        (
            "many dashes and quotes",
            format!("a: x\n{}y: z", "-".repeat(400_000)) + &"\u{201e}".repeat(200_000),
            "error: ",
        ),
    ] {
        let shown = refused(what, text);
        assert!(shown.contains(says), "{what}: {}", &shown[shown.len().saturating_sub(600)..]);
    }
}

#[test]
fn a_huge_file_is_not_read() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("huge.yaml");
    fs::File::create(&path).and_then(|file| file.set_len(100 << 20)).expect("a sparse file");
    let shown = within_a_second("a huge file", || {
        config::load(&path).map_or_else(|found| found.render(true), |_| "it loads".to_owned())
    });
    assert!(shown.contains("this file is larger than 1 MiB"), "{shown}");
}

#[test]
fn what_cannot_be_opened_says_why() {
    let missing = config::load(Path::new("/nowhere/at/all.yaml")).expect_err("nothing there").render(true);
    assert!(
        missing.starts_with("error: cannot read /nowhere/at/all.yaml: No such file or directory\n"),
        "{missing}"
    );
    let directory = config::load(root()).expect_err("a directory").render(true);
    assert!(directory.contains("it is a directory"), "{directory}");
}

/// An inventory with everything in it, the procedure inline.
const WHOLE: &str = include_str!("config_whole.yaml");

#[test]
fn all_of_the_syntax_loads() {
    let source = Source::from_bytes(Path::new("whole.yaml"), WHOLE.as_bytes().to_vec()).expect("plain text");
    let loaded = config::load_source(source).unwrap_or_else(|found| panic!("{}", found.render(true)));
    let home = std::env::home_dir().expect("a home");
    let shown = format!("{:#?}\n{:#?}", loaded.inventory, loaded.procedure)
        .replace(root().to_str().expect("UTF-8"), "ROOT")
        .replace(home.to_str().expect("UTF-8"), "HOME");
    golden("config_whole.txt", &shown);
}

/// Reads a text as an inventory; what comes of it does not matter, only that something does.
fn survive(text: &str) {
    let loaded =
        Source::from_bytes(Path::new("f.yaml"), text.as_bytes().to_vec()).and_then(config::load_source);
    if let Err(mistakes) = loaded {
        for ascii in [false, true] {
            let shown = mistakes.render(ascii);
            assert!(shown.starts_with("error: ") && !mistakes.to_do().is_empty(), "{shown}");
            assert!(!shown.contains('\u{1b}') && !shown.contains('\r'), "{shown:?}");
            assert!(!ascii || shown.is_ascii(), "{shown:?}");
            for word in ["Raw", "struct ", "Scalar", "OneOrMany", "visitor", "u16", "usize"] {
                assert!(WHOLE.contains(word) || !shown.contains(word), "a Rust name in {shown}");
            }
        }
    }
}

/// Words of YAML and of rollgate, glued together at random.
fn soup() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "cluster: a\n",
        "nodes:\n",
        "  - ",
        "name: b",
        "\n",
        " ",
        "    ",
        "\t",
        "[",
        "]",
        "{",
        "}",
        ", ",
        ": ",
        "- ",
        "\"",
        "'",
        "|\n",
        ">-\n",
        "&a ",
        "*a",
        "!t ",
        "<<: ",
        "? ",
        "# c\n",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "~",
        "null",
        "1.10",
        "0x1f",
        "true",
        "é",
        "\u{a0}",
        "“",
        "${a}",
        "procedure: ",
        "phases:\n",
        "run: x",
        "checks: ",
        "host: \"h[1-3]\"",
        "groups: ",
        "vars: ",
        "when: ",
        "at_most: ",
        "steps: ",
        "\\",
        "\u{2028}",
        "\r",
    ]);
    prop::collection::vec(words, 0..60).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(text in any::<String>()) {
        survive(&text);
    }

    #[test]
    fn no_soup_of_words_panics(text in soup()) {
        survive(&text);
    }

    #[test]
    fn no_damage_panics(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..40_usize, soup()), 1..3),
    ) {
        let mut text: Vec<char> = WHOLE.chars().collect();
        for (at, length, put) in cuts {
            let at = at.index(text.len());
            let end = (at + length).min(text.len());
            text.splice(at..end, put.chars().take(length));
        }
        survive(&text.into_iter().collect::<String>());
    }

    #[test]
    fn no_misplaced_line_panics(from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>()) {
        let mut lines: Vec<&str> = WHOLE.lines().collect();
        let line = lines.remove(from.index(lines.len()));
        lines.insert(to.index(lines.len()), line);
        survive(&lines.join("\n"));
    }
}
