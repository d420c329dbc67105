//! `rollgate init`: what it prints loads as it stands, says what it was told, and gives nothing away.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rollgate::config::{self, Loaded, Source};
use rollgate::model::host::{Become, Connection, SshTarget};
use rollgate::model::inventory::Node;

use super::support::{Output, rollgate};

fn here(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(file)
}

/// What was printed, as rollgate reads it.
fn loaded(output: &Output) -> Loaded {
    let text = output.raw_stdout();
    assert!(text.is_ascii() && !text.contains(['\r', '\u{1b}']), "{text}");
    let source = Source::from_bytes(Path::new("rollgate.yaml"), text.as_bytes().to_vec()).unwrap();
    config::load_source(source).unwrap_or_else(|found| panic!("{}\n{text}", found.render(true)))
}

/// It passes the check of an operator without a word.
fn checks(output: &Output) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rollgate.yaml");
    fs::write(&file, output.raw_stdout()).unwrap();
    rollgate(["-i", file.to_str().unwrap(), "check", "--syntax-only"])
        .run()
        .code(0)
        .stderr("")
        .lacks("warning");
}

fn golden(name: &str, fresh: &str) {
    if std::env::var_os("ROLLGATE_BLESS").is_some() {
        fs::write(here(name), fresh).unwrap();
    }
    let golden = fs::read_to_string(here(name)).unwrap_or_default();
    assert!(fresh == golden, "{name} is not what init prints:\n{fresh}");
}

fn ssh(node: &Node) -> &SshTarget {
    match &node.connection {
        Connection::Ssh(target) => target,
        Connection::Local => panic!("{} is local", node.name),
    }
}

/// User, host and port of every node by its name.
fn ways(loaded: &Loaded) -> BTreeMap<String, String> {
    let way = |node: &Node| {
        let target = ssh(node);
        format!("{}@{}:{}", target.user.as_deref().unwrap_or_default(), target.host, target.port.unwrap_or(0))
    };
    loaded.inventory.nodes.iter().map(|node| (node.name.to_string(), way(node))).collect()
}

#[test]
fn the_nodes_that_are_named_are_those_of_the_file() {
    let done =
        rollgate(["init", "mq-01", "ops@mq-02:2222", "ops@[2001:db8::1]", "web[1-3]:22", "10.0.0.9"]).run();
    done.code(0).stderr("");
    golden("init_nodes.yaml", done.raw_stdout());
    checks(&done);
    let loaded = loaded(&done);
    let expected = [
        ("10.0.0.9", "@10.0.0.9:0"),
        ("ip-2001-db8--1", "ops@2001:db8::1:0"),
        ("mq-01", "@mq-01:0"),
        ("mq-02", "ops@mq-02:2222"),
        ("web1", "@web1:22"),
        ("web2", "@web2:22"),
        ("web3", "@web3:22"),
    ];
    let ways = ways(&loaded);
    assert_eq!(ways.iter().map(|(name, way)| (name.as_str(), way.as_str())).collect::<Vec<_>>(), expected);
    let first: Vec<&str> = done.raw_stdout().lines().take(2).collect();
    assert_eq!(
        first,
        ["# yaml-language-server: $schema=./inventory.schema.json", "# $schema: ./inventory.schema.json"]
    );
}

#[test]
fn without_names_there_are_placeholders() {
    let done = rollgate(["init"]).run();
    done.code(0).stderr("");
    checks(&done);
    assert_eq!(loaded(&done).inventory.nodes.len(), 3);
}

#[test]
fn a_login_of_all_stands_once() {
    let done = rollgate(["init", "ops@a", "ops@b"]).run();
    done.code(0).stdout_has("  user: ops\n").lacks("name: a, ");
    assert!(ways(&loaded(&done)).values().all(|way| way.starts_with("ops@")));
}

#[test]
fn names_come_from_standard_input() {
    let done = rollgate(["init", "first", "-"]).stdin("a\n\n# b\n  ops@c:22  \nnode/worker-1\n").run();
    done.code(0);
    assert_eq!(ways(&loaded(&done)).keys().collect::<Vec<_>>(), ["a", "c", "first", "worker-1"]);
    rollgate(["init", "-"])
        .stdin("\n# none\n")
        .run()
        .code(2)
        .stderr_has("there is no name on standard input");
    rollgate(["init", "-"]).stdin("a\n$(reboot)\n").run().code(2).stdout("").stderr_has("cannot be a host");
}

