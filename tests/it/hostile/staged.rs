//! What is staged on a node: links, foreign owners and open directories on the way to it are refused, room is looked
//! for, and whatever uses it finds it as it was staged.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::support::{Cluster, effects};

const PROCEDURE: &str = r#"
    procedure: with an artifact
    artifacts:
      - { source: image.tar }
    phases:
      - name: all
        nodes: "*"
        upgrade:
          - name: install
            run: cp "$ROLLGATE_STAGED/image.tar" "$dir/installed"; LOG(up)
            undo: test -e "$ROLLGATE_STAGED/image.tar"; LOG(down)
            temporary: node
          - run: 'true'
"#;

fn cluster() -> Cluster {
    let cluster = Cluster::new().local(1).procedure(&effects(PROCEDURE)).build();
    cluster.write("image.tar", "image");
    cluster
}

fn set(cluster: &Cluster) -> PathBuf {
    let all = cluster.node_dir("n1").join("rollgate/test/staged");
    fs::read_dir(&all).unwrap().next().unwrap().unwrap().path()
}

/// Moves a directory away and puts a link to it in its place.
fn become_link(path: &Path, elsewhere: &Path) {
    fs::rename(path, elsewhere).unwrap();
    symlink(elsewhere, path).unwrap();
}

/// What the files below a directory hold, but for what a node notes of them.
fn texts_below(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| !path.file_name().unwrap().to_str().unwrap().starts_with(".sum-"))
        .flat_map(
            |path| if path.is_dir() { texts_below(&path) } else { vec![fs::read_to_string(path).unwrap()] },
        )
        .collect()
}

fn open_to(mode: u32) -> impl Fn(&Path, &Path) {
    move |set, _| fs::set_permissions(set, fs::Permissions::from_mode(mode)).unwrap()
}

#[test]
fn a_directory_that_is_a_link_or_open_to_others_is_neither_used_nor_filled() {
    type Plant = Box<dyn Fn(&Path, &Path)>;
    // With what `unstage` ends with after it.
    let mut plants: Vec<(&str, Plant, i32)> = vec![
        ("a link", Box::new(become_link), 17),
        ("a link above", Box::new(|set, to| become_link(set.parent().unwrap(), to)), 17),
        ("0777", Box::new(open_to(0o777)), 17),
        ("0775", Box::new(open_to(0o775)), 17),
        ("0757", Box::new(open_to(0o757)), 17),
    ];
    if rustix::process::geteuid().is_root() {
        let owned = |set: &Path, _: &Path| chown(set, Some(12_345), None).unwrap();
        plants.push(("of another", Box::new(owned), 17));
    }
    for (what, plant, code) in plants {
        let cluster = cluster();
        cluster.rollgate(["stage"]).run().code(0);
        let elsewhere = cluster.path("elsewhere");
        plant(&set(&cluster), &elsewhere);
        cluster.start(&[]).run().code(20).stderr_has("image.tar is not what was staged");
        assert!(cluster.effects().is_empty(), "{what}");
        let again = cluster.rollgate(["unstage", "--yes"]).run();
        assert_eq!(again.exit_code(), code, "{what}: {again:?}");
        assert!(!cluster.node_dir("n1").join("installed").exists(), "{what}");
        if elsewhere.exists() {
            let files = texts_below(&elsewhere);
            assert_eq!(files, ["image"], "{what}: what the link leads to is not ours to remove");
        } else {
            assert!(!what.contains("link"), "{what}: what the link leads to is gone");
        }
    }
}

