//! Opens a session: checks the address, dials, logs in, tries the rights, reads the facts.
//!
//! Where connections stay open (`ssh.persist`) one that an earlier command has left is taken up instead. That must
//! never be worse than a login: it is asked for a channel first, which is a round trip and needs no shell; whatever is
//! wrong with it, or with what is heard over it, a login of its own decides, and only that one's error is shown. It is
//! not ended for that: another rollgate may be using it. The facts of its node are remembered with it where that is
//! safe, see [`memory`]. A new one stays open only when its first words have succeeded, so that what was put right on the node
//! meanwhile, such as the groups of the login, is seen.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OnceCell, Semaphore};
use tokio::time::Instant;

use super::answers::{Answers, NoAnswer, Verdict};
use super::askpass::{Asked, Askpass, Login};
use super::asks::Asks;
use super::error::{Kind, TransportError, Trouble};
use super::facts::{self, Facts, Unusable};
use super::identity::identity;
use super::keys::Offer;
use super::link::Link;
use super::local::Local;
use super::master::{Master, NoMaster, Staying};
use super::probe::ask;
use super::rights::Rights;
use super::session::{NodeSession, place};
use super::sockets::Sockets;
use super::ssh::{Response, Ssh};
use super::warden::Warden;
use super::{BoxFuture, Connector, Endpoint, Session, denied, memory, refused, trouble};
use crate::model::host::{Become, Connection, SshTarget, host_is_safe};
use crate::model::name::NodeName;

/// More key exchanges at once gain nothing.
const HANDSHAKES: usize = 16;
/// One sshd takes ten unauthenticated connections at once before it begins to refuse some.
const THROUGH_ONE_JUMP: usize = 8;
/// An sshd gives ten channels to a connection; one is kept ready, two are left to look after the others.
const CHANNELS: usize = 7;
/// Channels that are kept ready, over all connections: each has three files open.
const SPARES: usize = 64;
/// How long a login may take to run its first commands, at least: shells have slow start files.
const HELLO: Duration = Duration::from_secs(20);

/// One that was turned away waits no longer than about this to try again, so that it uses the time that it has.
const AGAIN: Duration = Duration::from_secs(1);

/// How long the node of a connection that was taken up may take to open a channel.
const RESPONSE: Duration = Duration::from_secs(2);

/// Connects over ssh, and to this machine, as each endpoint says.
pub struct Dialer {
    handshakes: Arc<Semaphore>,
    jumps: Mutex<HashMap<String, Arc<Semaphore>>>,
    warden: Mutex<Option<Arc<Warden>>>,
    asks: Asks,
    spares: Arc<Semaphore>,
    /// The sockets of connections that stay open, from the first such connection on.
    sockets: OnceCell<Sockets>,
    sockets_in: Option<PathBuf>,
    asks_anew: bool,
}

impl Default for Dialer {
    fn default() -> Self {
        Self::new()
    }
}

impl Dialer {
    /// A dialer that answers no question of ssh; it limits the handshakes of all connections that are made
    /// through it.
    pub fn new() -> Self {
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
        let spares = Arc::new(Semaphore::new(SPARES));
        Self {
            handshakes,
            jumps: Mutex::default(),
            warden: Mutex::default(),
            asks: Asks::nothing(),
            spares,
            sockets: OnceCell::new(),
            sockets_in: None,
            asks_anew: false,
        }
    }

    /// A dialer whose logins may ask for passwords, passphrases and codes.
    pub fn asking(answers: Arc<dyn Answers>) -> Self {
        Self { asks: Asks { answers, program: None }, ..Self::new() }
    }

    /// Names the program that plays askpass with [`relay`](super::relay); without it this program does.
    #[must_use]
    pub fn with_askpass(mut self, program: PathBuf) -> Self {
        self.asks.program = Some(program);
        self
    }

    /// Names the directory for the sockets of connections that stay open; without it, it is one of the user's own.
    #[must_use]
    pub fn with_sockets_in(mut self, directory: PathBuf) -> Self {
        self.sockets_in = Some(directory);
        self
    }

    /// Reads the facts of each node anew, whatever is remembered of an open connection.
    #[must_use]
    pub fn asking_anew(mut self) -> Self {
        self.asks_anew = true;
        self
    }

