"""An event loop of ``asyncio`` for sockets of a simulated host; its clock is the simulation's.

Each host may have a loop, in a task of its own: while one waits, the others go on.
"""

import asyncio
import sys
from asyncio import events, selector_events
from collections.abc import Coroutine, Generator, Mapping
from contextlib import contextmanager
from ipaddress import AddressValueError, IPv4Address
from socket import EAI_NONAME, gaierror
from typing import TYPE_CHECKING, Any, TypeVar

from .selectors import PollSelector, SelectorKey
from .uapi import AF_INET, SO_BROADCAST, SO_REUSEADDR, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET
from .uapi_options import SO_REUSEPORT

if TYPE_CHECKING:
    from .core.net import Net

__all__ = ["EventLoop", "run"]

T = TypeVar("T")


class _Selector(PollSelector):
    """Waits as a task of the world: meanwhile the thread is another one's, who may run a loop, too.

    Members
    -------
    outside : tuple
        Hooks of asynchronous generators that the thread has but for this loop.
    """

    outside: tuple[Any, Any] = (None, None)

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        loop, hooks = events._get_running_loop(), sys.get_asyncgen_hooks()
        events._set_running_loop(None)
        sys.set_asyncgen_hooks(*self.outside)
        try:
            return super().select(timeout)
        finally:
            events._set_running_loop(loop)
            sys.set_asyncgen_hooks(*hooks)


@contextmanager
def _closed_on_error(sock: Any) -> Generator[Any, None, None]:
    """Close a socket if what is done with it here fails."""
    try:
        yield sock
    except BaseException:
        sock.close()
        raise


class EventLoop(selector_events.BaseSelectorEventLoop):
    """An event loop of a host (Python: ``asyncio.SelectorEventLoop``), with streams and datagrams of its stack.

    Hosts are IPv4 addresses. Nothing here waits for the real world: no subprocesses, no signals, and a function in an
    executor is waited for by nobody.

    Parameters
    ----------
    net : Net
        The namespace whose sockets it makes.
    """

    def __init__(self, net: "Net") -> None:
        self.net = net
        self._selector: _Selector
        super().__init__(_Selector(net.kernel))

    def run_forever(self) -> None:
        """Run until it is stopped."""
        self._selector.outside = sys.get_asyncgen_hooks()
        super().run_forever()

    def time(self) -> float:
        """Return the simulated time in s."""
        return self.net.kernel.now_ns() / 1e9

    # Who calls from elsewhere, such as a timer of the simulation, wakes it; there are no threads.

    def _make_self_pipe(self) -> None:
        pass

    def _close_self_pipe(self) -> None:
        pass

    def _write_to_self(self) -> None:
        self._selector.wake()

    async def getaddrinfo(
        self, host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> list[Any]:
        """Return what an address stands for; nobody is asked for names.

        Raises
        ------
        socket.gaierror
            If it is no IPv4 address.
        """
        if host in (None, "", "<broadcast>"):
            return [(AF_INET, type, proto, "", (host or "0.0.0.0", port or 0))]
        try:
            IPv4Address(host)
        except AddressValueError:
            raise gaierror(EAI_NONAME, f"{host!r} is no IPv4 address, and there are no names") from None
        return [(AF_INET, type, proto, "", (host, port or 0))]

    def _socket(self, kind: int, address: Any, options: Mapping[int, bool] | None = None) -> Any:
        """Make a socket that does not wait, with options of ``SOL_SOCKET``, at a local address if one is given."""
        sock = self.net.socket(AF_INET, kind)
        with _closed_on_error(sock):
            sock.setblocking(False)
            for option, wanted in (options or {}).items():
                sock.setsockopt(SOL_SOCKET, option, int(wanted))
            if address is not None:
                sock.bind((address[0] or "", address[1] or 0))
        return sock

    async def create_connection(
        self, protocol_factory: Any, host: Any = None, port: Any = None, *, local_addr: Any = None, **options: Any
    ) -> tuple[Any, Any]:
        """Connect to a server; options as in ``asyncio``."""
        if host is None and port is None:
            return await super().create_connection(protocol_factory, **options)
        if options.get("ssl"):
            options.setdefault("server_hostname", host)
        with _closed_on_error(self._socket(SOCK_STREAM, local_addr)) as options["sock"]:
            await self.sock_connect(options["sock"], (host, port))
            return await super().create_connection(protocol_factory, **options)

    async def create_server(
        self,
        protocol_factory: Any,
        host: Any = None,
        port: Any = None,
        *,
        reuse_address: bool | None = None,
        reuse_port: bool | None = None,
        **options: Any,
    ) -> Any:
        """Let others connect, to one address or to all; options as in ``asyncio``.

        Raises
        ------
        ValueError
            For several addresses.
        """
        if host is None and port is None:
            return await super().create_server(protocol_factory, **options)
        if not isinstance(host, str | None):
            raise ValueError(f"one address, or '' for all, not {host!r}: make a server for each")
        reuse = {SO_REUSEADDR: reuse_address is None or reuse_address, SO_REUSEPORT: bool(reuse_port)}
        with _closed_on_error(self._socket(SOCK_STREAM, (host, port), reuse)) as options["sock"]:
            return await super().create_server(protocol_factory, **options)

    async def create_datagram_endpoint(
        self,
        protocol_factory: Any,
        local_addr: Any = None,
        remote_addr: Any = None,
        *,
        reuse_port: bool | None = None,
        allow_broadcast: bool | None = None,
        sock: Any = None,
        **options: Any,
    ) -> tuple[Any, Any]:
        """Send and receive datagrams, with ``remote_addr`` of one peer only; options as in ``asyncio``."""
        if sock is None:
            reuse = {SO_REUSEPORT: bool(reuse_port), SO_BROADCAST: bool(allow_broadcast)}
            sock = self._socket(SOCK_DGRAM, local_addr, reuse)
        with _closed_on_error(sock):
            if remote_addr is not None:
                await self.sock_connect(sock, remote_addr)
            return await super().create_datagram_endpoint(protocol_factory, sock=sock, **options)


def run(net: "Net", main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a host in a loop of its own, and return its result (Python: ``asyncio.run``)."""
    with asyncio.Runner(loop_factory=lambda: EventLoop(net)) as runner:
        return runner.run(main)
