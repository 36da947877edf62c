"""Several machines on one network: two on a cable, more on a switch."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from .link import Link, LinkCounters
from .machine import Machine, Setup
from .switch import Switch
from .world import World

__all__ = ["Lan"]


class Lan:
    """Machines that can reach each other; iterated over, it gives them in order.

    Parameters
    ----------
    world : World
        Where they live.
    hosts : int or list of Setup
        The machines. A number gives each the addresses ``10.0.0.N/24`` and ``02:00:00:00:00:N``, N from 1.
    switched : bool or None
        Join them by a switch; None: if there are more than two.
    like : Setup or None
        If ``hosts`` is a number: what each of them has beside its addresses.
    **cable : float
        Parameters of each :class:`.link.Link`.

    Members
    -------
    world : World
        Where they live.
    machines : list of Machine
        In order.
    links : list of Link
        The one cable, or that of each machine to the switch, whose port is the second end.
    switch : Switch or None
        The switch, if there is one.

    Raises
    ------
    ValueError
        If there are fewer than two machines, or more than two without a switch.
    """

    def __init__(
        self,
        world: World,
        hosts: int | list[Setup] = 2,
        *,
        switched: bool | None = None,
        like: Setup | None = None,
        **cable: float,
    ) -> None:
        setups = _numbered(hosts, like or Setup()) if isinstance(hosts, int) else hosts
        if len(setups) < 2:
            raise ValueError(f"a network has at least 2 machines, not {len(setups)}")
        if switched is None:
            switched = len(setups) > 2
        if len(setups) > 2 and not switched:
            raise ValueError(f"a cable has 2 ends, not {len(setups)}")
        self.world = world
        self.machines = [Machine(world, setup) for setup in setups]
        self.switch = Switch(world, ports=len(setups)) if switched else None
        cards = [machine.nic for machine in self.machines]
        if self.switch is None:
            self.links = [_link(cards[0], cards[1], 0, cable)]
        else:
            self.links = [
                _link(card, port, at, cable)
                for at, (card, port) in enumerate(zip(cards, self.switch.ports, strict=True))
            ]

    def __iter__(self) -> Iterator[Machine]:
        return iter(self.machines)

    def settle(self, limit_ns: int | None = None) -> None:
        """Let time pass until no frame is on its way, and none has entered a cable for a millisecond; or to a limit."""
        end_ns = None if limit_ns is None else self.world.now_ns + limit_ns
        before, now = None, self._counters()
        while now != before or any(counters.in_flight for counters in now):
            if end_ns is not None and self.world.now_ns >= end_ns:
                return
            self.world.advance(1_000_000)
            before, now = now, self._counters()

    def link_report(self) -> list[dict[str, Any]]:
        """Return what became of the frames of each link, each way, as plain values."""
        return [
            {"link": f"link{number}", "direction": direction, **asdict(counters)}
            for number, link in enumerate(self.links)
            for direction, counters in zip(("a to b", "b to a"), link.counters, strict=True)
        ]

    def _counters(self) -> list[LinkCounters]:
        return [replace(counters) for link in self.links for counters in link.counters]


def _link(a: object, b: object, number: int, cable: dict[str, float]) -> Link:
    return Link(a, b, name=f"link{number}", **cable)  # type: ignore[arg-type]


def _numbered(count: int, like: Setup) -> list[Setup]:
    if count not in range(2, 255):
        raise ValueError(f"a network has 2 to 254 machines, not {count}")
    return [
        replace(like, address=f"10.0.0.{number}/24", mac=bytes((2, 0, 0, 0, 0, number)))
        for number in range(1, count + 1)
    ]
