"""A cable from a network card to the real kernel."""

import zlib

from .frame import Frame
from .nic import SimNic
from .tap import Tap

__all__ = ["TapLink"]

_BATCH = 32
_SHORTEST_OCTETS = 60  # Of an Ethernet frame without FCS; the kernel leaves the padding to its card.


class TapLink:
    """A cable whose far end is a TAP device, so that a real Linux kernel is the card's partner.

    A ``Port`` of :class:`.realtime.RealTime`.

    Parameters
    ----------
    nic : SimNic
        The card.
    tap : Tap
        The other end, opened without ``vnet_hdr``.

    Members
    -------
    damaged : int
        Frames from the card with a wrong FCS, preamble or symbol, which any card would drop.
    """

    ready = True

    def __init__(self, nic: SimNic, tap: Tap) -> None:
        self.damaged = 0
        self._nic = nic
        self._tap = tap
        nic.on_sent = self._sent
        nic.set_link(True)

    def fileno(self) -> int:
        """Return what is readable when the kernel has sent a frame."""
        return self._tap.fd

    def overrun(self) -> int:
        """Return how many more frames found the kernel's queue full since the last call."""
        return self._tap.overrun()

    def pump(self) -> bool:
        """Let some of the frames that the kernel has sent arrive at the card; return whether there were any."""
        for number in range(_BATCH):
            frame = self._tap.read()
            if frame is None:
                return number > 0
            frame = frame.ljust(_SHORTEST_OCTETS, b"\0")
            self._nic.receive(frame, zlib.crc32(frame).to_bytes(4, "little"))
        return True

    def _sent(self, frames: list[Frame]) -> None:
        for frame in frames:
            if frame.ok:
                self._tap.write((frame.octets,))
            else:
                self.damaged += 1
