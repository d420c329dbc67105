//! The dry run over real sshd: it reads everything, says what would happen, and changes nothing but its own record
//! on the operator's machine, for the next one to compare with.

use std::collections::BTreeMap;

use serde_json::Value;

use super::support::{Cluster, Invocation, Tree, effects};

/// What can be known of each step beforehand, all kinds of it. A node is at version 2 when its file says so.
const PROCEDURE: &str = r#"
    procedure: upgrade to 2
    to: "2"
    version: { run: cat "$dir/version" }
    artifacts: [{ source: ./image.tar, nodes: "*" }]
    checks:
      quiet: { run: cat "$dir/clients", value: number, at_most: 5, unit: clients }
      is-new: { run: grep -qx 2 "$dir/version" }
    invariants: [quiet]
    refuse:
      - { check: { name: appliance, run: test -e "$dir/appliance" }, because: an appliance cannot be rolled }
    phases:
      - name: all
        nodes: "*"
        precheck: [{ name: alive, check: { run: test -e "$dir/alive" } }]
        drain:
          - { name: stop, run: LOG(stop), undo: LOG(start), temporary: node }
          - { gate: few clients, checks: [quiet], every: 200ms, timeout: 5s }
        upgrade:
          - { name: mark, run: echo new, capture: marker }
          - { name: install, run: echo 2 > "$dir/version"; LOG(install), skip_if: is-new }
          - { name: tell, run: LOG($marker), when: { var: marker, equals: new } }
        verify: [{ name: runs it, wait: { run: cat "$dir/version", equals: "2" } }]
        rollback: [{ run: echo 1 > "$dir/version" }]
"#;

fn cluster() -> Cluster {
    let cluster = Cluster::new().nodes(2).procedure(&effects(PROCEDURE)).build();
    cluster.write("image.tar", "image");
    for (node, version) in [("n1", "1"), ("n2", "2")] {
        cluster.write(&format!("nodes/{node}/version"), &format!("{version}\n"));
        cluster.write(&format!("nodes/{node}/clients"), "3\n");
        cluster.write(&format!("nodes/{node}/alive"), "");
    }
    cluster
}

/// A dry run that is watched: whatever it says, nothing may change.
struct Watched<'c> {
    cluster: &'c Cluster,
    before: [Tree; 3],
}

impl<'c> Watched<'c> {
    fn of(cluster: &'c Cluster) -> Self {
        Self { cluster, before: trees(cluster) }
    }

    fn dry_run(&self, flags: &[&str]) -> Invocation {
        self.cluster.rollgate(["start", "--dry-run"]).args(flags)
    }

    /// Insists that the nodes are as they were to the byte, and that of the operator's files one alone is new.
    #[track_caller]
    fn unchanged(&self) {
        let [nodes, state, ssh] = trees(self.cluster);
        self.before[0].assert_unchanged(&nodes);
        self.before[2].assert_unchanged(&ssh);
        let mut changes = self.before[1].changes(&state);
        // A directory changes with what is made in it.
        changes.retain(|change| !matches!(change.as_str(), "~ ." | "+ ./test" | "~ ./test"));
        assert!(changes == ["+ ./test/dry-run.json"] || changes == ["~ ./test/dry-run.json"], "{changes:?}");
        assert!(self.cluster.effects().is_empty());
    }
}

/// The nodes, rollgate's state here, and the operator's SSH files.
fn trees(cluster: &Cluster) -> [Tree; 3] {
    ["nodes", "state", "ssh"].map(|dir| Tree::of(&cluster.path(dir)))
}

/// What becomes of each step, by the last part of its key: `n1/all.drain.1` and the outlook's word.
#[track_caller]
fn outlooks(document: &str) -> BTreeMap<String, String> {
    let document: Value = serde_json::from_str(document).unwrap();
    let turns = document["turns"].as_array().unwrap();
    let steps = turns.iter().flat_map(|turn| turn["steps"].as_array().unwrap());
    steps
        .map(|step| {
            let word = |field: &str| step[field].as_str().unwrap().to_owned();
            (word("key"), word("outlook"))
        })
        .collect()
}

