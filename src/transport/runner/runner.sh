# The side that starts jobs and follows them. Given: rg_mark rg_dir rg_fences, and what each function names.

# A word about the call itself, in the midst of what the job prints.
rg_say() { printf '%s%s\n' "$rg_mark" "$1"; }

# Where the job stands: sets rg_standing, and rg_age while it runs.
rg_look() {
  rg_alive=0 rg_rebooted=0 rg_age=0
  if [ ! -e "$rg_dir/owner" ]; then
    rg_known=0
    [ ! -e "${rg_dir%/*/*}/known" ] || rg_known=1
    rg_standing=absent,$rg_known
    return
  fi
  read -r rg_o_digest rg_o_boot rg_o_init rg_o_pid rg_o_at rg_o_since rg_o_epoch <"$rg_dir/owner" || :
  if [ "$rg_o_digest" = void ]; then
    rg_standing=void
    return
  fi
  if [ -n "${rg_digest-}" ] && [ "$rg_o_digest" != "$rg_digest" ]; then
    rg_standing=conflict
    return
  fi
  [ "$rg_o_boot,$rg_o_init" = "$rg_boot,$rg_init" ] || rg_rebooted=1
  # Looked at before the outcome: a process that ends in between has written it.
  if [ "$rg_rebooted" = 0 ] && rg_started "$rg_o_pid" && [ "$rg_at" = "$rg_o_at" ]; then rg_alive=1; fi
  if [ -e "$rg_dir/fenced" ]; then
    rg_standing=fenced
  elif rg_is_over; then
    rg_outcome
  elif [ "$rg_alive" = 1 ]; then
    rg_standing=running
    rg_clock
    rg_age=$(((rg_now - rg_o_since) / 100))
  elif [ ! -e "$rg_dir/exit" ]; then
    rg_standing=unbegun
  else
    rg_outcome
  fi
}

# Whether the outcome is there to stay.
rg_is_over() {
  rg_code=- rg_sig=- rg_stopped=- rg_kept=-
  [ -e "$rg_dir/exit" ] && read -r rg_code rg_sig rg_stopped rg_kept 2>/dev/null <"$rg_dir/exit" || :
  [ "$rg_kept" = kept ]
}

# Takes an outcome for what it means, as it was read last. Where its process is gone one that it could not keep counts
# as well; one that never was is lost.
rg_outcome() {
  case $rg_code in
    ('' | *[!0-9]*)
      rg_members
      # shellcheck disable=SC2086
      set -- $rg_pids
      rg_standing=lost,$rg_rebooted,$#
      ;;
    (*)
      rg_interrupted=0 rg_by_us=0
      [ "$rg_sig" != TERM ] || rg_interrupted=1
      [ "$rg_stopped" != stop ] || rg_by_us=1
      rg_standing=ended,$rg_code,$rg_interrupted,$rg_by_us,$rg_rebooted
      ;;
  esac
}

