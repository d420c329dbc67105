//! The units of `examples/cron` on a real host: its systemd runs the dry run under a user of its own, with all that
//! they forbid, over SSH.

use std::path::Path;

use super::{LIMIT, Lab};
use crate::support::Invocation;

const SERVICE: &str = "rollgate-dry-run.service";

const PREPARE: &str = "set -eu
useradd --system --home-dir /var/lib/rollgate --shell /usr/sbin/nologin rollgate
mkdir /etc/rollgate
ssh-keygen -q -t ed25519 -N '' -f /etc/rollgate/id_ed25519
chown rollgate: /etc/rollgate/id_ed25519
cat /etc/rollgate/id_ed25519.pub >> /home/ops/.ssh/authorized_keys
ssh-keyscan -t ed25519 127.0.0.1 >/etc/rollgate/known_hosts 2>/dev/null
cat >/etc/rollgate/rollgate.yaml <<'END'
cluster: nightly
procedure: ./procedure.yaml
ssh: { user: ops, identity_file: /etc/rollgate/id_ed25519, known_hosts: /etc/rollgate/known_hosts }
nodes: [{ name: n1, host: 127.0.0.1 }]
END
cat >/etc/rollgate/procedure.yaml <<'END'
procedure: nightly
to: \"2\"
version: { run: cat /etc/version }
phases:
  - name: all
    nodes: \"*\"
    precheck: [{ name: fit, check: { run: test ! -e /run/unfit } }]
    upgrade: [{ name: install, run: echo 2 >/etc/version }]
END
echo 1 >/etc/version
systemctl daemon-reload
systemctl enable --now --quiet rollgate-dry-run.timer";

/// Copies files to a directory of a node.
fn copy(lab: &Lab, files: &[&Path], to: &str) {
    let config = lab.file("ssh_config");
    let copy = Invocation::new("scp", &std::env::temp_dir()).args(["-q", "-F"]).args([config]);
    copy.args(files).args([format!("root@n1:{to}")]).limit(LIMIT).run().code(0);
}

#[test]
fn systemd_runs_the_dry_run_as_the_units_say() {
    let lab = Lab::up(1);
    let cron = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cron");
    copy(&lab, &[Path::new(env!("CARGO_BIN_EXE_rollgate"))], "/usr/local/bin/rollgate");
    let units = ["rollgate-dry-run.service", "rollgate-dry-run.timer"].map(|unit| cron.join(unit));
    copy(&lab, &[&units[0], &units[1]], "/etc/systemd/system/");
    lab.ssh("n1", PREPARE).code(0);
    let next = lab.ssh("n1", "systemctl list-timers --all --no-legend rollgate-dry-run.timer");
    next.code(0).stdout_has(SERVICE);
    // An upgrade is pending: 19, and no failure.
    let facts = format!("systemctl show -P Result -P ExecMainStatus {SERVICE} | sort | tr '\\n' ' '");
    let told = || lab.ssh("n1", &format!("journalctl --no-pager -o cat -u {SERVICE}"));
    let begun = lab.ssh("n1", &format!("systemctl start {SERVICE}"));
    assert_eq!(begun.exit_code(), 0, "{begun:?}\n{:?}", told());
    lab.ssh("n1", &facts).stdout("19 success ");
    told().stdout_has("DRY RUN nightly 1 -> 2 ").stdout_has("RESULT  would start (exit 19)");
    lab.ssh("n1", "stat -c '%U %a' /var/lib/rollgate/nightly/dry-run.json").stdout("rollgate 600\n");
    // What would stop it is a failure, for OnFailure= to tell, and the journal has the report.
    lab.ssh("n1", &format!("touch /run/unfit; systemctl start {SERVICE}")).code(1);
    lab.ssh("n1", &facts).stdout("12 exit-code ");
    told().stdout_has("  n1  pre-check \"fit\": exit 1, needs exit 0").stdout_has("CHANGED SINCE ");
    lab.ssh("n1", "cat /etc/version; ls /home/ops/.local 2>/dev/null | wc -l").stdout("1\n0\n");
}
