"""What a namespace keeps for IPv4 (Linux: ``struct netns_ipv4``)."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..core.timer import HZ
from .devinet import IpDevConf
from .fib_trie import FibTable
from .inet_hashtables import InetHashinfo
from .rtnetlink import RtTable

if TYPE_CHECKING:
    from ..core.fib_rules import FibRulesOps
    from ..core.neighbour_table import NeighTable
    from ..core.net import Net
    from .devinet import InIfaddr
    from .icmp_limit import IcmpGlobal
    from .inet_protosw import InetProtosw
    from .inet_sock import InetSock
    from .inetpeer import InetPeer
    from .ip_fragment import FragQueue
    from .ip_tunnel import IpTunnelNet
    from .protocol import NetProtocol
    from .raw import RawSock
    from .route_cache import RouteCache
    from .tcp_cong import TcpCongestionOps
    from .tunnel4 import XfrmTunnel
    from .udp_table import UdpTable

__all__ = ["NetnsIpv4"]

IP_IDENTS = 2048  # Number of generators of IP identifications.


class NetnsIpv4:
    """IPv4 tables and settings of one namespace.

    Members
    -------
    fib_tables : dict[int, FibTable]
        Routing tables by number.
    fib_main, fib_default : FibTable
        Two of them; the main one includes the local one while there are no rules.
    rules_ops : FibRulesOps
        The rules; ``fib_has_custom_rules`` once they were changed.
    fib_rules_require_fldissect : int
        How many of them want to know a packet's protocol or ports.
    fib_has_custom_local_routes : bool
        There are routes to this host that no address made.
    inet_addr_lst : dict[int, list[InIfaddr]]
        Addresses of this host.
    inetaddr_chain : list
        Notifiers of addresses that went: functions of the address.
    rt_genid : int
        Routes made under another number are stale.
    dev_addr_genid : int
        Source addresses chosen under another number are stale.
    arp_tbl : NeighTable
        Neighbours.
    devconf_all, devconf_dflt : IpDevConf
        Settings for all devices, and those that a new device starts with.
    tcp_hashinfo : InetHashinfo
        Connections, listeners and ports of TCP.
    tcp_cong_list : dict[str, TcpCongestionOps]
        Algorithms of congestion control, by name.
    tcp_sk : InetSock
        What TCP answers with where there is no connection.
    net_secret, syncookie_secret : bytes
        What nobody else knows: sequence numbers and SYN cookies depend on it.
    udp_table : UdpTable
        UDP sockets by local port.
    inet_protos : list[NetProtocol or None]
        Who receives packets of which protocol.
    tunnel4_handlers : list[XfrmTunnel]
        Who receives packets in packets, in the order in which they are asked.
    ipip : IpTunnelNet or None
        The tunnels of this kind, once there was one.
    inetsw : dict[int, list[InetProtosw]]
        Kinds of sockets, by type.
    raw_hashinfo : dict[int, list[RawSock]]
        Raw sockets by protocol.
    ra_chain : list[RawSock]
        Raw sockets that get forwarded packets with the option Router Alert.
    icmp_sk : InetSock
        What ICMP messages are sent with.
    frag_queues, frag_mem : dict[tuple, FragQueue], int
        Packets of which not all fragments are here, and the memory that they have, in octets.
    frag_sources : dict[int, list[int]]
        Their senders: how many such packets each has, and how many fragments have come from it.
    peers : dict[int, InetPeer]
        What is known of others, by address.
    rt_cache : RouteCache or None
        The route cache; ``sysctl_route_cache`` makes it.
    redirects : dict[int, tuple[int, int]]
        How often senders were told of shorter ways, by address, and when last, in jiffies.
    sysctl_* : int
        As under ``/proc/sys/net/ipv4`` and ``/proc/sys/net/core``, with the kernel's defaults.
    """

    arp_tbl: "NeighTable"
    icmp_global: "IcmpGlobal"
    icmp_sk: "InetSock"
    inet_protos: "list[NetProtocol | None]"
    inetsw: "dict[int, list[InetProtosw]]"
    raw_hashinfo: "dict[int, list[RawSock]]"
    rules_ops: "FibRulesOps"
    tcp_sk: "InetSock"
    udp_table: "UdpTable"

    def __init__(self, net: "Net") -> None:
        random_u32 = net.kernel.platform.random_u32
        self.fib_main = FibTable(RtTable.MAIN)
        self.fib_default = FibTable(RtTable.DEFAULT)
        self.fib_tables: dict[int, FibTable] = {
            RtTable.LOCAL: self.fib_main,
            RtTable.MAIN: self.fib_main,
            RtTable.DEFAULT: self.fib_default,
        }
        self.fib_has_custom_rules = self.fib_has_custom_local_routes = False
        self.fib_rules_require_fldissect = 0
        self.devconf_all = IpDevConf()
        self.devconf_dflt = IpDevConf()
        self.devconf_dflt.accept_source_route = 1
        self.inet_addr_lst: dict[int, list[InIfaddr]] = {}
        self.inetaddr_chain: list[Callable[[InIfaddr], None]] = []
        self.rt_genid = 0
        self.dev_addr_genid = 0
        self.hash_secret = random_u32()
        self.ip_idents = [random_u32() & 0xFFFF for _ in range(IP_IDENTS)]
        self.ip_tstamps = [0] * IP_IDENTS
        self.frag_queues: dict[tuple[int, ...], FragQueue] = {}
        self.frag_sources: dict[int, list[int]] = {}
        self.frag_mem = 0
        self.ra_chain: list[RawSock] = []
        self.redirects: dict[int, tuple[int, int]] = {}
        self.peers: dict[int, InetPeer] = {}
        self.rt_cache: RouteCache | None = None
        self.tunnel4_handlers: list[XfrmTunnel] = []
        self.ipip: IpTunnelNet | None = None
        self.sysctl_fib_multipath_hash_policy = 0
        self.sysctl_route_gc_elasticity = 8
        self.sysctl_route_gc_min_interval = HZ // 2  # In jiffies, as the next one.
        self.sysctl_route_gc_timeout = 300 * HZ
        self.sysctl_route_gc_thresh = 1024
        self.sysctl_route_max_size = 16384
        self.sysctl_ip_default_ttl = 64
        self.sysctl_ip_no_pmtu_disc = 0
        self.sysctl_ip_nonlocal_bind = 0
        self.sysctl_ip_fwd_update_priority = 1
        self.sysctl_ip_fwd_use_pmtu = 0
        self.sysctl_ip_rt_min_pmtu = 552
        self.sysctl_ipfrag_high_thresh = 4 << 20  # In octets.
        self.sysctl_ipfrag_time = 30  # In s.
        self.sysctl_ipfrag_max_dist = 64
        self.sysctl_ip_local_port_range: tuple[int, int] = (32768, 60999)
        self.sysctl_ip_local_reserved_ports: frozenset[int] = frozenset()
        self.sysctl_ip_unprivileged_port_start = 1024  # Of no effect: every program here is root.
        self.sysctl_ip_early_demux = 1
        self.sysctl_icmp_echo_ignore_all = 0
        self.sysctl_icmp_echo_ignore_broadcasts = 1
        self.sysctl_icmp_ratelimit = 1000  # In ms.
        self.sysctl_icmp_ratemask = 0x1818
        self.sysctl_icmp_msgs_per_sec = 1000
        self.sysctl_icmp_msgs_burst = 50
        self.sysctl_igmp_max_memberships = 20
        self.sysctl_igmp_max_msf = 10
        self.sysctl_somaxconn = 4096
        self.tcp_hashinfo = InetHashinfo()
        self.tcp_cong_list: dict[str, TcpCongestionOps] = {}
        self.net_secret = self.syncookie_secret = b""  # Made when they are needed first.
        self.tcp_challenge_second = self.tcp_challenge_left = 0
        self.set_tcp_defaults()
        self.sysctl_wmem_default = 212992
        self.sysctl_wmem_max = 212992
        self.sysctl_rmem_default = 212992
        self.sysctl_rmem_max = 212992

    def set_tcp_defaults(self) -> None:
        """Set TCP's settings to what they are at first (Linux: ``tcp_sk_init``); times are in jiffies."""
        self.sysctl_tcp_abort_on_overflow = 0
        self.sysctl_tcp_adv_win_scale = 1
        self.sysctl_tcp_autocorking = 1
        self.sysctl_tcp_base_mss = 1024
        self.sysctl_tcp_challenge_ack_limit = 0x7FFFFFFF
        self.sysctl_tcp_congestion_control = "cubic"
        self.sysctl_tcp_dsack = 1
        self.sysctl_tcp_early_retrans = 3
        self.sysctl_tcp_ecn = 2
        self.sysctl_tcp_fin_timeout = 60 * HZ
        self.sysctl_tcp_frto = 2
        self.sysctl_tcp_invalid_ratelimit = 500  # In ms.
        self.sysctl_tcp_keepalive_intvl = 75 * HZ
        self.sysctl_tcp_keepalive_probes = 9
        self.sysctl_tcp_keepalive_time = 7200 * HZ
        self.sysctl_tcp_limit_output_bytes = 1 << 20
        self.sysctl_tcp_max_orphans = 16384
        self.sysctl_tcp_max_reordering = 300
        self.sysctl_tcp_max_tw_buckets = 16384
        self.sysctl_tcp_min_snd_mss = 48
        self.sysctl_tcp_moderate_rcvbuf = 1
        self.sysctl_tcp_mtu_probe_floor = 48
        self.sysctl_tcp_mtu_probing = 0
        self.sysctl_tcp_orphan_retries = 0
        self.sysctl_tcp_probe_interval = 600  # In s.
        self.sysctl_tcp_probe_threshold = 8
        self.sysctl_tcp_reordering = 3
        self.sysctl_tcp_retries1 = 3
        self.sysctl_tcp_retries2 = 15
        self.sysctl_tcp_rfc1337 = 0
        self.sysctl_tcp_rmem: tuple[int, int, int] = (4096, 131072, 6291456)
        self.sysctl_tcp_sack = 1
        self.sysctl_tcp_slow_start_after_idle = 1
        self.sysctl_tcp_stdurg = 0
        self.sysctl_tcp_syn_retries = 6
        self.sysctl_tcp_synack_retries = 5
        self.sysctl_tcp_syncookies = 1
        self.sysctl_tcp_timestamps = 1
        self.sysctl_tcp_tw_reuse = 2
        self.sysctl_tcp_window_scaling = 1
        self.sysctl_tcp_wmem: tuple[int, int, int] = (4096, 16384, 4194304)
        self.sysctl_tcp_workaround_signed_windows = 0

    @property
    def sysctl_route_cache(self) -> int:
        """Whether routes are cached by flow."""
        return int(self.rt_cache is not None)

    @sysctl_route_cache.setter
    def sysctl_route_cache(self, value: int) -> None:
        from .route_cache import RouteCache, rt_cache_clear

        self.rt_genid += 1  # Routes of the other kind become stale.
        if self.rt_cache is not None:
            rt_cache_clear(self.rt_cache)
        self.rt_cache = RouteCache() if value else None
