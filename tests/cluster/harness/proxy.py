"""A TCP proxy in front of the API server that can be told to cut or to swallow connections.

It runs as a script within the cluster. On its Unix socket it takes a mode and for how many seconds: `pass` carries all;
`cut` resets open connections and refuses new ones, as a dead load balancer; `swallow` keeps connections open but
carries nothing, as a network partition: neither side learns of it. A swallowed connection stays silent for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys

RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Carries connections to `target` (host, port), as the present mode allows."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.mode = "pass"
        self.healing: asyncio.TimerHandle | None = None
        self.open: set[asyncio.StreamWriter] = set()
        self.silent: set[asyncio.StreamWriter] = set()

    def set_mode(self, mode: str, *, seconds: float = 0) -> None:
        """Change what happens to open and to new connections, and pass again after so many seconds."""
        if mode not in ("pass", "cut", "swallow"):
            raise ValueError(mode)
        self.mode = mode
        if self.healing is not None:
            self.healing.cancel()
        self.healing = asyncio.get_running_loop().call_later(seconds, self.set_mode, "pass") if seconds else None
        if mode == "cut":
            for writer in list(self.open):
                reset(writer)
        if mode == "swallow":
            self.silent |= self.open

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until either side ends."""
        if self.mode == "cut":
            reset(writer)
            return
        self.open.add(writer)
        if self.mode == "swallow":
            self.silent.add(writer)
        try:
            server_reader, server_writer = await asyncio.open_connection(*self.target)
        except OSError:
            self.open.discard(writer)
            reset(writer)
            return
        self.open.add(server_writer)
        both = (self.pump(reader, server_writer, writer), self.pump(server_reader, writer, writer))
        await asyncio.wait([asyncio.create_task(one) for one in both], return_when=asyncio.FIRST_COMPLETED)
        for end in (writer, server_writer):
            self.open.discard(end)
            self.silent.discard(end)
            end.close()

    async def pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, client: asyncio.StreamWriter
    ) -> None:
        """Copy one direction; what arrives while the client is silent is lost."""
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if client not in self.silent:
                    writer.write(data)
                    await writer.drain()
        while client in self.silent:
            await asyncio.sleep(0.2)  # a partition hides the other side's end as well

    async def command(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Obey one line from the harness."""
        try:
            mode, seconds = (await reader.readline()).decode().split()
            self.set_mode(mode, seconds=float(seconds))
            writer.write(b"ok\n")
        except ValueError:
            writer.write(b"not a mode and seconds\n")
        await writer.drain()
        writer.close()


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection by a reset instead of a polite close."""
    transport_socket = writer.get_extra_info("socket")
    if transport_socket is not None:
        transport_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


async def serve(control: str, host: str, port: int, target_port: int) -> None:
    proxy = Proxy((host, target_port))
    servers = (
        await asyncio.start_unix_server(proxy.command, control),
        await asyncio.start_server(proxy.carry, host, port),
    )
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
