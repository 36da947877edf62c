"""Network devices and their queues (Linux: include/linux/netdevice.h)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from errno import ENOBUFS
from typing import TYPE_CHECKING, Any

from .dql import Dql

if TYPE_CHECKING:
    from ..sched.qdisc import Qdisc
    from ..vlan.vlan_core import VlanInfo
    from .dev_napi import Napi
    from .dev_receive import RxHandler
    from .net import Net
    from .packet_type import PacketType
    from .rtnl_link import RtnlLinkOps
    from .skbuff import SkBuff
    from .timer import TimerList

__all__ = [
    "ARPHRD_ETHER",
    "ARPHRD_LOOPBACK",
    "ARPHRD_TUNNEL",
    "GSO_LEGACY_MAX_SIZE",
    "GSO_MAX_SEGS",
    "GSO_MAX_SIZE",
    "IFF_ALLMULTI",
    "IFF_BRIDGE_PORT",
    "IFF_BROADCAST",
    "IFF_EBRIDGE",
    "IFF_LOOPBACK",
    "IFF_LOWER_UP",
    "IFF_MASTER",
    "IFF_MULTICAST",
    "IFF_NOARP",
    "IFF_NO_QUEUE",
    "IFF_POINTOPOINT",
    "IFF_PROMISC",
    "IFF_RUNNING",
    "IFF_SLAVE",
    "IFF_UNICAST_FLT",
    "IFF_UP",
    "IFF_XMIT_DST_RELEASE",
    "LINK_STATE_LINKWATCH_PENDING",
    "LINK_STATE_NOCARRIER",
    "LINK_STATE_PRESENT",
    "LINK_STATE_START",
    "NETDEV_TX_BUSY",
    "NETDEV_TX_OK",
    "NETIF_F_CSUM_MASK",
    "NETIF_F_FRAGLIST",
    "NETIF_F_GRO",
    "NETIF_F_GSO_MASK",
    "NETIF_F_GSO_SHIFT",
    "NETIF_F_GSO_UDP_L4",
    "NETIF_F_HIGHDMA",
    "NETIF_F_HW_CSUM",
    "NETIF_F_HW_NEIGH",
    "NETIF_F_HW_VLAN_CTAG_FILTER",
    "NETIF_F_HW_VLAN_CTAG_RX",
    "NETIF_F_HW_VLAN_CTAG_TX",
    "NETIF_F_IP_CSUM",
    "NETIF_F_LLTX",
    "NETIF_F_LOOPBACK",
    "NETIF_F_RXALL",
    "NETIF_F_RXCSUM",
    "NETIF_F_RXFCS",
    "NETIF_F_RXHASH",
    "NETIF_F_SG",
    "NETIF_F_TSO",
    "NETIF_F_TSO_ECN",
    "NETIF_F_TSO_MANGLEID",
    "NET_RX_DROP",
    "NET_RX_SUCCESS",
    "NET_XMIT_CN",
    "NET_XMIT_DROP",
    "NET_XMIT_MASK",
    "NET_XMIT_SUCCESS",
    "QUEUE_STATE_DRV_XOFF",
    "QUEUE_STATE_FROZEN",
    "QUEUE_STATE_STACK_XOFF",
    "Capabilities",
    "HeaderOps",
    "HhCache",
    "HwAddrList",
    "NetDevice",
    "NetDeviceOps",
    "NetdevQueue",
    "Stats64",
    "dev_xmit_complete",
    "net_xmit_errno",
    "netif_carrier_ok",
    "netif_keep_dst",
    "netif_running",
]

# Plain numbers, not enums: they are tested for every packet.
IFF_UP = 1 << 0
IFF_BROADCAST = 1 << 1
IFF_LOOPBACK = 1 << 3
IFF_POINTOPOINT = 1 << 4
IFF_RUNNING = 1 << 6
IFF_NOARP = 1 << 7
IFF_PROMISC = 1 << 8
IFF_ALLMULTI = 1 << 9
IFF_MASTER = 1 << 10
IFF_SLAVE = 1 << 11
IFF_MULTICAST = 1 << 12
IFF_LOWER_UP = 1 << 16  # As IFF_RUNNING in dev_get_flags() only.

IFF_EBRIDGE = 1 << 1  # In priv_flags: it is a bridge.
IFF_BRIDGE_PORT = 1 << 9  # Likewise: it is a bridge's port.
IFF_XMIT_DST_RELEASE = 1 << 10  # Likewise: dev_queue_xmit lets go of an skb's dst.
IFF_NO_QUEUE = 1 << 21  # Likewise: it has no qdisc, unless one is asked for.
IFF_UNICAST_FLT = 1 << 17  # In priv_flags: the device filters by several unicast addresses.

NETIF_F_SG = 1 << 0
NETIF_F_IP_CSUM = 1 << 1
NETIF_F_HW_CSUM = 1 << 3
NETIF_F_HIGHDMA = 1 << 5
NETIF_F_FRAGLIST = 1 << 6
NETIF_F_HW_VLAN_CTAG_TX = 1 << 7
NETIF_F_HW_VLAN_CTAG_RX = 1 << 8
NETIF_F_HW_VLAN_CTAG_FILTER = 1 << 9
NETIF_F_LLTX = 1 << 12
NETIF_F_GRO = 1 << 14
NETIF_F_TSO = 1 << 16  # From here on a feature for each SKB_GSO_*, in their order.
NETIF_F_TSO_ECN = 1 << 18
NETIF_F_TSO_MANGLEID = 1 << 19
NETIF_F_GSO_UDP_L4 = 1 << 33
NETIF_F_RXHASH = 1 << 34
NETIF_F_RXCSUM = 1 << 35
NETIF_F_LOOPBACK = 1 << 37
NETIF_F_RXFCS = 1 << 38
NETIF_F_RXALL = 1 << 39
NETIF_F_HW_NEIGH = 1 << 60  # Ours: the device writes the destination address of known next hops.
NETIF_F_CSUM_MASK = NETIF_F_IP_CSUM | NETIF_F_HW_CSUM
NETIF_F_GSO_SHIFT = 16
NETIF_F_GSO_MASK = (1 << 34) - (1 << NETIF_F_GSO_SHIFT)

GSO_LEGACY_MAX_SIZE = 65536
GSO_MAX_SEGS = 65535
GSO_MAX_SIZE = 8 * GSO_MAX_SEGS  # Longest packet that a device may be handed to cut up, whose driver knows no limit.

ARPHRD_ETHER = 1
ARPHRD_LOOPBACK = 772
ARPHRD_TUNNEL = 768

NETDEV_TX_OK = 0x00
NETDEV_TX_BUSY = 0x10

NET_XMIT_SUCCESS = 0x00
NET_XMIT_DROP = 0x01
NET_XMIT_CN = 0x02
NET_XMIT_MASK = 0x0F
NET_RX_SUCCESS = 0
NET_RX_DROP = 1

QUEUE_STATE_DRV_XOFF = 1 << 0
QUEUE_STATE_STACK_XOFF = 1 << 1
QUEUE_STATE_FROZEN = 1 << 2

LINK_STATE_START = 1 << 0
LINK_STATE_PRESENT = 1 << 1
LINK_STATE_NOCARRIER = 1 << 2
LINK_STATE_LINKWATCH_PENDING = 1 << 3


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a device can do; the stack asks nothing else of it.

    Parameters
    ----------
    features : int
        ``NETIF_F_*`` bits that may be switched on.
    min_mtu, max_mtu : int
        Bounds of the IP MTU; a ``max_mtu`` of 0 is none.
    tx_queues : int
        Number of TX queues.
    """

    features: int = 0
    min_mtu: int = 68
    max_mtu: int = 1500
    tx_queues: int = 1


