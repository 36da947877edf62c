"""Connections of TCP, loosely: states and timeouts (Linux: net/netfilter/nf_conntrack_proto_tcp.c; RFC 9293 §3.3.2).

Sequence numbers and windows are not followed: a segment with the flags that the state allows is taken for one of the
connection.
"""

from typing import TYPE_CHECKING

from ..core.skbuff_data import skb_header_pointer
from ..core.timer import HZ
from ..uapi import IPPROTO_TCP
from . import nf_conntrack_core as core  # As a module: it needs the functions here, too.
from .core import NF_ACCEPT, NF_INET_PRE_ROUTING, NF_REPEAT
from .nf_checksum import nf_checksum
from .nf_conntrack_common import CTINFO2DIR, IPS_ASSURED, IPS_CONFIRMED, IPS_SEEN_REPLY

if TYPE_CHECKING:
    from ..core.skbuff import SkBuff
    from .core import NfHookState

__all__ = ["TCP_STATES", "nf_conntrack_tcp_packet", "tcp_error"]

_FIN, _SYN, _RST, _PSH, _ACK, _URG = 1, 2, 4, 8, 16, 32
_FLAGS = frozenset(
    {_SYN, _SYN | _URG, _SYN | _ACK, _RST, _RST | _ACK, _FIN | _ACK, _FIN | _ACK | _URG, _ACK, _ACK | _URG}
)

# What a segment does in each state: the state that follows, "-" nothing (it may be an old one), "!" malformed.
_NAMES = ("NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE")
TCP_STATES = (
    {
        "SYN": "SYN_SENT SYN_SENT - - - - - SYN_SENT SYN_SENT SYN_SENT2",
        "SYNACK": "! ! - - - - - - - SYN_RECV",
        "FIN": "! ! FIN_WAIT FIN_WAIT LAST_ACK LAST_ACK LAST_ACK TIME_WAIT CLOSE !",
        "ACK": "ESTABLISHED ! ESTABLISHED ESTABLISHED CLOSE_WAIT CLOSE_WAIT TIME_WAIT TIME_WAIT CLOSE !",
        "RST": "! CLOSE CLOSE CLOSE CLOSE CLOSE CLOSE CLOSE CLOSE CLOSE",
    },
    {
        "SYN": "! SYN_SENT2 - - - - - SYN_SENT ! SYN_SENT2",
        "SYNACK": "! SYN_RECV - - - - - - - SYN_RECV",
        "FIN": "! ! FIN_WAIT FIN_WAIT LAST_ACK LAST_ACK LAST_ACK TIME_WAIT CLOSE !",
        "ACK": "! - SYN_RECV ESTABLISHED CLOSE_WAIT CLOSE_WAIT TIME_WAIT TIME_WAIT CLOSE -",
        "RST": "! CLOSE CLOSE CLOSE CLOSE CLOSE CLOSE CLOSE CLOSE CLOSE",
    },
)
_NEXT = tuple(
    {
        (kind, name): new
        for kind, row in rows.items()
        for name, new in zip((*_NAMES, "SYN_SENT2"), row.split(), strict=True)
    }
    for rows in TCP_STATES
)


def tcp_error(skb: "SkBuff", dataoff: int, state: "NfHookState") -> bool:
    """Return whether a segment is malformed."""
    header = skb_header_pointer(skb, dataoff, 20)
    if header is None or not 20 <= (header[12] >> 4) * 4 <= skb.len - dataoff:
        return True
    if state.hook == NF_INET_PRE_ROUTING and state.net.nf.conntrack.sysctl_checksum:
        if nf_checksum(skb, state.hook, dataoff, IPPROTO_TCP):
            return True
    return header[13] & 0x3F & ~_PSH not in _FLAGS


def nf_conntrack_tcp_packet(ct: "core.NfConn", skb: "SkBuff", dataoff: int, ctinfo: int, state: "NfHookState") -> int:
    """Follow a connection's state, and keep it as long as that asks for."""
    if tcp_error(skb, dataoff, state):
        return -NF_ACCEPT
    header = skb_header_pointer(skb, dataoff, 20)
    assert header is not None
    flags = header[13]
    if flags & _RST:
        kind = "RST"
    elif flags & _SYN:
        kind = "SYNACK" if flags & _ACK else "SYN"
    else:
        kind = "FIN" if flags & _FIN else "ACK"
    old: str = ct.proto or "NONE"
    new = _NEXT[CTINFO2DIR(ctinfo)][kind, old]
    ctnet = state.net.nf.conntrack
    if new == "!" or (old == "NONE" and new == "ESTABLISHED" and not ctnet.sysctl_tcp_loose):
        return -NF_ACCEPT
    if new == "-":
        return NF_ACCEPT
    if new == "SYN_SENT" and old in ("TIME_WAIT", "CLOSE") and ct.status & IPS_CONFIRMED:
        core.nf_ct_delete(ct)  # The ports are used anew: this segment begins another connection.
        return -NF_REPEAT
    timeout = ctnet.sysctl_tcp_timeouts[new]
    if not ct.status & IPS_SEEN_REPLY:
        if kind == "RST":
            core.nf_ct_delete(ct)  # The connection was refused.
            return NF_ACCEPT
        if new == "ESTABLISHED":  # Begun before this host saw it, if at all.
            timeout = min(timeout, ctnet.sysctl_tcp_timeouts["UNACK"])
    ct.proto = new
    core.__nf_ct_refresh_acct(ct, ctinfo, skb, timeout * HZ)
    if ct.status & IPS_SEEN_REPLY and new == "ESTABLISHED" and old in ("SYN_RECV", "ESTABLISHED"):
        ct.status |= IPS_ASSURED
    return NF_ACCEPT
