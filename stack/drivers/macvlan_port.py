"""The devices of one lower device, and who has which address (Linux: drivers/net/macvlan.c)."""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from errno import EINVAL
from typing import TYPE_CHECKING

from ..core.dev_receive import RxHandler, netdev_rx_handler_register, netdev_rx_handler_unregister
from ..core.dev_register import netif_set_mac_address
from ..core.drop_reasons import SkbDropReason
from ..core.netdevice import (
    ARPHRD_ETHER,
    IFF_ALLMULTI,
    IFF_LOOPBACK,
    IFF_PROMISC,
    NETIF_F_CSUM_MASK,
    NETIF_F_FRAGLIST,
    NETIF_F_GRO,
    NETIF_F_HIGHDMA,
    NETIF_F_HW_VLAN_CTAG_FILTER,
    NETIF_F_LLTX,
    NETIF_F_SG,
    Capabilities,
    NetDevice,
    NetDeviceOps,
)
from ..core.skbuff import kfree_skb_reason
from ..core.workqueue import DelayedWork, cancel_delayed_work

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.skbuff import SkBuff

__all__ = [
    "MACVLAN_FLAG_NODST",
    "MACVLAN_FLAG_NOPROMISC",
    "MACVLAN_MODE_BRIDGE",
    "MACVLAN_MODE_PASSTHRU",
    "MACVLAN_MODE_PRIVATE",
    "MACVLAN_MODE_SOURCE",
    "MACVLAN_MODE_VEPA",
    "MacvlanDevice",
    "MacvlanPort",
    "macvlan_addr_busy",
    "macvlan_compute_filter",
    "macvlan_features",
    "macvlan_hash_lookup",
    "macvlan_port_create",
    "macvlan_port_destroy",
    "macvlan_port_get",
    "update_port_bc_queue_len",
]

MACVLAN_MODE_PRIVATE = 1
MACVLAN_MODE_VEPA = 2
MACVLAN_MODE_BRIDGE = 4
MACVLAN_MODE_PASSTHRU = 8
MACVLAN_MODE_SOURCE = 16

MACVLAN_FLAG_NOPROMISC = 1
MACVLAN_FLAG_NODST = 2

MACVLAN_BC_QUEUE_LEN = 1000
_FEATURES = NETIF_F_SG | NETIF_F_CSUM_MASK | NETIF_F_HIGHDMA | NETIF_F_FRAGLIST | NETIF_F_GRO


def macvlan_features(features: int) -> int:
    """Return the features that a device has above one with these: the frame goes through both."""
    return features & _FEATURES | NETIF_F_LLTX | NETIF_F_HW_VLAN_CTAG_FILTER


class MacvlanDevice(NetDevice):
    """A device with an address of its own above another one (Linux: ``struct macvlan_dev``).

    Members
    -------
    lowerdev : NetDevice
        The device below.
    mode : int
        ``MACVLAN_MODE_*``: a bit of its own each.
    mac_flags : int
        ``MACVLAN_FLAG_*``.
    set_features : int
        Features that nobody switched off.
    mc_filter : frozenset[bytes] or None
        Groups that it receives, the broadcast address included; None for all.
    sources : set[bytes]
        In source mode: whose frames it receives.
    bc_queue_len_req : int
        How long a queue it wants for broadcasts.
    """

    def __init__(
        self, net: "Net", name: str, ops: NetDeviceOps, lowerdev: NetDevice, mode: int, mac_flags: int
    ) -> None:
        lower = lowerdev.capabilities
        capabilities = Capabilities(features=macvlan_features(lower.features), max_mtu=lower.max_mtu)
        super().__init__(net, name, ops, capabilities)
        self.lower_dev = self.lowerdev = lowerdev
        self.mode = mode
        self.mac_flags = mac_flags
        self.set_features = self.features
        self.mc_filter: frozenset[bytes] | None = frozenset()
        self.sources: set[bytes] = set()
        self.bc_queue_len_req = MACVLAN_BC_QUEUE_LEN


