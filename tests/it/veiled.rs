//! What a node's files have of secrets that its own step is not given, and what becomes of output that is not whole.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::support::Cluster;

/// A cluster of two nodes that are directories here, with these secrets: each is `value-of-NAME`.
fn cluster(names: &[&str], procedure: &str) -> Cluster {
    let sources: String = names.iter().map(|name| format!("  {name}: {{ file: ./{name} }}\n")).collect();
    let cluster =
        Cluster::new().local(2).inventory(&format!("\nsecrets:\n{sources}")).procedure(procedure).build();
    for name in names {
        cluster.write(name, &format!("value-of-{name}\n"));
        fs::set_permissions(cluster.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    cluster
}

/// What the files of a node's jobs have that were printed.
fn printed(cluster: &Cluster, node: &str) -> String {
    let runs = cluster.node_dir(node).join("rollgate/test/runs");
    let run = fs::read_dir(runs).unwrap().next().unwrap().unwrap().path();
    let jobs = fs::read_dir(run.join("jobs")).unwrap().map(|job| job.unwrap().path());
    let files = jobs.flat_map(|job| [job.join("out"), job.join("err")]);
    files.filter_map(|file| fs::read_to_string(file).ok()).collect()
}

#[test]
fn a_node_hides_what_any_script_of_it_is_given() {
    let given = ["elsewhere", "undo", "check", "skip", "role", "evidence", "back", "during"];
    let other = "others";
    let cluster = cluster(
        &[&given[..], &[other]].concat(),
        r#"
        procedure: given
        checks:
          asked: { run: ': "$check"', on: n1, evidence: ': "$evidence"' }
        roles:
          leader: { run: ': "$role"; echo leader', equals: leader, of: n1 }
        phases:
          - name: one
            nodes: n1
            upgrade:
              - name: show
                run: 'cat "$dir/stored"; cat "$dir/stored" >&2'
                skip_if: { name: never, run: ': "$skip"; exit 1' }
                undo: { run: ': "$undo"' }
                during: { every: 1m, checks: [{ name: well, run: ': "$during"' }] }
            verify:
              - check: asked
            rollback:
              - run: ': "$back"'
          - name: two
            nodes: n2
            upgrade:
              - { run: ': "$elsewhere"', on: n1 }
              - { run: ': "$others"' }
        "#,
    );
    let all: String = given.iter().chain([&other]).map(|name| format!("{name} value-of-{name}\n")).collect();
    cluster.write("nodes/n1/stored", &all);
    cluster.start(&[]).run().code(0).lacks("value-of");
    let hidden: String = given.iter().map(|name| format!("{name} ***\n")).collect();
    // No node is sent a secret for that which no script of it names.
    let wanted = format!("{hidden}{other} value-of-{other}\n");
    assert_eq!(printed(&cluster, "n1"), format!("{wanted}{wanted}"));
}

#[test]
fn of_output_that_is_not_whole_nothing_is_captured() {
    let (script, why) =
        ("head -c 1048577 /dev/zero | tr '\\0' x", "its output is not whole: it is longer than 1.0 MiB");
    {
        let script = script.replace('\n', "\n                  ");
        let procedure = format!(
            "
        procedure: cut
        phases:
          - name: all
            nodes: n1
            upgrade:
              - name: read
                capture: found
                run: |
                  {script}
              - run: echo \"went on\" >> \"$effects\"
        "
        );
        let cluster = cluster(&["token"], &procedure);
        let done = cluster.start(&[]).run();
        done.stderr_has("capture found: ").stderr_has(why);
        assert_ne!(done.exit_code(), 0);
        assert_eq!(cluster.effects(), [""; 0]);
        assert!(!cluster.journal().contains("captured"), "{}", cluster.journal());
    }
}
