"""Questions to a card behind a bridge that it does not answer, for it has forgotten them."""

from random import Random

import pytest

from hardwire.sim.bridge.link import BridgeError, Link
from hardwire.sim.bridge.nic import BridgeNic
from hardwire.sim.world import World
from hardwire.stack.abi.bridge import BRIDGE_HELLO, BRIDGE_VERSION, BridgeKind
from hardwire.tb.sim.noisy_line import LineEnd, noisy_line


class Forgetful:
    """A card that says HELLO, and acknowledges what comes then."""

    def __init__(self, line: LineEnd) -> None:
        self._link = Link(line, self._receive, governs=False)

    def pump(self) -> None:
        """Take what has come, and acknowledge it."""
        self._link.pump()

    def _receive(self, kind: BridgeKind, octets: bytes) -> None:
        if kind == BridgeKind.RESET:
            self._link.restart()
            nonce = int.from_bytes(octets, "little")
            hello = BRIDGE_HELLO.pack(nonce=nonce, version=BRIDGE_VERSION, memory_octets=32_768, window_octets=2048)
            self._link.send_unnumbered(BridgeKind.HELLO, hello)


def test_an_answer_that_never_comes_is_an_error() -> None:
    here, there = noisy_line(Random(0))
    here.act = Forgetful(there).pump
    nic = BridgeNic(World().host(), here)
    with pytest.raises(BridgeError, match="does not say what is in register 0x44: was it reset"):
        nic.read32(0x44)
