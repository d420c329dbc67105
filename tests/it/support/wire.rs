//! A wire to a node that can be cut: while it is, nothing passes and nobody is told.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use super::{Cluster, PATIENCE};

const BEAT: Duration = Duration::from_millis(5);

/// What all connections over one wire have in common.
#[derive(Debug, Default)]
struct State {
    /// The bytes that have reached the node, but for those that a cut held up.
    carried: AtomicU64,
    /// It is cut when so many have; 0 is never.
    cut_at: AtomicU64,
    is_cut: AtomicBool,
    /// How often it has been cut.
    cuts: AtomicU64,
    /// What the last cut held up goes on when so many bytes have been carried.
    held_until: AtomicU64,
    /// The connections that were made since the last cut.
    made_since: AtomicU64,
    has_ended: AtomicBool,
}

impl State {
    fn passes(&self, cuts: u64) -> bool {
        if self.is_cut.load(Ordering::SeqCst) {
            return false;
        }
        let is_new = self.cuts.load(Ordering::SeqCst) == cuts;
        is_new || self.carried.load(Ordering::SeqCst) >= self.held_until.load(Ordering::SeqCst)
    }

    fn cut(&self) {
        self.cut_at.store(0, Ordering::SeqCst);
        self.made_since.store(0, Ordering::SeqCst);
        self.cuts.fetch_add(1, Ordering::SeqCst);
        self.is_cut.store(true, Ordering::SeqCst);
    }

    /// Carries what comes from one end to the other, in the order of things: `cuts` had been when it began.
    fn carry(&self, mut from: TcpStream, mut to: TcpStream, is_up: bool, cuts: u64) {
        from.set_read_timeout(Some(BEAT * 4)).unwrap();
        let mut bytes = vec![0; 1 << 16];
        while !self.has_ended.load(Ordering::SeqCst) {
            if !self.passes(cuts) {
                sleep(BEAT);
                continue;
            }
            let read = match from.read(&mut bytes) {
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
                Err(_) | Ok(0) => break,
                Ok(read) => read,
            };
            while !self.passes(cuts) && !self.has_ended.load(Ordering::SeqCst) {
                sleep(BEAT);
            }
            if to.write_all(&bytes[..read]).is_err() {
                break;
            }
            if is_up && self.cuts.load(Ordering::SeqCst) == cuts {
                let carried = self.carried.fetch_add(read as u64, Ordering::SeqCst) + read as u64;
                let cut_at = self.cut_at.load(Ordering::SeqCst);
                if cut_at > 0 && carried >= cut_at {
                    self.cut();
                }
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    }
}

/// A wire. Dropping it ends what goes over it.
#[derive(Debug)]
pub(crate) struct Wire {
    state: Arc<State>,
    accepting: Option<JoinHandle<()>>,
}

impl Wire {
    /// Puts a wire before a node of a cluster; rollgate reaches it over that one only.
    pub(crate) fn to(cluster: &Cluster, node: &str) -> Self {
        let server = cluster.sshd(node).port();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let known = fs::read_to_string(&cluster.keys().known_hosts).unwrap();
        fs::write(
            &cluster.keys().known_hosts,
            known.clone() + &known.replace(&format!("]:{server} "), &format!("]:{port} ")),
        )
        .unwrap();
        let inventory = fs::read_to_string(cluster.path("inventory.yaml")).unwrap();
        cluster.write(
            "inventory.yaml",
            &inventory.replace(&format!("port: {server}\n"), &format!("port: {port}\n")),
        );
        let state = Arc::new(State::default());
        listener.set_nonblocking(true).unwrap();
        let shared = Arc::clone(&state);
        let accepting = spawn(move || {
            while !shared.has_ended.load(Ordering::SeqCst) {
                let Ok((here, _)) = listener.accept() else {
                    sleep(BEAT);
                    continue;
                };
                here.set_nonblocking(false).unwrap();
                shared.made_since.fetch_add(1, Ordering::SeqCst);
                let Ok(there) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)) else { continue };
                let cuts = shared.cuts.load(Ordering::SeqCst);
                let (up, down) = (Arc::clone(&shared), Arc::clone(&shared));
                let (mine, theirs) = (here.try_clone().unwrap(), there.try_clone().unwrap());
                spawn(move || up.carry(here, there, true, cuts));
                spawn(move || down.carry(theirs, mine, false, cuts));
            }
        });
        Self { state, accepting: Some(accepting) }
    }

    /// Cuts it when so many bytes have gone to the node.
    pub(crate) fn cut_at(&self, bytes: u64) {
        self.state.cut_at.store(bytes, Ordering::SeqCst);
    }

    /// Cuts it now.
    pub(crate) fn cut(&self) {
        self.state.cut();
    }

    /// Waits until somebody who was cut off has knocked so many times.
    #[track_caller]
    pub(crate) fn await_knocks(&self, times: u64) {
        let until = Instant::now() + PATIENCE;
        while !self.state.is_cut.load(Ordering::SeqCst)
            || self.state.made_since.load(Ordering::SeqCst) < times
        {
            assert!(Instant::now() < until, "nobody knocks: {:?}", self.state);
            sleep(BEAT);
        }
    }

    /// How often somebody who was cut off has knocked.
    pub(crate) fn knocks(&self) -> u64 {
        self.state.made_since.load(Ordering::SeqCst)
    }

    /// Mends it. What was on its way over the connections of before arrives when so many bytes more have come over
    /// new ones.
    pub(crate) fn mend(&self, after: u64) {
        self.state.held_until.store(self.carried() + after, Ordering::SeqCst);
        self.state.is_cut.store(false, Ordering::SeqCst);
    }

    /// The bytes that have reached the node, but for those that a cut held up.
    pub(crate) fn carried(&self) -> u64 {
        self.state.carried.load(Ordering::SeqCst)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.state.has_ended.store(true, Ordering::SeqCst);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}