#[test]
fn it_says_of_every_step_what_would_become_of_it() {
    let cluster = cluster();
    let watched = Watched::of(&cluster);
    let out = watched.dry_run(&["-o", "json"]).run();
    let found = outlooks(out.code(0).raw_stdout());
    let wanted = [
        ("n1/all.drain.1", "would_run"),
        ("n1/all.drain.2", "would_ask"),
        ("n1/all.precheck.1", "holds"),
        ("n1/all.precheck.2", "holds"),
        ("n1/all.upgrade.1", "would_run"),
        ("n1/all.upgrade.2", "would_run"),
        ("n1/all.upgrade.3", "cannot_know"),
        ("n1/all.verify.1", "cannot_know"),
        ("n1/stage.stage.1", "would_run"),
        ("n2/all.drain.1", "would_run"),
        ("n2/all.drain.2", "would_ask"),
        ("n2/all.precheck.1", "holds"),
        ("n2/all.precheck.2", "holds"),
        ("n2/all.upgrade.1", "would_run"),
        ("n2/all.upgrade.2", "not_needed"),
        ("n2/all.upgrade.3", "cannot_know"),
        ("n2/all.verify.1", "cannot_know"),
        ("n2/stage.stage.1", "would_run"),
    ];
    let found: Vec<(&str, &str)> = found.iter().map(|(key, word)| (key.as_str(), word.as_str())).collect();
    assert_eq!(found, wanted);
    watched.unchanged();
}

#[test]
fn it_says_so_in_words_a_section_each() {
    let cluster = cluster();
    let watched = Watched::of(&cluster);
    watched
        .dry_run(&[])
        .run()
        .code(0)
        .stdout_has("nothing was changed")
        .stdout_has("would start; 2 nodes not staged (exit 0)")
        .stdout_has("DONE ALREADY\n  n2  install: is-new on n2: exit 0\n")
        .stdout_has("CANNOT BE KNOWN YET\n  n1 and n2  tell: marker is captured by an earlier step\n")
        .stdout_has("  1  n1  1 -> 2  NOT STAGED  pre-checks 2/2  gates 1/1 open\n")
        .stdout_has("NOT TRIED in a dry run: stage, drain and upgrade (they change something),\n          verify (after");
    watched.unchanged();
}

#[test]
fn quiet_it_says_nothing_when_all_is_well() {
    let cluster = cluster();
    let watched = Watched::of(&cluster);
    watched.dry_run(&["-q"]).run().code(0).stdout("").stderr("");
    watched.unchanged();
}

#[test]
fn what_is_pending_has_a_code_of_its_own_when_asked_for() {
    let cluster = cluster();
    let watched = Watched::of(&cluster);
    watched.dry_run(&["--detailed-exitcode"]).run().code(19);
    watched.unchanged();
}

#[test]
fn a_closed_gate_is_10() {
    let cluster = cluster();
    cluster.write("nodes/n2/clients", "7\n");
    let watched = Watched::of(&cluster);
    // An old fault is no reason to stop; the gate of the node itself stays closed.
    watched.dry_run(&[]).run().code(10).stdout_has("few clients");
    watched.dry_run(&["-q"]).run().code(10).stdout_has("n2");
    watched.unchanged();
}

#[test]
fn a_pre_check_that_does_not_hold_is_12() {
    let cluster = cluster();
    std::fs::remove_file(cluster.path("nodes/n1/alive")).unwrap();
    let watched = Watched::of(&cluster);
    watched.dry_run(&[]).run().code(12).stdout_has("alive");
    watched.unchanged();
}

#[test]
fn a_guard_that_holds_is_12() {
    let cluster = cluster();
    cluster.write("nodes/n1/appliance", "");
    let watched = Watched::of(&cluster);
    watched.dry_run(&[]).run().code(12).stdout_has("an appliance cannot be rolled");
    watched.unchanged();
}

#[test]
fn a_node_that_does_not_answer_is_13() {
    let mut cluster = cluster();
    cluster.cut_off("n2");
    let watched = Watched::of(&cluster);
    watched.dry_run(&[]).run().code(13).stdout_has("n2");
    watched.unchanged();
}

#[test]
fn what_was_staged_is_seen_and_left_alone() {
    let cluster = cluster();
    cluster.rollgate(["stage"]).run().code(0);
    let watched = Watched::of(&cluster);
    let out = watched.dry_run(&["-o", "json"]).run();
    let found = outlooks(out.code(0).raw_stdout());
    assert_eq!(found["n1/stage.stage.1"], "not_needed");
    watched.unchanged();
}

