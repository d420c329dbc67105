//! Digital Rebar: an upgrade that the cluster drives by itself and rollgate observes (`systems.md` §2.3).

use std::ffi::OsStr;
use std::fs;
use std::time::{Duration, Instant};

use super::{EFFECTS, Lab};
use crate::support::PATIENCE;

const NEW: &str = "v4.14.0";

/// A cluster in which one member leads.
fn cluster() -> Lab {
    let lab = Lab::system("digital-rebar");
    keep_archive(&lab);
    leader(&lab);
    lab
}

/// Where its archive lies on the operator's machine is its own, as other clusters are upgraded from there as well.
fn keep_archive(lab: &Lab) {
    let dir = lab.file("archive").display().to_string();
    lab.edit("inventory.yaml", "archive_dir: /var/tmp/rebar-prod", &format!("archive_dir: {dir}"));
}

/// Who leads; waits until somebody does and all have the same state.
#[track_caller]
fn leader(lab: &Lab) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (_, safe) = drpcli(lab, "system ha failOverSafe");
        let (_, leader) = drpcli(lab, "system ha leader");
        if safe == "true" && !leader.is_empty() {
            return leader;
        }
        assert!(Instant::now() < deadline, "nobody leads");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Runs the operator's drpcli: its exit status and what it said.
fn drpcli(lab: &Lab, words: &str) -> (i32, String) {
    let output = lab
        .command("drpcli")
        .args(words.split(' '))
        .env("RS_ENDPOINTS", "https://drp1:8092 https://drp2:8092 https://drp3:8092")
        .run();
    (output.exit_code(), output.raw_stdout().trim().to_owned())
}

fn status(lab: &Lab) -> String {
    let (code, said) = drpcli(lab, "system upgrade status");
    if code == 0 { said } else { "none".to_owned() }
}

/// How often any member did something that begins like this.
fn effects_of_all(lab: &Lab, effect: &str) -> usize {
    lab.nodes().map(|node| lab.times_like(node, effect)).sum()
}

/// Everything that the page says of a cluster that has upgraded itself, leader `before` last.
#[track_caller]
fn assert_upgraded(lab: &Lab, before: &str) {
    for node in lab.nodes() {
        let (_, info) = drpcli(lab, &format!("-E https://{node}:8092 info get"));
        assert!(info.contains(&format!("\"version\":\"{NEW}\"")), "{node} answers with the version: {info}");
        lab.ssh(node, "/opt/dr-provision/dr-provision --version").code(0).stdout_has(NEW);
        lab.ssh(node, "stat -c %U /opt/dr-provision/dr-provision").stdout("digitalrebar\n");
        lab.ssh(node, "getcap /opt/dr-provision/dr-provision")
            .stdout_has("cap_net_bind_service,cap_net_raw=ep");
        lab.ssh(node, &format!("gzip -t /var/backups/dr-provision-before-{NEW}.tgz")).code(0);
        assert_eq!(lab.times_like(node, "upgraded to"), 1, "{node}");
        assert_eq!(lab.times_like(node, "restarted"), 1, "{node}");
    }
    for effect in ["stage ", "start "] {
        assert_eq!(effects_of_all(lab, effect), 1, "{effect}");
    }
    let transcript = status(lab);
    let place = |text: &str| transcript.find(text).unwrap_or_else(|| panic!("no `{text}` in {transcript}"));
    for node in lab.nodes().filter(|node| *node != before) {
        assert!(place(&format!("{node}: done")) < place(&format!("{before}: applying")), "leader last");
    }
    assert!(transcript.contains("\"status\":\"finished\""), "{transcript}");
    // Before the upgrade another may have led as well.
    let is_heir = |node: &&str| {
        let log = lab.on_disk(node, EFFECTS);
        log.split_once("upgraded to").is_some_and(|(_, then)| then.matches("leads in term").count() == 1)
    };
    let heirs = lab.nodes().filter(|node| *node != before).filter(is_heir).count();
    assert_eq!(heirs, 1, "the leader hands over before it restarts, to one that has been upgraded");
}

