"""The driver of our NIC: finding the device, bringing it up and down, and resetting it."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from errno import EINVAL, EIO, ENODEV
from functools import partial
from typing import TYPE_CHECKING

from ...abi.desc import TxFlags
from ...abi.regs import DEVICE_ID, GLOBAL, VERSION
from ...core.dev_napi import napi_disable, napi_enable, netif_napi_add
from ...core.dev_queue import (
    netif_freeze_queues,
    netif_tx_start_queue,
    netif_tx_stop_queue,
    netif_unfreeze_queues,
)
from ...core.dev_register import register_netdevice, unregister_netdevice
from ...core.netdevice import (
    IFF_BROADCAST,
    IFF_MULTICAST,
    NETIF_F_HIGHDMA,
    NETIF_F_HW_CSUM,
    NETIF_F_HW_NEIGH,
    NETIF_F_SG,
    Capabilities,
    NetDevice,
    NetDeviceOps,
    Stats64,
    netif_keep_dst,
    netif_running,
)
from ...core.netevent import register_netevent_notifier, unregister_netevent_notifier
from ...core.softirq import request_irq
from ...ethernet.eth import ETH_HLEN, ether_setup
from .ethtool import HardwireEthtool
from .neigh import NeighOffload
from .ring import RING_LOG2_MIN, TxRing
from .tx import hardwire_clean_all, hardwire_intr, hardwire_poll, hardwire_start_xmit

if TYPE_CHECKING:
    from ...core.net import Net
    from ..bus import Dma, Irq, Mmio

__all__ = ["Hardwire", "Parameters", "hardwire_probe", "hardwire_remove"]

_DEFAULT_RING_LOG2 = 8
_RESET_READS = 100_000


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a device says of itself in its registers."""

    version: tuple[int, int, int]
    tx_queues: int
    tx_ring_log2_max: int
    stream_octets: int
    axi_octets: int
    arp_sets: int
    arp_ways: int
    max_frame_octets: int
    tx_flags: TxFlags
    clock_khz: int

    @classmethod
    def read(cls, mmio: "Mmio") -> "Parameters":
        """Read identity, version and parameters.

        Raises
        ------
        OSError
            ``ENODEV`` for another device, or one whose contract this driver does not know.
        """

        def fields(name: str) -> dict[str, int]:
            register = GLOBAL[name]
            return register.unpack(mmio.read32(GLOBAL.address(register)))

        identity = fields("ID")["value"]
        if identity != DEVICE_ID:
            raise OSError(ENODEV, f"no hardwire NIC here: its identity is {identity:#010x}, not {DEVICE_ID:#010x}")
        version = fields("VERSION")
        if version["major"] != VERSION[0]:
            spoken = f"{version['major']}.{version['minor']}.{version['patch']}"
            raise OSError(ENODEV, f"the NIC has register version {spoken}; this driver knows {VERSION[0]}.x only")
        queues, widths = fields("QUEUES"), fields("WIDTHS")
        return cls(
            version=(version["major"], version["minor"], version["patch"]),
            tx_queues=queues["tx_queues"],
            tx_ring_log2_max=queues["tx_ring_log2_max"],
            stream_octets=widths["stream_octets"],
            axi_octets=widths["axi_octets"],
            arp_sets=1 << widths["arp_sets_log2"],
            arp_ways=widths["arp_ways"],
            max_frame_octets=fields("LIMITS")["max_frame_octets"],
            tx_flags=TxFlags(fields("FEATURES")["tx_flags"]),
            clock_khz=fields("CLOCK")["khz"],
        )

    @property
    def features(self) -> int:
        """``NETIF_F_*`` bits that follow from it."""
        features = NETIF_F_SG | NETIF_F_HIGHDMA
        checksum = TxFlags.CSUM_PARTIAL | TxFlags.CSUM_IPV4
        if self.tx_flags & checksum == checksum:
            features |= NETIF_F_HW_CSUM
        if self.tx_flags & TxFlags.RESOLVE and self.arp_ways:
            features |= NETIF_F_HW_NEIGH
        return features