    async fn open(
        &self,
        to: &Endpoint,
        sockets: Option<&Sockets>,
    ) -> Result<Arc<dyn Session>, TransportError> {
        let root = checked(to)?;
        let target = match &to.connection {
            Connection::Local => {
                let link = Box::new(Local::new(CHANNELS));
                let facts = hello(&*link, to, root).await?;
                return Ok(session(to, link, facts));
            }
            Connection::Ssh(target) => target,
        };
        let identity = sockets.map(|sockets| (sockets, identity(&to.name, target)));
        if let Some((sockets, identity)) = &identity
            && let Some((link, facts)) = self.take_up(to, target, root, sockets, identity).await?
        {
            return Ok(session(to, Box::new(link), facts));
        }
        let dialled = self.dial(&to.name, target, identity).await;
        let master = dialled.map_err(|why| unreachable(to, why))?;
        let link = self.link(to, target, master);
        match hello(&link, to, root).await {
            Ok(facts) => {
                if let Some(socket) = link.stays_at() {
                    memory::keep(socket, to, root, &facts);
                }
                Ok(session(to, Box::new(link), facts))
            }
            Err(error) => {
                link.sever();
                Err(error)
            }
        }
    }

    fn link(&self, to: &Endpoint, target: &SshTarget, master: Master) -> Ssh {
        let spares = Arc::clone(&self.spares);
        Ssh::new(to.name.clone(), master, target.clone(), self.asks.clone(), CHANNELS, spares)
    }

    /// The sockets of connections that stay open, where this one does.
    async fn sockets(&self, to: &Endpoint) -> Result<Option<&Sockets>, TransportError> {
        let Connection::Ssh(target) = &to.connection else { return Ok(None) };
        if target.persist.is_none() {
            return Ok(None);
        }
        let open = || async { Sockets::open(self.sockets_in.as_deref()) };
        let opened = self.sockets.get_or_try_init(open).await;
        opened.map(Some).map_err(|unfit| unreachable(to, trouble::unfit_sockets(target, &unfit)))
    }

    /// A connection that an earlier command has left open, and what is heard over it; `None` where a login is needed.
    async fn take_up(
        &self,
        to: &Endpoint,
        target: &SshTarget,
        root: Option<&str>,
        sockets: &Sockets,
        identity: &str,
    ) -> Result<Option<(Ssh, Facts)>, TransportError> {
        while let Some(socket) = sockets.take(identity) {
            let warden = self.warden().map_err(|source| unreachable(to, no_warden(target, &source)))?;
            let known = if self.asks_anew { None } else { memory::recall(&socket, to, root) };
            let Some(master) = Master::take_up(socket.clone(), warden).await else { continue };
            let link = self.link(to, target, master);
            if link.responds(RESPONSE.min(target.connect_timeout)).await != Response::Open {
                continue;
            }
            if let Some(facts) = known {
                link.skip_greeting();
                return Ok(Some((link, facts)));
            }
            match hello(&link, to, root).await {
                Ok(facts) => {
                    memory::keep(&socket, to, root, &facts);
                    return Ok(Some((link, facts)));
                }
                // A password that was refused is not tried again over another connection: accounts are locked for it.
                Err(error) if is_wrong_password(&error) => return Err(error),
                Err(error) => tracing::debug!(node = %to.name, %error, "an open connection is of no use"),
            }
        }
        Ok(None)
    }