#[test]
fn the_cluster_upgrades_itself_and_is_observed() {
    let lab = cluster();
    let before = leader(&lab);
    // Each member is at work for longer than two readings are apart, also on a busy machine.
    lab.nodes().for_each(|node| pace(&lab, node, 3));
    lab.rollgate(&["stage"]).run().code(0);
    assert!(status(&lab).contains("\"status\":\"staged\""));
    let sums = lab.nodes().map(|node| {
        lab.ssh(node, "sha256sum < /var/lib/dr-provision/system-upgrade/drp-upgrade.zip")
            .raw_stdout()
            .to_owned()
    });
    let sums: std::collections::BTreeSet<String> = sums.collect();
    assert_eq!(sums.len(), 1, "replicated to all members: {sums:?}");
    assert!(!status(&lab).contains("upgraded"), "nothing restarts");
    assert_eq!(effects_of_all(&lab, "restarted"), 0);

    let output = lab.start().run();
    output.code(0);
    assert_upgraded(&lab, &before);
    let shown = format!("{}{}", output.raw_stdout(), output.raw_stderr());
    for node in lab.nodes() {
        for said in ["applying v4.14.0", "up again with v4.14.0, synchronizing", "done"] {
            let line = format!("{node}: {said}");
            let times = shown.lines().filter(|shown| shown.ends_with(&line)).count();
            assert_eq!(times, 1, "each line of the transcript is shown once, as it comes: {line}\n{shown}");
        }
        assert!(shown.contains(&format!("{node}:8092: ")), "the working node and its state: {shown}");
    }
    lab.rollgate(&["status"]).run().code(0).stdout_has(NEW);
    lab.rollgate(&["rollback", "--yes", "--confirm", "rebar-prod"]).run().code(12).stderr_has("backup");

    for _ in 0..2 {
        lab.rollgate(&["unstage", "--yes"]).run().code(0);
        assert_eq!(status(&lab), "none", "the tracking profile is gone");
    }
    assert_eq!(effects_of_all(&lab, "unstage"), 1);
    for node in lab.nodes() {
        lab.ssh(node, "ls /var/lib/dr-provision/system-upgrade").stdout("");
    }
}

/// What stops it before it begins: nothing is upgraded, and the way on is said.
#[test]
fn a_cluster_that_cannot_upgrade_itself_or_does_not_begin() {
    let lab = cluster();
    // A requirement that is not met leads to the manual upgrade, and that needs a human.
    lab.ssh("drp2", "chown root /opt/dr-provision && chmod 0755 /opt/dr-provision").code(0);
    let patient = ["--gate-timeout", "1s"];
    lab.start().args(patient).run().code(10).stderr_has("/opt/dr-provision is not writable by digitalrebar");
    assert_eq!(effects_of_all(&lab, "stage "), 0, "a manual upgrade stages nothing");
    lab.rollgate(&["unstage", "--yes"]).run().code(0);
    lab.ssh("drp2", "chown digitalrebar /opt/dr-provision").code(0);
    // The same without the right to give capabilities.
    lab.ssh("drp2", "rm /etc/sudoers.d/dr-provision").code(0);
    lab.start()
        .args(patient)
        .run()
        .code(10)
        .stderr_has("digitalrebar cannot: sudo -n setcap cap_net_bind_service");
    lab.rollgate(&["unstage", "--yes"]).run().code(0);
    let sudoers = "echo 'digitalrebar ALL=(root) NOPASSWD: /usr/sbin/setcap' > /etc/sudoers.d/dr-provision";
    lab.ssh("drp2", sudoers).code(0);
    // An archive that arrived short is not staged.
    fs::write(lab.file("misbehave"), "broken-download").unwrap();
    lab.start().run().code(12).stderr_has("download").stderr_has("rollgate");
    assert_eq!(effects_of_all(&lab, "stage "), 0);
    lab.rollgate(&["unstage", "--yes"]).run().code(0);
    // A start that is refused and says 0, and one that wants an answer: what counts is what is observed.
    lab.edit("procedure.yaml", "timeout: 30s", "timeout: 3s");
    fs::write(lab.file("misbehave"), "exit-0-after-failure").unwrap();
    lab.start().run().code(20).stderr_has("begun on operator: staged").stderr_has("start --resume");
    lab.rollgate(&["unstage", "--yes"]).run().code(0);
    fs::write(lab.file("misbehave"), "asks-on-stdin").unwrap();
    lab.start().run().code(20).stderr_has("nobody answers");
    lab.rollgate(&["unstage", "--yes"]).run().code(0);
    assert_eq!(status(&lab), "none");
    assert_eq!(effects_of_all(&lab, "start "), 0);
    assert_eq!(effects_of_all(&lab, "upgraded to"), 0);
}

