"""Options of received segments (Linux: net/ipv4/tcp_input.c; RFC 9293 §3.2, RFC 7323, RFC 2018)."""

from struct import Struct
from typing import TYPE_CHECKING

from .tcp_defs import TCP_MAX_WSCALE, TCP_PAWS_24DAYS, TCP_PAWS_WINDOW, TCPHDR_SYN

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.skbuff import SkBuff
    from .tcp_sock import TcpOptionsReceived, TcpSock

__all__ = [
    "tcp_fast_parse_options",
    "tcp_parse_options",
    "tcp_paws_check",
    "tcp_paws_discard",
    "tcp_paws_reject",
    "tcp_replace_ts_recent",
    "tcp_store_ts_recent",
]

_PAIR = Struct("!II")
_ALIGNED = bytes((1, 1, 8, 10))


def tcp_parse_options(net: "Net", skb: "SkBuff", opt: "TcpOptionsReceived", *, estab: bool) -> None:
    """Read the options of a segment, whose header starts at ``transport_header`` and lies in the head.

    Those of a SYN count in a SYN only. An option that runs over the end of the header ends the reading: so do
    lengths below 2.

    Parameters
    ----------
    net : Net
        Its settings say which options are heeded.
    skb : SkBuff
        The segment.
    opt : TcpOptionsReceived
        What they say goes there.
    estab : bool
        The connection is made: then only those count that both ends agreed on.
    """
    ipv4 = net.ipv4
    at = skb.transport_header
    view = skb.view
    octets = bytes(view[at + 20 : at + (view[at + 12] >> 4 << 2)])
    syn = view[at + 13] & TCPHDR_SYN
    opt.saw_tstamp = False
    opt.sacks = []
    if syn:
        opt.mss_seen = 0
    i = 0
    while i < len(octets):
        kind = octets[i]
        if kind == 0:
            return
        if kind == 1:
            i += 1
            continue
        if i + 1 >= len(octets):
            return
        size = octets[i + 1]
        if size < 2 or i + size > len(octets):
            return
        if kind == 8 and size == 10:
            if (estab and opt.tstamp_ok) or (not estab and ipv4.sysctl_tcp_timestamps):
                opt.saw_tstamp = True
                opt.rcv_tsval, opt.rcv_tsecr = _PAIR.unpack_from(octets, i + 2)
        elif kind == 5 and size >= 10 and not (size - 2) % 8 and opt.sack_ok:
            opt.sacks = [_PAIR.unpack_from(octets, i + j) for j in range(2, size, 8)]
        elif syn and not estab:
            if kind == 2 and size == 4:
                mss = octets[i + 2] << 8 | octets[i + 3]
                if mss:
                    opt.mss_seen = min(opt.user_mss or mss, mss)
            elif kind == 3 and size == 3 and ipv4.sysctl_tcp_window_scaling:
                opt.wscale_ok = True
                opt.snd_wscale = min(octets[i + 2], TCP_MAX_WSCALE)  # RFC 7323 §2.3: no more, whatever it says.
            elif kind == 4 and size == 2 and ipv4.sysctl_tcp_sack:
                opt.sack_ok = True
        i += size


def tcp_fast_parse_options(sk: "TcpSock", skb: "SkBuff") -> bool:
    """Read the options of a segment of a connection; return whether it has a time stamp.

    Nearly all have exactly that, or none.
    """
    at = skb.transport_header
    view = skb.view
    opt = sk.rx_opt
    doff = view[at + 12] >> 4
    if doff == 5:
        opt.saw_tstamp = False
        opt.sacks = []
        return False
    if doff == 8 and opt.tstamp_ok and bytes(view[at + 20 : at + 24]) == _ALIGNED:
        opt.saw_tstamp = True
        opt.sacks = []
        opt.rcv_tsval, opt.rcv_tsecr = _PAIR.unpack_from(view, at + 24)
    else:
        tcp_parse_options(sk.net, skb, opt, estab=True)
    if opt.saw_tstamp and opt.rcv_tsecr:
        opt.rcv_tsecr = opt.rcv_tsecr - sk.tsoffset & 0xFFFFFFFF
    return opt.saw_tstamp


def _seconds(net: "Net") -> int:
    # Never 0, which means that there is none.
    return net.kernel.now_ns() // 1_000_000_000 + 1


def tcp_paws_check(net: "Net", opt: "TcpOptionsReceived", window: int) -> bool:
    """Return whether the last time stamp is not older than the one before, or that one is too old itself.

    RFC 7323 §5.3; after 24 days a time stamp says nothing.
    """
    if opt.ts_recent - opt.rcv_tsval + 0x80000000 & 0xFFFFFFFF <= 0x80000000 + window:
        return True
    if _seconds(net) >= opt.ts_recent_stamp + TCP_PAWS_24DAYS:
        return True
    return not opt.ts_recent  # Some hosts say 0 in their SYN.


def tcp_paws_reject(net: "Net", opt: "TcpOptionsReceived", rst: bool) -> bool:
    """Return whether a segment is to be refused for its time stamp (RFC 7323 §5.2).

    An RST may have an old one: a host that was started anew cannot know a better (a minute is enough).
    """
    if tcp_paws_check(net, opt, 0):
        return False
    return not (rst and _seconds(net) >= opt.ts_recent_stamp + 60)


def tcp_paws_discard(net: "Net", opt: "TcpOptionsReceived") -> bool:
    """Return whether a segment of a connection is too old by more than the clock may step back."""
    return not tcp_paws_check(net, opt, TCP_PAWS_WINDOW)


def tcp_store_ts_recent(sk: "TcpSock") -> None:
    """Note the time stamp to echo."""
    sk.rx_opt.ts_recent = sk.rx_opt.rcv_tsval
    sk.rx_opt.ts_recent_stamp = _seconds(sk.net)


def tcp_replace_ts_recent(sk: "TcpSock", seq: int) -> None:
    """Note the time stamp to echo, if the segment is not ahead of what was acknowledged (RFC 7323 §4.3, (2))."""
    if sk.rx_opt.saw_tstamp and sk.rcv_wup - seq & 0xFFFFFFFF < 0x80000000:
        if tcp_paws_check(sk.net, sk.rx_opt, 0):
            tcp_store_ts_recent(sk)