@dataclass(slots=True)
class Stats64:
    """Counters of a device (Linux: ``struct rtnl_link_stats64``)."""

    rx_packets: int = 0
    tx_packets: int = 0
    rx_bytes: int = 0
    tx_bytes: int = 0
    rx_errors: int = 0
    tx_errors: int = 0
    rx_dropped: int = 0
    tx_dropped: int = 0
    multicast: int = 0
    collisions: int = 0
    tx_aborted_errors: int = 0
    tx_carrier_errors: int = 0
    tx_fifo_errors: int = 0
    rx_length_errors: int = 0
    rx_over_errors: int = 0
    rx_crc_errors: int = 0
    rx_frame_errors: int = 0
    rx_missed_errors: int = 0
    rx_nohandler: int = 0
    rx_otherhost_dropped: int = 0


@dataclass(frozen=True, slots=True)
class NetDeviceOps:
    """A driver's functions (Linux: ``struct net_device_ops``); those that are None it does not have.

    ``ndo_set_rx_mode(dev)`` takes over ``dev.flags`` (``IFF_PROMISC``, ``IFF_ALLMULTI``), ``dev.uc`` and ``dev.mc``; it
    may not sleep. ``ndo_change_rx_flags(dev, changed)`` is for devices on top of others.
    ``ndo_vlan_rx_add_vid(dev, proto, vid)`` raises ``OSError`` if the filter has no room.
    ``ndo_select_queue(dev, skb)`` chooses one of several TX queues.
    ``ndo_add_slave(master, dev)`` enslaves ``dev``, with ``netdev_master_upper_dev_link``.
    ``ndo_get_iflink(dev)`` returns the number of the device that it is on top of, or joined to.
    """

    ndo_start_xmit: Callable[["SkBuff", "NetDevice"], int]
    ndo_select_queue: Callable[["NetDevice", "SkBuff"], int] | None = None
    ndo_init: Callable[["NetDevice"], None] | None = None
    ndo_uninit: Callable[["NetDevice"], None] | None = None
    ndo_open: Callable[["NetDevice"], None] | None = None
    ndo_stop: Callable[["NetDevice"], None] | None = None
    ndo_tx_timeout: Callable[["NetDevice", int], None] | None = None
    ndo_change_mtu: Callable[["NetDevice", int], None] | None = None
    ndo_set_mac_address: Callable[["NetDevice", bytes], None] | None = None
    ndo_set_features: Callable[["NetDevice", int], None] | None = None
    ndo_get_stats64: Callable[["NetDevice"], Stats64] | None = None
    ndo_set_rx_mode: Callable[["NetDevice"], None] | None = None
    ndo_change_rx_flags: Callable[["NetDevice", int], None] | None = None
    ndo_vlan_rx_add_vid: Callable[["NetDevice", int, int], None] | None = None
    ndo_vlan_rx_kill_vid: Callable[["NetDevice", int, int], None] | None = None
    ndo_add_slave: Callable[["NetDevice", "NetDevice"], None] | None = None
    ndo_del_slave: Callable[["NetDevice", "NetDevice"], None] | None = None
    ndo_change_carrier: Callable[["NetDevice", bool], None] | None = None
    ndo_get_iflink: Callable[["NetDevice"], int] | None = None