class Hardwire:
    """A NIC and its driver's state (Linux: what ``netdev_priv`` returns).

    Members
    -------
    rings : list[TxRing]
        Its TX queues.
    neigh : NeighOffload
        Its ARP cache.
    shadow : dict[int, bytes]
        Next hops that the device may be asked to resolve: those of ``neigh``, none when that is switched off.
    """

    def __init__(self, dev: NetDevice, mmio: "Mmio", dma: "Dma", irqs: "Sequence[Irq]", parameters: Parameters) -> None:
        self.dev = dev
        self.mmio = mmio
        self.parameters = parameters
        log2 = max(min(_DEFAULT_RING_LOG2, parameters.tx_ring_log2_max), RING_LOG2_MIN)
        self.rings = [
            TxRing(index, dev.tx[index], mmio, dma, irq, log2=log2, clock_khz=parameters.clock_khz)
            for index, irq in enumerate(irqs)
        ]
        for ring in self.rings:
            ring.napi = netif_napi_add(dev, partial(hardwire_poll, ring))
        self.neigh = NeighOffload(dev, mmio, parameters.arp_sets * parameters.arp_ways)
        self.shadow: dict[int, bytes] = {}
        self.use_features(dev.features)

    def use_features(self, features: int) -> None:
        """Switch resolution by the device on or off."""
        self.shadow = self.neigh.shadow if features & NETIF_F_HW_NEIGH else {}


def _soft_reset(mmio: "Mmio") -> None:
    ctrl, status = GLOBAL["CTRL"], GLOBAL["STATUS"]
    mmio.write32(GLOBAL.address(ctrl), ctrl.pack(soft_reset=1))
    for _ in range(_RESET_READS):
        if not mmio.read32(GLOBAL.address(status)) & status["resetting"].mask:
            return
    raise OSError(EIO, "the NIC does not come out of reset")


def hardwire_probe(
    net: "Net", mmio: "Mmio", dma: "Dma", irqs: "Sequence[Irq]", *, mac: bytes, name: str = "eth%d"
) -> NetDevice:
    """Take a NIC into use: check what it is, reset it, and register its network device, which is down.

    Parameters
    ----------
    net : Net
        Namespace for the device.
    mmio, dma : Mmio, Dma
        How to reach it.
    irqs : Sequence[Irq]
        Its interrupt lines, one for each TX queue.
    mac : bytes
        Its address.
    name : str
        Name of the device.

    Raises
    ------
    OSError
        ``ENODEV`` for another device or an unknown version; ``EIO`` if it does not work; ``EINVAL`` for a group
        address or too few interrupt lines.
    """
    parameters = Parameters.read(mmio)
    if len(mac) != 6 or mac[0] & 1:
        raise OSError(EINVAL, f"{mac.hex(':')} is no address for a NIC")
    if not 1 <= parameters.tx_queues <= len(irqs):
        raise OSError(EINVAL, f"the NIC has {parameters.tx_queues} TX queues, and {len(irqs)} interrupt lines")
    _soft_reset(mmio)
    capabilities = Capabilities(
        features=parameters.features,
        max_mtu=parameters.max_frame_octets - ETH_HLEN,
        tx_queues=parameters.tx_queues,
    )
    dev = NetDevice(net, name, _OPS, capabilities)
    ether_setup(dev)
    dev.flags |= IFF_BROADCAST | IFF_MULTICAST
    dev.dev_addr = bytes(mac)
    netif_keep_dst(dev)
    nic = Hardwire(dev, mmio, dma, irqs[: parameters.tx_queues], parameters)
    dev.priv = nic
    dev.ethtool_ops = HardwireEthtool(nic)
    register_netdevice(dev)
    register_netevent_notifier(dev.kernel, nic.neigh.netevent)
    return dev


