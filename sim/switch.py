"""An Ethernet switch that learns who is where."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from .frame import FCS_OK, PREAMBLE_OK, Frame, on_wire
from .link import wire_time_fs
from .world import FS_PER_NS, World

__all__ = ["Port", "PortCounters", "Switch"]

_AGEING_NS = 300_000_000_000  # IEEE Std 802.1Q-2022, table 8-6.
_RESERVED = bytes.fromhex("0180c20000")  # ... 00 to 0F: never forwarded, table 8-1.
_FCS_OCTETS = 4


@dataclass
class PortCounters:
    """What became of frames at a port.

    Parameters
    ----------
    received : int
        Frames that came in: ``received == bad + filtered + forwarded``.
    bad : int
        Those with a bad FCS or a signalled error, or too short.
    filtered : int
        Those for where they came from, or for the switch's neighbours only.
    forwarded, flooded : int
        Those that went on, and of these, those that went to all other ports.
    sent, dropped : int
        Frames that left here, and that found this port's queue full.
    """

    received: int = 0
    bad: int = 0
    filtered: int = 0
    forwarded: int = 0
    flooded: int = 0
    sent: int = 0
    dropped: int = 0


class Port:
    """A port of a switch: an end for a link.

    Members
    -------
    number : int
        From 0.
    up : bool
        Whether there is a partner.
    on_sent : callable or None
        Called with each frame at its end.
    counters : PortCounters
        See there.
    """

    def __init__(self, switch: "Switch", number: int) -> None:
        self.world: World = switch.world
        self.number = number
        self.up = False
        self.on_sent: Callable[[list[Frame]], None] | None = None
        self.counters = PortCounters()
        self._switch = switch
        self._leaving: deque[int] = deque()  # When each frame that waits, or is leaving, has left.

    def receive(self, octets: bytes, fcs: bytes, *, error: bool = False) -> None:
        """Take a frame whose first preamble octet arrives now: the switch has it when all is there."""
        bad = error or len(octets) < 14 or on_wire(octets)[-_FCS_OCTETS:] != fcs
        whole_fs = self.world.now_fs + wire_time_fs(len(octets) + len(fcs))
        self.world.timer(whole_fs, lambda: self._switch.forward(self, octets, bad=bad))

    def set_link(self, up: bool) -> None:
        """Tell whether there is a partner; what was learned behind the port is forgotten when it goes."""
        self.up = up
        if not up:
            self._switch.forget(self)

    def send(self, octets: bytes) -> None:
        """Let a frame leave after those that wait, or drop it if there are too many."""
        now_fs, leaving = self.world.now_fs, self._leaving
        while leaving and leaving[0] <= now_fs:
            leaving.popleft()
        if len(leaving) > self._switch.queue_frames:  # One of them is leaving.
            self.counters.dropped += 1
            return
        start_fs = max(now_fs, leaving[-1] if leaving else 0)
        left_fs = start_fs + wire_time_fs(len(octets) + _FCS_OCTETS)
        leaving.append(left_fs)
        self.world.timer(left_fs, lambda: self._sent(octets, start_fs))

    def _sent(self, octets: bytes, start_fs: int) -> None:
        self.counters.sent += 1
        if self.on_sent is not None:
            fcs = on_wire(octets)[-_FCS_OCTETS:]
            self.on_sent([Frame(start_fs, octets, 0, FCS_OK | PREAMBLE_OK, 0, 0, fcs)])


class Switch:
    """A store-and-forward switch.

    It learns behind which port a source address is, sends frames for an address that it knows to that port alone, and
    all others, and those for groups, to all other ports that have a partner. Damaged frames end here.

    Parameters
    ----------
    world : World
        Whose time it lives in.
    ports : int
        How many ports, at least 2.
    latency_ns : float
        From a frame's end to when it may leave.
    queue_frames : int
        Frames that may wait at each port.
    ageing_ns : int
        How long an address is known after it was last seen.

    Members
    -------
    ports : list of Port
        Ends for links.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    """

    def __init__(
        self,
        world: World,
        *,
        ports: int,
        latency_ns: float = 2_000,
        queue_frames: int = 256,
        ageing_ns: int = _AGEING_NS,
    ) -> None:
        if ports < 2:
            raise ValueError(f"ports must be at least 2, not {ports!r}")
        if latency_ns < 0 or queue_frames < 1 or ageing_ns < 1:
            raise ValueError(f"impossible: latency_ns={latency_ns!r}, {queue_frames=!r}, {ageing_ns=!r}")
        self.world = world
        self.queue_frames = queue_frames
        self.ports = [Port(self, number) for number in range(ports)]
        self._latency_fs = round(latency_ns * FS_PER_NS)
        self._ageing_fs = ageing_ns * FS_PER_NS
        self._known: dict[bytes, tuple[Port, int]] = {}  # And when it was last seen.

    def port_of(self, address: bytes) -> Port | None:
        """Return behind which port an address is, if that is known."""
        found = self._known.get(address)
        if found is None:
            return None
        port, seen_fs = found
        if self.world.now_fs - seen_fs >= self._ageing_fs:
            del self._known[address]
            return None
        return port

    def forget(self, port: Port) -> None:
        """Forget what was learned behind a port."""
        self._known = {address: entry for address, entry in self._known.items() if entry[0] is not port}

    def forward(self, port: Port, octets: bytes, *, bad: bool) -> None:
        """Take a frame that has wholly come in at a port."""
        counters = port.counters
        counters.received += 1
        if bad:
            counters.bad += 1
            return
        destination, source = octets[:6], octets[6:12]
        if not source[0] & 1:
            self._known[source] = (port, self.world.now_fs)
        if destination[:5] == _RESERVED and destination[5] < 16:
            counters.filtered += 1
            return
        known = None if destination[0] & 1 else self.port_of(destination)
        if known is port:
            counters.filtered += 1
            return
        counters.forwarded += 1
        counters.flooded += known is None
        targets = [known] if known else [other for other in self.ports if other is not port and other.up]
        for target in targets:
            self._send_later(target, octets)

    def _send_later(self, port: Port, octets: bytes) -> None:
        self.world.timer(self.world.now_fs + self._latency_fs, lambda: port.send(octets))
