//! What becomes of a job's output: the transcript, the screen, the tail; all of that masked. What a step captures is
//! read from what it printed, and stays in memory.

use std::collections::VecDeque;
use std::fmt::Display;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use zeroize::Zeroizing;

use super::desk::Desk;
use super::secrets::Secrets;
use super::worker::Assignment;
use crate::model::event::Notice;
use crate::model::plan::StepKey;
use crate::model::words;
use crate::transport::{OutputSink, Stream};

/// Lines of output that go into a failure.
const TAIL: usize = 20;
/// Bytes of standard output that a capture may have.
const MOST: usize = 1 << 20;
/// Bytes of a transcript: a node that prints without end shall not fill this machine's disk.
const TRANSCRIPT: u64 = 1 << 30;

/// Takes a job's output, over as many connections as it comes.
pub(super) struct Output {
    key: StepKey,
    desk: Desk,
    secrets: Secrets,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    transcript: Option<(File, PathBuf)>,
    tail: VecDeque<String>,
    stdout: Zeroizing<Vec<u8>>,
    /// Why that is not all that the job printed.
    cut: Option<String>,
    /// The end of a line that came in part, as long as it may be the beginning of a secret.
    held: [Vec<u8>; 2],
    taken: [u64; 2],
}

impl Output {
    /// Begins with nothing. A job that is followed again from its first byte has its transcript written anew:
    /// the node has all of it.
    pub(super) fn new(at: &Assignment) -> Self {
        Self::begun(at, false)
    }

    /// The same for the step's undo, which leaves the transcript of what it undoes as it is.
    pub(super) fn of_undo(at: &Assignment) -> Self {
        Self::begun(at, true)
    }

    fn begun(at: &Assignment, is_undo: bool) -> Self {
        let output = Self::aside(at);
        if let Some(run) = &at.site.run_dir {
            let path = run.transcript_path(&at.key, is_undo, at.attempt);
            match run.begin_transcript(&at.key, is_undo, at.attempt) {
                Ok(file) => {
                    at.desk.notify(Notice::Transcript { key: at.key.clone(), path: path.clone() });
                    output.kept().transcript = Some((file, path));
                }
                Err(error) => output.is_not_kept(&error),
            }
        }
        output
    }

    /// For a job that is none of the step's own attempts: it is shown, and has no transcript.
    pub(super) fn aside(at: &Assignment) -> Self {
        Self {
            key: at.key.clone(),
            desk: at.desk.clone(),
            secrets: at.site.secrets().clone(),
            kept: Mutex::default(),
        }
    }

    /// Bytes taken so far, of output and error output: where to go on.
    pub(super) fn taken(&self) -> [u64; 2] {
        self.kept().taken
    }

    pub(super) fn tail(&self) -> Vec<String> {
        self.settle();
        self.kept().tail.iter().cloned().collect()
    }

    /// Standard output, or why not all of it is here.
    pub(super) fn stdout(&self) -> Result<String, String> {
        let kept = self.kept();
        match &kept.cut {
            Some(why) => Err(why.clone()),
            None => Ok(String::from_utf8_lossy(&kept.stdout).into_owned()),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The step is worth more than its transcript: it goes on, and the operator knows what will be missing.
    fn is_not_kept(&self, error: &impl Display) {
        let text = format!("{error}; the output of this step is not kept from here on");
        self.desk.notify(Notice::Said { node: Some(self.key.node.clone()), text });
    }
}

impl OutputSink for Output {
    fn line(&self, from: Stream, line: &[u8]) {
        let mut kept = self.kept();
        kept.taken[usize::from(from == Stream::Err)] += line.len() as u64;
        if from == Stream::Out && kept.cut.is_none() {
            if kept.stdout.len() + line.len() <= MOST {
                kept.stdout.extend_from_slice(line);
            } else {
                kept.cut = Some(format!("it is longer than {}", words::size(MOST as u64)));
            }
        }
        let mask = self.secrets.masking();
        let held = &mut kept.held[usize::from(from == Stream::Err)];
        held.extend_from_slice(line);
        let masked =
            if line.ends_with(b"\n") { mask.bytes(&std::mem::take(held)) } else { mask.settle(held) };
        if !masked.is_empty() {
            self.show(&mut kept, &masked);
        }
    }

    fn cut(&self, why: &str) {
        self.settle();
        let mut kept = self.kept();
        // The node has no such line: it counts for nothing that is taken from there.
        self.show(&mut kept, format!("rollgate: {why}\n").as_bytes());
        kept.cut.get_or_insert_with(|| why.to_owned());
    }
}

impl Output {
    /// Shows what is known to be the beginning of no secret, for nothing follows it.
    fn settle(&self) {
        let mut kept = self.kept();
        for stream in 0..2 {
            let held = std::mem::take(&mut kept.held[stream]);
            if !held.is_empty() {
                self.show(&mut kept, &self.secrets.mask_bytes(&held));
            }
        }
    }

    fn show(&self, kept: &mut Kept, masked: &[u8]) {
        if let Some((transcript, path)) = &mut kept.transcript
            && let Err(error) = transcript.write_all(masked)
        {
            self.is_not_kept(&format!("cannot write {}: {error}", path.display()));
            kept.transcript = None;
        }
        if kept.taken.iter().sum::<u64>() > TRANSCRIPT
            && let Some((_, path)) = kept.transcript.take()
        {
            let most = words::size(TRANSCRIPT);
            self.is_not_kept(&format!("{} has {most}, the most that is kept of a step", path.display()));
        }
        let text = masked.strip_suffix(b"\n").unwrap_or(masked).to_vec();
        kept.tail.push_back(String::from_utf8_lossy(&text).into_owned());
        if kept.tail.len() > TAIL {
            kept.tail.pop_front();
        }
        self.desk.notify(Notice::Output { key: self.key.clone(), line: text });
    }
}

/// What came last, where nobody asked for the tail.
impl Drop for Output {
    fn drop(&mut self) {
        self.settle();
    }
}