@dataclass(frozen=True, slots=True)
class HeaderOps:
    """How a kind of link builds its headers (Linux: ``struct header_ops``).

    ``create(skb, dev, protocol, daddr, saddr, length)`` pushes a header and returns its length, negative if the
    destination is missing. ``cache(neigh, hh, protocol)`` prebuilds one; ``cache_update(hh, dev, haddr)`` changes the
    destination in it. ``parse(skb)`` returns the source address in a packet's header, ``parse_protocol(skb)`` what is
    in the packet.
    """

    create: Callable[["SkBuff", "NetDevice", int, bytes | None, bytes | None, int], int] | None = None
    cache: Callable[[Any, "HhCache", int], None] | None = None
    cache_update: Callable[["HhCache", "NetDevice", bytes], None] | None = None
    parse: Callable[["SkBuff"], bytes] | None = None
    parse_protocol: Callable[["SkBuff"], int] | None = None


class HhCache:
    """A prebuilt link header (Linux: ``struct hh_cache``); ``hh_len`` is 0 while there is none."""

    __slots__ = ("hh_data", "hh_len")

    def __init__(self) -> None:
        self.hh_len = 0
        self.hh_data = b""


class HwAddrList:
    """Link addresses that a device shall receive, each with the number of its users (Linux: ``netdev_hw_addr_list``).

    ``len`` is their number, and iterating yields them in the order in which they came. ``synced`` has those that other
    devices, below this one, were asked to receive, too.
    """

    __slots__ = ("list", "synced")

    def __init__(self) -> None:
        self.list: dict[bytes, int] = {}
        self.synced: dict[NetDevice, set[bytes]] = {}

    def __len__(self) -> int:
        return len(self.list)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.list)


class NetdevQueue:
    """One TX queue of a device (Linux: ``struct netdev_queue``).

    Members
    -------
    state : int
        ``QUEUE_STATE_*`` bits: stopped by the driver, by byte queue limits, or frozen.
    qdisc : Qdisc
        What packets go through before the driver.
    qdisc_sleeping : Qdisc
        The one that takes over when the device is up.
    trans_start_ns : int
        When the last packet went to the driver; the watchdog reads it.
    """

    __slots__ = ("dev", "dql", "index", "qdisc", "qdisc_sleeping", "state", "trans_start_ns", "trans_timeouts")

    def __init__(self, dev: "NetDevice", index: int) -> None:
        self.dev = dev
        self.index = index
        self.state = 0
        self.dql = Dql()
        self.qdisc: Qdisc
        self.qdisc_sleeping: Qdisc
        self.trans_start_ns = 0
        self.trans_timeouts = 0


