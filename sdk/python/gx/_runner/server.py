"""web_server: a server that the user's function starts in the container.

For each request the host gets a connection to it, which is made here: the
server may listen on the container's loopback alone.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from time import monotonic

from gx._runner import errors
from gx._runner.exchange import Exchange

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, List, Optional

    from gx._runner.web import Web

_LOOK = 0.01  # seconds between two attempts to connect
_REFUSALS = 3  # connections in a row that are refused before the container gives up


class Server:
    """Hands out connections to the server on a port."""

    def __init__(self, web: Web, target: Callable, settings: dict) -> None:
        self.web = web
        self.target = target
        self.port = int(settings["port"])
        self.patience = float(settings.get("startup_timeout") or 5)
        self._family = socket.AF_INET
        self._refused = 0

    async def startup(self) -> None:
        """Starts the server and waits until it listens. Raises ExecutionError if it does not in time."""
        value = self.target()
        if hasattr(value, "__await__"):
            await value
        end = monotonic() + self.patience
        while True:
            for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
                connection = await self._connect(family, host)
                if connection is not None:
                    connection.close()
                    self._family = family
                    return
            if monotonic() >= end:
                break
            await asyncio.sleep(_LOOK)
        name = getattr(self.target, "__qualname__", "the function")
        ports = listening()
        seen = f"what listens in the container is on {', '.join(map(str, ports))}" if ports else "nothing listens in the container"
        raise errors.make(
            "ExecutionError",
            f"{name} is a web_server({self.port}), and nothing listened on port {self.port} within its startup_timeout of {self.patience:g} s; {seen}. "
            "Does the function start the server and return? A server that needs longer is given more with web_server(port, startup_timeout=...)",
        )

    async def shutdown(self) -> None:
        """Nothing: the server ends with the container."""

    async def serve(self, exchange: Exchange) -> None:
        """Gives the host a connection, and returns when the host is done with it."""
        host = "127.0.0.1" if self._family == socket.AF_INET else "::1"
        connection = await self._connect(self._family, host)
        if connection is None:
            self._refused += 1
            print(f"gx: nothing listens on port {self.port} any more: has the server ended?", file=sys.stderr)
            exchange.begin(502, ((b"content-type", b"text/plain; charset=utf-8"),), b"gx: the server in the container does not listen any more\n", False)
            if self._refused >= _REFUSALS:
                self._give_up()
            return
        self._refused = 0
        done = self.web.loop.create_future()

        def heard() -> None:
            if exchange.gone and not done.done():
                done.set_result(None)

        exchange.heard = heard
        with connection:
            exchange.connection(connection.fileno())
        heard()
        await done

    async def _connect(self, family: int, host: str) -> Optional[Any]:
        """A connection to the server, or None if it does not listen."""
        connection = socket.socket(family, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            await asyncio.wait_for(self.web.loop.sock_connect(connection, (host, self.port)), 5)
        except (OSError, asyncio.TimeoutError):
            connection.close()
            return None
        return connection

    def _give_up(self) -> None:
        """Ends the container: another one can start the server anew."""
        runner = self.web.runner
        if runner.stopping is None:
            runner.stopping = {"reason": "its server has ended"}
            self.web.loop.call_soon(self.web._begin)


def listening() -> List[int]:
    """The TCP ports that something listens on, in this network."""
    ports: set = set()
    for file in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(file) as table:
                rows = [line.split() for line in table][1:]
        except OSError:
            continue
        ports.update(int(row[1].rpartition(":")[2], 16) for row in rows if len(row) > 3 and row[3] == "0A")
    return sorted(ports)