/// The part of a report under a title, its lines trimmed.
fn part<'t>(report: &'t str, title: &str) -> Vec<&'t str> {
    let lines = report.lines().skip_while(|line| !line.starts_with(title)).skip(1);
    lines.take_while(|line| line.starts_with(' ')).map(str::trim).collect()
}

#[test]
fn it_says_what_changed_since_the_last_one() {
    let cluster = cluster();
    let dry = |flags: &[&str]| cluster.rollgate(["start", "--dry-run"]).args(flags).run();
    dry(&[]).code(0).stdout_has("CHANGED  not known: no earlier dry run is kept here\n");
    let same = dry(&[]);
    assert!(same.code(0).raw_stdout().contains("  nothing\n"), "{same:?}");
    cluster.write("nodes/n1/clients", "4\n");
    cluster.write("nodes/n2/clients", "9\n");
    cluster.write("nodes/n2/version", "3\n");
    std::fs::remove_file(cluster.path("nodes/n1/alive")).unwrap();
    let changed = dry(&[]);
    let wanted = [
        "n1    alive     exit 0 -> exit 1, does not hold",
        "n2    quiet     3 clients -> 9 clients, does not hold",
        "n2    version   2 -> 3",
        "n2    is-new    exit 0 -> exit 1, does not hold",
        "n1    quiet     3 clients -> 4 clients",
    ];
    let told = part(changed.code(12).raw_stdout(), "CHANGED SINCE");
    let squeezed = |line: &&str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let (mut told, mut wanted): (Vec<_>, Vec<_>) =
        (told.iter().map(squeezed).collect(), wanted.iter().map(squeezed).collect());
    // The gravest first; within them by node and name.
    assert_eq!(told[0], wanted[0]);
    told.sort();
    wanted.sort();
    assert_eq!(told, wanted);
    // What is quiet is kept as well, and what has another file is told.
    cluster.write("image.tar", "another");
    std::fs::write(cluster.path("nodes/n1/alive"), "").unwrap();
    cluster.write("nodes/n2/clients", "3\n");
    dry(&["-q"]).code(0).stdout("").stderr("");
    let json = dry(&["-o", "json"]);
    let document: Value = serde_json::from_str(json.code(0).raw_stdout()).unwrap();
    assert_eq!(document["changed"], serde_json::json!([]), "{document:#}");
    assert!(document["since"].is_string() && document["problems"].is_array());
}

#[test]
fn a_dry_run_of_one_node_is_compared_and_not_kept() {
    let cluster = cluster();
    let dry = |flags: &[&str]| cluster.rollgate(["start", "--dry-run"]).args(flags).run();
    dry(&[]).code(0);
    let kept = std::fs::read(cluster.path("state/test/dry-run.json")).unwrap();
    cluster.write("nodes/n1/clients", "4\n");
    let one = dry(&["-l", "n1"]);
    assert_eq!(part(one.code(0).raw_stdout(), "CHANGED SINCE"), ["n1  quiet   3 clients -> 4 clients"]);
    assert_eq!(std::fs::read(cluster.path("state/test/dry-run.json")).unwrap(), kept);
}

#[test]
fn a_record_that_cannot_be_used_or_written_is_a_note() {
    let cluster = cluster();
    let dry = || cluster.rollgate(["start", "--dry-run"]).run();
    dry().code(0);
    cluster.write("state/test/dry-run.json", "{\"format\":");
    dry().code(0).stdout_has("CHANGED  not known: ").stdout_has("dry-run.json is damaged\n");
    dry().code(0).stdout_has("CHANGED SINCE ");
    // Others could have put anything there, and nothing is put where others can read or write.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(cluster.path("state"), open).unwrap();
    let watched = Tree::of(&cluster.path("state"));
    let noted = dry();
    noted.code(0).stdout_has("note: whether a run is unfinished is not known: ");
    noted.stdout_has("note: the next dry run cannot compare with this one: ");
    watched.assert_unchanged(&Tree::of(&cluster.path("state")));
    cluster.rollgate(["start", "--dry-run", "-q"]).run().code(0).stdout("").stderr("");
}

