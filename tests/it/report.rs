//! `rollgate report`: every form of a run that is finished, failed, resumed or at work, and what must never be in it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::Value;

use super::support::{Cluster, Output, effects};

/// A gate that opens once somebody has made the file `go`, an upgrade that can be made to fail, a verify.
const PROCEDURE: &str = r#"
    procedure: from one to two
    version: { run: 'cat "$dir/version" 2>/dev/null || echo 1' }
    to: "2"
    phases:
      - name: all
        nodes: "*"
        drain:
          - { name: stop, run: LOG(drain), undo: LOG(undone), temporary: node }
          - gate: queue depth
            checks:
              - { name: depth, run: 'cat "$dir/depth" 2>/dev/null || echo 7', at_most: 100, unit: messages }
            every: 100ms
            timeout: 2s
        upgrade:
          - name: install
            run: |
              LOG(up)
              cat "$dir/says" 2>/dev/null || :
              test ! -e "$dir/broken"
              echo 2 > "$dir/version"
        verify:
          - check: { name: two, run: 'cat "$dir/version"', equals: "2" }
"#;

fn cluster(nodes: usize) -> Cluster {
    Cluster::new().local(nodes).procedure(&effects(PROCEDURE)).build()
}

/// A run that was passed closed at one gate, failed, was paused and resumed.
fn eventful() -> Cluster {
    let cluster = cluster(2);
    cluster.write("nodes/n1/depth", "5200\n");
    cluster.write("nodes/n2/broken", "");
    cluster.write("nodes/n2/says", "<script>alert(1)</script> ]]> \u{202e}\x1b[2J\nsee http://x.example/\n");
    let reason = "queue depth=CHG-7 <agreed> & done";
    cluster.start(&["--change", "CHG-1", "--override", reason]).run().code(20);
    fs::remove_file(cluster.node_dir("n2").join("broken")).unwrap();
    cluster.resume().run().code(0).stderr_has("report -f CHG-1.html");
    cluster
}

#[track_caller]
fn report(cluster: &Cluster, flags: &[&str]) -> Output {
    let output = cluster.rollgate(["report"]).args(flags).run();
    output.code(0);
    output
}

#[track_caller]
fn file(cluster: &Cluster, name: &str) -> String {
    report(cluster, &["-f", name]).stdout("").stderr_has(&format!("wrote {name}: "));
    fs::read_to_string(cluster.path(name)).unwrap()
}

fn json(cluster: &Cluster) -> Value {
    serde_json::from_str(report(cluster, &["-o", "json"]).raw_stdout()).unwrap()
}

/// A page is markup of ours and text of others: what it holds, element by element.
#[track_caller]
fn assert_well_formed(page: &str) {
    let mut open: Vec<String> = Vec::new();
    for tag in page.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').unwrap_or_else(|| panic!("no end of <{tag}"));
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap().to_owned();
        match name.as_str() {
            "!DOCTYPE" | "meta" | "?xml" => {}
            _ if tag.starts_with('/') => assert_eq!(open.pop(), Some(name)),
            _ if tag.ends_with('/') => {}
            _ => open.push(name),
        }
    }
    assert_eq!(open, [""; 0]);
}

#[track_caller]
fn assert_harmless(page: &str) {
    for never in ["<script", "http://", "https://", "javascript:", "\x1b", "\u{202e}", " src=", " href="] {
        assert!(!page.contains(never), "{never:?} is in the page");
    }
    assert!(page.is_ascii(), "a page is ASCII");
    assert_well_formed(page);
}

