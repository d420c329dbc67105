//! The thing that is upgraded: a small TCP service with long-lived clients and a queue that lives in
//! memory only. Stopping it with clients connected or messages queued is a loss, as in real life.
//!
//! One line says what a connection is for, each further line is one request:
//!
//! ```text
//! client NAME    then `beat` → `beat RELEASE`, or `leave` while the node is drained
//! probe          then `beat` → as for a client, without becoming one
//! producer       then `put`  → `queued DEPTH`, or `refused` while the node is drained
//! ctl COMMAND    → lines, then the end
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// How many messages `svc queue` names.
const QUEUE_SHOWN: usize = 3;

/// A service's own files in the node's directory.
#[derive(Debug, Clone)]
pub(crate) struct Home(PathBuf);

impl Home {
    /// The home of the service in a node's directory.
    pub(crate) fn new(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    /// The file that says on which port the service listens.
    pub(crate) fn port_file(&self) -> PathBuf {
        self.0.join("port")
    }

    /// The file whose presence says that the node is drained. It outlives a restart, as a load
    /// balancer's setting would.
    fn drained_file(&self) -> PathBuf {
        self.0.join("drained")
    }

    /// The count of messages that were worked off, kept over restarts.
    fn handled_file(&self) -> PathBuf {
        self.0.join("handled")
    }

    /// Held by the demo for as long as it runs; see [`end_with`].
    fn lock_file(&self) -> PathBuf {
        self.0.with_file_name("demo.lock")
    }

    fn address(&self) -> Result<SocketAddr> {
        let file = self.port_file();
        let port = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok((Ipv4Addr::LOCALHOST, port.trim().parse()?).into())
    }
}

/// What a running service knows.
#[derive(Debug)]
struct State {
    release: String,
    drained: bool,
    queue: VecDeque<(u64, Instant)>,
    accepted: u64,
    handled: u64,
    clients: BTreeMap<SocketAddr, (String, Instant)>,
}

/// A service as its connections share it.
#[derive(Debug, Clone)]
struct Service {
    home: Home,
    state: Arc<Mutex<State>>,
}

/// Runs the service until `svc stop`, or until the demo is gone.
pub(crate) fn serve(dir: &Path, release: &str, rate: u32) -> Result<()> {
    let home = Home::new(dir);
    let address = home.address()?;
    let listener = TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    let handled = fs::read_to_string(home.handled_file()).ok().and_then(|count| count.trim().parse().ok());
    let state = State {
        release: release.to_owned(),
        drained: home.drained_file().exists(),
        queue: VecDeque::new(),
        accepted: 0,
        handled: handled.unwrap_or(0),
        clients: BTreeMap::new(),
    };
    let service = Service { home, state: Arc::new(Mutex::new(state)) };
    end_with(&service.home.lock_file())?;
    let worker = service.clone();
    thread::spawn(move || worker.work_off(Duration::from_secs(1) / rate));
    for stream in listener.incoming().flatten() {
        let service = service.clone();
        // A connection that breaks concerns only who made it.
        thread::spawn(move || drop(service.answer(stream)));
    }
    Ok(())
}

/// Ends this process as soon as nobody holds the lock: whatever becomes of the demo, its services
/// do not outlive it.
fn end_with(lock: &Path) -> Result<()> {
    let file = File::open(lock).with_context(|| format!("cannot open {}", lock.display()))?;
    thread::spawn(move || {
        while file.try_lock_shared().is_err() {
            thread::sleep(Duration::from_millis(250));
        }
        std::process::exit(0);
    });
    Ok(())
}

impl Service {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the state")
    }

    /// Works the queue off, one message at a time.
    fn work_off(&self, pace: Duration) {
        loop {
            thread::sleep(pace);
            let mut state = self.lock();
            if state.queue.pop_front().is_some() {
                state.handled += 1;
            }
        }
    }

    /// Answers one connection to its end.
    fn answer(&self, stream: TcpStream) -> Result<()> {
        let peer = stream.peer_addr()?;
        stream.set_nodelay(true)?;
        let mut out = stream.try_clone()?;
        let mut lines = BufReader::new(stream).lines();
        let first = lines.next().context("the connection ended before its first line")??;
        match first.split_once(' ').unwrap_or((&first, "")) {
            ("client", name) if self.admit(peer, name) => {
                for line in lines {
                    if line.is_err() || writeln!(out, "{}", self.beat()).is_err() {
                        break;
                    }
                }
                self.lock().clients.remove(&peer);
            }
            (purpose @ ("client" | "probe"), _) => {
                // Closing before the request was read would reset the connection, answer and all.
                if lines.next().is_some() {
                    let answer = if purpose == "probe" { self.beat() } else { "leave".to_owned() };
                    writeln!(out, "{answer}")?;
                }
            }
            ("producer", _) => {
                for line in lines {
                    line?;
                    writeln!(out, "{}", self.put())?;
                }
            }
            ("ctl", "stop") => {
                // The state stays locked: what is not handled by now is never handled.
                let state = self.lock();
                fs::write(self.home.handled_file(), state.handled.to_string())?;
                writeln!(
                    out,
                    "stopped with {} clients and {} messages",
                    state.clients.len(),
                    state.queue.len()
                )?;
                out.flush()?;
                std::process::exit(0);
            }
            ("ctl", command) => write!(out, "{}", self.control(command)?)?,
            _ => writeln!(out, "what is that?")?,
        }
        Ok(())
    }

