"""TCP over IPv4: connecting, and what a listener does (Linux: net/ipv4/tcp_ipv4.c)."""

from errno import EAFNOSUPPORT, EINVAL, ENETUNREACH
from struct import Struct
from typing import TYPE_CHECKING

from ..core.secure_seq import secure_tcp_seq_and_ts_off, secure_tcp_ts_off
from ..core.sock import sk_dst_reset
from ..core.sock_caps import sk_setup_caps
from ..core.tcp_states import TCP_CLOSE, TCP_SYN_SENT
from ..uapi import AF_INET, IPPROTO_TCP
from .flow import Flowi4, flowi4_init_output
from .inet_connection_sock import sk_acceptq_is_full
from .inet_connection_sock_request import inet_child_forget, inet_csk_complete_hashdance
from .inet_hashtables import (
    __inet_inherit_port,
    inet_ehash_nolisten,
    inet_hash_connect,
    inet_put_port,
    inet_unhash,
)
from .inet_sock import inet_sk_flowi_flags
from .ip_options import first_hop
from .ip_options_rcv import __ip_options_echo
from .ip_output_queue_xmit import ip_build_and_send_pkt
from .request_sock import TcpRequestSock
from .route import RTCF_BROADCAST, RTCF_MULTICAST, ip_route_output_flow, ip_route_output_key_hash, ip_route_output_ports
from .rtnetlink import RtScope
from .syncookies import cookie_check, cookie_timestamp_decode
from .tcp_defs import HEADER, TCPHDR_ACK, TCPHDR_RST, TCPHDR_SYN, TcpSkbCb
from .tcp_input_options import tcp_parse_options
from .tcp_input_request import TcpRequestOps, tcp_conn_request, tcp_openreq_init
from .tcp_ipv4_check import __tcp_v4_send_check
from .tcp_minisocks import tcp_ca_openreq_child, tcp_create_openreq_child
from .tcp_output_syn import tcp_connect, tcp_make_synack, tcp_mss_clamp, tcp_openreq_init_rwin
from .tcp_output_window import mtu_of, tcp_initialize_rcv_mss, tcp_sync_mss
from .tcp_sock import TcpOptionsReceived
from .tcp_state import tcp_set_state

if TYPE_CHECKING:
    from ..core.msghdr import Sockaddr
    from ..core.skbuff import SkBuff
    from .route import RTable
    from .tcp_sock import TcpSock

__all__ = [
    "conn_request",
    "cookie_v4_check",
    "inet_csk_route_child_sock",
    "inet_csk_route_req",
    "inet_sk_rx_dst_set",
    "ip_route_connect",
    "tcp_v4_conn_request",
    "tcp_v4_connect",
    "tcp_v4_send_synack",
    "tcp_v4_syn_recv_sock",
]

_ADDRESSES = Struct("!II")


def _scope(sk: "TcpSock") -> int:
    return RtScope.LINK if sk.sk_localroute else RtScope.UNIVERSE


def ip_route_connect(sk: "TcpSock", fl: Flowi4, daddr: int, dport: int) -> "RTable":
    """Find the route to a peer, and with it the address to connect from; ``fl`` becomes the connection's flow.

    Raises
    ------
    OSError
        As ``ip_route_output_flow``.
    """
    net = sk.net
    flags, oif = inet_sk_flowi_flags(sk), sk.sk_bound_dev_if
    flowi4_init_output(
        fl, oif, sk.sk_mark, sk.tos & 0x1E, _scope(sk), IPPROTO_TCP, flags, daddr, sk.inet_saddr, dport, sk.inet_num
    )
    if not daddr or not fl.saddr:
        ip_route_output_key_hash(net, fl)
        fl.oif = oif
    return ip_route_output_flow(net, fl, sk)