    /// Makes the master connection; one that is turned away for the crowd is tried again in time.
    ///
    /// It stays open by the name of `identity`. A jump host's ssh says nothing where the connection is to stay open
    /// (ssh closes its standard error), and what it is denied looks like a crowd: every other try ends with this
    /// process, and hears it.
    async fn dial(
        &self,
        node: &NodeName,
        target: &SshTarget,
        identity: Option<(&Sockets, String)>,
    ) -> Result<Master, Trouble> {
        let through = target.jump.first().map(|jump| self.jump(jump));
        let _through = match through {
            Some(jump) => jump.acquire_owned().await.ok(),
            None => None,
        };
        let _turn = Arc::clone(&self.handshakes).acquire_owned().await.ok();
        let warden = self.warden().map_err(|source| no_warden(target, &source))?;
        let login = Login { node, target, has_terminal: false };
        let mut until = Instant::now() + target.connect_timeout;
        let mut wait = Duration::from_millis(100);
        let mut may_stay = true;
        loop {
            let askpass = self.asks.listen(&warden, &login).map_err(|source| {
                trouble::no_ssh(target, "making a private socket for what ssh asks", &source)
            })?;
            // ssh's own timeout comes first: it can say what it waited for.
            let late = until + Duration::from_secs(2);
            let staying = staying(target, identity.as_ref().filter(|_| may_stay))
                .map_err(|source| trouble::no_ssh(target, "naming a socket", &source))?;
            let is_deaf = staying.is_some();
            let opened = Master::open(target, Arc::clone(&warden), late, askpass.as_ref(), staying).await;
            let asked = askpass.as_ref().map(Askpass::asked).unwrap_or_default();
            let is_stale = asked.stop.as_ref().is_some_and(|stop| stop.why == NoAnswer::Stale);
            let ended = match opened {
                Ok(master) => Ok(master),
                Err(why) => Err(failure(target, why, &asked).await),
            };
            let is_starting = askpass.is_some_and(|askpass| askpass.conclude(verdict(&ended, &asked)));
            let mut failure = match ended {
                Ok(master) => return Ok(master),
                Err(failure) => failure,
            };
            if is_starting {
                // While a node comes up it may let nobody in (pam_nologin).
                failure.kind = Kind::PermissionDenied;
            }
            if is_stale {
                // Nothing was shown and nothing sent; somebody else's question has been answered meanwhile.
                until = Instant::now() + target.connect_timeout;
                continue;
            }
            // What was answered once is not sent again by a loop: accounts are locked for it.
            let may_pass = failure.kind == Kind::TurnedAway || (is_deaf && failure.kind == Kind::Other);
            if !may_pass || asked.gave_anything() || Instant::now() + wait >= until {
                return Err(failure);
            }
            may_stay = !is_deaf;
            tokio::time::sleep(wait).await;
            wait = spread((wait * 2).min(AGAIN));
        }
    }

    /// The watch over all connections, from the first one on.
    fn warden(&self) -> std::io::Result<Arc<Warden>> {
        let mut warden = self.warden.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(warden) = &*warden {
            return Ok(Arc::clone(warden));
        }
        Ok(Arc::clone(warden.insert(Arc::new(Warden::start()?))))
    }

    fn jump(&self, host: &str) -> Arc<Semaphore> {
        let mut jumps = self.jumps.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Semaphore::new(THROUGH_ONE_JUMP));
        Arc::clone(jumps.entry(host.to_owned()).or_insert_with(new))
    }
}

impl Connector for Dialer {
    fn connect<'a>(&'a self, to: &'a Endpoint) -> BoxFuture<'a, Result<Arc<dyn Session>, TransportError>> {
        Box::pin(async move { self.open(to, self.sockets(to).await?).await })
    }

    fn log_in<'a>(&'a self, to: &'a Endpoint) -> BoxFuture<'a, Result<Arc<dyn Session>, TransportError>> {
        Box::pin(self.open(to, None))
    }
}

/// A session over a link that is open.
fn session(to: &Endpoint, link: Box<dyn Link>, facts: Facts) -> Arc<dyn Session> {
    let home = match (&to.connection, &to.cwd) {
        (Connection::Ssh(_), _) => None,
        (Connection::Local, Some(cwd)) => Some(cwd.display().to_string()),
        (Connection::Local, None) => Some(facts.root.clone()),
    };
    let (name, connection) = (to.name.clone(), to.connection.clone());
    let (become_with, password) = (to.become_with, to.become_password.clone());
    let refused = AtomicBool::new(false);
    Arc::new(NodeSession { name, connection, become_with, password, refused, link, facts, home })
}

fn unreachable(to: &Endpoint, why: Trouble) -> TransportError {
    TransportError::Unreachable { node: to.name.clone(), why: Box::new(why) }
}

/// About as long: those that are turned away together do not come back together.
fn spread(wait: Duration) -> Duration {
    let drawn = RandomState::new().build_hasher().finish() % 512;
    wait.mul_f64(0.75 + drawn as f64 / 1024.0)
}

/// Where the connection's socket lies and for how long, where it stays open.
fn staying(target: &SshTarget, identity: Option<&(&Sockets, String)>) -> std::io::Result<Option<Staying>> {
    let (Some((sockets, identity)), Some(time)) = (identity, target.persist) else { return Ok(None) };
    Ok(Some(Staying { socket: sockets.new_path(identity)?, time }))
}

fn no_warden(target: &SshTarget, source: &std::io::Error) -> Trouble {
    trouble::no_ssh(target, "making a private directory for sockets, or running sh,", source)
}

fn is_wrong_password(error: &TransportError) -> bool {
    matches!(error, TransportError::Unreachable { why, .. } if why.kind == Kind::Password)
}

