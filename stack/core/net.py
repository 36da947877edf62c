"""A host's kernel and its network namespaces: what Linux keeps in globals and in ``struct net``."""

from collections import defaultdict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..sched.sch_pfifo_fast import pfifo_fast_ops
from .dev import net_dev_init
from .drop_reasons import SkbDropReason
from .link_watch import LinkWatch
from .packet_type import PTYPE_HASH_SIZE, PacketType
from .rtnetlink import RtnlMutex
from .softirq import TIMER_SOFTIRQ, Softirq, open_softirq
from .softnet import SoftnetData
from .timer import TimerList, run_timer_softirq

if TYPE_CHECKING:
    from ..ipv4.netns import NetnsIpv4
    from ..netfilter.core import NetnsNf
    from ..netlink.af_netlink_sock import NetlinkSock, NetlinkTable
    from ..packet.af_packet import PacketSock
    from ..sched.qdisc import QdiscOps
    from ..socket import Socket
    from ..xfrm.crypto import Crypto
    from ..xfrm.netns import NetnsXfrm
    from .netdevice import NetDevice
    from .platform import Platform
    from .rtnetlink_rcv import RtnlLink
    from .rtnl_link import RtnlLinkOps
    from .skbuff import SkBuff
    from .sock_mem import ProtoMemory

__all__ = ["Kernel", "Net"]

LOG_LINES = 1000


class Net:
    """A network namespace: devices, tables and counters (Linux: ``struct net``).

    Members
    -------
    kernel : Kernel
        The host.
    devices : dict[int, NetDevice]
        Registered devices by ``ifindex``, in the order of registration.
    dev_by_name : dict[str, NetDevice]
        The same by name.
    loopback_dev : NetDevice
        The namespace's ``lo``.
    mib : defaultdict[str, int]
        SNMP counters, by the names that ``nstat`` shows: ``"Ip:OutRequests"``, ``"Udp:OutDatagrams"``.
    ipv4 : NetnsIpv4
        What IPv4 keeps: routes, addresses, neighbours, ports.
    nf : NetnsNf
        Netfilter's hooks.
    xfrm : NetnsXfrm
        Policies and states of IPsec.
    ptype_all : tuple[PacketType, ...]
        Packet taps for all devices; ``dev_add_pack`` adds them.
    ptype_base : list[tuple[PacketType, ...]]
        Handlers of protocols, in buckets by the low bits of the EtherType.
    packet_sklist : list[PacketSock]
        Sockets of AF_PACKET.
    netdev_chain : list
        Notifiers of device events: functions of the event and the device.
    llc_saps : dict[int, callable]
        Who receives frames of logical link control, by service access point; ``llc_sap_open`` adds them.
    dev_base_seq : int
        Changes with the devices that there are.
    netns_ids : dict[Net, int]
        Numbers that it has for other namespaces.
    nl_table : dict[int, NetlinkTable]
        Sockets of netlink, by protocol.
    rtnl : NetlinkSock
        The kernel's own socket of rtnetlink.
    """

    ipv4: "NetnsIpv4"
    nf: "NetnsNf"
    xfrm: "NetnsXfrm"

    def __init__(self, kernel: "Kernel") -> None:
        self.kernel = kernel
        self.devices: dict[int, NetDevice] = {}
        self.dev_by_name: dict[str, NetDevice] = {}
        self.ifindex = 0  # The last one given.
        self.net_cookie = kernel.gen_cookie()
        self.loopback_dev: NetDevice
        self.mib: defaultdict[str, int] = defaultdict(int)
        self.ptype_all: tuple[PacketType, ...] = ()
        self.ptype_base: list[tuple[PacketType, ...]] = [()] * PTYPE_HASH_SIZE
        self.packet_sklist: list[PacketSock] = []
        self.netdev_chain: list[Callable[[Any, NetDevice], None]] = []
        self.llc_saps: dict[int, Callable[[SkBuff, NetDevice], int]] = {}
        self.dev_base_seq = 1
        self.netns_ids: dict[Net, int] = {}
        self.nl_table: dict[int, NetlinkTable]
        self.rtnl: NetlinkSock
        # Protocols and drivers are built on this module.
        from ..drivers.loopback import loopback_net_init
        from ..ipv4.af_inet import inet_init_net
        from ..netlink.af_netlink import netlink_net_init
        from ..packet.af_packet import packet_net_init
        from ..xfrm.xfrm_user import xfrm_net_init, xfrm_user_net_init
        from .rtnetlink_rcv import rtnetlink_net_init

        xfrm_net_init(self)
        inet_init_net(self)
        packet_net_init(self)
        netlink_net_init(self)
        xfrm_user_net_init(self)
        rtnetlink_net_init(self)
        loopback_net_init(self)

    def socket(self, family: int = 2, type: int = 2, proto: int = 0) -> "Socket":
        """Make a socket, by default ``AF_INET`` and ``SOCK_DGRAM``, as ``socket.socket()`` does.

        Raises
        ------
        OSError
            ``EAFNOSUPPORT``, ``EINVAL``, ``ESOCKTNOSUPPORT``, ``EPROTONOSUPPORT``.
        """
        from ..socket import sys_socket

        return sys_socket(self, family, type, proto)