class NetDevice:
    """A network device (Linux: ``struct net_device``).

    A driver makes it, sets what it has to, and hands it to ``register_netdevice``.

    Parameters
    ----------
    net : Net
        Namespace that it is in.
    name : str
        Name; ``%d`` in it becomes the first free number.
    netdev_ops : NetDeviceOps
        The driver's functions.
    capabilities : Capabilities
        What it can do.
    priv : object
        The driver's own (Linux: ``netdev_priv``).

    Members
    -------
    stats : Stats64
        The driver's counters.
    core_stats : Stats64
        What the stack itself dropped; ``dev_get_stats`` adds them.
    uc, mc : HwAddrList
        Further unicast addresses, and the groups, that the device shall receive.
    promiscuity, allmulti : int
        How many want all frames, and all groups'.
    operstate : int
        ``IF_OPER_*``.
    master, slaves : NetDevice or None, list[NetDevice]
        The device that it is enslaved to (a bridge, a bond), and those that are enslaved to it.
    lower_dev : NetDevice or None
        The device that it stands on without being its master: that of a VLAN, of a macvlan.
    rtnl_link_ops : RtnlLinkOps or None
        How a virtual device is made and changed.
    gflags : int
        ``IFF_PROMISC`` and ``IFF_ALLMULTI`` as an administrator has set them.
    hw_features : int
        ``NETIF_F_*`` bits that may be switched on: the device's, and the stack's own.
    gso_max_size, gso_max_segs : int
        How long a packet may be that stands for many, and for how many; not more than ``tso_max_size`` and
        ``tso_max_segs``, which are the device's.
    ifalias, group : bytes, int
        An administrator's text for it, and the group that it is in.
    """

    def __init__(
        self, net: "Net", name: str, netdev_ops: NetDeviceOps, capabilities: Capabilities, priv: Any = None
    ) -> None:
        self.net = net
        self.kernel = net.kernel
        self.name = name
        self.ifindex = 0
        self.netdev_ops = netdev_ops
        self.ethtool_ops: Any = None
        self.header_ops: HeaderOps | None = None
        self.capabilities = capabilities
        self.hw_features = capabilities.features | NETIF_F_GRO
        self.features = self.hw_features
        self.priv = priv
        self.flags = 0
        self.priv_flags = IFF_XMIT_DST_RELEASE
        self.state = LINK_STATE_PRESENT
        self.type = ARPHRD_ETHER
        self.mtu = min(1500, capabilities.max_mtu or 1500)
        self.hard_header_len = 14
        self.needed_headroom = 0
        self.needed_tailroom = 0
        self.addr_len = 6
        self.dev_addr = bytes(6)
        self.broadcast = b"\xff" * 6
        self.tx_queue_len = 1000
        self.tx = [NetdevQueue(self, index) for index in range(capabilities.tx_queues)]
        self.qdisc: Qdisc  # The root, as "tc qdisc show" names it.
        self.qdisc_hash: list[Qdisc] = []  # The others.
        self.stats = Stats64()
        self.core_stats = Stats64()
        self.uc = HwAddrList()
        self.mc = HwAddrList()
        self.promiscuity = self.allmulti = 0
        self.uc_promisc = False
        self.operstate = 0
        self.gflags = self.group = 0
        self.ifalias = b""
        self.carrier_up_count = self.carrier_down_count = 0
        self.tso_max_size = self.gso_max_size = GSO_LEGACY_MAX_SIZE
        self.tso_max_segs = self.gso_max_segs = GSO_MAX_SEGS
        self.vlan_info: VlanInfo | None = None
        self.ptype_all: tuple[PacketType, ...] = ()
        self.ptype_specific: tuple[PacketType, ...] = ()
        self.rx_handler: RxHandler | None = None
        self.rx_handler_data: Any = None
        self.master: NetDevice | None = None
        self.slaves: list[NetDevice] = []
        self.lower_dev: NetDevice | None = None
        self.rtnl_link_ops: RtnlLinkOps | None = None
        self.napi_list: list[Napi] = []
        self.watchdog_timeo_ns = 5_000_000_000
        self.watchdog_timer: TimerList | None = None
        self.ip_ptr: Any = None  # in_device of IPv4.
        self.arp_parms: Any = None  # Neighbour parameters of this device.

    def __repr__(self) -> str:
        return f"<NetDevice {self.name} ifindex={self.ifindex}>"


def netif_running(dev: NetDevice) -> bool:
    """Return whether the device is up."""
    return dev.state & LINK_STATE_START != 0


def netif_carrier_ok(dev: NetDevice) -> bool:
    """Return whether the device has a link, as its driver said last."""
    return not dev.state & LINK_STATE_NOCARRIER


def netif_keep_dst(dev: NetDevice) -> None:
    """Ask ``dev_queue_xmit`` to leave an skb its dst, because the driver needs it."""
    dev.priv_flags &= ~IFF_XMIT_DST_RELEASE


def dev_xmit_complete(code: int) -> bool:
    """Return whether the driver has taken the skb (or it is gone), going by what came back."""
    return code < NET_XMIT_MASK


def net_xmit_errno(code: int) -> int:
    """Return the negative errno that a sender gets for a positive ``NET_XMIT_*`` code."""
    return 0 if code == NET_XMIT_CN else -ENOBUFS
