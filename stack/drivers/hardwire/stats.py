"""What our NIC counts, and how that goes into the counters of its network device."""

from dataclasses import replace
from typing import TYPE_CHECKING

from ...abi.regs import STATS
from ...core.netdevice import NetDevice, Stats64

if TYPE_CHECKING:
    from ..bus import Mmio
    from .main import Hardwire

__all__ = ["DeviceCounters", "hardwire_get_stats64"]

_ADDRESSES = {
    register.name.removesuffix("_LO"): (STATS.address(register), STATS.address(register) + 4)
    for register in STATS.registers
    if register.name.endswith("_LO")
}
_LENGTH_ERRORS = ("RX_UNDERSIZE", "RX_FRAGMENTS", "RX_OVERSIZE", "RX_JABBERS")
_MISSED = ("RX_MISSED", "RX_NO_BUFFER")
_USED = ("RX_FCS_ERRORS", "RX_ALIGNMENT_ERRORS", "RX_SYMBOL_ERRORS", *_LENGTH_ERRORS, *_MISSED)


class DeviceCounters:
    """The counters of a device, which only a hardware reset clears.

    Parameters
    ----------
    mmio : Mmio
        How to reach them.
    count_rx : bool
        Whether the device receives.
    """

    names = tuple(name.lower() for name in _ADDRESSES)

    def __init__(self, mmio: "Mmio", *, count_rx: bool) -> None:
        self._mmio = mmio
        self._used = _USED if count_rx else ()
        self._start = self._read_used()

    def _read(self, name: str) -> int:
        low, high = _ADDRESSES[name]
        value = self._mmio.read32(low)  # It first: reading it latches the other half.
        return value | self._mmio.read32(high) << 32

    def _read_used(self) -> dict[str, int]:
        return dict.fromkeys(_USED, 0) | {name: self._read(name) for name in self._used}

    def read_all(self) -> list[int]:
        """Return all counters, in the order of ``names``."""
        return [self._read(name) for name in _ADDRESSES]

    def merge(self, stats: Stats64) -> Stats64:
        """Return the driver's counters with what the device alone knows since it was taken into use.

        Frames completed as ``NO_BUFFER`` were counted by the driver; others found no buffer at all.
        """
        now = self._read_used()
        count = {name: now[name] - self._start[name] for name in _USED}
        length = sum(count[name] for name in _LENGTH_ERRORS)
        crc, frame = count["RX_FCS_ERRORS"], count["RX_ALIGNMENT_ERRORS"]
        return replace(
            stats,
            rx_errors=stats.rx_errors + crc + frame + length + count["RX_SYMBOL_ERRORS"],
            rx_crc_errors=crc,
            rx_frame_errors=frame,
            rx_length_errors=length,
            rx_missed_errors=max(sum(count[name] for name in _MISSED) - stats.rx_over_errors, 0),
        )


def hardwire_get_stats64(dev: NetDevice) -> Stats64:
    """Return the device's counters (``ndo_get_stats64``)."""
    nic: Hardwire = dev.priv
    return nic.counters.merge(dev.stats)
