//! Artifacts that nodes fetch themselves: from a server on loopback, verified on the node, continued where it broke.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::Command;

use rollgate::transport::{Download, WRONG_SUM, download_script};
use rustix::process::Signal;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::support::{
    Asked, Builder, Cluster, Invocation, Mirror, Wire, documents, effects, within_patience,
};

const PROCEDURE: &str = r#"
    procedure: fetched
    artifacts:
      - { source: URL, fetch: node, sha256: SUM }
    phases:
      - name: all
        nodes: "*"
        upgrade:
          - run: cp "$ROLLGATE_STAGED/app.tar" "$dir/installed"; LOG(up)
"#;

/// Where a transfer stands still: whole blocks, which are on the disk as soon as they have come.
const HELD: usize = 24 * 4096;

fn image() -> Vec<u8> {
    (0..300_000_u32).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect()
}

fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// A cluster whose nodes fetch the image from there.
fn fetching(builder: Builder, url: &str) -> Cluster {
    let procedure = PROCEDURE.replace("URL", &format!("{url:?}")).replace("SUM", &sum(&image()));
    builder.procedure(&effects(&procedure)).build()
}

fn mirrored() -> (Mirror, Cluster) {
    let mirror = Mirror::of(image());
    let cluster = fetching(Cluster::new().local(1), &mirror.url("app.tar"));
    (mirror, cluster)
}

fn set(cluster: &Cluster, node: &str) -> PathBuf {
    let all = cluster.node_dir(node).join("rollgate/test/staged");
    fs::read_dir(all).unwrap().next().unwrap().unwrap().path()
}

/// The names of what lies where a node's artifacts do, but for what the node notes of them.
fn names(cluster: &Cluster, node: &str) -> Vec<String> {
    let entries = fs::read_dir(set(cluster, node)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.starts_with(".sum-")).collect()
}

/// The first bytes that were asked for, request by request.
fn from(mirror: &Mirror) -> Vec<Option<usize>> {
    mirror.asked().into_iter().map(|asked| asked.from).collect()
}

/// What is in PATH, but for the programs that fetch, and those of them that are named.
fn path(cluster: &Cluster, fetchers: &[&str]) -> PathBuf {
    let dir = cluster.path(&format!("bin-{}", fetchers.concat()));
    fs::create_dir(&dir).unwrap();
    for from in std::env::split_paths(&std::env::var_os("PATH").unwrap()) {
        for entry in fs::read_dir(from).into_iter().flatten().flatten() {
            let name = entry.file_name().into_string().unwrap();
            if !["curl", "wget"].contains(&&*name) || fetchers.contains(&&*name) {
                // What stands earlier in PATH hides what stands later.
                let _ = symlink(entry.path(), dir.join(name));
            }
        }
    }
    dir
}

/// Waits until what the node said of its fetching is in the transcript.
#[track_caller]
fn await_output(cluster: &Cluster, wanted: &str) {
    within_patience(&format!("{wanted:?} is said"), || {
        let found = Command::new("grep").arg("-rqF").arg(wanted).arg(cluster.path("state")).status().unwrap();
        found.success()
    });
}

fn stage(cluster: &Cluster) -> Invocation {
    cluster.rollgate(["stage"])
}

#[test]
fn nodes_fetch_for_themselves_once_and_what_they_have_is_verified_and_used() {
    let mirror = Mirror::of(image());
    let cluster = fetching(Cluster::new().nodes(2), &mirror.url("app.tar"));
    stage(&cluster).run().code(0).stderr_has("\"fetch artifacts\" done");
    for node in ["n1", "n2"] {
        assert_eq!(names(&cluster, node), ["app.tar"]);
        let file = set(&cluster, node).join("app.tar");
        assert_eq!(fs::read(&file).unwrap(), image());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o644);
    }
    let once = Asked { path: "/app.tar".to_owned(), from: None };
    assert_eq!(mirror.asked(), [once.clone(), once]);
    stage(&cluster).run().code(0).stderr_has("everything is there already");
    cluster.start(&[]).run().code(0);
    assert_eq!(mirror.asked().len(), 2);
    assert_eq!(cluster.effects(), ["n1 up", "n2 up"]);
    assert_eq!(fs::read(cluster.node_dir("n2").join("installed")).unwrap(), image());
}

#[test]
fn a_transfer_that_breaks_goes_on_where_it_was_with_curl_and_with_wget() {
    for fetcher in ["curl", "wget"] {
        let (mirror, cluster) = mirrored();
        mirror.cut_at(100_000);
        stage(&cluster).env("PATH", path(&cluster, &[fetcher])).run().code(0);
        assert_eq!(from(&mirror), [None, Some(100_000)], "{fetcher}");
        assert_eq!(fs::read(set(&cluster, "n1").join("app.tar")).unwrap(), image(), "{fetcher}");
    }
}

#[test]
fn a_server_that_knows_no_ranges_is_asked_for_the_whole() {
    for fetcher in ["curl", "wget"] {
        let (mirror, cluster) = mirrored();
        mirror.cut_at(100_000).ignore_ranges();
        stage(&cluster).env("PATH", path(&cluster, &[fetcher])).run().code(0);
        assert_eq!(fs::read(set(&cluster, "n1").join("app.tar")).unwrap(), image(), "{fetcher}");
    }
}

