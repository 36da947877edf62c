"""The PHY of our NIC: its registers through MDIO, autonegotiation, and whether there is a link."""

# Ref: IEEE Std 802.3-2022, clauses 22.2.4 (registers), 28 (autonegotiation) and 40.5 (1000BASE-T).

from collections.abc import Generator
from errno import EINVAL, EIO
from typing import TYPE_CHECKING

from ...abi.regs import MAC, MdioOp
from ...core.link_watch import netif_carrier_off, netif_carrier_on
from ...core.netdevice import netif_carrier_ok
from ...core.platform import WaitQueue
from ...core.softirq import run_in_softirq
from ...core.timer import HZ, TimerList, del_timer, jiffies, mod_timer

if TYPE_CHECKING:
    from ...core.netdevice import NetDevice
    from ...core.platform import Timer
    from ..bus import Mmio

__all__ = ["Phy"]

_MDIO, _MDIO_STATUS = MAC.address(MAC["MDIO"]), MAC.address(MAC["MDIO_STATUS"])
_DATA, _NO_ANSWER, _BUSY = (MAC["MDIO_STATUS"][name].mask for name in ("data", "no_answer", "busy"))
_TRANSACTION_NS = 30_000  # 64 bits at 2.5 MHz, and a little.
_MAX_WAITS = 100

_BMCR, _BMSR, _ANAR, _ANLPAR, _CTRL1000, _STAT1000 = 0, 1, 4, 5, 9, 10
_BMCR_ANENABLE, _BMCR_ANRESTART = 1 << 12, 1 << 9
_BMSR_LSTATUS, _BMSR_ANEGCOMPLETE = 1 << 2, 1 << 5
_SELECTOR_802_3 = 1
_100FULL = 1 << 8  # In ANAR and ANLPAR.
_CTRL1000_FULL = 1 << 9
_STAT1000_FULL = 1 << 11
_STAT1000_MSFAIL = 1 << 15
_LP_MODES = ((5, "10baseT/Half"), (6, "10baseT/Full"), (7, "100baseT/Half"), (8, "100baseT/Full"))
_LP_MODES_1000 = ((10, "1000baseT/Half"), (11, "1000baseT/Full"))

Steps = Generator[None, None, int]  # Code that waits a while at each ``yield``.


