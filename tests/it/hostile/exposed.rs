//! Files that others could have changed are refused before anything of them is run, or used and noted down.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;

use super::super::support::{Cluster, NodeSpec, Output};

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A cluster with one of every file that a run can rest on.
fn cluster() -> Cluster {
    cluster_with(NodeSpec::local("n1"))
}

fn cluster_with(node: NodeSpec) -> Cluster {
    let cluster = Cluster::new()
        .node(node)
        .procedure(
            r#"
            procedure: files
            artifacts:
              - { source: image.tar }
            phases:
              - name: all
                nodes: "*"
                upgrade:
                  - put: { source: "${ROLLGATE_CLUSTER}.conf", to: "${dir}/conf" }
                  - run: echo "$ROLLGATE_NODE up" >> "$effects"
            "#,
        )
        .build();
    cluster.write("image.tar", "image");
    cluster.write("test.conf", "conf");
    cluster
}

#[track_caller]
fn refused(output: &Output, path: &Path, why: &str) {
    output
        .code(2)
        .stdout("")
        .stderr_has("somebody else could have changed what this run rests on")
        .stderr_has(why);
    let name = path.file_name().unwrap().to_str().unwrap();
    output.stderr_has(name).stderr_has("--allow-insecure-files").stderr_has("nothing was done (exit 2)");
}

#[test]
fn a_file_that_others_can_write_to_is_refused_by_every_verb_that_rests_on_it() {
    let cluster = cluster();
    cluster.rollgate(["check", "--syntax-only"]).run().code(0);
    for file in ["inventory.yaml", "procedure.yaml", "image.tar"] {
        let path = cluster.path(file);
        for mode in [0o646, 0o666, 0o602] {
            chmod(&path, mode);
            let why = format!("everybody can write to it (mode {mode:04o})");
            refused(&cluster.rollgate(["check", "--syntax-only"]).run(), &path, &why);
        }
        for words in [
            &["check"][..],
            &["stage"],
            &["start", "--dry-run"],
            &["start", "--yes", "--confirm", "test"],
            &["status"],
            &["report"],
            &["rollback"],
            &["unstage", "--yes"],
        ] {
            let output = cluster.rollgate(words).run();
            refused(&output, &path, "everybody can write to it");
            output.stderr_has("next: chmod go-w -- ");
        }
        chmod(&path, 0o644);
    }
    assert!(cluster.effects().is_empty());
    assert_eq!(cluster.journal(), "");
}

/// Who can write to them decides what is copied to a node, and which machine is taken for it.
#[test]
fn what_is_put_and_how_ssh_finds_its_way_is_looked_at_as_well() {
    let cluster = cluster_with(NodeSpec::ssh("n1"));
    cluster.write("ssh_config", "");
    let inventory = fs::read_to_string(cluster.path("inventory.yaml")).unwrap();
    let known = cluster.keys().known_hosts.display().to_string();
    fs::copy(&known, cluster.path("known_hosts.own")).unwrap();
    let own = inventory
        .replace(&format!("known_hosts: {known}"), "known_hosts: known_hosts.own\n  config_file: ssh_config");
    assert_ne!(own, inventory);
    cluster.write("inventory.yaml", &own);
    cluster.rollgate(["check", "--syntax-only"]).run().code(0);
    for file in ["test.conf", "ssh_config", "known_hosts.own"] {
        let path = cluster.path(file);
        chmod(&path, 0o666);
        for words in [&["check", "--syntax-only"][..], &["check"], &["start", "--yes", "--confirm", "test"]] {
            refused(&cluster.rollgate(words).run(), &path, "everybody can write to it (mode 0666)");
        }
        chmod(&path, 0o644);
    }
    assert!(cluster.effects().is_empty());
    assert_eq!(cluster.journal(), "");
}

#[test]
fn the_command_that_is_offered_mends_it() {
    let cluster = cluster();
    let file = cluster.path("inventory.yaml");
    chmod(&file, 0o666);
    let output = cluster.rollgate(["check", "--syntax-only"]).run();
    let line = output.raw_stderr().lines().find_map(|line| line.strip_prefix("next: ")).unwrap().to_owned();
    assert!(std::process::Command::new("sh").args(["-c", &line]).status().unwrap().success());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
    cluster.rollgate(["check", "--syntax-only"]).run().code(0);
}

