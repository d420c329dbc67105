"""The nodes as pyinfra wants them."""

import os

_site = os.environ["BENCH_SITE"]
_ssh = {
    "ssh_user": os.environ["BENCH_USER"],
    "ssh_port": int(os.environ["BENCH_PORT"]),
    "ssh_key": os.environ["BENCH_KEY"],
    "ssh_known_hosts_file": os.environ["BENCH_KNOWN_HOSTS"],
    "ssh_strict_host_key_checking": "yes",
    "ssh_config_file": f"{_site}/ssh_config",
}
nodes = [
    (host, {**_ssh, "home": home}) for host, home in (line.split() for line in open(f"{_site}/hosts", encoding="utf-8"))
]
