//! `-o json`: every verb in its states, each document and record as its schema has it. That *every* JSON output of
//! every test is as its schema has it, the harness sees to (`support/schema.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use rollgate::model::event::Record;
use serde_json::{Value, json};

use super::support::{Cluster, NodeSpec, Output, documents, rollgate, schemas};

/// The schema of a record as the types have it, with what stands around it on standard output and in a journal.
fn record_schema() -> Value {
    let settings = schemars::generate::SchemaSettings::draft07().for_serialize();
    let made = settings.into_generator().into_root_schema_for::<Record>();
    let mut schema = serde_json::to_value(made).unwrap();
    schema["title"] = json!("A record of a run");
    schema["description"] = json!(
        "What stage, start, rollback and unstage print with -o json, one a line, as it happens: the same records \
         that the run's journal keeps. Printed, a record has format and format_version; in the journal it has crc, \
         and the first one has v."
    );
    let around = [
        ("format", json!({ "const": "rollgate/record", "description": "What this is." })),
        (
            "format_version",
            json!({ "type": "string", "pattern": r"^1\.\d+$", "description": "A minor version may add fields; a major one may change or remove them." }),
        ),
        ("v", json!({ "const": 1, "description": "The version of the journal's format." })),
        (
            "crc",
            json!({ "type": "string", "pattern": "^[0-9a-f]{8}$", "description": "CRC-32 of this record and all before it." }),
        ),
    ];
    for (name, part) in around {
        schema["properties"][name] = part;
    }
    close(&mut schema);
    schema
}

/// What has properties has no others.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.contains_key("properties") {
                members.insert("additionalProperties".to_owned(), json!(false));
            }
            if let Some(Value::String(words)) = members.get_mut("description") {
                *words = words.replace('\n', " ");
            }
            members.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

#[test]
fn the_schema_of_records_is_that_of_the_types() {
    let made = format!("{:#}\n", record_schema());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/output/record.schema.json");
    if std::env::var_os("ROLLGATE_BLESS").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == made, "record.schema.json is another: run ROLLGATE_BLESS=1 cargo test output::");
}

/// `step_started` for `StepStarted`.
fn snake(name: &str) -> String {
    let parts = name.char_indices().map(|(at, c)| match c {
        'A'..='Z' if at > 0 => format!("_{}", c.to_ascii_lowercase()),
        c => c.to_ascii_lowercase().to_string(),
    });
    parts.collect()
}

