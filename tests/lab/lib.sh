# What the lab's commands share. Sourced, by bash, as root.
# shellcheck shell=bash
set -euo pipefail
umask 022
PATH=$PATH:/usr/sbin:/sbin

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
store=${ROLLGATE_LAB_DIR:-/var/cache/rollgate-lab}
# How many seconds a node has to answer, and a killed one to be gone.
patience=60

die() {
    echo "lab: $*" >&2
    exit 1
}

needs_root() {
    [ "$(id -u)" = 0 ] || die "the lab boots real hosts and needs root; try: sudo ${0##*/}"
    local missing=
    local program
    for program in debootstrap:debootstrap systemd-nspawn:systemd-container ip:iproute2 ssh-keygen:openssh-client \
        setpriv:util-linux flock:util-linux; do
        command -v "${program%%:*}" >/dev/null || missing="$missing ${program##*:}"
    done
    [ -z "$missing" ] || die "missing:$missing; install it: apt-get install$missing"
    mkdir -p "$store/labs"
}

# A name of a lab or node, safe in paths, in host names and in names of interfaces.
named() { # WHAT NAME
    [[ $2 =~ ^[a-z0-9][a-z0-9-]{0,23}$ ]] || die "$1 \`$2\`: at most 24 of a-z, 0-9 and -, no - first"
}

# A process by id and time of birth, so that an id that was given out again is not taken for it.
identity() { # PID
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    # The name in parentheses may hold anything, so count from behind it: the 22nd field is the 20th then.
    # shellcheck disable=SC2086
    set -- "$1" ${stat##*) }
    [ "$2" != Z ] && echo "$1 ${21}"
}

alive() { # FILE with an identity
    local pid born
    read -r pid born 2>/dev/null <"$1" || return 1
    [ "$(identity "$pid")" = "$pid $born" ]
}

end() { # FILE with an identity
    local pid
    if alive "$1"; then
        read -r pid _ <"$1"
        kill -9 "$pid" 2>/dev/null || true
    fi
}

# Where a node's processes are counted, one directory for each hierarchy that follows processes.
cgroups() { # LAB NODE
    local root
    for root in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
        [ ! -e "$root/cgroup.procs" ] || echo "$root/$(tag "$1").$2"
    done
}

# A short name for a lab, the same for nobody else's lab on this machine.
tag() { # LAB
    printf 'rgl-%.8s' "$(printf '%s' "$store/labs/$1" | sha256sum)"
}

# What systemd-nspawn calls a node. It names the node's interface on the bridge after it, and a longer name
# would be replaced by another.
machine() { # LAB NODE
    local lab
    lab=$(tag "$1")
    printf '%s%.4s' "${lab#rgl-}" "$(printf '%s' "$2" | sha256sum)"
}

# The kernel takes a dead node's interface away in its own time, and until then the node cannot have it again.
unplug() { # LAB NODE
    local port
    port=vb-$(machine "$1" "$2")
    [ ! -e "/sys/class/net/$port" ] || ip link delete "$port" 2>/dev/null || [ ! -e "/sys/class/net/$port" ]
}

inhabitants() { # LAB NODE
    local group
    for group in $(cgroups "$1" "$2"); do
        [ ! -d "$group" ] || find "$group" -name cgroup.procs -exec cat {} + 2>/dev/null || true
    done | sort -un
}

# Ends every process of a node at once, its supervisor included: what a power cut is. Nothing is flushed,
# nothing is told to stop; what was written to files stays, for the disk is this machine's.
cut_power() { # LAB NODE
    local lab=$1 node=$2 until=$((SECONDS + patience)) pids pid killed=
    end "$store/labs/$lab/nodes/$node/supervisor"
    while pids=$(inhabitants "$lab" "$node") && [ -n "$pids" ]; do
        [ $SECONDS -lt $until ] || die "$node: these processes do not end: ${pids//$'\n'/ }"
        # shellcheck disable=SC2086
        kill -9 $pids 2>/dev/null || true
        killed="$killed $pids"
        sleep 0.02
    done
    # A process leaves its control group a moment before it is gone, and its file systems with it.
    for pid in $killed; do
        while identity "$pid" >/dev/null && [ $SECONDS -lt $until ]; do sleep 0.02; done
    done
    until ! alive "$store/labs/$lab/nodes/$node/supervisor"; do
        [ $SECONDS -lt $until ] || die "$node: its supervisor does not end"
        sleep 0.05
    done
    unplug "$lab" "$node"
}

power_on() { # LAB NODE
    local dir=$store/labs/$1 node=$2
    alive "$dir/nodes/$node/supervisor" && die "$node is on already"
    # A mount namespace of its own: the node's file systems go with its processes.
    setsid unshare --mount --propagation private "$here/supervise" "$1" "$node" \
        </dev/null >>"$dir/nodes/$node/console.log" 2>&1 7>&- &
    identity $! >"$dir/nodes/$node/supervisor" || die "$node does not start; see $dir/nodes/$node/console.log"
}

await_login() { # LAB NODE
    local dir=$store/labs/$1 node=$2 until=$((SECONDS + patience))
    until ssh -F "$dir/ssh_config" -o ConnectTimeout=2 "ops@$node" true 2>"$dir/nodes/$node/login.err"; do
        alive "$dir/nodes/$node/supervisor" ||
            die "$node went off: $(tail -n 3 "$dir/nodes/$node/console.log"); see $dir/nodes/$node/console.log"
        [ $SECONDS -lt $until ] ||
            die "$node: no login after $patience s: $(tail -n 1 "$dir/nodes/$node/login.err")"
        sleep 0.1
    done
}

# Each node's systemd watches files through ten inotify instances, and root may have 128 by default. The limit
# is raised while there are labs. Call it with the lab's directory made, so that nobody lowers it again.
limit=/proc/sys/fs/inotify/max_user_instances
raise_limit() {
    local now
    now=$(cat $limit)
    [ "$now" -lt 1024 ] || return 0
    echo "$now" >"$store/inotify"
    echo 1024 >$limit || echo "lab: $limit is $now and cannot be raised; that is enough for $((now / 12)) nodes" >&2
}

restore_limit() {
    (
        flock 9
        if [ -e "$store/inotify" ] && [ -z "$(ls "$store/labs")" ]; then
            cat "$store/inotify" >$limit
            rm "$store/inotify"
        fi
    ) 9>"$store/lock"
}

# Ends a lab and removes every trace of it.
take_down() { # LAB
    local lab=$1 dir=$store/labs/$1 node group
    [ ! -e "$dir/keeper" ] || [ "$(cut -d' ' -f1 "$dir/keeper")" = $$ ] || end "$dir/keeper"
    for node in "$dir"/nodes/*/; do
        [ -d "$node" ] || continue
        node=$(basename "$node")
        cut_power "$lab" "$node"
        for group in $(cgroups "$lab" "$node"); do
            [ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
        done
    done
    [ ! -e "/sys/class/net/$(tag "$lab")" ] || ip link delete "$(tag "$lab")"
    rm -rf "$dir"
}
