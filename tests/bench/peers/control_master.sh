#!/bin/bash
# What a careful administrator writes: one ssh master a node, commands over it.
#   control_master.sh all FILE      the commands of a file on all nodes at once
#   control_master.sh serial FILE   node after node
#   control_master.sh TOOL          the payload to all nodes by scp, sftp, rsync or rsync-c, and its sum
set -euo pipefail
cd "$BENCH_SITE"
what=$1
mapfile -t hosts <hosts
ssh=(ssh -F ssh_config -o "ControlPath=s/%h" -o ControlPersist=60)
# So many at once.
limit=${BENCH_LOGINS:-50}

open() { "${ssh[@]}" -o ControlMaster=yes -N -f "$1"; }

commands() { # HOST FILE
    local command
    while read -r command; do
        "${ssh[@]}" -n "$1" "$command"
    done <"$2"
}

visit() { # HOST HOME FILE
    [ -S "s/$1" ] || open "$1"
    commands "$1" "$3"
}

copy() { # HOST HOME
    [ -S "s/$1" ] || open "$1"
    case $what in
        scp) scp -q "${ssh[@]:1}" payload "$1:$2/big" ;;
        sftp) sftp -q "${ssh[@]:1}" -b - "$1" <<<"put payload $2/big" >/dev/null ;;
        rsync) rsync -t -e "${ssh[*]}" payload "$1:$2/big" ;;
        rsync-c) rsync -tc -e "${ssh[*]}" payload "$1:$2/big" ;;
    esac
    "${ssh[@]}" -n "$1" "sha256sum '$2/big'"
}

if [ "$what" = serial ]; then
    for line in "${hosts[@]}"; do
        # shellcheck disable=SC2086
        visit $line "$2"
    done
    exit
fi
failed=0
running=0
for line in "${hosts[@]}"; do
    if [ $((running += 1)) -gt "$limit" ]; then wait -n || failed=1; fi
    if [ "$what" = all ]; then
        # shellcheck disable=SC2086
        visit $line "$2" &
    else
        # shellcheck disable=SC2086
        copy $line &
    fi
done
for job in $(jobs -p); do wait "$job" || failed=1; done
exit "$failed"