def tcp_v4_connect(sk: "TcpSock", address: "Sockaddr") -> int:
    """Begin a connection: choose addresses and a port, and send the SYN.

    Raises
    ------
    OSError
        ``EAFNOSUPPORT``; ``ENETUNREACH`` for a group or all; ``EADDRNOTAVAIL`` without a free port; what routing
        raises.
    """
    family, daddr, dport = address
    if family != AF_INET:
        raise OSError(EAFNOSUPPORT, "not an IPv4 address")
    if not 0 <= dport <= 0xFFFF:
        raise OSError(EINVAL, f"no port {dport}")
    net = sk.net
    hop = (first_hop(sk.opt) if sk.opt and daddr else 0) or daddr
    fl = Flowi4()
    try:
        rt = ip_route_connect(sk, fl, hop, dport)
    except OSError as error:
        if error.errno == ENETUNREACH:
            net.mib["Ip:OutNoRoutes"] += 1
        raise
    if rt.flags & (RTCF_MULTICAST | RTCF_BROADCAST):
        raise OSError(ENETUNREACH, "a connection is with one peer")
    final = daddr if sk.opt and first_hop(sk.opt) else fl.daddr
    had_saddr = sk.inet_saddr
    if not sk.inet_saddr:
        sk.inet_saddr = sk.inet_rcv_saddr = fl.saddr
    elif not sk.inet_rcv_saddr:
        sk.inet_rcv_saddr = sk.inet_saddr
    if sk.rx_opt.ts_recent_stamp and sk.inet_daddr != final:
        # What is known of another peer's time stamps does not count.
        sk.rx_opt.ts_recent = sk.rx_opt.ts_recent_stamp = 0
        sk.write_seq = 0
    sk.inet_dport = dport
    sk.inet_daddr = final
    sk.rx_opt.mss_clamp = 536
    tcp_set_state(sk, TCP_SYN_SENT)
    try:
        inet_hash_connect(sk)
        # With the port, the flow may have another way.
        rt = ip_route_output_ports(
            net,
            fl,
            sk,
            hop or final,
            sk.inet_saddr,
            dport,
            sk.inet_num,
            IPPROTO_TCP,
            sk.tos & 0x1E,
            sk.sk_bound_dev_if,
        )
        sk.fl = fl
        sk_setup_caps(sk, rt)
        if not sk.write_seq:
            sk.write_seq, sk.tsoffset = secure_tcp_seq_and_ts_off(net, sk.inet_saddr, sk.inet_daddr, sk.inet_num, dport)
        else:
            sk.tsoffset = secure_tcp_ts_off(net, sk.inet_saddr, sk.inet_daddr)
        sk.rx_opt.mss_clamp = 0
        sk.highest_sack = sk.write_seq
        sk.inet_id = sk.kernel.platform.random_u32() & 0xFFFF
        tcp_connect(sk)
    except OSError:
        inet_unhash(sk)
        if sk.tcp_bind_hash and not sk.bind_port_locked:
            inet_put_port(sk)
        tcp_set_state(sk, TCP_CLOSE)
        sk_dst_reset(sk)
        if not had_saddr:
            sk.inet_saddr = sk.inet_rcv_saddr = 0
        sk.inet_daddr = sk.inet_dport = 0
        raise
    return 0


def inet_csk_route_req(sk: "TcpSock", fl: Flowi4, req: TcpRequestSock) -> "RTable | None":
    """Return the route of the answers to a request, None if there is none."""
    return _route(sk, fl, req)


def inet_csk_route_child_sock(sk: "TcpSock", req: TcpRequestSock) -> "RTable | None":
    """Return the route of the connection that a request becomes, None if there is none."""
    return _route(sk, Flowi4(), req)