#[test]
fn directories_and_links_on_the_way_count_and_a_sticky_directory_does_not() {
    let cluster = cluster();
    let open = cluster.path("open");
    fs::create_dir_all(open.join("deep")).unwrap();
    fs::rename(cluster.path("procedure.yaml"), open.join("deep/procedure.yaml")).unwrap();
    symlink("open/deep/procedure.yaml", cluster.path("procedure.yaml")).unwrap();
    for file in ["image.tar", "test.conf"] {
        fs::copy(cluster.path(file), open.join("deep").join(file)).unwrap();
    }
    cluster.rollgate(["check", "--syntax-only"]).run().code(0);
    chmod(&open, 0o777);
    let output = cluster.rollgate(["check", "--syntax-only"]).run();
    refused(&output, &open, "everybody can write to it, and exchange what is in it (mode 0777)");
    chmod(&open, 0o1777);
    cluster.rollgate(["check", "--syntax-only"]).run().code(0);
}

#[test]
fn a_foreign_owner_is_refused_and_sudos_caller_is_none() {
    if !rustix::process::geteuid().is_root() {
        return; // Nobody else can give a file away; the rule itself is tested beside it.
    }
    let cluster = cluster();
    let file = cluster.path("inventory.yaml");
    chown(&file, Some(12_345), None).unwrap();
    let output = cluster.rollgate(["check", "--syntax-only"]).run();
    refused(&output, &file, "belongs to uid 12345, who is neither you nor root");
    assert!(!output.raw_stderr().contains("chmod"), "a mode does not mend it");
    cluster.rollgate(["check", "--syntax-only"]).env("SUDO_UID", "12345").run().code(0);
    cluster.rollgate(["check", "--syntax-only"]).env("SUDO_UID", "12346").run().code(2);
}

#[test]
fn a_group_of_others_is_refused_and_a_group_of_ones_own_is_not() {
    let cluster = cluster();
    let file = cluster.path("inventory.yaml");
    chmod(&file, 0o664);
    // The group of root has no other member; that of `users` has none at all that is known to be trusted.
    if rustix::process::geteuid().is_root() {
        cluster.rollgate(["check", "--syntax-only"]).run().code(0);
        chown(&file, None, Some(54_321)).unwrap();
        refused(
            &cluster.rollgate(["check", "--syntax-only"]).run(),
            &file,
            "the group 54321 can write to it (mode 0664)",
        );
    }
}

/// A link there could lead to any file of the operator's, and the nodes would be sent that.
#[test]
fn a_secret_does_not_come_from_a_directory_of_everybodys() {
    let cluster = cluster();
    let inventory = fs::read_to_string(cluster.path("inventory.yaml")).unwrap();
    cluster.write("inventory.yaml", &format!("secrets: {{ token: {{ file: ./open/token }} }}\n{inventory}"));
    cluster.write("open/token", "hunter22\n");
    chmod(&cluster.path("open/token"), 0o600);
    cluster.rollgate(["check", "--syntax-only"]).run().code(0);
    chmod(&cluster.path("open"), 0o777);
    let why = "everybody can write to it, and exchange what is in it (mode 0777)";
    refused(&cluster.rollgate(["check", "--syntax-only"]).run(), &cluster.path("open"), why);
}

#[test]
fn whoever_is_told_of_a_question_is_told_to_allow_it_as_well() {
    let procedure = r#"
        procedure: asks
        phases:
          - name: all
            nodes: "*"
            upgrade:
              - { gate: agreed }
        "#;
    let cluster = Cluster::new().local(1).inventory("\nnotify: cat >> told\n").procedure(procedure).build();
    chmod(&cluster.path("procedure.yaml"), 0o666);
    let mut terminal = cluster.terminal(["start", "--confirm", "test", "--allow-insecure-files"]);
    terminal.expect("[yes/no] ").send("yes\n").ends_with(0);
    let told = fs::read_to_string(cluster.path("told")).unwrap();
    assert!(told.contains("\"--allow-insecure-files\",\"approve\""), "{told}");
}

