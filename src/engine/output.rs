//! What becomes of a job's output: the transcript, the screen, the tail, the capture. All masked.

use std::collections::VecDeque;
use std::fmt::Display;
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

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
    stdout: Vec<u8>,
    taken: [u64; 2],
}

impl Output {
    /// Begins with nothing. A job that is followed again from its first byte has its transcript written anew:
    /// the node has all of it.
    pub(super) fn new(at: &Assignment) -> Self {
        let output = Self::aside(at);
        if let Some(run) = &at.site.run_dir {
            let path = run.transcript_path(&at.key, at.attempt);
            match run.begin_transcript(&at.key, at.attempt) {
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
            secrets: at.site.secrets(),
            kept: Mutex::default(),
        }
    }

    /// Bytes taken so far, of output and error output: where to go on.
    pub(super) fn taken(&self) -> [u64; 2] {
        self.kept().taken
    }

    pub(super) fn tail(&self) -> Vec<String> {
        self.kept().tail.iter().cloned().collect()
    }

    pub(super) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.kept().stdout).into_owned()
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
        if from == Stream::Out && kept.stdout.len() < MOST {
            kept.stdout.extend_from_slice(line);
        }
        let masked = self.secrets.mask_bytes(line);
        if let Some((transcript, path)) = &mut kept.transcript
            && let Err(error) = transcript.write_all(&masked)
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
        let text = masked.strip_suffix(b"\n").unwrap_or(&masked).to_vec();
        kept.tail.push_back(String::from_utf8_lossy(&text).into_owned());
        if kept.tail.len() > TAIL {
            kept.tail.pop_front();
        }
        self.desk.notify(Notice::Output { key: self.key.clone(), line: text });
    }
}