#[test]
fn staging_through_a_planted_link_says_so_and_writes_nothing() {
    for planted in ["rollgate/test/staged", "rollgate/test"] {
        let cluster = cluster();
        let elsewhere = cluster.path("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        let link = cluster.node_dir("n1").join(planted);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(&elsewhere, &link).unwrap();
        let output = cluster.rollgate(["stage"]).run();
        assert_ne!(output.exit_code(), 0, "{planted}");
        output.stderr_has(&format!("{} is", link.file_name().unwrap().to_str().unwrap()));
        let inside = fs::read_dir(&elsewhere).unwrap().count();
        assert_eq!(inside, 0, "{planted}: {output:?}");
    }
}

#[test]
fn what_undoes_a_step_finds_the_staged_file_as_it_was_too() {
    let cluster = cluster();
    let procedure = fs::read_to_string(cluster.path("procedure.yaml")).unwrap();
    // The second step swaps it, so that only the undo could use what was swapped.
    let swap = "for file in \"$dir\"/rollgate/test/staged/*/image.tar; do echo other > \"$file\"; done";
    cluster.set_procedure(&procedure.replace("- run: 'true'", &format!("- run: {swap}")));
    cluster.start(&[]).run().code(17).stderr_has("image.tar is not what was staged");
    assert_eq!(cluster.effects(), ["n1 up"]);
}

#[test]
fn a_check_does_not_run_what_was_swapped() {
    let cluster = cluster();
    let procedure = effects(
        r#"
        procedure: with a tool
        artifacts:
          - { source: image.tar }
        phases:
          - name: all
            nodes: "*"
            precheck:
              - check: { name: tool, run: 'sh "$ROLLGATE_STAGED/image.tar"' }
            upgrade:
              - run: LOG(up)
        "#,
    );
    cluster.set_procedure(&procedure);
    cluster.write("image.tar", "exit 0");
    cluster.rollgate(["stage"]).run().code(0);
    fs::write(set(&cluster).join("image.tar"), format!("touch {}", cluster.path("canary").display()))
        .unwrap();
    cluster.start(&[]).run().code(12).stderr_has("image.tar is not what was staged");
    assert!(!cluster.path("canary").exists() && cluster.effects().is_empty());
}

/// A directory of programs to be found before the node's own: each runs these lines first.
fn tools(cluster: &Cluster, tools: &[(&str, &str)]) -> String {
    let dir = cluster.path("tools");
    fs::create_dir_all(&dir).unwrap();
    for (name, lines) in tools {
        let real = which::which(name).unwrap_or_default();
        fs::write(dir.join(name), format!("#!/bin/sh\n{lines}\nexec {} \"$@\"\n", real.display())).unwrap();
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    format!("{}:{}", dir.display(), std::env::var("PATH").unwrap())
}

fn notes(cluster: &Cluster) -> usize {
    let names = fs::read_dir(set(cluster)).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_str().unwrap().starts_with(".sum-")).count()
}

#[test]
fn what_is_there_unchanged_is_read_through_before_it_is_used_and_not_by_stage() {
    let cluster = cluster();
    let log = cluster.path("hashed");
    let lines = format!("echo hashed >>{}", log.display());
    let path = tools(&cluster, &[("openssl", &lines), ("sha256sum", &lines)]);
    let hashed = || fs::read_to_string(&log).unwrap_or_default().lines().count();
    cluster.rollgate(["stage"]).env("PATH", &path).run().code(0);
    assert_eq!(notes(&cluster), 1);
    let before = hashed();
    assert!(before > 0);
    cluster.rollgate(["stage"]).env("PATH", &path).run().code(0).stderr_has("everything is there already");
    cluster.rollgate(["status"]).env("PATH", &path).run().code(0);
    assert_eq!(hashed(), before);
    cluster.start(&[]).env("PATH", &path).run().code(0);
    assert!(hashed() > before);
}

#[test]
fn what_unstage_removes_has_its_note_among_it() {
    let cluster = cluster();
    let are_left = || {
        let found =
            Command::new("find").arg(cluster.node_dir("n1")).args(["-name", ".sum-*"]).output().unwrap();
        !found.stdout.is_empty()
    };
    cluster.rollgate(["stage"]).run().code(0);
    assert!(are_left());
    cluster.rollgate(["unstage", "--yes"]).run().code(0);
    assert!(!are_left());
}

#[test]
fn a_node_that_cannot_tell_a_change_notes_nothing_and_reads_all_through() {
    let whole =
        "echo '1 2 5 2026-11-22 21:00:00.000000000 +0000|2026-11-22 21:00:00.000000000 +0000'; exit 0";
    for stat in ["exit 1", whole, "exit 0"] {
        let cluster = cluster();
        let path = tools(&cluster, &[("stat", stat)]);
        for _ in 0..2 {
            cluster.rollgate(["stage"]).env("PATH", &path).run().code(0);
            assert_eq!(notes(&cluster), 0, "{stat}");
        }
        fs::write(set(&cluster).join("image.tar"), "other").unwrap();
        cluster.rollgate(["stage"]).env("PATH", &path).run().code(0);
        assert_eq!(fs::read_to_string(set(&cluster).join("image.tar")).unwrap(), "image", "{stat}");
    }
}

#[test]
fn a_tool_that_cannot_sum_is_passed_over_and_none_is_said_before_anything_is_sent() {
    for broken in ["exit 1", "exit 0", "echo not a sum; exit 0"] {
        let cluster = cluster();
        let path = tools(&cluster, &[("openssl", broken)]);
        cluster.rollgate(["stage"]).env("PATH", &path).run().code(0);
        let all = ["openssl", "sha256sum", "shasum", "busybox"].map(|tool| (tool, broken));
        let path = tools(&cluster, &all);
        fs::remove_dir_all(set(&cluster)).unwrap();
        let output = cluster.rollgate(["stage"]).env("PATH", &path).run();
        output.code(12).stderr_has("there is no openssl, sha256sum, shasum or busybox");
    }
}

#[test]
fn a_file_for_which_there_is_no_room_is_not_sent() {
    let cluster = cluster();
    // Sparse: it takes no room here, and more than any disk has there.
    let file = fs::File::create(cluster.path("image.tar")).unwrap();
    file.set_len(20 << 20).unwrap();
    let header = "Filesystem 1024-blocks Used Available Capacity Mounted on";
    let path = tools(&cluster, &[("df", &format!("echo '{header}'; echo '/dev/x 9 8 1000 99% /'; exit 0"))]);
    let output = cluster.rollgate(["stage"]).env("PATH", path).run();
    output.code(12).stderr_has("there is no room").stderr_has("has 1000 KiB free, and 20480 KiB are to come");
    let parts = fs::read_dir(set(&cluster)).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
    assert_eq!(parts.sum::<u64>(), 0);
}

#[test]
fn the_state_directory_and_what_is_fetched_are_not_reached_through_a_link() {
    let procedure = effects(
        r#"
        procedure: fetch
        phases:
          - name: all
            nodes: "*"
            upgrade:
              - { name: first, run: LOG(up) }
              - get: { from: "${dir}/log", to: log }
        "#,
    );
    let cluster = Cluster::new().local(1).procedure(&procedure).build();
    cluster.write("nodes/n1/log", "theirs");
    let elsewhere = cluster.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, cluster.path("state/test")).unwrap();
    cluster.start(&[]).run().code(1).stderr_has("state/test").stderr_has("link");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    assert!(cluster.effects().is_empty());
    fs::remove_file(cluster.path("state/test")).unwrap();

    // The directory for what is fetched is planted while the run is at work.
    let plant = format!(
        "ln -s {} \"{}\"/test/runs/*/files; LOG(up)",
        elsewhere.display(),
        cluster.path("state").display()
    );
    cluster.set_procedure(&procedure.replace(&effects("LOG(up)"), &format!("'{}'", effects(&plant))));
    let output = cluster.start(&[]).run();
    output.code(20).stderr_has("link");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
}
