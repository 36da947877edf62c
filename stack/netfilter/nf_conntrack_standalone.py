"""Connections and their counters as text (Linux: net/netfilter/nf_conntrack_standalone.c)."""

from typing import TYPE_CHECKING

from ..core.timer import HZ, jiffies
from ..uapi import IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP
from ..wire.address import ipv4_to_text
from .nf_conntrack_common import IPS_ASSURED, IPS_SEEN_REPLY
from .nf_conntrack_core import NfConn, nf_ct_delete, nf_ct_is_expired
from .nf_conntrack_tuple import NfConntrackTuple

if TYPE_CHECKING:
    from ..core.net import Net

__all__ = ["ct_cpu_seq_show", "ct_seq_show", "l4proto_name", "print_tuple"]

_NAMES = {IPPROTO_ICMP: "icmp", IPPROTO_TCP: "tcp", IPPROTO_UDP: "udp"}
_STATISTICS = (
    "entries searched found new invalid ignore delete delete_list insert insert_failed drop early_drop icmp_error "
    "expect_new expect_create expect_delete search_restart"
).split()


def l4proto_name(protonum: int) -> str:
    """Return the name of a protocol that is tracked."""
    return _NAMES.get(protonum, "unknown")


def print_tuple(tuple: NfConntrackTuple) -> str:
    """Return a tuple as text."""
    text = f"src={ipv4_to_text(tuple.saddr)} dst={ipv4_to_text(tuple.daddr)} "
    if tuple.protonum == IPPROTO_ICMP:
        return text + f"type={tuple.dport >> 8} code={tuple.dport & 0xFF} id={tuple.sport} "
    if tuple.protonum in _NAMES:
        return text + f"sport={tuple.sport} dport={tuple.dport} "
    return text


def _line(ct: NfConn, now: int) -> str:
    orig, reply = ct.tuples
    protonum = orig.protonum
    text = f"ipv4     2 {l4proto_name(protonum):<8} {protonum} {max(ct.timeout - now, 0) // HZ} "
    if protonum == IPPROTO_TCP:
        text += f"{ct.proto} "
    octets = [f"packets={packets} bytes={octets} " for packets, octets in ct.counters] or ["", ""]
    text += print_tuple(orig) + octets[0]
    if not ct.status & IPS_SEEN_REPLY:
        text += "[UNREPLIED] "
    text += print_tuple(reply) + octets[1]
    if ct.status & IPS_ASSURED:
        text += "[ASSURED] "
    return text + f"mark={ct.mark} zone=0 use=2"


def ct_seq_show(net: "Net") -> list[str]:
    """Return the connections as ``/proc/net/nf_conntrack`` shows them; those whose time is over go."""
    if not hasattr(net.nf, "conntrack"):
        return []
    for ct in [ct for ct in net.nf.conntrack.conntracks if nf_ct_is_expired(ct)]:
        nf_ct_delete(ct)
    now = jiffies(net.kernel)
    return [_line(ct, now) for ct in net.nf.conntrack.conntracks]


def ct_cpu_seq_show(net: "Net") -> list[str]:
    """Return the counters as ``/proc/net/stat/nf_conntrack`` shows them."""
    ctnet = net.nf.conntrack
    stat = ctnet.stat | {"entries": ctnet.count, "new": 0, "delete": 0, "insert": 0, "icmp_error": ctnet.stat["error"]}
    names = " ".join(_STATISTICS)
    return [names, " ".join(f"{stat.get(name, 0):08x}" for name in _STATISTICS)]
