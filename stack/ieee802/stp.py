"""Telling the protocols of the group addresses of bridges apart (Linux: net/802/stp.c)."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..core.drop_reasons import SkbDropReason
from ..core.skbuff import SkBuff, kfree_skb_reason
from ..llc.llc_core import LLC_SAP_BSPAN, llc_sap_open

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.netdevice import NetDevice

__all__ = ["stp_proto_register"]

_PDU = bytes((LLC_SAP_BSPAN, LLC_SAP_BSPAN, 0x03))  # Destination, source, unnumbered information.
_GARP = bytes.fromhex("0180c20000"), range(0x20, 0x30)


def stp_proto_register(net: "Net", rcv: "Callable[[SkBuff, NetDevice], None]") -> None:
    """Have a function called with the spanning tree messages that a namespace's devices receive; once."""
    if LLC_SAP_BSPAN not in net.llc_saps:
        llc_sap_open(net, LLC_SAP_BSPAN, lambda skb, dev: stp_pdu_rcv(skb, dev, rcv))


def stp_pdu_rcv(skb: SkBuff, dev: "NetDevice", rcv: "Callable[[SkBuff, NetDevice], None]") -> int:
    """Hand a message on; those to the addresses of GARP, and other kinds of LLC frames, are nobody's here."""
    view = skb.view
    dest = bytes(view[skb.mac_header : skb.mac_header + 6])
    prefix, last = _GARP
    if bytes(view[skb.network_header : skb.network_header + 3]) != _PDU or (dest[:5] == prefix and dest[5] in last):
        kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)
    else:
        rcv(skb, dev)
    return 0