/// A hundred names of which YAML, ssh or a shell could make something else.
fn odd_names() -> Vec<String> {
    let words = [
        "no",
        "yes",
        "on",
        "off",
        "y",
        "n",
        "true",
        "False",
        "null",
        "NULL",
        "nan",
        "inf",
        "1",
        "007",
        "1.10",
        "0x1",
        "0o7",
        "1e3",
        "12e03",
        "1_000",
        "2024-01-01",
        "10.0.0.1",
        "a_b",
        "a.b.c",
        "A",
        "x--y",
        "group",
        "node",
        "operators",
        "pinned",
        "live",
        "vars",
        "nodes",
        "name",
        "host",
        "1.2.3",
        "e1",
        "0b1",
        "190.20.30",
    ];
    let mut names: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    names.extend((0..30).map(|number| format!("n{number}.example.org")));
    names.extend((0..31).map(|number| format!("0{number}")));
    names
}

#[test]
fn a_hundred_odd_names_stay_as_they_are() {
    let names = odd_names();
    assert_eq!(names.len(), 100);
    let done = rollgate(["init"].into_iter().map(str::to_owned).chain(names.clone())).run();
    done.code(0).stderr("");
    checks(&done);
    let read: Vec<String> = loaded(&done).inventory.nodes.iter().map(|node| node.name.to_string()).collect();
    assert_eq!(read, names);
    // The YAML of others, 1.1, reads the same.
    let script =
        "import sys, yaml, json; print(json.dumps([n['name'] for n in yaml.safe_load(sys.stdin)['nodes']]))";
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("f.yaml");
    fs::write(&file, done.raw_stdout()).unwrap();
    let python = Command::new("/usr/bin/python3")
        .args(["-c", script])
        .stdin(fs::File::open(&file).unwrap())
        .output()
        .expect("python3 reads YAML: apt-get install python3-yaml");
    let theirs: Vec<String> = serde_json::from_slice(&python.stdout).expect("is python3-yaml installed?");
    assert_eq!(theirs, names);
}

#[test]
fn what_is_no_node_is_refused_with_what_would_be_one() {
    for (word, says) in [
        ("-oProxyCommand=x", "error: invalid value"),
        ("a b", "cannot be a host"),
        ("$(reboot)", "cannot be a host"),
        ("a;b", "cannot be a host"),
        ("a\nb", "cannot be a host"),
        ("\u{1b}[2J", "cannot be a host"),
        ("h\u{fc}tte", "cannot be a host"),
        ("", "names no host"),
        ("ops@", "names no host"),
        ("-x@a", "unexpected argument"),
        ("o ps@a", "cannot be a login name"),
        ("@a", "cannot be a login name"),
        ("a:0", "is no port"),
        ("a:65536", "is no port"),
        ("a:ssh", "is no port"),
        ("a:", "is no port"),
        ("2001:db8::1", "could be read in two ways"),
        ("[2001:db8::g]", "is no IPv6 address"),
        ("[::1]x", "is no port"),
        ("a]", "cannot be a host"),
        ("web[3-1]", "counts backwards"),
        ("all", "rollgate's own word"),
        ("_a", "cannot be a node name"),
        ("operator", "the operator's own machine"),
    ] {
        let done = rollgate(["init", word]).run();
        done.code(2).stdout("").stderr_has(says);
        assert!(
            done.raw_stderr().is_ascii() && !done.raw_stderr().contains('\u{1b}'),
            "{}",
            done.raw_stderr()
        );
        assert!(done.raw_stderr().contains("next: rollgate init --help") || word.starts_with('-'));
    }
    let long = format!("db1.{}.example.org", "x".repeat(60));
    assert_eq!(ways(&loaded(&rollgate(["init", &long]).run()))["db1"], format!("@{long}:0"));
    rollgate(["init", "a", "root@a:22"]).run().code(2).stderr_has("are the same node");
    rollgate(["init", "web2", "web[1-3]"]).run().code(2).stderr_has("are the same node");
}

