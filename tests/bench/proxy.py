"""A delay in both directions before TCP servers: proxy.py MILLISECONDS LISTEN:PORT=SERVER:PORT...

Bytes arrive so many milliseconds after they were sent, as many a second as were sent; the three ways of a TCP
handshake count as well. It says `ready` when it listens and ends with its parent.
"""

import asyncio
import collections
import socket
import sys

# More than 50 ms of what a loopback connection carries under ssh.
IN_FLIGHT = 64 << 20


class End(asyncio.Protocol):
    """One end of a connection: what comes in leaves at the other end, later."""

    def __init__(self, proxy, peer=None):
        self.proxy, self.peer = proxy, peer
        self.loop = proxy.loop
        self.transport = None
        self.queue = collections.deque()
        self.held = 0
        self.timer = None
        self.not_before = 0.0

    def connection_made(self, transport):
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport.set_write_buffer_limits(high=IN_FLIGHT)
        if self.peer is None:
            # SYN, SYN and ACK, ACK: the server knows of the connection after three ways.
            self.not_before = self.loop.time() + 3 * self.proxy.delay
            self.loop.call_at(self.not_before, self.reach_server)
        else:
            self.peer.peer = self
            if self.peer.transport.is_closing():
                transport.close()
            self.peer.flush()

    def reach_server(self):
        self.loop.create_task(self.connect())

    async def connect(self):
        host, port = self.proxy.server
        try:
            await self.loop.create_connection(lambda: End(self.proxy, self), host, port)
        except OSError:
            self.transport.abort()

    def data_received(self, data):
        self.put(data)

    def eof_received(self):
        self.put(None)
        return True

    def connection_lost(self, error):
        if self.peer and self.peer.transport:
            if error is None:
                self.peer.transport.close()
            else:
                self.peer.transport.abort()

    def put(self, data):
        self.queue.append((max(self.loop.time() + self.proxy.delay, self.not_before), data))
        self.held += len(data or b"")
        if self.held > IN_FLIGHT:
            self.transport.pause_reading()
        if self.timer is None:
            self.flush()

    def flush(self):
        """Lets go what is due, and sets the clock for what is next."""
        self.timer = None
        if self.peer is None or self.peer.transport is None:
            return
        out = self.peer.transport
        now = self.loop.time()
        while self.queue and self.queue[0][0] <= now:
            _, data = self.queue.popleft()
            if data is None:
                # ssh says nothing more once the other side has hung up.
                out.close()
            elif not out.is_closing():
                out.write(data)
                self.held -= len(data)
        if self.held <= IN_FLIGHT and not self.transport.is_closing():
            self.transport.resume_reading()
        if self.queue:
            self.timer = self.loop.call_at(self.queue[0][0], self.flush)


class Proxy:
    """One address that is listened at, and the server behind it."""

    def __init__(self, loop, delay, listen, server):
        self.loop, self.delay = loop, delay
        self.listen, self.server = listen, server

    async def start(self):
        return await self.loop.create_server(lambda: End(self), *self.listen, backlog=128)


def place(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)


async def main(delay, pairs):
    loop = asyncio.get_running_loop()
    servers = []
    for pair in pairs:
        listen, server = map(place, pair.split("="))
        servers.append(await Proxy(loop, delay, listen, server).start())
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) / 1000, sys.argv[2:]))
