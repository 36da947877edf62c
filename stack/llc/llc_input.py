"""Receiving frames of logical link control (Linux: net/llc/llc_input.c; IEEE Std 802.2 §3.2)."""

from typing import TYPE_CHECKING

from ..core.drop_reasons import SkbDropReason
from ..core.skbuff import PACKET_OTHERHOST, SkBuff, kfree_skb_reason
from ..core.skbuff_csum import pskb_trim_rcsum, skb_pull_rcsum
from ..core.skbuff_data import pskb_may_pull, skb_share_check

if TYPE_CHECKING:
    from ..core.netdevice import NetDevice
    from ..core.packet_type import PacketType

__all__ = ["llc_rcv"]

_UNNUMBERED = 0x03  # The control field's low bits: one octet; all others have two.


def llc_fixup_skb(skb: SkBuff) -> bool:
    """Take the LLC header off, and what is behind the length that the frame tells; return False for a malformed one."""
    if not pskb_may_pull(skb, 3):
        return False
    header = 3 if skb.view[skb.data + 2] & 3 == _UNNUMBERED else 4
    length = int.from_bytes(skb.view[skb.mac_header + 12 : skb.mac_header + 14], "big")
    if length < header or not pskb_may_pull(skb, length):
        return False
    skb_pull_rcsum(skb, header)
    skb.transport_header = skb.data
    pskb_trim_rcsum(skb, length - header)
    return True


def llc_rcv(skb: SkBuff, dev: "NetDevice", pt: "PacketType", orig_dev: "NetDevice") -> int:  # noqa: ARG001 - a handler's arguments
    """Give a frame to its service access point; there are no connections, and XID and TEST are not answered."""
    sap = None
    if skb.pkt_type != PACKET_OTHERHOST:
        skb = skb_share_check(skb)
        if llc_fixup_skb(skb):
            sap = dev.net.llc_saps.get(skb.view[skb.network_header])
    if sap is None:
        kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)
        return 0
    return sap(skb, dev)
