//! The way of reports to the desk. A node may print faster than a terminal shows it, or without end while the
//! terminal is stopped (Ctrl-S): then output is left out of the screen and said to be, for memory has an end and the
//! transcript has it all. Nothing but output is ever left out.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use crate::model::event::{Notice, Report};
use crate::ui::words;

/// Bytes of output that may wait for the screen.
const MOST: usize = 16 << 20;
/// What a line takes beside its bytes.
const EACH: usize = 200;

/// Makes the way and its end.
pub(super) fn reports() -> (Reports, Inbox) {
    let (sender, receiver) = channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let left_out = Arc::new(AtomicUsize::new(0));
    (Reports { sender, waiting: Arc::clone(&waiting), left_out }, Inbox { receiver, waiting })
}

/// The way in.
#[derive(Debug, Clone)]
pub struct Reports {
    sender: Sender<Report>,
    waiting: Arc<AtomicUsize>,
    left_out: Arc<AtomicUsize>,
}

impl Reports {
    /// Reports.
    pub fn send(&self, report: Report) -> Result<(), Closed> {
        let size = size(&report);
        if size > 0 && self.waiting.load(Ordering::Relaxed) > MOST {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        let left_out = self.left_out.swap(0, Ordering::Relaxed);
        if left_out > 0 {
            let text =
                format!("{} too fast to be shown; the transcript has all", words::count(left_out, "line"));
            self.put(Report::Notice(Notice::Said { node: None, text }))?;
        }
        self.waiting.fetch_add(size, Ordering::Relaxed);
        self.put(report)
    }

    fn put(&self, report: Report) -> Result<(), Closed> {
        self.sender.send(report).map_err(|_| Closed)
    }
}

/// The desk is closed: nobody takes reports any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

/// The desk's end.
pub(super) struct Inbox {
    receiver: Receiver<Report>,
    waiting: Arc<AtomicUsize>,
}

impl Inbox {
    pub(super) fn recv_timeout(&self, timeout: Duration) -> Result<Report, RecvTimeoutError> {
        let report = self.receiver.recv_timeout(timeout)?;
        self.waiting.fetch_sub(size(&report), Ordering::Relaxed);
        Ok(report)
    }
}

/// How much a report counts: output alone does.
fn size(report: &Report) -> usize {
    match report {
        Report::Notice(Notice::Output { line, .. }) => line.len() + EACH,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::sample;
    use super::*;
    use crate::model::plan::Section;

    #[test]
    fn output_that_nobody_takes_is_bounded_and_said_to_be() {
        let (reports, inbox) = reports();
        let key = sample::key("mq-02", Section::Drain, 1);
        let line = || Report::Notice(Notice::Output { key: key.clone(), line: vec![b'x'; 1000] });
        for _ in 0..20_000 {
            reports.send(line()).unwrap();
        }
        let take = || inbox.recv_timeout(Duration::ZERO).ok();
        let kept = std::iter::from_fn(take).count();
        assert!((13_000..15_000).contains(&kept), "{kept} lines wait");
        reports.send(Report::Progress).unwrap();
        let Some(Report::Notice(Notice::Said { text, .. })) = take() else { panic!("nothing is said of it") };
        assert_eq!(text, format!("{} lines too fast to be shown; the transcript has all", 20_000 - kept));
        assert!(matches!(take(), Some(Report::Progress)));
        reports.send(line()).unwrap();
        assert!(matches!(take(), Some(Report::Notice(Notice::Output { .. }))));
    }
}