class Kernel:
    """One host: the platform that it runs on, its softirqs, its namespaces and what they share.

    Members
    -------
    platform : Platform
        Time, timers, sleep, memory and randomness.
    drops : list[int]
        Number of skbs dropped, by ``SkbDropReason``.
    netevent_chain : list
        Notifiers of neighbour events: functions of the event and what it happened to.
    expired_timers : deque[TimerList]
        Timers that ended, for ``TIMER_SOFTIRQ``.
    files : dict[int, Socket]
        Open sockets by descriptor.
    crypto : Crypto or None
        Ciphers for IPsec, from whoever makes the host.
    security_socket_sendmsg : list
        Hooks that may forbid a send: functions of socket, message and size that return 0 or a negative errno.
    log : deque[str]
        What the kernel says, as ``dmesg`` shows it; the oldest goes first.
    link_watch : LinkWatch
        Devices whose link came or went.
    rtnl : RtnlMutex
        Held by whoever configures a device.
    default_qdisc_ops : QdiscOps
        The sysctl ``net.core.default_qdisc``; ``qdisc_set_default`` sets it.
    qdisc_autohandle : int
        The last handle given to a qdisc that was made without one.
    rtnl_msg_handlers : dict[tuple[int, int], RtnlLink]
        Who handles requests of rtnetlink, by family and type.
    rtnl_link_ops : dict[str, RtnlLinkOps]
        Kinds of virtual devices.
    rtnl_creating, rtnl_initializing : int, set[NetDevice]
        How many requests are making devices now, and the devices that they have not notified of yet.
    proto_memory : dict[str, ProtoMemory]
        What all sockets of a protocol have together, by the name of their ``Proto``.
    netstamp_needed : int
        How many want to know when packets came.
    last_cookie : int
        The last number that a socket or a namespace was given for its own (``SO_COOKIE``).
    init_net : Net
        The first namespace.
    """

    def __init__(self, platform: "Platform") -> None:
        self.platform = platform
        self.kmalloc = platform.kmalloc
        self.kfree = platform.kfree
        self.now_ns = platform.now_ns
        self.drops = [0] * (max(SkbDropReason) + 1)
        self.softirq = Softirq(self)
        self.softnet = SoftnetData()
        self.expired_timers: deque[TimerList] = deque()
        open_softirq(self, TIMER_SOFTIRQ, run_timer_softirq)
        self.netevent_chain: list[Callable[[Any, Any], None]] = []
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        self.link_watch = LinkWatch()
        self.files: dict[int, Socket] = {}
        self.crypto: Crypto | None = None
        self.security_socket_sendmsg: list[Callable[[Socket, Any, int], int]] = []
        self.rtnl = RtnlMutex(platform)
        self.default_qdisc_ops: QdiscOps = pfifo_fast_ops
        self.qdisc_autohandle = 0x80000000
        self.rtnl_msg_handlers: dict[tuple[int, int], RtnlLink] = {}
        self.rtnl_link_ops: dict[str, RtnlLinkOps] = {}
        self.rtnl_creating = 0
        self.rtnl_initializing: set[NetDevice] = set()
        from ..ipv4.af_inet import inet_init
        from .rtnetlink_rcv import rtnetlink_init

        rtnetlink_init(self)
        self.proto_memory: dict[str, ProtoMemory] = {}
        inet_init(self)
        self.netstamp_needed = self.last_cookie = 0
        self.init_net = Net(self)
        net_dev_init(self)

    def gen_cookie(self) -> int:
        """Return a number that was given to nobody before (Linux: ``gen_cookie_next``)."""
        self.last_cookie += 1
        return self.last_cookie

    def drop_counts(self) -> dict[str, int]:
        """Return the reasons for which skbs were dropped, with their numbers."""
        return {
            reason.name: self.drops[reason]
            for reason in SkbDropReason
            if reason != SkbDropReason.CONSUMED and self.drops[reason]
        }