/// What Ansible says of a small cluster, with one of everything.
const ANSIBLE: &str = r#"{
  "_meta": { "hostvars": {
    "db1": { "ansible_host": "10.0.0.1", "ansible_user": "ops", "ansible_become": true, "rack": "a", "version": "1.10",
      "ansible_ssh_private_key_file": "~/.ssh/id", "ansible_ssh_common_args": "-J ops@bastion -o ServerAliveInterval=5",
      "enabled": "no", "replicas": 3, "tls": true, "ansible_python_interpreter": "/usr/bin/python3",
      "db_password": "hunter2", "vaulted": { "__ansible_vault": "$ANSIBLE_VAULT;1.1;AES256\n6162" },
      "motd": "one\ntwo \"three\" \u00e9", "template": "{{ rack }}-x", "list": [1], "my-var": "x", "PATH": "/x", "empty": "" },
    "db2": { "ansible_host": "2001:db8::2", "ansible_user": "ops", "ansible_become": true, "rack": "b", "version": "1.10",
      "ansible_port": 2222, "ansible_ssh_private_key_file": "~/.ssh/id", "ansible_ssh_common_args": "-o ProxyJump=ops@bastion",
      "ansible_become_password": "hunter3", "nothing": null, "release": 3.1 },
    "web node": { "ansible_host": "10.0.0.3", "ansible_user": "ops", "ansible_become": "yes", "version": "1.10",
      "ansible_ssh_private_key_file": "~/.ssh/id", "ansible_ssh_common_args": "-J ops@bastion" },
    "evil": { "ansible_host": "$(reboot)", "ansible_user": "ops", "version": "1.10" }
  } },
  "all": { "children": ["ungrouped", "prod"] },
  "prod": { "children": ["db", "web"] },
  "db": { "hosts": ["db1", "db2"] },
  "web": { "hosts": ["web node", "evil"] },
  "operator": { "hosts": ["db1"] }
}"#;

fn import(json: &str) -> Output {
    rollgate(["init", "--from-ansible", "-"]).stdin(json).run()
}