#[test]
fn every_event_is_in_the_schema_of_records() {
    let source =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/model/event/mod.rs")).unwrap();
    let body = source.split_once("pub enum Event {").unwrap().1.split_once("\n}\n").unwrap().0;
    let variants: BTreeSet<String> = body
        .lines()
        .filter_map(|line| line.strip_prefix("    ").filter(|line| line.starts_with(char::is_uppercase)))
        .map(|line| snake(line.trim_end_matches([' ', '{', ','])))
        .collect();
    let schema = &schemas()["record"];
    let known: BTreeSet<String> = schema["definitions"]["Event"]["oneOf"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["required"][0].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(variants, known);
    assert!(variants.contains("run_opened") && variants.len() > 20, "{variants:?}");
}

#[test]
fn what_has_one_name_in_two_schemas_is_one_thing() {
    let mut seen: BTreeMap<String, (String, Value)> = BTreeMap::new();
    for (name, schema) in schemas().into_iter().filter(|(name, _)| name != "record") {
        let mut heads: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        heads.truncate(3);
        assert_eq!(heads, ["format", "format_version", "rollgate"], "{name}");
        assert_eq!(schema["properties"]["format"]["const"], format!("rollgate/{name}"));
        for (part, shape) in schema["definitions"].as_object().unwrap() {
            // A node and a step are other things to a run than to a check.
            if ["node", "step", "turn", "gate"].contains(&part.as_str()) {
                continue;
            }
            let (first, known) = seen.entry(part.clone()).or_insert_with(|| (name.clone(), shape.clone()));
            assert!(known == shape, "{part} is another in {name} than in {first}");
        }
    }
    assert!(seen.contains_key("reading") && seen.contains_key("lock"));
}

const PROCEDURE: &str = r#"
    procedure: outputs
    version: { run: 'cat "$dir/version"' }
    to: "2"
    checks:
      queue: { run: 'cat "$dir/queue"', value: number, at_most: 0, unit: messages }
      clients: { run: 'cat "$dir/clients"', value: lines, count_at_most: 3 }
    artifacts:
      - { source: ./package, nodes: "n*" }
    phases:
      - name: service
        nodes: "n*"
        drain:
          - { name: out, run: 'true', undo: 'true', temporary: node }
          - { gate: isolated, checks: [queue, clients], every: 100ms, timeout: 30s }
        upgrade:
          - { name: install, run: 'test ! -e "$dir/broken"; cp "$ROLLGATE_STAGED/package" "$dir/version"' }
        rollback:
          - { name: back, run: 'echo 1 > "$dir/version"' }
"#;

fn cluster() -> Cluster {
    let cluster = Cluster::new().local(2).procedure(PROCEDURE).build();
    cluster.write("package", "2\n");
    for node in ["n1", "n2"] {
        cluster.write(&format!("nodes/{node}/version"), "1\n");
        cluster.write(&format!("nodes/{node}/queue"), "0\n");
        cluster.write(&format!("nodes/{node}/clients"), "10.0.0.1\n10.0.0.2\n");
    }
    cluster
}

/// The one document that is printed.
#[track_caller]
fn document(output: &Output, code: i32, format: &str) -> Value {
    let mut found = documents(output.code(code).raw_stdout());
    assert_eq!(found.len(), 1, "{output:?}");
    assert_eq!(found[0]["format"], format!("rollgate/{format}"));
    found.swap_remove(0)
}

/// The names of the events that are printed, one a line.
#[track_caller]
fn events(output: &Output, code: i32) -> Vec<String> {
    let text = output.code(code).raw_stdout();
    let found = documents(text);
    assert_eq!(found.len(), text.lines().count(), "a record is a line");
    let name = |record: &Value| record["event"].as_object().unwrap().keys().next().unwrap().clone();
    assert!(found.iter().all(|record| record["format"] == "rollgate/record"), "{output:?}");
    found.iter().map(name).collect()
}

fn json(cluster: &Cluster, words: &[&str]) -> Output {
    cluster.rollgate(words).args(["-o", "json"]).run()
}

const AGREED: [&str; 3] = ["--yes", "--confirm", "test"];

#[test]
fn a_run_from_stage_to_unstage() {
    let cluster = cluster();
    let status = || document(&json(&cluster, &["status"]), 0, "status");
    let before = status();
    assert_eq!(
        (&before["status"], &before["source"], &before["run"]),
        (&json!("none"), &json!("journal"), &Value::Null)
    );
    assert_eq!(document(&json(&cluster, &["start", "--dry-run"]), 0, "dry-run")["turns"][1]["node"], "n2");
    let staged = events(&json(&cluster, &["stage"]), 0);
    assert_eq!(
        (staged.first().unwrap().as_str(), staged.last().unwrap().as_str()),
        ("run_opened", "run_closed")
    );
    assert_eq!(status()["final_state"], "staged");
    assert_eq!(events(&json(&cluster, &["stage"]), 0)[0], "run_resumed");
    let stopped = events(&json(&cluster, &["start", "--confirm", "test"]), 11);
    assert!(stopped.contains(&"answered".to_owned()), "{stopped:?}");
    let waits = status();
    assert_eq!(
        (&waits["status"], &waits["working_node"], &waits["working_state"]),
        (&json!("stopped"), &json!("n1"), &json!("gate"))
    );
    let gates = waits["nodes"][0]["gates"].as_array().unwrap();
    assert_eq!(gates.iter().map(|gate| &gate["value"]).collect::<Vec<_>>(), [&json!(0.0), &json!(2)]);
    assert_eq!(waits["run"]["stop"]["exit_code"], 11);
    let refused = document(&json(&cluster, &["start", "--dry-run"]), 14, "dry-run");
    assert_eq!(refused["problems"][0]["kind"], "unfinished_run", "{refused:#}");
    document(&json(&cluster, &["start"]), 14, "error");
    let resumed = events(&json(&cluster, &["start", "--resume", "--yes"]), 0);
    assert_eq!(resumed[0], "run_resumed");
    let done = status();
    assert_eq!((&done["final_state"], &done["nodes"][1]["version"]), (&json!("finished"), &json!("2")));
    events(&json(&cluster, &[&["rollback"][..], &AGREED].concat()), 0);
    assert_eq!(status()["status"], "rolled_back");
    document(&json(&cluster, &["status", "--watch"]), 0, "status");
    events(&json(&cluster, &["unstage", "--yes"]), 0);
    document(&json(&cluster, &["status", "--offline"]), 0, "status");
}

#[test]
fn a_run_in_trouble() {
    let cluster = cluster();
    cluster.write("nodes/n1/broken", "");
    let failed = events(&json(&cluster, &[&["start"][..], &AGREED].concat()), 20);
    assert!(failed.contains(&"undo_ended".to_owned()), "{failed:?}");
    let status = document(&json(&cluster, &["status", "--detailed-exitcode"]), 20, "status");
    assert_eq!(status["run"]["stop"]["reason"], "upgrade_failed");
    assert_eq!(status["nodes"][0]["state"], "failed");
    let id = status["run"]["id"].as_str().unwrap();
    document(&json(&cluster, &["status", id, "--offline"]), 0, "status");
    let from_nodes = document(&json(&cluster, &["status", "--from-nodes"]), 0, "status");
    assert_eq!((&from_nodes["source"], &from_nodes["transcript"]), (&json!("nodes"), &Value::Null));
    assert!(from_nodes["notes"][0].as_str().unwrap().contains("is rebuilt from"), "{from_nodes:#}");
}

#[test]
fn a_run_that_somebody_works_on_and_one_that_nobody_works_on_any_more() {
    let cluster = cluster();
    cluster.write("nodes/n1/queue", "5\n");
    let mut running = cluster.rollgate(["start", "--yes", "--confirm", "test"]).spawn();
    while cluster.records(&["reading_taken"]).is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let working = document(&json(&cluster, &["status"]), 0, "status");
    assert_eq!(
        (&working["at_work"], &working["status"], &working["final_state"]),
        (&json!(true), &json!("working"), &Value::Null)
    );
    assert_eq!(working["run"]["ended_at"], Value::Null);
    let held = document(&json(&cluster, &["start"]), 14, "error");
    assert_eq!(held["exit_code"], 14);
    running.signal(rustix::process::Signal::KILL);
    running.wait();
    let dead = document(&json(&cluster, &["status"]), 0, "status");
    assert_eq!(dead["at_work"], false);
    assert!(dead["notes"][0].as_str().unwrap().contains("no live controller"), "{dead:#}");
    assert_eq!(dead["lock"]["state"], "held");
}

#[test]
fn files_and_nodes_that_are_checked() {
    let mut cluster = Cluster::new().node(NodeSpec::ssh("n1")).procedure(PROCEDURE).build();
    cluster.write("package", "2\n");
    cluster.write("nodes/n1/version", "1\n");
    let good = document(&json(&cluster, &["check"]), 0, "check");
    assert_eq!((&good["nodes"][0]["version"], &good["nodes"][0]["reachable"]), (&json!("1"), &json!(true)));
    assert_eq!(document(&json(&cluster, &["check", "--syntax-only"]), 0, "check")["nodes"], Value::Null);
    fs::remove_file(cluster.path("nodes/n1/version")).unwrap();
    let unreadable = document(&json(&cluster, &["check"]), 12, "check");
    assert_eq!(unreadable["nodes"][0]["version"], Value::Null);
    cluster.cut_off("n1");
    let gone = document(&json(&cluster, &["check"]), 13, "check");
    assert_eq!((&gone["nodes"][0]["reachable"], &gone["exit_code"]), (&json!(false), &json!(13)));
    assert_eq!(document(&json(&cluster, &["start", "--dry-run"]), 13, "dry-run")["exit_code"], 13);
    assert_eq!(document(&json(&cluster, &["status"]), 0, "status")["nodes"][0]["reachable"], false);
    document(&json(&cluster, &[&["start"][..], &AGREED].concat()), 13, "error");
    cluster.set_procedure("procedure: a\nphases:\n  - name: one\n    nodes: n1\n    upgrade:\n      - run: echo x >> /tmp/never\n  - name: two\n    nodes: n1\n    upgrad: []\n");
    let broken = document(&json(&cluster, &["check"]), 2, "error");
    let finding = &broken["findings"][0];
    assert_eq!(
        (&finding["severity"], &finding["line"], &finding["column"]),
        (&json!("error"), &json!(9), &json!(5))
    );
    cluster.set_procedure("procedure: a\nphases:\n  - name: one\n    nodes: n1\n    upgrade:\n      - run: echo x >> /tmp/never\n");
    let warned = document(&json(&cluster, &["check", "--syntax-only"]), 0, "check");
    assert_eq!(warned["findings"][0]["severity"], "warning", "{warned:#}");
}

#[test]
fn whatever_is_refused_has_a_document_in_its_place() {
    let cluster = cluster();
    for (words, code, said) in [
        (&["start"][..], 11, "--confirm test"),
        (&["start", "-l", "n9"], 2, "n9"),
        (&["start", "--confirm", "tset"], 2, "tset"),
        (&["start", "--resume"], 2, "no unfinished run"),
        (&["start", "--override", "isolatde=x"], 2, "isolatde"),
        (&["start", "--dryrun"], 2, "--dryrun"),
        (&["start", "--dry-run", "--resume"], 2, "cannot be used with"),
        (&["strat"], 2, "strat"),
        (&["status", "2026-01-01.1"], 2, "2026-01-01.1"),
        (&["status", "-i", "/nowhere.yaml"], 2, "/nowhere.yaml"),
    ] {
        let output = json(&cluster, words);
        let error = document(&output, code, "error");
        assert_eq!(error["exit_code"], code);
        let whole = format!("{} {} {}", error["error"], error["help"], error["next"]);
        assert!(whole.contains(said), "{words:?}: {error:#}");
        assert!(!error["next"].as_array().unwrap().is_empty(), "{error:#}");
        output.stderr_has("error: ").stderr_has("next: rollgate");
    }
    let nothing = rollgate(["status", "-o", "json"]).run();
    assert_eq!(document(&nothing, 2, "error")["error"], "there is no inventory");
    let environment = rollgate(["strat"]).env("ROLLGATE_OUTPUT", "json").run();
    document(&environment, 2, "error");
}

#[test]
fn scripts_and_pages_are_formats_of_their_own() {
    for words in [&["completions", "bash"][..], &["man", "start"]] {
        let text = rollgate(words).run();
        let asked = rollgate(words).env("ROLLGATE_OUTPUT", "json").run();
        assert_eq!(asked.code(0).raw_stdout(), text.raw_stdout());
    }
    let page = rollgate(["man", "sart"]).env("ROLLGATE_OUTPUT", "json").run();
    page.code(2).stdout("").stderr_has("did you mean");
}

#[test]
fn a_schema_refuses_what_is_not_so() {
    let cluster = cluster();
    let good = document(&json(&cluster, &["status"]), 0, "status");
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut document = good.clone();
        change(&mut document);
        let text = document.to_string();
        assert!(std::panic::catch_unwind(|| drop(documents(&text))).is_err(), "{document:#}");
    };
    documents(&good.to_string());
    refused(&|document| document["more"] = json!(1));
    refused(&|document| document["nodes"][0]["more"] = json!(1));
    refused(&|document| drop(document["nodes"][0].as_object_mut().unwrap().remove("staged")));
    refused(&|document| document["read_at"] = json!("2026-11-21 09:14:02"));
    refused(&|document| document["status"] = json!("rolled-back"));
    refused(&|document| document["next"] = json!(["rollgate status"]));
    refused(&|document| document["next"] = json!([["rollgate", "strat"]]));
}
