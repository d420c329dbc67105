//! The files in `examples/cron`: their cron line runs as it stands, where cron would run it; systemd has nothing
//! to say against the units. And nothing that runs at night can begin an upgrade.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use super::support::{Cluster, Invocation, Output};

fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cron").join(name)).unwrap()
}

/// What the file tells cron: the variables that it sets, and the one job with its user.
struct Crontab {
    variables: Vec<(String, String)>,
    user: String,
    command: String,
}

impl Crontab {
    /// Reads it as cron does: comments, `NAME=value`, and lines of five times, a user and a command.
    fn read(text: &str) -> Self {
        let mut tab = Self { variables: Vec::new(), user: String::new(), command: String::new() };
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (name, value) = line.split_once('=').unwrap_or(("", ""));
            if !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_') {
                tab.variables.push((name.to_owned(), value.to_owned()));
                continue;
            }
            assert!(tab.command.is_empty(), "a second job: {line}");
            let mut rest = line;
            for (low, high) in [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)] {
                let (field, after) = rest.split_once([' ', '\t']).unwrap();
                let fits = |time: u32| (low..=high).contains(&time);
                assert!(field == "*" || field.parse().is_ok_and(fits), "{field:?} of {line:?}");
                rest = after.trim_start();
            }
            let (user, command) = rest.split_once([' ', '\t']).unwrap();
            (tab.user, tab.command) = (user.to_owned(), command.trim_start().to_owned());
        }
        // To cron a percent sign ends the command.
        assert!(!tab.command.is_empty() && !tab.command.contains('%'));
        tab
    }

    /// Runs the job as cron does: its shell, its directory, its variables and those of the file and no others, a
    /// session of its own without a terminal. The inventory and the program are the test's.
    fn run(&self, cluster: &Cluster) -> Output {
        let bin = cluster.path("bin");
        if !bin.exists() {
            fs::create_dir(&bin).unwrap();
            symlink(env!("CARGO_BIN_EXE_rollgate"), bin.join("rollgate")).unwrap();
        }
        let home = cluster.root().to_str().unwrap();
        let mut words = vec![
            "-i".to_owned(),
            "SHELL=/bin/sh".to_owned(),
            format!("HOME={home}"),
            format!("LOGNAME={}", self.user),
            format!("ROLLGATE_STATE_DIR={home}/state"),
        ];
        for (name, value) in &self.variables {
            let value = match name.as_str() {
                "PATH" => format!("{home}/bin:{value}:/usr/sbin:/sbin"),
                "ROLLGATE_INVENTORY" => format!("{home}/inventory.yaml"),
                _ => value.clone(),
            };
            words.push(format!("{name}={value}"));
        }
        words.extend(["setsid", "--wait", "/bin/sh", "-c", &self.command].map(str::to_owned));
        Invocation::new("env", cluster.root()).args(words).run()
    }
}

/// A node that is fit for an upgrade while the file `fit` is there.
fn cluster() -> Cluster {
    let cluster = Cluster::new()
        .nodes(1)
        .procedure(
            r#"
            procedure: nightly
            to: "2"
            version: { run: cat "$dir/version" }
            phases:
              - name: all
                nodes: "*"
                precheck: [{ name: fit, check: { run: test -e "$dir/fit", remedy: touch it } }]
                upgrade: [{ name: install, run: echo 2 > "$dir/version" }]
            "#,
        )
        .build();
    cluster.write("nodes/n1/version", "1\n");
    cluster.write("nodes/n1/fit", "");
    cluster
}