#[test]
fn a_page_has_everything_and_refers_to_nothing() {
    let cluster = eventful();
    let page = file(&cluster, "CHG-1.html");
    assert_harmless(&page);
    for part in [
        "<title>Run ",
        "<desc id=\"rg-desc\">",
        "aria-labelledby=\"rg-title rg-desc\"",
        "<th scope=\"col\">Node</th>",
        "<th scope=\"row\">n1</th>",
        "finished: 2 of 2 nodes done",
        "CHG-1",
        "class=\"box\"",
        "passed gate &quot;queue depth&quot; closed",
        "Reason: CHG-7 &lt;agreed&gt; &amp; done",
        "upgrade &quot;install&quot; failed: it ended with exit status 1",
        "&lt;script&gt;alert(1)&lt;/script&gt; ]]&gt; \\u{202e}\\x1b[2J",
        "depth in messages, needs &lt;= 100",
        "<polyline",
        "class=\"limit\"",
        "@page{size:A4 landscape",
        "<summary>procedure ",
    ] {
        assert!(page.contains(part), "{part:?} is missing in\n{page}");
    }
    report(&cluster, &["-f", "CHG-1.html"]).stderr_has("replaced CHG-1.html: ");
}

#[test]
fn the_drawing_is_a_file_of_its_own() {
    let drawing = file(&eventful(), "line.svg");
    let namespace = " xmlns=\"http://www.w3.org/2000/svg\"";
    assert!(drawing.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg"), "{drawing}");
    assert!(drawing.contains(namespace) && drawing.contains("<desc"), "{drawing}");
    assert_harmless(
        &drawing.replace(namespace, "").replace("<?xml version=\"1.0\" encoding=\"UTF-8\"?>", ""),
    );
}

#[test]
fn the_text_is_complete_by_itself() {
    let cluster = eventful();
    let output = report(&cluster, &[]);
    let text = output.raw_stdout();
    assert_eq!(file(&cluster, "run.txt").lines().count(), text.lines().count());
    assert!(text.is_ascii() && !text.contains(['\x1b', '\r']), "{text}");
    for part in [
        "OVERRIDES\n",
        "tester on ",
        "Reason: CHG-7 <agreed> & done",
        "Read: depth 5200 messages (needs <= 100)",
        "FAILURES\n",
        "| <script>alert(1)</script> ]]> \\u{202e}\\x1b[2J",
        "TEMPORARY CHANGES STILL IN FORCE\n  None.",
        "inventory.yaml",
        "rollgate -i inventory.yaml start --yes --confirm test --change CHG-1",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    let own = |line: &&str| !line.contains(" | ") && !line.contains(cluster.root().to_str().unwrap());
    for line in text.lines().filter(own) {
        assert!(line.len() <= 100, "{line}");
    }
}

#[test]
fn the_document_has_a_summary_and_the_journal() {
    let cluster = eventful();
    let document = json(&cluster);
    let keys: Vec<&String> = document.as_object().unwrap().keys().take(2).collect();
    assert_eq!(keys, ["format", "format_version"]);
    assert_eq!(document["format"], "rollgate/report");
    assert_eq!(document["run"]["state"], "finished");
    assert_eq!(document["run"]["exit_code"], 0);
    assert_eq!(document["invocations"].as_array().unwrap().len(), 2);
    assert_eq!(document["nodes"][1]["retries"], 1);
    assert_eq!(document["nodes"][0]["before"], "1");
    assert_eq!(document["nodes"][0]["after"], "2");
    assert_eq!(document["events"].as_array().unwrap().len(), cluster.journal().lines().count());
    let kinds: Vec<&str> =
        document["marks"].as_array().unwrap().iter().map(|mark| mark["kind"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"override") && kinds.contains(&"failure"), "{kinds:?}");
    assert_eq!(document["failures"][0]["output"][0], "<script>alert(1)</script> ]]> \u{202e}\x1b[2J");
    let failed = file(&cluster, "run.json");
    assert!(failed.is_ascii() && failed.starts_with("{\n  \"format\": \"rollgate/report\""));
}

#[test]
fn an_unfinished_run_says_so() {
    let cluster = cluster(2);
    cluster.write("nodes/n1/broken", "");
    cluster.start(&[]).run().code(20);
    report(&cluster, &[])
        .stdout_has("unfinished: stopped with 0 of 2 nodes done")
        .stdout_has("20 (the upgrade step failed");
    assert_harmless(&file(&cluster, "run.html"));
    let document = json(&cluster);
    assert_eq!((&document["run"]["unfinished"], &document["run"]["exit_code"]), (&true.into(), &20.into()));
}

#[test]
fn a_run_at_work_is_reported_while_it_works_and_after_its_death() {
    let cluster = cluster(1);
    cluster.write("nodes/n1/depth", "5200\n");
    let mut running = cluster.start(&["--gate-timeout", "5m"]).spawn();
    cluster.await_effect("n1 drain");
    std::thread::sleep(std::time::Duration::from_millis(500));
    let page = file(&cluster, "run.html");
    assert!(page.contains("unfinished: at work, 0 of 1 node done"), "{page}");
    assert_eq!(json(&cluster)["run"]["ended_at"], Value::Null);
    running.signal(rustix::process::Signal::KILL);
    running.wait();
    report(&cluster, &[])
        .stdout_has("the rollgate that worked on it is gone")
        .stdout_has("n1: drain \"stop\"")
        .stdout_has("last heard of ");
    fs::write(cluster.node_dir("n1").join("depth"), "1\n").unwrap();
    cluster.resume().run().code(0);
    report(&cluster, &[]).stdout_has("finished: 1 of 1 node done").stdout_has("died");
}

#[test]
fn a_damaged_journal_is_reported_as_far_as_it_is_true() {
    let cluster = cluster(1);
    cluster.start(&[]).run().code(0);
    let path = cluster.run_dir().join("journal.ndjson");
    let journal = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{journal}{{\"n\":999\n")).unwrap();
    report(&cluster, &[]).stdout_has("the journal is damaged: this is what precedes the damage");
}

/// A secret that the node prints, that a variable repeats, and that stands in the command line.
fn secretive() -> Cluster {
    let cluster = Cluster::new()
        .local(1)
        .inventory(
            "
            vars:
              copy: 'hunter<22>&'
            secrets:
              password: { env: PASSWORD }
              token: { command: 'echo to\"\"ken-from-words' }
            ",
        )
        .procedure(&effects(
            r#"
            procedure: secretive
            phases:
              - name: all
                nodes: "*"
                upgrade:
                  - run: |
                      echo "$password $token hunter<22>&"
                      exit 1
            "#,
        ))
        .build();
    cluster.start(&["--change", "x hunter<22>& y"]).env("PASSWORD", "hunter<22>&").run().code(20);
    assert!(cluster.journal().contains("hunter<22>&"), "there is nothing to mask");
    cluster
}

/// As they are, and as JSON and HTML write them.
const SECRETS: [&str; 7] = [
    "hunter<22>&",
    "hunter&lt;22",
    "hunter\\u003c22",
    "token-from-words",
    "to\\\"\\\"ken",
    "to\"\"ken",
    "to&quot;&quot;ken",
];

#[track_caller]
fn assert_masked(form: &str, text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} is in the {form}:\n{text}");
    }
    assert!(text.contains("***"), "{form}: what was masked?\n{text}");
}

