//! What editors are told of the files, held against rollgate by a validator that is not rollgate's: what it takes
//! the schema takes, and every mistake of the table is seen by both.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rollgate::config::schema;
use serde_json::{Value, json};

use super::support::rollgate;

/// Prints, for each document of `{"schema", "documents"}`, what the schema finds wrong with it.
const VALIDATE: &str = "\
import json, sys
from jsonschema import Draft7Validator
given = json.load(sys.stdin)
Draft7Validator.check_schema(given['schema'])
validator = Draft7Validator(given['schema'])
def words(error):
    place = '/'.join(str(part) for part in error.absolute_path)
    return place + ': ' + error.message[:200]
json.dump([[words(e) for e in validator.iter_errors(d)] for d in given['documents']], sys.stdout)
";

fn tree(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A YAML text as rollgate's own library reads it: YAML 1.2 words, and numbers that are numbers.
fn document(yaml: &str) -> Value {
    serde_yaml::from_str(yaml).unwrap_or_else(|error| panic!("{error}:\n{yaml}"))
}

/// What the validator says of each document.
fn flagged(schema: &Value, documents: &[Value]) -> Vec<Vec<String>> {
    // Debian's own Python, which has the package; another one in PATH may not.
    let mut python = Command::new("/usr/bin/python3")
        .args(["-c", VALIDATE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 validates: apt-get install python3-jsonschema");
    let given = json!({ "schema": schema, "documents": documents });
    python.stdin.take().unwrap().write_all(given.to_string().as_bytes()).unwrap();
    let done = python.wait_with_output().unwrap();
    assert!(done.status.success(), "is python3-jsonschema installed?");
    serde_json::from_slice(&done.stdout).unwrap()
}

/// The directories of examples that hold an inventory.
fn examples() -> Vec<PathBuf> {
    let entries = fs::read_dir(tree("examples")).unwrap();
    entries.map(|entry| entry.unwrap().path()).filter(|path| path.join("inventory.yaml").exists()).collect()
}

#[test]
fn every_example_fits_its_schema() {
    let mut inventories = vec![tree("tests/it/config_whole.yaml")];
    let mut procedures = vec![tree("tests/lab/procedure.yaml")];
    for directory in examples() {
        inventories.push(directory.join("inventory.yaml"));
        procedures.push(directory.join("procedure.yaml"));
    }
    assert!(inventories.len() > 7 && procedures.len() > 7);
    for (schema, files) in [(schema::inventory(), inventories), (schema::procedure(), procedures)] {
        let documents: Vec<Value> =
            files.iter().map(|file| document(&fs::read_to_string(file).unwrap())).collect();
        for (file, wrong) in files.iter().zip(flagged(&schema, &documents)) {
            assert_eq!(wrong, [""; 0], "{}", file.display());
        }
    }
}

#[test]
fn every_example_says_where_its_schema_is() {
    for (name, below) in [("inventory", "examples"), ("procedure", "examples"), ("procedure", "tests/lab")] {
        let directories: Vec<PathBuf> = match below {
            "examples" => examples(),
            below => vec![tree(below)],
        };
        for directory in directories {
            let text = fs::read_to_string(directory.join(format!("{name}.yaml"))).unwrap();
            let line = text.lines().next().unwrap();
            let path =
                line.strip_prefix("# yaml-language-server: $schema=").unwrap_or_else(|| panic!("{line}"));
            let schema = directory.join(path).canonicalize().unwrap();
            assert_eq!(schema, tree(&format!("examples/{name}.schema.json")).canonicalize().unwrap());
        }
    }
}

/// Calls with every mapping of a schema that has keys, by its place.
fn mappings(schema: &Value, place: &str, see: &mut dyn FnMut(&str, &Value)) {
    match schema {
        Value::Object(members) => {
            if members.get("properties").is_some() && members.get("type").is_some() {
                see(place, schema);
            }
            members.iter().for_each(|(key, value)| mappings(value, &format!("{place}/{key}"), see));
        }
        Value::Array(all) => all.iter().for_each(|value| mappings(value, place, see)),
        _ => {}
    }
}

#[test]
fn every_key_is_explained_and_no_other_is_taken() {
    for schema in [schema::inventory(), schema::procedure()] {
        let mut keys = 0;
        mappings(&schema, "", &mut |place, mapping| {
            assert_eq!(mapping["additionalProperties"], json!(false), "{place}");
            for (key, value) in mapping["properties"].as_object().unwrap() {
                let about = value["description"].as_str().unwrap_or_default();
                assert!(
                    about.len() > 12 && about.ends_with('.') && about.is_ascii(),
                    "{place} {key}: {about:?}"
                );
                if value.get("patternErrorMessage").is_some_and(|says| says.to_string().contains("unit")) {
                    assert!(about.to_lowercase().contains("a number and its unit"), "{place} {key}: {about}");
                }
                keys += 1;
            }
        });
        assert!(keys > 100, "{keys}");
    }
}

/// An inventory without a mistake, each line of which is there to be damaged.
const GOOD: &str = r#"cluster: mq-prod
become: sudo
state_dir: /var/lib/rollgate
ssh: { user: ops, port: 22, jump: [bastion], connect_timeout: 10s, persist: 9m, host_keys: strict }
vars: { target: "3.13", port: "5672", sum: x }
secrets: { password: { env: MQ_PASSWORD } }
groups: { brokers: { vars: { rack: a } } }
nodes:
  - { name: "mq-[1-3]", host: "10.0.0.[1-3]", groups: [brokers] }
  - { name: lab, connection: local, groups: [brokers], become: { with: sudo, password: password } }
procedure:
  procedure: brokers
  requires: { tools: [ssh] }
  version: { run: mqctl version, shell: sh }
  to: "${target}"
  artifacts: [{ source: "https://mirror.example/mq.tar", fetch: node, sha256: "${sum}" }]
  checks:
    depth: { run: mqctl depth, value: number, at_most: 100, timeout: 10s }
    conns: { run: mqctl conns, value: lines, count_at_most: 0, columns: [peer] }
    state: { run: mqctl state, value: json, at: .state, one_of: [up] }
  roles: { leader: { run: mqctl role, equals: leader, exactly: 1 } }
  refuse: [{ check: { run: test -e /etc/mq/alone, equals: 0 }, because: it is alone }]
  phases:
    - name: brokers
      nodes: brokers
      batch: [1, 50%]
      last: leader
      max_failures: 0
      drain:
        - { name: drain, run: mqctl drain, undo: mqctl undrain, temporary: node }
        - { name: shut, run: mqctl shut, undo: mqctl open, restricts: ssh, revert_after: 2m }
        - { gate: empty, checks: [depth, conns], steady: 3, every: 5s, timeout: 30m, typed: false }
      upgrade:
        - { name: config, put: { source: ./mq.conf, to: /etc/mq.conf, mode: "0644" }, retries: 1 }
        - { name: install, run: mqctl upgrade "$target", ok_codes: [0], shell: bash, timeout: 5m }
      verify:
        - { wait: state, every: 2s }
      soak: { for: 1m, checks: [state] }
      rollback:
        - { run: mqctl downgrade "$ROLLGATE_FROM" }
"#;

/// What is replaced, and by what. Each is a mistake of its own.
const MISTAKES: &[(&str, &str)] = &[
    // A key that is unknown, missing, or of another kind of step.
    ("cluster: mq-prod", "clutser: mq-prod"),
    ("cluster: mq-prod\n", ""),
    ("{ user: ops,", "{ usr: ops,"),
    ("{ name: lab, connection", "{ host: lab, connection"),
    ("  procedure: brokers\n", "  procedures: brokers\n"),
    ("{ run: mqctl depth, ", "{ "),
    ("because: it is alone", "why: it is alone"),
    ("    - name: brokers\n      nodes: brokers\n", "    - name: brokers\n"),
    ("{ name: drain, run: mqctl drain,", "{ name: drain,"),
    ("run: mqctl drain,", "run: mqctl drain, gate: x,"),
    ("{ wait: state,", "{ wait: state, retries: 2,"),
    ("retries: 1 }", "retries: 1, steady: 2 }"),
    (" undo: mqctl undrain,", ""),
    (" undo: mqctl open,", ""),
    ("undo: mqctl open", "undo: { manual: open it }"),
    ("restricts: ssh,", "restricts: ftp,"),
    ("restricts: ssh, ", ""),
    ("restricts: ssh,", "restricts: ssh, interactive: true,"),
    ("restricts: ssh,", "restricts: ssh, reboots: true,"),
    ("revert_after: 2m", "revert_after: 2"),
    ("connection: local,", "connection: local, port: 22,"),
    ("{ env: MQ_PASSWORD }", "{ env: MQ_PASSWORD, file: ./x }"),
    ("for: 1m, ", ""),
    ("https://mirror.example/mq.tar", "./mq.tar"),
    ("https://mirror.example/mq.tar", "ftp://mirror.example/mq.tar"),
    ("https://mirror.example/mq.tar", "https://ops:x@mirror.example/mq.tar"),
    ("https://mirror.example/mq.tar", "https://mirror.example/"),
    ("https://mirror.example/mq.tar", "https://mirror.example"),
    (" fetch: node,", ""),
    (" sha256: \"${sum}\"", ""),
    // A word that is none of those that there are.
    ("fetch: node", "fetch: operator"),
    ("become: sudo", "become: su"),
    ("with: sudo, password: password", "with: sudo"),
    ("with: sudo, password: password", "password: password"),
    ("with: sudo, password: password", "with: doas, password: password"),
    ("with: sudo, password: password", "with: su, password: password"),
    ("host_keys: strict", "host_keys: none"),
    ("connection: local", "connection: telnet"),
    ("value: number", "value: integer"),
    ("temporary: node", "temporary: forever"),
    ("shell: bash", "shell: zsh"),
    // A value of another type, form or size.
    ("target: \"3.13\"", "target: 3.13"),
    ("to: \"${target}\"", "to: 3.14"),
    ("connect_timeout: 10s", "connect_timeout: 10"),
    ("connect_timeout: 10s", "connect_timeout: 10 sec"),
    ("persist: 9m", "persist: yes"),
    ("persist: 9m", "persist: 600"),
    ("timeout: 30m", "timeout: half an hour"),
    ("port: 22,", "port: 70000,"),
    ("port: 22,", "port: ssh,"),
    ("[1, 50%]", "[1, 150%]"),
    ("[1, 50%]", "[0]"),
    ("at_most: 100", "at_most: many"),
    ("count_at_most: 0", "count_at_most: -1"),
    ("steady: 3", "steady: 0"),
    ("typed: false", "typed: maybe"),
    ("max_failures: 0", "max_failures: none"),
    ("ok_codes: [0]", "ok_codes: [256]"),
    ("mode: \"0644\"", "mode: rw-r--r--"),
    ("to: /etc/mq.conf", "to: mq.conf"),
    ("state_dir: /var/lib/rollgate", "state_dir: rollgate"),
    ("cluster: mq-prod", "cluster: mq prod"),
    ("name: lab,", "name: all,"),
    ("jump: [bastion]", "jump: [-oProxyCommand=x]"),
    ("exactly: 1", "exactly: 0"),
    ("checks: [state] }", "checks: [] }"),
    ("vars: { target", "vars: { PATH: x, target"),
    ("vars: { target", "vars: { my-port: x, target"),
    ("at: .state", "at: state"),
    // Keys that do not go together.
    ("value: json, at", "value: text, at"),
    ("columns: [peer] }", "columns: [peer], at_least: 1 }"),
];

#[test]
fn every_mistake_is_seen_by_the_schema_and_by_rollgate() {
    let directory = tempfile::tempdir().unwrap();
    let check = |text: &str| {
        let file = directory.path().join("rollgate.yaml");
        fs::write(&file, text).unwrap();
        rollgate(["-i", file.to_str().unwrap(), "check", "--syntax-only"]).run()
    };
    check(GOOD).code(0);
    let texts: Vec<String> = MISTAKES
        .iter()
        .map(|(good, bad)| {
            assert_eq!(GOOD.matches(good).count(), 1, "{good} stands once in the good file");
            GOOD.replace(good, bad)
        })
        .collect();
    let documents: Vec<Value> =
        [GOOD].into_iter().chain(texts.iter().map(String::as_str)).map(document).collect();
    let mut seen = flagged(&schema::inventory(), &documents).into_iter();
    assert_eq!(seen.next().unwrap(), [""; 0], "the good file");
    assert!(MISTAKES.len() >= 40);
    for ((mistake, text), seen) in MISTAKES.iter().zip(&texts).zip(seen) {
        assert!(!seen.is_empty(), "the schema sees nothing wrong with {mistake:?}");
        check(text).code(2).stderr_has("error: ");
    }
}

#[test]
fn a_procedure_of_its_own_needs_a_title() {
    let schema = schema::procedure();
    let phases = "phases: [{ name: a, steps: [{ run: x }] }]";
    let documents =
        [document(&format!("procedure: x\n{phases}")), document(phases), document("procedure: x")];
    let seen = flagged(&schema, &documents);
    assert_eq!(seen[0], [""; 0]);
    assert_eq!(seen[1], [": 'procedure' is a required property"]);
    assert_eq!(seen[2], [": 'phases' is a required property"]);
}