class MacvlanPort:
    """What a lower device has above it (Linux: ``struct macvlan_port``).

    Members
    -------
    vlans : list[MacvlanDevice]
        All devices above it.
    vlan_hash : dict[bytes, MacvlanDevice]
        Those that are up, by address.
    passthru : bool
        The only device above it is in passthru mode.
    mc_filter : frozenset[bytes] or None
        Groups that any of them receives; None for all.
    bc_queue : deque
        Frames to groups that are to be handed out, each with the device that sent it, if it is one of these.
    bc_queue_len_used : int
        How many may wait there.
    perm_addr : bytes
        The lower device's address before a passthru device changed it.
    """

    def __init__(self, dev: NetDevice, process_broadcast: Callable[["MacvlanPort"], None]) -> None:
        self.dev = dev
        self.vlans: list[MacvlanDevice] = []
        self.vlan_hash: dict[bytes, MacvlanDevice] = {}
        self.passthru = False
        self.mc_filter: frozenset[bytes] | None = frozenset()
        self.bc_queue: deque[tuple[SkBuff, MacvlanDevice | None]] = deque()
        self.bc_work = DelayedWork(dev.kernel, lambda: process_broadcast(self))
        self.bc_queue_len_used = MACVLAN_BC_QUEUE_LEN
        self.perm_addr = dev.dev_addr


def macvlan_port_get(dev: NetDevice) -> MacvlanPort | None:
    """Return what a device has above it, None if it is no lower device."""
    port = dev.rx_handler_data
    return port if isinstance(port, MacvlanPort) else None


def macvlan_port_create(
    dev: NetDevice, handle_frame: RxHandler, process_broadcast: Callable[[MacvlanPort], None]
) -> MacvlanPort:
    """Make a device a lower one.

    Raises
    ------
    OSError
        ``EINVAL`` for a device without Ethernet's addresses; ``EBUSY`` if its frames go elsewhere.
    """
    if dev.type != ARPHRD_ETHER or dev.flags & IFF_LOOPBACK:
        raise OSError(EINVAL, f"{dev.name} is no Ethernet device")
    netdev_rx_handler_register(dev, handle_frame)
    port = dev.rx_handler_data = MacvlanPort(dev, process_broadcast)
    return port


def macvlan_port_destroy(port: MacvlanPort) -> None:
    """Make a device a plain one again, with its own address."""
    dev = port.dev
    netdev_rx_handler_unregister(dev)
    dev.rx_handler_data = None
    cancel_delayed_work(port.bc_work)
    while port.bc_queue:
        kfree_skb_reason(port.bc_queue.popleft()[0], SkbDropReason.NOT_SPECIFIED)
    if port.passthru and dev.dev_addr != port.perm_addr and dev.ifindex in dev.net.devices:
        with suppress(OSError):  # Somebody else may have it by now.
            netif_set_mac_address(dev, port.perm_addr)


def macvlan_hash_lookup(port: MacvlanPort, addr: bytes) -> MacvlanDevice | None:
    """Return the device that has an address and is up."""
    return port.vlan_hash.get(addr)


def macvlan_addr_busy(port: MacvlanPort, addr: bytes) -> bool:
    """Return whether the lower device, or one above it that is up, has an address."""
    return (not port.passthru and port.dev.dev_addr == addr) or addr in port.vlan_hash


def macvlan_compute_filter(vlan: MacvlanDevice) -> None:
    """Note which groups a device receives, and so which ones are worth handing out at all."""
    if vlan.flags & (IFF_PROMISC | IFF_ALLMULTI):
        vlan.mc_filter = None
    else:
        vlan.mc_filter = frozenset((*vlan.mc, vlan.broadcast))
    groups: frozenset[bytes] = frozenset()
    port = macvlan_port_get(vlan.lowerdev)
    assert port is not None
    for other in port.vlans:
        if other.mc_filter is None:
            port.mc_filter = None
            return
        groups |= other.mc_filter
    port.mc_filter = groups


def update_port_bc_queue_len(port: MacvlanPort) -> None:
    """Let the queue for broadcasts be as long as any of the devices wants it."""
    port.bc_queue_len_used = max((vlan.bc_queue_len_req for vlan in port.vlans), default=0)