/// A member that cannot be upgraded, then a state that nobody knows, then an upgrade that comes to its end.
#[test]
fn failed_and_unknown_states_are_told_apart() {
    let lab = cluster();
    let before = leader(&lab);
    let others: Vec<&str> = lab.nodes().filter(|node| *node != before).collect();
    lab.misbehave(others[1], "fails-in-the-middle");
    let output = lab.start().run();
    output
        .code(20)
        .stderr_has("observe on operator: failed, and that means it never will hold")
        .stderr_has(&format!("upgrade failed: {}: the archive cannot be unpacked", others[1]))
        .stderr_has("rollgate unstage, then stage and start anew");
    assert_eq!(lab.times_like(others[0], "upgraded to"), 1);
    assert_eq!(effects_of_all(&lab, "upgraded to"), 1, "the others are untouched");
    lab.rollgate(&["unstage", "--yes"]).run().code(0);
    assert_eq!(status(&lab), "none");

    lab.misbehave(others[1], "");
    lab.misbehave(&before, "unknown-state");
    let output = lab.start().run();
    output
        .code(22)
        .stderr_has("observe on operator: reticulating, and the procedure knows no such state")
        .stderr_has("start --resume")
        .lacks("failed and");
    lab.misbehave(&before, "");
    lab.resume().run().code(0);
    for node in lab.nodes() {
        assert_eq!(lab.times_like(node, "upgraded to"), 1, "{node}: a member that has it is passed over");
    }
    assert_eq!(effects_of_all(&lab, "start "), 2);
}

#[test]
fn a_killed_observer_comes_back_and_starts_nothing_twice() {
    let lab = cluster();
    let before = leader(&lab);
    let mut running = lab.start().spawn();
    let first = lab.nodes().find(|node| *node != before).unwrap();
    for (node, effect) in
        [(before.as_str(), "stage "), (&before, "start "), (first, "upgraded to"), (first, "restarted")]
    {
        lab.await_effect(node, effect);
    }
    running.signal(rustix::process::Signal::KILL);
    running.wait();
    lab.resume().run().code(0);
    assert_upgraded(&lab, &before);
}

/// So long for each member, and not in total; and an upgrade in progress exits gracefully.
#[test]
fn a_member_that_hangs_has_a_time_of_its_own_and_unstage_stops_gracefully() {
    let lab = cluster();
    let before = leader(&lab);
    let others: Vec<&str> = lab.nodes().filter(|node| *node != before).collect();
    lab.nodes().for_each(|node| pace(&lab, node, 5));
    let running = lab.start().spawn();
    for (node, effect) in [(before.as_str(), "stage "), (&before, "start "), (others[0], "upgraded to")] {
        lab.await_effect(node, effect);
    }
    lab.rollgate(&["unstage", "--yes"]).run().code(0);
    assert_eq!(running.wait().exit_code(), 16);
    assert_eq!(status(&lab), "none");
    assert_eq!(effects_of_all(&lab, "upgraded to"), 1, "only the one that was at it");
    lab.nodes().for_each(|node| pace(&lab, node, 1));
    leader(&lab);

    lab.edit("procedure.yaml", "timeout: 1h", "timeout: 20s");
    lab.misbehave(&before, "hangs");
    let begun = Instant::now();
    let output = lab.start().run();
    output.code(20).stderr_has("observe on operator: working").stderr_has("after 20s");
    assert!(begun.elapsed() > Duration::from_secs(22), "the first two had their own time");
    assert_eq!(lab.times_like(others[1], "restarted"), 1);
    assert_eq!(lab.times_like(&before, "restarted"), 0);
    lab.misbehave(&before, "");
    lab.resume().run().code(0);
}