class Phy:
    """A PHY with the registers of clause 22; it advertises the one thing that the MAC can do: full duplex at its speed.

    Where none answers the link is a fixed one. Each second a timer has the state looked at; since a transaction takes
    some 26 µs, that goes on in steps, each set off by a timer, and never waits.

    Parameters
    ----------
    dev : NetDevice
        Whose carrier it is.
    mmio : Mmio
        How to reach it.
    address : int
        PHYAD.
    speed_mbps : int
        1000, or 100.

    Members
    -------
    present : bool
        There is one.
    lp_advertising : tuple[str, ...]
        What the link partner can do, by ``ethtool``'s names, as of the last time that there was a link.
    """

    def __init__(self, dev: "NetDevice", mmio: "Mmio", *, address: int = 0, speed_mbps: int = 1000) -> None:
        if speed_mbps not in (100, 1000) or not 0 <= address < 32:
            raise OSError(EINVAL, f"no PHY of {speed_mbps} Mb/s at {address}")
        self.dev = dev
        self.mmio = mmio
        self.address = address
        self.speed_mbps = speed_mbps
        self.present = False
        self.lp_advertising: tuple[str, ...] = ()
        self._timer = TimerList(dev.kernel, self._poll)
        self._steps: Steps | None = None
        self._step_timer: Timer | None = None

    @property
    def advertising(self) -> tuple[str, ...]:
        """What this end can do."""
        return (f"{self.speed_mbps}baseT/Full",)

    def probe(self) -> None:
        """See whether there is one; sleeps.

        Raises
        ------
        OSError
            ``EIO`` if the management interface does not work.
        """
        status = self._wait_for(self._read(_BMSR))
        self.present = status not in (0, 0xFFFF)
        if self.present:
            netif_carrier_off(self.dev)

    def start(self) -> None:
        """Have the link negotiated, and follow it; sleeps.

        Raises
        ------
        OSError
            ``EIO`` if the management interface does not work.
        """
        if not self.present:
            netif_carrier_on(self.dev)
            return
        netif_carrier_off(self.dev)
        self._wait_for(self._config_aneg())
        self._wait_for(self._update_link())
        self._poll_later()

    def stop(self) -> None:
        """Follow it no longer."""
        if not self.present:
            return
        del_timer(self._timer)
        self._steps = None
        if self._step_timer is not None:
            self._step_timer.cancel()
            self._step_timer = None
        netif_carrier_off(self.dev)

    def restart_aneg(self) -> None:
        """Have the link negotiated again; sleeps.

        Raises
        ------
        OSError
            ``EINVAL`` without a PHY; ``EIO`` if the management interface does not work.
        """
        if not self.present:
            raise OSError(EINVAL, f"{self.dev.name} has a fixed link")
        self._wait_for(self._write(_BMCR, _BMCR_ANENABLE | _BMCR_ANRESTART))

    # What is done with registers, step by step.

    def _transact(self, op: MdioOp, register: int, data: int = 0) -> Steps:
        """Have the device do a transaction; return what was read, all ones when nobody answers."""
        read32 = self.mmio.read32
        for _ in range(_MAX_WAITS):
            if not read32(_MDIO_STATUS) & _BUSY:
                break
            yield  # Somebody else's.
        self.mmio.write32(_MDIO, MAC["MDIO"].pack(data=data, reg=register, phy=self.address, op=op))
        for _ in range(_MAX_WAITS):
            yield
            status = read32(_MDIO_STATUS)
            if not status & _BUSY:
                return 0xFFFF if status & _NO_ANSWER else status & _DATA
        raise OSError(EIO, f"the management interface of {self.dev.name} is busy for ever")

    def _read(self, register: int) -> Steps:
        return (yield from self._transact(MdioOp.READ, register))

    def _write(self, register: int, data: int) -> Steps:
        return (yield from self._transact(MdioOp.WRITE, register, data))

    def _config_aneg(self) -> Steps:
        """Advertise what the MAC can do; negotiate again only if that is something else (``genphy_config_aneg``)."""
        gigabit = self.speed_mbps == 1000
        changed = 0
        for register, value in (
            (_ANAR, _SELECTOR_802_3 | (0 if gigabit else _100FULL)),
            (_CTRL1000, _CTRL1000_FULL if gigabit else 0),
        ):
            if (yield from self._read(register)) != value:
                yield from self._write(register, value)
                changed = 1
        if changed or not (yield from self._read(_BMCR)) & _BMCR_ANENABLE:
            yield from self._write(_BMCR, _BMCR_ANENABLE | _BMCR_ANRESTART)
        return changed

    def _update_link(self) -> Steps:
        """Look whether there is a link (``genphy_update_link``, ``genphy_read_status``).

        The bit stays low until it is read, so that a short loss shows. It is read again only if there was no link: one
        that was lost, if for a moment only, is announced as lost, and as there the next time.
        """
        bmsr = yield from self._read(_BMSR)
        if not netif_carrier_ok(self.dev) and not bmsr & _BMSR_LSTATUS:
            bmsr = yield from self._read(_BMSR)
        up = 0
        if bmsr != 0xFFFF and bmsr & _BMSR_LSTATUS and bmsr & _BMSR_ANEGCOMPLETE:
            up = yield from self._read_partner()
        if up:
            netif_carrier_on(self.dev)
        else:
            netif_carrier_off(self.dev)
        return up

    def _read_partner(self) -> Steps:
        """See what the link partner can do; return whether that is what the MAC can."""
        ability = yield from self._read(_ANLPAR)
        status = yield from self._read(_STAT1000)
        modes = [name for bit, name in _LP_MODES if ability >> bit & 1]
        modes += [name for bit, name in _LP_MODES_1000 if status >> bit & 1]
        self.lp_advertising = tuple(modes)
        if self.speed_mbps == 1000:
            return int(status & _STAT1000_FULL != 0 and not status & _STAT1000_MSFAIL)
        return int(ability & _100FULL != 0)

    # Who sees to it that the steps are taken.

    def _wait_for(self, steps: Steps) -> int:
        """Sleep until steps are taken; those of a look that is under way go before."""
        platform = self.dev.kernel.platform
        queue = WaitQueue()
        while self._steps is not None:
            platform.wait(queue, platform.now_ns() + _TRANSACTION_NS)
        self._steps = steps
        try:
            while True:
                try:
                    next(steps)
                except StopIteration as stop:
                    value: int = stop.value
                    return value
                platform.wait(queue, platform.now_ns() + _TRANSACTION_NS)
        finally:
            self._steps = None

    def _poll_later(self) -> None:
        mod_timer(self._timer, jiffies(self.dev.kernel) + HZ)

    def _poll(self) -> None:
        if self._steps is not None:  # A task has the management interface.
            self._poll_later()
            return
        self._steps = self._update_link()
        self._step()

    def _on_step_timer(self) -> None:
        self._step_timer = None
        run_in_softirq(self.dev.kernel, self._step)

    def _step(self) -> None:
        if self._steps is None:
            return
        platform = self.dev.kernel.platform
        try:
            next(self._steps)
        except StopIteration:
            self._steps = None
            self._poll_later()
        except OSError:
            self._steps = None
            netif_carrier_off(self.dev)
            self._poll_later()
        else:
            self._step_timer = platform.timer(platform.now_ns() + _TRANSACTION_NS, self._on_step_timer)
