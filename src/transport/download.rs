//! Files that a node fetches itself: the script of the job that does it there. What has arrived is kept beside its place
//! and continued; under its name a file stands only with the sum that was wanted.
//!
//! The node notes the sum, as it does of a copy; whoever started the job asks for that afterwards, and does not go by how
//! the job ended.

use std::fmt::Write as _;

use super::copy::{OUST, TOOLS, beside};
use super::note::{NOTES, note_of};
use super::script::quote;

/// A file that a node is to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// Where it is fetched from, `http` or `https`: passed to the node as data.
    pub url: String,
    /// Its sha256 in lower-case hexadecimal.
    pub sha256: String,
    /// Where it goes on the node: absolute, and below [`super::Facts::root`].
    pub to: String,
    /// Its permission bits there.
    pub mode: u32,
}

/// How the job ends where what was fetched is not what was wanted.
pub const WRONG_SUM: i32 = 65;

/// Fetches files one after the other: `root` is set before, and `rg_get` is called for each with `url want to part by
/// mode note` set. What curl or wget have to say of trouble comes first, what follows from it last.
///
/// A transfer that breaks is continued as long as it comes to something. Trouble of the way leaves the part for the next
/// attempt; an answer that does not fit the part, or a sum that does not fit the whole, has it fetched anew, once.
const GET: &str = r#"
umask 077
rg_tool=curl
command -v curl >/dev/null 2>&1 || rg_tool=wget
command -v "$rg_tool" >/dev/null 2>&1 || rg_fail 'there is neither curl nor wget to fetch artifacts with: install one, or leave out `fetch: node` and name a file that rollgate copies'
rg_sum /dev/null >/dev/null || exit 1
rg_teller=
trap rg_hush EXIT
rg_flags=-q
if [ "$rg_tool" = wget ]; then
  case $(wget --version 2>/dev/null) in (GNU*) rg_flags='-nv -t 1 -T 60' ;; (*)
    case $(wget --help 2>&1) in (*' -T '*) rg_flags='-q -T 60' ;; esac ;;
  esac
fi
rg_transfer() {
  rg_status=
  rg_code=0
  case $rg_tool in
    (curl)
      rg_status=$(curl -fsS -g --proto '=http,https' --proto-redir '=http,https' -L --max-redirs 10 \
        --connect-timeout 30 --speed-limit 1 --speed-time 60 -w '%{http_code}' -C - -o "$part" --url "$url") ||
        rg_code=$?
      ;;
    (*) wget $rg_flags -c -O "$part" "$url" || rg_code=$? ;;
  esac
  [ -f "$part" ] || : >"$part"
}
rg_is_passing() {
  case $rg_tool:$rg_code:$rg_status in
    (curl:22:5?? | curl:22:408 | curl:22:429) ;;
    (curl:[567]:* | curl:16:* | curl:18:* | curl:28:* | curl:35:* | curl:52:* | curl:55:* | curl:56:* | curl:92:*) ;;
    (wget:4:*) ;;
    (*) return 1 ;;
  esac
}
rg_anew() {
  rm -f -- "$part"
  ( set -C; : >"$part" ) || rg_fail "$part cannot be made"
  rg_continued=
}
rg_tell() {
  while sleep 5 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
    rg_has=$(rg_size "$part" 2>/dev/null) || continue
    if [ "$rg_has" != "${rg_told-}" ]; then printf '%s: %s bytes are there\n' "${to##*/}" "$rg_has"; fi
    rg_told=$rg_has
  done
}
rg_hush() {
  [ -z "$rg_teller" ] || kill "$rg_teller" 2>/dev/null || :
  rg_teller=
}
rg_fetch() {
  rg_idle=0
  rg_tell &
  rg_teller=$!
  rg_continue
  rg_hush
}
rg_continue() {
  while :; do
    rg_had=$(rg_size "$part")
    [ "$rg_had" = 0 ] || rg_continued=yes
    rg_transfer
    [ "$rg_code" != 0 ] || return 0
    [ "$rg_code" -le 128 ] || rg_fail "$rg_tool was killed ($rg_code) while it fetched $url"
    case $rg_tool:$rg_code in (curl:23 | wget:3)
      rm -f -- "$part"
      rg_fail "$part cannot be written; is there room?" ;;
    esac
    if [ "$(rg_size "$part")" -gt "$rg_had" ]; then
      rg_idle=0
    elif rg_is_passing && [ "$rg_idle" -lt 3 ]; then
      rg_idle=$((rg_idle + 1))
      sleep "$rg_idle"
    elif ! rg_is_passing && [ "$rg_had" != 0 ] && [ -z "$rg_renewed" ]; then
      rg_renewed=yes
      rg_anew
    else
      rg_fail "$url could not be fetched: $rg_tool ended with exit status $rg_code${rg_status:+ (HTTP status $rg_status)}"
    fi
  done
}
rg_arrives() {
  rg_look "$part" || rg_seen=
  rg_hex=$(rg_sum "$part")
  [ "$rg_hex" = "$want" ]
}
rg_claim() {
  rg_oust
  rm -f -- "$by"
  if [ -n "${rg_boot-}" ] && rg_began $$; then
    ( set -C; printf '%s %s %s\n' "$$" "$rg_began" "$rg_boot" >"$by" ) 2>/dev/null || :
  fi
}
rg_get() {
  dir=${to%/*}
  rg_root
  rg_below "$dir"
  mkdir -p -- "$dir"
  [ ! -d "$to" ] || rg_fail "$to is a directory"
  rg_claim
  rg_renewed= rg_continued=
  if [ ! -f "$part" ] || [ -h "$part" ] || [ ! -O "$part" ]; then rg_anew; fi
  printf '%s: being fetched from %s\n' "${to##*/}" "$url"
  if [ ! -s "$part" ] || ! rg_arrives; then
    rg_fetch
    if ! rg_arrives && [ -n "$rg_continued" ]; then
      rg_anew
      rg_renewed=yes
      rg_fetch
      rg_arrives || :
    fi
  fi
  if [ "$rg_hex" != "$want" ]; then
    rm -f -- "$part" "$by"
    printf '%s\n' "$url is not what was wanted: its sha256 is $rg_hex, not $want" >&2
    exit 65
  fi
  chmod "$mode" "$part"
  rg_flush "$part"
  mv -f -- "$part" "$to"
  rg_note_moved
  rg_flush "$dir"
  rm -f -- "$by"
  printf '%s: fetched, %s bytes\n' "${to##*/}" "$(rg_size "$to")"
}
"#;

/// The script of the job that fetches them, for a node whose own directory is `root`.
pub fn download_script(root: &str, files: &[Download]) -> String {
    let mut script = format!("root={}\n{TOOLS}{NOTES}{OUST}{GET}", quote(root));
    for file in files {
        let (part, by) = beside(&file.to, &file.sha256);
        let words = [
            ("url", file.url.clone()),
            ("want", file.sha256.clone()),
            ("to", file.to.clone()),
            ("part", part),
            ("by", by),
            ("note", note_of(&file.to)),
            ("mode", format!("{:04o}", file.mode & 0o7777)),
        ];
        for (name, value) in words {
            let _ = writeln!(script, "{name}={}", quote(&value));
        }
        script.push_str("rg_get\n");
    }
    script
}
