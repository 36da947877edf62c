"""The driver of our NIC: finding the device, and giving it up."""

from collections.abc import Sequence
from errno import EINVAL, EIO
from typing import TYPE_CHECKING

from ...abi.regs import GLOBAL
from ...core.dev_register import register_netdevice, unregister_netdevice
from ...core.netdevice import (
    IFF_BROADCAST,
    IFF_MULTICAST,
    NETIF_F_HW_NEIGH,
    Capabilities,
    NetDevice,
    NetDeviceOps,
    netif_keep_dst,
)
from ...core.netevent import register_netevent_notifier, unregister_netevent_notifier
from ...ethernet.eth import ETH_HLEN, ether_setup
from .ethtool import HardwireEthtool
from .filter import (
    hardwire_set_features,
    hardwire_set_mac_address,
    hardwire_set_rx_mode,
    hardwire_vlan_rx_add_vid,
    hardwire_vlan_rx_kill_vid,
)
from .neigh import NeighOffload
from .pair import QueuePair
from .parameters import Parameters
from .phy import Phy
from .queue import RING_LOG2_MIN
from .ring import TxRing
from .rx_ring import RxRing
from .stats import DeviceCounters, hardwire_get_stats64
from .tx import hardwire_start_xmit
from .updown import hardwire_open, hardwire_stop, hardwire_tx_timeout

if TYPE_CHECKING:
    from ...core.net import Net
    from ..bus import Dma, Irq, Mmio

__all__ = ["Hardwire", "hardwire_probe", "hardwire_remove"]

_DEFAULT_RING_LOG2 = 8
_RESET_READS = 100_000


def _ring_log2(log2_max: int) -> int:
    return max(min(_DEFAULT_RING_LOG2, log2_max), RING_LOG2_MIN)


class Hardwire:
    """A NIC and its driver's state (Linux: what ``netdev_priv`` returns).

    Members
    -------
    rings, rx_rings : list[TxRing], list[RxRing]
        Its queues.
    pairs : list[QueuePair]
        The same by interrupt line.
    neigh : NeighOffload
        Its ARP cache.
    shadow : dict[int, bytes]
        Next hops that the device may be asked to resolve: those of ``neigh``, none when that is switched off.
    phy : Phy
        The link.
    counters : DeviceCounters
        What the device counts.
    """

    def __init__(
        self,
        dev: NetDevice,
        mmio: "Mmio",
        dma: "Dma",
        irqs: "Sequence[Irq]",
        parameters: Parameters,
        phy: Phy,
    ) -> None:
        self.dev = dev
        self.mmio = mmio
        self.parameters = parameters
        clock_khz = parameters.clock_khz
        log2 = _ring_log2(parameters.tx_ring_log2_max)
        self.rings = [
            TxRing(index, dev.tx[index], mmio, dma, log2=log2, clock_khz=clock_khz)
            for index in range(parameters.tx_queues)
        ]
        log2 = _ring_log2(parameters.rx_ring_log2_max)
        max_frame = parameters.max_frame_octets
        self.rx_rings = [
            RxRing(index, dev, mmio, dma, log2=log2, clock_khz=clock_khz, max_frame_octets=max_frame)
            for index in range(parameters.rx_queues)
        ]
        self.pairs = [
            QueuePair(
                dev,
                self.rings[index] if index < len(self.rings) else None,
                self.rx_rings[index] if index < len(self.rx_rings) else None,
                irq,
            )
            for index, irq in enumerate(irqs)
        ]
        self.neigh = NeighOffload(dev, mmio, parameters.arp_sets * parameters.arp_ways)
        self.shadow: dict[int, bytes] = {}
        self.use_features(dev.features)
        self.phy = phy
        self.counters = DeviceCounters(mmio, count_rx=parameters.rx_queues > 0)

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
    net: "Net",
    mmio: "Mmio",
    dma: "Dma",
    irqs: "Sequence[Irq]",
    *,
    mac: bytes,
    name: str = "eth%d",
    phy_address: int = 0,
    speed_mbps: int = 1000,
) -> NetDevice:
    """Take a NIC into use: check what it is, reset it, and register its network device, which is down.

    It may sleep: the PHY is asked whether it is there. A device that receives nothing has no management interface.

    Parameters
    ----------
    net : Net
        Namespace for the device.
    mmio, dma : Mmio, Dma
        How to reach it.
    irqs : Sequence[Irq]
        Its interrupt lines, one for each number that a queue has.
    mac : bytes
        Its address.
    name : str
        Name of the device.
    phy_address : int
        Where its PHY is on the management interface.
    speed_mbps : int
        Speed of its MAC: 1000, or 100 with MII.

    Raises
    ------
    OSError
        ``ENODEV`` for another device or an unknown version; ``EIO`` if it does not work; ``EINVAL`` for a group
        address, too few interrupt lines, or an impossible speed or address of a PHY.
    """
    parameters = Parameters.read(mmio)
    if len(mac) != 6 or mac[0] & 1:
        raise OSError(EINVAL, f"{mac.hex(':')} is no address for a NIC")
    if not 1 <= parameters.tx_queues <= len(irqs):
        raise OSError(EINVAL, f"the NIC has {parameters.tx_queues} TX queues, and {len(irqs)} interrupt lines")
    if parameters.rx_queues > len(irqs):
        raise OSError(EINVAL, f"the NIC has {parameters.rx_queues} RX queues, and {len(irqs)} interrupt lines")
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
    phy = Phy(dev, mmio, address=phy_address, speed_mbps=speed_mbps)
    if parameters.rx_queues:
        phy.probe()
    pairs = max(parameters.tx_queues, parameters.rx_queues)
    nic = Hardwire(dev, mmio, dma, irqs[:pairs], parameters, phy)
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


def hardwire_change_mtu(dev: NetDevice, mtu: int) -> None:
    """Set the MTU (``ndo_change_mtu``): the device does any frame that it has room for, so there is nothing to do."""
    dev.mtu = mtu


_OPS = NetDeviceOps(
    ndo_start_xmit=hardwire_start_xmit,
    ndo_open=hardwire_open,
    ndo_stop=hardwire_stop,
    ndo_tx_timeout=hardwire_tx_timeout,
    ndo_change_mtu=hardwire_change_mtu,
    ndo_set_features=hardwire_set_features,
    ndo_get_stats64=hardwire_get_stats64,
    ndo_set_mac_address=hardwire_set_mac_address,
    ndo_set_rx_mode=hardwire_set_rx_mode,
    ndo_vlan_rx_add_vid=hardwire_vlan_rx_add_vid,
    ndo_vlan_rx_kill_vid=hardwire_vlan_rx_kill_vid,
)
