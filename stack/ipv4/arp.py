"""The Address Resolution Protocol (Linux: net/ipv4/arp.c; RFC 826)."""

from errno import EINVAL
from struct import Struct
from typing import TYPE_CHECKING

from ..core.dev import dev_queue_xmit
from ..core.drop_reasons import SkbDropReason
from ..core.dst import dst_link_failure
from ..core.neighbour import NUD_NOARP, NUD_VALID, Neighbour, NeighOps
from ..core.neighbour_output import (
    dev_hard_header,
    neigh_connected_output,
    neigh_direct_output,
    neigh_resolve_output,
)
from ..core.neighbour_table import NeighTable
from ..core.netdevice import IFF_LOOPBACK, IFF_NOARP, IFF_POINTOPOINT
from ..core.skbuff import __alloc_skb, kfree_skb, kfree_skb_reason, skb_put, skb_reserve
from ..ethernet.eth import ETH_P_ARP
from .devinet import inet_addr_onlink, inet_select_addr
from .fib_frontend import inet_addr_type_dev_table
from .rtnetlink import RtScope, RtType

if TYPE_CHECKING:
    from ..core.dst import DstEntry
    from ..core.net import Net
    from ..core.netdevice import NetDevice
    from ..core.skbuff import SkBuff

__all__ = [
    "ARPOP_REPLY",
    "ARPOP_REQUEST",
    "arp_constructor",
    "arp_create",
    "arp_error_report",
    "arp_hash",
    "arp_init",
    "arp_send_dst",
    "arp_solicit",
    "arp_xmit",
]

ARPOP_REQUEST = 1
ARPOP_REPLY = 2

_ARP_PACKET = Struct("!HHBBH6sI6sI")


def arp_hash(pkey: int, dev: "NetDevice") -> int:
    """Return what neighbours are kept under: no two have the same."""
    return dev.ifindex << 32 | pkey


def arp_constructor(neigh: Neighbour) -> int:
    """Set a new neighbour up: its type, whether it needs resolution, and how to send to it.

    Returns
    -------
    int
        0, or ``-EINVAL`` if the device has no IPv4.
    """
    dev = neigh.dev
    if dev.ip_ptr is None:
        return -EINVAL
    if dev.flags & (IFF_LOOPBACK | IFF_POINTOPOINT):
        neigh.primary_key = 0  # All addresses lead to the same place.
    neigh.type = inet_addr_type_dev_table(dev.net, dev, neigh.primary_key)
    if dev.header_ops is None:
        neigh.nud_state = NUD_NOARP
        neigh.ops = _ARP_DIRECT_OPS
    else:
        if neigh.type == RtType.MULTICAST:
            neigh.nud_state = NUD_NOARP
            # RFC 1112 §6.4: the low 23 bits of the group behind 01:00:5e.
            neigh.ha = b"\x01\x00\x5e" + (neigh.primary_key & 0x7FFFFF).to_bytes(3, "big")
        elif dev.flags & (IFF_NOARP | IFF_LOOPBACK):
            neigh.nud_state = NUD_NOARP
            neigh.ha = dev.dev_addr
        elif neigh.type == RtType.BROADCAST or dev.flags & IFF_POINTOPOINT:
            neigh.nud_state = NUD_NOARP
            neigh.ha = dev.broadcast
        neigh.ops = _ARP_HH_OPS if dev.header_ops.cache is not None else _ARP_GENERIC_OPS
    neigh.output = neigh.ops.connected_output if neigh.nud_state & NUD_VALID else neigh.ops.output
    return 0


def arp_error_report(neigh: Neighbour, skb: "SkBuff") -> None:
    """Report a packet that could not be sent because nobody answers, and drop it."""
    dst_link_failure(skb)
    kfree_skb_reason(skb, SkbDropReason.NEIGH_FAILED)


