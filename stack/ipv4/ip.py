"""Parts of IPv4 headers and what routes say about packets (Linux: include/net/ip.h)."""

from struct import Struct
from typing import TYPE_CHECKING

from ..uapi import IP_PMTUDISC_DO, IP_PMTUDISC_OMIT, IP_PMTUDISC_PROBE, IP_PMTUDISC_WANT
from ..wire.checksum import csum_partial

if TYPE_CHECKING:
    from ..core.netdevice import NetDevice
    from ..core.skbuff import SkBuff
    from ..core.sock import Sock
    from .inet_sock import InetSock
    from .route import RTable

__all__ = [
    "DADDR",
    "IP_DF",
    "IP_MAX_MTU",
    "IP_MF",
    "IP_OFFSET",
    "LL_RESERVED_SPACE",
    "ip_dont_fragment",
    "ip_send_check",
    "ip_sk_ignore_df",
    "ip_skb_dst_mtu",
]

DADDR = Struct("!I")  # The destination, 16 octets into the header.
IP_DF = 0x4000
IP_MF = 0x2000
IP_OFFSET = 0x1FFF
IP_MAX_MTU = 0xFFFF

_CHECK = Struct("!H")


def LL_RESERVED_SPACE(dev: "NetDevice") -> int:  # noqa: N802 - the kernel's name
    """Return the headroom that a packet needs for a device's link header, a multiple of 16."""
    return (dev.hard_header_len + dev.needed_headroom & ~15) + 16


def ip_send_check(skb: "SkBuff") -> None:
    """Write the checksum of a packet's IPv4 header."""
    at = skb.network_header
    view = skb.view
    _CHECK.pack_into(view, at + 10, 0)
    _CHECK.pack_into(view, at + 10, ~csum_partial(view[at : at + ((view[at] & 15) << 2)]) & 0xFFFF)


def ip_sk_ignore_df(inet: "InetSock") -> bool:
    """Return whether a socket's packets may be fragmented here even if they say DF to others."""
    return inet.pmtudisc < IP_PMTUDISC_DO or inet.pmtudisc == IP_PMTUDISC_OMIT


def ip_dont_fragment(inet: "InetSock") -> bool:
    """Return whether a socket sets DF in packets that fit the MTU."""
    return inet.pmtudisc in (IP_PMTUDISC_WANT, IP_PMTUDISC_DO)


def ip_skb_dst_mtu(sk: "Sock | None", rt: "RTable") -> int:
    """Return the MTU that holds for a packet: the path's, or the device's for sockets that go by that."""
    mtu = rt.dev.mtu if getattr(sk, "pmtudisc", 0) >= IP_PMTUDISC_PROBE else rt.pmtu or rt.dev.mtu
    return mtu if mtu < IP_MAX_MTU else IP_MAX_MTU