#[test]
fn ansibles_inventory_becomes_one_here() {
    let done = import(ANSIBLE);
    done.code(0).lacks("hunter").lacks("AES256");
    golden("init_ansible.yaml", done.raw_stdout());
    checks(&done);
    let loaded = loaded(&done);
    let inventory = &loaded.inventory;
    let ways = ways(&loaded);
    let expected =
        [("db1", "ops@10.0.0.1:0"), ("db2", "ops@2001:db8::2:2222"), ("web-node", "ops@10.0.0.3:0")];
    assert_eq!(ways.iter().map(|(name, way)| (name.as_str(), way.as_str())).collect::<Vec<_>>(), expected);
    for node in &inventory.nodes {
        assert_eq!(ssh(node).jump, ["ops@bastion"]);
        assert!(ssh(node).identity_file.as_ref().unwrap().ends_with(".ssh/id"));
        assert_eq!(node.become_with, Become::Sudo);
        assert_eq!(inventory.vars_of(node)["version"], "1.10");
    }
    let groups = |name: &str| {
        let node = inventory.nodes.iter().find(|node| node.name.as_str() == name).unwrap();
        node.groups.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(groups("db1"), ["prod", "db"]);
    assert_eq!(groups("web-node"), ["prod", "web"]);
    let vars = inventory.vars_of(&inventory.nodes[0]);
    for (name, value) in [
        ("rack", "a"),
        ("enabled", "no"),
        ("replicas", "3"),
        ("tls", "true"),
        ("motd", "one\ntwo \"three\" \u{e9}"),
        ("empty", ""),
    ] {
        assert_eq!(vars.get(name).map(String::as_str), Some(value), "{name}");
    }
    for name in
        ["db_password", "vaulted", "template", "list", "PATH", "nothing", "ansible_python_interpreter"]
    {
        assert!(!vars.contains_key(name), "{name}");
    }
    let quiet = rollgate(["-q", "init", "--from-ansible", "-"]).stdin(ANSIBLE).run();
    quiet.code(0).stderr("");
    assert_eq!(quiet.raw_stdout(), done.raw_stdout());
    // What was left out is said twice: where it is missed, and where it is seen at once.
    let notes: Vec<&str> = done.raw_stdout().lines().filter_map(|line| line.strip_prefix("# - ")).collect();
    let said: Vec<&str> =
        done.raw_stderr().lines().filter_map(|line| line.strip_prefix("left out: ")).collect();
    assert_eq!(notes, said);
    for left in [
        "`db_password`",
        "`vaulted`",
        "`template`",
        "`list`",
        "`my-var`",
        "`PATH`",
        "`nothing`",
        "`release`",
        "`ansible_python_interpreter`",
        "`ansible_become_password`",
        "`ServerAliveInterval`",
        "(evil)",
        "(operator)",
    ] {
        assert_eq!(notes.iter().filter(|note| note.contains(left)).count(), 1, "{left}: {notes:#?}");
    }
}

#[test]
fn with_export_variables_stay_at_their_groups() {
    let done = import(
        r#"{ "_meta": { "hostvars": { "a": { "x": "host" } } },
             "all": { "children": ["outer"], "vars": { "x": "all", "ansible_user": "root" } },
             "outer": { "children": ["inner"], "vars": { "x": "outer", "y": "outer" } },
             "inner": { "hosts": ["a", "b"], "vars": { "y": "inner", "ansible_become": true, "ansible_become_method": "doas" } } }"#,
    );
    done.code(0).stderr("");
    checks(&done);
    let inventory = loaded(&done).inventory;
    let vars = |at: usize| inventory.vars_of(&inventory.nodes[at]);
    assert_eq!((vars(0)["x"].as_str(), vars(0)["y"].as_str()), ("host", "inner"));
    assert_eq!((vars(1)["x"].as_str(), vars(1)["y"].as_str()), ("outer", "inner"));
    assert!(inventory.nodes.iter().all(|node| ssh(node).user.as_deref() == Some("root")));
    assert!(inventory.nodes.iter().all(|node| node.become_with == Become::Doas));
}

#[test]
fn what_is_no_inventory_of_ansibles_is_refused() {
    for (json, says) in [
        ("", "this is not JSON"),
        ("all:\n  hosts:\n", "this is not JSON"),
        ("[1]", "no inventory of Ansible's"),
        ("{}", "there is no host in it"),
        (r#"{"all": {"hosts": ["$(x)", "a b"]}}"#, "none of its hosts can be a node"),
        (&"[".repeat(100_000), "this is not JSON"),
    ] {
        let done = import(json);
        done.code(2).stdout("").stderr_has(says).stderr_has("ansible-inventory -i INVENTORY --list");
        assert!(done.raw_stderr().is_ascii() && done.raw_stderr().len() < 2000);
    }
    rollgate(["init", "--from-ansible", "/nowhere.json"]).run().code(2).stderr_has("cannot be read");
    // A group in itself, a group that is not there, and values of the wrong kind are no reason to fail.
    let odd = r#"{"a": {"children": ["b", "c"], "hosts": ["h"]}, "b": {"children": ["a"], "hosts": 3}, "d": 7,
                  "_meta": {"hostvars": {"h": {"ansible_port": "x", "ansible_host": ["y"]}}}}"#;
    checks(import(odd).code(0).stderr_has("`ansible_port`"));
}

#[test]
fn what_it_prints_can_be_run_dry_as_it_stands() {
    let done = import(
        r#"{"all": {"hosts": ["here"]}, "_meta": {"hostvars": {"here": {"ansible_connection": "local"}}}}"#,
    );
    done.code(0);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rollgate.yaml");
    fs::write(&file, done.raw_stdout()).unwrap();
    let state = directory.path().join("state");
    let run = |args: &[&str]| {
        let args = ["-i", file.to_str().unwrap()].into_iter().chain(args.iter().copied());
        rollgate(args).env("ROLLGATE_STATE_DIR", &state).env("HOME", directory.path()).run()
    };
    run(&["check"]).code(0);
    run(&["start", "--dry-run"]).code(0).stdout_has("here");
}
