"""Text of the files in ``/proc/net``, as a real kernel writes it (Linux: net/core/net-procfs.c and others)."""

from collections.abc import Callable
from errno import ENOENT
from typing import TYPE_CHECKING

from .core.dev_register import dev_get_stats
from .core.neighbour import NUD_NOARP, NUD_PERMANENT, NUD_VALID
from .core.tcp_states import TCP_LISTEN
from .core.timer import HZ, jiffies, timer_pending
from .ipv4.arp_ioctl import ATF_COM, ATF_PERM, ATF_PUBL
from .ipv4.fib_ioctl import RTF_GATEWAY, RTF_HOST, RTF_REJECT, RTF_UP
from .ipv4.inet_sock import InetSock
from .ipv4.inet_timewait_sock import InetTimewaitSock
from .ipv4.request_sock import TcpRequestSock
from .ipv4.rtnetlink import RtTable, RtType
from .ipv4.tcp_defs import ICSK_TIME_PROBE0
from .netfilter.nf_conntrack_standalone import ct_seq_show
from .proc_snmp import netstat_seq_show, snmp_seq_show
from .uapi import AF_INET, SOCK_STREAM
from .wire.address import ipv4_to_text, mac_to_text
from .xfrm.xfrm_proc import xfrm_statistics_seq_show

if TYPE_CHECKING:
    from .core.neighbour import Neighbour
    from .core.net import Net
    from .core.sock import Sock
    from .ipv4.fib_trie import FibAlias
    from .ipv4.tcp_sock import TcpSock

__all__ = ["proc_net"]

_USER_HZ = 100
_WIDTH = 127  # Lines of some files are padded to this.


def proc_net(net: "Net", name: str) -> str:
    """Return the text of a file in ``/proc/net``: ``dev``, ``arp``, ``route``, ``udp``, ``snmp`` and so on.

    Raises
    ------
    OSError
        ``ENOENT`` if there is no such file.
    """
    show = _FILES.get(name)
    if show is None:
        raise OSError(ENOENT, f"no file /proc/net/{name}")
    return show(net)


def dev_seq_show(net: "Net") -> str:
    """Return the counters of each device."""
    received = "bytes    packets errs drop fifo frame compressed multicast"
    sent = "bytes    packets errs drop fifo colls carrier compressed"
    lines = [f"Inter-|   Receive{'|':>49}  Transmit", f" face |{received}|{sent}"]
    for dev in net.devices.values():
        s = dev_get_stats(dev)
        frame = s.rx_length_errors + s.rx_over_errors + s.rx_crc_errors + s.rx_frame_errors
        lines.append(
            f"{dev.name:>6}: {s.rx_bytes:7} {s.rx_packets:7} {s.rx_errors:4} {s.rx_dropped + s.rx_missed_errors:4} "
            f"{0:4} {frame:5} {0:10} {s.multicast:9} "
            f"{s.tx_bytes:8} {s.tx_packets:7} {s.tx_errors:4} {s.tx_dropped:4} {s.tx_fifo_errors:4} {0:5} "
            f"{s.tx_carrier_errors + s.tx_aborted_errors:7} {0:10}"
        )
    return _text(lines)


def _text(lines: list[str]) -> str:
    return "".join(line + "\n" for line in lines)


def arp_seq_show(net: "Net") -> str:
    """Return the neighbours, and the addresses that devices speak for."""
    tbl = net.ipv4.arp_tbl
    lines = ["IP address       HW type     Flags       HW address            Mask     Device"]
    lines += [_arp_line(neigh) for neigh in tbl.nht.values() if neigh.nud_state & ~NUD_NOARP]
    for address, dev in sorted(tbl.phash, key=lambda entry: entry[0]):
        mac = mac_to_text(bytes(6))
        flags = f"{ATF_PUBL | ATF_PERM:<10x}"
        lines.append(f"{ipv4_to_text(address):<16} 0x{dev.type:<10x}0x{flags}{mac:<17}     *        {dev.name}")
    return _text(lines)


def _arp_line(neigh: "Neighbour") -> str:
    state = neigh.nud_state
    flags = ATF_PERM | ATF_COM if state & NUD_PERMANENT else ATF_COM if state & NUD_VALID else 0
    mac = mac_to_text(neigh.ha)
    return (
        f"{ipv4_to_text(neigh.primary_key):<16} 0x{neigh.dev.type:<10x}0x{flags:<10x}{mac:<17}     *        "
        f"{neigh.dev.name}"
    )