def arp_solicit(neigh: Neighbour, skb: "SkBuff | None") -> None:
    """Ask who has a neighbour's address: him alone while we have a link address to try, else everybody."""
    dev = neigh.dev
    if dev.ip_ptr is None:
        return
    target = neigh.primary_key
    saddr = _announced_source(neigh, skb)
    if not saddr:
        saddr = inet_select_addr(dev.net, dev, target, RtScope.LINK)
    probes = neigh.probes - neigh.parms.ucast_probes
    dst_hw = neigh.ha if probes < 0 else None
    if probes >= 0 and probes < neigh.parms.app_probes:
        return  # A program was to ask; there is no netlink yet to tell it.
    arp_send_dst(ARPOP_REQUEST, ETH_P_ARP, target, dev, saddr, dst_hw, dev.dev_addr, None, None)


def _announced_source(neigh: Neighbour, skb: "SkBuff | None") -> int:
    """Return the waiting packet's source address if ``arp_announce`` lets us show it, else 0."""
    mode = neigh.parms.arp_announce
    if skb is None or mode >= 2:
        return 0
    dev = neigh.dev
    at = skb.network_header + 12
    saddr = int.from_bytes(skb.view[at : at + 4], "big")
    if inet_addr_type_dev_table(dev.net, dev, saddr) != RtType.LOCAL:
        return 0
    if mode == 1 and not inet_addr_onlink(dev.ip_ptr, neigh.primary_key, saddr):
        return 0
    return saddr


def arp_send_dst(
    operation: int,
    ptype: int,
    dest_ip: int,
    dev: "NetDevice",
    src_ip: int,
    dest_hw: bytes | None,
    src_hw: bytes | None,
    target_hw: bytes | None,
    dst: "DstEntry | None",
) -> None:
    """Send an ARP packet, unless the device needs no ARP or there is no memory."""
    if dev.flags & IFF_NOARP:
        return
    try:
        skb = arp_create(operation, ptype, dest_ip, dev, src_ip, dest_hw, src_hw, target_hw)
    except OSError:
        return
    if skb is None:
        return
    skb.dst = dst
    arp_xmit(skb)


def arp_create(
    operation: int,
    ptype: int,
    dest_ip: int,
    dev: "NetDevice",
    src_ip: int,
    dest_hw: bytes | None,
    src_hw: bytes | None,
    target_hw: bytes | None,
) -> "SkBuff | None":
    """Return an ARP packet with its link header; None if the device makes none.

    Parameters
    ----------
    operation, dest_ip, src_ip : int
        What is asked or told; target and sender protocol address.
    ptype : int
        EtherType.
    dev : NetDevice
        Where it will leave.
    dest_hw, src_hw : bytes or None
        Addresses of the link header; None for broadcast and for the device's own.
    target_hw : bytes or None
        Target hardware address; None for zeros.

    Raises
    ------
    OSError
        ``ENOMEM``.
    """
    headroom = dev.hard_header_len + dev.needed_headroom + 15 & ~15
    skb = __alloc_skb(dev.kernel, headroom + _ARP_PACKET.size + dev.needed_tailroom)
    skb_reserve(skb, headroom)
    skb.network_header = skb.data
    at = skb_put(skb, _ARP_PACKET.size)
    skb.dev = dev
    skb.protocol = ptype
    src_hw = src_hw or dev.dev_addr
    if dev_hard_header(skb, dev, ptype, dest_hw or dev.broadcast, src_hw, skb.len) < 0:
        kfree_skb(skb)
        return None
    _ARP_PACKET.pack_into(
        skb.view,
        at,
        1,
        0x0800,
        6,
        4,
        operation,
        src_hw,
        src_ip,
        target_hw if target_hw is not None else bytes(6),
        dest_ip,
    )
    return skb


def arp_xmit(skb: "SkBuff") -> None:
    """Send a finished ARP packet."""
    dev_queue_xmit(skb)


_ARP_HH_OPS = NeighOps(arp_solicit, arp_error_report, neigh_resolve_output, neigh_resolve_output)
_ARP_GENERIC_OPS = NeighOps(arp_solicit, arp_error_report, neigh_resolve_output, neigh_connected_output)
_ARP_DIRECT_OPS = NeighOps(None, None, neigh_direct_output, neigh_direct_output)


def arp_init(net: "Net") -> NeighTable:
    """Return a namespace's ARP table."""
    return NeighTable(net, arp_constructor, arp_hash)
