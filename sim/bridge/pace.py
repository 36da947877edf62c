"""How long the frames on a noisy line should be."""

from ...stack.abi.bridge import BRIDGE_WRITE_OCTETS_MAX

__all__ = ["Pace"]

_SHORTEST_OCTETS = 32
_CLEAN_FRAMES = 64


class Pace:
    """The length of the WRITE frames one way: half for each error, twice as much after 64 frames without one.

    Members
    -------
    octets : int
        Most octets of memory in a frame, 32 to 256.
    """

    def __init__(self) -> None:
        self.octets = BRIDGE_WRITE_OCTETS_MAX
        self._clean = 0

    def error(self) -> None:
        """Count an error."""
        self._clean = 0
        self.octets = max(self.octets // 2, _SHORTEST_OCTETS)

    def good(self, frames: int) -> None:
        """Count frames that have arrived."""
        self._clean += frames
        if self._clean >= _CLEAN_FRAMES and self.octets < BRIDGE_WRITE_OCTETS_MAX:
            self._clean = 0
            self.octets *= 2
