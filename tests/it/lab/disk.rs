//! A full disk where rollgate keeps its records: refused before anything runs, or reported as it was.

use super::Lab;

/// Gives rollgate's directory a small disk of its own.
fn small_disk(lab: &Lab, node: &str) {
    lab.ssh(
        node,
        "mkdir -p -m 0700 /var/lib/rollgate && mount -t tmpfs -o size=2m,mode=0700 tmpfs /var/lib/rollgate",
    )
    .code(0);
}

fn procedure(script: &str) -> String {
    format!(
        "procedure: work\nphases:\n  - name: nodes\n    nodes: \"*\"\n    upgrade:\n      - name: work\n        \
         timeout: 1m\n        run: |\n          echo ran >> /var/lib/ran\n          {script}\n"
    )
}

const FILL: &str = "dd if=/dev/zero of=/var/lib/rollgate/filled bs=4k 2>/dev/null || :";

#[test]
fn on_a_full_disk_nothing_is_begun() {
    let lab = Lab::up(1);
    small_disk(&lab, "n1");
    lab.ssh("n1", &format!("{FILL}; df --output=avail /var/lib/rollgate | tail -1")).stdout("    0\n");
    lab.procedure(&procedure("exit 0"));
    let out = lab.start().run();
    out.stderr_has("n1").stderr_has("rollgate cannot keep its records below /var/lib/rollgate");
    // 13 when there is no room for the lock, 20 when there is none for the step.
    assert!([13, 20].contains(&out.exit_code()), "{out:?}");
    assert_eq!(lab.on_disk("n1", "/var/lib/ran"), "", "{out:?}");
    // With room again the same run goes on, or a new one begins.
    lab.ssh("n1", "rm /var/lib/rollgate/filled").code(0);
    let again = lab.resume().run();
    if again.exit_code() != 0 {
        lab.start().run().code(0);
    }
    assert_eq!(lab.on_disk("n1", "/var/lib/ran"), "ran\n");
}

#[test]
fn a_step_that_fills_the_disk_ends_with_its_own_status() {
    let lab = Lab::up(2);
    for (node, code, exit) in [("n1", 9, 20), ("n2", 0, 0)] {
        small_disk(&lab, node);
        lab.procedure(&procedure(&format!("echo full soon; {FILL}; exit {code}")).replace("\"*\"", node));
        let out = lab.start().run();
        out.code(exit);
        if exit != 0 {
            out.stderr_has("exit status 9");
        }
        let printed = lab.transcripts();
        assert!(printed.iter().any(|(_, text)| text.starts_with("full soon\n")), "{printed:?}");
        assert_eq!(lab.on_disk(node, "/var/lib/ran"), "ran\n");
        std::fs::remove_dir_all(lab.path("state")).unwrap();
    }
}

/// More than the disk holds. The script is told so by its own `write`, and its exit status says it.
#[test]
fn output_that_does_not_fit_is_never_taken_for_whole() {
    let lab = Lab::up(1);
    small_disk(&lab, "n1");
    lab.procedure(&procedure("seq 1 1000000 || exit 9"));
    let out = lab.start().run();
    let printed = lab.transcripts().into_iter().map(|(_, text)| text).collect::<String>();
    let whole = printed.lines().any(|line| line == "1000000");
    if out.exit_code() == 0 {
        assert!(whole, "it ended well, and its output was cut without a word: {out:?}");
    } else {
        out.code(20).stderr_has("exit status 9");
        assert!(!whole);
    }
    assert_eq!(lab.on_disk("n1", "/var/lib/ran"), "ran\n");
}