def _swapped(address: int) -> str:
    """Return an address as a number of the host's order, in hexadecimal."""
    return address.to_bytes(4, "little").hex().upper()


def fib_route_seq_show(net: "Net") -> str:
    """Return the routes of the main table."""
    lines = ["Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT"]
    routes = [alias for alias in net.ipv4.fib_main if alias.table == RtTable.MAIN]
    routes.sort(key=lambda alias: (alias.prefix, -alias.prefixlen, -alias.tos, alias.info.priority))
    for alias in routes:
        if alias.info.type not in (RtType.BROADCAST, RtType.MULTICAST):
            lines.append(_route_line(alias))
    return _text([line.ljust(_WIDTH) for line in lines])


def _route_line(alias: "FibAlias") -> str:
    info = alias.info
    mask = 0xFFFFFFFF << 32 - alias.prefixlen & 0xFFFFFFFF
    flags = RTF_UP | (RTF_REJECT if info.type in (RtType.UNREACHABLE, RtType.PROHIBIT) else 0)
    nh = info.nhs[0] if info.nhs else None
    gateway = nh.gw if nh is not None else 0
    flags |= (RTF_GATEWAY if gateway else 0) | (RTF_HOST if mask == 0xFFFFFFFF else 0)
    # The column of the MTU has what advmss makes of it, and nobody sets that.
    columns = (
        nh.dev.name if nh is not None else "*",
        _swapped(alias.prefix),
        _swapped(gateway),
        f"{flags:04X}",
        *(0, 0, info.priority),
        _swapped(mask),
        *(0, 0, 0),
    )
    return "\t".join(map(str, columns))


def _bucket(net: "Net", number: int) -> int:
    """Return where a hash table that Linux has would keep a port or protocol."""
    return number + net.ipv4.hash_secret & 0xFFF


def _socket_line(sk: InetSock, width: int, port: int) -> str:
    """Return the line of a datagram socket; nobody learns where in memory it is."""
    state = 1 if sk.connected else 7  # TCP_ESTABLISHED, TCP_CLOSE.
    return (
        f"{_bucket(sk.net, sk.inet_num):{width}}: {_swapped(sk.inet_rcv_saddr)}:{sk.inet_num:04X} "
        f"{_swapped(sk.inet_daddr)}:{port:04X} {state:02X} {sk.sk_wmem_alloc:08X}:{sk.sk_rmem_alloc:08X} "
        f"00:00000000 00000000 {0:5} {0:8} {_inode(sk)} 2 {0:016x} {sk.sk_drops}"
    )


def _inode(sk: "Sock") -> int:
    if not sk.sk_cookie:
        sk.sk_cookie = sk.kernel.gen_cookie()
    return sk.sk_cookie


_COLUMNS = (
    "local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops"
)


def udp4_seq_show(net: "Net") -> str:
    """Return the UDP sockets that have a port."""
    sks = [sk for port in net.ipv4.udp_table.ports.values() for sk in port]
    sks.sort(key=lambda sk: _bucket(net, sk.inet_num))
    # As Linux does, the drops are followed by a space; and the header has a column more in front.
    lines = [f"   sl  {_COLUMNS}", *(_socket_line(sk, 5, sk.inet_dport) for sk in sks)]
    return _text([line.ljust(_WIDTH) for line in lines])


def raw_seq_show(net: "Net") -> str:
    """Return the raw sockets."""
    sks = [sk for protocol in net.ipv4.raw_hashinfo.values() for sk in protocol]
    return _text([f"  sl  {_COLUMNS}", *(_socket_line(sk, 4, 0) for sk in sks)])


def sockstat_seq_show(net: "Net") -> str:
    """Return how many sockets there are, and the memory that they and fragments have."""
    files = [sock for sock in net.kernel.files.values() if sock.net is net]
    udp = [sk for port in net.ipv4.udp_table.ports.values() for sk in port]
    streams = sum(sock.family == AF_INET and sock.type == SOCK_STREAM for sock in files)
    memory = net.kernel.proto_memory
    raw = sum(map(len, net.ipv4.raw_hashinfo.values()))
    tcp = net.ipv4.tcp_hashinfo
    alloc, pages = memory["TCP"].sockets_allocated, memory["TCP"].memory_allocated
    return _text(
        [
            f"sockets: used {len(files)}",
            f"TCP: inuse {streams} orphan {tcp.orphan_count} tw {tcp.tw_count} alloc {alloc} mem {pages}",
            f"UDP: inuse {len(udp)} mem {memory['UDP'].memory_allocated}",
            "UDPLITE: inuse 0",
            f"RAW: inuse {raw}",
            f"FRAG: inuse {len(net.ipv4.frag_queues)} memory {net.ipv4.frag_mem}",
        ]
    )


