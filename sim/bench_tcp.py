"""Figures of TCP: streams and connections between two cards, against what the cards allow; memory of connections."""

import gc
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..stack.core.dev_register import dev_open
from ..stack.core.net import Kernel, Net
from ..stack.drivers.veth import veth_newlink
from ..stack.iproute import addr_add
from ..stack.uapi import AF_INET, SOCK_STREAM
from .bench_receive import Receiver
from .bus_model import BusModel
from .lan import Lan
from .link import Link
from .nic import SimNic
from .raw_queue import RawQueue
from .world import World

__all__ = ["Stream", "connections", "memory_of_connections", "pair_speed", "streams"]

_REPEATS = 9
_OCTETS = 1_000_000
_CHUNK = 65536
_FCS = 4
_DATA_OCTETS, _ACK_OCTETS = 1518, 70  # Of frames with a full segment and with none, time stamps and FCS in.
_BROADCAST = b"\xff" * 6
_SERVER = ("10.0.0.2", 7)
_CONNECTIONS = 200
_MODERATED_USECS = 50  # Four full frames.


def pair_speed(frames: int = 600) -> float:
    """Return cycles a second that two cards on a cable pass, with the frames of a stream but no Python in the loop.

    One sends frames of full segments back to back, and the other one an acknowledgement for every second, as in a
    stream. That is what the models can do at most: where nothing moves, cycles are skipped, which says nothing.

    Raises
    ------
    RuntimeError
        If a frame is missing.
    """
    world = World()
    cards = [SimNic(world.host(), bus=BusModel()) for _ in range(2)]
    Link(*cards)
    world.advance(100_000)  # After reset the table of VLANs is emptied.
    counts = frames, frames // 2
    receivers = []
    for card, other, count, octets in zip(cards, cards[::-1], counts, (_DATA_OCTETS, _ACK_OCTETS), strict=True):
        receivers.append(Receiver(other, count, octets))
        sender = RawQueue(card, ring_log2=(count + 1).bit_length())
        sender.fill(_BROADCAST + bytes(octets - _FCS - len(_BROADCAST)))
        sender.ring_doorbell(count)
    before, started = cards[0].cycle, time.perf_counter()
    world.drain()
    speed = (cards[0].cycle - before) / (time.perf_counter() - started)
    arrived = tuple(receiver.received() for receiver in receivers)
    if arrived != counts:
        raise RuntimeError(f"{arrived} of {counts} frames arrived")
    return speed