def _route(sk: "TcpSock", fl: Flowi4, req: TcpRequestSock) -> "RTable | None":
    net = sk.net
    hop = first_hop(req.ir_opt) if req.ir_opt else 0
    flags = inet_sk_flowi_flags(sk)
    oif, daddr = req.sk_bound_dev_if, hop or req.ir_rmt_addr
    tos, saddr, dport, sport = sk.tos & 0x1E, req.ir_loc_addr, req.ir_rmt_port, req.ir_num
    flowi4_init_output(fl, oif, req.ir_mark, tos, _scope(sk), IPPROTO_TCP, flags, daddr, saddr, dport, sport)
    try:
        return ip_route_output_flow(net, fl, sk)
    except OSError:
        net.mib["Ip:OutNoRoutes"] += 1
        return None


def tcp_v4_route_req(sk: "TcpSock", skb: "SkBuff", req: TcpRequestSock) -> "RTable | None":
    """Give a request its addresses and options, and return its route."""
    req.ir_rmt_addr, req.ir_loc_addr = _ADDRESSES.unpack_from(skb.view, skb.network_header + 12)
    options = __ip_options_echo(skb)
    req.ir_opt = options or None
    return inet_csk_route_req(sk, Flowi4(), req)


def tcp_v4_init_seq_and_ts_off(skb: "SkBuff") -> tuple[int, int]:
    """Return the first sequence number of the answer to a SYN, and the offset of its time stamps."""
    saddr, daddr = _ADDRESSES.unpack_from(skb.view, skb.network_header + 12)
    sport, dport, *_ = HEADER.unpack_from(skb.view, skb.transport_header)
    dev = skb.dev
    assert dev is not None
    return secure_tcp_seq_and_ts_off(dev.net, daddr, saddr, dport, sport)


def tcp_v4_send_synack(sk: "TcpSock", req: TcpRequestSock, rt: "RTable | None") -> int:
    """Answer a request; return 0 or a negative errno."""
    if rt is None:
        rt = inet_csk_route_req(sk, Flowi4(), req)
        if rt is None:
            return -ENETUNREACH
    try:
        skb = tcp_make_synack(sk, rt, req)
    except OSError as problem:
        return -(problem.errno or EINVAL)
    __tcp_v4_send_check(skb, req.ir_loc_addr, req.ir_rmt_addr)
    error = ip_build_and_send_pkt(sk, skb, req.ir_loc_addr, req.ir_rmt_addr, req.ir_opt, sk.tos)
    return 0 if error > 0 else error


def conn_request(sk: "TcpSock", skb: "SkBuff", isn: int = 0) -> bool:
    """Answer a SYN to a listener; as ``tcp_conn_request`` (its name in ``struct tcp_request_sock_ops``)."""
    return tcp_v4_conn_request(sk, skb, isn)


def tcp_v4_conn_request(sk: "TcpSock", skb: "SkBuff", isn: int = 0) -> bool:
    """Answer a SYN to a listener, but none that was sent to a group or to all."""
    rt: RTable = skb.dst  # type: ignore[assignment]  # What an IPv4 packet has.
    if rt.flags & (RTCF_BROADCAST | RTCF_MULTICAST):
        sk.sk_drops += 1
        sk.net.mib["TcpExt:ListenDrops"] += 1
        return False
    return tcp_conn_request(sk, skb, _REQUEST_OPS, isn)


_REQUEST_OPS = TcpRequestOps(
    route_req=tcp_v4_route_req, init_seq=tcp_v4_init_seq_and_ts_off, send_synack=tcp_v4_send_synack
)