def softnet_seq_show(net: "Net") -> str:
    """Return what the CPU did in the network softirqs: a line for each, and there is one."""
    softnet = net.kernel.softnet
    waiting = len(softnet.input_pkt_queue)
    columns = (softnet.processed, softnet.dropped, softnet.time_squeeze, *[0] * 8, waiting, 0, waiting, 0)
    return " ".join(f"{number:08x}" for number in columns) + "\n"


_TCP_COLUMNS = "local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
_TCP_WIDTH = 149


def _tcp_ends(sk: "TcpSock | TcpRequestSock | InetTimewaitSock") -> str:
    """Return both ends of a connection."""
    if isinstance(sk, TcpRequestSock):
        ends = (sk.ir_loc_addr, sk.ir_num, sk.ir_rmt_addr, sk.ir_rmt_port)
    else:
        ends = (sk.inet_rcv_saddr, sk.inet_num, sk.inet_daddr, sk.inet_dport)
    return f"{_swapped(ends[0])}:{ends[1]:04X} {_swapped(ends[2])}:{ends[3]:04X}"


def _tcp_line(sk: "TcpSock | TcpRequestSock | InetTimewaitSock") -> str:
    """Return what is known of a connection or listener behind its ends."""
    now = jiffies(sk.net.kernel)
    if isinstance(sk, InetTimewaitSock):
        left = max(sk.tw_timer.expires - now, 0) * _USER_HZ // HZ
        return f"{sk.tw_substate:02X} 00000000:00000000 03:{left:08X} 00000000 {0:5} {0:8} 0 3 {0:016x}"
    if isinstance(sk, TcpRequestSock):
        left = max(sk.rsk_timer.expires - now, 0) * _USER_HZ // HZ
        return f"03 00000000:00000000 01:{left:08X} {sk.num_timeout:08X} {0:5} {0:8} 0 0 {0:016x}"
    kind, expires = 0, now
    if sk.icsk_pending:
        kind, expires = 4 if sk.icsk_pending == ICSK_TIME_PROBE0 else 1, sk.icsk_timeout
    elif timer_pending(sk.sk_timer):
        kind, expires = 2, sk.sk_timer.expires
    listens = sk.sk_state == TCP_LISTEN
    waits = len(sk.icsk_accept_queue) if listens else sk.rcv_nxt - sk.copied_seq & 0xFFFFFFFF
    rto = f"{sk.icsk_rto * _USER_HZ // HZ} {sk.ack_ato * _USER_HZ // HZ} {sk.ack_quick << 1 | (not sk.ack_pingpong)}"
    ssthresh = sk.sk_max_ack_backlog if listens else -1 if sk.snd_ssthresh >= 0x7FFFFFFF else sk.snd_ssthresh
    return (
        f"{sk.sk_state:02X} {sk.write_seq - sk.snd_una & 0xFFFFFFFF:08X}:{waits:08X} "
        f"{kind:02X}:{max(expires - now, 0) * _USER_HZ // HZ:08X} {sk.icsk_retransmits:08X} {0:5} "
        f"{sk.icsk_probes_out:8} {0 if sk.dead else _inode(sk)} 1 {0:016x} {rto} {sk.snd_cwnd} {ssthresh}"
    )


def tcp4_seq_show(net: "Net") -> str:
    """Return the listeners and connections of TCP."""
    info = net.ipv4.tcp_hashinfo
    sks = [*(sk for port in info.lhash.values() for sk in port), *info.ehash.values()]
    lines = [f"  sl  {_TCP_COLUMNS}", *(f"{n:4}: {_tcp_ends(sk)} {_tcp_line(sk)}" for n, sk in enumerate(sks))]
    return _text([line.ljust(_TCP_WIDTH) for line in lines])


_FILES: "dict[str, Callable[[Net], str]]" = {
    "arp": arp_seq_show,
    "dev": dev_seq_show,
    "netstat": netstat_seq_show,
    "nf_conntrack": lambda net: _text(ct_seq_show(net)),
    "raw": raw_seq_show,
    "route": fib_route_seq_show,
    "snmp": snmp_seq_show,
    "sockstat": sockstat_seq_show,
    "softnet_stat": softnet_seq_show,
    "tcp": tcp4_seq_show,
    "udp": udp4_seq_show,
    "xfrm_stat": xfrm_statistics_seq_show,
}
