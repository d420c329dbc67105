//! The world around the service: clients that hold connections and move on when they are asked to,
//! producers that fill the queues, and a probe that measures what the users of the service saw.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Clients that are connected to each node on average.
const CLIENTS_PER_NODE: usize = 3;

/// The depth at which producers hold the queues.
pub(crate) const DEPTH: usize = 90;

/// How often it is asked whether at least one node serves.
const PROBE_EVERY: Duration = Duration::from_millis(50);

/// How long a client waits for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// What was measured.
#[derive(Debug, Default)]
struct Counts {
    stop: AtomicBool,
    producers_stop: AtomicBool,
    connected: AtomicU64,
    moved: AtomicU64,
    cut_off: AtomicU64,
    accepted: AtomicU64,
    served: AtomicU64,
    missed: AtomicU64,
}

impl Counts {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// What the users of the service saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// How often at least one node served when that was asked.
    pub(crate) served: u64,
    /// How often none did.
    pub(crate) missed: u64,
    /// How often a client left a node because it was asked to.
    pub(crate) moved: u64,
    /// How often a connection ended without that.
    pub(crate) cut_off: u64,
    /// Messages that a node took.
    pub(crate) accepted: u64,
}

/// The running pool. Dropping it ends its threads.
#[derive(Debug)]
pub(crate) struct Clients {
    counts: Arc<Counts>,
    threads: Vec<JoinHandle<()>>,
    count: u64,
}

impl Clients {
    /// Starts clients, producers and the probe against services on these ports of 127.0.0.1.
    pub(crate) fn start(ports: &[u16]) -> Self {
        let nodes: Vec<SocketAddr> = ports.iter().map(|port| (Ipv4Addr::LOCALHOST, *port).into()).collect();
        let counts = Arc::new(Counts::default());
        let count = nodes.len() * CLIENTS_PER_NODE;
        let mut threads = Vec::new();
        for number in 0..count {
            let (nodes, counts) = (nodes.clone(), Arc::clone(&counts));
            threads.push(thread::spawn(move || client(number, &nodes, &counts)));
        }
        for node in nodes.clone() {
            let counts = Arc::clone(&counts);
            threads.push(thread::spawn(move || produce(node, &counts)));
        }
        let probed = Arc::clone(&counts);
        threads.push(thread::spawn(move || probe(&nodes, &probed)));
        Self { counts, threads, count: count as u64 }
    }

    /// How many clients there are.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// How many of them are connected.
    pub(crate) fn connected(&self) -> u64 {
        self.counts.connected.load(Ordering::Relaxed)
    }

    /// Stops the producers, so that the queues run empty.
    pub(crate) fn stop_producers(&self) {
        self.counts.producers_stop.store(true, Ordering::Relaxed);
    }

    /// What was seen so far.
    pub(crate) fn seen(&self) -> Seen {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Seen {
            served: read(&self.counts.served),
            missed: read(&self.counts.missed),
            moved: read(&self.counts.moved),
            cut_off: read(&self.counts.cut_off),
            accepted: read(&self.counts.accepted),
        }
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.counts.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so itself.
            let _ = thread.join();
        }
    }
}

/// A connection that asks line by line.
struct Connection {
    out: TcpStream,
    lines: BufReader<TcpStream>,
}

impl Connection {
    fn open(node: SocketAddr, purpose: &str) -> Option<Self> {
        let mut out = TcpStream::connect_timeout(&node, ANSWER_LIMIT).ok()?;
        out.set_read_timeout(Some(ANSWER_LIMIT)).ok()?;
        out.set_nodelay(true).ok()?;
        writeln!(out, "{purpose}").ok()?;
        let lines = BufReader::new(out.try_clone().ok()?);
        Some(Self { out, lines })
    }

    /// Sends one request; nothing comes back where the connection has ended.
    fn ask(&mut self, request: &str) -> Option<String> {
        writeln!(self.out, "{request}").ok()?;
        let mut line = String::new();
        self.lines.read_line(&mut line).ok()?;
        line.ends_with('\n').then(|| line.trim_end().to_owned())
    }
}

/// How a client's stay at a node ended.
enum Parting {
    /// It was asked to leave, or went home by itself.
    Left,
    /// The connection broke.
    CutOff,
}

/// One client: stays connected to some node, prefers its own, leaves when asked to.
fn client(number: usize, nodes: &[SocketAddr], counts: &Counts) {
    let name = format!("client viewer-{}", number + 1);
    let home = number % nodes.len();
    while !counts.stopped() {
        let mut choices = (0..nodes.len()).map(|step| (home + step) % nodes.len());
        let Some((at, mut connection)) = choices.find_map(|at| Some((at, enter(nodes[at], &name)?))) else {
            thread::sleep(PROBE_EVERY);
            continue;
        };
        counts.connected.fetch_add(1, Ordering::Relaxed);
        let parting = stay(&mut connection, (at != home).then_some(nodes[home]), number, counts);
        counts.connected.fetch_sub(1, Ordering::Relaxed);
        match parting {
            _ if counts.stopped() => {}
            Parting::Left => drop(counts.moved.fetch_add(1, Ordering::Relaxed)),
            Parting::CutOff => drop(counts.cut_off.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

/// Connects to a node that takes clients, as `client NAME` or `probe`.
fn enter(node: SocketAddr, purpose: &str) -> Option<Connection> {
    let mut connection = Connection::open(node, purpose)?;
    connection.ask("beat").filter(|answer| answer.starts_with("beat"))?;
    Some(connection)
}

/// Stays at a node until the end of that.
fn stay(connection: &mut Connection, home: Option<SocketAddr>, number: usize, counts: &Counts) -> Parting {
    for beat in 1.. {
        thread::sleep(PROBE_EVERY);
        if counts.stopped() {
            break;
        }
        match connection.ask("beat").as_deref() {
            Some("leave") => {
                // Whoever is at work finishes it first, one sooner, another later.
                thread::sleep(Duration::from_millis(500 + 350 * number as u64));
                return if connection.ask("beat").is_some() { Parting::Left } else { Parting::CutOff };
            }
            Some(_) => {}
            None => return Parting::CutOff,
        }
        let wants_home = beat % 40 == 0;
        if wants_home && home.is_some_and(|home| enter(home, "probe").is_some()) {
            break;
        }
    }
    Parting::Left
}

/// Keeps one node's queue filled while it takes messages.
fn produce(node: SocketAddr, counts: &Counts) {
    let ended = || counts.stopped() || counts.producers_stop.load(Ordering::Relaxed);
    while !ended() {
        if let Some(mut connection) = Connection::open(node, "producer") {
            while !ended() {
                let answer = connection.ask("put");
                let Some(depth) = answer.as_deref().and_then(|answer| answer.strip_prefix("queued ")) else {
                    break;
                };
                counts.accepted.fetch_add(1, Ordering::Relaxed);
                if depth.parse().is_ok_and(|depth: usize| depth >= DEPTH) {
                    thread::sleep(PROBE_EVERY);
                }
            }
        }
        thread::sleep(PROBE_EVERY * 4);
    }
}

/// Asks again and again whether any node serves a newcomer.
fn probe(nodes: &[SocketAddr], counts: &Counts) {
    while !counts.stopped() {
        let serves = nodes.iter().any(|node| enter(*node, "probe").is_some());
        let count = if serves { &counts.served } else { &counts.missed };
        count.fetch_add(1, Ordering::Relaxed);
        thread::sleep(PROBE_EVERY);
    }
}