#[test]
fn another_file_than_was_wanted_stands_nowhere() {
    let (mirror, cluster) = mirrored();
    let other = vec![7; 1000];
    mirror.set(other.clone());
    let output = stage(&cluster).run();
    output.code(12).stderr_has("n1 stage \"fetch artifacts\" failed");
    output.stderr_has("`sha256` in the procedure is not its sum");
    let message = format!(
        "{} is not what was wanted: its sha256 is {}, not {}",
        mirror.url("app.tar"),
        sum(&other),
        sum(&image())
    );
    assert!(output.raw_stderr().contains(&message), "{output:?}");
    assert_eq!(names(&cluster, "n1"), [""; 0]);
    assert_eq!(mirror.asked().len(), 1);
    mirror.set(image());
    stage(&cluster).run().code(0);
}

#[test]
fn a_part_that_was_of_another_file_is_fetched_anew() {
    let (mirror, cluster) = mirrored();
    stage(&cluster).run().code(0);
    let set = set(&cluster, "n1");
    cluster.rollgate(["unstage", "--yes"]).run().code(0);
    let to = set.join("app.tar");
    let part = &sum(format!("{}\n{}", to.display(), sum(&image())).as_bytes())[..32];
    for (wrong, asked) in [(1000, [Some(1000), None]), (300_001, [Some(300_001), None])] {
        fs::create_dir_all(&set).unwrap();
        fs::write(set.join(format!(".part-{part}")), vec![7; wrong]).unwrap();
        stage(&cluster).run().code(0);
        assert!(from(&mirror).ends_with(&asked), "{:?}", mirror.asked());
        assert_eq!(fs::read(&to).unwrap(), image());
        assert_eq!(names(&cluster, "n1"), ["app.tar"]);
        cluster.rollgate(["unstage", "--yes"]).run().code(0);
    }
    // All of it had arrived, and nobody had come to say so.
    fs::create_dir_all(&set).unwrap();
    fs::write(set.join(format!(".part-{part}")), image()).unwrap();
    let before = mirror.asked().len();
    stage(&cluster).run().code(0);
    assert_eq!(mirror.asked().len(), before);
    assert_eq!(fs::read(&to).unwrap(), image());
}

#[test]
fn a_node_without_a_program_that_fetches_says_which_to_install() {
    let (mirror, cluster) = mirrored();
    let output = stage(&cluster).env("PATH", path(&cluster, &[])).run();
    output.code(12).stderr_has("there is neither curl nor wget").stderr_has("leave out `fetch: node`");
    assert_eq!(mirror.asked(), []);
}

#[test]
fn what_the_server_refuses_is_said_and_leads_to_no_file() {
    for fetcher in ["curl", "wget"] {
        for head in ["404 Not Found", "302 Found\r\nLocation: file:///etc/passwd"] {
            let (mirror, cluster) = mirrored();
            mirror.say(head);
            let output = stage(&cluster).env("PATH", path(&cluster, &[fetcher])).run();
            let message = format!("{} could not be fetched: {fetcher}", mirror.url("app.tar"));
            assert!(output.code(12).raw_stderr().contains(&message), "{output:?}");
            assert!(!names(&cluster, "n1").contains(&"app.tar".to_owned()));
            assert_eq!(mirror.asked().len(), 1, "{fetcher} {head}");
        }
    }
}

#[test]
fn an_address_reaches_the_node_as_data() {
    let mirror = Mirror::of(image());
    let name = "it's$(touch${IFS}canary);[1-3]&a=%2e%2F";
    let url = mirror.url(&format!("a/{name}?token='*'"));
    let url = url.replace("${", "$${").replace(['{', '}'], "");
    let cluster = fetching(Cluster::new().local(1), &url.replace("$$IFS", "IFS"));
    let name = name.replace("${IFS}", "IFS");
    stage(&cluster).run().code(0);
    assert_eq!(names(&cluster, "n1"), [name.as_str()]);
    assert_eq!(mirror.asked()[0].path, format!("/a/{name}?token='*'"));
}

/// A node fetches, and whoever asked it to is killed when all that is sent has come to its disk.
fn killed_while_it_fetches() -> (Mirror, Cluster) {
    let (mirror, cluster) = mirrored();
    mirror.hold_at(HELD);
    let mut killed = stage(&cluster).spawn();
    mirror.await_held(1);
    await_output(&cluster, &format!("app.tar: {HELD} bytes are there"));
    killed.signal(Signal::KILL);
    let _ = killed.wait();
    mirror.await_held(1);
    (mirror, cluster)
}

#[test]
fn a_stage_that_was_killed_is_taken_up_by_the_next_one() {
    let (mirror, cluster) = killed_while_it_fetches();
    // It did not need rollgate, and whoever comes next ends it.
    stage(&cluster).run().code(0);
    mirror.await_held(0);
    assert_eq!(from(&mirror), [None, Some(HELD)]);
    assert_eq!(fs::read(set(&cluster, "n1").join("app.tar")).unwrap(), image());
    assert_eq!(names(&cluster, "n1"), ["app.tar"]);
}

