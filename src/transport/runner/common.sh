# What the side that starts a job and the job's own process both know: who this machine is, and how a file becomes durable.

# This boot of this machine. A restarted container keeps the kernel's boot id, so the start of process 1 counts as well.
rg_here() {
  rg_boot=- rg_init=-
  if [ -r /proc/sys/kernel/random/boot_id ]; then
    read -r rg_boot </proc/sys/kernel/random/boot_id
  else
    rg_boot=$(sysctl -n kern.boottime 2>/dev/null | tr -dc 0-9)
  fi
  rg_started 1 && rg_init=$rg_at
  : "${rg_boot:=-}"
}

# When process $1 started, in ticks since boot: its number alone may be another's by now. False when there is none.
rg_started() {
  rg_at=-
  if [ -d /proc/self ]; then
    read -r rg_stat 2>/dev/null <"/proc/$1/stat" || return 1
    # shellcheck disable=SC2086
    set -- ${rg_stat##*) }
    [ "$1" != Z ] || return 1
    rg_at=${20}
  else
    kill -0 "$1" 2>/dev/null
  fi
}

# Whether somebody has taken over since the lock $rg_epoch: then nothing is begun under it any more.
rg_overtaken() {
  for rg_fence in "$rg_fences"/*; do
    case ${rg_fence##*/} in
      (*[!0-9]*) ;;
      (*) [ "${rg_fence##*/}" -le "$rg_epoch" ] || return 0 ;;
    esac
  done
  return 1
}

# Hundredths of a second by a clock that nobody sets, where there is one.
rg_clock() {
  if read -r rg_now rg_rest 2>/dev/null </proc/uptime; then
    # No leading zero: that would be an octal number.
    rg_now=$((${rg_now%.*} * 100 + 1${rg_now#*.} - 100))
  else
    rg_now=$(date +%s)00
  fi
}

rg_flush() { sync "$@" 2>/dev/null; }
