"""What pyinfra does: BENCH_WHAT is `read FILE`, `change FILE` or `copy`."""

import os

from pyinfra import host
from pyinfra.facts.server import Command
from pyinfra.operations import files, server

_site = os.environ["BENCH_SITE"]
_what, _, _file = os.environ["BENCH_WHAT"].partition(" ")

if _what == "copy":
    files.put(src=f"{_site}/payload", dest=f"{host.data.home}/big", atime=False, mtime=False)
    server.shell(commands=['sha256sum "$HOME/big"'])
else:
    for _command in open(f"{_site}/{_file}", encoding="utf-8"):
        if _what == "read":
            print(host.get_fact(Command, _command.strip()))
        else:
            server.shell(commands=[_command.strip()])
