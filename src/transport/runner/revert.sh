# A change that its node undoes by itself unless somebody decides otherwise in time. Whoever makes the link `verdict`
# first has decided: a new login that confirms the change, rollgate that undoes it, or the time that is over.

# Makes that link with the file $1; sets rg_verdict to what it says, whoever made it. `pending` when it could not be made.
rg_decide_with() {
  ln "$1" "$rg_dir/verdict" 2>/dev/null || :
  rg_verdict=pending
  [ ! -e "$rg_dir/verdict" ] || read -r rg_verdict <"$rg_dir/verdict" || :
  # Whoever is told of a decision can rely on it, also after a power cut.
  rg_flush "$rg_dir/verdict" "$rg_dir"
}

# Whether the time is over by so many hundredths of a second. One that decides nothing by then decides nothing more:
# the node undoes it, also where it can keep no word of that. Given: rg_until.
rg_is_over_by() {
  rg_clock
  [ "$((rg_now - rg_until))" -ge "$1" ]
}
# Others decide nothing any more when it is over by so much, and the undo begins a while later.
rg_last_word=1500
rg_last_look=2000

# The timer's own side, before the undo. Given: rg_after; rg_change, where the job is that makes the change; and
# rg_stop_change, which ends it with the rights for that. False when the change stays, or somebody else undoes it.
rg_hold() {
  # It has its place before the time is over: a full disk cannot keep the node closed.
  printf 'reverted\n' >"$rg_dir/.reverted" || return 1
  rg_flush "$rg_dir/.reverted" "$rg_dir"
  rg_clock
  rg_until=$((rg_now + rg_after))
  printf '%s\n' "$rg_until" >"$rg_dir/.armed" && mv -f "$rg_dir/.armed" "$rg_dir/armed" || return 1
  rg_tell armed
  while [ ! -e "$rg_dir/verdict" ]; do
    if rg_is_over_by 0; then
      rg_decide_with "$rg_dir/.reverted"
      [ "$rg_verdict" = pending ] || break
      # Where no word can be kept, as on a disk that has become read-only, nobody can have confirmed it either.
      ! rg_is_over_by "$rg_last_look" || { rg_verdict=reverted; break; }
      sleep 1
    elif [ $((rg_until - rg_now)) -gt 100 ]; then
      sleep 1
    else
      sleep 0.05 2>/dev/null || sleep 1
    fi
  done
  [ ! -e "$rg_dir/verdict" ] || read -r rg_verdict <"$rg_dir/verdict" || :
  [ "$rg_verdict" = reverted ] || return 1
  # What makes the change may still be at it, or have never begun: then it never does. The claim belongs to whom the
  # records belong to, whatever rights it takes to end the change.
  (rg_dir=$rg_change && rg_void) >/dev/null 2>&1 || :
  (rg_stop_change) >/dev/null 2>&1 || :
}

# Says where the timer stands when it holds, or never will.
rg_armed() {
  rg_here
  rg_n=0
  while :; do
    rg_look
    case $rg_standing in (running) [ ! -e "$rg_dir/armed" ] || break ;; (*) break ;; esac
    rg_n=$((rg_n + 1))
    rg_wait
  done
  rg_say "S 0 $rg_standing"
}

# Whether the node has undone it though it could keep no word of that: then that is the word that is kept.
rg_is_undone() {
  [ -e "$rg_dir/armed" ] && read -r rg_until <"$rg_dir/armed" && [ -n "$rg_until" ] || return 1
  rg_look
  [ "$rg_rebooted" = 0 ] && rg_is_over_by "$rg_last_word" || return 1
  rg_word=reverted
}

# Decides by the word rg_word, unless somebody has; without one it only looks. A timer that was never started never
# will be.
rg_decide() {
  umask 077
  rg_here
  mkdir -p "$rg_dir" || return 1
  if [ -n "$rg_word" ]; then
    rg_void
    rg_is_undone || :
    printf '%s\n' "$rg_word" >"$rg_dir/.word.$$" && rg_decide_with "$rg_dir/.word.$$"
    rm -f "$rg_dir/.word.$$"
  fi
  rg_verdict=pending
  [ ! -e "$rg_dir/verdict" ] || read -r rg_verdict <"$rg_dir/verdict" || :
  rg_say "D 0 $rg_verdict"
}
