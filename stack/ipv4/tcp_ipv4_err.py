"""ICMP errors about segments (Linux: net/ipv4/tcp_ipv4.c; RFC 1122 §4.2.3.9, RFC 5927, RFC 1191)."""

from errno import EHOSTUNREACH, EPROTO
from struct import Struct
from typing import TYPE_CHECKING

from ..core.datagram import sock_def_error_report
from ..core.dst import dst_mtu
from ..core.tcp_states import TCP_CLOSE, TCP_LISTEN, TCPF_SYN_RECV, TCPF_SYN_SENT
from ..uapi import IP_PMTUDISC_DONT
from .icmp_defs import (
    ICMP_DEST_UNREACH,
    ICMP_FRAG_NEEDED,
    ICMP_PARAMETERPROB,
    ICMP_REDIRECT,
    ICMP_TIME_EXCEEDED,
    NR_ICMP_UNREACH,
    icmp_err_convert,
)
from .inet_connection_sock_request import inet_csk_reqsk_queue_drop
from .inet_hashtables import __inet_lookup_established
from .inet_timewait_sock import InetTimewaitSock
from .request_sock import TcpRequestSock
from .route import RTable
from .route_icmp import ipv4_sk_redirect, ipv4_sk_update_pmtu
from .tcp_defs import between
from .tcp_output_retrans import tcp_simple_retransmit
from .tcp_output_window import tcp_sync_mss
from .tcp_state import tcp_done
from .tcp_timer import TCPF_MTU_REDUCED_DEFERRED

if TYPE_CHECKING:
    from ..core.skbuff import SkBuff
    from .tcp_sock import TcpSock

__all__ = ["tcp_v4_err", "tcp_v4_mtu_reduced"]

_ADDRESSES = Struct("!II")
_PORTS_AND_SEQ = Struct("!HHI")


def tcp_v4_mtu_reduced(sk: "TcpSock") -> None:
    """Send shorter segments, since the way takes no longer ones (RFC 1191 §6.4)."""
    if 1 << sk.sk_state & (1 << TCP_LISTEN | 1 << TCP_CLOSE):
        return
    rt: RTable | None = sk.sk_dst_cache  # type: ignore[assignment]  # What IPv4 set.
    if rt is None:
        return
    mtu = dst_mtu(rt)
    if sk.pmtudisc != IP_PMTUDISC_DONT and sk.icsk_pmtu_cookie > mtu:
        tcp_sync_mss(sk, mtu)
        tcp_simple_retransmit(sk)


def tcp_v4_err(skb: "SkBuff", info: int) -> int:
    """Learn of an ICMP error; as ``NetProtocol.err_handler``.

    It counts only if it is about something that is on its way (RFC 5927 §4.1). While a connection is being made an
    error that lasts ends it; later it is only a hint (RFC 1122 §4.2.3.9).
    """
    dev = skb.dev
    assert dev is not None
    net = dev.net
    mib = net.mib
    at = skb.data
    view = skb.view
    header = at + ((view[at] & 15) << 2)
    saddr, daddr = _ADDRESSES.unpack_from(view, at + 12)
    sport, dport, seq = _PORTS_AND_SEQ.unpack_from(view, header)
    kind, code = view[skb.transport_header], view[skb.transport_header + 1]
    sk = __inet_lookup_established(net, daddr, dport, saddr, sport, skb.skb_iif)
    if sk is None:
        mib["Icmp:InErrors"] += 1
        return 0
    if isinstance(sk, InetTimewaitSock):
        return 0
    if isinstance(sk, TcpRequestSock):
        _about_request(sk, seq, kind, code)
        return 0
    if sk.sk_owned and not (kind == ICMP_DEST_UNREACH and code == ICMP_FRAG_NEEDED):
        mib["TcpExt:LockDroppedIcmps"] += 1
    if sk.sk_state == TCP_CLOSE:
        return 0
    if not between(seq, sk.snd_una, sk.snd_nxt):
        mib["TcpExt:OutOfWindowIcmps"] += 1
        return 0
    _about_connection(sk, skb, kind, code, info)
    return 0


def _about_connection(sk: "TcpSock", skb: "SkBuff", kind: int, code: int, info: int) -> None:
    if kind == ICMP_REDIRECT:
        if not sk.sk_owned:
            ipv4_sk_redirect(skb, sk)
        return
    if kind == ICMP_DEST_UNREACH and code == ICMP_FRAG_NEEDED:
        if sk.sk_state == TCP_LISTEN:
            return
        ipv4_sk_update_pmtu(skb, sk, info)
        if sk.sk_owned:
            sk.tsq_flags |= TCPF_MTU_REDUCED_DEFERRED
        else:
            tcp_v4_mtu_reduced(sk)
        return
    if kind == ICMP_DEST_UNREACH and code <= NR_ICMP_UNREACH:
        error = icmp_err_convert[code][0]
    elif kind == ICMP_TIME_EXCEEDED:
        error = EHOSTUNREACH
    elif kind == ICMP_PARAMETERPROB:
        error = EPROTO
    else:
        return
    if 1 << sk.sk_state & (TCPF_SYN_SENT | TCPF_SYN_RECV):
        if not sk.sk_owned:
            sk.sk_err = error
            sock_def_error_report(sk)
            tcp_done(sk)
        else:
            sk.sk_err_soft = error
        return
    if not sk.sk_owned and sk.recverr:
        sk.sk_err = error
        sock_def_error_report(sk)
    else:
        sk.sk_err_soft = error


def _about_request(req: TcpRequestSock, seq: int, kind: int, code: int) -> None:
    """Give up a connection that is being made if its SYN-ACK cannot arrive."""
    if seq != req.snt_isn:
        req.net.mib["TcpExt:OutOfWindowIcmps"] += 1
        return
    hard = kind == ICMP_PARAMETERPROB or (
        kind == ICMP_DEST_UNREACH and code <= NR_ICMP_UNREACH and code != ICMP_FRAG_NEEDED
    )
    if hard or kind == ICMP_TIME_EXCEEDED:
        inet_csk_reqsk_queue_drop(req.rsk_listener, req)
        req.net.mib["TcpExt:ListenDrops"] += 1
