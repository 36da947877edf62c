"""The VLANs that a device shall receive (Linux: net/8021q/vlan_core.c)."""

from errno import EINVAL, ENOENT
from typing import TYPE_CHECKING

from ..core.drop_reasons import SkbDropReason
from ..core.netdevice import IFF_UP, NETIF_F_HW_VLAN_CTAG_FILTER
from ..core.skbuff import PACKET_HOST, PACKET_MULTICAST, PACKET_OTHERHOST, kfree_skb_reason

if TYPE_CHECKING:
    from ..core.netdevice import NetDevice
    from ..core.skbuff import SkBuff

__all__ = [
    "VLAN_VID_MASK",
    "VlanInfo",
    "vlan_do_receive",
    "vlan_vid_add",
    "vlan_vid_del",
    "vlan_vids_add_by_dev",
    "vlan_vids_del_by_dev",
]

VLAN_N_VID = 4096
VLAN_VID_MASK = 0x0FFF


class VlanInfo:
    """What a device knows of its VLANs (Linux: ``struct vlan_info``).

    Members
    -------
    vids : dict[tuple[int, int], int]
        Number of users of each VLAN, by protocol and number.
    devs : dict[tuple[int, int], NetDevice]
        The VLAN devices on top, likewise.
    """

    __slots__ = ("devs", "vids")

    def __init__(self) -> None:
        self.vids: dict[tuple[int, int], int] = {}
        self.devs: dict[tuple[int, int], NetDevice] = {}


def vlan_do_receive(skb: "SkBuff") -> int:
    """Give a packet with a tag beside it to the VLAN's device, if there is one; it counts it, and the tag goes.

    Returns
    -------
    int
        1: the packet has the VLAN's device now. 0: there is none. -1: it is down, and the packet was dropped.
    """
    dev = skb.dev
    assert dev is not None
    info = dev.vlan_info
    vlan_dev = info.devs.get((skb.vlan_proto, skb.vlan_tci & VLAN_VID_MASK)) if info is not None else None
    if vlan_dev is None:
        return 0
    if not vlan_dev.flags & IFF_UP:
        kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)
        return -1
    skb.dev = vlan_dev
    if skb.pkt_type == PACKET_OTHERHOST:
        # The VLAN's device may have an address of its own.
        mac = skb.mac_header
        if bytes(skb.view[mac : mac + 6]) == vlan_dev.dev_addr:
            skb.pkt_type = PACKET_HOST
    skb.vlan_proto = skb.vlan_tci = 0
    stats = vlan_dev.stats
    stats.rx_packets += 1
    stats.rx_bytes += skb.len
    if skb.pkt_type == PACKET_MULTICAST:
        stats.multicast += 1
    return 1


def vlan_vid_add(dev: "NetDevice", proto: int, vid: int) -> None:
    """Have a device receive a VLAN; a device that filters is told of each once.

    Raises
    ------
    OSError
        ``EINVAL`` for a number that is none; what ``ndo_vlan_rx_add_vid`` raises.
    """
    if not 0 <= vid < VLAN_N_VID:
        raise OSError(EINVAL, f"VLAN {vid} is not in 0..{VLAN_N_VID - 1}")
    info = dev.vlan_info
    if info is None:
        info = dev.vlan_info = VlanInfo()
    key = (proto, vid)
    if key not in info.vids:
        add = dev.netdev_ops.ndo_vlan_rx_add_vid
        if add is not None and dev.features & NETIF_F_HW_VLAN_CTAG_FILTER:
            add(dev, proto, vid)
    info.vids[key] = info.vids.get(key, 0) + 1


def vlan_vid_del(dev: "NetDevice", proto: int, vid: int) -> None:
    """Take one user of a VLAN away; with the last one the device receives it no longer.

    Raises
    ------
    OSError
        ``ENOENT`` if the device does not receive it.
    """
    info = dev.vlan_info
    key = (proto, vid)
    if info is None or key not in info.vids:
        raise OSError(ENOENT, f"{dev.name} does not receive VLAN {vid}")
    info.vids[key] -= 1
    if info.vids[key]:
        return
    del info.vids[key]
    kill = dev.netdev_ops.ndo_vlan_rx_kill_vid
    if kill is not None and dev.features & NETIF_F_HW_VLAN_CTAG_FILTER:
        kill(dev, proto, vid)
    if not info.vids:
        dev.vlan_info = None


def vlan_vids_add_by_dev(dev: "NetDevice", by_dev: "NetDevice") -> None:
    """Have a device receive all VLANs that the one above it does.

    Raises
    ------
    OSError
        As ``vlan_vid_add``; then it receives none of them.
    """
    added: list[tuple[int, int]] = []
    try:
        for key in by_dev.vlan_info.vids if by_dev.vlan_info is not None else ():
            vlan_vid_add(dev, *key)
            added.append(key)
    except OSError:
        for key in added:
            vlan_vid_del(dev, *key)
        raise


def vlan_vids_del_by_dev(dev: "NetDevice", by_dev: "NetDevice") -> None:
    """End that."""
    for key in by_dev.vlan_info.vids if by_dev.vlan_info is not None else ():
        vlan_vid_del(dev, *key)