#[test]
fn one_node_that_is_down_does_not_hide_what_the_others_say() {
    let mut cluster = Cluster::new()
        .nodes(2)
        .procedure(
            r#"
            procedure: two
            to: "2"
            version: { run: cat "$dir/version" }
            phases:
              - name: all
                nodes: "*"
                precheck: [{ name: alive, check: { run: test -e "$dir/alive" } }]
                upgrade: [{ name: install, run: echo 2 > "$dir/version" }]
            "#,
        )
        .build();
    cluster.write("nodes/n1/version", "1");
    cluster.cut_off("n2");
    let out = cluster.rollgate(["start", "--dry-run"]).run();
    out.code(13)
        .stdout_has("RESULT  would stop: 1 node does not answer, 1 check does not hold (exit 13)\n")
        .stdout_has("  n1  pre-check \"alive\": exit 1, needs ")
        .stdout_has("then: rollgate -i inventory.yaml start --dry-run -l n1\n")
        .stdout_has("  1  n1  1 -> 2     pre-checks 0/1\n")
        .stdout_has("  2  n2  no answer\n");
    let problems = part(out.raw_stdout(), "PROBLEMS");
    assert!(problems[0].starts_with("n2  "), "{problems:?}");
    for line in out.raw_stdout().lines() {
        assert!(line.is_ascii() && line.len() <= 78, "{line}");
    }
}

#[test]
fn a_lock_of_somebody_else_is_what_start_would_refuse_for() {
    let cluster = cluster();
    cluster.write("nodes/n1/clients", "9\n");
    cluster.elsewhere(["start", "--yes", "--confirm", "test", "--gate-timeout", "300ms"]).run().code(10);
    cluster.write("nodes/n1/clients", "3\n");
    let dry = || cluster.rollgate(["start", "--dry-run"]).run();
    dry()
        .code(14)
        .stdout_has("RESULT  would stop: there would be no run")
        .stdout_has("\nPROBLEMS\n  n1  is held by an unfinished run of ");
    cluster.rollgate(["start", "--yes", "--confirm", "test"]).run().code(14);
    // Whoever has it is told of his run, and not of his own lock.
    let own = cluster.elsewhere(["start", "--dry-run"]).run();
    own.code(14).stdout_has(" is unfinished; start").lacks("is held by");
    cluster.elsewhere(["unstage", "--yes"]).run().code(0);
    dry().code(0);
}

/// Everything that a run rests on, each with a mark of its own: none gets on before all the others have begun.
fn all_at_once() -> Cluster {
    let marks = ["guard", "role", "version", "invariant"];
    let meet = |own: &str| {
        let others: Vec<String> = marks.iter().map(|mark| format!("[ -e \"$dir/{mark}\" ]")).collect();
        format!(
            "touch \"$dir/{own}\"; n=0; until {}; do n=$((n + 1)); [ $n -lt 200 ] || exit 9; sleep 0.1; done",
            others.join(" && ")
        )
    };
    let [guard, role, version, invariant] = marks.map(meet);
    let procedure = format!(
        "procedure: at once\nversion:\n  run: |\n    {version}\n    echo 1\nchecks:\n  well: {{ run: '{invariant}', \
         timeout: 1m }}\ninvariants: [well]\nroles:\n  leader: {{ run: '{role}', of: '*', timeout: 1m }}\nrefuse:\n  - {{ \
         check: {{ name: old, run: '{guard}; exit 1', timeout: 1m }}, because: it is old }}\nphases:\n  - {{ name: all, \
         nodes: '*', upgrade: [{{ run: 'true' }}] }}\n"
    );
    Cluster::new().nodes(1).procedure(&procedure).build()
}

#[test]
fn what_a_run_rests_on_is_read_at_the_same_time() {
    all_at_once().rollgate(["start", "--dry-run"]).run().code(0);
    let cluster = all_at_once();
    cluster.start(&[]).run().code(0);
    // A guard's reason comes before any other's.
    let refused = cluster.path("procedure.yaml");
    let text = std::fs::read_to_string(&refused).unwrap();
    cluster.set_procedure(&text.replace("exit 1'", "exit 0'").replace("echo 1", "echo 1; echo 2"));
    cluster.rollgate(["start", "--dry-run"]).run().code(12).stdout_has("it is old");
}