# Whatever the job started and still runs, but for its own process: its session, and what carries its name.
rg_members() {
  rg_pids=
  [ "$rg_rebooted" = 0 ] && [ -d /proc/self ] || return 0
  for rg_proc in /proc/[0-9]*; do
    rg_pid=${rg_proc##*/}
    read -r rg_stat 2>/dev/null <"$rg_proc/stat" || continue
    # shellcheck disable=SC2086
    set -- ${rg_stat##*) }
    if [ "$4" = "$rg_o_pid" ] && [ "$rg_pid" != "$rg_o_pid" ] && [ "$1" != Z ]; then
      rg_pids="$rg_pids $rg_pid"
    fi
  done
  for rg_proc in $(grep -lsF "ROLLGATE_JOB=$rg_name/" /proc/[0-9]*/environ 2>/dev/null); do
    rg_pid=${rg_proc#/proc/}
    rg_pid=${rg_pid%/environ}
    [ "$rg_pid" != "$rg_o_pid" ] && rg_started "$rg_pid" || continue
    case "$rg_pids " in (*" $rg_pid "*) ;; (*) rg_pids="$rg_pids $rg_pid" ;; esac
  done
}

# Keeps the journal lines that came along, so that another machine can go on with the run.
rg_keep() {
  [ -n "$rg_copy" ] || return 0
  # Whoever has taken over has the journal now: lines of this one would not go with his.
  ! rg_overtaken || return 0
  [ -d "${rg_copy%/*}" ] || mkdir -p "${rg_copy%/*}" || return 1
  # Right into its place: of a file that is cut off whoever reads it takes the whole lines, and nobody has been told yet
  # that they are kept.
  printf '%s' "$rg_lines" >"$rg_copy"
}

# Starts the job unless somebody has, and goes on with $1, which hears of it: its process has the other end of a pipe.
rg_start() {
  umask 077
  mkdir -p "$rg_dir" ${rg_copy:+"${rg_copy%/*}"} || return 1
  rg_keep || return 1
  rg_hears=
  if [ -e "$rg_dir/owner" ]; then
    "$1"
  else
    rg_launch | {
      rg_hears=yes
      rg_await_claim || :
      "$1"
    }
  fi
}

rg_launch() {
  case $rg_way in
    (systemd) rg_by_systemd ;;
    (sudo-systemd) if [ -n "${rg_key-}" ]; then rg_by_systemd sudo -k -S -p '' --; else rg_by_systemd sudo -n; fi ;;
    (*) rg_by_setsid ;;
  esac
  # A job does not say that it has printed something, nor that it was killed. This ends when nobody hears it.
  (while sleep 0.2 || sleep 1; do printf '.\n' || exit; done) 2>/dev/null </dev/null &
}

rg_by_setsid() {
  # The shell reads a pipe of this login's own itself; `cat` would be a process more.
  rg_load='if [ -r /dev/stdin ]; then . /dev/stdin; else eval "$(cat)"; fi'
  case $rg_way in
    (setsid) printf '%s\n' "$rg_job" | setsid sh -c "$rg_load" "rollgate-job $rg_name" 2>/dev/null & ;;
    (plain) printf '%s\n' "$rg_job" | sh -c "$rg_load" "rollgate-job $rg_name" 2>/dev/null & ;;
    # Only this way leaves the job's SIGINT as it is: what a shell runs in the background ignores it.
    (*) printf '%s\n' "$rg_job" | setsid -f sh -c "$rg_load" "rollgate-job $rg_name" 2>/dev/null ;;
  esac
}

# A unit of its own: no logout ends it. Only the job's own process is the unit's to end: what a step leaves
# running in the background stays, as it does everywhere else. sudo may have no need of its password in rg_key.
rg_by_systemd() {
  rg_load='eval "$(cat)"'
  [ -z "${rg_key-}" ] || rg_load='while IFS= read -r l; do case $l in (--rollgate--) break;; esac; done; eval "$(cat)"'
  (
    printf '%s\n' ${rg_key:+"$rg_key"} "$rg_job" | "$@" systemd-run --quiet --collect --pipe --unit="$rg_unit" \
      --description="rollgate-job $rg_name" -p KillMode=process --uid="$(id -u)" --gid="$(id -g)" \
      ${PATH:+"--setenv=PATH=$PATH"} ${HOME:+"--setenv=HOME=$HOME"} ${USER:+"--setenv=USER=$USER"} \
      ${LOGNAME:+"--setenv=LOGNAME=$LOGNAME"} ${SHELL:+"--setenv=SHELL=$SHELL"} ${LANG:+"--setenv=LANG=$LANG"} \
      ${LC_ALL:+"--setenv=LC_ALL=$LC_ALL"} ${TZ:+"--setenv=TZ=$TZ"} \
      sh -c "$rg_load" "rollgate-job $rg_name" || [ -e "$rg_dir/owner" ] || rg_way=setsid rg_by_setsid
  ) 2>/dev/null &
}

# Waits until the job is claimed; false when nobody does.
rg_await_claim() {
  rg_n=0
  until [ -e "$rg_dir/owner" ]; do
    rg_n=$((rg_n + 1))
    [ "$rg_n" -lt 100 ] || return 1
    rg_wait
  done
}

# Waits for news of the job, for the rg_n-th time, and a fifth of a second at most. Whoever did not start it looks again
# and again: many steps have ended within a few milliseconds.
rg_wait() {
  if [ -n "$rg_hears" ]; then
    read -r rg_news || rg_hears=
  else
    if [ "$rg_n" -lt 10 ]; then rg_nap=0.002; elif [ "$rg_n" -lt 30 ]; then rg_nap=0.02; else rg_nap=0.2; fi
    sleep "$rg_nap" 2>/dev/null || sleep 1
  fi
}

# Prints what the job prints from the bytes rg_out and rg_err on, until it has ended, then says where it stands.
rg_follow() {
  rg_here
  rg_look
  case $rg_standing in
    (absent,* | void | fenced | unbegun | conflict)
      rg_say "S 0 $rg_standing"
      return
      ;;
  esac
  # Its own process makes these files a moment after its claim.
  rg_n=0
  until [ -e "$rg_dir/exit" ]; do
    rg_look
    case $rg_standing in
      (running) rg_n=$((rg_n + 1)); rg_wait ;;
      (*) [ -e "$rg_dir/exit" ] || { rg_say "S 0 $rg_standing"; return; } ;;
    esac
  done
  rg_say "R 0 0"
  rg_say "R 0 0" >&2
  rg_say "A 0 $rg_age"
  exec 3<"$rg_dir/out" 4<"$rg_dir/err"
  [ "$rg_out" = 0 ] || dd bs="$rg_out" skip=1 count=0 <&3 2>/dev/null
  [ "$rg_err" = 0 ] || dd bs="$rg_err" skip=1 count=0 <&4 2>/dev/null
  # From here on a wait takes a fifth of a second where one hears of the job, and that in the end where one does not.
  rg_n=${rg_hears:+30}
  rg_n=${rg_n:-0}
  while :; do
    rg_ended=0
    ! rg_is_over || rg_ended=1
    [ ! -s "$rg_dir/out" ] || cat <&3
    [ ! -s "$rg_dir/err" ] || cat <&4 >&2
    [ "$rg_ended" = 0 ] || break
    rg_n=$((rg_n + 1))
    if [ "$rg_n" -gt 60 ]; then
      # The one who listens may be gone: then this ends here.
      rg_say "H 0 0" || return
      rg_n=35
      rg_look
      case $rg_standing in
        (running | lost,*,[1-9]*) ;;
        # It may have ended after the last look at its output.
        (*) [ "$rg_ended" = 1 ] || { cat <&3; cat <&4 >&2; }; break ;;
      esac
    fi
    rg_wait
  done
  rg_look
  rg_say "S 0 $rg_standing"
}

# Claims the job, unless somebody has: one that has not begun never will.
rg_void() {
  umask 077
  mkdir -p "$rg_dir" || return 1
  printf 'void\n' >"$rg_dir/.own.$$" && ln "$rg_dir/.own.$$" "$rg_dir/owner" 2>/dev/null
  rm -f "$rg_dir/.own.$$"
  rg_flush "$rg_dir" || :
}

# Ends the job and everything that it started: TERM, two seconds, KILL. One that has not begun never will.
rg_stop() {
  rg_here
  rg_void || return 1
  rg_look
  case $rg_standing in
    # No builtin whose failed redirection would end the shell: what cannot be kept is ended all the same.
    (running | lost,*) printf '' >"$rg_dir/stop" || : ;;
    (*)
      rg_say "S 0 $rg_standing"
      return
      ;;
  esac
  rg_n=0 rg_word=TERM
  while :; do
    rg_look
    case $rg_standing in (running | ended,* | lost,*) ;; (*) break ;; esac
    rg_members
    if [ -z "$rg_pids" ]; then
      [ "$rg_alive" = 1 ] || break
    else
      # shellcheck disable=SC2086
      kill -$rg_word $rg_pids 2>/dev/null || :
    fi
    rg_n=$((rg_n + 1))
    [ "$rg_n" -lt 20 ] || rg_word=KILL
    [ "$rg_n" -lt 40 ] || break
    sleep 0.1 2>/dev/null || sleep 1
  done
  rg_look
  rg_members
  # shellcheck disable=SC2086
  set -- $rg_pids
  rg_say "S 0 $rg_standing"
  [ $# = 0 ] && case $rg_standing in (running) false ;; esac
}