def tcp_v4_syn_recv_sock(
    sk: "TcpSock", skb: "SkBuff", req: TcpRequestSock, rt: "RTable | None" = None
) -> "TcpSock | None":
    """Return a socket for a request whose handshake is done; None if the listener has too many already."""
    mib = sk.net.mib
    if sk_acceptq_is_full(sk):
        mib["TcpExt:ListenOverflows"] += 1
        mib["TcpExt:ListenDrops"] += 1
        return None
    child = tcp_create_openreq_child(sk, req, skb)
    child.opt = req.ir_opt or b""
    in_rt: RTable | None = skb.dst  # type: ignore[assignment]  # What an IPv4 packet has.
    inet_sk_rx_dst_set(child, skb, in_rt)
    rt = rt or inet_csk_route_child_sock(sk, req)
    if rt is None:
        mib["TcpExt:ListenDrops"] += 1
        _give_up(child)
        return None
    child.fl = Flowi4(req.ir_rmt_addr, req.ir_loc_addr, IPPROTO_TCP, req.ir_num, req.ir_rmt_port)
    sk_setup_caps(child, rt)
    tcp_ca_openreq_child(sk, child)
    tcp_sync_mss(child, mtu_of(child, rt))
    child.advmss = tcp_mss_clamp(sk, rt.ops.default_advmss(rt))
    tcp_initialize_rcv_mss(child)
    __inet_inherit_port(sk, child)
    if not inet_ehash_nolisten(child, req):
        _give_up(child)
        return None
    return child


def _give_up(child: "TcpSock") -> None:
    child.net.mib["Tcp:PassiveOpens"] -= 1
    inet_child_forget(child)


def inet_sk_rx_dst_set(sk: "TcpSock", skb: "SkBuff", rt: "RTable | None") -> None:
    """Keep the route of what a connection receives, for ``tcp_v4_early_demux``."""
    if rt is not None and not rt.rt_key:
        sk.sk_rx_dst = rt
        sk.sk_rx_dst_ifindex = skb.skb_iif
        sk.sk_incoming_cpu = 0


def cookie_v4_check(sk: "TcpSock", skb: "SkBuff") -> "TcpSock | None":
    """Return the connection for an ACK that answers a SYN cookie; the listener itself for any other segment.

    None: the cookie was right, but there is no room for the connection; or it was wrong.
    """
    net = sk.net
    cb: TcpSkbCb = skb.cb
    cookies = net.ipv4.sysctl_tcp_syncookies
    if not cookies or not cb.tcp_flags & TCPHDR_ACK or cb.tcp_flags & (TCPHDR_SYN | TCPHDR_RST):
        return sk
    if not sk.synflood_warned and cookies != 2:
        return sk
    sport, dport, *_ = HEADER.unpack_from(skb.view, skb.transport_header)
    saddr, daddr = _ADDRESSES.unpack_from(skb.view, skb.network_header + 12)
    cookie = cb.ack_seq - 1 & 0xFFFFFFFF
    mss = cookie_check(net, (saddr, sport, daddr, dport), cb.seq - 1 & 0xFFFFFFFF, cookie)
    if not mss:
        net.mib["TcpExt:SyncookiesFailed"] += 1
        return sk
    net.mib["TcpExt:SyncookiesRecv"] += 1
    opt = TcpOptionsReceived()
    tcp_parse_options(net, skb, opt, estab=False)
    req = TcpRequestSock(sk)
    tcp_openreq_init(req, opt, skb)
    req.rcv_isn = cb.seq - 1 & 0xFFFFFFFF
    req.rcv_nxt = cb.seq
    req.snt_isn = cookie
    req.mss = mss
    req.ts_off = secure_tcp_ts_off(net, daddr, saddr)
    if opt.saw_tstamp:
        wscale, sack_ok, ecn_ok = cookie_timestamp_decode(opt.rcv_tsecr - req.ts_off & 0xFFFFFFFF)
        req.wscale_ok, req.snd_wscale = wscale is not None, wscale or 0
        req.sack_ok = sack_ok
        req.ecn_ok = ecn_ok and bool(net.ipv4.sysctl_tcp_ecn)
    rt = tcp_v4_route_req(sk, skb, req)
    if rt is None:
        return None
    tcp_openreq_init_rwin(req, sk, rt)
    child = tcp_v4_syn_recv_sock(sk, skb, req, rt)
    return None if child is None else inet_csk_complete_hashdance(sk, child, req)
