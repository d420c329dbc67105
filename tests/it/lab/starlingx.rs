//! `StarlingX`: hosts that lock, install a release, really reboot and unlock, under controllers whose activity moves
//! (`systems.md` §2.4).

use std::fs;
use std::time::Duration;

use super::{EFFECTS, Invocation, Lab};

const LONG: Duration = Duration::from_mins(10);

/// What the platform says, on one line.
#[track_caller]
fn system(lab: &Lab, words: &str) -> String {
    lab.command("system").args(words.split(' ')).run().code(0).raw_stdout().trim().to_owned()
}

fn column(lab: &Lab, host: &str, column: &str) -> String {
    system(lab, &format!("host-show {host} --column {column} --format value"))
}

/// Every host runs that release, in service, with nothing of an upgrade left.
#[track_caller]
fn assert_well(lab: &Lab, release: &str) {
    for host in lab.nodes() {
        assert_eq!(lab.on_disk(host, "/etc/build.info"), format!("SW_VERSION={release}\n"), "{host}");
        assert_eq!(column(lab, host, "software_load"), release, "{host}");
        assert_eq!(column(lab, host, "administrative"), "unlocked", "{host}");
        assert_eq!(column(lab, host, "availability"), "available", "{host}");
    }
    assert_eq!(system(lab, "upgrade-show"), "", "no upgrade is in progress");
    assert_eq!(system(lab, "compat-show"), "off", "compatibility mode is off");
    assert_eq!(
        lab.command("fm").args(["alarm-list"]).run().code(0).raw_stdout(),
        "",
        "the upgrade alarm is cleared"
    );
}

fn patient(invocation: Invocation) -> Invocation {
    invocation.limit(LONG)
}

#[test]
fn the_platform_is_upgraded_though_rollgate_is_killed() {
    let lab = Lab::system("starlingx");
    let mut running = patient(lab.start()).spawn();
    lab.await_effect("controller-1", "locked");
    lab.await_effect("controller-1", "upgrading to");
    running.signal(rustix::process::Signal::KILL);
    running.wait();
    // It reboots meanwhile; a host that cannot be reached would end it with 13, and be tried again.
    lab.await_boot("controller-1", 2);
    let output = patient(lab.resume()).run();
    output.code(0).stderr_has("point of no return");
    assert_well(&lab, "24.03");
    for host in lab.nodes() {
        for effect in ["locked", "upgrading to 24.03", "unlocked"] {
            assert_eq!(lab.times_like(host, effect), 1, "{host}: {effect}");
        }
        assert_eq!(lab.boots(host), 3, "{host} boots into the new release, and again when it is unlocked");
    }
    assert_eq!(lab.times_like("controller-0", "swact"), 1, "standby first, then activity moves");
    assert_eq!(lab.times_like("controller-1", "swact"), 0);
    let told = output.raw_stderr();
    let place = |host: &str| {
        told.find(&format!("{host} done (phase")).unwrap_or_else(|| panic!("no {host}:\n{told}"))
    };
    let order = ["controller-1", "controller-0", "storage-0", "storage-1", "worker-0"];
    assert!(order.is_sorted_by_key(|host| place(host)), "{told}");
    for batch in ["next: storage-0 and storage-2 ", "next: storage-1 ", "next: worker-0 and worker-1 "] {
        assert!(
            told.contains(batch),
            "one of each replication group, at most two workers: no {batch} in {told}"
        );
    }
    lab.rollgate(&["rollback", "--yes", "--confirm", "stx-prod"])
        .run()
        .code(12)
        .stderr_has("restore from a backup");
}

