"""Parts of IPv4 headers and what routes say about packets (Linux: include/net/ip.h)."""

from struct import Struct
from typing import TYPE_CHECKING

from ..core.timer import jiffies
from ..uapi import IP_PMTUDISC_DO, IP_PMTUDISC_PROBE, IP_PMTUDISC_WANT
from ..wire.checksum import csum_partial

if TYPE_CHECKING:
    from ..core.netdevice import NetDevice
    from ..core.skbuff import SkBuff
    from ..core.sock import Sock
    from .inet_sock import InetSock
    from .route import RTable

__all__ = [
    "DADDR",
    "DF_ALWAYS",
    "DF_IF_IT_FITS",
    "IGNORES_DF",
    "IPV4_MIN_MTU",
    "IP_DF",
    "IP_MAX_MTU",
    "IP_MF",
    "IP_OFFSET",
    "LL_RESERVED_SPACE",
    "SETS_DF",
    "ip_dont_fragment",
    "ip_dst_mtu_maybe_forward",
    "ip_send_check",
    "ip_skb_dst_mtu",
    "rt_tos2priority",
]

DADDR = Struct("!I")  # The destination, 16 octets into the header.
IP_DF = 0x4000
IP_MF = 0x2000
IP_OFFSET = 0x1FFF
IP_MAX_MTU = 0xFFFF
IPV4_MIN_MTU = 68  # RFC 791: each way takes so much in one piece.

# By IP_PMTUDISC_*: whether packets may be fragmented here even if they say DF to others (ip_sk_ignore_df()), and
# which datagrams say DF.
DF_IF_IT_FITS = 1
DF_ALWAYS = 2
IGNORES_DF = (True, True, False, False, False, True)
SETS_DF = (0, DF_IF_IT_FITS, DF_ALWAYS, DF_ALWAYS, 0, 0)

_CHECK = Struct("!H")


def LL_RESERVED_SPACE(dev: "NetDevice") -> int:  # noqa: N802 - the kernel's name
    """Return the headroom that a packet needs for a device's link header, a multiple of 16."""
    return (dev.hard_header_len + dev.needed_headroom & ~15) + 16


def ip_dont_fragment(sk: "InetSock", rt: "RTable") -> bool:
    """Return whether a socket's packets say DF by a route: always, or unless its MTU is fixed."""
    return sk.pmtudisc == IP_PMTUDISC_DO or (sk.pmtudisc == IP_PMTUDISC_WANT and not rt.mtu_locked)


def ip_send_check(skb: "SkBuff") -> None:
    """Write the checksum of a packet's IPv4 header."""
    at = skb.network_header
    view = skb.view
    _CHECK.pack_into(view, at + 10, 0)
    _CHECK.pack_into(view, at + 10, ~csum_partial(view[at : at + ((view[at] & 15) << 2)]) & 0xFFFF)


def ip_skb_dst_mtu(sk: "Sock | None", rt: "RTable") -> int:
    """Return the MTU that holds for a packet: the path's, or the device's for sockets that go by that."""
    if getattr(sk, "pmtudisc", 0) >= IP_PMTUDISC_PROBE:
        return min(rt.dev.mtu, IP_MAX_MTU)
    return ip_dst_mtu_maybe_forward(rt, rt.is_input)


def ip_dst_mtu_maybe_forward(rt: "RTable", forwarding: bool) -> int:
    """Return the MTU of a route; a router does not believe what it was told of the way behind the next hop."""
    if rt.pmtu and (not forwarding or rt.mtu_locked or rt.dev.net.ipv4.sysctl_ip_fwd_use_pmtu):
        if jiffies(rt.dev.net.kernel) < rt.expires:
            return rt.pmtu
    return min(rt.mtu or rt.dev.mtu, IP_MAX_MTU)


# The priority of each of the 16 old TOS values.
_TOS_PRIORITY = (0, 0, 0, 0, 2, 2, 2, 2, 6, 6, 6, 6, 4, 4, 4, 4)


def rt_tos2priority(tos: int) -> int:
    """Return the priority that a packet's type of service stands for."""
    return _TOS_PRIORITY[(tos & 0x1E) >> 1]