#[test]
fn a_secret_is_in_no_form_and_no_file_of_the_bundle() {
    let cluster = secretive();
    for name in ["run.html", "run.svg", "run.txt", "run.json"] {
        let done = cluster.rollgate(["report", "-f", name]).env("PASSWORD", "hunter<22>&").run();
        done.code(0);
        let text = fs::read_to_string(cluster.path(name)).unwrap();
        if name == "run.svg" {
            assert!(!text.contains("hunter"), "{text}");
        } else {
            assert_masked(name, &text);
        }
    }
    let done = cluster.rollgate(["report", "--bundle", "run.tar.gz"]).env("PASSWORD", "hunter<22>&").run();
    done.code(0).stderr_has("wrote run.tar.gz: ");
    let unpacked = unpacked(&cluster, "run.tar.gz");
    assert_masked("bundle", &unpacked);
    // Without its value the report says what it could not mask, and makes nobody type it.
    report(&cluster, &[]).stdout_has("cannot be had now: password");
}

/// Every file of a bundle, one after the other.
fn unpacked(cluster: &Cluster, name: &str) -> String {
    let out = Command::new("tar").args(["-xOzf", name]).current_dir(cluster.root()).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn a_bundle_has_all_that_is_known() {
    let cluster = eventful();
    report(&cluster, &["--bundle", "run.tar.gz"]).stdout("");
    let path = cluster.path("run.tar.gz");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let list = Command::new("tar").args(["-tzf"]).arg(&path).output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    let run = cluster.run_dir().file_name().unwrap().to_str().unwrap().to_owned();
    for file in [
        "about.txt",
        "journal.ndjson",
        "report.html",
        "report.json",
        "report.txt",
        "inventory.yaml",
        "procedure.yaml",
        "debug.log",
        "out/n1.all.drain.1.1.log",
        "out/n2.all.upgrade.1.2.log",
    ] {
        assert!(list.lines().any(|line| line == format!("{run}/{file}")), "{file} is missing in\n{list}");
    }
    assert!(list.lines().all(|line| line.starts_with(&format!("{run}/"))), "{list}");
    let unpacked = unpacked(&cluster, "run.tar.gz");
    assert!(unpacked.contains(&cluster.journal()), "nothing was masked in the journal");
    let (_, json) = unpacked.split_once("\n{\n  \"format\": \"rollgate/report\"").unwrap();
    let (json, _) = json.split_once("\n}\n").unwrap();
    assert!(json.is_ascii() && json.contains("\\u202e"), "{json}");
}

#[test]
fn what_a_program_printed_is_in_the_report() {
    let cluster = cluster(1);
    let text = fs::read_to_string(cluster.path("inventory.yaml")).unwrap();
    fs::write(cluster.path("printed"), &text).unwrap();
    fs::write(cluster.path("inventory.yaml"), "#!/bin/sh\ncat \"${0%/*}/printed\"\n").unwrap();
    fs::set_permissions(cluster.path("inventory.yaml"), fs::Permissions::from_mode(0o755)).unwrap();
    cluster.start(&[]).run().code(0);
    report(&cluster, &[]).lacks("changed or gone since");
    assert!(file(&cluster, "run.html").contains("<summary>inventory "));
    fs::write(cluster.path("printed"), format!("{text}# more\n")).unwrap();
    report(&cluster, &[]).stdout_has("changed or gone since");
}

#[test]
fn what_cannot_be_written_is_refused_before_any_work() {
    let cluster = cluster(1);
    let refused = |flags: &[&str]| {
        let output = cluster.rollgate(["report"]).args(flags).run();
        output.code(2).stdout("").stderr_has("next: rollgate");
        output
    };
    refused(&[]).stderr_has("no run of test is recorded on this machine");
    refused(&["2026-01-01.1"]);
    cluster.start(&[]).run().code(0);
    refused(&["-f", "run.pdf"]).stderr_has(".html, .svg, .txt, .json");
    refused(&["-f", "plain"]).stderr_has("the ending of plain says no format");
    refused(&["-f", "nodes", "--format", "html"]).stderr_has("nodes is a directory");
    refused(&["-f", "nowhere/run.html"]).stderr_has("in a directory that is not there");
    refused(&["-f", "/dev/null", "--format", "html"]).stderr_has("is no regular file");
    refused(&["-f", "inventory.yaml", "--format", "json"]).stderr_has("inventory.yaml is the inventory");
    refused(&["--bundle", "./nodes/../procedure.yaml"]).stderr_has("is the procedure");
    let journal = cluster.run_dir().join("journal.ndjson");
    for path in [journal.clone(), journal.with_file_name("new.ndjson")] {
        refused(&["--bundle", path.to_str().unwrap()]).stderr_has("where runs are recorded");
    }
    refused(&["--bundle", "-"]).stderr_has("a bundle does not go to standard output");
    report(&cluster, &["-f", "plain", "--format", "svg"]);
    assert!(fs::read_to_string(cluster.path("plain")).unwrap().starts_with("<?xml"));
    report(&cluster, &["-f", "-"]).stdout_has("RUN ####-##-##.1 OF TEST");
    report(&cluster, &["-q", "-f", "run.html"]).stderr("");
    let left: Vec<String> = fs::read_dir(cluster.root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('.'))
        .collect();
    assert_eq!(left, [""; 0]);
}