#[test]
fn what_is_allowed_all_the_same_is_in_the_journal_and_the_report() {
    let cluster = cluster();
    chmod(&cluster.path("procedure.yaml"), 0o666);
    let allowed = |words: &[&str]| cluster.rollgate(["--allow-insecure-files"]).args(words).run();
    allowed(&["check", "--syntax-only"])
        .code(0)
        .stderr_has("note: ")
        .stderr_has("everybody can write to it (mode 0666)");
    allowed(&["start", "--yes", "--confirm", "test"]).code(0);
    assert_eq!(cluster.effects(), ["n1 up"]);
    let records = cluster.records(&["run_opened", "procedure.yaml: everybody can write to it (mode 0666)"]);
    assert_eq!(records.len(), 1);
    let said = "everybody can write to it (mode 0666); allowed by --allow-insecure-files";
    let report = allowed(&["report"]);
    assert!(
        report.code(0).raw_stdout().split_whitespace().collect::<Vec<_>>().join(" ").contains(said),
        "{report:?}"
    );
    let json = allowed(&["report", "--format", "json"]);
    let document: serde_json::Value = serde_json::from_str(json.code(0).raw_stdout()).unwrap();
    let files = document["invocations"][0]["insecure_files"].as_array().unwrap();
    assert_eq!(files.len(), 1, "{files:?}");
}

#[test]
fn a_file_that_only_the_run_can_name_is_looked_at_when_it_is_used() {
    let procedure = r#"
        procedure: late
        phases:
          - name: all
            nodes: "*"
            upgrade:
              - { run: "echo late.conf", capture: which }
              - put: { source: "${which}", to: "${dir}/conf" }
        "#;
    let cluster = Cluster::new().local(1).procedure(procedure).build();
    cluster.write("late.conf", "conf");
    chmod(&cluster.path("late.conf"), 0o666);
    cluster.start(&[]).run().code(20).stderr_has("late.conf: everybody can write to it (mode 0666)");
    assert!(!cluster.node_dir("n1").join("conf").exists());
    cluster.resume().args(["--allow-insecure-files"]).run().code(0);
    assert!(cluster.node_dir("n1").join("conf").exists());
}

#[test]
fn an_inventory_that_is_a_program_is_not_run_when_others_could_have_written_it() {
    let cluster = cluster();
    let program = cluster.path("inventory.sh");
    fs::write(&program, "#!/bin/sh\ntouch canary\ncat inventory.yaml\n").unwrap();
    chmod(&program, 0o777);
    let words = ["-i", "inventory.sh", "check", "--syntax-only"];
    let other =
        || super::super::support::Invocation::new(env!("CARGO_BIN_EXE_rollgate"), cluster.root()).args(words);
    refused(&other().run(), &program, "everybody can write to it (mode 0777)");
    assert!(!cluster.path("canary").exists());
    chmod(&program, 0o755);
    other().run().code(0);
    assert!(cluster.path("canary").exists());
}

#[test]
fn a_pipe_has_nobody_to_doubt() {
    let cluster = cluster();
    let line = "cat inventory.yaml | $ROLLGATE -i /dev/stdin check --syntax-only; $ROLLGATE -i <(cat inventory.yaml) check --syntax-only";
    let output = super::super::support::Invocation::new("bash", cluster.root())
        .env("ROLLGATE", env!("CARGO_BIN_EXE_rollgate"))
        .args(["-c", line])
        .run();
    // A relative path in it starts at the directory of what it is read from, where there is no procedure.
    assert_eq!(output.raw_stderr().matches("there is no procedure /").count(), 2, "{output:?}");
}

#[test]
fn a_file_that_is_handed_open_is_looked_at_where_it_lies() {
    let cluster = cluster();
    let file = cluster.path("inventory.yaml");
    let given = || {
        super::super::support::Invocation::new("sh", cluster.root())
            .env("ROLLGATE", env!("CARGO_BIN_EXE_rollgate"))
            .args(["-c", "exec \"$ROLLGATE\" -i /dev/stdin check --syntax-only < inventory.yaml"])
            .run()
    };
    given().stderr_has("there is no procedure /");
    chmod(&file, 0o666);
    refused(&given(), &file, "everybody can write to it (mode 0666)");
}