#[test]
fn the_job_is_silent_when_all_is_well_and_mails_a_report_when_not() {
    let tab = Crontab::read(&file("rollgate-dry-run.cron"));
    assert_eq!(tab.user, "rollgate");
    assert!(
        tab.variables.iter().any(|(name, value)| name == "ROLLGATE_INVENTORY" && value.starts_with("/etc/"))
    );
    let cluster = cluster();
    let before = cluster.nodes_tree();
    tab.run(&cluster).code(0).stdout("").stderr("");
    before.assert_unchanged(&cluster.nodes_tree());
    fs::remove_file(cluster.path("nodes/n1/fit")).unwrap();
    let mail = tab.run(&cluster);
    mail.code(12)
        .stdout_has("DRY RUN test 1 -> 2  ")
        .stdout_has("RESULT  would stop: 1 check does not hold (exit 12)\n")
        .stdout_has("  n1  pre-check \"fit\": exit 1, needs exit 0\n      touch it\n")
        .stdout_has("then: rollgate start --dry-run -l n1\n")
        .stdout_has("  n1  fit   exit 0 -> exit 1, does not hold\n")
        .stderr("");
    for line in mail.raw_stdout().lines() {
        assert!(line.len() <= 78 && line.chars().all(|c| c.is_ascii_graphic() || c == ' '), "{line:?}");
    }
}

#[test]
fn nothing_without_a_terminal_begins_a_run() {
    let mut tab = Crontab::read(&file("rollgate-dry-run.cron"));
    let cluster = cluster();
    let before = cluster.nodes_tree();
    for command in ["rollgate start", "rollgate start -q", "rollgate start --yes", "yes | rollgate start"] {
        tab.command = command.to_owned();
        tab.run(&cluster)
            .code(11)
            .stdout("")
            .stderr_has("--confirm test")
            .stderr_has("nothing was done (exit 11)");
    }
    tab.command = "rollgate start --yes --confirm prod".to_owned();
    tab.run(&cluster).code(2).stderr_has("the cluster is `test`");
    before.assert_unchanged(&cluster.nodes_tree());
}

/// The values of a key in a unit.
fn values(unit: &str, key: &str) -> Vec<String> {
    let prefix = format!("{key}=");
    unit.lines().filter_map(|line| line.strip_prefix(&prefix)).map(str::to_owned).collect()
}

#[test]
fn the_units_say_what_is_meant() {
    let service = file("rollgate-dry-run.service");
    assert_eq!(
        values(&service, "ExecStart"),
        ["/usr/local/bin/rollgate start --dry-run --detailed-exitcode"]
    );
    assert_eq!(values(&service, "SuccessExitStatus"), ["19"]);
    assert_eq!(values(&service, "StateDirectory"), ["rollgate"]);
    assert!(service.contains("\n#OnFailure="), "a hint for whoever wants to be told");
    let timer = file("rollgate-dry-run.timer");
    assert_eq!(values(&timer, "Persistent"), ["true"]);
    assert_eq!(values(&timer, "RandomizedDelaySec").len(), 1);
    for calendar in values(&timer, "OnCalendar") {
        let run = Command::new("systemd-analyze").args(["calendar", &calendar]).output();
        let run = run.expect("systemd-analyze is missing; install it: apt-get install systemd");
        assert!(run.status.success(), "{calendar}: {}", String::from_utf8_lossy(&run.stderr));
    }
}

#[test]
fn systemd_has_nothing_against_the_units() {
    let temp = tempfile::tempdir().unwrap();
    let paths = ["rollgate-dry-run.service", "rollgate-dry-run.timer"].map(|name| {
        let text = file(name).replace("/usr/local/bin/rollgate", env!("CARGO_BIN_EXE_rollgate"));
        let path = temp.path().join(name);
        fs::write(&path, text).unwrap();
        path
    });
    let verify = |paths: &[std::path::PathBuf]| {
        Invocation::new("systemd-analyze", temp.path()).args(["verify", "--man=no"]).args(paths).run()
    };
    verify(&paths).code(0).lacks("rollgate-dry-run");
    // The test can fail: a key that there is none of is told.
    let text = fs::read_to_string(&paths[0]).unwrap();
    fs::write(&paths[0], text.replace("SuccessExitStatus", "SuccesExitStatus")).unwrap();
    verify(&paths).stderr_has("SuccesExitStatus");
}