    /// Takes a client in, unless the node is drained.
    fn admit(&self, peer: SocketAddr, name: &str) -> bool {
        let mut state = self.lock();
        if !state.drained {
            state.clients.insert(peer, (name.to_owned(), Instant::now()));
        }
        !state.drained
    }

    fn beat(&self) -> String {
        let state = self.lock();
        if state.drained { "leave".to_owned() } else { format!("beat {}", state.release) }
    }

    fn put(&self) -> String {
        let mut state = self.lock();
        if state.drained {
            return "refused".to_owned();
        }
        state.accepted += 1;
        let message = (state.accepted, Instant::now());
        state.queue.push_back(message);
        format!("queued {}", state.queue.len())
    }

    fn control(&self, command: &str) -> Result<String> {
        let mut state = self.lock();
        let mut out = String::new();
        match command {
            "depth" => writeln!(out, "{}", state.queue.len())?,
            "version" => writeln!(out, "{}", state.release)?,
            "handled" => writeln!(out, "{}", state.handled)?,
            "healthz" => writeln!(out, "{}", if state.drained { "drained" } else { "serving" })?,
            "clients" => {
                for (peer, (name, since)) in &state.clients {
                    writeln!(out, "{peer} {name} {}s", since.elapsed().as_secs())?;
                }
            }
            "queue" => {
                for (message, since) in state.queue.iter().take(QUEUE_SHOWN) {
                    writeln!(out, "message {message} has waited {:.1} s", since.elapsed().as_secs_f64())?;
                }
                let more = state.queue.len().saturating_sub(QUEUE_SHOWN);
                if more > 0 {
                    writeln!(out, "and {more} more")?;
                }
            }
            "drain" => {
                File::create(self.home.drained_file())?;
                state.drained = true;
            }
            "undrain" => {
                if state.drained {
                    fs::remove_file(self.home.drained_file())?;
                }
                state.drained = false;
            }
            other => writeln!(out, "unknown command {other:?}")?,
        }
        Ok(out)
    }
}

/// Asks a running service and gives back its answer.
pub(crate) fn ask(home: &Home, command: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&home.address()?, Duration::from_secs(2))
        .context("the service does not run")?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    writeln!(stream, "ctl {command}")?;
    Ok(std::io::read_to_string(stream)?)
}

/// `svc COMMAND`: what an administrator types on a node.
pub(crate) fn control(dir: &Path, command: &str) -> Result<()> {
    let home = Home::new(dir);
    match command {
        "start" => start(&home)?,
        "stop" => {
            print!("{}", ask(&home, "stop")?);
            await_end(&home, Duration::from_secs(10))?;
        }
        "healthz" => {
            let answer = ask(&home, "healthz")?;
            print!("{answer}");
            ensure!(answer.trim() == "serving", "the node takes no clients");
        }
        "depth" | "version" | "handled" | "clients" | "queue" | "drain" | "undrain" => {
            print!("{}", ask(&home, command)?);
        }
        other => bail!(
            "svc knows no {other:?}; it knows start, stop, drain, undrain, depth, queue, clients, version, \
             handled and healthz"
        ),
    }
    Ok(())
}

/// Starts the installed package, detached, and waits until it answers.
fn start(home: &Home) -> Result<()> {
    ensure!(ask(home, "version").is_err(), "the service runs already");
    let package = home.0.join("current");
    let log = File::options().create(true).append(true).open(home.0.join("service.log"))?;
    let mut child = Command::new(&package)
        .env("SERVICE", std::env::current_exe()?)
        .env("APP", &home.0)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {}", package.display()))?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while ask(home, "version").is_err() {
        if let Some(status) = child.try_wait()? {
            let log = fs::read_to_string(home.0.join("service.log"))?;
            let last = log.lines().last().unwrap_or("it said nothing");
            bail!("the service ended at once ({status}): {last}");
        }
        ensure!(Instant::now() < deadline, "the service does not answer");
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Waits until nobody listens on the service's port any more.
pub(crate) fn await_end(home: &Home, limit: Duration) -> Result<()> {
    let address = home.address()?;
    let deadline = Instant::now() + limit;
    while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok() {
        ensure!(Instant::now() < deadline, "the service on {address} does not end");
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
