"""A 1000BASE-T PHY on the management interface of a cocotb simulation, with a partner that comes and goes."""

# Ref: IEEE Std 802.3-2022, 22.2.4 (registers), 40.5.1 (1000BASE-T registers)

import random
from collections.abc import Callable

from .mdio_phy import MdioPhy

__all__ = ["GigabitPhy"]

_BMCR, _BMSR, _PHYID1, _PHYID2, _ANAR, _ANLPAR, _GBCR, _GBSR, _ESTATUS = 0, 1, 2, 3, 4, 5, 9, 10, 15
_RESET, _ANENABLE, _ANRESTART = 1 << 15, 1 << 12, 1 << 9
_FULL1000 = 1 << 9
_POWER_UP = {_BMCR: 0x1140, _PHYID1: 0x4857, _PHYID2: 0x0010, _ANAR: 0x01E1, _GBCR: _FULL1000, _ESTATUS: 0x2000}


class GigabitPhy(MdioPhy):
    """The PHY that ``sim/native/phy.h`` is, written a second time.

    Parameters
    ----------
    dut
        Top of the bench.
    rng : random.Random
        Source of the choices.
    now_ns : callable
        Returns the time that negotiations are measured with.
    address : int
        PHYAD.
    """

    def __init__(self, dut, rng: random.Random, now_ns: Callable[[], int], *, address: int = 1) -> None:
        super().__init__(dut, rng)
        self._now_ns = now_ns
        self._address = address
        self._failed: bool = True
        self.power_up()

    def power_up(self) -> None:
        """Start anew, without a partner."""
        self._partner = False
        self._autoneg_ns = 0
        self._reset()

    def set_link(self, up: bool, autoneg_ns: int) -> None:
        """Let a partner come, with which autonegotiation takes so long, or go."""
        self._autoneg_ns = autoneg_ns
        if up != self._partner:
            self._partner = up
            self._restart()

    def answer(self, phy: int, register: int) -> int | None:
        if phy != self._address:
            return None
        done = self._negotiated
        if register == _BMSR:
            seen = self._link and not self._failed  # Low if the link has failed since the last read.
            self._failed = not self._link
            return 0x7909 | done << 5 | seen << 2
        if register == _ANLPAR:
            return 0x4DE1 * done
        if register == _GBSR:
            return 0x3800 * done
        return self.registers.get((phy, register), 0)

    def take(self, phy: int, register: int, value: int) -> None:
        if phy != self._address or register not in (_BMCR, _ANAR, _GBCR):
            return
        if register == _BMCR and value & _RESET:
            self._reset()
            return
        before = self.registers[phy, register]
        self.registers[phy, register] = value & ~_ANRESTART if register == _BMCR else value
        if register == _BMCR and (value & _ANRESTART or (before ^ value) & _ANENABLE):
            self._restart()

    @property
    def _negotiated(self) -> bool:
        enabled = self.registers[self._address, _BMCR] & _ANENABLE
        return bool(enabled) and self._partner and self._now_ns() >= self._done_ns

    @property
    def _link(self) -> bool:
        return self._negotiated and bool(self._advertised & _FULL1000)

    def _reset(self) -> None:
        self.registers = {(self._address, register): value for register, value in _POWER_UP.items()}
        self._restart()

    def _restart(self) -> None:
        self._failed = True
        self._advertised = self.registers[self._address, _GBCR]
        self._done_ns = self._now_ns() + self._autoneg_ns
