//! Skudonet: two nodes that share an address, and a page that wants it to answer all the while.

use std::fs;
use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{EFFECTS, Lab};
use crate::support::{Invocation, PATIENCE};

const MASTER: &str = "zva5n1";
const BACKUP: &str = "zva5n2";

/// The longest that the address may be with nobody: the heartbeat's second, and what a handover takes.
const FAILOVER: Duration = Duration::from_millis(1500);

/// A client that asks the virtual address every 100 ms.
struct Client {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<Vec<(Instant, Option<String>)>>,
}

/// What a client saw.
struct Seen {
    asked: usize,
    /// From the first question that nobody answered to the next answer.
    interruptions: Vec<Duration>,
    /// Each answer that differs from the one before.
    answers: Vec<String>,
}

impl Client {
    fn start(lab: &Lab) -> Self {
        let net = lab.address(MASTER).rsplit_once('.').unwrap().0.to_owned();
        let address: SocketAddr = format!("{net}.100:8080").parse().unwrap();
        let ends = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ends);
        let thread = std::thread::spawn(move || {
            let mut log = Vec::new();
            while !seen.load(Ordering::Relaxed) {
                let begun = Instant::now();
                log.push((begun, ask(address)));
                std::thread::sleep(Duration::from_millis(100).saturating_sub(begun.elapsed()));
            }
            log
        });
        Self { ends, thread }
    }

    fn end(self) -> Seen {
        self.ends.store(true, Ordering::Relaxed);
        let log = self.thread.join().unwrap();
        let mut seen = Seen { asked: log.len(), interruptions: Vec::new(), answers: Vec::new() };
        let mut since = None;
        for (at, answer) in log {
            match answer {
                None => _ = since.get_or_insert(at),
                Some(answer) => {
                    seen.interruptions.extend(since.take().map(|since: Instant| at - since));
                    if seen.answers.last() != Some(&answer) {
                        seen.answers.push(answer);
                    }
                }
            }
        }
        assert!(since.is_none(), "nobody answers in the end");
        seen
    }
}

fn ask(address: SocketAddr) -> Option<String> {
    let patience = Duration::from_millis(300);
    let mut stream = TcpStream::connect_timeout(&address, patience).ok()?;
    stream.set_read_timeout(Some(patience)).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    (!answer.is_empty()).then(|| answer.trim().to_owned())
}

/// Boots the two nodes and waits until each has its role.
fn cluster() -> Lab {
    let lab = Lab::system("skudonet");
    await_role(&lab, MASTER, "master");
    lab
}