/// How many seconds each part of a member's upgrade takes.
fn pace(lab: &Lab, node: &str, seconds: u32) {
    lab.ssh(node, &format!("echo {seconds} > /etc/stand-in/pace")).code(0);
}

/// A standalone endpoint of before the two phases: it swaps its binary at once.
#[test]
fn a_standalone_endpoint_is_upgraded_the_legacy_way() {
    let lab = Lab::system_of("digital-rebar", &["drp1"]);
    keep_archive(&lab);
    leader(&lab);
    lab.ssh("drp1", "echo inline-upgrade >/etc/dr-provision/features").code(0);
    lab.edit("inventory.yaml", "  - { name: drp2 }\n  - { name: drp3 }\n", "");
    lab.edit("inventory.yaml", "members: \"drp1 drp2 drp3\"", "members: drp1");
    lab.edit("inventory.yaml", " https://drp2:8092 https://drp3:8092", "");
    lab.edit("inventory.yaml", "content_packs: \"\"", "content_packs: drp-community-content task-library");
    lab.start()
        .run()
        .code(0)
        .stderr_has("steps \"upgrade at once\" done")
        .lacks("\"upgrade by hand\" begins");
    assert_eq!(lab.times_like("drp1", "stage "), 1, "the archive goes up once");
    assert_eq!(lab.times_like("drp1", "upgraded to v4.14.0"), 1);
    lab.ssh("drp1", "/opt/dr-provision/dr-provision --version").code(0).stdout_has(NEW);
    let installed = fs::read_to_string(lab.file("operator.log")).unwrap();
    assert_eq!(installed, "install drp-community-content\ninstall task-library\n");
}

/// Without the feature flags a cluster is upgraded by hand, member by member, the leader last; each time a human
/// says that he did it, and what counts is what the member then runs.
#[test]
fn a_cluster_without_the_flags_is_upgraded_by_hand() {
    let lab = cluster();
    for node in lab.nodes() {
        lab.ssh(node, ": >/etc/dr-provision/features").code(0);
    }
    let before = leader(&lab);
    let script = "sed 1d /root/drp-upgrade.zip >/opt/dr-provision/new
        chmod 0755 /opt/dr-provision/new
        chown digitalrebar: /opt/dr-provision/new
        setcap cap_net_bind_service,cap_net_raw=ep /opt/dr-provision/new
        mv /opt/dr-provision/new /opt/dr-provision/dr-provision
        systemctl restart dr-provision";
    let patient = ["--gate-timeout", "1s"];
    let mut run = lab.start();
    for node in lab.nodes().filter(|node| *node != before).chain([before.as_str()]) {
        let asked = run.args(patient).run();
        asked.code(10).stderr_has(&format!("{node} is not upgraded by itself"));
        let (config, archive) = (lab.file("ssh_config"), lab.file("catalog/drp.zip"));
        let copy = lab.command("scp").args([OsStr::new("-F"), config.as_os_str(), archive.as_os_str()]);
        copy.args([format!("{node}:/root/drp-upgrade.zip")]).run().code(0);
        lab.ssh(node, script).code(0);
        run = lab.resume();
    }
    run.run().code(0);
    for node in lab.nodes() {
        lab.ssh(node, "/opt/dr-provision/dr-provision --version").code(0).stdout_has(NEW);
    }
    assert_eq!(effects_of_all(&lab, "stage "), 0, "nothing upgraded itself");
}
