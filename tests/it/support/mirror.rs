//! A server of one file on loopback, from which nodes fetch it: it keeps to ranges or not, breaks off, stands still, and
//! says who asked for what.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use super::within_patience;

/// What somebody asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The path, with its query.
    pub(crate) path: String,
    /// The first byte that was wanted, where a range was asked for.
    pub(crate) from: Option<usize>,
}

#[derive(Debug, Default)]
struct State {
    content: Vec<u8>,
    asked: Vec<Asked>,
    /// The first line and the headers of every answer, instead of the content.
    instead: Option<String>,
    ignores_ranges: bool,
    /// The next answer breaks off after so many bytes.
    cut_at: Option<usize>,
    /// The next answer all but stands still after so many bytes, until its client is gone.
    held_at: Option<usize>,
    /// Clients that stand still.
    held: usize,
    /// Whether whoever stands still goes on.
    is_released: bool,
}

/// The server. Dropping it ends it.
pub(crate) struct Mirror {
    port: u16,
    state: Arc<Mutex<State>>,
    has_ended: Arc<AtomicBool>,
    listening: Option<JoinHandle<()>>,
}

impl Mirror {
    /// Serves this content under every path.
    pub(crate) fn of(content: Vec<u8>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State { content, ..State::default() }));
        let has_ended = Arc::new(AtomicBool::new(false));
        let (shared, ended) = (Arc::clone(&state), Arc::clone(&has_ended));
        let listening = spawn(move || {
            let mut answering = Vec::new();
            for stream in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                let (shared, ended) = (Arc::clone(&shared), Arc::clone(&ended));
                // A client that goes away in the midst of it is none of the server's trouble.
                answering.push(spawn(move || drop(answer(&stream.unwrap(), &shared, &ended))));
            }
            for one in answering {
                one.join().unwrap();
            }
        });
        Self { port, state, has_ended, listening: Some(listening) }
    }

    /// The address of a file here.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.port)
    }

    /// What was asked for so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state().asked.clone()
    }

    /// Serves something else from now on.
    pub(crate) fn set(&self, content: Vec<u8>) -> &Self {
        self.state().content = content;
        self
    }

    /// Answers with this status and these headers from now on.
    pub(crate) fn say(&self, head: &str) -> &Self {
        self.state().instead = Some(head.to_owned());
        self
    }

    /// Sends the whole whatever range is asked for.
    pub(crate) fn ignore_ranges(&self) -> &Self {
        self.state().ignores_ranges = true;
        self
    }

    /// Breaks the next answer off after so many bytes.
    pub(crate) fn cut_at(&self, bytes: usize) -> &Self {
        self.state().cut_at = Some(bytes);
        self
    }

    /// Lets the next answer stand still after so many bytes.
    pub(crate) fn hold_at(&self, bytes: usize) -> &Self {
        self.state().held_at = Some(bytes);
        self
    }

    /// Waits until so many clients stand still.
    #[track_caller]
    pub(crate) fn await_held(&self, clients: usize) {
        within_patience(&format!("{clients} clients stand still"), || self.state().held == clients);
    }

    /// Lets whoever stands still go on.
    pub(crate) fn release(&self) {
        self.state().is_released = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.has_ended.store(true, Ordering::SeqCst);
        // Wakes whoever waits for the next client.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        let ended = self.listening.take().unwrap().join();
        assert!(std::thread::panicking() || ended.is_ok());
    }
}

fn answer(stream: &TcpStream, state: &Mutex<State>, has_ended: &AtomicBool) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let Some(path) = first.strip_prefix("GET ").and_then(|rest| rest.split(' ').next()) else {
        return Ok(());
    };
    let mut from = None;
    for line in lines {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        let range = line.strip_prefix("range: bytes=").and_then(|range| range.split('-').next());
        from = range.map(|first| first.parse().unwrap()).or(from);
    }
    let (head, body, cut, hold) = {
        let mut state = state.lock().unwrap();
        state.asked.push(Asked { path: path.to_owned(), from });
        let whole = state.content.len();
        let kept = from.filter(|_| !state.ignores_ranges);
        let (status, body) = match kept {
            Some(first) if first >= whole => ("416 Range Not Satisfiable".to_owned(), Vec::new()),
            Some(first) => (
                format!("206 Partial Content\r\nContent-Range: bytes {first}-{}/{whole}", whole - 1),
                state.content[first..].to_vec(),
            ),
            None => ("200 OK".to_owned(), state.content.clone()),
        };
        let (status, body) = state.instead.clone().map_or((status, body), |head| (head, Vec::new()));
        (status, body, state.cut_at.take(), state.held_at.take())
    };
    let mut stream = stream;
    write!(stream, "HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    if let Some(at) = cut {
        stream.write_all(&body[..at.min(body.len())])?;
        return stream.shutdown(Shutdown::Both);
    }
    let Some(mut at) = hold else { return stream.write_all(&body) };
    stream.write_all(&body[..at])?;
    state.lock().unwrap().held += 1;
    stream.set_read_timeout(Some(Duration::from_millis(50)))?;
    while !has_ended.load(Ordering::SeqCst) {
        let is_released = state.lock().unwrap().is_released;
        // A byte now and then, so that no client gives up by itself; too few to come to the disk.
        let more = if is_released { body.len() - at } else { 1 };
        let sent = stream.write_all(&body[at..at + more]);
        at += more;
        let silence = stream.read(&mut [0]);
        let is_there =
            silence.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
        if is_released || sent.is_err() || !is_there {
            break;
        }
    }
    state.lock().unwrap().held -= 1;
    Ok(())
}
