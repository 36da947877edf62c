"""A cable from a network card to the real kernel."""

import zlib
from collections.abc import Callable

from .frame import FCS_OK, PREAMBLE_OK, Frame
from .link import Link, LinkCounters
from .nic import SimNic
from .tap import Tap
from .world import World

__all__ = ["TapLink"]

_BATCH = 32
_SHORTEST_OCTETS = 60  # Of an Ethernet frame without FCS; the kernel leaves the padding to its card.


class TapLink:
    """A cable whose far end is a TAP device, so that a real Linux kernel is the card's partner.

    A ``Port`` of :class:`.realtime.RealTime`, and a ``CableEnd`` of :class:`.link.Link`.

    Parameters
    ----------
    nic : SimNic
        The card.
    tap : Tap
        The other end, opened without ``vnet_hdr``.
    **cable : float
        Parameters of a :class:`.link.Link`; without any, frames pass at once, and whole.

    Members
    -------
    damaged : int
        Frames from the card with a wrong FCS, preamble or symbol, which any card would drop.
    on_sent : callable or None
        Called with frames of the kernel's, by the link.
    world : World
        The card's.

    Raises
    ------
    ValueError
        If a parameter of the cable is out of range.
    """

    ready = True

    def __init__(self, nic: SimNic, tap: Tap, **cable: float) -> None:
        self.damaged = 0
        self.on_sent: Callable[[list[Frame]], None] | None = None
        self.world: World = nic.world
        self._nic = nic
        self._tap = tap
        self._link: Link | None = None
        if cable:
            self._link = Link(nic, self, name="tap", **cable)  # type: ignore[arg-type]  # The number of a queue is one.
        else:
            nic.on_sent = self._sent
            nic.set_link(True)

    @property
    def counters(self) -> dict[str, LinkCounters]:
        """What became of frames in a cable that has parameters, by direction."""
        if self._link is None:
            return {}
        return dict(zip(("to the kernel", "from the kernel"), self._link.counters, strict=True))

    def fileno(self) -> int:
        """Return what is readable when the kernel has sent a frame."""
        return self._tap.fd

    def overrun(self) -> int:
        """Return how many more frames found the kernel's queue full since the last call."""
        return self._tap.overrun()

    def pump(self) -> bool:
        """Let some of the frames that the kernel has sent enter the cable; return whether there were any."""
        for number in range(_BATCH):
            frame = self._tap.read()
            if frame is None:
                return number > 0
            frame = frame.ljust(_SHORTEST_OCTETS, b"\0")
            fcs = zlib.crc32(frame).to_bytes(4, "little")
            if self.on_sent is None:
                self._nic.receive(frame, fcs)
            else:
                self.on_sent([Frame(self.world.now_fs, frame, 0, FCS_OK | PREAMBLE_OK, 0, 0, fcs)])
        return True

    def receive(self, octets: bytes, fcs: bytes, *, error: bool = False) -> None:
        """Hand a frame that has come through the link to the kernel."""
        whole = not error and len(octets) >= _SHORTEST_OCTETS and zlib.crc32(octets).to_bytes(4, "little") == fcs
        self._hand_over(octets, whole=whole)

    def set_link(self, up: bool) -> None:
        """Do nothing: the kernel's end is up as long as somebody reads it."""

    def _sent(self, frames: list[Frame]) -> None:
        for frame in frames:
            self._hand_over(frame.octets, whole=frame.ok)

    def _hand_over(self, octets: bytes, *, whole: bool) -> None:
        if whole:
            self._tap.write((octets,))
        else:
            self.damaged += 1