#[test]
fn a_node_goes_on_fetching_while_the_network_to_it_is_away() {
    let mirror = Mirror::of(image());
    let cluster = fetching(Cluster::new().nodes(1), &mirror.url("app.tar"));
    let wire = Wire::to(&cluster, "n1");
    mirror.hold_at(HELD);
    let staging = stage(&cluster).spawn();
    mirror.await_held(1);
    wire.cut();
    mirror.release();
    mirror.await_held(0);
    wire.await_knocks(1);
    wire.mend(0);
    staging.wait().code(0).stderr_has("contact again; the step was followed to its end");
    assert_eq!(from(&mirror), [None]);
    assert_eq!(names(&cluster, "n1"), ["app.tar"]);
}

#[test]
fn some_are_copied_and_others_fetched_and_the_report_says_which() {
    let (mirror, cluster) = mirrored();
    let procedure = fs::read_to_string(cluster.path("procedure.yaml")).unwrap();
    cluster.set_procedure(&procedure.replace("artifacts:\n", "artifacts:\n  - source: ./copied\n"));
    cluster.write("copied", "copied");
    stage(&cluster).run().code(0).stderr_has("\"copy and fetch artifacts\" done");
    let mut names = names(&cluster, "n1");
    names.sort();
    assert_eq!(names, ["app.tar", "copied"]);
    cluster.start(&[]).run().code(0);
    let report = cluster.rollgate(["report", "-o", "json"]).run();
    let report = &documents(report.code(0).raw_stdout())[0];
    let artifacts = &report["evidence"]["artifacts"];
    assert_eq!((&artifacts[0]["bytes"], &artifacts[0]["url"]), (&json!(6), &Value::Null));
    assert_eq!((&artifacts[1]["bytes"], &artifacts[1]["url"]), (&Value::Null, &json!(mirror.url("app.tar"))));
}

#[test]
fn unstage_ends_who_still_fetches() {
    let (mirror, cluster) = killed_while_it_fetches();
    cluster.rollgate(["unstage", "--yes"]).run().code(0);
    mirror.await_held(0);
}

#[test]
fn a_dry_run_says_what_each_node_would_fetch() {
    let (mirror, cluster) = mirrored();
    let url = mirror.url("app.tar");
    let dry = || cluster.rollgate(["start", "--dry-run"]).run();
    let output = dry();
    assert!(output.code(0).raw_stdout().contains(&format!("n1 would fetch {url}")), "{output:?}");
    assert_eq!(mirror.asked(), []);
    stage(&cluster).run().code(0);
    dry().code(0).lacks("would fetch");
    drop(mirror);
    cluster.rollgate(["check"]).run().code(0);
}

#[test]
fn an_address_that_a_variable_spoils_is_refused_without_its_password() {
    for (mirror, says) in [
        ("https://ops:hunter2@mirror.example", "it holds a name or password"),
        ("ftp://mirror.example", "it must begin with `http://`"),
    ] {
        let cluster = fetching(Cluster::new().local(1), "${mirror}/app.tar");
        let inventory = fs::read_to_string(cluster.path("inventory.yaml")).unwrap();
        cluster.write("inventory.yaml", &format!("{inventory}vars: {{ mirror: {mirror:?} }}\n"));
        let output = stage(&cluster).run();
        output.code(2).stderr_has(says).stderr_has("${mirror}/app.tar").lacks("hunter2");
    }
}

#[test]
fn every_shell_reads_the_script_in_the_same_way() {
    for shell in [&["dash"][..], &["bash"], &["busybox", "sh"]] {
        let (mirror, dir) = (Mirror::of(image()), tempfile::tempdir().unwrap());
        let root = dir.path().join("root's own").display().to_string();
        let file = |name: &str, bytes: &[u8]| Download {
            url: mirror.url(name),
            sha256: sum(bytes),
            to: format!("{root}/c/staged/x/{name}"),
            mode: 0o644,
        };
        let run = |files: &[Download]| {
            let script = download_script(&root, files);
            let done =
                Command::new(shell[0]).args(&shell[1..]).args(["-eu", "-c", &script]).output().unwrap();
            (done.status.code(), String::from_utf8(done.stderr).unwrap())
        };
        mirror.cut_at(1000);
        let (code, said) = run(&[file("a", &image()), file("b", &image())]);
        assert_eq!(code, Some(0), "{shell:?}: {said}");
        assert_eq!(from(&mirror), [None, Some(1000), None], "{shell:?}");
        let (code, said) = run(&[file("c", b"other"), file("d", &image())]);
        assert_eq!(code, Some(WRONG_SUM), "{shell:?}: {said}");
        let entries = fs::read_dir(format!("{root}/c/staged/x")).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        let notes = names.extract_if(.., |name| name.to_string_lossy().starts_with(".sum-")).count();
        assert_eq!((names, notes), (vec!["a".into(), "b".into()], 2), "{shell:?}");
    }
}
