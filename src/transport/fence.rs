//! The lock on a node: taken by link(2), counted, never deleted. See [`crate::model::fence`].
//!
//! ```text
//! ROOT/CLUSTER/fence/EPOCH        who holds it, a `name=value` a line; appears whole or not at all
//! ROOT/CLUSTER/fence/EPOCH.beat   its time says when the holder was last seen
//! ROOT/CLUSTER/fence/EPOCH.end    how its invocation ended: one word
//! ROOT/CLUSTER/runs/KEY/known     the node knows the run; holds the seat that the run belongs to
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::TransportError;
use super::job::ProbeEnd;
use super::session::NodeSession;
use crate::model::event::{Operator, RunId};
use crate::model::fence::{Fence, FenceEnd, FenceOwner};
use crate::model::name::ClusterName;

/// What is asked of a node with its lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FenceClaim {
    /// The cluster whose lock it is.
    pub cluster: ClusterName,
    /// Who takes it, and for which run.
    pub owner: FenceOwner,
    /// What it may pass over.
    pub rule: FenceRule,
    /// The highest epoch that the run had on this node; the new one is higher, also on a node that has
    /// forgotten everything.
    pub above: u64,
    /// Whether the run comes to this node for the first time, and the node is to know it from now on. A
    /// node that has forgotten a run must not learn of it anew: that would hide the loss.
    pub first: bool,
}

/// What a claim may pass over besides a free lock and one of the same seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FenceRule {
    /// Nothing.
    #[default]
    Own,
    /// A lock of the same run from another seat, unless its holder lives.
    Adopt,
    /// Any lock, unless its holder lives.
    Break,
}

/// What a node answered to a [`FenceClaim`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taking {
    /// The lock is taken.
    Taken {
        /// Its number.
        epoch: u64,
        /// What a lock that is given back unused says of its end.
        before: FenceEnd,
    },
    /// Somebody else has it.
    Held(Box<Fence>),
    /// The run was adopted elsewhere: what this machine has recorded of it is out of date.
    Moved(Box<Fence>),
}

/// What all scripts share; `root cluster` are set.
const COMMON: &str = r#"
umask 077
dir=$root/$cluster
fence=$dir/fence
rg_fail() { printf '%s\n' "$1" >&2; exit 3; }
rg_flush() { sync "$@" 2>/dev/null || sync; }
rg_time() { stat -c %Y "$1" 2>/dev/null || stat -f %m "$1" 2>/dev/null || date -r "$1" +%s 2>/dev/null || :; }
rg_look() {
  top=0 end= beat= f_token= f_seat= f_host= f_since= now=$(date +%s)
  for file in "$fence"/*; do
    number=${file##*/}
    case $number in ('' | 0* | *[!0-9]* | ????????????????*) continue ;; esac
    if [ "$number" -gt "$top" ]; then top=$number; fi
  done
  [ "$top" != 0 ] || return 0
  while IFS='=' read -r name value; do
    case $name in (token) f_token=$value ;; (seat) f_seat=$value ;; (host) f_host=$value ;; (since) f_since=$value ;; esac
  done <"$fence/$top"
  case $f_since in ('' | *[!0-9]* | ????????????????*) f_since=0 ;; esac
  if [ -f "$fence/$top.beat" ]; then beat=$(rg_time "$fence/$top.beat"); fi
  beat=${beat:-$f_since}
  if [ -f "$fence/$top.end" ]; then IFS= read -r end <"$fence/$top.end" || :; end=${end:-stopped}; fi
}
rg_show() {
  printf 'epoch=%s\nnow=%s\nbeat=%s\nend=%s\n' "$top" "$now" "$beat" "$end"
  [ "$top" = 0 ] || cat "$fence/$top"
}
"#;