#[track_caller]
fn await_role(lab: &Lab, node: &str, role: &str) {
    let deadline = Instant::now() + PATIENCE;
    while lab.on_disk(node, "/usr/local/skudonet/node_status").trim() != role {
        assert!(Instant::now() < deadline, "{node} does not become {role}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A node's state, as the page's last paragraph wants it looked at, a line each.
fn state(lab: &Lab, node: &str) -> String {
    let script = "zcluster status
        dpkg-query -W -f 'package=${Version}\\n' skudonet
        echo changed=$(dpkg --verify skudonet | wc -l)
        echo serves=$(bash -c 'exec 3<>/dev/tcp/127.0.0.1/8080; cat <&3' | cut -d ' ' -f 2)
        echo shut-out=$(grep -c ^sshd: /etc/hosts.deny)
        echo left=$(ls /etc | grep -c 'hosts.deny.')
        echo zeninotify=$(pgrep -fc '[e]nterprise.bin zeninotify run')";
    lab.ssh(node, script).raw_stdout().to_owned()
}

/// Waits for a state: what is handed over is so in a moment.
#[track_caller]
fn await_state(lab: &Lab, node: &str, role: &str, version: &str, zeninotify: u8) {
    let wanted = format!(
        "role={role}\nmaintenance=off\npackage={version}\nchanged=0\nserves={version}\nshut-out=0\nleft=0\nzeninotify={zeninotify}\n"
    );
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let found = state(lab, node);
        if found == wanted || Instant::now() > deadline {
            assert_eq!(found, wanted, "{node}");
            return;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// From the moment when one has the role first: how long two of them had it, and the longest that nobody had.
/// The nodes share a kernel, and so a clock.
fn masters(lab: &Lab) -> (Duration, Duration) {
    let mut changes: Vec<(u64, bool, &str)> = Vec::new();
    for node in [MASTER, BACKUP] {
        for line in lab.on_disk(node, "/var/log/zcluster.log").lines() {
            let (at, role) = line.split_once(' ').unwrap();
            changes.push((at.replace('.', "").parse().unwrap(), role == "master", node));
        }
    }
    // Who lets go in the same hundredth of a second did so before the other one took it.
    changes.sort_unstable();
    let (mut holders, mut two, mut none, mut last) = (Vec::new(), 0, 0, None);
    for (at, has, node) in changes {
        match (last, holders.len()) {
            (Some(last), 2) => two += at - last,
            (Some(last), 0) => none = none.max(at - last),
            _ => {}
        }
        holders.retain(|holder| *holder != node);
        if has {
            holders.push(node);
        }
        last = (has || last.is_some()).then_some(at);
    }
    (Duration::from_millis(two * 10), Duration::from_millis(none * 10))
}

/// The client and the roles, said and judged.
#[track_caller]
fn never_down(lab: &Lab, client: Client, answers: &[&str]) {
    let seen = client.end();
    let (two, none) = masters(lab);
    println!(
        "{} questions, one every 100 ms; interruptions: {} {:?}; two MASTERs: {two:?}; longest without one: {none:?}",
        seen.asked,
        seen.interruptions.len(),
        seen.interruptions
    );
    assert_eq!(seen.answers, answers);
    assert_eq!(two, Duration::ZERO, "there were two MASTERs");
    assert!(none <= FAILOVER, "nobody was MASTER for {none:?}");
    assert!(seen.interruptions.len() < answers.len(), "more interruptions than changes of the role");
    assert!(seen.interruptions.iter().all(|length| *length <= FAILOVER), "{:?}", seen.interruptions);
}

fn rollback(lab: &Lab) -> Invocation {
    lab.rollgate(&["rollback", "--yes", "--confirm", "skudonet"])
}

#[test]
fn skudonet_is_updated_and_taken_back() {
    let lab = cluster();
    let deny = lab.ssh(MASTER, "cat /etc/hosts.deny").raw_stdout().to_owned();
    let client = Client::start(&lab);
    lab.start().run().code(0);
    // Without fail-back the role is moved back by maintenance mode, as at first.
    await_state(&lab, MASTER, "master", "6.1.0", 1);
    await_state(&lab, BACKUP, "backup", "6.1.0", 0);
    never_down(&lab, client, &["zva5n1 6.0.1", "zva5n2 6.1.0", "zva5n1 6.1.0"]);
    assert_eq!(lab.on_disk(MASTER, "/etc/hosts.deny"), deny);
    for node in [MASTER, BACKUP] {
        assert_eq!(lab.times(node, "checkupgrades -i"), 1, "{node}");
        assert_eq!(lab.times(node, "installed 6.1.0"), 1, "{node}");
    }
    assert_eq!(lab.times(BACKUP, "maintenance on"), 1);
    assert_eq!(lab.times(BACKUP, "maintenance off"), 1);
    assert_eq!(lab.times(MASTER, "maintenance on"), 0);
    // The new MASTER wanted to replicate to the old one while that was being updated, and sshd refused it.
    let refused = lab.on_disk(BACKUP, "/var/log/zeninotify.log");
    assert!(refused.contains("rsync error"), "the line in hosts.deny was not tried: {refused}");

    rollback(&lab).run().code(0);
    await_state(&lab, MASTER, "master", "6.0.1", 1);
    await_state(&lab, BACKUP, "backup", "6.0.1", 0);
}

/// The other branch of everything: fail-back, the offline package, nobody's repository; and rollgate is killed in
/// the middle of both installations.
#[test]
fn skudonet_with_fail_back_and_an_offline_package_survives_a_kill() {
    let lab = cluster();
    lab.edit("inventory.yaml", "update: online", "update: offline");
    for node in [MASTER, BACKUP] {
        lab.ssh(node, "rm -r /var/lib/skudonet-repository; rm -rf /var/lib/apt/lists/*").code(0);
        lab.ssh(node, "sed -i s/disabled/enabled/ /usr/local/skudonet/config/cluster.conf").code(0);
    }
    let client = Client::start(&lab);
    for (node, lines) in [(BACKUP, 1), (MASTER, 2)] {
        let mut run = if node == BACKUP { lab.start() } else { lab.resume() }.spawn();
        lab.await_lines(node, EFFECTS, lines);
        run.signal(Signal::KILL);
        assert_eq!(run.wait().exit_code(), 137);
        assert_eq!(lab.times(node, "offline package"), 1, "{node}");
    }
    lab.resume().run().code(0);
    await_state(&lab, MASTER, "master", "6.1.0", 1);
    await_state(&lab, BACKUP, "backup", "6.1.0", 0);
    never_down(&lab, client, &["zva5n1 6.0.1", "zva5n2 6.1.0", "zva5n1 6.1.0"]);
    for node in [MASTER, BACKUP] {
        assert_eq!(lab.times(node, "offline package"), 1, "{node}");
        assert_eq!(lab.times(node, "installed 6.1.0"), 1, "{node}");
        assert_eq!(lab.times(node, "checkupgrades -i"), 0, "{node}");
        assert_eq!(lab.times(node, "maintenance on"), 0, "{node}");
    }
}

/// Nothing was begun on either node, and nothing is left of what was.
#[track_caller]
fn untouched(lab: &Lab) {
    await_state(lab, MASTER, "master", "6.0.1", 1);
    await_state(lab, BACKUP, "backup", "6.0.1", 0);
    assert_eq!(lab.times(MASTER, "checkupgrades -i"), 0);
}

const RESUME: &str = "start --resume --yes --confirm skudonet";

#[test]
fn skudonet_stops_before_the_master_where_the_backup_misbehaves() {
    let lab = cluster();
    lab.edit("procedure.yaml", "timeout: 20m", "timeout: 8s");
    lab.edit("procedure.yaml", "timeout: 30s", "timeout: 6s");

    // The way in leads over the node that is to be shut out.
    lab.edit("inventory.yaml", "  connect_timeout", "  jump: [zva5n2]\n  connect_timeout");
    let elsewhere = |run: Invocation| run.env("ROLLGATE_STATE_DIR", lab.path("jump")).run();
    elsewhere(lab.start()).code(12).stderr_has("reach zva5n1 from elsewhere, without zva5n2 as a jump host");
    untouched(&lab);
    elsewhere(lab.rollgate(&["unstage", "--yes"])).code(0);
    lab.edit("inventory.yaml", "  jump: [zva5n2]\n", "");

    // There is no snapshot: the gate stays closed.
    fs::write(lab.dir.join("misbehave"), "no-snapshot\n").unwrap();
    let gate = lab.rollgate(&["start", "--yes", "--confirm", "skudonet", "--gate-timeout", "3s"]);
    gate.run().code(10).stderr_has("they are the only way back").stderr_has(RESUME);
    untouched(&lab);
    fs::remove_file(lab.dir.join("misbehave")).unwrap();

    // Something starts zeninotify again.
    lab.misbehave(MASTER, "zeninotify-comes-back");
    lab.resume().run().code(15).stderr_has("something starts it again").stderr_has(RESUME);
    lab.misbehave(MASTER, "");
    untouched(&lab);

    // Exit 0 and "up-to-date" after a package that failed; one that asks what nobody can know.
    for (number, word) in ["exit-0-after-failure", "asks-on-stdin"].into_iter().enumerate() {
        lab.misbehave(BACKUP, word);
        let out = lab.resume().run();
        out.code(20).stderr_has("6.0.1 installed, 1 pending").stderr_has(RESUME).stderr_has("rollback");
        out.stderr_has("for the vendor's ticket: zva5n2:/var/tmp/skudonet-support.tar.gz");
        assert_eq!(lab.times(BACKUP, "checkupgrades -i"), number + 1);
        untouched(&lab);
        let said: String = lab.transcripts().into_iter().map(|(_, text)| text).collect();
        assert!(said.contains("Packages are up-to-date."), "{said}");
    }
    let bundle = lab.ssh(BACKUP, "tar -tzf /var/tmp/skudonet-support.tar.gz").raw_stdout().to_owned();
    assert!(bundle.contains("var/log/checkupgrades-rollgate.log\n"), "{bundle}");

    // It never ends.
    lab.misbehave(BACKUP, "hangs");
    lab.resume().run().code(20).stderr_has("8s").stderr_has(RESUME);
    untouched(&lab);

    // What was ended in the middle wants the operator first; dpkg says what he is to type.
    lab.misbehave(BACKUP, "");
    lab.resume().run().code(20).stderr_has("you must manually run 'dpkg --configure -a'").stderr_has(RESUME);
    untouched(&lab);
    lab.ssh(BACKUP, "dpkg --configure -a").code(0);
    lab.resume().run().code(0);
    await_state(&lab, MASTER, "master", "6.1.0", 1);
    await_state(&lab, BACKUP, "backup", "6.1.0", 0);
}

/// The operator sits behind the node that is shut out. He is refused; whoever does it all the same is opened to
/// again: by rollgate while it lives, else by the node.
#[test]
fn skudonet_opens_itself_again_for_an_operator_behind_the_backup() {
    let lab = cluster();
    let deny = lab.ssh(MASTER, "cat /etc/hosts.deny").raw_stdout().to_owned();
    lab.edit("inventory.yaml", "  connect_timeout", "  jump: [zva5n2]\n  connect_timeout");
    lab.edit("procedure.yaml", "revert_after: 2m", "revert_after: 30s");
    lab.start().run().code(12).stderr_has("reach zva5n1 from elsewhere, without zva5n2 as a jump host");
    untouched(&lab);

    let passed = ["--override", "shut the backup out of sshd=somebody is at the console"];
    let out = lab.resume().args(passed).run();
    out.code(15).stderr_has("zva5n1 took no new login after it, so it is undone");
    assert_eq!(lab.on_disk(MASTER, "/etc/hosts.deny"), deny);
    untouched(&lab);

    let mut run = lab.resume().args(passed).spawn();
    let deadline = Instant::now() + PATIENCE;
    let is_shut = || lab.on_disk(MASTER, "/etc/hosts.deny").lines().any(|line| line.starts_with("sshd: "));
    while !is_shut() {
        assert!(Instant::now() < deadline, "the backup is not shut out");
        std::thread::sleep(Duration::from_millis(20));
    }
    run.signal(Signal::KILL);
    assert_eq!(run.wait().exit_code(), 137);
    assert!(is_shut(), "it was undone before rollgate was killed");
    let begun = Instant::now();
    lab.rollgate(&["status", "--offline"]).run().stdout_has("armed: zva5n1 undoes drain");
    while is_shut() {
        assert!(begun.elapsed() < PATIENCE, "the node does not open itself");
        std::thread::sleep(Duration::from_millis(50));
    }
    // The node's own timer is what opens it: not sooner, and not by somebody who came by later.
    let after = jiff::Timestamp::now().duration_since(armed_at(&lab));
    println!("killed, and shut out; open again {after:#} after it was armed");
    assert!((25..45).contains(&after.as_secs()), "{after:#} after it was armed");

    // The way in is there again, and the run knows who opened it.
    let out = lab.resume().run();
    out.code(12).stderr_has("zva5n1 undid it by itself, so it counts as not made");
    out.stderr_has("without zva5n2 as a jump host");
    assert_eq!(lab.on_disk(MASTER, "/etc/hosts.deny"), deny);
    lab.rollgate(&["unstage", "--yes"]).run().code(0);
    untouched(&lab);
}

/// When a node was last asked to undo a step by itself.
fn armed_at(lab: &Lab) -> jiff::Timestamp {
    let journal = fs::read_to_string(lab.run_dir().unwrap().join("journal.ndjson")).unwrap();
    let armed =
        journal.lines().rfind(|line| line.contains("\"revert_armed\"")).expect("it is in the journal");
    let record: serde_json::Value = serde_json::from_str(armed).unwrap();
    record["at"].as_str().unwrap().parse().unwrap()
}

#[test]
fn skudonet_keeps_the_backup_shut_out_while_it_is_newer() {
    let lab = cluster();
    lab.edit("procedure.yaml", "timeout: 2m", "timeout: 6s");
    let pause = lab.rollgate(&["start", "--yes", "--confirm", "skudonet", "--pause-after", BACKUP]);
    // Taking the changes back now would make the updated node the old one again.
    pause.run().code(17).stderr_has("zva5n2 has 6.1.0 and this node 6.0.1").stderr_has(RESUME);
    let master = state(&lab, MASTER);
    assert!(master.ends_with("shut-out=1\nleft=1\nzeninotify=0\n"), "{master}");
    lab.rollgate(&["status"]).run().stdout_has("stop zeninotify");
    await_state(&lab, BACKUP, "backup", "6.1.0", 0);

    // The package says that it is installed, and the old version serves on.
    lab.misbehave(MASTER, "no-restart");
    lab.resume().run().code(21).stderr_has(RESUME).stderr_has("rollback");
    lab.misbehave(MASTER, "");
    assert!(
        state(&lab, MASTER)
            .contains("role=master\nmaintenance=off\npackage=6.1.0\nchanged=0\nserves=6.0.1\n")
    );
    assert!(state(&lab, MASTER).ends_with("shut-out=0\nleft=0\nzeninotify=1\n"));

    // The operator restarts it by hand and goes on.
    lab.ssh(MASTER, "systemctl stop zcluster; systemctl restart skudonet; systemctl start zcluster").code(0);
    lab.resume().run().code(0);
    await_state(&lab, MASTER, "master", "6.1.0", 1);
    await_state(&lab, BACKUP, "backup", "6.1.0", 0);
    for node in [MASTER, BACKUP] {
        assert_eq!(lab.times(node, "checkupgrades -i"), 1, "{node}");
    }
}
