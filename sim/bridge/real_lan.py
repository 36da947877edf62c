"""A machine with a real card, on the network that the card is plugged into."""

from collections.abc import Iterator
from errno import ENETDOWN
from typing import Any

from ...stack.core.netdevice import netif_carrier_ok
from ..machine import Machine, Setup
from ..world import World
from .link import BridgeError

__all__ = ["RealLan", "await_link"]

_PATIENCE_NS = 10_000_000_000  # Autonegotiation takes some seconds.
_STEP_NS = 10_000_000


def await_link(machine: Machine) -> None:
    """Wait until the card has a link: frames that are sent before are lost.

    Raises
    ------
    BridgeError
        ``ENETDOWN`` if there is none after ten seconds.
    """
    world = machine.world
    limit_ns = world.now_ns + _PATIENCE_NS
    while not netif_carrier_ok(machine.dev):
        if world.now_ns > limit_ns:
            raise BridgeError(ENETDOWN, "the card has no link: is a cable plugged in, with something at its end?")
        world.advance(_STEP_NS)


class RealLan:
    """What a :class:`..lan.Lan` is for simulated machines: one machine of ours, whose network is outside.

    Parameters
    ----------
    world : World
        Where it lives.
    setup : Setup
        With a real card.

    Members
    -------
    machines : list of Machine
        The one.

    Raises
    ------
    OSError
        If the card cannot be reached, or has no link.
    """

    def __init__(self, world: World, setup: Setup) -> None:
        self.world = world
        self.machines = [Machine(world, setup)]
        await_link(self.machines[0])

    def __iter__(self) -> Iterator[Machine]:
        return iter(self.machines)

    def settle(self, limit_ns: int) -> None:
        """Let time pass until nothing that was sent is under way to the card, or to a limit."""
        self.world.settle(limit_ns)

    def link_report(self) -> list[dict[str, Any]]:
        """Return nothing: what becomes of frames on a real network is not known here."""
        return []