/// The abort after the point of no return: every host goes back, the last one first.
#[test]
fn an_abort_takes_every_host_back_in_reverse() {
    let lab = Lab::system("starlingx");
    let paused = patient(lab.start().args(["--pause-after", "storage-1"])).run();
    paused.code(16);
    lab.rollgate(&["status"]).run().code(0).stdout_has("rollback leads back");
    assert_eq!(system(&lab, "compat-show"), "on", "in compatibility mode until it is activated");
    // One host that has trouble is downgraded and upgraded again, and the upgrade of the whole goes on.
    let rollback = || lab.rollgate(&["rollback", "--yes", "--confirm", "stx-prod"]);
    patient(rollback().args(["-l", "storage-0"])).run().code(0);
    assert_eq!(column(&lab, "storage-0", "software_load"), "22.12");
    assert_eq!(column(&lab, "storage-1", "software_load"), "24.03");
    assert_eq!(system(&lab, "upgrade-show"), "data-migration-complete", "it is not aborted");
    patient(lab.resume().args(["-l", "storage-0"])).run().code(0);
    assert_eq!(column(&lab, "storage-0", "software_load"), "24.03");
    let back = patient(rollback()).run();
    back.code(0);
    assert_well(&lab, "22.12");
    let told = back.raw_stderr();
    let place = |host: &str| {
        told.find(&format!("{host} rolled back")).unwrap_or_else(|| panic!("no {host}:\n{told}"))
    };
    // What was changed last goes back first.
    let order = ["storage-0", "storage-1", "storage-2", "controller-0", "controller-1"];
    assert!(order.is_sorted_by_key(|host| place(host)), "{told}");
    for host in order {
        let times = if host == "storage-0" { 2 } else { 1 };
        assert_eq!(lab.times_like(host, "downgrading to 22.12"), times, "{host}");
    }
    for host in ["worker-0", "worker-1"] {
        assert_eq!(lab.on_disk(host, EFFECTS), "", "{host} was never touched");
    }
    let aborts =
        ["controller-0", "controller-1"].map(|host| lab.times_like(host, "upgrade-abort with-downtime"));
    assert_eq!(aborts.iter().sum::<usize>(), 1);
}

/// What must be so before an upgrade, and a host that says yes and fails.
#[test]
fn what_is_not_fit_is_refused_and_what_fails_stays_alone() {
    let lab = Lab::system("starlingx");
    let set = |file: &str, text: &str| {
        for controller in ["controller-0", "controller-1"] {
            lab.ssh(controller, &format!("printf '%s\\n' '{text}' > /opt/platform/{file}")).code(0);
        }
    };
    set("mode", "distributed_cloud_role systemcontroller");
    lab.start().run().code(12).stderr_has("resulting in an outage");
    set("mode", "distributed_cloud_role None");
    for (file, bad, good, said) in [
        ("patch", "Fail", "OK", "apply and install the patches"),
        ("extra-alarms", "400.001|service group degraded|True", "", "400.001|service group degraded"),
        ("loads", "22.12 active", "24.03 imported", "system load-import"),
        ("licence", "22.12", "24.03", "license-install"),
    ] {
        set(file, bad);
        lab.start().run().code(12).stderr_has(said);
        set(file, good);
        lab.rollgate(&["unstage", "--yes"]).run().code(0);
    }
    let soon = lab.command("date").args(["-u", "-d", "+2 hours", "+%FT%TZ"]).run();
    fs::write(lab.file("renewal"), soon.raw_stdout().trim()).unwrap();
    lab.start().run().code(12).stderr_has("system-restapi").stderr_has("renew them now");
    fs::write(lab.file("renewal"), "2040-01-01T00:00:00Z").unwrap();
    lab.rollgate(&["unstage", "--yes"]).run().code(0);

    let file = lab.file("procedure.yaml");
    let yaml = fs::read_to_string(&file).unwrap();
    fs::write(&file, yaml.replace("timeout: 90m", "timeout: 4s")).unwrap();
    lab.misbehave("controller-1", "exit-0-after-failure");
    lab.start()
        .run()
        .code(20)
        .stderr_has("has-target")
        .stderr_has("start --resume")
        .stderr_has("controller-1");
    let others_untouched = || {
        for host in lab.nodes().filter(|host| *host != "controller-1") {
            assert_eq!(lab.times_like(host, "locked"), 0, "{host} is untouched");
        }
    };
    others_untouched();
    // Before the point of no return the abort is one in service.
    lab.rollgate(&["status"]).run().code(0).stdout_has("rollback leads back");
    fs::write(&file, yaml).unwrap();
    lab.misbehave("controller-1", "");
    patient(lab.rollgate(&["rollback", "--yes", "--confirm", "stx-prod"])).run().code(0);
    assert_well(&lab, "22.12");
    assert_eq!(lab.times_like("controller-0", "upgrade-abort in-service"), 1);

    // One that stays in the installation, then one whose data do not come across: nobody else is touched.
    lab.edit("procedure.yaml", "timeout: 90m", "timeout: 4s");
    lab.edit("procedure.yaml", "timeout: 60m", "timeout: 4s");
    lab.misbehave("controller-1", "hangs");
    lab.start().run().code(20).stderr_has("has-target").stderr_has("start --resume");
    lab.misbehave("controller-1", "stays-unsynchronised");
    patient(lab.resume()).run().code(21).stderr_has("data-migration").stderr_has("start --resume");
    assert_eq!(column(&lab, "controller-1", "administrative"), "unlocked");
    others_untouched();
    lab.misbehave("controller-1", "");
    patient(lab.resume().args(["--pause-after", "controller-1"])).run().code(16);
}
