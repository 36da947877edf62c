"""What ``ethtool`` shows and sets of our NIC."""

from dataclasses import dataclass
from errno import EINVAL
from typing import TYPE_CHECKING

from ...core.ethtool import LinkSettings
from ...core.netdevice import netif_carrier_ok, netif_running
from .queue import RING_LOG2_MIN

if TYPE_CHECKING:
    from .main import Hardwire

__all__ = ["Coalesce", "Drvinfo", "HardwireEthtool", "LinkSettings", "Ringparam"]


@dataclass(frozen=True, slots=True)
class Drvinfo:
    """``ethtool -i``."""

    driver: str
    version: str
    bus_info: str
    n_stats: int


@dataclass(frozen=True, slots=True)
class Ringparam:
    """``ethtool -g``: the number of descriptors, and the most that there can be; 0 for a way that there is not."""

    tx_pending: int
    tx_max_pending: int
    rx_pending: int = 0
    rx_max_pending: int = 0


@dataclass(frozen=True, slots=True)
class Coalesce:
    """``ethtool -c``: how long, and for how many frames, an interrupt waits."""

    tx_coalesce_usecs: int
    tx_max_coalesced_frames: int
    rx_coalesce_usecs: int = 0
    rx_max_coalesced_frames: int = 0


def _check_ring(way: str, pending: int, log2_max: int) -> int:
    """Return the log2 of a ring's size."""
    log2 = pending.bit_length() - 1
    if pending != 1 << max(log2, 0) or not RING_LOG2_MIN <= log2 <= log2_max:
        raise OSError(EINVAL, f"{way} ring has 2, 4, 8 … {1 << log2_max} descriptors")
    return log2


class HardwireEthtool:
    """The ``ethtool`` operations of one NIC (Linux: ``struct ethtool_ops``)."""

    def __init__(self, nic: "Hardwire") -> None:
        self._nic = nic

    def get_drvinfo(self) -> Drvinfo:
        """Say which driver and device these are."""
        version = ".".join(str(number) for number in self._nic.parameters.version)
        return Drvinfo("hardwire", version, self._nic.dev.name, len(self.get_strings()))

    def get_link(self) -> bool:
        """Return whether there is a link, of a device that is up."""
        return netif_running(self._nic.dev) and netif_carrier_ok(self._nic.dev)

    def get_link_ksettings(self) -> LinkSettings:
        """Return what the link is, and what either end advertises."""
        phy = self._nic.phy
        link = self.get_link()
        return LinkSettings(
            speed_mbps=phy.speed_mbps if link else None,
            duplex="full",
            autoneg=phy.present,
            link=link,
            advertising=phy.advertising if phy.present else (),
            lp_advertising=phy.lp_advertising if link else (),
        )

    def nway_reset(self) -> None:
        """Have the link negotiated again.

        Raises
        ------
        OSError
            ``EINVAL`` for a fixed link, or a device that is down; ``EIO``.
        """
        with self._nic.dev.kernel.rtnl:
            if not netif_running(self._nic.dev):
                raise OSError(EINVAL, f"{self._nic.dev.name} is down")
            self._nic.phy.restart_aneg()

    def get_ringparam(self) -> Ringparam:
        """Return the size of the rings."""
        nic = self._nic
        tx_max = 1 << nic.parameters.tx_ring_log2_max
        if not nic.rx_rings:
            return Ringparam(nic.rings[0].count, tx_max)
        return Ringparam(nic.rings[0].count, tx_max, nic.rx_rings[0].count, 1 << nic.parameters.rx_ring_log2_max)

    def set_ringparam(self, tx_pending: int | None = None, rx_pending: int | None = None) -> None:
        """Set the size of the rings, of those that are given; frames in them are sent and received first.

        Raises
        ------
        OSError
            ``EINVAL`` unless it is a power of two that the device can do; ``ENOMEM``; ``EIO``.
        """
        from .updown import hardwire_resize

        nic = self._nic
        tx_log2 = nic.rings[0].log2
        rx_log2 = nic.rx_rings[0].log2 if nic.rx_rings else 0
        if tx_pending is not None:
            tx_log2 = _check_ring("a TX", tx_pending, nic.parameters.tx_ring_log2_max)
        if rx_pending is not None:
            if not nic.rx_rings:
                raise OSError(EINVAL, "the NIC receives nothing")
            rx_log2 = _check_ring("an RX", rx_pending, nic.parameters.rx_ring_log2_max)
        with nic.dev.kernel.rtnl:
            hardwire_resize(nic, tx_log2, rx_log2)

    def get_coalesce(self) -> Coalesce:
        """Return the moderation of interrupts."""
        nic = self._nic
        tx = nic.rings[0]
        if not nic.rx_rings:
            return Coalesce(tx.irq_time_ns // 1000, tx.irq_count)
        rx = nic.rx_rings[0]
        return Coalesce(tx.irq_time_ns // 1000, tx.irq_count, rx.irq_time_ns // 1000, rx.irq_count)

    def set_coalesce(
        self,
        tx_coalesce_usecs: int | None = None,
        tx_max_coalesced_frames: int | None = None,
        rx_coalesce_usecs: int | None = None,
        rx_max_coalesced_frames: int | None = None,
    ) -> None:
        """Set the moderation of interrupts; what is not given stays.

        Raises
        ------
        OSError
            ``EINVAL`` for what the device cannot count.
        """
        nic = self._nic
        with nic.dev.kernel.rtnl:
            for queues, usecs, frames in (
                (nic.rings, tx_coalesce_usecs, tx_max_coalesced_frames),
                (nic.rx_rings, rx_coalesce_usecs, rx_max_coalesced_frames),
            ):
                if (usecs is not None and usecs < 0) or (frames is not None and frames < 1):
                    raise OSError(EINVAL, "an interrupt waits for 1 frame or more, and 0 µs or more")
                for queue in queues:
                    queue.set_moderation(
                        queue.irq_count if frames is None else frames,
                        queue.irq_time_ns if usecs is None else usecs * 1000,
                    )

    def get_strings(self) -> list[str]:
        """Return the names of ``get_ethtool_stats``."""
        names = list(self._nic.counters.names)
        for way, queues in (("txq", self._nic.rings), ("rxq", self._nic.rx_rings)):
            for queue in queues:
                names += [f"{way}{queue.index}_{name}" for name in queue.stat]
        return [*names, "arp_evictions"]

    def get_ethtool_stats(self) -> list[int]:
        """Return the device's counters, then the driver's."""
        values = self._nic.counters.read_all()
        for queue in (*self._nic.rings, *self._nic.rx_rings):
            values += queue.stat.values()
        return [*values, self._nic.neigh.evictions]
