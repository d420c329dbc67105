# Given beside what the supervisor is given: rg_sign rg_needles rg_awk. What the script prints goes through a filter
# that knows the secrets, so that none of them comes into a file. The filter ends when nobody can print any more: what
# a script leaves running in the background has it for as long as it lives, and nobody waits for that.

# Starts a filter in front of the file $1.
rg_filter() {
  (
    # What ends the job must not end it: it still has to say what the job printed last.
    trap '' HUP INT TERM
    printf '%s\n' "$rg_sign" "$rg_dir/.$1.heard" "$rg_needles" |
      LC_ALL=C awk $rg_live "$rg_awk" - "$rg_dir/.$1.pipe" >>"$rg_dir/$1" 2>/dev/null
  ) 5>&- 6>&- 7>&- 8>&- 9>&- &
}

# Waits until the filter $1, process $2, has passed on everything up to its sign. False when there is none.
rg_heard() {
  rg_n=0
  until [ -e "$rg_dir/.$1.heard" ]; do
    rg_started "$2" || [ -e "$rg_dir/.$1.heard" ] || return 1
    rg_n=$((rg_n + 1))
    # mawk takes no notice of what stands behind a NUL up to the end of its line, and the sign may.
    [ $((rg_n % 50)) != 0 ] || [ "$#" = 2 ] || (printf '%s\n' "$rg_sign" >&"$3") 2>/dev/null &
    sleep 0.01 2>/dev/null || sleep 1
  done
  rm -f "$rg_dir/.$1.heard"
}

rg_veil() {
  # Without it mawk reads whole blocks, and nobody sees a line before they are full.
  rg_live=
  case $(awk -W version </dev/null 2>&1) in (mawk*) rg_live='-W interactive' ;; esac
  rm -f "$rg_dir/.out.pipe" "$rg_dir/.err.pipe" "$rg_dir/.out.heard" "$rg_dir/.err.heard"
  mkfifo "$rg_dir/.out.pipe" "$rg_dir/.err.pipe" || return 1
  # Opened for both, an end of a pipe waits for no other.
  exec 5<>"$rg_dir/.out.pipe" 6<>"$rg_dir/.err.pipe"
  exec 7>"$rg_dir/.out.pipe" 8>"$rg_dir/.err.pipe"
  rg_filter out
  rg_filter_out=$!
  rg_filter err
  rg_filter_err=$!
  rg_ask && rg_heard out "$rg_filter_out" && rg_heard err "$rg_filter_err" || return 1
  rm -f "$rg_dir/.out.pipe" "$rg_dir/.err.pipe"
  # From here on a filter that ends ends whoever prints, as a closed pipe does.
  exec 5>&- 6>&-
}

rg_ask() { printf '%s\n' "$rg_sign" >&7 && printf '%s\n' "$rg_sign" >&8; }

rg_veiled() {
  rg_run </dev/null >&7 2>&8 7>&- 8>&-
  rg_code=$?
  # Where a filter is gone nobody reads.
  trap '' PIPE
  rg_ask
  rg_heard out "$rg_filter_out" 7
  rg_heard err "$rg_filter_err" 8
  exec 7>&- 8>&-
}
