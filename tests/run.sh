#!/bin/bash
# Installs what the tests need, runs all of them and the demo, and says how many passed.
set -eu
set -o pipefail
cd "$(dirname "$0")/.."

missing=
need() { # PROGRAM PACKAGE
    PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null || missing="$missing $2"
}
need sshd openssh-server
need ssh openssh-client
need ssh-keygen openssh-client
need dash dash
need busybox busybox
need man man-db
need cc gcc
need c++ g++
need jq jq
need curl curl
need wget wget
need systemd-analyze systemd
need zsh zsh
need fish fish
# Its base package has not what reads JSON.
perl -MJSON::PP -e 1 2>/dev/null || missing="$missing perl"
# They read the schema and YAML independently of rollgate; Debian's own Python, whatever else is in PATH.
/usr/bin/python3 -c 'import jsonschema' 2>/dev/null || missing="$missing python3-jsonschema"
/usr/bin/python3 -c 'import yaml' 2>/dev/null || missing="$missing python3-yaml"
# The lab's hosts are booted by root; others are told what was left out.
skip=
if [ "$(id -u)" = 0 ]; then
    need debootstrap debootstrap
    need systemd-nspawn systemd-container
    need ip iproute2
    need dpkg-shlibdeps dpkg-dev
elif [ "${CI:-}" = true ]; then
    echo "tests: the lab boots real hosts and needs root; run it as: sudo -E tests/run.sh" >&2
    exit 1
else
    skip="--skip lab::"
fi
if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        # shellcheck disable=SC2086
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing
    else
        echo "tests: missing:$missing; install it: sudo apt-get install$missing" >&2
        exit 1
    fi
fi
command -v cargo >/dev/null || {
    echo "tests: cargo is missing; see https://rustup.rs" >&2
    exit 1
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
passed=0 failed=0

# Built here once, which takes minutes, so that no test waits for it: the hosts, and what is installed on them.
if [ -z "$skip" ]; then
    tests/lab/up --image
    cargo deb --version >/dev/null 2>&1 || cargo install --quiet --locked --debug cargo-deb@3.8.0
    tests/lab/pack
fi

# Every test binary is run, also after one that failed. What those that passed have measured comes at the end. Tests
# mostly wait, for hosts that boot and gates that open: one more at a time than there are cores.
status=0
# shellcheck disable=SC2086
cargo test --locked --no-fail-fast -- --show-output --test-threads=$(($(nproc) + 1)) $skip 2>&1 | tee "$log" |
    sed -u '/^successes:$/,/^\(failures:\|test result:\)/ { /^\(failures:\|test result:\)/!d }' || status=1
while read -r ok bad; do
    passed=$((passed + ok)) failed=$((failed + bad))
done <<END
$(sed -n 's/^test result: .* \([0-9][0-9]*\) passed; \([0-9][0-9]*\) failed;.*/\1 \2/p' "$log")
END
# What does not compile counts as well.
if [ "$status" != 0 ] && [ "$failed" = 0 ]; then failed=1; fi

if cargo run --release --locked --example demo -- --yes </dev/null; then
    passed=$((passed + 1))
else
    failed=$((failed + 1))
    echo "tests: the demo failed" >&2
fi
# Where nobody can be asked nobody said yes: the upgrade does not begin.
if ! said=$(cargo run --release --locked --example demo </dev/null 2>&1) &&
    [[ $said == *"no yes was given (exit 11)"* ]]; then
    passed=$((passed + 1))
else
    failed=$((failed + 1))
    echo "$said"
    echo "tests: the demo went on, or failed, where nobody can be asked" >&2
fi

# Long enough to try what was learned before and to see that it works: for more, see tests/fuzz/README.md.
fuzzed=$(tests/fuzz/run "${FUZZ_SECONDS:-10}") || true
ran=$(grep -c '^fuzz: .* runs in .*, no finding$' <<<"$fuzzed" || true)
passed=$((passed + ran))
if [ "$ran" != 4 ]; then
    failed=$((failed + 4 - ran))
    echo "tests: the fuzzer found something, or did not run: $ran of 4 targets say that they did" >&2
fi

echo "measured:"
awk '/^---- .* stdout ----$/ { test = $2; next } /^$/ { test = "" } test && shown[test]++ < 3 { print "  " test ": " $0 }' "$log"
[ -z "$fuzzed" ] || sed 's/^/  /' <<<"$fuzzed"
if [ -n "$skip" ]; then
    left=$(cargo test --locked --quiet --test it -- --list lab:: 2>/dev/null | grep -c ': test$' || true)
    echo "tests: $left lab tests were NOT run: they boot real hosts and need root (sudo -E tests/run.sh)" >&2
fi
echo "$passed passed, $failed failed${skip:+, $left not run}"
[ "$failed" = 0 ]
