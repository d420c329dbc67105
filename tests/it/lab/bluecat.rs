//! Distributed DDNS: a queue that drains, clients that leave when they like, and a status that is old.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{EFFECTS, Lab};
use crate::support::{PATIENCE, Pty, Size};

const NODES: [&str; 6] = ["app1", "data1", "data2", "data3", "svc1", "svc2"];

/// Boots the six nodes and waits until the database nodes say that all is synchronised.
fn cluster() -> Lab {
    let lab = Lab::system("bluecat");
    for node in ["data1", "data2", "data3"] {
        await_sync(&lab, node, "sync complete");
    }
    lab
}

/// Waits until the latest word of a database node on the synchronisation is this one.
fn await_sync(lab: &Lab, node: &str, word: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !lab.on_disk(node, "/var/log/ddns/database.log").trim_end().ends_with(word) {
        assert!(Instant::now() < deadline, "{node} does not say {word}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn said(lab: &Lab, node: &str, script: &str) -> String {
    lab.ssh(node, script).raw_stdout().trim().to_owned()
}

/// The application and data nodes were upgraded by hand.
fn upgraded_but_for_services(lab: &Lab) {
    for node in &NODES[..4] {
        lab.ssh(node, "echo 23.2.3 >/etc/ddns/version").code(0);
    }
    lab.ssh("data1", "ddns schema upgrade 23.2.3").code(0);
}

/// Sends messages over a connection that lasts; each is acknowledged.
fn send(lab: &Lab, node: &str, messages: &[&str]) -> TcpStream {
    let mut stream = TcpStream::connect((lab.address(node), 5300)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut acks = BufReader::new(stream.try_clone().unwrap());
    for message in messages {
        writeln!(stream, "{message}").unwrap();
        let mut ack = String::new();
        acks.read_line(&mut ack).unwrap();
        assert_eq!(ack, "ok\n");
    }
    stream
}

#[test]
fn bluecat_is_upgraded_in_the_guides_order_and_no_message_is_lost() {
    let lab = cluster();
    // A client that is there until the gate has seen it, and more than the processor has done by then.
    let client = send(&lab, "svc1", &["one", "two", "three", "four", "five", "six"]);
    let mut run = lab.start().limit(Duration::from_mins(5)).spawn();
    // Four nodes come before it.
    let deadline = Instant::now() + 4 * PATIENCE;
    while lab.times("svc1", "isolate on") == 0 {
        run.must_still_run();
        assert!(Instant::now() < deadline, "svc1 is not isolated");
        std::thread::sleep(Duration::from_millis(50));
    }
    // Isolated: nobody new comes in, and who is there is served to the end.
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect((lab.address("svc1"), 5300)).is_ok() {
        assert!(Instant::now() < deadline, "svc1 takes new clients though it is isolated");
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(lab.times("svc1", "upgrade"), 0, "it was upgraded with a client connected");
    drop(client);
    lab.await_lines("svc1", EFFECTS, 2);
    run.signal(Signal::KILL);
    assert_eq!(run.wait().exit_code(), 137);
    lab.resume().limit(Duration::from_mins(5)).run().code(0);

    let mut order = Vec::new();
    for node in NODES {
        assert_eq!(said(&lab, node, "ddns version"), "23.2.3", "{node}");
        assert_eq!(lab.times(node, "upgrade"), 1, "{node}");
        assert_eq!(lab.times(node, "installed 23.2.3"), 1, "{node}");
        order.push(said(&lab, node, "stat -c %.3Y /etc/ddns/version").parse::<f64>().unwrap());
        let stored = "! grep -rqs s3cret-registry /var/lib/rollgate";
        lab.ssh(node, stored).code(0);
    }
    assert!(order.is_sorted(), "{order:?}");
    for node in ["data1", "data2", "data3"] {
        assert_eq!(said(&lab, node, "ddns schema"), "23.2.3", "{node}");
        assert_eq!(lab.times(node, "schema 23.2.3"), usize::from(node == "data1"), "{node}");
    }
    for node in ["svc1", "svc2"] {
        let services =
            "systemctl is-active ddns-receiver ddns-processor ddns-queue; ls /etc/ddns; ddns queue depth";
        assert_eq!(
            said(&lab, node, services),
            "active\nactive\nactive\ncluster\nroles\nversion\n0",
            "{node}"
        );
        assert_eq!(lab.times(node, "isolate off"), 1, "{node}");
    }
    assert_eq!(lab.on_disk("data1", "/var/lib/ddns/records"), "one\ntwo\nthree\nfour\nfive\nsix\n");
    for (name, text) in lab.transcripts() {
        assert!(!text.contains("s3cret-registry"), "{name} has the password");
    }
}

#[test]
fn bluecats_gate_shows_who_is_there_and_closes_again() {
    let lab = cluster();
    upgraded_but_for_services(&lab);
    lab.edit(
        "procedure.yaml",
        "steady: 2\n        every: 1s\n        timeout: 30m",
        "every: 6s\n        timeout: 30m",
    );
    // A client, a message that the processor has its trouble with, and its connection that stays open for it.
    let client = send(&lab, "svc1", &["one", "stuck in the middle"]);
    lab.await_lines("svc1", "/var/log/ddns/processor.log", 2);
    let address = client.local_addr().unwrap().to_string();
    let pid = said(&lab, "svc1", "systemctl show -P MainPID ddns-processor");
    let mut pty = Pty::start(lab.rollgate(&["start", "--confirm", "ddns"]), Size { rows: 50, columns: 110 });
    pty.expect_within("gate \"isolated\" closed", Duration::from_mins(1));
    pty.expect_on_screen(&address).expect_on_screen("queue-empty").expect_on_screen("stuck in the middle");
    pty.expect_on_screen(&format!("{pid} "));
    drop(client);
    lab.ssh("svc1", "rm /var/lib/ddns/queue/*").code(0);
    pty.expect_on_screen("Is svc1 out of production?");
    // Between the reading and the yes.
    lab.ssh("svc1", "echo stuck >/var/lib/ddns/queue/late").code(0);
    pty.send("yes\n").expect("closed again, so the answer is void");
    pty.expect_on_screen("cannot process late: stuck");
    assert_eq!(lab.times("svc1", "upgrade"), 0);

    // The same three are read while it is upgraded: a no lets the step end, and begins nothing more.
    lab.misbehave("svc1", "slow");
    lab.ssh("svc1", "rm /var/lib/ddns/queue/*").code(0);
    pty.expect("gate \"isolated\" is open").expect("[yes/no]");
    pty.send("yes\n").expect("success: path from");
    lab.ssh("svc1", "echo stuck >/var/lib/ddns/queue/later").code(0);
    pty.expect("upgrade runs, and it does not hold: queue-empty 1, needs <= 0")
        .expect_on_screen("cannot process later: stuck")
        .expect_on_screen("A check stopped holding")
        .expect_on_screen("Go on when it has ended?");
    pty.send("no\n");
    pty.ends_with(11);
    assert_eq!(lab.times("svc1", "installed 23.2.3"), 1, "the upgrade is not interrupted");
    assert_eq!(lab.times("svc1", "isolate off"), 1, "and the node is let back in");
    assert_eq!(lab.times("svc2", "isolate on"), 0);
}

#[test]
fn bluecat_stops_where_a_node_misbehaves() {
    let lab = cluster();
    // Two roles and more on one machine.
    lab.ssh("svc2", "echo application data service >/etc/ddns/roles").code(0);
    lab.start().run().code(12).stderr_has("a 3-on-1 deployment cannot be rolled");
    lab.ssh("svc2", "echo service >/etc/ddns/roles").code(0);
    assert!(NODES.iter().all(|node| lab.on_disk(node, EFFECTS).is_empty()));

    lab.misbehave("data2", "stays-unsynchronised");
    await_sync(&lab, "data2", "sync pending: all");
    let resume = "start --resume --yes --confirm ddns";
    lab.resume().run().code(12).stderr_has("pending: all").stderr_has(resume);
    lab.misbehave("data2", "");
    await_sync(&lab, "data2", "sync complete");
    assert!(NODES.iter().all(|node| lab.on_disk(node, EFFECTS).is_empty()));

    // Exit 0 after a failed upgrade.
    lab.misbehave("app1", "exit-0-after-failure");
    let out = lab.resume().run();
    out.code(20).stderr_has("validation of the container failed").stderr_has(resume);
    assert!(NODES[1..].iter().all(|node| lab.on_disk(node, EFFECTS).is_empty()));
    lab.misbehave("app1", "unknown-state");

    // The status page says what nobody has heard of: not taken for done, and the node is let back in.
    upgraded_but_for_services(&lab);
    lab.resume().run().code(21).stderr_has("REBALANCING").stderr_has(resume);
    assert_eq!(lab.times("svc1", "isolate off"), 1);
    assert_eq!(said(&lab, "svc1", "systemctl is-active ddns-receiver"), "active");
    assert!(lab.on_disk("svc2", EFFECTS).is_empty());
    lab.misbehave("app1", "");
    // The page is polled, and says the old word for a while.
    let deadline = Instant::now() + PATIENCE;
    while said(&lab, "app1", "ddns status").contains("REBALANCING") {
        assert!(Instant::now() < deadline, "the status page is not read again");
        std::thread::sleep(Duration::from_millis(100));
    }
    lab.resume().run().code(0);
    for node in ["svc1", "svc2"] {
        assert_eq!(lab.times(node, "installed 23.2.3"), 1, "{node}");
    }
}
