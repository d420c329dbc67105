# The job's own process: claims the job, runs its script, keeps how it ended. Nobody waits for it: whoever started it may
# hear a word on its standard output when there is news, and may be gone.
# Given: rg_dir rg_fences rg_epoch rg_digest rg_home rg_copy rg_body rg_needles, and rg_run, which runs the body.

umask 077
rg_sig=-
# Caught rather than ignored, for what is ignored is inherited by the script. A shutdown is told from an end of the script's own.
trap 'rg_sig=TERM' TERM
trap : HUP PIPE
exec 9>&1 >/dev/null
rg_tell() { printf '%s\n' "$1" >&9; } 2>/dev/null
trap 'rg_tell over' EXIT
rg_here
rg_started $$ || :
rg_clock
rg_own=$rg_dir/.own.$$
printf '%s\n' "$rg_digest $rg_boot $rg_init $$ $rg_at $rg_now $rg_epoch" >"$rg_own" || exit 1
# One link can be made, and it carries who made it. The name it was made from stays: taking it away would be a process more.
if ! ln "$rg_own" "$rg_dir/owner" 2>/dev/null; then
  rm -f "$rg_own"
  exit 0
fi
# Claimed first, looked second: whoever takes over raises the fence first and looks for claims second.
if rg_overtaken; then
  : >"$rg_dir/fenced"
  exit 0
fi
if [ -n "$rg_needles" ]; then
  : >>"$rg_dir/out" && : >>"$rg_dir/err" && rg_veil || exit 1
fi
# The outcome has its place before there is one: a disk that fills up meanwhile cannot lose it. From when that is there
# on the script may have had an effect.
: >>"$rg_dir/out" && : >>"$rg_dir/err" && printf '%-63s\n' - >"$rg_dir/exit" &&
  rg_flush "$rg_dir/owner" "$rg_dir/exit" "$rg_dir" "$rg_dir/.." ${rg_copy:+"$rg_copy"} || {
  rm -f "$rg_dir/exit"
  exit 1
}
rg_tell begun
CDPATH= cd -- "$rg_home" 2>/dev/null || cd /
if [ -n "$rg_needles" ]; then
  rg_veiled
else
  rg_run </dev/null >>"$rg_dir/out" 2>>"$rg_dir/err"
  rg_code=$?
fi
rg_stopped=-
# At a shutdown everything here is told to end, in any order: what ended by a signal waits for the one to this process.
[ "$rg_code" -le 128 ] || [ -e "$rg_dir/stop" ] || sleep 1
[ ! -e "$rg_dir/stop" ] || rg_stopped=stop
printf '%-63s\n' "$rg_code $rg_sig $rg_stopped" 1<>"$rg_dir/exit"
rg_flush "$rg_dir/exit"
# Only now is it told to anybody who looks.
printf '%-63s\n' "$rg_code $rg_sig $rg_stopped kept" 1<>"$rg_dir/exit"
