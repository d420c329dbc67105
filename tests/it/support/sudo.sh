#!/bin/sh
# A sudo for tests, in whose own directory the password stands. It reads passwords as sudo 1.9 was seen to: up to three
# lines, byte by byte, and none where there is no need. It keeps how it was called, and every line it took for a password.
dir=${0%/*}
printf '%s\n' "$*" >>"$dir/called"
by=terminal check='' prompt=''
while :; do
  case $1 in
    (-n) by=nobody ;;
    (-S) by=input ;;
    (-v) check=yes ;;
    (-k | -H) ;;
    (-p) prompt=$2; shift ;;
    (-u) shift ;;
    (--) shift; break ;;
    (*) break ;;
  esac
  shift
done
ask() {
  case $by in
    (input) IFS= read -r line ;;
    (terminal)
      stty -echo </dev/tty
      printf '%s' "$prompt" >/dev/tty; IFS= read -r line </dev/tty
      stty echo </dev/tty ;;
  esac
}
if [ ! -e "$dir/free" ]; then
  [ "$by" != nobody ] || { echo 'sudo: a password is required' >&2; exit 1; }
  echo 'We trust you have received the usual lecture.' >&2
  tried=0
  until [ "$tried" = 3 ]; do
    ask || { printf '\nsudo: no password was provided\n' >&2; break; }
    printf '%s\n' "$line" >>"$dir/tried"
    [ "$line" != "$(cat "$dir/password")" ] || break
    tried=$((tried + 1)) line=
    echo 'Sorry, try again.' >&2
  done
  [ -n "$line" ] || { echo "sudo: $tried incorrect password attempt" >&2; exit 1; }
fi
[ -z "$check" ] || exit 0
[ ! -e "$dir/partial" ] || { echo "Sorry, user o is not allowed to execute '$*' as root on n1." >&2; exit 1; }
[ "$by" = terminal ] || echo 'Your password will expire in 3 days.'
BY_SUDO=yes exec "$@"