class Stream:
    """A connection between two hosts with cards on a cable.

    Parameters
    ----------
    rx_usecs : int or None
        How long the cards wait for further frames before they interrupt (``ethtool -C``); None: as the driver has it.

    Members
    -------
    world : World
        Theirs.
    """

    def __init__(self, rx_usecs: int | None = None) -> None:
        self.world = World()
        near, self._far = Lan(self.world).machines
        for machine in (near, self._far):
            machine.dev.ethtool_ops.set_coalesce(rx_coalesce_usecs=rx_usecs)
        self._client = near.net.socket(AF_INET, SOCK_STREAM)
        listener = self._far.net.socket(AF_INET, SOCK_STREAM)
        listener.bind(_SERVER)
        listener.listen(1)
        self.world.run(self._client.connect, _SERVER)
        self._server = self.world.run(listener.accept)[0]
        self.speed(500_000)  # Slow start is over, and all that is loaded once was.

    def speed(self, octets: int) -> float:
        """Send so many octets, and return how many arrive in a second of real time.

        Raises
        ------
        RuntimeError
            If others arrive.
        """
        chunk = bytes(range(256)) * (_CHUNK // 256)

        def send() -> None:
            left = octets
            while left:
                left -= self._client.send(chunk[: min(left, _CHUNK)])

        def receive() -> int:
            got = 0
            while got < octets:
                got += len(self._server.recv(4 * _CHUNK))
            return got

        started = time.perf_counter()
        self.world.spawn(send)
        arrived: int = self.world.run(receive)
        per_s = arrived / (time.perf_counter() - started)
        if arrived != octets:
            raise RuntimeError(f"{arrived} octets arrived of {octets}")
        self.world.drain()
        return per_s


def streams(repeats: int = _REPEATS, octets: int = _OCTETS) -> dict[str, float]:
    """Return octets a second of real time of a stream between two cards, their cycles a second, and the ratio; medians.

    Each cycle a card could take one octet. ``moderated_ratio`` is that of a stream whose cards interrupt for several
    frames at once, so that their segments go up as one packet (GRO); the other's interrupt for each.
    """
    stream, moderated = Stream(), Stream(_MODERATED_USECS)
    speeds, limits, ratios, moderated_ratios = [], [], [], []
    for _ in range(repeats):
        # In turns, so that a change of the computer's speed meets all.
        before, speed, other, after = pair_speed(), stream.speed(octets), moderated.speed(octets), pair_speed()
        limit = (before + after) / 2
        speeds.append(speed)
        limits.append(limit)
        ratios.append(speed / limit)
        moderated_ratios.append(other / limit)
    return {
        "octets_per_s": statistics.median(speeds),
        "pair_cycles_per_s": statistics.median(limits),
        "ratio": statistics.median(ratios),
        "moderated_ratio": statistics.median(moderated_ratios),
    }


def connections(count: int = _CONNECTIONS) -> float:
    """Return how many connections between two cards are opened and closed a second of real time, one by one."""
    world = World()
    near, far = Lan(world).machines

    def server() -> None:
        listener = far.net.socket(AF_INET, SOCK_STREAM)
        listener.bind(_SERVER)
        listener.listen(8)
        while True:
            sock, _ = listener.accept()
            sock.recv(1)  # Until the other end closes.
            sock.close()

    def client(times: int) -> None:
        for _ in range(times):
            with near.net.socket(AF_INET, SOCK_STREAM) as sock:
                sock.connect(_SERVER)

    world.spawn(server)
    world.run(client, 10)  # Warm up; ARP.
    started = time.perf_counter()
    world.run(client, count)
    world.drain()
    wall_s = time.perf_counter() - started
    opened, left = far.net.mib["Tcp:PassiveOpens"], far.net.mib["Tcp:CurrEstab"]
    if (opened, left) != (count + 10, 0):
        raise RuntimeError(f"{opened} connections were opened of {count + 10}, and {left} are left")
    return count / wall_s


def memory_of_connections(count: int = 300) -> dict[str, float]:
    """Return how many octets of Python a connection that is established takes at each end, and one in TIME_WAIT."""
    world = World()
    kernel = Kernel(world.host())
    nets = kernel.init_net, Net(kernel)
    for number, dev in enumerate(veth_newlink(nets[0], "veth0", nets[1], "veth0"), 1):
        dev_open(dev)
        addr_add(dev, f"10.0.0.{number}/24")
    listener = nets[1].socket(AF_INET, SOCK_STREAM)
    listener.bind(_SERVER)
    listener.listen(8)
    kept: list[tuple[Any, Any]] = []

    def connect(times: int) -> None:
        for _ in range(times):
            sock = nets[0].socket(AF_INET, SOCK_STREAM)
            sock.connect(_SERVER)
            kept.append((sock, listener.accept()[0]))

    def close() -> None:
        # Clients first: they are in TIME_WAIT then.
        for pair in kept:
            for sock in pair:
                sock.close()
        kept.clear()

    world.run(connect, 10)  # Routes, neighbours, tables.
    world.run(close)
    with _counted() as octets:
        before = octets()
        world.run(connect, count)
        world.advance(1_000_000)
        established = octets() - before
        world.run(close)
        world.advance(1_000_000)
        waiting = octets() - before
    found = nets[0].ipv4.tcp_hashinfo.tw_count
    if found != count + 10:
        raise RuntimeError(f"{found} connections are in TIME_WAIT, not {count + 10}")
    return {"established_octets": established / (2 * count), "time_wait_octets": waiting / count}


@contextmanager
def _counted() -> Iterator[Callable[[], int]]:
    """Count the memory of Python while this is entered."""

    def octets() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        yield octets
    finally:
        tracemalloc.stop()
