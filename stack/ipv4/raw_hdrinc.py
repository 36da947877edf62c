"""Packets that programs write with their IPv4 headers, ``IP_HDRINCL`` (Linux: net/ipv4/raw.c; raw(7))."""

from errno import EINVAL, EMSGSIZE, ENOBUFS
from struct import Struct
from typing import TYPE_CHECKING

from ..core.drop_reasons import SkbDropReason
from ..core.dst import dst_output
from ..core.msghdr import copy_from_iter
from ..core.netdevice import net_xmit_errno
from ..core.skbuff import CHECKSUM_NONE, kfree_skb_reason, skb_put, skb_reserve
from ..core.sock import sock_alloc_send_pskb
from ..ethernet.eth import ETH_P_IP
from ..netfilter.core import NF_HOOK, NF_INET_LOCAL_OUT
from ..uapi import IPPROTO_ICMP, MSG_DONTWAIT, MSG_PROBE
from .icmp_defs import icmp_out_count
from .ip import LL_RESERVED_SPACE, ip_send_check
from .ip_recv import ip_local_error
from .route import __ip_select_ident

if TYPE_CHECKING:
    from ..core.msghdr import Msghdr
    from ..core.skbuff import SkBuff
    from .flow import Flowi4
    from .inet_sock import InetSock
    from .route import RTable

__all__ = ["raw_send_hdrinc"]

_ADDRESSES = Struct("!II")


def raw_send_hdrinc(sk: "InetSock", fl4: "Flowi4", msg: "Msghdr", length: int, rt: "RTable", mark: int) -> int:
    """Send a packet as the program wrote it, to where the flow leads.

    Only this is filled in: total length and checksum always, identification and source address where they are 0.

    Returns
    -------
    int
        Number of octets taken.

    Raises
    ------
    OSError
        ``EMSGSIZE`` if it is longer than the device's MTU: it is not fragmented; ``EINVAL`` if it is shorter than its
        header, or that too short; what sending raises.
    """
    dev = rt.dev
    if length > dev.mtu:
        ip_local_error(sk, EMSGSIZE, fl4.daddr, sk.inet_dport, dev.mtu)
        raise OSError(EMSGSIZE, f"{length} octets do not fit {dev.mtu}")
    if length < 20:
        raise OSError(EINVAL, f"an IPv4 header has 20 octets, not {length}")
    if msg.flags & MSG_PROBE:
        return length
    headroom = LL_RESERVED_SPACE(dev)
    skb = sock_alloc_send_pskb(sk, length + headroom + 15, 0, bool(msg.flags & MSG_DONTWAIT))
    skb_reserve(skb, headroom)
    skb.protocol = ETH_P_IP
    skb.priority = sk.sk_priority
    skb.mark = mark
    skb.dst = rt
    at = skb.network_header = skb.transport_header = skb_put(skb, length)
    skb.ip_summed = CHECKSUM_NONE
    copy_from_iter(msg, skb.view, at, length)
    ihl = (skb.view[at] & 15) << 2
    if not 20 <= ihl <= length:
        kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)
        sk.net.mib["Ip:OutDiscards"] += 1
        raise OSError(EINVAL, f"a header of {ihl} octets in a packet of {length}")
    _fill_in(sk, fl4, skb, length)
    skb.transport_header += ihl
    if skb.view[at + 9] == IPPROTO_ICMP and length >= ihl + 8:
        icmp_out_count(sk.net, skb.view[at + ihl])
    error = NF_HOOK(NF_INET_LOCAL_OUT, sk.net, sk, skb, None, dev, dst_output)
    if error > 0:
        error = net_xmit_errno(error)
    if error:
        sk.net.mib["Ip:OutDiscards"] += 1
        if error != -ENOBUFS or sk.recverr:
            raise OSError(-error, "the packet was dropped on its way out")
    return length


def _fill_in(sk: "InetSock", fl4: "Flowi4", skb: "SkBuff", length: int) -> None:
    at = skb.network_header
    view = skb.view
    saddr, daddr = _ADDRESSES.unpack_from(view, at + 12)
    if not saddr:
        saddr = fl4.saddr
        _ADDRESSES.pack_into(view, at + 12, saddr, daddr)
    view[at + 2 : at + 4] = length.to_bytes(2, "big")
    if not (view[at + 4] or view[at + 5]):
        ident = __ip_select_ident(sk.net, saddr, daddr, view[at + 9], 1)
        view[at + 4 : at + 6] = ident.to_bytes(2, "big")
    ip_send_check(skb)