def hardwire_remove(dev: NetDevice) -> None:
    """Give a NIC up.

    Raises
    ------
    OSError
        ``ENODEV`` if it was given up before.
    """
    nic: Hardwire = dev.priv
    unregister_netdevice(dev)
    unregister_netevent_notifier(dev.kernel, nic.neigh.netevent)


def hardwire_open(dev: NetDevice) -> None:
    """Bring the device up (``ndo_open``).

    Raises
    ------
    OSError
        ``ENOMEM``.
    """
    nic: Hardwire = dev.priv
    ready: list[TxRing] = []
    try:
        for ring in nic.rings:
            ring.allocate(ring.log2)
            ready.append(ring)
    except OSError:
        for ring in ready:
            ring.free()
        raise
    for ring in nic.rings:
        request_irq(dev.kernel, ring.irq, partial(hardwire_intr, ring))
        napi_enable(ring.napi)
        ring.start()
        netif_tx_start_queue(ring.txq)


def hardwire_stop(dev: NetDevice) -> None:
    """Take the device down once it has sent what it was given (``ndo_stop``).

    One that does not come to rest is let go of all the same; its frames are counted as aborted.
    """
    nic: Hardwire = dev.priv
    for ring in nic.rings:
        napi_disable(ring.napi)
        with suppress(OSError):
            ring.drain()
        ring.mask_irq()
        ring.irq.free()
        hardwire_clean_all(ring)
        ring.free()
    nic.neigh.flush()


def hardwire_tx_timeout(dev: NetDevice, txqueue: int) -> None:
    """Reset a queue that has been stuck (``ndo_tx_timeout``); each of its frames is accounted for."""
    nic: Hardwire = dev.priv
    ring = nic.rings[txqueue]
    netif_freeze_queues(dev)
    napi_disable(ring.napi)
    ring.stat["resets"] += 1
    try:
        ring.reset()
    except OSError:
        return  # The queue stays frozen, so the watchdog comes back.
    hardwire_clean_all(ring)
    napi_enable(ring.napi)
    ring.start()
    netif_tx_start_queue(ring.txq)
    netif_unfreeze_queues(dev)


def hardwire_resize(nic: Hardwire, log2: int) -> None:
    """Give the TX queues other rings; what is in the present ones is sent first.

    Raises
    ------
    OSError
        ``ENOMEM``: the rings are as they were; ``EIO``: the device does not come to rest, and the watchdog resets it.
    """
    dev = nic.dev
    if not netif_running(dev):
        for ring in nic.rings:
            ring.set_size(log2)
        return
    netif_freeze_queues(dev)
    try:
        for ring in nic.rings:
            _resize_running(ring, log2)
    finally:
        netif_unfreeze_queues(dev)


def _resize_running(ring: TxRing, log2: int) -> None:
    napi_disable(ring.napi)
    try:
        ring.drain()
    except OSError:
        napi_enable(ring.napi)
        netif_tx_stop_queue(ring.txq)
        raise
    hardwire_clean_all(ring)
    try:
        ring.allocate(log2)
    finally:
        napi_enable(ring.napi)
        ring.start()
        netif_tx_start_queue(ring.txq)


def hardwire_change_mtu(dev: NetDevice, mtu: int) -> None:
    """Set the MTU (``ndo_change_mtu``): the device sends any frame that it has room for, so there is nothing to do."""
    dev.mtu = mtu


def hardwire_set_features(dev: NetDevice, features: int) -> None:
    """Take over what was switched on and off (``ndo_set_features``)."""
    nic: Hardwire = dev.priv
    nic.use_features(features)


def hardwire_get_stats64(dev: NetDevice) -> Stats64:
    """Return the device's counters (``ndo_get_stats64``)."""
    return dev.stats


_OPS = NetDeviceOps(
    ndo_start_xmit=hardwire_start_xmit,
    ndo_open=hardwire_open,
    ndo_stop=hardwire_stop,
    ndo_tx_timeout=hardwire_tx_timeout,
    ndo_change_mtu=hardwire_change_mtu,
    ndo_set_features=hardwire_set_features,
    ndo_get_stats64=hardwire_get_stats64,
)
