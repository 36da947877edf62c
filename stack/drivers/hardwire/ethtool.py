"""What ``ethtool`` shows and sets of our NIC."""

from dataclasses import dataclass
from errno import EINVAL
from typing import TYPE_CHECKING

from ...abi.regs import STATS
from .ring import RING_LOG2_MIN

if TYPE_CHECKING:
    from .main import Hardwire

__all__ = ["Coalesce", "Drvinfo", "HardwireEthtool", "Ringparam"]


@dataclass(frozen=True, slots=True)
class Drvinfo:
    """``ethtool -i``."""

    driver: str
    version: str
    bus_info: str
    n_stats: int


@dataclass(frozen=True, slots=True)
class Ringparam:
    """``ethtool -g``: the number of descriptors, and the most that there can be."""

    tx_pending: int
    tx_max_pending: int


@dataclass(frozen=True, slots=True)
class Coalesce:
    """``ethtool -c``: how long, and for how many frames, an interrupt waits."""

    tx_coalesce_usecs: int
    tx_max_coalesced_frames: int


_DEVICE_STATS = tuple(
    (register.name.removesuffix("_LO").lower(), STATS.address(register), STATS.address(register) + 4)
    for register in STATS.registers
    if register.name.endswith("_LO")
)


class HardwireEthtool:
    """The ``ethtool`` operations of one NIC (Linux: ``struct ethtool_ops``)."""

    def __init__(self, nic: "Hardwire") -> None:
        self._nic = nic

    def get_drvinfo(self) -> Drvinfo:
        """Say which driver and device these are."""
        version = ".".join(str(number) for number in self._nic.parameters.version)
        return Drvinfo("hardwire", version, self._nic.dev.name, len(self.get_strings()))

    def get_ringparam(self) -> Ringparam:
        """Return the size of the TX rings."""
        return Ringparam(self._nic.rings[0].count, 1 << self._nic.parameters.tx_ring_log2_max)

    def set_ringparam(self, tx_pending: int) -> None:
        """Set the size of the TX rings; frames that wait are sent first.

        Raises
        ------
        OSError
            ``EINVAL`` unless it is a power of two that the device can do; ``ENOMEM``; ``EIO``.
        """
        from .main import hardwire_resize

        log2 = tx_pending.bit_length() - 1
        if tx_pending != 1 << max(log2, 0) or not RING_LOG2_MIN <= log2 <= self._nic.parameters.tx_ring_log2_max:
            raise OSError(EINVAL, f"a TX ring has 2, 4, 8 … {self.get_ringparam().tx_max_pending} descriptors")
        with self._nic.dev.kernel.rtnl:
            if log2 != self._nic.rings[0].log2:
                hardwire_resize(self._nic, log2)

    def get_coalesce(self) -> Coalesce:
        """Return the moderation of interrupts."""
        ring = self._nic.rings[0]
        return Coalesce(ring.irq_time_ns // 1000, ring.irq_count)

    def set_coalesce(self, tx_coalesce_usecs: int, tx_max_coalesced_frames: int) -> None:
        """Set the moderation of interrupts.

        Raises
        ------
        OSError
            ``EINVAL`` for what the device cannot count.
        """
        if tx_coalesce_usecs < 0 or tx_max_coalesced_frames < 1:
            raise OSError(EINVAL, "an interrupt waits for 1 frame or more, and 0 µs or more")
        with self._nic.dev.kernel.rtnl:
            for ring in self._nic.rings:
                ring.set_moderation(tx_max_coalesced_frames, tx_coalesce_usecs * 1000)

    def get_strings(self) -> list[str]:
        """Return the names of ``get_ethtool_stats``."""
        names = [name for name, _, _ in _DEVICE_STATS]
        for ring in self._nic.rings:
            names += [f"txq{ring.index}_{name}" for name in ring.stat]
        return [*names, "arp_evictions"]

    def get_ethtool_stats(self) -> list[int]:
        """Return the device's counters, then the driver's."""
        read32 = self._nic.mmio.read32
        # The low half first: reading it latches the high one.
        values = [read32(low) | read32(high) << 32 for _, low, high in _DEVICE_STATS]
        for ring in self._nic.rings:
            values += ring.stat.values()
        return [*values, self._nic.neigh.evictions]
