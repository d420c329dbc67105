//! A rolling upgrade that a newcomer runs with one command: `cargo run --release --example demo`.
//!
//! Three nodes on this machine, each behind an sshd of its own, run version 1 of a small service with
//! clients connected and messages queued. rollgate takes them to version 2 through gates that open
//! when the queue is empty and the clients are gone, and takes one of them back. Meanwhile the
//! clients measure whether anybody served them. Everything that is started is ended again.

mod clients;
mod cluster;
mod interrupt;
mod rollgate;
mod service;
mod sshd;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;

use clients::{Clients, Seen};
use cluster::{Cluster, NODES};
use interrupt::Interrupt;
use rollgate::Rollgate;

/// The node that is taken back to version 1.
const TAKEN_BACK: &str = "node-2";

/// Takes three nodes on this machine through a rolling upgrade, over SSH, with clients connected
#[derive(Debug, Parser)]
#[command(name = "demo")]
struct Args {
    /// Answer yes where rollgate would ask; without it and without a terminal the demo stops there
    #[arg(long)]
    yes: bool,
    /// Leave the directory with the journal and all logs
    #[arg(long)]
    keep: bool,
    /// Use this directory, which must be new or empty
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Be the service of a node
    #[arg(long, hide = true, value_name = "DIR", requires = "release")]
    serve: Option<PathBuf>,
    /// The release that the service says it is
    #[arg(long, hide = true)]
    release: Option<String>,
    /// How many messages the service works off in a second
    #[arg(long, hide = true, default_value_t = 30)]
    rate: u32,
    /// Control the service of a node
    #[arg(long, hide = true, value_name = "DIR", requires = "command")]
    ctl: Option<PathBuf>,
    /// What the service is told
    #[arg(hide = true)]
    command: Option<String>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match (&args.serve, &args.ctl) {
        (Some(dir), _) => service::serve(dir, args.release.as_deref().unwrap_or_default(), args.rate),
        (_, Some(dir)) => service::control(dir, args.command.as_deref().unwrap_or_default()),
        _ => run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prepares the directory, runs the demo in it, and clears up.
fn run(args: &Args) -> Result<()> {
    let interrupt = Interrupt::watch()?;
    let rollgate = rollgate::build()?;
    let temp = match &args.dir {
        Some(dir) => {
            fs::create_dir_all(dir)?;
            ensure!(fs::read_dir(dir)?.next().is_none(), "{} is not empty", dir.display());
            None
        }
        None => Some(tempfile::Builder::new().prefix("rollgate-demo-").tempdir()?),
    };
    let dir = match (&args.dir, &temp) {
        (Some(dir), _) => fs::canonicalize(dir)?,
        (_, Some(temp)) => temp.path().to_owned(),
        _ => unreachable!("without --dir there is a temporary one"),
    };
    let rollgate = Rollgate::new(rollgate, &dir, args.yes, &interrupt);
    let done = upgrade(&dir, &rollgate, &interrupt);
    if args.keep {
        println!("\nthe journal and all logs are in {}", dir.display());
        temp.map(tempfile::TempDir::keep);
    } else if args.dir.is_some() {
        fs::remove_dir_all(&dir)?;
    }
    done
}

/// The story itself.
fn upgrade(dir: &Path, rollgate: &Rollgate<'_>, interrupt: &Interrupt) -> Result<()> {
    headline("Three nodes run version 1 of a service");
    let cluster = Cluster::start(dir)?;
    if cluster.has_sshd() {
        println!("each behind an sshd of its own on 127.0.0.1");
    } else {
        println!(
            "without sshd, which is not installed here ({}): `connection: local` instead",
            sshd::INSTALL_SSHD
        );
    }
    let clients = Clients::start(cluster.ports());
    await_load(&cluster, &clients, interrupt)?;
    for node in NODES {
        let connected = cluster.ask(node, "clients")?.lines().count();
        println!("{node}: {connected} clients connected, {} messages queued", cluster.ask(node, "depth")?);
    }
    println!("inventory.yaml and procedure.yaml are in {}", dir.display());

    headline("The package is copied to every node; nothing restarts");
    rollgate.run(&["stage"])?;
    headline("One node after the other is drained, upgraded and verified");
    rollgate.run_confirmed(&["start"])?;
    headline("What runs where");
    rollgate.run(&["status"])?;
    headline("One node goes back");
    rollgate.run_confirmed(&["rollback", "--limit", TAKEN_BACK])?;

    headline("What came of it");
    judge(&cluster, &clients, interrupt)
}

fn headline(text: &str) {
    println!("\n== {text}\n");
}

/// Waits until every client is connected and every queue is well filled.
fn await_load(cluster: &Cluster, clients: &Clients, interrupt: &Interrupt) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let mut filled = true;
        for node in NODES {
            filled &= cluster.ask(node, "depth")?.parse::<usize>()? >= clients::DEPTH / 2;
        }
        if filled && clients.connected() == clients.count() {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "the clients do not get connected");
        interrupt.pause(Duration::from_millis(50))?;
    }
}

/// Holds what the nodes and the clients say against what was promised.
fn judge(cluster: &Cluster, clients: &Clients, interrupt: &Interrupt) -> Result<()> {
    let mut wrong = Vec::new();
    for node in NODES {
        let version = cluster.ask(node, "version")?;
        let back = node == TAKEN_BACK;
        println!("{node} runs version {version}{}", if back { ", taken back" } else { "" });
        if version != if back { "1" } else { "2" } {
            wrong.push(format!("{node} runs version {version}"));
        }
    }
    clients.stop_producers();
    let handled = await_empty(cluster, interrupt)?;
    let Seen { served, missed, moved, cut_off, accepted } = clients.seen();
    let (served, probes) = (grouped(served), grouped(served + missed));
    println!("clients saw at least one node serving in {served} of {probes} probes");
    println!("clients changed nodes {} times; {} were cut off", grouped(moved), grouped(cut_off));
    println!("{} of {} queued messages were handled", grouped(handled), grouped(accepted));
    for (count, what) in [
        (missed, "times no node served"),
        (cut_off, "clients were cut off"),
        (accepted.abs_diff(handled), "messages were lost"),
    ] {
        if count > 0 {
            wrong.push(format!("{count} {what}"));
        }
    }
    ensure!(wrong.is_empty(), "that is not what was promised: {}", wrong.join(", "));
    Ok(())
}

/// Waits until the queues have run empty and says how many messages were handled in all.
fn await_empty(cluster: &Cluster, interrupt: &Interrupt) -> Result<u64> {
    let deadline = Instant::now() + Duration::from_secs(20);
    let sum = |what: &str| {
        NODES.iter().try_fold(0_u64, |sum, node| {
            let count: u64 = cluster.ask(node, what)?.parse().context("svc answered no number")?;
            anyhow::Ok(sum + count)
        })
    };
    // A producer's last message may be under way still.
    interrupt.pause(Duration::from_millis(500))?;
    while sum("depth")? > 0 {
        ensure!(Instant::now() < deadline, "the queues do not run empty");
        interrupt.pause(Duration::from_millis(100))?;
    }
    sum("handled")
}

/// A number with its thousands apart: `1 234 567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}