/// Makes the own directory, or refuses one that others could have prepared or could exchange: `me` is set.
const TRUSTED: &str = r#"
[ ! -h "$root" ] || rg_fail "$root is a link; rollgate's own directory must be none"
[ -d "$root" ] || mkdir -p -- "$root"
[ -O "$root" ] || rg_fail "$root belongs to another user"
rg_trusted() {
  at=$(cd -P -- "$root" && pwd -P)
  last=$at
  set -- "$at"
  while [ "$at" != / ]; do
    at=${at%/*}
    at=${at:-/}
    set -- "$at" "$@"
  done
  ls -ldn -- "$@" | while read -r mode links uid gid rest; do
    at=$1
    shift
    [ "$uid" = 0 ] || [ "$uid" = "$me" ] || rg_fail "$at belongs to uid $uid, who could exchange $root"
    case $mode in (?????????[tT]*) [ "$at" = "$last" ] || continue ;; esac
    case $mode in (????????w*) rg_fail "everybody can write to $at ($mode), and exchange $root" ;; esac
    case $mode in
      (?????w*)
        [ "$gid" = "$(id -g)" ] && [ "$(id -gn)" = "$(id -un)" ] ||
          rg_fail "group $gid can write to $at ($mode), and exchange $root"
        ;;
    esac
  done
}
rg_trusted
# One after the other: nothing is made through a link.
for own in "$dir" "$fence" "$dir/runs"; do
  [ ! -h "$own" ] || rg_fail "$own is a link, and not rollgate's own directory"
  [ -d "$own" ] || mkdir -- "$own" 2>/dev/null || :
  [ -d "$own" ] && [ ! -h "$own" ] && [ -O "$own" ] || rg_fail "$own is not rollgate's own directory"
done
"#;

/// Takes the lock: `me key run token seat who host pid doing args rule above first` are set.
const TAKE: &str = r#"
known=$dir/runs/$key/known
rg_stale() { age=$((now - beat)); [ "$age" -ge 60 ] || [ "$age" -le -60 ]; }
rg_moved() {
  [ "$rule" != adopt ] && [ -f "$known" ] || return 1
  owner=
  IFS= read -r owner <"$known" || :
  [ "$owner" != "$seat" ] && [ "$f_seat" != "$seat" ]
}
rg_may() {
  [ "$top" != 0 ] && [ "$end" != released ] || return 0
  if [ "$f_seat" = "$seat" ] && [ "$f_host" = "$host" ]; then return 0; fi
  [ -n "$end" ] || rg_stale || return 1
  [ "$f_seat" = "$seat" ] || [ "$rule" = break ] || { [ "$rule" = adopt ] && [ "$f_token" = "$token" ]; }
}
before=
tries=0
while :; do
  rg_look
  if rg_moved; then printf 'moved\n'; rg_show; exit 0; fi
  if ! rg_may; then printf 'held\n'; rg_show; exit 0; fi
  if [ -z "$before" ]; then
    if [ "$top" = 0 ]; then before=released; else before=${end:-stopped}; fi
  fi
  epoch=$((top + 1))
  new=$fence/.new-$seat-$$
  # Left by one of that number who was killed, it may be an older lock's other name.
  [ ! -e "$new" ] || rm -f -- "$new"
  printf 'run=%s\ntoken=%s\nseat=%s\nwho=%s\nhost=%s\npid=%s\nsince=%s\ndoing=%s\nargs=%s\n' \
    "$run" "$token" "$seat" "$who" "$host" "$pid" "$now" "$doing" "$args" >"$new"
  rg_flush "$new"
  if ln -- "$new" "$fence/$epoch" 2>/dev/null; then
    rm -f -- "$new"
    : >"$fence/$epoch.beat"
    # What was known here before the node forgot it stays below.
    [ "$epoch" -le "$above" ] || break
  else
    rm -f -- "$new"
    [ -e "$fence/$epoch" ] || rg_fail "no link can be made in $fence: its file system must have hard links"
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || rg_fail "the lock in $fence changes hands too quickly"
    before=
  fi
done
mkdir -p -- "$dir/runs/$key/jobs" "$dir/runs/$key/journal"
if [ -n "$first" ] || [ -f "$known" ]; then
  printf '%s\n' "$seat" >"$known.$$"
  rg_flush "$known.$$"
  mv -f -- "$known.$$" "$known"
fi
rg_flush "$fence" "$dir/runs/$key" "$dir/runs" "$dir" "$root"
printf 'taken\nepoch=%s\nbefore=%s\n' "$epoch" "$before"
"#;

/// Shows the lock.
const SHOW: &str = r#"
if [ -d "$fence" ]; then rg_look; else top=0 now=0 beat=0 end=; fi
printf 'held\n'
rg_show
"#;

/// Ends a lock: `epoch word` are set. A node that has forgotten it, such as one put back to a snapshot, is free of it.
const END: &str = r#"
[ -f "$fence/$epoch" ] || exit 0
printf '%s\n' "$word" >"$fence/.end-$epoch-$$"
rg_flush "$fence/.end-$epoch-$$"
mv -f -- "$fence/.end-$epoch-$$" "$fence/$epoch.end"
rg_flush "$fence"
"#;

/// A sign of life: `epoch` is set.
const BEAT: &str = r#"
[ -f "$fence/$epoch" ] || rg_fail "there is no lock $epoch in $fence any more"
touch "$fence/$epoch.beat"
"#;

/// No call about the lock takes longer.
const DEADLINE: Duration = Duration::from_secs(20);

impl NodeSession {
    pub(super) async fn take(&self, claim: &FenceClaim) -> Result<Taking, TransportError> {
        let rule = match claim.rule {
            FenceRule::Own => "own",
            FenceRule::Adopt => "adopt",
            FenceRule::Break => "break",
        };
        let words = [
            ("me", self.facts.uid.to_string()),
            ("key", format!("{}-{}", claim.owner.run, claim.owner.token)),
            ("run", one_line(&claim.owner.run.0)),
            ("token", one_line(&claim.owner.token)),
            ("seat", one_line(&claim.owner.seat)),
            ("who", one_line(&claim.owner.by.user)),
            ("host", one_line(&claim.owner.by.host)),
            ("pid", claim.owner.by.pid.to_string()),
            ("doing", one_line(&claim.owner.doing)),
            ("args", one_line(&claim.owner.args)),
            ("rule", rule.to_owned()),
            ("above", claim.above.to_string()),
            ("first", if claim.first { "yes".to_owned() } else { String::new() }),
        ];
        let told = self.fenced(&claim.cluster, &[COMMON, TRUSTED, TAKE], words).await?;
        let nonsense = || self.lock_failed("it answered something else".to_owned());
        match told.verdict.as_str() {
            "taken" => {
                let epoch = told.number("epoch").ok_or_else(nonsense)?;
                Ok(Taking::Taken { epoch, before: FenceEnd::of(told.word("before")) })
            }
            "held" => Ok(Taking::Held(Box::new(told.fence().ok_or_else(nonsense)?))),
            "moved" => Ok(Taking::Moved(Box::new(told.fence().ok_or_else(nonsense)?))),
            _ => Err(nonsense()),
        }
    }

    pub(super) async fn show_fence(&self, cluster: &ClusterName) -> Result<Option<Fence>, TransportError> {
        Ok(self.fenced(cluster, &[COMMON, SHOW], []).await?.fence())
    }

    pub(super) async fn end(
        &self,
        cluster: &ClusterName,
        epoch: u64,
        word: FenceEnd,
    ) -> Result<(), TransportError> {
        let words = [("epoch", epoch.to_string()), ("word", word.word().to_owned())];
        self.fenced(cluster, &[COMMON, END], words).await.map(drop)
    }

    pub(super) async fn touch(&self, cluster: &ClusterName, epoch: u64) -> Result<(), TransportError> {
        self.fenced(cluster, &[COMMON, BEAT], [("epoch", epoch.to_string())]).await.map(drop)
    }

    fn lock_failed(&self, what: String) -> TransportError {
        TransportError::Lock { node: self.name.clone(), what }
    }

    async fn fenced<const N: usize>(
        &self,
        cluster: &ClusterName,
        parts: &[&str],
        words: [(&str, String); N],
    ) -> Result<Answer, TransportError> {
        self.absolute(&self.facts.root)?;
        let mut env: BTreeMap<String, String> =
            words.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        env.insert("root".to_owned(), self.facts.root.trim_end_matches('/').to_owned());
        env.insert("cluster".to_owned(), cluster.to_string());
        let script = parts.concat();
        let secrets = BTreeMap::new();
        let asked = self.ask(&[self.own_body(&script, &env, &secrets)], false, DEADLINE).await?;
        let reply = asked.replies.into_iter().next().ok_or_else(|| self.no_shell(&asked.noise))?;
        match reply.end {
            ProbeEnd::Exited { code: 0 } => Ok(Answer::read(&reply.stdout.text())),
            ProbeEnd::TimedOut | ProbeEnd::Died => {
                Err(self.lost("its lock was asked for, and no answer came"))
            }
            ProbeEnd::NotRun { why } => {
                Err(self.denied(self.become_with, &why).unwrap_or_else(|| self.lock_failed(why)))
            }
            // What the scripts themselves refuse; anything else is a file that cannot be made.
            ProbeEnd::Exited { code: 3 } => Err(self.lock_failed(reply.stderr.text().trim().to_owned())),
            ProbeEnd::Exited { .. } => Err(self.unreachable(self.no_room(&reply.stderr.text()))),
        }
    }
}

/// What a script answered: a word, then `name=value` lines. The first of a name counts, for what follows
/// was written by somebody else.
pub(super) struct Answer {
    verdict: String,
    words: BTreeMap<String, String>,
}

impl Answer {
    pub(super) fn read(text: &str) -> Self {
        let mut lines = text.lines();
        let verdict = lines.next().unwrap_or_default().to_owned();
        let mut words = BTreeMap::new();
        for (name, value) in lines.filter_map(|line| line.split_once('=')) {
            words.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
        Self { verdict, words }
    }

    fn word(&self, name: &str) -> &str {
        self.words.get(name).map_or("", String::as_str)
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.word(name).parse().ok()
    }

    /// The lock it shows; `None` where there is none.
    pub(super) fn fence(&self) -> Option<Fence> {
        let epoch = self.number("epoch").filter(|epoch| *epoch > 0)?;
        let now = self.number("now").unwrap_or_default();
        let since = |name: &str| Duration::from_secs(now.abs_diff(self.number(name).unwrap_or_default()));
        Some(Fence {
            epoch,
            owner: FenceOwner {
                run: RunId(self.word("run").to_owned()),
                token: self.word("token").to_owned(),
                seat: self.word("seat").to_owned(),
                by: Operator {
                    user: self.word("who").to_owned(),
                    host: self.word("host").to_owned(),
                    pid: self.number("pid").and_then(|pid| pid.try_into().ok()).unwrap_or_default(),
                },
                doing: self.word("doing").to_owned(),
                args: self.word("args").to_owned(),
            },
            age: since("since"),
            seen: since("beat"),
            ended: Some(self.word("end")).filter(|word| !word.is_empty()).map(FenceEnd::of),
        })
    }
}

/// A value that fits on one line of a lock: no control characters, and not without end.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_holder_wrote_cannot_pass_for_what_the_node_says() {
        let text =
            "held\nepoch=4\nnow=1000\nbeat=990\nend=\nrun=r\nseat=a\nend=released\nepoch=9\nsince=400\n";
        let fence = Answer::read(text).fence().unwrap();
        assert_eq!((fence.epoch, fence.ended), (4, None));
        assert_eq!((fence.age.as_secs(), fence.seen.as_secs()), (600, 10));
        assert_eq!(Answer::read("held\nepoch=0\nnow=1\nbeat=\nend=\n").fence(), None);
    }

    #[test]
    fn a_value_stays_on_its_line() {
        assert_eq!(one_line("anna\nend=released\u{1b}[2J"), "anna end=released [2J");
        assert_eq!(one_line(&"x".repeat(5000)).len(), 400);
    }
}