/// Why there is no connection.
async fn failure(target: &SshTarget, why: NoMaster, asked: &Asked) -> Trouble {
    let said = match &why {
        NoMaster::NoSsh(source) => return trouble::no_ssh(target, "running ssh", source),
        NoMaster::Stopped => return denied::stopped(target, asked),
        NoMaster::Ended { said } | NoMaster::Late { said } => said,
    };
    let trouble = trouble::of_ssh(target, said, matches!(why, NoMaster::Late { .. }));
    match trouble.kind {
        Kind::PermissionDenied => denied::denied(target, trouble, asked, &Offer::read(target).await),
        Kind::TurnedAway if asked.gave_anything() => denied::closed(target, trouble, asked),
        _ => trouble,
    }
}

/// What a login's end says of the answers that it was given.
fn verdict(ended: &Result<Master, Trouble>, asked: &Asked) -> Verdict {
    match ended {
        Ok(_) => Verdict::Accepted,
        Err(_) if !asked.gave_password() => Verdict::Unclear,
        Err(failure)
            if matches!(failure.kind, Kind::PasswordRefused | Kind::PermissionDenied | Kind::TurnedAway) =>
        {
            Verdict::Refused
        }
        Err(_) => Verdict::Unclear,
    }
}

/// Refuses what must not reach a command line, whoever let it in; the own directory as text.
fn checked(to: &Endpoint) -> Result<Option<&str>, TransportError> {
    let refused = |why: String| TransportError::Refused { node: to.name.clone(), why };
    if let Connection::Ssh(target) = &to.connection {
        let words = [Some(&target.host), target.user.as_ref()];
        for word in words.into_iter().flatten().chain(&target.jump) {
            if !host_is_safe(word) {
                let shown = word.escape_debug();
                return Err(refused(format!("`{shown}` cannot stand on ssh's command line")));
            }
        }
    }
    if let Some(password) = &to.become_password {
        Rights::fit(password).map_err(|unfit| refused(unfit.0))?;
    }
    let Some(root) = to.state_dir.as_deref() else { return Ok(None) };
    let fits = |text: &&str| Path::new(text).is_absolute() && !text.chars().any(char::is_control);
    let text = root.to_str().map(|text| text.trim_end_matches('/')).filter(fits);
    text.map(Some).ok_or_else(|| {
        refused(format!("the state directory `{}` must be an absolute path other than /", root.display()))
    })
}

/// The first words on a new connection.
async fn hello(link: &dyn Link, to: &Endpoint, root: Option<&str>) -> Result<Facts, TransportError> {
    let secrets = BTreeMap::new();
    let password = to.become_password.as_ref();
    let env = facts::surroundings(password);
    let asked_with = match to.become_with {
        // Steps may gain rights by it, and are not to find out themselves that it is wrong.
        Become::None if password.is_some() => Become::Sudo,
        with => with,
    };
    let questions = facts::questions(asked_with, &env, &secrets);
    let (place, target) = (place(&to.connection), target(to));
    let deadline = target.map_or(HELLO, |target| target.connect_timeout.max(HELLO));
    let unreachable = |why| unreachable(to, why);
    let asked = match ask(link, &questions, None, false, password, deadline).await {
        Ok(asked) => asked,
        Err(snag) => {
            let why = match snag {
                super::converse::Snag::Broken(broken) => broken.why,
                super::converse::Snag::Unfit(unfit) => unfit.0,
                super::converse::Snag::Here(error) => error.to_string(),
            };
            return Err(unreachable(trouble::closed(place, &why)));
        }
    };
    facts::read(&asked.replies, to.become_with, root).map_err(|unusable| {
        unreachable(match unusable {
            Unusable::Become(said) => {
                refused::no_rights(place, target, asked_with, password.is_some(), &said)
            }
            Unusable::Shell(text) if denied::is_expired(&text) || denied::is_expired(&asked.noise) => {
                match target {
                    Some(target) => denied::expired(target),
                    None => trouble::no_shell(place, target, &text, &asked.noise),
                }
            }
            Unusable::Shell(text) => {
                let noise = asked.noise.lines().find(|line| !line.trim().is_empty());
                let text = noise.map_or(text, |line| format!("the login's shell says: {line}"));
                trouble::no_shell(place, target, &text, &asked.noise)
            }
        })
    })
}

fn target(to: &Endpoint) -> Option<&SshTarget> {
    match &to.connection {
        Connection::Ssh(target) => Some(target),
        Connection::Local => None,
    }
}
