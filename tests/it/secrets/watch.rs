//! Eyes on the command lines and environments of all processes of this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{Token, finds};

/// A process in whose command line or environment a trace was.
pub(super) struct Sighting {
    pid: u32,
    words: Vec<u8>,
    place: &'static str,
    first: Instant,
    last: Instant,
}

/// What a watch has seen.
pub(super) struct Seen {
    /// When each look began.
    pub(super) looks: Vec<Instant>,
    sightings: Vec<Sighting>,
}

impl Seen {
    /// The median of the times from one look to the next.
    pub(super) fn median_gap(&self) -> Duration {
        let mut gaps: Vec<Duration> = self.looks.windows(2).map(|pair| pair[1] - pair[0]).collect();
        gaps.sort();
        gaps[gaps.len() / 2]
    }

    /// The places where it saw a process.
    pub(super) fn places_of(&self, pid: u32) -> BTreeSet<&'static str> {
        self.sightings.iter().filter(|at| at.pid == pid).map(|at| at.place).collect()
    }

    /// How long it was looked.
    pub(super) fn elapsed(&self) -> Duration {
        *self.looks.last().unwrap() - self.looks[0]
    }

    /// Where a process had a trace, but for those that the test itself gave it.
    pub(super) fn beside(&self, own: &BTreeSet<u32>) -> Vec<String> {
        let by_test = |words: &[u8]| {
            self.sightings.iter().any(|sighting| own.contains(&sighting.pid) && sighting.words == words)
        };
        // A child has the words and the environment of its parent until it becomes another program.
        let is_becoming = |sighting: &Sighting| {
            by_test(&sighting.words) && sighting.last - sighting.first < Duration::from_millis(500)
        };
        let others = self.sightings.iter().filter(|sighting| !own.contains(&sighting.pid));
        others.filter(|sighting| !is_becoming(sighting)).map(Sighting::to_string).collect()
    }
}

impl std::fmt::Display for Sighting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = String::from_utf8_lossy(&self.words).replace('\0', " ");
        write!(f, "{} of {}: {words}", self.place, self.pid)
    }
}

/// Looks at the command lines and environments of all processes, over and over. Both sides are this machine.
pub(super) struct Watch {
    stop: Arc<AtomicBool>,
    watching: std::thread::JoinHandle<Seen>,
}

impl Watch {
    pub(super) fn over(traces: Vec<Vec<u8>>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let watching = std::thread::spawn(move || {
            let own = std::process::id();
            let mut seen = Seen { looks: Vec::new(), sightings: Vec::new() };
            // What a process was called with stays what it is until it becomes another program.
            let mut harmless: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
            while !until.load(Ordering::Relaxed) {
                seen.looks.push(Instant::now());
                for entry in fs::read_dir("/proc").unwrap().flatten() {
                    let Ok(pid) = entry.file_name().to_string_lossy().parse() else { continue };
                    if pid == own {
                        continue;
                    }
                    // It may have ended in this moment.
                    let read = |file: &str| fs::read(entry.path().join(file)).unwrap_or_default();
                    let words = read("cmdline");
                    if harmless.get(&pid) == Some(&words) {
                        continue;
                    }
                    let environment = read("environ");
                    // Between its two lives it has the environment of one and the words of the other.
                    if read("cmdline") != words {
                        continue;
                    }
                    let places = [("the command line", &words), ("the environment", &environment)];
                    let held: Vec<_> =
                        places.into_iter().filter(|(_, bytes)| finds(&traces, bytes)).collect();
                    if held.is_empty() {
                        harmless.insert(pid, words);
                        continue;
                    }
                    for (place, _) in held {
                        seen.saw(pid, &words, place);
                    }
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            seen
        });
        Self { stop, watching }
    }

    pub(super) fn end(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.watching.join().unwrap()
    }
}

impl Seen {
    fn saw(&mut self, pid: u32, words: &[u8], place: &'static str) {
        let now = Instant::now();
        let same = |known: &&mut Sighting| known.pid == pid && known.place == place && known.words == words;
        match self.sightings.iter_mut().find(same) {
            Some(known) => known.last = now,
            None => {
                self.sightings.push(Sighting { pid, words: words.to_vec(), place, first: now, last: now });
            }
        }
    }
}

/// A process that has the token in its command line and its environment: a watch that does not see it is blind.
pub(super) struct Decoy(Child);

impl Decoy {
    pub(super) fn with(token: &Token) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", "read -r _", &token.of("decoy")]).env("RG_DECOY", token.of("decoy"));
        Self(command.stdin(Stdio::piped()).spawn().unwrap())
    }

    pub(super) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Decoy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
